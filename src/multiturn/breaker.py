"""Is somebody who failed asked again? A circuit for each key and model: after some failures in a row it opens
for a while, then lets one request through to see.

There is no clock in here: the time is passed in, in seconds of any clock that does not go back.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

__all__ = ["Breaker", "Circuit", "Rest"]

MOST = 1000
"""How many circuits are kept: whoever names a new model with every request shall not fill the memory."""


@dataclass(frozen=True, slots=True)
class Rest:
    """When a circuit opens, and for how long: after ``failures`` in a row for ``first`` seconds, twice as
    long each time in a row, up to ``longest``. Who names a time gets it, up to ``longest_asked``. A request
    that was let through has ``trial`` seconds before another one is."""

    failures: int = 3
    first: float = 5.0
    longest: float = 300.0
    longest_asked: float = 3600.0
    trial: float = 60.0

    def seconds(self, openings: int) -> float:
        """How long the circuit stays open the ``openings``-th time in a row."""
        return min(self.first * 2.0 ** min(openings - 1, 60), self.longest)


@dataclass(slots=True)
class Circuit:
    """One key for one model. ``failures`` and ``openings`` are counted in a row; ``opened`` is when it opened
    last (``None``: it is closed), ``until`` when the next request is let through, ``trying`` since when one
    is."""

    failures: int = 0
    openings: int = 0
    opened: float | None = None
    until: float = 0.0
    trying: float | None = None

    def ready(self, now: float, rest: Rest) -> bool:
        """Whether a request may be made: the circuit is closed, or it is time to try and nobody does."""
        if self.opened is None:
            return True
        tried = self.trying is not None and now < self.trying + rest.trial
        return now >= self.until and not tried

    def enter(self, now: float) -> None:
        """A request is made; while the circuit is open it is the one that tries."""
        if self.opened is not None:
            self.trying = now

    def leave(self) -> None:
        """The request ended without telling anything."""
        self.trying = None

    def fail(self, now: float, rest: Rest, *, wait: float | None = None, at_once: bool = False) -> None:
        """The request failed. ``wait`` is how long we were asked to stay away. A failure that says that the
        next one will fail too opens the circuit ``at_once``. One of a request that was made before it opened
        does not prolong it, unless we were asked to stay away longer."""
        self.failures += 1
        asked = min(wait or 0.0, rest.longest_asked)
        if self.opened is not None and self.trying is None:
            self.until = max(self.until, now + asked)
        elif self.opened is not None or at_once or wait or self.failures >= rest.failures:
            self.openings += 1
            self.opened, self.trying = now, None
            self.until = now + (asked or rest.seconds(self.openings))


@dataclass(slots=True)
class Breaker:
    """The circuits that are of interest: those that have failed since they were last answered."""

    rest: Rest = Rest()
    _circuits: dict[Hashable, Circuit] = field(default_factory=dict)

    def ready(self, name: Hashable, now: float) -> bool:
        """Whether ``name`` may be asked."""
        circuit = self._circuits.get(name)
        return circuit is None or circuit.ready(now, self.rest)

    def opened(self, name: Hashable) -> float:
        """When its circuit opened last; before all times where it is closed."""
        circuit = self._circuits.get(name)
        return float("-inf") if circuit is None or circuit.opened is None else circuit.opened

    def enter(self, name: Hashable, now: float) -> None:
        """``name`` is asked."""
        if circuit := self._circuits.get(name):
            circuit.enter(now)

    def leave(self, name: Hashable) -> None:
        """It was asked, and nothing was learned."""
        if circuit := self._circuits.get(name):
            circuit.leave()

    def succeed(self, name: Hashable) -> None:
        """It answered."""
        self._circuits.pop(name, None)

    def fail(self, name: Hashable, now: float, *, wait: float | None = None, at_once: bool = False) -> None:
        """It failed; see `Circuit.fail`."""
        circuit = self._circuits.setdefault(name, Circuit())
        if len(self._circuits) > MOST:
            del self._circuits[next(iter(self._circuits))]
        circuit.fail(now, self.rest, wait=wait, at_once=at_once)
