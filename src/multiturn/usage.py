"""What did a turn consume, and what did it cost?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

__all__ = ["Cost", "ModelFacts", "Price", "Spending", "Tier", "Usage"]

MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, or of several added up.

    ``cached`` and ``cache_write`` are shares of ``input``, ``reasoning`` is a share of ``output``;
    ``None`` means the provider did not say. ``estimated`` marks counts we made ourselves because the
    provider sent none (a relay, a reply that was cut). ``raw`` is the provider's own object, unchanged.

    >>> Usage(input=10, output=2) + Usage(input=5, output=1, cached=4)
    Usage(input=15, output=3, cached=4, cache_write=None, reasoning=None, estimated=False, raw=None)
    """

    input: int = 0
    output: int = 0
    cached: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    estimated: bool = False
    raw: Mapping[str, object] | None = None

    @property
    def total(self) -> int:
        """Input and output together, in tokens."""
        return self.input + self.output

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input=self.input + other.input,
            output=self.output + other.output,
            cached=_sum(self.cached, other.cached),
            cache_write=_sum(self.cache_write, other.cache_write),
            reasoning=_sum(self.reasoning, other.reasoning),
            estimated=self.estimated or other.estimated,
        )


def _sum(one: int | None, other: int | None) -> int | None:
    if one is None:
        return other
    return one if other is None else one + other


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What use has taught of a model: ``ratio`` is reported tokens by counted ones (a moving mean of
    ``samples`` calls), ``limit`` how many tokens of input it takes, where an overflow told."""

    name: str
    ratio: float = 1.0
    samples: int = 0
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Tier:
    """Prices per million tokens for requests of at most ``up_to`` input tokens (``None``: any).

    ``cached``, ``cache_write`` and ``reasoning`` fall back to ``input``, ``input`` and ``output``
    where the provider lists none. ``marked`` is what is read from a cache that was asked for with markers,
    where that has a price of its own.
    """

    input: Decimal
    output: Decimal
    up_to: int | None = None
    cached: Decimal | None = None
    cache_write: Decimal | None = None
    reasoning: Decimal | None = None
    marked: Decimal | None = None

    def read(self, usage: Usage) -> Decimal:
        """What a cached token costs: who reports what was written, was asked with markers."""
        if usage.cache_write is not None and self.marked is not None:
            return self.marked
        return self.input if self.cached is None else self.cached


@dataclass(frozen=True, slots=True)
class Cost:
    """Money: ``amount`` in ``currency`` (``CNY``, ``USD``); ``estimated`` where the usage was."""

    amount: Decimal
    currency: str
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Price:
    """A model's price list: the whole request is billed at the tier of its input length.

    ``as_of`` and ``source`` say when and where the figures were read; ``multiplier`` is a relay's.
    """

    currency: str
    tiers: tuple[Tier, ...]
    as_of: str = ""
    source: str = ""
    multiplier: Decimal = Decimal(1)

    def cost(self, usage: Usage) -> Cost:
        """What a call with this usage costs.

        >>> Price("USD", (Tier(Decimal("0.4"), Decimal("1.2")),)).cost(Usage(1_000_000, 0)).amount
        Decimal('0.4')
        """
        tier = self.tier(usage.input)
        cached, written = usage.cached or 0, usage.cache_write or 0
        thought = usage.reasoning or 0
        amount = (
            (usage.input - cached - written) * tier.input
            + cached * tier.read(usage)
            + written * (tier.input if tier.cache_write is None else tier.cache_write)
            + (usage.output - thought) * tier.output
            + thought * (tier.output if tier.reasoning is None else tier.reasoning)
        )
        return Cost(amount * self.multiplier / MILLION, self.currency, usage.estimated)

    def tier(self, input_tokens: int) -> Tier:
        """The tier that bills a request of this input length."""
        for tier in self.tiers:
            if tier.up_to is None or input_tokens <= tier.up_to:
                return tier
        return self.tiers[-1]


@dataclass(frozen=True, slots=True)
class Spending:
    """Tokens and money of a group: a conversation, a day, a model, a user.

    ``costs`` has one entry a currency; it is empty where no price is known. ``calls`` counts requests
    to providers, ``turns`` the turns that made them.
    """

    group: str
    usage: Usage
    costs: tuple[Cost, ...] = ()
    calls: int = 0
    turns: int = 0

    @classmethod
    def total(cls, group: str, parts: Iterable[Spending]) -> Spending:
        """Several added up, currency by currency."""
        usage, calls, turns = Usage(), 0, 0
        costs: dict[str, Cost] = {}
        for part in parts:
            usage, calls, turns = usage + part.usage, calls + part.calls, turns + part.turns
            for cost in part.costs:
                so_far = costs.get(cost.currency, Cost(Decimal(0), cost.currency))
                estimated = so_far.estimated or cost.estimated
                costs[cost.currency] = Cost(so_far.amount + cost.amount, cost.currency, estimated)
        return cls(group, usage, tuple(costs.values()), calls, turns)
