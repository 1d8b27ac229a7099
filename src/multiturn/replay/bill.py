"""What would a request have cost? The prefix it shares with the one before, what the provider's cache
serves of it, and the price."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import blake2b

from ..caching import CacheRule
from ..usage import Cost, Price, Usage

__all__ = ["Memory", "Served", "added", "common_bytes", "priced"]

REMEMBERED = 64
"""So many places where two requests parted are remembered."""
BETWEEN = b"},{"
"""What stands between two messages."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a cache does for one request, in tokens: ``shared`` with the one before; ``cached`` and
    ``written`` as the provider would report them (``None``: it reports none, or its rules are unknown)."""

    shared: int
    cached: int | None = None
    written: int | None = None


@dataclass(slots=True)
class Memory:
    """What a provider's prompt cache remembers of one conversation, by ``rule`` (``None``: unknown).

    Only the conversation's own requests count: what other conversations with the same instructions left
    in the cache is not seen.
    """

    rule: CacheRule | None
    before: bytes = b""
    at: float = 0.0
    reply: int = 0
    parted: list[tuple[int, bytes]] = field(default_factory=list)
    """Beginnings that two requests were seen to share: their length and digest."""

    def take(self, body: bytes, tokens: int, reply: int, at: float) -> Served:
        """The next request: its bytes and tokens, when it was made, and the tokens of the reply as they
        stand in a later request (0: they will not stand there unchanged)."""
        common = common_bytes(self.before, body)
        shared = tokens * common // len(body)
        served = Served(shared)
        if self.rule is not None:
            held = self._held(self.rule, body, tokens, common, at)
            writes = self.rule.match == "breakpoint" and tokens >= self.rule.minimum
            served = Served(shared, held, tokens - held if writes else None)
        self.before, self.at, self.reply = body, at, reply
        return served

    def _held(self, rule: CacheRule, body: bytes, tokens: int, common: int, at: float) -> int:
        parted = self._parted(body, common) if rule.match == "unit" else 0
        if not self.before or (rule.ttl is not None and at - self.at > rule.ttl):
            return 0
        if rule.match == "prefix":
            held = tokens * common // len(body)
        elif common >= len(self.before) - 1:
            held = tokens * common // len(body) + (self.reply if rule.match == "unit" else 0)
        else:
            held = tokens * parted // len(body)
        held = min(held, tokens)
        held -= held % rule.step
        return held if held >= rule.minimum else 0

    def _parted(self, body: bytes, common: int) -> int:
        """The longest beginning of this request that two earlier ones were seen to share, in bytes; where
        this one parts from the last is known from the next request on."""
        known = max((size for size, digest in self.parted if _digest(body[:size]) == digest), default=0)
        if self.before and common < len(self.before) - 1:
            end = body.rfind(BETWEEN, 0, common) + 1
            here = (end, _digest(body[:end]))
            if end and here not in self.parted:
                self.parted = [*self.parted[1 - REMEMBERED :], here]
        return known


def common_bytes(one: bytes, other: bytes) -> int:
    """How many bytes two requests share at their beginning.

    >>> common_bytes(b"[1,2]", b"[1,2,3]")
    4
    """
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=16).digest()


def priced(price: Price | None, usage: Usage) -> Cost | None:
    """What a call with this usage costs; ``None`` where no price is known."""
    return None if price is None else price.cost(usage)


def added(costs: Iterable[Cost | None]) -> Cost | None:
    """Costs of one currency added up; ``None`` where one of them is not known, or there is none."""
    listed = list(costs)
    known = [cost for cost in listed if cost is not None]
    if not known or len(known) < len(listed) or len({cost.currency for cost in known}) > 1:
        return None
    amount = sum((cost.amount for cost in known), Decimal(0))
    return Cost(amount, known[0].currency, any(cost.estimated for cost in known))
