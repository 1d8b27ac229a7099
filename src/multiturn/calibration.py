"""How far off are our counts for this model, and how much does it really take?

What a provider reports is set against what was counted: a moving ratio for each model, with which the
next windows are measured, and the input limit that an overflow has named. Pure: a store keeps the same
figures by the arithmetic of `moved`, so a client that starts anew goes on where another stopped.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from .cards import UNKNOWN_WINDOW, Card
from .usage import ModelFacts

__all__ = ["Calibration", "Lesson", "learned", "moved", "scale", "shrunk"]

MARGIN_BEFORE = 1.15
"""Factor on counts of a model that has reported too little."""
MARGIN_AFTER = 1.05
"""Factor on counts that reported usage has calibrated."""
ENOUGH = 3
"""Reported calls from which on the smaller margin is trusted."""
WEIGHT = 0.2
"""Of the newest call in the moving ratio."""
LEAST, MOST = 0.25, 4.0
"""Beyond these a ratio says more about the one call (hidden instructions, a relay's figures) than about
the model's vocabulary."""
LEAST_LIMIT = 1_024
"""No model takes less: an overflow that names a smaller number speaks of something else, and must not
keep every later turn from being sent."""
NOTICED = 0.01
"""A factor that differs by less is not worth working terms out anew after every turn."""
SHRINK = 0.75
"""Share of a window that is tried again where an overflow names no limit we could hold to."""


class Lesson(NamedTuple):
    """What is known of one model: see `ModelFacts`."""

    ratio: float = 1.0
    samples: int = 0
    limit: int | None = None


def scale(ratio: float, samples: int) -> float:
    """The factor from counted tokens to those a window may be taken to cost.

    >>> scale(1.0, 0), scale(0.8, 2), round(scale(0.8, 3), 2)
    (1.15, 1.15, 0.84)
    """
    return ratio * MARGIN_AFTER if samples >= ENOUGH else max(1.0, ratio) * MARGIN_BEFORE


def moved(ratio: float, samples: int, counted: int, reported: int) -> tuple[float, int]:
    """Ratio and number of samples after one more call; unchanged where it says nothing.

    An exponential mean in which the newest call weighs 20 %; it begins with the first.

    >>> moved(1.0, 0, counted=100, reported=120)
    (1.2, 1)
    """
    if counted <= 0 or reported <= 0:
        return ratio, samples
    seen = min(max(reported / counted, LEAST), MOST)
    return (ratio + WEIGHT * (seen - ratio) if samples else seen), samples + 1


def learned(card: Card, limit: int | None) -> Card:
    """The card once an overflow has named the model's limit: a guess gives way to it, a published figure
    only where the limit is lower. Whether it holds for the input or for input and reply together the texts
    do not say: it is taken for both."""
    if limit is None:
        return card
    guessed = not card.known and card.window == UNKNOWN_WINDOW
    if not guessed and limit >= card.max_input:
        return card
    return replace(card, window=limit if guessed else min(card.window, limit), max_input=limit)


def shrunk(sent: int, limit: int | None) -> int:
    """How many tokens the one retry after an overflow may have, as we count them: what the provider named,
    or three quarters of what was ``sent`` where it named nothing that is lower (then it is our count that
    was too low).

    >>> shrunk(9000, 8192), shrunk(8000, 8192), shrunk(8000, None)
    (8192, 6000, 6000)
    """
    named = limit is not None and LEAST_LIMIT <= limit < sent
    return limit if named and limit else max(1, int(sent * SHRINK))


@dataclass(slots=True)
class Calibration:
    """What a client knows of every model it has used. ``version`` grows whenever that changes enough to
    matter: terms that were worked out before are then out of date. ``used`` are the factors they were
    worked out with.

    >>> known = Calibration()
    >>> for _ in range(3):
    ...     known.note("qwen/qwen-plus", counted=1000, reported=900)
    >>> round(known.scale("qwen/qwen-plus"), 3)
    0.945
    """

    lessons: dict[str, Lesson] = field(default_factory=dict)
    version: int = 0
    loaded: bool = False
    used: dict[str, float] = field(default_factory=dict)

    async def load(self, read: Callable[[], Awaitable[Sequence[ModelFacts]]]) -> None:
        """Read what the store keeps (``store.model_facts``), once; what was learned meanwhile stays."""
        if not self.loaded:
            self.take(await read())

    def take(self, facts: Iterable[ModelFacts]) -> None:
        """Go on from what the store keeps; what was learned meanwhile stays."""
        self.loaded = True
        for each in facts:
            if each.name not in self.lessons:
                self.lessons[each.name] = Lesson(each.ratio, each.samples, each.limit)
                self.version += 1

    def of(self, model: str) -> Lesson:
        """What is known of a model, named ``provider/model``."""
        return self.lessons.get(model, Lesson())

    def scale(self, model: str) -> float:
        """The factor for counts of this model."""
        lesson = self.of(model)
        self.used[model] = scale(lesson.ratio, lesson.samples)
        return self.used[model]

    def card(self, card: Card) -> Card:
        """The card with the limit that was learned."""
        return learned(card, self.of(card.name).limit)

    def note(self, model: str, counted: int, reported: int) -> None:
        """A call was counted as ``counted`` tokens before calibration, and its provider reported
        ``reported``. Estimated usage is no report."""
        lesson = self.of(model)
        ratio, samples = moved(lesson.ratio, lesson.samples, counted, reported)
        if samples == lesson.samples:
            return
        self.lessons[model] = lesson._replace(ratio=ratio, samples=samples)
        if abs(scale(ratio, samples) - self.used.get(model, 0.0)) > NOTICED:
            self.version += 1

    def learn_limit(self, model: str, limit: int) -> bool:
        """An overflow named a limit; whether that was new, and one that a model can have."""
        lesson = self.of(model)
        if limit < LEAST_LIMIT or lesson.limit == limit:
            return False
        self.lessons[model] = lesson._replace(limit=limit)
        self.version += 1
        return True
