"""How is an extraordinary window put together? Tools, images, reasoning, pins, instructions in the
middle: each message is shaped for the target, and each gets its line in the ledger."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import orjson

from ..ledger import Code, Span
from ..messages import Entry, Trait
from ..window import Limits, Material, MessageRow, Target, TurnRow, Window
from .budget import Spent
from .calls import Group, by_turn, grouped, in_force, interrupted, turn_left_out
from .outgoing import STRIPPED, Piece, Shaper, image_allowance, joined, merged
from .recency import Kept, left_out_as

__all__ = ["Assembly", "instruction_span", "left_out_span", "listed", "scaled"]

OPENING_QUOTE = "[You opened this conversation with the words:]\n"
HOLE = "[{count} earlier tool calls of this turn were left out to fit the window]"

Fate = tuple[Code, tuple[str, ...]]
"""What became of a message: the decision, and what was left out of it."""


def scaled(tokens: int, limits: Limits) -> int:
    """Uncalibrated tokens as tokens of the model."""
    return math.ceil(tokens * limits.scale)


def listed(bodies: Iterable[bytes]) -> bytes:
    """Messages as one JSON list."""
    return b"[" + b",".join(bodies) + b"]"


def instruction_span(material: Material, limits: Limits) -> Span:
    """The ledger's line for the leading instructions."""
    tokens = sum([entry.tokens for entry in material.instructions])
    return Span(Code.SYSTEM, len(material.instructions), scaled(tokens, limits))


def left_out_span(kept: Kept, limits: Limits, messages: int, turns: tuple[int, int]) -> Span:
    """The ledger's line for a range before the window: one decision, however long it is."""
    return Span(kept.why, messages, None, turns, figures=why_left_out(kept, limits))


def why_left_out(kept: Kept, limits: Limits) -> dict[str, object]:
    """The figures that decided."""
    if kept.why is Code.OVER_BUDGET:
        needed = scaled(kept.needed, limits)
        return {"limit": limits.high, "needed": needed} if needed > limits.high else {"limit": limits.high}
    counts = {"turns": limits.max_turns, "messages": limits.max_messages}
    return {name: count for name, count in counts.items() if count is not None}


@dataclass(slots=True)
class Assembly:
    """Puts one window together. ``rules`` are texts for the one leading system message, where the
    target takes no system message anywhere else; ``decided`` is what became of each stored message."""

    material: Material
    limits: Limits
    target: Target
    spent: Spent
    kept: Kept
    pieces: list[Piece] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    decided: dict[tuple[int, int], Fate] = field(default_factory=dict)
    turns: list[tuple[Sequence[MessageRow], Code]] = field(init=False)
    """The earlier turns in time order, each with what becomes of it."""
    shaper: Shaper = field(init=False)

    def __post_init__(self) -> None:
        path = self.material.path
        known = {turn.number: turn for turn in path.turns}
        turns = by_turn([*path.standing, *self._rows])
        self.turns = [(rows, self._code_of(known.get(number), rows)) for number, rows in turns.items()]
        self.shaper = Shaper(self.target, self._images())

    def _images(self) -> dict[tuple[int, int], int] | None:
        """How many images each message may keep; the new input keeps its own and is not named."""
        if self.limits.images == "all":
            return None
        groups = [group for rows, code in self.turns if code.sent for group in grouped(rows)]
        groups += [group for group in self.spent.current if group not in self.spent.gone]
        rows = [row for group in groups if not group.left_out for row in group.rows]
        newest = {(row.turn, row.place) for row in self.material.current if row.role == "user"}
        return image_allowance(rows, newest, self.limits.images)

    def window(self) -> tuple[Window, Sequence[bytes] | None]:
        """The finished window, and its messages where they are to be counted again: some were merged,
        marked or closed."""
        self._put_instructions()
        self._put_turns()
        self._put_context()
        self._put_current()
        pieces = self._with_rules(merged(self.pieces) if self.target.alternate else self.pieces)
        bodies = [piece.body for piece in pieces]
        counts = [piece.tokens for piece in pieces if piece.tokens is not None]
        window = Window(
            body=listed(bodies),
            spans=self._spans(),
            tokens=scaled(self.material.overhead + sum(counts), self.limits),
            limits=self.limits,
            target=self.target,
            cut=self.kept.cut,
            traits=self.shaper.seen,
        )
        return window, None if len(counts) == len(pieces) else bodies

    # -- the head

    def _put_instructions(self) -> None:
        for place, entry in enumerate(self.material.instructions):
            self._put_rule(row_of(entry, place))
        if self.material.opening:
            self._put_opening(row_of(self.material.opening, 0))

    def _put_rule(self, row: MessageRow) -> None:
        """Instructions stay where they are, or join the one leading system message."""
        piece = self.shaper.shape(row)
        if self.target.system == "first":
            self.rules.append(text_of(piece))
        else:
            self.pieces.append(piece)

    def _put_opening(self, row: MessageRow) -> None:
        """What the assistant said first: as it is, or quoted where the user must begin."""
        piece = self.shaper.shape(row)
        if self.target.opening:
            self.pieces.append(piece)
        else:
            self.rules.append(OPENING_QUOTE + text_of(piece))

    def _with_rules(self, pieces: list[Piece]) -> list[Piece]:
        """The gathered rules stand before everything else, in one message."""
        if not self.rules:
            return pieces
        rules = Piece("system", orjson.dumps({"role": "system", "content": "\n\n".join(self.rules)}))
        if pieces and pieces[0].role == "system":
            return [joined(pieces[0], rules), *pieces[1:]]
        return [rules, *pieces]

    # -- turns

    def _put_turns(self) -> None:
        for rows, code in self.turns:
            if code.sent:
                self._put_groups(grouped(rows), code)
            else:
                self._leave_out(rows, code)

    @property
    def _rows(self) -> Sequence[MessageRow]:
        path = self.material.path
        return path.rows if path.rows is not None else rows_of(path.turns, path.bodies)

    def _code_of(self, turn: TurnRow | None, rows: Sequence[MessageRow]) -> Code:
        """Why this turn is sent or left out."""
        pins = self.spent.room.pins
        if turn is None:  # from before what was read: a pinned turn, or instructions alone
            return Code.PINNED if pins and any(row.role == "user" for row in rows) else self.kept.why
        gone = left_out_as(turn) or turn_left_out(rows)
        if gone:
            return gone
        if pins and turn.traits & Trait.PINNED:
            return Code.PINNED
        if turn.number < self.kept.first:
            return self.kept.why
        if all(row.role != "user" for row in rows):
            return Code.OPENING
        return Code.STOPPED if turn.traits & Trait.STOPPED else Code.RECENT

    def _leave_out(self, rows: Sequence[MessageRow], code: Code) -> None:
        """A turn is left out as a whole, but instructions inside it stay in force."""
        for row in rows:
            if in_force(row):
                self._put_rule(row)
                self._decide(Code.SYSTEM, [row])
            else:
                self._decide(code, [row])

    def _put_groups(self, groups: Iterable[Group], code: Code) -> None:
        for group in groups:
            self._put_group(group, code)

    def _put_group(self, group: Group, code: Code) -> None:
        self._decide(Code.INCOMPLETE, group.spare)
        left_out = group.left_out
        if left_out:
            self._decide(left_out, group.rows)
        elif group.instruction:
            self._put_rule(group.rows[0])
            self._decide(Code.SYSTEM, group.rows)
        elif code is Code.OPENING:
            self._put_opening(group.rows[0])
            self._decide(code, group.rows)
        else:
            self._put_messages(group, code)

    def _put_messages(self, group: Group, code: Code) -> None:
        pieces = [self.shaper.shape(row) for row in group.rows]
        self.pieces += pieces
        self.pieces += [Piece("tool", orjson.dumps(interrupted(call))) for call in group.open]
        omitted = tuple(dict.fromkeys(word for piece in pieces for word in piece.omitted))
        self._decide(code, group.rows, omitted)

    # -- the end

    def _put_context(self) -> None:
        for place, entry in enumerate(self.material.context):
            row = row_of(entry, place)
            if entry.traits & Trait.INSTRUCTION:
                self._put_rule(row)
            else:
                self.pieces.append(self.shaper.shape(row))

    def _put_current(self) -> None:
        """The turn being answered: its input, a mark where old tool groups had to go, its steps."""
        gone = self.spent.gone
        marked = not gone
        for group in self.spent.current:
            if not marked and group.rows and group.rows[0].role == "assistant":
                self._mark_hole(sum(bool(g.traits & Trait.TOOL_CALL) for g in gone))
                marked = True
            if group in gone:
                self._decide(Code.OVER_BUDGET, [*group.rows, *group.spare])
            else:
                answers = group.rows and group.rows[0].role == "assistant"
                self._put_group(group, Code.TOOL_PAIR if answers else Code.NEW)

    def _mark_hole(self, count: int) -> None:
        """The mark stands at the end of the user's input."""
        mark = Piece("user", orjson.dumps({"role": "user", "content": HOLE.format(count=count)}))
        for place in range(len(self.pieces) - 1, -1, -1):
            if self.pieces[place].role == "user":
                self.pieces[place] = joined(self.pieces[place], mark)
                return

    # -- the ledger

    def _decide(self, code: Code, rows: Iterable[MessageRow], omitted: tuple[str, ...] = ()) -> None:
        for row in rows:
            self.decided[row.turn, row.place] = (code, omitted)

    def _spans(self) -> tuple[Span, ...]:
        """The decisions in the order of the path, as ranges."""
        spans = []
        if self.material.instructions:
            spans.append(instruction_span(self.material, self.limits))
        if self.material.opening:
            spans.append(Span(Code.OPENING, 1, scaled(self.material.opening.tokens, self.limits)))
        spans += self._earlier_spans()
        spans += self._spans_of(self._rows)
        if self.material.context:
            tokens = sum(entry.tokens for entry in self.material.context)
            spans.append(Span(Code.CONTEXT, len(self.material.context), scaled(tokens, self.limits)))
        return _joined_spans([*spans, *self._spans_of(self.material.current)])

    def _earlier_spans(self) -> list[Span]:
        """What lies before the rows that were read: ranges left out, and what stands between them."""
        path = self.material.path
        spans: list[Span] = []
        begun, first = 0, 1
        for row, index in zip(path.standing, path.standing_at, strict=True):
            if index > begun:
                until = row.turn if row.place else row.turn - 1
                spans.append(left_out_span(self.kept, self.limits, index - begun, (first, until)))
            spans += self._spans_of([row])
            # After an instruction comes the rest of its turn; a pinned turn stands here whole.
            begun, first = index + 1, row.turn if row.traits & Trait.INSTRUCTION else row.turn + 1
        if path.earlier_messages > begun:
            turns = (first, path.earlier_turns)
            spans.append(left_out_span(self.kept, self.limits, path.earlier_messages - begun, turns))
        return spans

    def _spans_of(self, rows: Sequence[MessageRow]) -> list[Span]:
        """Rows in a row with the same decision are one span. That reasoning stayed behind is said of the
        whole span: it is the rule for every answer in it, and no decision of its own."""
        spans: list[Span] = []
        for (code, omitted), run in groupby(rows, key=self._fate):
            held = list(run)
            figures = why_left_out(self.kept, self.limits) if code is self.kept.why else {}
            tokens = scaled(sum(row.tokens for row in held), self.limits)
            turns = (held[0].turn, held[-1].turn)
            stripped = any(STRIPPED in self.decided[row.turn, row.place][1] for row in held)
            without = (*omitted, STRIPPED) if stripped else omitted
            spans.append(Span(code, len(held), tokens, turns, figures=figures, omitted=without))
        return spans

    def _fate(self, row: MessageRow) -> Fate:
        code, omitted = self.decided[row.turn, row.place]
        return code, tuple(word for word in omitted if word != STRIPPED)


def _joined_spans(spans: Sequence[Span]) -> tuple[Span, ...]:
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
    return (one.code, one.figures, one.omitted) == (other.code, other.figures, other.omitted)


# --------------------------------------------------------------------------------------------- rows


def row_of(entry: Entry, place: int) -> MessageRow:
    """An entry that belongs to no turn, as a row."""
    return MessageRow(
        0,
        place,
        entry.role,
        entry.traits,
        entry.tokens,
        entry.reasoning_tokens,
        entry.body,
        entry.reasoning,
        None,
    )


def rows_of(turns: Sequence[TurnRow], bodies: Sequence[bytes]) -> list[MessageRow]:
    """Rows of ordinary turns, of which only the bodies were read; the first row has the tokens of both."""
    rows: list[MessageRow] = []
    unread = iter(bodies)
    for turn in reversed(turns):
        rows.append(MessageRow(turn.number, 0, "user", 0, turn.tokens, 0, next(unread), None, None))
        rows.append(MessageRow(turn.number, 1, "assistant", 0, 0, 0, next(unread), None, None))
    return rows


def text_of(piece: Piece) -> str:
    """The words of a message, images and other parts left aside."""
    content = orjson.loads(piece.body).get("content")
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text") or "") for part in content or ())
