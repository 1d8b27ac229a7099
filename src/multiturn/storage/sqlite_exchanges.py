"""What was a door asked for in a step, and how did it tell the answer?"""

from __future__ import annotations

import hashlib
import sqlite3

from ..conversations import Address, Owner, TurnState
from ..errors import TurnNotFound
from .records import DELTAS, Asked, Exchange, Start, Told
from .sqlite_conversations import Here
from .sqlite_rows import LASTS, MESSAGE, NOW, SEGMENT, read_step, to_message, told

__all__ = ["exchange", "forget_deltas", "forget_exchange", "keep_asked", "keep_course", "step_of_key"]

REQUEST = "SELECT id FROM requests WHERE conversation = ? AND digest = ?"


def keep_asked(db: sqlite3.Connection, here: Here, turn: int, step: int, start: Start) -> float | None:
    """Keep what a step was asked for, and where its messages stand in the turn with this key; gives the
    time."""
    if start.again:  # what came of the steps before was dropped with them
        db.execute("UPDATE exchanges SET output = ? WHERE turn = ?", (SEGMENT, turn))
    asked = start.asked
    if asked is None:
        return None
    output = db.execute("SELECT messages FROM turns WHERE id = ?", (turn,)).fetchone()[0]
    first = 0 if start.again else output - len(start.entries)
    values = (turn, step, _request(db, here.key, asked.common), asked.own, first, output, start.key)
    row = db.execute(
        "INSERT INTO exchanges (turn, step, created_at, request, own, input, output, key)"
        f" VALUES (?, ?, {NOW}, ?, ?, ?, ?, ?) RETURNING created_at",
        values,
    ).fetchone()
    return float(row[0]) / 1000


def _request(db: sqlite3.Connection, conversation: int, body: bytes) -> int:
    """The row that holds this body for the conversation."""
    place = (conversation, hashlib.blake2b(body, digest_size=16).digest())
    row = (
        db.execute(REQUEST, place).fetchone()
        or db.execute(
            "INSERT INTO requests (conversation, digest, body) VALUES (?, ?, ?) RETURNING id", (*place, body)
        ).fetchone()
    )
    return int(row[0])


def keep_course(db: sqlite3.Connection, turn: int, step: int, course: bytes | None) -> None:
    """Keep in what pieces the answer came."""
    if course is not None:
        db.execute("UPDATE exchanges SET course = ? WHERE turn = ? AND step = ?", (course, turn, step))


def forget_deltas(db: sqlite3.Connection, conversation: int, turn: int) -> None:
    """What is deleted from a turn does not stay behind in how its answers were told."""
    db.execute(
        "UPDATE exchanges SET course = NULL WHERE turn = ?"
        " AND request IN (SELECT id FROM requests WHERE conversation = ? AND body = ?)",
        (turn, conversation, DELTAS.common),
    )


def step_of_key(db: sqlite3.Connection, conversation: int, key: str | None) -> int | None:
    """The step that a request key made."""
    row = db.execute(
        "SELECT e.step FROM request_keys k JOIN exchanges e ON e.turn = k.turn AND e.key = k.key"
        " WHERE k.conversation = ? AND k.key = ? ORDER BY e.step DESC",
        (conversation, key),
    ).fetchone()
    return None if row is None else int(row[0])


EXCHANGE = f"""
SELECT c.name, c.user, c.tenant, e.turn, r.body, e.own, e.input, e.output, e.course, e.created_at,
    t.state, t.steps, t.created_at, COALESCE(b.head = :turn AND b.held_until >= {NOW}, 0)
FROM conversations c JOIN branches b ON b.conversation = c.id AND b.number = :branch
    JOIN exchanges e ON e.turn = (b.segment << 32) + :turn AND e.step = :step
    JOIN requests r ON r.id = e.request JOIN turns t ON t.id = e.turn
WHERE c.ulid = :ulid AND {LASTS}"""
ENDED = """
SELECT s.turn, s.number, COALESCE((SELECT name FROM models WHERE id = s.model), ''), s.input, s.output,
    s.cached, s.cache_write, s.reasoning, s.estimated, s.amount, s.currency, s.finish_reason, s.response_id,
    s.error, s.seconds, s.raw, s.ledger, s.created_at
FROM steps s WHERE s.turn = ? AND s.number = ?"""
MESSAGES = f"""
SELECT {MESSAGE}, m.facts FROM turns t JOIN messages m ON m.id >= (t.id & ~4294967295) + t.before + ?
    AND m.id <= (t.id & ~4294967295) + t.before + MIN(?, t.messages - 1)
WHERE t.id = ? ORDER BY m.id"""


def exchange(db: sqlite3.Connection, owner: Owner, at: Address) -> Exchange:
    """See `Store.exchange`."""
    place = {"ulid": at.ulid, "branch": at.branch, "turn": at.turn, "step": at.place}
    row = db.execute(EXCHANGE, place).fetchone()
    if row is None or row[2] != owner.tenant or owner.user not in (None, row[1]):
        raise TurnNotFound(wanted=at.response_id, conversation=at.ulid)
    name, user, _, turn, common, own, first, output, course, made, state, steps, begun, held = row
    messages = _messages(db, at, turn, first, output, begun)
    answers = messages and messages[-1].row.place == output and messages[-1]
    ended = db.execute(ENDED, (turn, at.place)).fetchone()
    return Exchange(
        conversation=name,
        user=user,
        address=at,
        asked=Asked(common, own),
        state=TurnState(state),
        last=steps == at.place,
        running=bool(held) and steps == at.place and ended is None,
        created_at=made / 1000,
        ended_at=None if ended is None else ended[-1] / 1000,
        step=None if ended is None else read_step(ended[:-1], at.branch),
        input=tuple(each for each in messages if each.row.place < output),
        output=answers if answers and answers.row.role == "assistant" else None,
        course=course or b"",
    )


def _messages(
    db: sqlite3.Connection, at: Address, turn: int, first: int, last: int, begun: int
) -> list[Told]:
    return [
        told(to_message(db, row), row[-1], begun, at.ulid, at.branch)
        for row in db.execute(MESSAGES, (first, last, turn))
    ]


def forget_exchange(db: sqlite3.Connection, owner: Owner, at: Address) -> None:
    """See `Store.forget_exchange`."""
    exchange(db, owner, at)
    db.execute(
        "DELETE FROM exchanges WHERE step = ? AND turn = (SELECT (b.segment << 32) + ? FROM conversations c"
        " JOIN branches b ON b.conversation = c.id AND b.number = ? WHERE c.ulid = ?)",
        (at.place, at.turn, at.branch, at.ulid),
    )
