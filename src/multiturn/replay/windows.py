"""Which windows would have been sent? A stored conversation walked through under other terms, without
calling anyone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import orjson

from ..context import build, check_input, enough
from ..errors import ContextOverflow, MessageInvalid
from ..ledger import Code
from ..messages import Entry
from ..step import Terms
from ..storage import Reach
from ..tokens import count_message
from ..window import Cut, Material, MessageRow, Path, Window
from .dialogue import Dialogue, Said, Spoken

__all__ = ["Asked", "Fates", "fates", "windows"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that would have been made in a turn: its window (``None``: refused, with the code of
    the error in ``refused``), and the uncalibrated tokens of the stored reply to it, ``thought`` of them
    of reasoning."""

    said: Said
    window: Window | None
    reply: int = 0
    thought: int = 0
    refused: str | None = None


def windows(dialogue: Dialogue, terms: Terms) -> Iterator[Asked]:
    """Every request of a conversation, in time order, as these terms would have made it. A turn has one
    request for each message of the assistant that follows its user's."""
    walk = _Walk(terms)
    for said in dialogue.turns:
        yield from walk.turn(said)


@dataclass(slots=True)
class _Walk:
    """The state that a branch carries from turn to turn."""

    terms: Terms
    past: Spoken = field(default_factory=Spoken)
    cut: Cut | None = None

    def turn(self, said: Said) -> Iterator[Asked]:
        for step, (current, reply) in enumerate(_steps(said.rows)):
            yield self._asked(said, current, reply, self._besides(said, step))
        self.past.add(said)

    def _besides(self, said: Said, step: int) -> int:
        """Uncalibrated tokens of tools and material that were sent then and are not stored."""
        if not said.besides:
            return self.terms.overhead
        then = said.besides[min(step, len(said.besides) - 1)]
        return max(self.terms.overhead, round(then / self.terms.limits.scale))

    def _asked(self, said: Said, current: Sequence[MessageRow], reply: MessageRow, overhead: int) -> Asked:
        try:
            check_input([_entry(row) for row in current], self.terms.target)
            window = self._window(current, overhead)
        except (ContextOverflow, MessageInvalid) as error:
            return Asked(said, None, refused=error.code)
        self.cut = window.cut
        return Asked(said, window, reply.tokens + reply.reasoning_tokens, reply.reasoning_tokens)

    def _window(self, current: Sequence[MessageRow], overhead: int) -> Window:
        terms, reach = self.terms, _reach(self.terms, current, overhead)
        while True:
            material = self._material(self.past.path(reach, self.cut), current, overhead)
            chosen = enough(material, terms.limits, terms.target)
            if chosen is not None:
                return build(material, terms.limits, terms.target, _recount, chosen)
            reach = _farther(reach)

    def _material(self, path: Path, current: Sequence[MessageRow], overhead: int) -> Material:
        return Material(
            path=path,
            instructions=self.terms.instructions,
            opening=self.terms.opening,
            current=current,
            overhead=overhead,
        )


def _steps(rows: Sequence[MessageRow]) -> Iterator[tuple[Sequence[MessageRow], MessageRow]]:
    """The requests of a turn: what had been said when each was made, and the reply to it."""
    asked = False
    for place, row in enumerate(rows):
        asked = asked or row.role == "user"
        if row.role == "assistant" and asked:
            yield rows[:place], row


def _entry(row: MessageRow) -> Entry:
    return Entry(row.role, row.traits, row.tokens, row.body)


def _reach(terms: Terms, current: Sequence[MessageRow], overhead: int) -> Reach:
    limits = terms.limits
    head = overhead + sum(entry.tokens for entry in terms.instructions)
    own = sum(row.tokens for row in current)
    return Reach(
        tokens=max(0, int(limits.high / limits.scale) - head - own),
        turns=limits.max_turns,
        messages=None if limits.max_messages is None else max(0, limits.max_messages - len(current)),
        key=limits.key,
    )


def _farther(reach: Reach) -> Reach:
    """Turns that are never sent used the reach up: look four times as far back."""
    return replace(
        reach,
        tokens=None if reach.tokens is None else reach.tokens * 4 + 1024,
        turns=None if reach.turns is None else reach.turns * 4 + 4,
        messages=None if reach.messages is None else reach.messages * 4 + 8,
    )


def _recount(pieces: Sequence[bytes]) -> int:
    return sum(count_message(orjson.loads(piece)) for piece in pieces)


# ------------------------------------------------------------------------ what became of old turns


@dataclass(frozen=True, slots=True)
class Fates:
    """What became of some old turns in a window: ``sent`` word by word, ``quoted`` by recall, under a
    summary (``folded``), or ``gone``. Each is in one of them, the first that applies."""

    sent: tuple[int, ...] = ()
    quoted: tuple[int, ...] = ()
    folded: tuple[int, ...] = ()
    gone: tuple[int, ...] = ()


def fates(window: Window, turns: Sequence[int]) -> Fates:
    """What became of these turns, by the window's ledger."""
    sent: list[tuple[int, int]] = []
    quoted: list[tuple[int, int]] = []
    folded: list[tuple[int, int]] = []
    for span in window.spans:
        if span.turns is not None and span.code is not Code.SYSTEM:
            into = quoted if span.code is Code.RECALLED else sent if span.sent else None
            into = folded if span.code in (Code.SUMMARY, Code.SUMMARISED) else into
            if into is not None:
                into.append(span.turns)
    found: dict[str, list[int]] = {"sent": [], "quoted": [], "folded": [], "gone": []}
    for turn in turns:
        if _within(turn, sent):
            found["sent"].append(turn)
        elif _within(turn, quoted):
            found["quoted"].append(turn)
        else:
            found["folded" if _within(turn, folded) else "gone"].append(turn)
    return Fates(**{name: tuple(numbers) for name, numbers in found.items()})


def _within(turn: int, ranges: Sequence[tuple[int, int]]) -> bool:
    return any(first <= turn <= last for first, last in ranges)
