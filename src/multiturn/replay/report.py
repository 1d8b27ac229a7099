"""What does a replay come to? Totals of a scheme, the worst differences between two, predicted against
billed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ..usage import Cost
from .dialogue import Said
from .outcome import Outcome, TurnOutcome

__all__ = ["Billed", "Difference", "Errors", "Total", "billed", "total", "worst"]


@dataclass(frozen=True, slots=True)
class Total:
    """A scheme over all conversations. Tokens are sums; ``costs`` has one entry a currency and is empty
    where no price is known; ``unpriced`` counts turns without one. ``used`` counts the old turns that
    replies used: so many were ``sent``, ``quoted`` by recall, under a summary (``folded``), or ``gone``.
    """

    scheme: str
    models: tuple[str, ...]
    conversations: int
    turns: int
    requests: int
    input: int
    output: int
    shared: int
    cached: int | None
    costs: tuple[Cost, ...]
    summaries: tuple[Cost, ...]
    folds: int
    unpriced: int
    refused: int
    used: int
    sent: int
    quoted: int
    folded: int
    gone: int

    @property
    def cached_share(self) -> float | None:
        """Share of the input that the caches serve."""
        return None if self.cached is None or not self.input else self.cached / self.input

    @property
    def kept_share(self) -> float | None:
        """Share of the used old turns that are in the window, word by word."""
        return (self.sent + self.quoted) / self.used if self.used else None

    @property
    def costs_a_turn(self) -> tuple[Cost, ...]:
        """Cost of one turn, on average over those that have a price."""
        priced = self.turns - self.unpriced
        return tuple(Cost(c.amount / priced, c.currency, c.estimated) for c in self.costs) if priced else ()


def total(scheme: str, outcomes: Sequence[Outcome]) -> Total:
    """All conversations of one scheme added up."""
    turns = [turn for outcome in outcomes for turn in outcome.turns]
    answered = [turn for turn in turns if turn.requests]
    cached = [turn.cached for turn in answered]
    return Total(
        scheme=scheme,
        models=tuple(sorted({outcome.model for outcome in outcomes})),
        conversations=len(outcomes),
        turns=len(turns),
        requests=sum(turn.requests for turn in turns),
        input=sum(turn.usage.input for turn in turns),
        output=sum(turn.usage.output for turn in turns),
        shared=sum(turn.shared for turn in turns),
        cached=None if None in cached else sum(filter(None, cached)),
        costs=_by_currency(turn.cost for turn in turns),
        summaries=_by_currency(turn.summary for turn in turns),
        folds=sum(turn.folds for turn in turns),
        unpriced=sum(turn.cost is None for turn in turns),
        refused=sum(turn.refused is not None for turn in turns),
        used=sum(_used(turn) for turn in turns),
        sent=sum(len(turn.fates.sent) for turn in turns),
        quoted=sum(len(turn.fates.quoted) for turn in turns),
        folded=sum(len(turn.fates.folded) for turn in turns),
        gone=sum(len(turn.fates.gone) for turn in turns),
    )


def _used(turn: TurnOutcome) -> int:
    found = turn.fates
    return len(found.sent) + len(found.quoted) + len(found.folded) + len(found.gone)


def _by_currency(costs: Iterable[Cost | None]) -> tuple[Cost, ...]:
    sums: dict[str, Decimal] = {}
    for cost in costs:
        if cost is not None:
            sums[cost.currency] = sums.get(cost.currency, Decimal(0)) + cost.amount
    return tuple(Cost(amount, currency, estimated=True) for currency, amount in sorted(sums.items()))


# ------------------------------------------------------------------------------------- differences


@dataclass(frozen=True, slots=True)
class Difference:
    """A turn in which another scheme would have lost old turns that the reply used: ``lost`` were in the
    window word by word before and are no longer; ``gained`` the other way round."""

    conversation: str
    turn: int
    lost: tuple[int, ...]
    gained: tuple[int, ...]
    before: Cost | None
    after: Cost | None
    tokens_before: int
    tokens_after: int

    @property
    def dearer(self) -> Decimal:
        """By how much the turn costs more."""
        if self.before is None or self.after is None or self.before.currency != self.after.currency:
            return Decimal(0)
        return self.after.amount - self.before.amount


def worst(base: Sequence[Outcome], other: Sequence[Outcome], most: int = 20) -> list[Difference]:
    """The worst differences, the worst first: by the old turns that are lost, then by what the turn costs
    more."""
    before = {(o.conversation, turn.turn): turn for o in base for turn in o.turns}
    found = [
        _difference(o.conversation, before[o.conversation, turn.turn], turn)
        for o in other
        for turn in o.turns
        if (o.conversation, turn.turn) in before
    ]
    bad = [each for each in found if each.lost or each.dearer > 0]
    bad.sort(key=lambda each: (-len(each.lost), -each.dearer, each.conversation, each.turn))
    return bad[:most]


def _difference(conversation: str, before: TurnOutcome, after: TurnOutcome) -> Difference:
    had = {*before.fates.sent, *before.fates.quoted}
    has = {*after.fates.sent, *after.fates.quoted}
    return Difference(
        conversation=conversation,
        turn=after.turn,
        lost=tuple(sorted(had - has)),
        gained=tuple(sorted(has - had)),
        before=before.cost,
        after=after.cost,
        tokens_before=before.usage.input,
        tokens_after=after.usage.input,
    )


# ------------------------------------------------------------------------- predicted against billed


@dataclass(frozen=True, slots=True)
class Errors:
    """How far predictions are from what was billed. ``signed`` are the errors in order, each as a share of
    what was billed; the other figures are of their sizes."""

    signed: tuple[float, ...]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.signed)

    @property
    def median(self) -> float | None:
        """The size of an error that half of them stay below."""
        return self.quantile(0.5)

    @property
    def p90(self) -> float | None:
        """The size of an error that nine in ten stay below."""
        return self.quantile(0.9)

    @property
    def bias(self) -> float | None:
        """The middle one of the signed errors: above 0, predictions are too high."""
        return self.signed[len(self.signed) // 2] if self.signed else None

    def quantile(self, share: float) -> float | None:
        """The size of an error that ``share`` of them stay at or below."""
        sizes = sorted(abs(error) for error in self.signed)
        return sizes[min(len(sizes) - 1, int(share * len(sizes)))] if sizes else None


@dataclass(frozen=True, slots=True)
class Billed:
    """Predictions beside bills, for turns that the same model answered and whose usage it reported:
    errors of input tokens and cost as shares, of cached tokens as a share of the input."""

    turns: int
    input: Errors
    cached: Errors
    cost: Errors


def billed(outcomes: Sequence[Outcome], said: Mapping[tuple[str, int], Said]) -> Billed:
    """The errors of a replay under the terms that were in force; ``said`` are the stored turns by
    conversation and number."""
    tokens: list[float] = []
    cached: list[float] = []
    costs: list[float] = []
    turns = 0
    for outcome in outcomes:
        for turn in outcome.turns:
            real = said[outcome.conversation, turn.turn]
            if real.billed is None or real.billed.estimated or real.model != outcome.model:
                continue
            if not real.billed.input or not turn.requests:
                continue
            turns += 1
            tokens.append(turn.usage.input / real.billed.input - 1)
            if turn.cached is not None and real.billed.cached is not None:
                cached.append((turn.cached - real.billed.cached) / real.billed.input)
            if real.cost and turn.cost and real.cost.amount and real.cost.currency == turn.cost.currency:
                costs.append(float(turn.cost.amount / real.cost.amount) - 1)
    return Billed(turns, *(Errors(tuple(sorted(errors))) for errors in (tokens, cached, costs)))
