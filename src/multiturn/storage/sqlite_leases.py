"""Whose turn is it? The lease of a conversation, the queue for it, and turns whose holder is gone."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from ..conversations import Owner, TurnState
from ..errors import TurnExpired
from ..messages import Trait
from ..sealing import seal
from ..tokens import count_message
from .records import Lease
from .sqlite_conversations import HELD, Here, require
from .sqlite_exchanges import keep_course
from .sqlite_rows import NOW, SEGMENT
from .sqlite_segments import extend
from .sqlite_withheld import note_standing

__all__ = [
    "TICKET_LIFE",
    "Queued",
    "cancel",
    "drop_ticket",
    "fenced",
    "keep_ticket",
    "line_up",
    "may_go",
    "recover",
    "renew",
    "settle",
]

TICKET_LIFE = 1.5
"""Seconds after which a ticket lapses whose holder does not say that it still waits."""


class Queued(NamedTuple):
    """Not yet: the ticket with which to wait (``None``: whoever asked did not want to)."""

    key: int
    ticket: int | None


# ------------------------------------------------------------------------------------------ queue


def line_up(
    db: sqlite3.Connection, here: Here, ticket: int | None, *, wait: bool, interrupt: bool = False
) -> Queued | None:
    """``None``: the lease may be taken now, and the ticket is used up. Else the place in the queue."""
    held = here.held_until is not None and here.held_until >= here.now
    behind = here.first_ticket is not None and (ticket is None or here.first_ticket < ticket)
    if not held and not behind:
        if ticket is not None:
            drop_ticket(db, ticket)
        return None
    if held and interrupt:
        db.execute("UPDATE conversations SET stop = 1 WHERE id = ?", (here.key,))
    if not wait:
        return Queued(here.key, None)
    return Queued(here.key, keep_ticket(db, here.key, ticket))


def keep_ticket(db: sqlite3.Connection, key: int, ticket: int | None) -> int:
    """A new ticket, or more time for this one, whose place it keeps."""
    life = int(TICKET_LIFE * 1000)
    if ticket is None:
        db.execute("DELETE FROM tickets WHERE conversation = ? AND expires <= " + NOW, (key,))
    row = db.execute(
        f"INSERT INTO tickets (id, conversation, expires) VALUES (?, ?, {NOW} + ?)"
        " ON CONFLICT (id) DO UPDATE SET expires = excluded.expires RETURNING id",
        (ticket, key, life),
    ).fetchone()
    return int(row[0])


def drop_ticket(db: sqlite3.Connection, ticket: int) -> None:
    """Whoever held it waits no more."""
    db.execute("DELETE FROM tickets WHERE id = ?", (ticket,))


MAY_GO = f"""
SELECT 1 FROM conversations c WHERE c.id = :key
    AND (c.held_until IS NULL OR c.held_until < {NOW})
    AND NOT EXISTS (SELECT 1 FROM tickets WHERE conversation = c.id AND id < :ticket AND expires > {NOW})
UNION ALL
SELECT 1 FROM request_keys k JOIN turns t ON t.id = k.turn
    WHERE k.conversation = :key AND k.key = :request AND t.state >= 2
UNION ALL
SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM conversations WHERE id = :key)"""


def may_go(db: sqlite3.Connection, key: int, ticket: int, request: str | None) -> bool:
    """Whether it is worth another try: the lease is free and nobody is before us, or the turn of our
    request key has ended, or the conversation is gone."""
    values = {"key": key, "ticket": ticket, "request": request}
    return db.execute(MAY_GO, values).fetchone() is not None


# ------------------------------------------------------------------------------------------ lease


def fenced(db: sqlite3.Connection, lease: Lease) -> bool:
    """Raise `TurnExpired` unless the lease still holds; whether the turn may go on."""
    row = db.execute(
        "SELECT stop FROM conversations WHERE id = ? AND epoch = ? AND " + HELD,
        (lease.key, lease.epoch, lease.limited),
    ).fetchone()
    if row is None:
        raise TurnExpired
    return not row[0]


def renew(db: sqlite3.Connection, lease: Lease, hold: float) -> bool:
    """See `Store.renew`."""
    going = fenced(db, lease)
    db.execute(f"UPDATE conversations SET held_until = {NOW} + ? WHERE id = ?", (int(hold * 1000), lease.key))
    return going


def cancel(db: sqlite3.Connection, owner: Owner, name: str, turn: int | None, branch: int | None) -> bool:
    """See `Store.cancel`."""
    here = require(db, owner, name, branch)
    asked = db.execute(
        f"UPDATE conversations SET stop = 1 WHERE id = ? AND held_until >= {NOW}"
        " AND held_turn = IFNULL(?, held_turn)",
        (here.key, None if turn is None else here.segment * SEGMENT + turn),
    )
    return asked.rowcount > 0


# --------------------------------------------------------------------------------------- recovery


def settle(db: sqlite3.Connection, owner: Owner, name: str) -> None:
    """See `Store.settle`."""
    here = require(db, owner, name)
    if here.held_until is not None and here.held_until < here.now:
        recover(db, owner, name, here)


def recover(db: sqlite3.Connection, owner: Owner, name: str, here: Here) -> Here:
    """Close the turn of a holder whose time ran out, and free its lease.

    What had arrived is kept as the assistant's message; where no words had, there is none.
    """
    if here.held_turn is None:
        return here
    number = db.execute(
        "SELECT number FROM branches WHERE segment = ?", (here.held_turn // SEGMENT,)
    ).fetchone()[0]
    there = require(db, owner, name, number)
    stopped = Trait.STOPPED if _asked_to_stop(db, here) else 0
    _keep_partials(db, there)
    db.execute(
        "UPDATE turns SET state = ?, marks = marks | ?, traits = traits | ? WHERE id = ?",
        (TurnState.INCOMPLETE, stopped, stopped, here.held_turn),
    )
    note_standing(db, here.key, stopped, TurnState.INCOMPLETE)
    db.execute(
        "UPDATE conversations SET held_until = NULL, held_turn = NULL, stop = 0, epoch = epoch + 1"
        " WHERE id = ?",
        (here.key,),
    )
    return require(db, owner, name, here.branch)


def _asked_to_stop(db: sqlite3.Connection, here: Here) -> bool:
    return bool(db.execute("SELECT stop FROM conversations WHERE id = ?", (here.key,)).fetchone()[0])


def _keep_partials(db: sqlite3.Connection, there: Here) -> None:
    steps = db.execute("SELECT steps FROM turns WHERE id = ?", (there.held_turn,)).fetchone()[0]
    rows = db.execute(
        "SELECT text, reasoning, course FROM partials WHERE conversation = ? ORDER BY number", (there.key,)
    ).fetchall()
    keep_course(db, there.segment * SEGMENT + there.head, steps, b"".join(row[2] or b"" for row in rows))
    db.execute("DELETE FROM partials WHERE conversation = ?", (there.key,))
    text = b"".join(row[0] for row in rows).decode()
    thoughts = [row[1] for row in rows if row[1] is not None]
    if text.strip():
        message = {"role": "assistant", "content": text}
        if thoughts:
            message["reasoning_content"] = b"".join(thoughts).decode()
        extend(db, there, [seal(message, count_message)])
