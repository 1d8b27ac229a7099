"""What do requests consume that are no turns? Nothing is stored of them, so it is added up here and written:
at once where it counts against a budget, else every few seconds, and when the gateway ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from ...cards import Card, EmbeddingCard
from ...errors import Error
from ...storage import Store
from ...storage.account_store import AccountStore
from ...usage import Price, Spending, Tier, Usage

__all__ = ["FLUSHED", "Consumed", "Consumption", "estimated"]

Consumed = Callable[[Usage], None]
"""What hears of the usage of a call."""
BYTES = 4
"""Of text, for a token: about right for English and Chinese."""
FRAME = 200
"""Bytes of an event that brings a token."""

FLUSHED = 2.0
"""Seconds until something that was consumed is written."""


def estimated(sent: int, received: int = 0, events: int = 0) -> Usage:
    """What a call may have consumed that told nobody, by the bytes of text that were sent and received, or by
    the bytes of ``events``."""
    return Usage(sent // BYTES, received // BYTES + events // FRAME, estimated=True)


@dataclass(slots=True)
class _Sum:
    """Calls of one tenant that cost the same a token."""

    price: Price | None
    tier: Tier | None
    calls: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0
    written: int = 0
    reasoning: int = 0
    marked: bool = False

    @property
    def spending(self) -> Spending:
        """What they come to."""
        written = self.written if self.marked else None
        usage = Usage(self.input, self.output, self.cached, written, self.reasoning)
        if self.price is None or self.tier is None:
            return Spending("", Usage(self.input, self.output), (), self.calls)
        alone = replace(self.price, tiers=(replace(self.tier, up_to=None),))
        return Spending("", Usage(self.input, self.output), (alone.cost(usage),), self.calls)


class Consumption:
    """What was consumed beside turns, since it was last written. ``beside`` starts work that is finished
    before the gateway ends."""

    def __init__(self, store: Store, beside: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._accounts: AccountStore | None = getattr(store, "accounts", None)
        self._beside = beside
        self._sums: dict[tuple[str, str, int | None, bool], _Sum] = {}
        self._unwritten: dict[str, Spending] = {}
        self._alone = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._pause = 0.0

    def add(self, tenant: str, card: Card | EmbeddingCard, usage: Usage, *, at_once: bool = False) -> None:
        """A call has ended that is kept nowhere. Cheap: money is worked out when it is written, with all
        that ended in the same moment even where that is to be ``at_once``."""
        tier = card.price.tier(usage.input) if card.price else None
        key = (tenant, card.name, tier.up_to if tier else None, usage.cache_write is not None)
        found = self._sums.get(key)
        if found is None:
            found = self._sums[key] = _Sum(card.price, tier, marked=usage.cache_write is not None)
        found.calls += 1
        found.input += usage.input
        found.output += usage.output
        found.cached += usage.cached or 0
        found.written += usage.cache_write or 0
        found.reasoning += usage.reasoning or 0
        self._wait(0.0 if at_once else FLUSHED)

    async def today(self, tenant: str) -> Spending:
        """What a tenant has consumed today, turns and all. Nothing is written meanwhile: what moved from here
        to the store would be found in both, or in neither."""
        async with self._alone:
            parts = [] if self._accounts is None else [await self._accounts.today(tenant)]
            parts += [each.spending for (whose, *_), each in self._sums.items() if whose == tenant]
            parts += [self._unwritten[tenant]] if tenant in self._unwritten else []
        return Spending.total("", parts)

    async def write(self) -> None:
        """Write what has come together. What the store does not take is kept for the next time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        sums, self._sums = self._sums, {}
        for (tenant, *_), each in sums.items():
            self._put_aside(tenant, each.spending)
        async with self._alone:
            spent, self._unwritten = self._unwritten, {}
            if self._accounts is None or not spent:
                return
            try:
                await self._accounts.add(spent)
            except Error:
                for tenant, spending in spent.items():
                    self._put_aside(tenant, spending)
                self._wait(FLUSHED)

    def _put_aside(self, tenant: str, spending: Spending) -> None:
        before = self._unwritten.get(tenant, Spending("", Usage()))
        self._unwritten[tenant] = Spending.total("", (before, spending))

    def _wait(self, seconds: float) -> None:
        """Write in so many seconds; where that was said before, it stays so, unless it is sooner now."""
        if self._timer is not None:
            if seconds >= self._pause:
                return
            self._timer.cancel()
        self._timer, self._pause = asyncio.get_running_loop().call_later(seconds, self._due), seconds

    def _due(self) -> None:
        self._timer = None
        self._beside(self.write())
