"""How do whole turns get in that were spoken elsewhere?"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import orjson

from ..conversations import Declared, Owner, TurnState
from ..messages import Entry, Trait
from .records import Extent, Told
from .sqlite_branches import new_branch
from .sqlite_conversations import Here, declare, require, title_of
from .sqlite_leases import Queued, line_up, recover, running
from .sqlite_rows import SEGMENT, told, write_calls
from .sqlite_segments import Stored, close_waiting, extend, new_turn, own_head
from .sqlite_terms import CHUNK, index

__all__ = ["Import", "add", "take_in"]

OPEN = Trait.OPEN


class Import(NamedTuple):
    """Turns that were spoken elsewhere, and the conversation into which they go; ``wait`` is how many seconds
    they may wait for a turn that runs there."""

    owner: Owner
    name: str
    turns: Sequence[Sequence[Entry]]
    declared: Declared
    wait: float


def add(
    db: sqlite3.Connection, given: Import, ticket: int | None, branch: int | None, *, make: bool
) -> Sequence[Told] | Queued:
    """See `Store.add`; `Queued` where a turn is running."""
    here = require(db, given.owner, given.name, branch, make=given.declared if make else None)
    free = _free(db, given, here, ticket)
    return free if isinstance(free, Queued) else _added(db, free, given)


def take_in(
    db: sqlite3.Connection,
    given: Import,
    ticket: int | None,
    found: Extent,
    fork: tuple[int, int | None] | None,
) -> int | Queued | None:
    """See `Store.take_in`; `Queued` where a turn is running."""
    owner, name = given.owner, given.name
    here = _free(db, given, require(db, owner, name, make=given.declared), ticket)
    if isinstance(here, Queued):
        return here
    if (here.shared + here.messages, here.branches) != found:
        return None
    if fork is not None:
        after, parent = fork
        number, _ = new_branch(db, require(db, owner, name, parent), name, after)
        here = require(db, owner, name, number)
    _added(db, here, given)
    return here.branch


def _free(db: sqlite3.Connection, given: Import, here: Here, ticket: int | None) -> Here | Queued:
    """The conversation once no turn runs in it."""
    unended = running(db, here)
    queued = line_up(db, here, ticket, unended, wait=given.wait > 0)
    return recover(db, given.owner, given.name, here, unended) if queued is None else queued


def _added(db: sqlite3.Connection, here: Here, given: Import) -> Sequence[Told]:
    declare(db, here, given.declared)
    groups = [group for group in given.turns if group]
    found: list[Told] = []
    if groups and here.head and groups[0][0].role in ("assistant", "tool"):
        here = own_head(db, here)
        found += _told(here, extend(db, here, groups[0]), _completed(db, here))
        messages = here.messages + len(groups.pop(0))
        here = here._replace(messages=messages, head_state=TurnState.COMPLETED)
    if groups:
        close_waiting(db, here)
    for entries in groups:
        rows = new_turn(db, here, entries, TurnState.COMPLETED)
        here = here._replace(head=here.head + 1, messages=here.messages + len(entries))
        found += _told(here, rows, here.now)
    if found:
        _wait(db, here.segment * SEGMENT + here.head)
    if here.messages - here.indexed >= CHUNK:
        index(db, here.segment, len(found))
    title = here.title or title_of(entry for group in given.turns for entry in group)
    db.execute("UPDATE conversations SET updated_at = ?, title = ? WHERE id = ?", (here.now, title, here.key))
    return found


def _told(here: Here, rows: Iterable[Stored], at: int) -> Iterable[Told]:
    return [told(row, facts, at, here.ulid, here.branch) for row, facts in rows]


CALLS = f"""
SELECT m.body FROM turns t JOIN messages m ON m.id >= (t.id & ~4294967295) + t.before
    AND m.id < (t.id & ~4294967295) + t.before + t.messages
WHERE t.id = ? AND (m.traits & {Trait.TOOL_CALL | Trait.TOOL_RESULT}) <> 0 ORDER BY m.id"""


WAIT = """
UPDATE turns SET state = ?, open_calls = ?, marks = marks | ?, traits = traits | ?, steps = MAX(steps, 1)
WHERE id = ?"""
"""Whoever made the calls elsewhere began the first step."""


def _wait(db: sqlite3.Connection, turn: int) -> None:
    """The last turn waits for results that its calls do not have."""
    waiting: list[str] = []
    for (body,) in db.execute(CALLS, (turn,)):
        made, answered = _calls(body)
        waiting = [call for call in (*waiting, *made) if call not in answered]
    if waiting:
        db.execute(WAIT, (TurnState.WAITING, write_calls(waiting), OPEN, OPEN, turn))


def _calls(body: bytes) -> tuple[list[str], list[str]]:
    """The calls that a message makes, and the one it answers; a body may say anything."""
    try:
        match orjson.loads(body):
            case {"tool_calls": [*calls]}:
                return [call["id"] for call in calls], []
            case {"tool_call_id": str(call)}:
                return [], [call]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        pass
    return [], []


def _completed(db: sqlite3.Connection, here: Here) -> int:
    """The last turn was spoken to its end elsewhere; gives its time."""
    row = db.execute(
        "UPDATE turns SET state = ?, open_calls = NULL, error = NULL, marks = marks & ~?,"
        " traits = traits & ~? WHERE id = ? RETURNING created_at",
        (TurnState.COMPLETED, OPEN, OPEN, here.segment * SEGMENT + here.head),
    ).fetchone()
    return int(row[0])
