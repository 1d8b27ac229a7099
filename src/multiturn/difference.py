"""What is different between the windows of two steps? Instructions, summary, turns that left or came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from .decision import Code, Span
from .phrases import decision_reason, phrase

__all__ = ["Change", "changed"]


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


def changed(spans: Sequence[Span], before: Sequence[Span], *, edited: bool) -> Iterator[Change]:
    """What is different in ``spans`` from those of the step ``before``. ``edited``: the instructions say
    something else, however long they are."""
    now, then = _Sent.of(spans), _Sent.of(before)
    if edited or now.instructions != then.instructions:
        yield Change("instructions")
    yield from _summary(now, then)
    for why, run in groupby(sorted(then.turns - now.turns), key=lambda turn: _why(spans, turn)):
        yield from (Change("left", _range(turns) | {"why": why}) for turns in _runs(run))
    yield from (Change("entered", _range(turns)) for turns in _runs(sorted(now.turns - then.turns - now.new)))
    yield from (Change("quoted", _range(turns)) for turns in _runs(sorted(now.quoted)))


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


def _runs(turns: Iterable[int]) -> list[tuple[int, int]]:
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


def _summary(now: _Sent, before: _Sent) -> Iterator[Change]:
    if now.summary == before.summary:
        return
    if now.summary is None:
        yield Change("summary_gone")
    elif before.summary is None:
        yield Change("summary_new", now.summary)
    else:
        yield Change("summary_changed", {**now.summary, "before": before.summary.get("version")})


def _why(spans: Sequence[Span], turn: int) -> Code | None:
    """Why a turn was left out; ``None`` for one that is not on the path."""
    left = (span for span in spans if not span.sent)
    return next((s.code for s in left if s.turns and s.turns[0] <= turn <= s.turns[1]), None)
