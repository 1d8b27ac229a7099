"""Why was a message of a path sent or left out? One decision a message, told as ranges."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from typing import NamedTuple, overload

from .phrases import decision_reason

__all__ = ["NO_FIGURES", "Code", "Decision", "Decisions", "Span", "Spans"]


class Code(StrEnum):
    """Why a message was sent or left out. Public and versioned."""

    SYSTEM = "system"
    OPENING = "opening"
    PINNED = "pinned"
    SUMMARY = "summary"
    RECALLED = "recalled"
    RECENT = "recent"
    CONTEXT = "context"
    NEW = "new"
    TOOL_PAIR = "tool_pair"
    STOPPED = "stopped"

    SUMMARISED = "summarised"
    OVER_BUDGET = "over_budget"
    OUTSIDE_WINDOW = "outside_window"
    EXCLUDED_BY_USER = "excluded_by_user"
    BELOW_THRESHOLD = "below_threshold"
    OTHER_BRANCH = "other_branch"
    REASONING_STRIPPED = "reasoning_stripped"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    RETRACTED = "retracted"
    MODERATED = "moderated"
    EXPIRED = "expired"
    MODALITY_UNSUPPORTED = "modality_unsupported"
    DUPLICATE = "duplicate"

    @property
    def sent(self) -> bool:
        """Whether messages with this code are in the window."""
        return self in SENT


SENT = frozenset(
    {
        Code.SYSTEM,
        Code.OPENING,
        Code.PINNED,
        Code.SUMMARY,
        Code.RECALLED,
        Code.RECENT,
        Code.CONTEXT,
        Code.NEW,
        Code.TOOL_PAIR,
        Code.STOPPED,
    }
)


NO_FIGURES: Mapping[str, object] = {}


class Span(NamedTuple):
    """One line of the ledger: one decision for a range of messages.

    ``turns`` is the first and last turn it speaks of, ``None`` for what belongs to no turn
    (instructions, opening, context, new input before it is stored). ``place`` narrows it to one
    message of one turn. ``omitted`` names parts that were left out of messages that were sent.
    """

    code: Code
    messages: int
    tokens: int | None = None
    turns: tuple[int, int] | None = None
    place: int | None = None
    figures: Mapping[str, object] = NO_FIGURES
    omitted: tuple[str, ...] = ()

    @property
    def sent(self) -> bool:
        """Whether its messages are in the window."""
        return self.code.sent


class Spans(Sequence[Span]):
    """Lines of a ledger that are worked out when somebody looks at them: a window that is only read needs
    none. They are worked out once, and what they were made of is let go of then."""

    __slots__ = ("_lines", "_make")

    def __init__(self, make: Callable[[], Sequence[Span]]) -> None:
        self._make: Callable[[], Sequence[Span]] | None = make
        self._lines: tuple[Span, ...] = ()

    def _all(self) -> tuple[Span, ...]:
        make = self._make
        if make is not None:
            self._lines, self._make = tuple(make()), None
        return self._lines

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[Span]:
        return iter(self._all())

    @overload
    def __getitem__(self, index: int) -> Span: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Span]: ...
    def __getitem__(self, index: int | slice) -> Span | Sequence[Span]:
        return self._all()[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spans | tuple) and self._all() == tuple(other)

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return repr(self._all())


@dataclass(frozen=True, slots=True)
class Decision:
    """Why one message of the path was sent or left out.

    ``index`` is its place on the path, instructions first. ``turn`` is ``None`` for what belongs to
    no turn, and for a message of a range that was never read. ``figures`` are the numbers that decided.
    """

    index: int
    code: Code
    turn: int | None = None
    tokens: int | None = None
    figures: Mapping[str, object] = field(default_factory=dict)
    omitted: tuple[str, ...] = ()

    @property
    def sent(self) -> bool:
        """Whether the message is in the window."""
        return self.code.sent

    def reason(self, language: str = "en") -> str:
        """The decision as a sentence, with the figures that decided, in English or Chinese."""
        return decision_reason(self.code, self.figures, language)


class Decisions(Sequence[Decision]):
    """One decision for each message of the path, unfolded from the ledger as you look at them."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = spans
        self._ends = list(accumulate(span.messages for span in spans))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[Decision]:
        index = 0
        for span in self._spans:
            for _ in range(span.messages):
                yield _unfold(span, index)
                index += 1

    @overload
    def __getitem__(self, index: int) -> Decision: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Decision]: ...
    def __getitem__(self, index: int | slice) -> Decision | Sequence[Decision]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        return _unfold(self._spans[bisect_right(self._ends, index)], index)

    def __repr__(self) -> str:
        return f"Decisions({len(self)} messages in {len(self._spans)} spans)"


def _unfold(span: Span, index: int) -> Decision:
    one_turn = span.turns is not None and span.turns[0] == span.turns[1]
    return Decision(
        index=index,
        code=span.code,
        turn=span.turns[0] if span.turns and one_turn else None,
        tokens=span.tokens if span.messages == 1 else None,
        figures=span.figures,
        omitted=span.omitted,
    )
