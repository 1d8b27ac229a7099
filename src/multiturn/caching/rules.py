"""How does a provider's prompt cache work? The records of its rules, which are dated data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..usage import Price

__all__ = ["CacheRule", "Caching", "MarkerRule"]


@dataclass(frozen=True, slots=True)
class MarkerRule:
    """A cache that is asked for with markers. ``minimum`` is in tokens and ``ttl`` in seconds, renewed by
    a hit; at most ``markers`` a request, each looking back over ``reach`` blocks. ``write`` and ``hit`` are
    shares of the price of input. ``odds`` is how often the automatic cache is taken to hit instead, until
    the conversation has seen how often it does."""

    minimum: int
    ttl: float
    markers: int = 4
    reach: int = 20
    write: float = 1.25
    hit: float = 0.10
    odds: float = 1.0


@dataclass(frozen=True, slots=True)
class CacheRule:
    """How a provider's automatic cache works.

    - ``minimum``: the shortest prefix it keeps, ``step``: hits are multiples of it, both in tokens;
      ``ttl`` after how many seconds of silence it forgets (``None``: when it needs the room).
    - ``match``: the longest common ``"prefix"``; whole requests and their replies (``"unit"``, and what
      several requests were seen to share); or whole requests alone (``"breakpoint"``).
    - ``hit``: what a token read from it costs, as a share of the price of input.
    - ``explicit``: the rule of the markers it takes, if any.
    """

    minimum: int = 1
    step: int = 1
    ttl: float | None = None
    match: Literal["prefix", "unit", "breakpoint"] = "prefix"
    hit: float = 0.2
    explicit: MarkerRule | None = None
    as_of: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Caching:
    """What a forecast must know beside the request: the model, its rule and price (``None``: unknown), the
    digest of the tool definitions, and ``head``: the uncalibrated tokens of tools and instructions."""

    model: str
    rule: CacheRule | None = None
    price: Price | None = None
    tools: str = ""
    head: int = 0
