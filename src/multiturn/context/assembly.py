"""How is an extraordinary window put together? Tools, images, reasoning, pins, instructions in the
middle, a summary: each message is shaped for the target, and each has its decision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from ..decision import Code, Span
from ..messages import Entry, Trait
from ..path import MessageRow, Path, TurnRow
from ..window import Limits, Material, Target
from .budget import Spent, scaled
from .calls import Group, by_turn, grouped, in_force, interrupted, left_out_by_hand, turn_left_out
from .decisions import FOR_WANT_OF_ROOM, Decided, joined_spans
from .outgoing import Piece, Shaper, image_allowance, joined, merged, with_mark, with_note
from .recency import Kept, left_out_as
from .summary import note

__all__ = ["Assembly", "Made", "Recounted", "listed"]

OPENING_QUOTE = "[You opened this conversation with the words:]\n"
HOLE = "[{count} earlier tool calls of this turn were left out to fit the window]"


def listed(bodies: Iterable[bytes]) -> bytes:
    """Messages as one JSON list."""
    return b"[" + b",".join(bodies) + b"]"


class Recounted(NamedTuple):
    """Messages that were changed, and those that were counted in their place."""

    sent: Sequence[bytes] = ()
    counted: Sequence[bytes] = ()


class Made(NamedTuple):
    """A window put together: the list of messages, the lines of its ledger, its uncalibrated tokens as far
    as they are known, what is still to be counted, and the `Trait` bits of all messages together."""

    body: bytes
    spans: Sequence[Span]
    tokens: int
    changed: Recounted
    traits: int = 0


@dataclass(slots=True)
class Assembly:
    """Puts one window together. ``rules`` are texts for the one leading system message, where the
    target takes no system message anywhere else; ``decided`` becomes the ledger."""

    material: Material
    limits: Limits
    target: Target
    spent: Spent
    kept: Kept
    pieces: list[Piece] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    decided: Decided = field(init=False)
    read: Sequence[MessageRow] = field(init=False)
    """The messages of the earlier turns that were read."""
    turns: list[tuple[Sequence[MessageRow], Code]] = field(init=False)
    """The earlier turns in time order, each with what becomes of it."""
    shaper: Shaper = field(init=False)

    def __post_init__(self) -> None:
        path = self.material.path
        self.decided = Decided(self.material, self.limits, self.spent, self.kept)
        self.read = path.rows if path.rows is not None else rows_of(path)
        known = {turn.number: turn for turn in path.turns}
        turns = by_turn([*path.standing, *self.read])
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

    def made(self) -> Made:
        """The window so far. Messages that were merged, marked, closed, or have a note in front are still to
        be counted."""
        self._put_instructions()
        self._put_turns()
        self._put_context()
        self._put_current()
        self._put_summary()
        pieces = self._with_rules(merged(self.pieces) if self.target.alternate else self.pieces)
        changed = [piece for piece in pieces if piece.counted is not None]
        before = [body for piece in changed for body in piece.origin]
        return Made(
            listed(piece.body for piece in pieces),
            self._spans(),
            self.material.overhead + sum([piece.tokens for piece in pieces]),
            Recounted([piece.body for piece in changed], before),
            self.shaper.seen,
        )

    # -- the head

    def _put_instructions(self) -> None:
        for place, entry in enumerate(self.material.instructions):
            if not entry.traits & Trait.BARE:
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

    def _code_of(self, turn: TurnRow | None, rows: Sequence[MessageRow]) -> Code:
        """Why this turn is sent or left out."""
        pins = self.spent.room.pins
        if turn is None:  # from before what was read: a pinned turn, or instructions alone
            pinned = pins and any(not row.traits & Trait.INSTRUCTION for row in rows)
            return _pinned_as(rows) if pinned else self.decided.why(rows[0].turn)
        gone = left_out_as(turn) or turn_left_out(rows)
        if gone:
            return gone
        if pins and turn.traits & Trait.PINNED:
            return _pinned_as(rows)
        if turn.number < self.kept.first:
            return self.decided.why(turn.number)
        if all(row.role != "user" for row in rows):
            return Code.OPENING
        return Code.STOPPED if turn.traits & Trait.STOPPED else Code.RECENT

    def _leave_out(self, rows: Sequence[MessageRow], code: Code) -> None:
        """A turn is left out as a whole, but instructions inside it stay in force."""
        for row, by_hand in zip(rows, left_out_by_hand(rows), strict=True):
            if in_force(row):
                self._put_rule(row)
                self.decided.decide(Code.SYSTEM, [row])
            else:
                among = by_hand and code in FOR_WANT_OF_ROOM
                self.decided.leave_out(Code.EXCLUDED_BY_USER if among else code, row)

    def _put_groups(self, groups: Iterable[Group], code: Code) -> None:
        for group in groups:
            self._put_group(group, code)

    def _put_group(self, group: Group, code: Code) -> None:
        self.decided.decide(Code.INCOMPLETE, group.spare)
        left_out = group.left_out
        if left_out:
            self.decided.decide(left_out, group.rows)
        elif group.instruction:
            self._put_rule(group.rows[0])
            self.decided.decide(Code.SYSTEM, group.rows)
        elif code is Code.OPENING:
            self._put_opening(group.rows[0])
            self.decided.decide(code, group.rows)
        else:
            self._put_messages(group, code)

    def _put_messages(self, group: Group, code: Code) -> None:
        pieces = [self.shaper.shape(row) for row in group.rows]
        self.pieces += pieces
        self.pieces += [Piece("tool", orjson.dumps(interrupted(call))) for call in group.open]
        omitted = tuple(dict.fromkeys(word for piece in pieces for word in piece.omitted))
        self.decided.decide(code, group.rows, omitted)

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
                self.decided.decide(Code.OVER_BUDGET, [*group.rows, *group.spare])
            else:
                answers = group.rows and group.rows[0].role == "assistant"
                self._put_group(group, Code.TOOL_PAIR if answers else Code.NEW)

    def _put_summary(self) -> None:
        """The summary stands at the head of the first user message; in one of its own where there is none."""
        summary = self.material.path.summary
        if not summary or not self.spent.noted:
            return
        words = note(summary.text, summary.upto)
        place = next((at for at, piece in enumerate(self.pieces) if piece.role == "user"), None)
        if place is None:
            self.pieces.append(with_note(None, words))
        else:
            self.pieces[place] = with_note(self.pieces[place], words)

    def _mark_hole(self, count: int) -> None:
        """The mark stands at the end of the user's input."""
        for place in range(len(self.pieces) - 1, -1, -1):
            if self.pieces[place].role == "user":
                self.pieces[place] = with_mark(self.pieces[place], HOLE.format(count=count))
                return

    # -- the ledger

    def _spans(self) -> tuple[Span, ...]:
        """The decisions in the order of the path, as ranges."""
        path, context = self.material.path, self.material.context
        spans = [*self.decided.head(), *self.decided.earlier(path.earlier_messages, path.earlier_turns)]
        spans += self.decided.spans_of(self.read if self.spent.rows is None else self.spent.rows)
        if context:
            tokens = sum(entry.tokens for entry in context)
            spans.append(Span(Code.CONTEXT, len(context), scaled(tokens, self.limits)))
        spans += self.decided.quoted_elsewhere()
        current = [row for group in self.spent.current for row in (*group.rows, *group.spare)]
        return joined_spans([*spans, *self.decided.spans_of(sorted(current, key=lambda row: row.place))])


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


def rows_of(path: Path) -> list[MessageRow]:
    """Rows of ordinary turns, of which only the bodies were read; the first row has the tokens of both."""
    rows: list[MessageRow] = []
    unread, quotes = iter(path.bodies), dict(path.quotes)
    for turn in reversed(path.turns):
        quote = quotes.get(len(rows))
        traits = Trait.QUOTED if quote else 0
        rows.append(
            MessageRow(turn.number, 0, "user", traits, turn.tokens, 0, next(unread), None, None, quote)
        )
        rows.append(MessageRow(turn.number, 1, "assistant", 0, 0, 0, next(unread), None, None))
    return rows


def _pinned_as(rows: Sequence[MessageRow]) -> Code:
    """A pinned turn is sent for its pin; words that open the conversation are an opening all the same."""
    return Code.PINNED if any(row.role == "user" for row in rows) else Code.OPENING


def text_of(piece: Piece) -> str:
    """The words of a message, images and other parts left aside."""
    content = orjson.loads(piece.body).get("content")
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text") or "") for part in content or ())
