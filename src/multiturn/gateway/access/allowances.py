"""How much is left of what a tenant may consume in a day, and may one more answer be written for it?"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from ...allowance import Allowance, allowance_of
from ...usage import Spending
from ..http.refusal import Refusal
from .answering import Answer
from .consumption import Consumption

__all__ = ["Allowances"]

DAY = 86_400
SOON = {"retry-after": "1", "x-should-retry": "true"}
"""When to ask again where an answer that runs must end first."""


class Allowances:
    """What the tenants of one gateway may consume, and what is being answered for them now."""

    def __init__(self, tenants: Mapping[str, Mapping[str, Any]], consumption: Consumption) -> None:
        self.stated = {name: allowance_of(name, values) for name, values in tenants.items()}
        self._consumption = consumption
        self._answers: dict[str, set[Answer]] = {}
        self._beside: dict[str, set[Answer]] = {}
        """What is asked that is no answer, and no stream either."""

    def enter(self, tenant: str, *, keyed: bool) -> Answer | None:
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
        return answer

    def budgeted(self, tenant: str) -> bool:
        """Whether a tenant has a budget."""
        allowance = self.stated.get(tenant)
        return allowance is not None and allowance.budgeted

    async def hold(self, answer: Answer, held: Spending) -> None:
        """Keep back what an answer may take of the budget of its tenant, until it has ended. Raises `Refusal`
        where nothing is left, or the others may need all of it; for itself alone nobody is refused."""
        allowance, running = self.stated[answer.tenant], set[Answer]()
        spent = await self._consumption.today(answer.tenant)
        _check_day(allowance, spent)
        for some in (self._answers, self._beside):
            running |= some.get(answer.tenant, set())
        others = [each.held for each in running if each is not answer]
        if others and allowance.used_up(Spending.total("", (spent, *others))):
            raise Refusal(429, "budget_held", headers=SOON)
        answer.held = held

    @asynccontextmanager
    async def spare(self, tenant: str, wanted: Spending) -> AsyncIterator[bool]:
        """Keep back what a call may take that nobody waits for, and say whether there is room for it."""
        if not self.budgeted(tenant):
            yield True
            return
        calls = self._beside.setdefault(tenant, set())
        call = Answer(tenant, calls.discard)
        calls.add(call)
        try:
            try:
                await self.hold(call, wanted)
            except Refusal:
                yield False
            else:
                yield True
        finally:
            call.leave()


def _check_day(allowance: Allowance, spent: Spending) -> None:
    """Raise `Refusal` where nothing is left of the day."""
    if allowance.used_up(spent):
        wait = DAY - int(time.time()) % DAY
        headers = {"retry-after": str(wait), "x-should-retry": "false"}
        raise Refusal(429, "insufficient_quota", headers=headers)
