"""What may a tenant consume, as an operator states it?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .asking import check_seconds
from .config import LONGEST_TIME
from .errors import ParameterInvalid, SettingInvalid
from .phrases import Reason
from .usage import Cost, Spending

__all__ = ["STREAMS", "Allowance", "allowance_of"]

FIELDS = ("tokens_per_day", "cost_per_day", "currency", "streams", "expires_after")
CURRENCY = re.compile("[A-Z]{3}")
STREAMS = 64
"""Answers at once, where nothing is said."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a tenant may consume: ``tokens`` (input and output together) and ``cost`` in a day of UTC's,
    ``None``: any; ``streams`` are answers at once."""

    tokens: int | None = None
    cost: Cost | None = None
    streams: int = STREAMS

    @property
    def budgeted(self) -> bool:
        """Whether there is a limit for a day."""
        return self.tokens is not None or self.cost is not None

    def used_up(self, spent: Spending) -> bool:
        """Whether so much is as much as may be consumed."""
        if self.tokens is not None and spent.usage.total >= self.tokens:
            return True
        cost = self.cost
        return cost is not None and any(
            each.currency == cost.currency and each.amount >= cost.amount for each in spent.costs
        )


def allowance_of(name: str, values: Mapping[str, Any]) -> Allowance:
    """A tenant's allowance as an operator states it. Raises `SettingInvalid`."""
    for field in values:
        if field not in FIELDS:
            known = ", ".join(FIELDS)
            raise SettingInvalid(Reason("why.field_unknown", known=known), name=f"tenants.{name}.{field}")
    _check_lasting(name, values.get("expires_after"))
    cost = None
    if "cost_per_day" in values:
        currency = values.get("currency")
        if not isinstance(currency, str) or not CURRENCY.fullmatch(currency):
            raise SettingInvalid(Reason("why.currency"), name=f"tenants.{name}.currency")
        cost = Cost(_amount(name, values["cost_per_day"]), currency)
    tokens = _whole(name, values, "tokens_per_day") if "tokens_per_day" in values else None
    return Allowance(tokens, cost, _whole(name, values, "streams") if "streams" in values else STREAMS)


def _check_lasting(name: str, value: object) -> None:
    """For how long a tenant's conversations are kept is for the client to know; here it only must make
    sense. Raises `SettingInvalid`."""
    try:
        check_seconds("expires_after", value)
    except ParameterInvalid as error:
        raise SettingInvalid(
            Reason("why.seconds", longest=LONGEST_TIME), name=f"tenants.{name}.expires_after"
        ) from error


def _whole(name: str, values: Mapping[str, Any], field: str) -> int:
    value = values[field]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        reason = Reason("why.value_whole", value=f"{value!r:.60}")
        raise SettingInvalid(reason, name=f"tenants.{name}.{field}")
    return value


def _amount(name: str, value: object) -> Decimal:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
        reason = Reason("why.value_amount", value=f"{value!r:.60}")
        raise SettingInvalid(reason, name=f"tenants.{name}.cost_per_day")
    return Decimal(str(value))
