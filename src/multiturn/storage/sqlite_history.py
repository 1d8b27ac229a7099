"""What was said? Messages, turns and steps of a path, and messages that a search finds."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ..conversations import Address, Owner, Step, Turn
from ..errors import TurnNotFound
from ..phrases import Reason
from .records import Hit, Told
from .sqlite_conversations import require
from .sqlite_pieces import Piece, owner_of, pieces
from .sqlite_rows import (
    LASTS,
    MESSAGE,
    MESSAGE_COLUMNS,
    SEGMENT,
    STEP_TOTALS,
    TURN,
    TURN_SOURCES,
    read_step,
    read_turn,
    to_message,
    told,
    totals,
)

__all__ = ["history", "locate", "search", "steps", "turns"]


def _within(path: Sequence[Piece], after: int, limit: int | None, newest: bool) -> Sequence[Piece]:
    """The pieces cut down to ``limit`` turns after ``after``."""
    last = path[-1].last if path else 0
    first = after + 1
    if limit is not None:
        if newest:
            first = max(first, last - limit + 1)
        else:
            last = min(last, after + limit)
    cut = [p._replace(first=max(p.first, first), last=min(p.last, last)) for p in path]
    return [piece for piece in cut if piece.first <= piece.last]


HISTORY = f"""
SELECT {MESSAGE}, m.facts, t.created_at FROM turns t
CROSS JOIN messages m ON m.id >= (t.id & ~4294967295) + t.before
    AND m.id < (t.id & ~4294967295) + t.before + t.messages
WHERE t.id BETWEEN ? AND ?"""


def history(
    db: sqlite3.Connection, owner: Owner, name: str, after: int, limit: int | None, branch: int | None
) -> Sequence[Told]:
    """See `Store.history`."""
    here = require(db, owner, name, branch)
    path = pieces(db, here.segment)
    return [
        told(to_message(db, row), row[-2], row[-1], here.ulid, piece.branch)
        for piece in _within(path, after, limit, newest=False)
        for row in db.execute(HISTORY, piece.keys)
    ]


TURNS = f"SELECT {TURN} FROM {TURN_SOURCES} WHERE t.id BETWEEN ? AND ? ORDER BY t.id"
SPENT = f"SELECT {STEP_TOTALS} FROM steps WHERE turn BETWEEN ? AND ? GROUP BY turn, currency"


def turns(
    db: sqlite3.Connection,
    owner: Owner,
    name: str,
    after: int,
    limit: int | None,
    newest: bool,
    branch: int | None,
) -> Sequence[Turn]:
    """See `Store.turns`."""
    here = require(db, owner, name, branch)
    found: list[Turn] = []
    for piece in _within(pieces(db, here.segment), after, limit, newest):
        spent = totals(db.execute(SPENT, piece.keys))
        found += [
            read_turn(row, here.ulid, spent.get(row[0], (None, None)))
            for row in db.execute(TURNS, piece.keys)
        ]
    return found


STEPS = """
SELECT s.turn, s.number, COALESCE((SELECT name FROM models WHERE id = s.model), ''), s.input, s.output,
    s.cached, s.cache_write, s.reasoning, s.estimated, s.amount, s.currency, s.finish_reason, s.response_id,
    s.error, s.seconds, s.raw, s.ledger
FROM steps s WHERE s.turn = ? ORDER BY s.number"""


def steps(db: sqlite3.Connection, owner: Owner, name: str, turn: int, branch: int | None) -> Sequence[Step]:
    """See `Store.steps`."""
    here = require(db, owner, name, branch)
    holder = owner_of(pieces(db, here.segment), turn, name) if turn else here
    rows = db.execute(STEPS, (holder.segment * SEGMENT + turn,))
    return [read_step(row, holder.branch) for row in rows]


# ---------------------------------------------------------------------------------------- finding

SEARCH = f"""
SELECT {MESSAGE}, m.facts, t.created_at, c.ulid, b.number, c.name
FROM conversations c JOIN branches b ON b.conversation = c.id
    JOIN messages m ON m.id BETWEEN b.segment * {SEGMENT} AND b.segment * {SEGMENT} + {SEGMENT - 1}
    JOIN turns t ON t.id = b.segment * {SEGMENT} + m.turn
WHERE c.tenant = :tenant AND (:user IS NULL OR c.user = :user) AND {LASTS}
    AND (:conversation IS NULL OR c.name = :conversation)
    AND INSTR(LOWER(CAST(m.body AS TEXT)), LOWER(:text)) > 0
ORDER BY t.created_at DESC, m.id DESC LIMIT :limit"""


def search(
    db: sqlite3.Connection, owner: Owner, text: str, conversation: str | None, limit: int
) -> Sequence[Hit]:
    """See `Store.search`."""
    if conversation is not None:
        require(db, owner, conversation)
    values = {
        "tenant": owner.tenant,
        "user": owner.user,
        "conversation": conversation,
        "text": text,
        "limit": limit,
    }
    return [
        Hit(row[-1], told(to_message(db, row), *row[MESSAGE_COLUMNS:-1]))
        for row in db.execute(SEARCH, values)
    ]


LOCATE = f"""
SELECT b.number, m.turn, (m.id & 4294967295) - t.before
FROM own_ids o JOIN messages m ON m.id = o.message JOIN branches b ON b.segment = m.id >> 32
    JOIN turns t ON t.id = b.segment * {SEGMENT} + m.turn
WHERE o.conversation = ? AND o.own_id = ? ORDER BY o.message DESC LIMIT 1"""


def locate(db: sqlite3.Connection, owner: Owner, name: str, message: str) -> Address:
    """See `Store.locate`."""
    here = require(db, owner, name)
    row = db.execute(LOCATE, (here.key, message)).fetchone()
    if row is None:
        raise TurnNotFound(wanted=Reason("why.with_message", message=message), conversation=name)
    return Address(here.ulid, *row)
