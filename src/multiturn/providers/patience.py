"""How long do we wait for a provider, and how often do we ask again?"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from ..errors import ProviderError

__all__ = ["Budget", "Patience", "Retry"]


@dataclass(frozen=True, slots=True)
class Patience:
    """Time limits of one call, in seconds: until the connection stands, until the first piece of a
    streamed answer, between two pieces, and for the whole call with its repetitions. Comments in a
    stream and other signs of life that bring nothing are not pieces."""

    connect: float = 10.0
    first: float = 120.0
    idle: float = 60.0
    total: float = 600.0


@dataclass(frozen=True, slots=True)
class Retry:
    """When a call is repeated: at most ``times``, and only before the first piece of its answer.

    The pause before the first repetition is about ``base`` seconds (``burst`` where the provider says
    that requests came too steeply), doubles up to ``longest_backoff``, and gives way to what the
    provider asks for, up to ``longest_wait``. At most ``share`` of all requests are repetitions, or
    ``floor`` within ``memory`` seconds where there were few requests.
    """

    times: int = 2
    base: float = 0.5
    burst: float = 5.0
    longest_backoff: float = 8.0
    longest_wait: float = 60.0
    share: float = 0.1
    floor: float = 3.0
    memory: float = 60.0

    def pause(self, error: ProviderError, repetition: int) -> float:
        """Seconds to wait before a repetition, the first one being 0."""
        if error.retry_after is not None:
            return min(error.retry_after, self.longest_wait)
        base = self.burst if error.figures.get("burst") else self.base
        longest = max(base, self.longest_backoff)
        return float(min(base * 2**repetition, longest) * random.uniform(0.75, 1.25))


@dataclass(slots=True)
class Budget:
    """Keeps repetitions a small share of all requests, so that a provider in trouble is not flooded. All
    providers of a client share one.

    Both are remembered with less and less weight as time goes by. ``now`` is any clock in seconds.

    >>> budget = Budget(Retry(share=0.1, floor=1))
    >>> budget.ask(now=0), budget.take(now=0), budget.take(now=0)
    (None, True, False)
    """

    retry: Retry = Retry()
    _requests: float = 0.0
    _repetitions: float = 0.0
    _at: float | None = field(default=None)

    def ask(self, now: float) -> None:
        """A request is made."""
        self._fade(now)
        self._requests += 1

    def take(self, now: float, *, comes_back: bool = False) -> bool:
        """Whether one more repetition is allowed; if so it is counted. One that ``comes_back`` will be asked
        for as a request of its own, and shall not make room for others."""
        self._fade(now)
        allowed = max(self.retry.floor, self.retry.share * self._requests)
        if self._repetitions + 1 > allowed + 1e-9:
            return False
        self._repetitions += 1
        self._requests -= comes_back
        return True

    def spend(self, now: float) -> None:
        """Somebody else is asked instead: that is always allowed, and leaves less for repetitions."""
        self._fade(now)
        self._repetitions += 1

    def _fade(self, now: float) -> None:
        if self._at is not None and now > self._at:
            weight = math.exp((self._at - now) / self.retry.memory)
            self._requests *= weight
            self._repetitions *= weight
        self._at = now
