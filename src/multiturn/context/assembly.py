"""How is an extraordinary window put together? Tools, images, reasoning, pins, instructions in the
middle: each message is shaped for the target, and each gets its line in the ledger."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import orjson

from ..messages import Entry, Trait
from ..window import Code, Limits, Material, MessageRow, Span, Target, TurnRow, Window
from .budget import Spent
from .calls import Group, grouped, interrupted
from .outgoing import Piece, Shaper, image_allowance, joined, merged
from .recency import Kept, left_out_as

__all__ = ["Assembly", "instruction_span", "left_out_span", "listed", "scaled"]

OPENING_QUOTE = "[You opened this conversation with the words:]\n"
HOLE = "[{count} earlier tool calls of this turn were left out to fit the window]"
SILENT = int(Trait.BARE | Trait.TOOL_CALL | Trait.EXCLUDED)


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


def left_out_span(kept: Kept, limits: Limits, messages: int, last: int) -> Span:
    """The ledger's line for everything before the window: one decision, however long the path is."""
    return Span(kept.why, messages, None, (1, max(1, last)), figures=why_left_out(kept, limits))


def why_left_out(kept: Kept, limits: Limits) -> dict[str, object]:
    """The figures that decided."""
    if kept.why is Code.OVER_BUDGET:
        return {"limit": limits.high, "needed": scaled(kept.needed, limits)}
    counts = {"turns": limits.max_turns, "messages": limits.max_messages}
    return {name: count for name, count in counts.items() if count is not None}


@dataclass(slots=True)
class Assembly:
    """Puts one window together. ``rules`` are texts for the one leading system message, where the
    target takes no system message anywhere else."""

    material: Material
    limits: Limits
    target: Target
    spent: Spent
    kept: Kept
    pieces: list[Piece] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    shaper: Shaper = field(init=False)

    def __post_init__(self) -> None:
        path = self.material.path
        rows = [*path.standing, *(path.rows or ()), *self.material.current]
        self.shaper = Shaper(self.target, image_allowance(rows, self.limits.images))

    def window(self) -> tuple[Window, Sequence[bytes] | None]:
        """The finished window, and its messages where they are to be counted again: some were merged,
        marked or closed."""
        self._put_instructions()
        self._put_opening()
        self._put_turns()
        self._put_context()
        self._put_current()
        pieces = self._with_rules(merged(self.pieces) if self.target.alternate else self.pieces)
        bodies = [piece.body for piece in pieces]
        window = Window(
            body=listed(bodies),
            spans=tuple(self.spans),
            tokens=scaled(self.spent.room.fixed + self.kept.tokens, self.limits),
            limits=self.limits,
            target=self.target,
            cut=self.kept.cut,
            traits=self.shaper.seen,
        )
        return window, None if all(piece.stored for piece in pieces) else bodies

    # -- the head

    def _put_instructions(self) -> None:
        for place, entry in enumerate(self.material.instructions):
            self._put_rule(row_of(entry, place))
        if self.material.instructions:
            self.spans.append(instruction_span(self.material, self.limits))

    def _put_rule(self, row: MessageRow) -> None:
        """Instructions stay where they are, or join the one leading system message."""
        piece = self.shaper.shape(row)
        if self.target.system == "first":
            self.rules.append(text_of(piece))
        else:
            self.pieces.append(piece)

    def _put_opening(self) -> None:
        opening = self.material.opening
        if opening:
            self._put_opening_words(self.shaper.shape(row_of(opening, 0)))
            self.spans.append(Span(Code.OPENING, 1, scaled(opening.tokens, self.limits)))

    def _put_opening_words(self, piece: Piece) -> None:
        if self.target.opening:
            self.pieces.append(piece)
        else:
            self.rules.append(OPENING_QUOTE + text_of(piece))

    def _with_rules(self, pieces: list[Piece]) -> list[Piece]:
        """The gathered rules stand before everything else, in one message."""
        if not self.rules:
            return pieces
        rules = orjson.dumps({"role": "system", "content": "\n\n".join(self.rules)})
        if pieces and pieces[0].role == "system":
            return [joined(pieces[0], Piece("system", rules)), *pieces[1:]]
        return [Piece("system", rules, stored=False), *pieces]

    # -- turns

    def _put_turns(self) -> None:
        path = self.material.path
        unread = path.earlier_messages - len(path.standing)
        if unread:
            self.spans.append(left_out_span(self.kept, self.limits, unread, path.earlier_turns))
        rows = path.rows if path.rows is not None else rows_of(path.turns, path.bodies)
        known = {turn.number: turn for turn in path.turns}
        for number, turn_rows in by_turn([*path.standing, *rows]).items():
            self._put_turn(turn_rows, self._code_of(known.get(number), turn_rows))

    def _code_of(self, turn: TurnRow | None, rows: Sequence[MessageRow]) -> Code:
        """Why this turn is sent or left out."""
        pins = self.spent.room.pins
        if turn is None:  # from before what was read: a pinned turn, or instructions alone
            return Code.PINNED if pins and any(row.role == "user" for row in rows) else self.kept.why
        gone = left_out_as(turn)
        if gone:
            return gone
        if any(row.role == "user" and row.traits & Trait.EXCLUDED for row in rows):
            return Code.EXCLUDED_BY_USER
        if pins and turn.traits & Trait.PINNED:
            return Code.PINNED
        if turn.number < self.kept.first:
            return self.kept.why
        return Code.STOPPED if turn.traits & Trait.STOPPED else Code.RECENT

    def _put_turn(self, rows: Sequence[MessageRow], code: Code) -> None:
        if not code.sent:
            self._leave_out(rows, code)
        elif all(row.role != "user" for row in rows):
            self._put_userless(rows)
        elif any(row.role == "user" and row.traits & Trait.BARE for row in rows):
            self._leave_out(rows, Code.INCOMPLETE)
        else:
            self._put_groups(grouped(rows), code)

    def _leave_out(self, rows: Sequence[MessageRow], code: Code) -> None:
        """A turn is left out as a whole, but instructions inside it stay in force."""
        figures = why_left_out(self.kept, self.limits) if code is self.kept.why else {}
        for row in rows:
            if row.traits & Trait.INSTRUCTION and not row.traits & Trait.EXCLUDED:
                self._put_rule(row)
                self._note(Code.SYSTEM, [row])
            else:
                self._note(code, [row], figures=figures)

    def _put_userless(self, rows: Sequence[MessageRow]) -> None:
        """Words of the assistant before the first user message open the conversation."""
        for row in rows:
            if row.traits & Trait.INSTRUCTION:
                self._put_rule(row)
                self._note(Code.SYSTEM, [row])
            elif row.role == "assistant" and not row.traits & SILENT:
                self._put_opening_words(self.shaper.shape(row))
                self._note(Code.OPENING, [row])
            else:
                self._note(Code.INCOMPLETE, [row])

    def _put_groups(self, groups: Iterable[Group], code: Code) -> None:
        for group in groups:
            if group.rows:
                self._put_group(group, code)
            if group.spare:
                self._note(Code.INCOMPLETE, group.spare)

    def _put_group(self, group: Group, code: Code) -> None:
        first = group.rows[0]
        if group.excluded:
            self._note(Code.EXCLUDED_BY_USER, group.rows)
        elif first.traits & Trait.INSTRUCTION:
            self._put_rule(first)
            self._note(Code.SYSTEM, group.rows)
        elif first.traits & Trait.BARE and not first.traits & Trait.TOOL_CALL:
            self._note(Code.INCOMPLETE, group.rows)
        else:
            pieces = [self.shaper.shape(row) for row in group.rows]
            closing = [Piece("tool", orjson.dumps(interrupted(call)), stored=False) for call in group.open]
            self.pieces += pieces + closing
            omitted = tuple(dict.fromkeys(word for piece in pieces for word in piece.omitted))
            self._note(code, group.rows, omitted)

    # -- the end

    def _put_context(self) -> None:
        context = self.material.context
        for place, entry in enumerate(context):
            row = row_of(entry, place)
            if entry.traits & Trait.INSTRUCTION:
                self._put_rule(row)
            else:
                self.pieces.append(self.shaper.shape(row))
        if context:
            tokens = sum(entry.tokens for entry in context)
            self.spans.append(Span(Code.CONTEXT, len(context), scaled(tokens, self.limits)))

    def _put_current(self) -> None:
        """The turn being answered: its input, a mark where old tool groups had to go, its steps."""
        groups, gone = self.spent.current, self.spent.gone
        steps = next(
            (i for i, g in enumerate(groups) if g.rows and g.rows[0].role == "assistant"), len(groups)
        )
        self._put_groups(groups[:steps], Code.NEW)
        if gone:
            mark = HOLE.format(count=sum(bool(g.rows[0].traits & Trait.TOOL_CALL) for g in gone))
            hole = orjson.dumps({"role": "user", "content": mark})
            self.pieces[-1] = joined(self.pieces[-1], Piece("user", hole))
            self._note(Code.OVER_BUDGET, [row for g in gone for row in (*g.rows, *g.spare)])
        self._put_groups(groups[steps:], Code.TOOL_PAIR)

    def _note(
        self,
        code: Code,
        rows: Sequence[MessageRow],
        omitted: tuple[str, ...] = (),
        figures: dict[str, object] | None = None,
    ) -> None:
        """Writes a decision into the ledger; turns in a row with the same decision are one span."""
        number, figures = rows[0].turn, figures or {}
        tokens = scaled(sum(row.tokens for row in rows), self.limits)
        last = self.spans[-1] if self.spans else None
        if last and last.turns and number - last.turns[1] in (0, 1) and _same(last, code, omitted, figures):
            both = None if last.tokens is None else last.tokens + tokens
            turns = (last.turns[0], number)
            self.spans[-1] = replace(last, messages=last.messages + len(rows), tokens=both, turns=turns)
        else:
            self.spans.append(Span(code, len(rows), tokens, (number, number), None, figures, omitted))


def _same(span: Span, code: Code, omitted: tuple[str, ...], figures: dict[str, object]) -> bool:
    return span.code is code and span.omitted == omitted and span.figures == figures


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


def by_turn(rows: Iterable[MessageRow]) -> dict[int, list[MessageRow]]:
    """Rows in time order, by the number of their turn."""
    turns: dict[int, list[MessageRow]] = {}
    for row in rows:
        turns.setdefault(row.turn, []).append(row)
    return turns


def text_of(piece: Piece) -> str:
    """The words of a message, images and other parts left aside."""
    content = orjson.loads(piece.body).get("content")
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text") or "") for part in content or ())
