"""Exactly how much is enough: an allowance that is used up to the last token, a slot that comes free."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from multiturn.allowance import STREAMS, allowance_of
from multiturn.catalog import Catalog
from multiturn.errors import SettingInvalid
from multiturn.gateway.access.allowances import Allowances
from multiturn.gateway.access.consumption import Consumption
from multiturn.gateway.http.refusal import Refusal
from multiturn.usage import Price, Spending, Tier, Usage


def consumed(allowed: dict[str, Any], *tenants: str) -> Allowances:
    """The shop's allowance, where each of these tenants has consumed ten tokens for ten yuan."""
    card = replace(Catalog().card("demo"), price=Price("CNY", (Tier(Decimal(10**6), Decimal(10**6)),)))
    consumption = Consumption(SimpleNamespace(), asyncio.ensure_future)  # type: ignore[arg-type]  # no store
    for tenant in tenants:
        consumption.add(tenant, card, Usage(8, 2))
    return Allowances({"shop": allowed}, consumption)


@pytest.mark.parametrize(
    ("allowed", "enough"),
    [
        ({"tokens_per_day": 10}, False),
        ({"tokens_per_day": 11}, True),
        ({"cost_per_day": 10, "currency": "CNY"}, False),
        ({"cost_per_day": 10.1, "currency": "CNY"}, True),
    ],
)
async def test_what_is_used_up_to_the_last_is_used_up(allowed: dict[str, Any], *, enough: bool) -> None:
    allowances = consumed(allowed, "shop", "bank")
    answer = allowances.enter("shop", keyed=True)
    assert answer is not None
    if enough:
        await allowances.hold(answer, Spending("", Usage(1, 1)))
        assert answer.held.usage.total == 2
        return
    for _ in range(2):
        with pytest.raises(Refusal) as refusal:
            await allowances.hold(answer, Spending("", Usage(1, 1)))
        assert refusal.value.code == "insufficient_quota"
        assert answer.held.usage.total == 0


async def test_only_who_has_a_key_or_an_allowance_is_counted() -> None:
    allowances = consumed({"streams": 1})
    for _ in range(STREAMS + 1):
        assert not allowances.enter("", keyed=False)
    for _ in range(STREAMS):
        assert allowances.enter("bank", keyed=True)
    with pytest.raises(Refusal):
        allowances.enter("bank", keyed=True)
    assert allowances.enter("shop", keyed=False)
    with pytest.raises(Refusal):
        allowances.enter("shop", keyed=False)


@pytest.mark.parametrize("amount", [True, 0, -1, float("inf"), float("nan"), "1"])
def test_a_cost_is_a_positive_number(amount: Any) -> None:
    with pytest.raises(SettingInvalid):
        allowance_of("shop", {"cost_per_day": amount, "currency": "CNY"})


@pytest.mark.parametrize("currency", [None, "", 3, "EURO", "cny", "¥", "CNY "])
def test_a_cost_has_a_currency(currency: Any) -> None:
    with pytest.raises(SettingInvalid):
        allowance_of("shop", {"cost_per_day": 1, "currency": currency})
