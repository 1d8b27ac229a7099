"""A summary is written out of the budget of its tenant, too, and waits where that has no room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.summary.test_compaction import SUMMARY, World

from multiturn.allowance import Allowance
from multiturn.config import Config
from multiturn.gateway.gateway import Gateway
from multiturn.gateway.http.refusal import Refusal
from multiturn.usage import Spending, Usage

BIG = Spending("", Usage(10**9))


@asynccontextmanager
async def garden(**budget: Any) -> AsyncIterator[tuple[World, Gateway]]:
    """A conversation for which a summary is due with its next turn, behind a gateway."""
    it = World([SUMMARY], config=Config(store=":memory:", tenants={"": budget} if budget else {}))
    await it.grow(11)
    yield it, Gateway(it.client)
    await it.client.close()


async def spent(gateway: Gateway) -> int:
    return (await gateway.consumption.today("")).usage.total


async def test_where_the_day_is_used_up_no_summary_is_asked_for() -> None:
    async with garden(tokens_per_day=1) as (it, _):
        await it.grow(2)
        assert it.asks == 0
        assert await it.chat.summary_error() == "summary_no_budget"
        it.client.spare = None  # another day
        await it.grow(1)
        assert it.asks == 1
        assert await it.chat.summary() is not None


async def test_where_what_runs_may_use_it_up_none_is_asked_for() -> None:
    async with garden(tokens_per_day=10**6) as (it, gateway):
        answer = gateway.allowances.enter("", keyed=False)
        assert answer is not None
        await gateway.allowances.hold(answer, BIG)
        await it.grow(2)
        assert it.asks == 0
        answer.leave()
        await it.grow(1)
        assert it.asks == 1


async def test_a_summary_holds_what_it_may_take_and_is_no_stream() -> None:
    async with garden(tokens_per_day=10**6, streams=1) as (it, gateway):
        it.provider.gate.clear()
        growing = asyncio.create_task(it.grow(2))
        await it.provider.asked.wait()
        answer = gateway.allowances.enter("", keyed=False)
        assert answer is not None
        [call] = gateway.allowances._beside[""]
        held = call.held.usage
        assert (held.output, 500 < held.input < 5000) == (250, True)  # a quarter of the window
        before = await spent(gateway)
        gateway.allowances.stated[""] = Allowance(tokens=before + held.total)
        with pytest.raises(Refusal) as refusal:
            await gateway.allowances.hold(answer, BIG)
        assert refusal.value.code == "budget_held"
        gateway.allowances.stated[""] = Allowance(tokens=before + held.total + 1)
        await gateway.allowances.hold(answer, BIG)
        it.provider.gate.set()
        await growing
        assert gateway.allowances._beside[""] == set()
        assert await it.chat.summary() is not None


async def test_without_a_budget_nothing_is_held() -> None:
    async with garden() as (it, gateway):
        await it.grow(2)
        assert it.asks == 1
        assert gateway.allowances._beside == {}
