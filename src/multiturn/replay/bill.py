"""What would a request have cost? The prefix it shares with the one before, what a cache serves of it,
and the price."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from ..usage import Cost, Price, Usage

__all__ = ["CacheRule", "added", "common_bytes", "priced", "served", "share_of"]


@dataclass(frozen=True, slots=True)
class CacheRule:
    """How a provider's prompt cache counts: prefixes from ``least`` tokens on, in steps of ``step``, for
    ``lifetime`` seconds after the last use (``None``: not published, taken to last)."""

    least: int = 0
    step: int = 1
    lifetime: float | None = None


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


def share_of(tokens: int, part: int, whole: int) -> int:
    """The tokens of a part of a text, by its share of the bytes."""
    return tokens * part // whole if whole else 0


def served(rule: CacheRule | None, shared: int, gap: float) -> int | None:
    """How many of the ``shared`` tokens the cache serves, ``gap`` seconds after the request before;
    ``None`` where the rules are not known."""
    if rule is None:
        return None
    if rule.lifetime is not None and gap > rule.lifetime:
        return 0
    whole = shared - shared % rule.step
    return whole if whole >= rule.least else 0


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
