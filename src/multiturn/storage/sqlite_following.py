"""Where does a turn go that follows a step? On from there where nothing came after it, else on a branch."""

from __future__ import annotations

import sqlite3

import orjson

from ..conversations import Owner, TurnState
from ..errors import TurnNotFound
from ..messages import Entry, Trait
from .records import Start, Upon
from .sqlite_branches import new_branch
from .sqlite_conversations import Here, require
from .sqlite_pieces import owner_of, pieces
from .sqlite_rows import MESSAGE, SEGMENT, to_message, write_calls
from .sqlite_segments import new_turn

__all__ = ["followed"]

OPEN = Trait.OPEN


def followed(db: sqlite3.Connection, owner: Owner, name: str, here: Here, start: Start) -> Here:
    """The path whose last turn is the one that is followed. Where that turn went on since, or waits no more
    for the results that are given, a branch repeats it as far as the step."""
    upon = start.upon
    if upon is None:
        return here
    turn = owner_of(pieces(db, here.segment), upon.turn, name).segment * SEGMENT + upon.turn
    state, steps = db.execute("SELECT state, steps FROM turns WHERE id = ?", (turn,)).fetchone()
    newest = here.head == upon.turn and steps == upon.step
    if newest and (start.results is None or state == TurnState.WAITING):
        return here
    inside = start.results is not None or steps > upon.step
    number, segment = new_branch(db, here, name, upon.turn - 1 if inside else upon.turn)
    if start.switch:
        db.execute("UPDATE conversations SET segment = ? WHERE id = ?", (segment, here.key))
    there = require(db, owner, name, number)
    if not inside:
        return there
    _repeat(db, there, name, turn, upon)
    return require(db, owner, name, number)


SO_FAR = f"""
SELECT {MESSAGE}, m.facts, COALESCE((SELECT tokens FROM quotes WHERE message = m.id), 0)
FROM turns t JOIN exchanges e ON e.turn = t.id AND e.step = ?
    JOIN messages m ON m.id >= (t.id & ~4294967295) + t.before
    AND m.id <= (t.id & ~4294967295) + t.before + MIN(e.output, t.messages - 1)
WHERE t.id = ? ORDER BY m.id"""


def _repeat(db: sqlite3.Connection, here: Here, name: str, turn: int, upon: Upon) -> None:
    """Put the beginning of a turn at the end of another path, where it waits for what its last message
    calls for. What was recalled for it stays behind."""
    entries = []
    for *row, facts, quoted in db.execute(SO_FAR, (upon.step, turn)).fetchall():
        message = to_message(db, row)
        known = orjson.loads(facts) if facts else {}
        if message.model:
            known["model"] = message.model
        entries.append(
            Entry(
                message.role,
                message.traits & ~Trait.QUOTED,
                message.tokens - quoted,
                message.body,
                message.reasoning,
                message.reasoning_tokens,
                orjson.dumps(known) if known else None,
            )
        )
    if not entries:
        raise TurnNotFound(wanted=upon.turn, conversation=name)
    new_turn(db, here, entries, TurnState.COMPLETED)
    calls = [each["id"] for each in orjson.loads(entries[-1].body).get("tool_calls") or ()]
    state, mark = (TurnState.WAITING, OPEN) if calls else (TurnState.COMPLETED, 0)
    db.execute(
        "UPDATE turns SET state = ?, open_calls = ?, steps = ?, marks = marks | ?, traits = traits | ?"
        " WHERE id = ?",
        (state, write_calls(calls), upon.step, mark, mark, here.segment * SEGMENT + upon.turn),
    )
