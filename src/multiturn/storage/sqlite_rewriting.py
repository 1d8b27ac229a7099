"""How is something deleted that was said? The message stays in its place, with less in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

import orjson

from ..conversations import Owner, TurnState
from ..errors import TurnNotFound
from ..messages import Entry, Trait
from ..phrases import Reason
from .records import Told
from .sqlite_conversations import Here, require, title_of
from .sqlite_exchanges import forget_deltas
from .sqlite_media import drop_media, put_back, take_out
from .sqlite_pieces import owner_of, pieces
from .sqlite_quotes import citing_dropped, drop_quotes
from .sqlite_rows import SEGMENT, read_calls, write_calls
from .sqlite_segments import note_facts
from .sqlite_summaries import give_up
from .sqlite_terms import renew
from .sqlite_withheld import note_standing

__all__ = ["rewrite"]

MEDIA, QUOTED, IRREGULAR = Trait.MEDIA, Trait.QUOTED, Trait.IRREGULAR
STOPPED, EXCLUDED = Trait.STOPPED, Trait.EXCLUDED


def rewrite(
    db: sqlite3.Connection,
    owner: Owner,
    name: str,
    turn: int,
    entries: Mapping[int, Entry],
    branch: int | None,
    seen: Sequence[Told],
) -> bool:
    """See `Store.rewrite`."""
    here = require(db, owner, name, branch)
    piece = owner_of(pieces(db, here.segment), turn, name)
    key = piece.segment * SEGMENT + turn
    before, count = db.execute("SELECT before, messages FROM turns WHERE id = ?", (key,)).fetchone()
    first = piece.segment * SEGMENT + before
    if not all(_is_as(db, first + told.row.place, told) for told in seen):
        return False
    for place, entry in entries.items():
        if not 0 <= place < count:
            problem = Reason("why.turn_with_message", turn=turn, place=place)
            raise TurnNotFound(wanted=problem, conversation=name)
        _forget_title(db, here, first + place)
        _replace(db, here, first + place, entry)
    if any(entry.role == "user" and entry.traits & EXCLUDED for entry in entries.values()):
        citing_dropped(db, first, first + count - 1)
    _add_up(db, key, first, count)
    forget_deltas(db, here.key, key)
    for entry in entries.values():
        note_standing(db, here.key, entry.traits)
    for place in entries:
        renew(db, first + place)
    give_up(db, here._replace(segment=piece.segment), turn, gone=True)
    return True


def _is_as(db: sqlite3.Connection, key: int, told: Told) -> bool:
    """Whether a message still says what it was read to say."""
    row = db.execute("SELECT body, reasoning, facts FROM messages WHERE id = ?", (key,)).fetchone()
    if row is None:
        return False
    return (put_back(db, key, row[0]), *row[1:]) == (told.row.body, told.row.reasoning, told.facts)


def _forget_title(db: sqlite3.Connection, here: Here, message: int) -> None:
    """A conversation is not named by words that are gone."""
    body = db.execute("SELECT body FROM messages WHERE id = ?", (message,)).fetchone()[0]
    if here.title and here.title == title_of([Entry("user", 0, 0, body)]):
        db.execute("UPDATE conversations SET title = '' WHERE id = ?", (here.key,))


def _replace(db: sqlite3.Connection, here: Here, key: int, entry: Entry) -> None:
    if entry.traits & EXCLUDED:
        drop_quotes(db, key, key)
    citing_dropped(db, key, key)
    drop_media(db, key, key)
    db.execute("DELETE FROM vectors WHERE message = ?", (key,))
    old = db.execute("SELECT traits FROM messages WHERE id = ?", (key,)).fetchone()[0]
    quoted = db.execute("SELECT tokens FROM quotes WHERE message = ?", (key,)).fetchone()
    facts = None if entry.facts is None else note_facts(db, here, key, entry.facts)[1]
    db.execute(
        "UPDATE messages SET traits = ?, tokens = ?, reasoning_tokens = ?, body = ?, reasoning = ?, facts = ?"
        " WHERE id = ?",
        (
            entry.traits | old & (EXCLUDED | QUOTED),
            entry.tokens + (quoted[0] if quoted else 0),
            entry.reasoning_tokens,
            take_out(db, here.key, key, entry.body) if entry.traits & MEDIA else entry.body,
            entry.reasoning,
            facts,
            key,
        ),
    )


TURN = "SELECT traits, marks, state, open_calls FROM turns WHERE id = ?"
MESSAGES = "SELECT traits, tokens, reasoning_tokens, body FROM messages WHERE id >= ? AND id < ?"
CALLS = Trait.TOOL_CALL


def _add_up(db: sqlite3.Connection, key: int, first: int, count: int) -> None:
    """A turn is what its messages are; it waits no more for results of calls that are gone."""
    traits, marks, state, waiting = db.execute(TURN, (key,)).fetchone()
    rows = db.execute(MESSAGES, (first, first + count)).fetchall()
    open_calls = read_calls(waiting)
    if open_calls:
        calling = [orjson.loads(row[3]) for row in rows if row[0] & CALLS]
        made = {call["id"] for message in calling for call in message["tool_calls"]}
        open_calls = tuple(call for call in open_calls if call in made)
        if not open_calls and state == TurnState.WAITING:
            state, marks = TurnState.INCOMPLETE, marks | STOPPED
    traits = (traits & IRREGULAR) | marks
    for row in rows:
        traits |= row[0]
    db.execute(
        "UPDATE turns SET traits = ?, marks = ?, state = ?, open_calls = ?, tokens = ?, reasoning_tokens = ?"
        " WHERE id = ?",
        (
            traits,
            marks,
            state,
            write_calls(open_calls),
            sum(row[1] for row in rows),
            sum(row[2] for row in rows),
            key,
        ),
    )
