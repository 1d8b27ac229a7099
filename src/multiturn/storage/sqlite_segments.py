"""How do turns and messages get into a segment, change there, and leave it?"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

import orjson

from ..conversations import TurnState
from ..errors import TurnClosed, TurnNotFound
from ..messages import Entry, Trait
from ..path import MessageRow
from ..phrases import Reason
from .sqlite_conversations import Here, head_key
from .sqlite_media import copy_media, drop_media, take_out
from .sqlite_models import model_number
from .sqlite_pieces import owner_of, pieces
from .sqlite_quotes import citing_dropped, copy_quotes, drop_quotes
from .sqlite_rows import ROLE_NUMBERS, SEGMENT
from .sqlite_summaries import give_up
from .sqlite_terms import forget
from .sqlite_withheld import note_standing

__all__ = [
    "Marking",
    "Stored",
    "close_waiting",
    "drop_reply",
    "extend",
    "mark",
    "new_turn",
    "note_facts",
    "own_head",
]

Stored = tuple[MessageRow, bytes | None]
"""A message as it was put into the segment, and its facts."""

INSERT_TURN = """
INSERT INTO turns
    (id, state, traits, tokens, reasoning_tokens, messages, before, steps, created_at, model, key)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
INSERT_MESSAGE = """
INSERT INTO messages (id, turn, role, traits, tokens, reasoning_tokens, body, model, reasoning, facts)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
INSERT_BARE = """
INSERT INTO messages (id, turn, role, traits, tokens, reasoning_tokens, body) VALUES (?, ?, ?, ?, ?, ?, ?)"""
"""Python takes as long to hand over three times NULL as all the rest of a row."""
NOTHING = (None, None, None)
REGULAR = ["user", "assistant"]
IRREGULAR, MEDIA = Trait.IRREGULAR, Trait.MEDIA
GONE = Trait.RETRACTED | Trait.EXCLUDED
LASTING = Trait.MEDIA | Trait.QUOTED
"""What a message holds: nobody can clear that by a mark."""


class _Figures(NamedTuple):
    """What messages add up to."""

    traits: int
    tokens: int
    reasoning_tokens: int
    messages: int


def _figures(entries: Sequence[Entry]) -> _Figures:
    traits = tokens = reasoning = 0
    for entry in entries:
        traits |= entry.traits
        tokens += entry.tokens
        reasoning += entry.reasoning_tokens
    return _Figures(traits, tokens, reasoning, len(entries))


# ------------------------------------------------------------------------------------- new turns


def new_turn(
    db: sqlite3.Connection,
    here: Here,
    entries: Sequence[Entry],
    state: TurnState,
    *,
    key: str | None = None,
    model: str | None = None,
) -> Sequence[Stored]:
    """Put a turn at the end of the path; gives its messages. Its number is ``here.head + 1``."""
    number = here.head + 1
    added = _figures(entries)
    regular = [entry.role for entry in entries] == REGULAR
    traits = added.traits if regular else added.traits | IRREGULAR
    rows = _insert(db, here, number, here.messages, entries, model)
    steps = 0 if state is TurnState.COMPLETED else 1
    models = [row.model for row, _ in rows if row.model]
    db.execute(
        INSERT_TURN,
        (
            here.segment * SEGMENT + number,
            int(state),
            traits,
            *added[1:],
            here.messages,
            steps,
            here.now,
            model_number(db, models[-1]) if models else None,
            key,
        ),
    )
    db.execute(
        "UPDATE branches SET head = ?, messages = ? WHERE segment = ?",
        (number, here.messages + added.messages, here.segment),
    )
    note_standing(db, here.key, traits)
    return rows


def _insert(
    db: sqlite3.Connection,
    here: Here,
    turn: int,
    first: int,
    entries: Sequence[Entry],
    model: str | None,
    place: int = 0,
) -> list[Stored]:
    """Put messages into the segment from its number ``first`` on."""
    rows: list[Stored] = []
    values: list[tuple[object, ...]] = []
    key = here.segment * SEGMENT + first
    bare = True
    for offset, entry in enumerate(entries):
        role, traits, tokens, body, reasoning, reasoning_tokens, facts = entry
        named = None
        if facts is not None:
            named, facts = note_facts(db, here, key + offset, facts)
        named = named or (model if role == "assistant" else None)
        number = None if named is None else model_number(db, named)
        figures = (turn, ROLE_NUMBERS[role], traits, tokens, reasoning_tokens)
        stored = take_out(db, here.key, key + offset, body) if traits & MEDIA else body
        others = (number, reasoning, facts)
        bare = bare and others == NOTHING
        values.append((key + offset, *figures, stored, *others))
        its_place = (turn, place + offset, role, traits, tokens, reasoning_tokens)
        rows.append((MessageRow(*its_place, body, reasoning, named), facts))
    if bare:
        db.executemany(INSERT_BARE, [value[:7] for value in values])
    else:
        db.executemany(INSERT_MESSAGE, values)
    return rows


def note_facts(
    db: sqlite3.Connection, here: Here, message: int, facts: bytes
) -> tuple[str | None, bytes | None]:
    """The model has a column of its own; ids that were brought along can be looked up."""
    opened = orjson.loads(facts)
    ids = {str(own) for own in (opened.get("id"), *opened.get("item_ids", ())) if own is not None}
    rows = [(here.key, own, message) for own in ids]
    db.executemany("INSERT OR IGNORE INTO own_ids VALUES (?, ?, ?)", rows)
    if "model" not in opened:
        return None, facts
    model = str(opened.pop("model"))
    return model, orjson.dumps(opened) if opened else None


# --------------------------------------------------------------------------- the last turn changes


def extend(
    db: sqlite3.Connection, here: Here, entries: Sequence[Entry], model: str | None = None
) -> Sequence[Stored]:
    """Put messages at the end of the last turn, which the segment must own."""
    if not entries:
        return []
    turn = here.segment * SEGMENT + here.head
    before, count, traits = db.execute(
        "SELECT before, messages, traits FROM turns WHERE id = ?", (turn,)
    ).fetchone()
    first_role = db.execute(
        "SELECT role FROM messages WHERE id = ?", (here.segment * SEGMENT + before,)
    ).fetchone()[0]
    added = _figures(entries)
    regular = count == 1 and first_role == 0 and [entry.role for entry in entries] == REGULAR[1:]
    traits = (traits & ~IRREGULAR) | added.traits | (0 if regular else IRREGULAR)
    rows = _insert(db, here, here.head, before + count, entries, model, count)
    db.execute(
        "UPDATE turns SET traits = ?, tokens = tokens + ?, reasoning_tokens = reasoning_tokens + ?,"
        " messages = messages + ? WHERE id = ?",
        (traits, *added[1:], turn),
    )
    _grow(db, here, added.messages)
    note_standing(db, here.key, added.traits)
    return rows


def drop_reply(db: sqlite3.Connection, here: Here) -> None:
    """Leave of the last turn, which the segment must own, nothing but its input."""
    base = here.segment * SEGMENT
    before, count, marks = db.execute(
        "SELECT before, messages, marks FROM turns WHERE id = ?", (base + here.head,)
    ).fetchone()
    drop_quotes(db, base + before, base + before + count - 1)
    rows = db.execute(
        "SELECT role, traits, tokens, reasoning_tokens FROM messages WHERE id >= ? AND id < ? ORDER BY id",
        (base + before, base + before + count),
    ).fetchall()
    kept = next((place for place, row in enumerate(rows) if row[0] in (1, 4)), count)
    if kept == 0:
        raise TurnClosed(Reason("why.no_input"))
    traits = marks | IRREGULAR
    for row in rows[:kept]:
        traits |= row[1]
    drop_media(db, base + before + kept, base + before + count - 1)
    db.execute("DELETE FROM messages WHERE id >= ? AND id < ?", (base + before + kept, base + before + count))
    db.execute(
        "UPDATE turns SET traits = ?, tokens = ?, reasoning_tokens = ?, messages = ? WHERE id = ?",
        (traits, sum(r[2] for r in rows[:kept]), sum(r[3] for r in rows[:kept]), kept, base + here.head),
    )
    _grow(db, here, kept - count)


HEIRS = """
WITH RECURSIVE heirs (segment, fork) AS (
    SELECT segment, fork FROM branches WHERE conversation = :key AND parent = :segment AND fork >= :turn
    UNION ALL
    SELECT b.segment, b.fork FROM branches b JOIN heirs h ON b.parent = h.segment AND b.fork > h.fork
    WHERE b.conversation = :key
)
UPDATE branches SET shared = shared + :added WHERE segment IN (SELECT segment FROM heirs)"""


def _grow(db: sqlite3.Connection, here: Here, added: int) -> None:
    """The last turn has ``added`` more messages: so have all paths that share it."""
    db.execute("UPDATE branches SET messages = messages + ? WHERE segment = ?", (added, here.segment))
    if here.branches > 1:
        values = {"key": here.key, "segment": here.segment, "turn": here.head, "added": added}
        db.execute(HEIRS, values)


def close_waiting(db: sqlite3.Connection, here: Here) -> None:
    """Something else goes on after the last turn: if it waits for tool results, it waits no more."""
    if here.head_state == TurnState.WAITING:
        db.execute(
            "UPDATE turns SET state = ?, open_calls = NULL, marks = marks | ?, traits = traits | ?"
            " WHERE id = ?",
            (TurnState.INCOMPLETE, Trait.STOPPED, Trait.STOPPED, head_key(here)),
        )


COPY_IDS = """
INSERT INTO own_ids SELECT conversation, own_id, message + ? FROM own_ids
WHERE conversation = ? AND message BETWEEN ? AND ?"""


def own_head(db: sqlite3.Connection, here: Here) -> Here:
    """Before the last turn of a path changes, the branch must own it: a shared one is repeated in the
    branch's own segment, and the fork moves back by one turn. The other branches keep theirs."""
    if here.head > here.fork:
        give_up(db, here, here.head)
        forget(db, here.segment * SEGMENT + here.head)
        return here
    count = _copy_head(db, here)
    fork = here.head - 1
    path = pieces(db, here.segment)
    parent = owner_of(path, fork, "").segment if fork else here.parent
    moved = here._replace(parent=parent, fork=fork, shared=here.shared - count, messages=count)
    db.execute(
        "UPDATE branches SET parent = ?, fork = ?, shared = ?, messages = ? WHERE segment = ?",
        (moved.parent, moved.fork, moved.shared, moved.messages, moved.segment),
    )
    give_up(db, moved, moved.head)
    return moved


def _copy_head(db: sqlite3.Connection, here: Here) -> int:
    """Repeat the last turn of the parent at the beginning of the segment; how many messages it has."""
    source, target = here.parent * SEGMENT, here.segment * SEGMENT
    before, count = db.execute(
        "SELECT before, messages FROM turns WHERE id = ?", (source + here.head,)
    ).fetchone()
    db.execute(
        "INSERT INTO turns SELECT ?, state, traits, marks, tokens, reasoning_tokens, messages, 0, 0,"
        " created_at, model, NULL, open_calls, error, reason FROM turns WHERE id = ?",
        (target + here.head, source + here.head),
    )
    db.execute(
        "INSERT INTO messages SELECT id - ? + ?, turn, role, traits, tokens, reasoning_tokens, model, body,"
        " reasoning, facts FROM messages WHERE id >= ? AND id < ?",
        (source + before, target, source + before, source + before + count),
    )
    keys = source + before, source + before + count - 1
    copy_quotes(db, *keys, target - keys[0])
    copy_media(db, *keys, target - keys[0])
    db.execute(COPY_IDS, (target - keys[0], here.key, *keys))
    return int(count)


# ------------------------------------------------------------------------------------------ marks


class Marking(NamedTuple):
    """What is set and cleared of the traits of a turn, or of the message at ``place`` in it, and why."""

    turn: int
    place: int | None
    set: int
    clear: int
    reason: str | None


def mark(db: sqlite3.Connection, here: Here, name: str, marking: Marking) -> None:
    """See `Store.mark`."""
    turn, place, added, cleared, reason = marking
    piece = owner_of(pieces(db, here.segment), turn, name)
    key = piece.segment * SEGMENT + turn
    before, count, marks, traits = db.execute(
        "SELECT before, messages, marks, traits FROM turns WHERE id = ?", (key,)
    ).fetchone()
    first = piece.segment * SEGMENT + before
    if place is None:
        marks = (marks & ~cleared) | added
    elif 0 <= place < count:
        db.execute(
            "UPDATE messages SET traits = (traits & ~?) | ? WHERE id = ?",
            (cleared & ~LASTING, added, first + place),
        )
    else:
        raise TurnNotFound(wanted=Reason("why.turn_with_message", turn=turn, place=place), conversation=name)
    db.execute(
        "UPDATE turns SET marks = ?, traits = ?, reason = COALESCE(?, reason) WHERE id = ?",
        (marks, (traits & IRREGULAR) | marks | _traits_of(db, first, count), reason, key),
    )
    note_standing(db, here.key, added)
    if (added | cleared) & GONE:  # a summary of this turn tells too much now, or too little
        give_up(db, here._replace(segment=piece.segment), turn, gone=True)
    if added & GONE:
        _unquote(db, first, count, place)


def _traits_of(db: sqlite3.Connection, first: int, count: int) -> int:
    """The traits of these messages together."""
    traits = 0
    for (own,) in db.execute(
        "SELECT DISTINCT traits FROM messages WHERE id >= ? AND id < ?", (first, first + count)
    ):
        traits |= own
    return traits


def _unquote(db: sqlite3.Connection, first: int, count: int, place: int | None) -> None:
    """Nobody quotes any more what was taken back: a message by itself, or with its input all of a turn."""
    if place is not None:
        role = db.execute("SELECT role FROM messages WHERE id = ?", (first + place,)).fetchone()[0]
        if role != ROLE_NUMBERS["user"]:
            first, count = first + place, 1
    citing_dropped(db, first, first + count - 1)
