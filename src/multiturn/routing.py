"""Who is asked for an answer, one after the other? The targets of a route, with the keys of their providers.

A conversation stays with the target that holds its prompt cache, and with the key, as long as both answer.
What has failed lately is passed over (`multiturn.breaker`); where everything has, what failed longest ago is
tried. Somebody else is asked only before the first piece of an answer, and only where that can help.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from .breaker import Breaker
from .cards import Card
from .catalog import Catalog
from .errors import (
    BillingRefused,
    KeyRefused,
    ModelNotFound,
    ProviderError,
    ProviderFailed,
    ProviderOverloaded,
    ProviderTimeout,
    ProviderUnreachable,
    RateLimited,
    StreamCut,
)

__all__ = ["Attempts", "Candidate", "Routing"]

OF_A_KEY = (RateLimited, BillingRefused, KeyRefused)
"""Errors that say something of one key: another key of the same provider may be better off."""
OF_A_MODEL = (
    ModelNotFound,
    ProviderFailed,
    ProviderOverloaded,
    ProviderTimeout,
    ProviderUnreachable,
    StreamCut,
)
"""Errors that every key of the provider would meet."""
AT_ONCE = (*OF_A_KEY, ModelNotFound)
"""Errors that the next request would meet too."""


class Candidate(NamedTuple):
    """A model with one of its provider's keys, of which only the label is known here."""

    card: Card
    key: str = ""

    @property
    def circuit(self) -> tuple[str, str]:
        """The name of its circuit."""
        return self.card.name, self.key


class Routing:
    """Puts candidates in order. ``keys`` gives the labels of a provider's keys (none: its key is not set),
    ``now`` is a clock that does not go back."""

    def __init__(
        self,
        catalog: Catalog,
        keys: Callable[[str], Sequence[str]],
        *,
        breaker: Breaker | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.catalog = catalog
        self.breaker = breaker or Breaker()
        self.now = now
        self._keys = keys

    def attempts(self, model: str, *, last: str | None = None, seed: str = "") -> Attempts:
        """Who is asked for ``model``, which may be a route, in order. ``last`` is the target that answered
        this conversation before; ``seed`` chooses among keys, always alike."""
        route, cards = self._targets(model)
        return Attempts(self, model, route, self._line(cards, last, seed), last, seed)

    def first(self, model: str, last: str | None = None) -> Card:
        """The model that would be asked now."""
        if not self.catalog.routes:
            return self.catalog.card(model)
        return self._line(self._targets(model)[1], last, "")[0].card

    def refuge(self, model: str, last: str | None, seed: str) -> tuple[str | None, list[Candidate]]:
        """The route in which it goes on where the provider does not know ``model`` any more, and who is asked
        there."""
        route = self.catalog.route(model)
        if route is None:
            return None, []
        return route.name, self._line(self._cards(route.targets), last, seed)

    def _targets(self, model: str) -> tuple[str | None, list[Card]]:
        """The route of this name, and its targets; a model alone is its only one, unless it is retired."""
        route = self.catalog.routes.get(model)
        if route is None:
            card = self.catalog.card(model)
            route = self.catalog.route(model) if card.status == "retired" else None
            if route is None:
                return None, [card]
        return route.name, self._cards(route.targets)

    def _cards(self, targets: Sequence[str]) -> list[Card]:
        """Targets that are still offered; all of them where none is."""
        cards = [self.catalog.card(target) for target in targets]
        return [card for card in cards if card.status != "retired"] or cards

    def _line(self, cards: Sequence[Card], last: str | None, seed: str) -> list[Candidate]:
        if len(cards) > 1:
            cards = sorted(cards, key=lambda card: card.name != last)
        line = [Candidate(card, key) for card in cards for key in _shuffled(self._keys(card.provider), seed)]
        if len(line) < 2:
            return line or [Candidate(cards[0])]  # its key is missing: whoever opens it says so
        return self.ready(line) or [min(line, key=lambda each: self.breaker.opened(each.circuit))]

    def ready(self, line: Sequence[Candidate]) -> list[Candidate]:
        """Those who may be asked now."""
        now = self.now()
        return [each for each in line if self.breaker.ready(each.circuit, now)]


def _shuffled(keys: Sequence[str], seed: str) -> Sequence[str]:
    """The keys in an order that is always the same for ``seed``; a key that comes or goes changes nothing
    for the others."""
    if len(keys) < 2:
        return keys
    return sorted(keys, key=lambda key: blake2b(f"{key}\0{seed}".encode(), digest_size=8).digest())


@dataclass(slots=True)
class Attempts:
    """Who is asked for one answer. ``route`` is the route in use, ``tried`` who has failed: model and code of
    the error. The first of ``line`` is asked now."""

    routing: Routing
    model: str
    route: str | None
    line: list[Candidate]
    last: str | None = None
    seed: str = ""
    tried: list[tuple[str, str]] = field(default_factory=list)

    @property
    def current(self) -> Candidate:
        """Who is asked now."""
        return self.line[0]

    @property
    def elsewhere(self) -> tuple[type[ProviderError], ...]:
        """With which errors somebody else is asked, instead of the same provider again."""
        if any(each.card.name != self.current.card.name for each in self.line[1:]):
            return (*OF_A_KEY, *OF_A_MODEL)
        return OF_A_KEY if self.line[1:] else ()

    @property
    def choice(self) -> bool:
        """Whether who is asked depends on how they answered others."""
        return self.route is not None or len(self.line) > 1

    def enter(self) -> None:
        """The request is going to be made."""
        self.routing.breaker.enter(self.current.circuit, self.routing.now())

    def leave(self) -> None:
        """The request ended, and nothing was learned from it."""
        self.routing.breaker.leave(self.current.circuit)

    def answered(self) -> None:
        """The answer has begun."""
        self.routing.breaker.succeed(self.current.circuit)

    def failed(self, error: ProviderError) -> bool:
        """The request failed before its answer began: whether somebody else is to be asked, who is then
        `current`. A key that is refused is a mistake that somebody must see: only another key of the same
        provider stands in for it."""
        others = self._others(error)
        if not isinstance(error, (*OF_A_KEY, *OF_A_MODEL)) or (isinstance(error, KeyRefused) and not others):
            self.answered()  # it said what it does not like: it is there
            return False
        self.routing.breaker.fail(
            self.current.circuit,
            self.routing.now(),
            wait=error.retry_after,
            at_once=isinstance(error, AT_ONCE),
        )
        if isinstance(error, ModelNotFound) and self.route is None:
            self.route, others = self.routing.refuge(self.model, self.last, self.seed)
        return self._go_on(others, (self.current.card.name, error.code))

    def pass_over(self) -> bool:
        """Who is asked now cannot be sent this: whether there is somebody else."""
        self.leave()
        return self._go_on([each for each in self.line if each.card.name != self.current.card.name])

    def _go_on(self, others: Sequence[Candidate], tried: tuple[str, str] | None = None) -> bool:
        ready = self.routing.ready(others)
        if ready:
            self.tried += [tried] if tried else []
            self.line = ready
            self.enter()
        return bool(ready)

    def _others(self, error: ProviderError) -> list[Candidate]:
        """Who may do better with this error, of those behind who is asked now."""
        here = self.current.card.name
        if isinstance(error, KeyRefused):
            return [each for each in self.line[1:] if each.card.name == here]
        if isinstance(error, OF_A_KEY):
            return self.line[1:]
        return [each for each in self.line if each.card.name != here]
