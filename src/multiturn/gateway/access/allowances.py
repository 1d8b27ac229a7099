"""How much may a tenant consume in a day, and how many answers may be written for it at once?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ...asking import LONGEST_TIME, check_seconds
from ...errors import ParameterInvalid, SettingInvalid
from ...phrases import Reason
from ...usage import Cost, Spending
from ..http.refusal import Refusal
from .answering import Answer
from .consumption import Consumption

__all__ = ["Allowance", "Allowances", "allowance_of"]

FIELDS = ("tokens_per_day", "cost_per_day", "currency", "streams", "expires_after")
STREAMS = 64
"""Answers at once, where nothing is said."""
DAY = 86_400
SOON = {"retry-after": "1", "x-should-retry": "true"}
"""When to ask again where an answer that runs must end first."""


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
        if not isinstance(currency, str) or not currency:
            raise SettingInvalid(Reason("why.price_currency"), name=f"tenants.{name}.currency")
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


class Allowances:
    """What the tenants of one gateway may consume, and what is being answered for them now."""

    def __init__(self, tenants: Mapping[str, Mapping[str, Any]], consumption: Consumption) -> None:
        self.stated = {name: allowance_of(name, values) for name, values in tenants.items()}
        self._consumption = consumption
        self._answers: dict[str, set[Answer]] = {}

    async def enter(self, tenant: str, *, keyed: bool) -> Answer | None:
        """One more answer begins, which is counted until it was left; ``None``: it is not counted. Raises
        `Refusal`. Somebody who needs no key has no limits but those that are stated."""
        allowance = self.stated.get(tenant)
        if allowance is None:
            if not keyed:
                return None
            allowance = Allowance()
        answers = self._answers.setdefault(tenant, set())
        if len(answers) >= allowance.streams:
            raise Refusal(429, "rate_limit_exceeded", headers=SOON, limit=allowance.streams)
        answer = Answer(tenant, answers.discard)
        answers.add(answer)
        try:
            if allowance.budgeted:
                self._check(answer, allowance, await self._consumption.today(tenant))
        except BaseException:
            answer.leave()
            raise
        return answer

    def budgeted(self, tenant: str) -> bool:
        """Whether a tenant has a budget."""
        allowance = self.stated.get(tenant)
        return allowance is not None and allowance.budgeted

    async def hold(self, answer: Answer, held: Spending) -> None:
        """Keep back what an answer may take of the budget of its tenant, until it has ended. Raises `Refusal`
        where the others may need all that is left; for itself alone nobody is refused."""
        allowance, others = self.stated[answer.tenant], self._answers[answer.tenant]
        if len(others) > 1:
            self._check(answer, allowance, await self._consumption.today(answer.tenant))
        answer.held = held

    def _check(self, answer: Answer, allowance: Allowance, spent: Spending) -> None:
        """Raise `Refusal` where nothing is left of the day, or where what runs may take it."""
        if allowance.used_up(spent):
            wait = DAY - int(time.time()) % DAY
            headers = {"retry-after": str(wait), "x-should-retry": "false"}
            raise Refusal(429, "insufficient_quota", headers=headers)
        held = [each.held for each in self._answers[answer.tenant] if each is not answer]
        if held and allowance.used_up(Spending.total("", (spent, *held))):
            raise Refusal(429, "budget_held", headers=SOON)
