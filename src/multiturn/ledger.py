"""Why was each message of a path sent or left out? One decision a message, stored as ranges."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate, groupby
from typing import NamedTuple, overload

import orjson

from .phrases import decision_reason, phrase

__all__ = ["NO_FIGURES", "Change", "Code", "Decision", "Decisions", "Ledger", "Span", "Spans"]


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


@dataclass(frozen=True, slots=True)
class Ledger:
    """Why each message of a path was sent or left out, as ranges; ``tokens`` of ``budget`` were used.

    ``cache`` holds the figures of the provider's prompt cache as far as they are known: ``predicted`` and
    ``reported`` tokens, ``verdict`` (``hit``, ``short``, ``miss``) and ``cause`` (`caching.prefix`).
    ``route`` is the operator's route that chose the model, ``tried`` who was asked before and failed: model
    and code of the error. ``instructions`` is a short digest of the instructions in force, by which `diff`
    sees that they were edited; ``None``: unknown, or there were none.
    """

    spans: Sequence[Span]
    tokens: int
    budget: int
    notes: tuple[str, ...] = ()
    cache: Mapping[str, object] | None = None
    route: str | None = None
    tried: tuple[tuple[str, str], ...] = ()
    instructions: str | None = None

    @property
    def decisions(self) -> Decisions:
        """One decision for each message of the path."""
        return Decisions(self.spans)

    def explain(self, language: str = "en") -> str:
        """The ledger as a table in English (``"en"``) or Chinese (``"zh"``)."""
        lines = [_line(span, language) for span in self.spans]
        total = phrase("window.total", language, tokens=self.tokens, limit=self.budget)
        cache = _cache_line(self.cache, language) if self.cache else ()
        notes = [phrase(f"note.{note}", language) for note in self.notes]
        tried = [phrase("window.tried", language, model=model, code=code) for model, code in self.tried]
        return "\n".join([*lines, total, *cache, *notes, *tried])

    def diff(self, previous: Ledger) -> list[Change]:
        """What is different from the ledger of the step before: new instructions, another summary, turns
        that are no longer sent and those that are sent again, old turns that are quoted, and last what it
        costs. The new turn and the one before it are no difference."""
        now, before = _Sent.of(self.spans), _Sent.of(previous.spans)
        changes = [Change("instructions")] if self._instructed_otherwise(previous, now, before) else []
        changes += [Change(code, figures) for code, figures in _summary_changes(now, before)]
        left = sorted(before.turns - now.turns)
        for code, run in groupby(left, key=self._why):
            changes += [Change("left", _range(turns) | {"why": code}) for turns in _runs(list(run))]
        came = sorted(now.turns - before.turns - now.new)
        changes += [Change("entered", _range(turns)) for turns in _runs(came)]
        changes += [Change("quoted", _range(turns)) for turns in _runs(sorted(now.quoted))]
        if self.budget != previous.budget:
            changes.append(Change("budget", {"before": previous.budget, "after": self.budget}))
        return [*changes, Change("tokens", {"before": previous.tokens, "after": self.tokens})]

    def _instructed_otherwise(self, previous: Ledger, now: _Sent, before: _Sent) -> bool:
        """Whether the instructions are different, as far as both ledgers tell."""
        if now.instructions != before.instructions:
            return True
        known = self.instructions and previous.instructions
        return bool(known) and self.instructions != previous.instructions

    def _why(self, turn: int) -> Code | None:
        """Why a turn was left out; ``None`` for one that is not on the path."""
        spans = (span for span in self.spans if not span.sent)
        return next((s.code for s in spans if s.turns and s.turns[0] <= turn <= s.turns[1]), None)

    def difference(self, previous: Ledger, language: str = "en") -> str:
        """`diff` as sentences, one a line, in English (``"en"``) or Chinese (``"zh"``)."""
        return "\n".join(change.sentence(language) for change in self.diff(previous))

    def to_json(self) -> bytes:
        """The form in which it is stored."""
        value = {"tokens": self.tokens, "budget": self.budget, "spans": [_row(span) for span in self.spans]}
        more = {"notes": self.notes, "cache": self.cache, "route": self.route, "tried": self.tried}
        more["instructions"] = self.instructions
        return orjson.dumps(value | {name: each for name, each in more.items() if each})

    @classmethod
    def from_json(cls, stored: bytes) -> Ledger:
        """The ledger that `to_json` wrote."""
        value = orjson.loads(stored)
        spans = tuple(_span(*row) for row in value["spans"])
        notes = tuple(value.get("notes", ()))
        tried = tuple((model, code) for model, code in value.get("tried", ()))
        more = (value.get("cache"), value.get("route"), tried, value.get("instructions"))
        return cls(spans, value["tokens"], value["budget"], notes, *more)


def _cache_line(cache: Mapping[str, object], language: str) -> Sequence[str]:
    """What the provider's cache held, and why not more; nothing where there is nothing to tell."""
    told = [name for name in ("verdict", "predicted", "reported") if name in cache]
    if not any(cache.get(name) for name in ("verdict", "predicted", "reported", "cause")) or not told:
        return ()
    kind = str(cache["verdict"]) if told[0] == "verdict" else told[0]
    words = phrase(f"cache.{kind}", language, **cache)
    cause = cache.get("cause")
    if not cause:
        return (words,)
    return (phrase("cache.because", language, words=words, cause=phrase(f"cache.{cause}", language)),)


@dataclass(frozen=True, slots=True)
class Change:
    """What is different between the windows of two steps: ``code`` is ``instructions``, ``summary_new``,
    ``summary_changed``, ``summary_gone``, ``left``, ``entered``, ``quoted``, ``budget`` or ``tokens``."""

    code: str
    figures: Mapping[str, object] = field(default_factory=dict)

    def sentence(self, language: str = "en") -> str:
        """The change in words, in English (``"en"``) or Chinese (``"zh"``)."""
        figures = dict(self.figures)
        if figures.get("why"):
            figures["reason"] = decision_reason(str(figures["why"]), {}, language)
        same = figures.get("first") == figures.get("last")
        one = "first" in figures and same and not self.code.startswith("summary")
        return phrase(f"change.{self.code}{'_one' if one else ''}", language, **figures)


@dataclass(slots=True)
class _Sent:
    """What of a ledger can be compared: the turns that are sent, those among them that are new, those that
    are quoted; the head of the window."""

    turns: set[int] = field(default_factory=set)
    new: set[int] = field(default_factory=set)
    quoted: set[int] = field(default_factory=set)
    instructions: list[tuple[int, int | None]] = field(default_factory=list)
    summary: Mapping[str, object] | None = None

    @classmethod
    def of(cls, spans: Sequence[Span]) -> _Sent:
        sent = cls()
        for span in spans:
            match span.code:
                case Code.SYSTEM:
                    sent.instructions.append((span.messages, span.tokens))
                case Code.SUMMARY:
                    sent.summary = span.figures
                case Code.RECALLED:
                    sent.quoted |= _numbers(span)
                case code if code.sent:
                    sent.turns |= _numbers(span)
                    sent.new |= _numbers(span) if code in (Code.NEW, Code.TOOL_PAIR) else set()
        return sent


def _numbers(span: Span) -> set[int]:
    return set(range(span.turns[0], span.turns[1] + 1)) if span.turns else set()


def _runs(turns: Sequence[int]) -> list[tuple[int, int]]:
    """Numbers in order as ranges."""
    runs: list[tuple[int, int]] = []
    for turn in turns:
        if runs and turn == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], turn)
        else:
            runs.append((turn, turn))
    return runs


def _range(turns: tuple[int, int]) -> dict[str, object]:
    return {"first": turns[0], "last": turns[1]}


def _summary_changes(now: _Sent, before: _Sent) -> Iterator[tuple[str, Mapping[str, object]]]:
    if now.summary == before.summary:
        return
    if now.summary is None:
        yield "summary_gone", {}
    elif before.summary is None:
        yield "summary_new", now.summary
    else:
        yield "summary_changed", {**now.summary, "before": before.summary.get("version")}


def _line(span: Span, language: str) -> str:
    turns = "" if not span.turns else f"{span.turns[0]}–{span.turns[1]}"
    if span.turns and span.turns[0] == span.turns[1]:
        turns = str(span.turns[0])
    tokens = "—" if span.tokens is None else f"{span.tokens:,}"
    mark = "✓" if span.sent else "✗"
    reason = decision_reason(span.code, span.figures, language)
    return f"{mark} {span.code:<18} {turns:>9} {span.messages:>6} {tokens:>8}  {reason}"


def _row(span: Span) -> list[object]:
    turns = list(span.turns) if span.turns else None
    row: list[object] = [span.code, span.messages, span.tokens, turns, span.place]
    if span.figures or span.omitted:
        row.append(dict(span.figures))
    if span.omitted:
        row.append(list(span.omitted))
    return row


def _span(
    code: str,
    messages: int,
    tokens: int | None,
    turns: list[int] | None,
    place: int | None,
    figures: dict[str, object] | None = None,
    omitted: Sequence[str] = (),
) -> Span:
    return Span(
        Code(code),
        messages,
        tokens,
        (turns[0], turns[1]) if turns else None,
        place,
        figures or {},
        tuple(omitted),
    )
