"""What would each turn have cost under these terms, and which of the old turns it used would it have had?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from ..caching import Caching
from ..cards import Card
from ..request import remembered
from ..terms import Terms
from ..usage import Cost, Price, Usage
from ..window import Window
from .bill import Memory, added, priced
from .dialogue import Dialogue, Said
from .evidence import Use
from .fates import Fates, fates
from .folding import Fold
from .windows import Asked, windows

__all__ = ["Case", "Outcome", "TurnOutcome", "replay"]

NO_FATES = Fates()


@dataclass(frozen=True, slots=True)
class TurnOutcome:
    """One turn under other terms: tokens of all its requests, what they cost, what became of the old turns
    it used.

    ``shared`` are the tokens that repeat the beginning of the request before; ``cached`` what the
    provider's cache serves of them (``None``: its rules are not known, and ``cost`` counts every token as
    new). ``cost`` is ``None`` where the price is not known. ``refused`` is the code of the error with
    which a request would have been refused; then nothing of it is counted.
    """

    turn: int
    at: float
    requests: int
    usage: Usage
    shared: int
    cost: Cost | None
    summary: Cost | None = None
    """What writing a summary after this turn cost, as part of ``cost``."""
    folds: int = 0
    """How many summaries were written after it."""
    fates: Fates = NO_FATES
    refused: str | None = None

    @property
    def cached(self) -> int | None:
        """Tokens that the provider's cache serves."""
        return self.usage.cached


@dataclass(frozen=True, slots=True)
class Outcome:
    """A whole conversation under one scheme; only the turns that were asked for."""

    conversation: str
    scheme: str
    model: str
    turns: Sequence[TurnOutcome] = ()
    rules_known: bool = False
    price_known: bool = False


@dataclass(slots=True)
class _Till:
    """Adds up what the requests of one conversation cost, one after the other."""

    caching: Caching
    writer: Price | None
    ratio: float
    cache: Memory = field(init=False)
    past: bytes | None = None
    """The fingerprint of the request before, where markers are to be set by it."""
    requests: list[tuple[Usage, int, Cost | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cache = Memory(self.caching.rule)

    def take(self, asked: Asked, window: Window, said: Usage) -> None:
        """One request, to which ``said`` was replied."""
        tokens = round(window.tokens * self.ratio / window.limits.scale)
        again = 0 if asked.thought else round(asked.reply * self.ratio)
        served = self.cache.take(window.body, tokens, again, asked.said.at)
        usage = replace(said, input=tokens, cached=served.cached, cache_write=served.written)
        if self.caching.rule is not None and self.caching.rule.explicit is not None:
            usage = self._marked(window, usage, asked.said.at)
        usage = replace(usage, estimated=True)
        self.requests.append((usage, served.shared, priced(self.caching.price, usage)))

    def _marked(self, window: Window, usage: Usage, at: float) -> Usage:
        """The usage where the provider takes markers: they are set by the pauses and requests so far, and
        what they find is foretold as in a turn."""
        window = replace(window, caching=self.caching, past=self.past, at=at)
        expected = window.forecast
        if expected is not None and expected.cached is not None:
            cached = min(expected.cached, usage.input)
            written = None if expected.written is None else usage.input - cached
            usage = replace(usage, cached=cached, cache_write=written)
        self.past = remembered(window, usage, at)
        return usage

    def summary(self, fold: Fold | None) -> Cost | None:
        """What writing a summary costs; nothing of it is in any cache."""
        if fold is None:
            return None
        used = fold[1]
        tokens = Usage(round(used.input * self.ratio), round(used.output * self.ratio), estimated=True)
        return priced(self.writer, tokens)


@dataclass(frozen=True, slots=True)
class Case:
    """What a conversation is replayed under: the terms that a ``scheme`` comes to in it. ``writer`` is the
    model that writes summaries (by default the same); ``ratio`` turns uncalibrated counts into the model's
    tokens."""

    scheme: str
    terms: Terms
    writer: Card | None = None
    ratio: float = 1.0


def replay(
    dialogue: Dialogue,
    case: Case,
    uses: Sequence[Sequence[Use]],
    *,
    since: float = 0.0,
    tick: Callable[[int], None] | None = None,
) -> Outcome:
    """The conversation under other terms; pure, nobody is called.

    ``uses`` are the old turns that each turn used (`evidence.uses`). All turns are walked through, those that
    began before ``since`` are not told. ``tick`` hears of each turn.
    """
    terms, card = case.terms, case.terms.card
    till = _Till(terms.caching, (case.writer or card).price, case.ratio)
    turns = []
    asked = groupby(windows(dialogue, terms), key=lambda each: each.said.turn.number)
    used = {
        said.turn.number: [use.turn for use in found]
        for said, found in zip(dialogue.turns, uses, strict=True)
    }
    for number, requests in asked:
        made = list(requests)
        outcome = _turn(till, made, used[number])
        if made[0].said.at >= since:
            turns.append(outcome)
        if tick is not None:
            tick(number)
    return Outcome(dialogue.id, case.scheme, card.name, turns, card.cache is not None, card.price is not None)


def _turn(till: _Till, asked: Sequence[Asked], used: Sequence[int]) -> TurnOutcome:
    till.requests = []
    found = Fates(gone=tuple(used))
    for each in asked:
        if each.window is not None:
            till.take(each, each.window, _said(each, asked, till.ratio))
            found = fates(each.window, used, each.quotes)
    said: Said = asked[0].said
    usage = sum((usage for usage, _, _ in till.requests), Usage(estimated=True))
    fold = asked[-1].fold
    written = till.summary(fold)
    return TurnOutcome(
        turn=said.turn.number,
        at=said.at,
        requests=len(till.requests),
        usage=usage,
        shared=sum(shared for _, shared, _ in till.requests),
        cost=added([*(cost for _, _, cost in till.requests), *([written] if fold else [])]),
        summary=written,
        folds=int(fold is not None),
        fates=found,
        refused=next((each.refused for each in asked if each.refused), None),
    )


def _said(each: Asked, asked: Sequence[Asked], ratio: float) -> Usage:
    """The tokens of a stored reply: as its own model reported them, shared out over the requests of the
    turn by what is stored; for another model as they are counted."""
    billed, window = each.said.billed, each.window
    whole = sum(one.reply for one in asked)
    same = window is not None and window.target.model == each.said.model
    if billed is None or billed.estimated or not same or not whole:
        return Usage(output=round(each.reply * ratio))
    thought = None if billed.reasoning is None else round(billed.reasoning * each.reply / whole)
    return Usage(output=round(billed.output * each.reply / whole), reasoning=thought)
