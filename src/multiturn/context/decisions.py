"""Which decision has each message, in the order of the path? The ledger of a window, as ranges.

What was read has a decision message by message; what lies before it is told in ranges, between the few
messages of it that are sent or quoted.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from ..decision import NO_FIGURES, Code, Span
from ..messages import Entry, Trait
from ..path import MessageRow, Source, Withheld
from ..window import Limits, Material
from .budget import Spent, scaled
from .calls import left_out_by_hand, turn_left_out
from .outgoing import STRIPPED
from .recency import Kept, left_out_as

__all__ = ["FOR_WANT_OF_ROOM", "Decided", "joined_spans"]

Fate = tuple[Code, tuple[str, ...]]
"""What became of a message: the decision, and what was left out of it."""
FOUND = (Code.RECALLED, Code.BELOW_THRESHOLD, Code.DUPLICATE)
FOR_WANT_OF_ROOM = (Code.SUMMARISED, Code.OVER_BUDGET, Code.OUTSIDE_WINDOW)
"""Why a turn is left out that could be sent."""


class _Apart(NamedTuple):
    """Messages of one turn with a decision of their own among turns that were not read: how many messages
    stand before them, their turn and the place of the first, whether their turn goes on behind them."""

    before: int
    turn: int
    place: int
    goes_on: bool
    span: Span


@dataclass(slots=True)
class Decided:
    """The decisions of one window. ``fates`` are those of the stored messages that were read, by turn and
    place; ``found`` what the search for old turns has found among those that are not sent."""

    material: Material
    limits: Limits
    spent: Spent
    kept: Kept
    fates: dict[tuple[int, int], Fate] = field(default_factory=dict)
    found: Mapping[tuple[int, int], tuple[Code, Source]] = field(init=False)

    def __post_init__(self) -> None:
        recalled = self.material.recalled
        found = [(Code.RECALLED, source) for source in self.sources]
        if recalled and self.kept.first <= recalled.first:
            found += [(Code.DUPLICATE, source) for source in recalled.held]
        if recalled and recalled.below:
            found.append((Code.BELOW_THRESHOLD, recalled.below))
        self.found = {(s.turn, s.place): (code, s) for code, s in found if s.conversation is None}

    @property
    def sources(self) -> Sequence[Source]:
        """What is quoted in front of the turn being answered: now, or since its first step."""
        recalled = self.material.recalled
        if recalled and recalled.text:
            return recalled.sources if self.spent.quoted else ()
        quoted = any(row.quote for group in self.spent.current for row in group.rows)
        return self.material.path.sources if quoted else ()

    # -- taking down

    def decide(self, code: Code, rows: Iterable[MessageRow], omitted: tuple[str, ...] = ()) -> None:
        """These messages are sent or left out so."""
        for row in rows:
            self.fates[row.turn, row.place] = (code, omitted)

    def leave_out(self, code: Code, row: MessageRow) -> None:
        """This message of a turn that was left out; the search may have found it all the same."""
        found = self.found.get((row.turn, row.place)) if code in FOR_WANT_OF_ROOM else None
        self.decide(found[0] if found else code, [row])

    def why(self, turn: int) -> Code:
        """Why an earlier turn that could be sent is not."""
        if turn > self.kept.folded:
            return self.kept.why
        return Code.SUMMARISED if self.spent.noted else Code.OVER_BUDGET

    # -- the ledger's lines

    def head(self) -> list[Span]:
        """Instructions, the opening, the summary."""
        material, limits = self.material, self.limits
        spans = [
            Span(
                Code.INCOMPLETE if blank else Code.SYSTEM,
                len(held),
                scaled(sum([e.tokens for e in held]), limits),
            )
            for blank, held in _runs(material.instructions)
        ]
        if material.opening:
            spans.append(Span(Code.OPENING, 1, scaled(material.opening.tokens, limits)))
        summary = material.path.summary
        if summary and self.spent.noted:
            figures = {"first": 1, "last": summary.upto, "version": summary.version}
            tokens = scaled(summary.tokens, limits)
            spans.append(Span(Code.SUMMARY, 0, tokens, (1, summary.upto), figures=figures))
        return spans

    def earlier(self, messages: int, last: int) -> Iterator[Span]:
        """The first ``messages`` of the path, up to the turn ``last``: ranges that were left out, and what
        is sent or was found between them."""
        path = self.material.path
        if not (self.found or path.standing or path.withheld):
            yield from self._range(0, messages, 1, last)
            return
        begun, first = 0, 1
        for each in sorted(self._apart(messages), key=lambda apart: apart.before):
            if each.before < begun:
                continue
            until = each.turn if each.place else each.turn - 1
            yield from self._range(begun, each.before, first, max(first, until))
            yield each.span
            begun, first = each.before + each.span.messages, each.turn if each.goes_on else each.turn + 1
        yield from self._range(begun, messages, first, last)

    def _apart(self, messages: int) -> Iterator[_Apart]:
        path, taken = self.material.path, set(self.material.path.standing_at)
        for row, index in zip(path.standing, path.standing_at, strict=True):
            # After an instruction comes the rest of its turn; a pinned turn stands here whole.
            goes_on = bool(row.traits & Trait.INSTRUCTION)
            yield _Apart(index, row.turn, row.place, goes_on, self.spans_of([row])[0])
        for (turn, place), (code, source) in self.found.items():
            index = self._before(turn) + place if source.at is None else source.at
            if index < messages:
                span = Span(code, 1, None, (turn, turn), place, self._figures(code, turn, place))
                taken.add(index)
                yield _Apart(index, turn, place, index + 1 < self._before(turn + 1), span)
        for each in path.withheld:
            yield from _withheld(each, taken)

    def _range(self, begin: int, end: int, first: int, last: int) -> Iterator[Span]:
        """Messages that were left out, those that a summary stands for apart from the others."""
        folded = self.kept.folded
        middle = end if last <= folded else begin
        if first <= folded < last:
            middle = min(max(begin, self._before(folded + 1)), end)
        for messages, turns in (
            (middle - begin, (first, min(last, folded))),
            (end - middle, (max(first, folded + 1), last)),
        ):
            if messages > 0:
                code = self.why(turns[0])
                yield Span(code, messages, None, turns, figures=self._figures(code, turns[0]))

    def _before(self, turn: int) -> int:
        """How many messages of the path stand before a turn. Among turns that were not read they are taken
        to be spread evenly between the places that are known."""
        path = self.material.path
        if turn > path.earlier_turns:
            return path.earlier_messages + sum([t.messages for t in path.turns if t.number < turn])
        known = [(1, 0), (path.earlier_turns + 1, path.earlier_messages)]
        known += [(row.turn, at - row.place) for row, at in zip(path.standing, path.standing_at, strict=True)]
        known += [(each.turn.number, each.at) for each in path.withheld]
        known += [(s.turn, s.at - s.place) for _, s in self.found.values() if s.at is not None]
        if path.summary and path.summarised is not None:
            known.append((path.summary.upto + 1, path.summarised))
        (begin, before), (end, until) = (
            max(place for place in known if place[0] <= turn),
            min(place for place in known if place[0] > turn),
        )
        return before + (until - before) * (turn - begin) // (end - begin)

    def quoted_elsewhere(self) -> list[Span]:
        """What is quoted of other conversations is no message of this path."""
        other = [source.score for source in self.sources if source.conversation]
        return [Span(Code.RECALLED, 0, None, figures={"score": max(other)})] if other else []

    def spans_of(self, rows: Sequence[MessageRow]) -> list[Span]:
        """Rows in a row with the same decision are one span. That reasoning stayed behind is said of the
        whole span: it is the rule for every answer in it, and no decision of its own."""
        spans: list[Span] = []
        for (code, omitted, place), run in groupby(rows, key=self._fate):
            held = list(run)
            tokens = scaled(sum(row.tokens for row in held), self.limits)
            turns = (held[0].turn, held[-1].turn)
            stripped = any(STRIPPED in self.fates[row.turn, row.place][1] for row in held)
            without = (*omitted, STRIPPED) if stripped else omitted
            figures = self._figures(code, held[0].turn, place)
            spans.append(Span(code, len(held), tokens, turns, place, figures, without))
        return spans

    def _fate(self, row: MessageRow) -> tuple[Code, tuple[str, ...], int | None]:
        code, omitted = self.fates[row.turn, row.place]
        alone = row.place if code in FOUND else None
        return code, tuple(word for word in omitted if word != STRIPPED), alone

    def _figures(self, code: Code, turn: int, place: int | None = None) -> Mapping[str, object]:
        """The figures that decided."""
        summary, recalled = self.material.path.summary, self.material.recalled
        match code:
            case Code.SUMMARISED if summary:
                return {"version": summary.version}
            case Code.BELOW_THRESHOLD if recalled and place is not None:
                return {"score": self.found[turn, place][1].score, "limit": recalled.margin}
            case Code.RECALLED if place is not None:
                score = self.found[turn, place][1].score
                return {"score": score} if score else NO_FIGURES  # it stands beside what was found
            case Code.OVER_BUDGET:
                return self._over_budget(turn)
            case Code.OUTSIDE_WINDOW:
                counts = {"turns": self.limits.max_turns, "messages": self.limits.max_messages}
                return {name: count for name, count in counts.items() if count is not None}
        return NO_FIGURES

    def _over_budget(self, turn: int) -> Mapping[str, object]:
        limit, needed = self.limits.high, scaled(self.kept.needed, self.limits)
        if self.kept.why is Code.OVER_BUDGET and turn > self.kept.folded and needed > limit:
            return {"limit": limit, "needed": needed}
        return {"limit": limit}


def _withheld(each: Withheld, taken: Container[int]) -> Iterator[_Apart]:
    """The messages of a turn that are never sent, apart from those whose decision is ``taken`` already."""
    turn = each.turn.number
    whole = left_out_as(each.turn) or turn_left_out(each.rows)
    marked = left_out_by_hand(each.rows)

    def fate(place: int) -> Code | None:
        if each.at + place in taken:
            return None
        return whole or (Code.EXCLUDED_BY_USER if marked and marked[place] else None)

    for code, run in groupby(range(each.turn.messages), key=fate):
        places = list(run)
        if code:
            span = Span(code, len(places), None, (turn, turn))
            yield _Apart(each.at + places[0], turn, places[0], places[-1] + 1 < each.turn.messages, span)


def _runs(instructions: Sequence[Entry]) -> Sequence[tuple[int, Sequence[Entry]]]:
    """Instructions in force, and blank ones, which say nothing; nearly always there is one."""
    if len(instructions) == 1:
        return ((instructions[0].traits & Trait.BARE, instructions),)
    return [
        (blank, list(run))
        for blank, run in groupby(instructions, key=lambda entry: entry.traits & Trait.BARE)
    ]


def joined_spans(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Ranges that follow each other with the same decision as one."""
    joint: list[Span] = []
    for span in spans:
        last = joint[-1] if joint else None
        if last and last.turns and span.turns and _same(last, span):
            tokens = None if last.tokens is None or span.tokens is None else last.tokens + span.tokens
            turns = (last.turns[0], span.turns[1])
            joint[-1] = last._replace(messages=last.messages + span.messages, tokens=tokens, turns=turns)
        else:
            joint.append(span)
    return tuple(joint)


def _same(one: Span, other: Span) -> bool:
    alone = one.place is None and other.place is None
    return alone and (one.code, one.figures, one.omitted) == (other.code, other.figures, other.omitted)
