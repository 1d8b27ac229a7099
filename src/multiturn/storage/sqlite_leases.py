"""Whose turn is it? The lease of a branch, the queue for it, and turns whose holder is gone."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
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
    "Running",
    "cancel",
    "drop_ticket",
    "fenced",
    "keep_ticket",
    "line_up",
    "may_go",
    "recover",
    "renew",
    "running",
    "settle",
]

TICKET_LIFE = 1.5
"""Seconds after which a ticket lapses whose holder does not say that it still waits."""


class Queued(NamedTuple):
    """Not yet: the ticket with which to wait (``None``: whoever asked did not want to), and the one segment
    whose turn is waited for (``None``: all of the conversation, and whoever came before)."""

    key: int
    ticket: int | None
    segment: int | None = None


class Running(NamedTuple):
    """A turn that has not ended: the segment and the number of its branch, until when it is held."""

    segment: int
    branch: int
    until: int


# ------------------------------------------------------------------------------------------ queue


RUNNING = "SELECT segment, number, held_until FROM branches WHERE conversation = ? AND held_until IS NOT NULL"


def running(db: sqlite3.Connection, here: Here) -> Sequence[Running]:
    """The turns of the conversation that have not ended, also those whose holder is gone."""
    if here.branches == 1:
        return () if here.held_until is None else (Running(here.segment, here.branch, here.held_until),)
    return [Running._make(row) for row in db.execute(RUNNING, (here.key,))]


def line_up(
    db: sqlite3.Connection,
    here: Here,
    ticket: int | None,
    hindrances: Sequence[Running],
    *,
    wait: bool,
    interrupt: bool = False,
    beside: bool = False,
) -> Queued | None:
    """``None``: none of these turns is in the way, and the ticket is used up. Else the place in the queue.
    ``beside``: it waits for no other turns, and for nobody who does."""
    held = [each.segment for each in hindrances if each.until >= here.now]
    behind = here.first_ticket is not None and (ticket is None or here.first_ticket < ticket)
    if not held and (beside or not behind):
        if ticket is not None:
            drop_ticket(db, ticket)
        return None
    if interrupt:
        db.executemany("UPDATE branches SET stop = 1 WHERE segment = ?", [(each,) for each in held])
    segment = held[0] if beside else None
    return Queued(here.key, keep_ticket(db, here.key, ticket) if wait else None, segment)


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
SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM branches WHERE conversation = :key AND held_until >= {NOW}
        AND segment = IFNULL(:segment, segment))
    AND (:segment IS NOT NULL
        OR NOT EXISTS (SELECT 1 FROM tickets WHERE conversation = :key AND id < :ticket AND expires > {NOW}))
UNION ALL
SELECT 1 FROM request_keys k JOIN turns t ON t.id = k.turn
    WHERE k.conversation = :key AND k.key = :request AND t.state >= 2"""


def may_go(db: sqlite3.Connection, queued: Queued, request: str | None) -> bool:
    """Whether it is worth another try: what is waited for is over, or the turn of our request key has ended,
    or the conversation is gone."""
    values = {**queued._asdict(), "request": request}
    return db.execute(MAY_GO, values).fetchone() is not None


# ------------------------------------------------------------------------------------------ lease


def fenced(db: sqlite3.Connection, lease: Lease) -> bool:
    """Raise `TurnExpired` unless the lease still holds; whether the turn may go on."""
    row = db.execute(
        f"SELECT stop FROM branches WHERE segment = ? AND conversation = ? AND {HELD}",
        (lease.segment, lease.key, lease.epoch, lease.limited),
    ).fetchone()
    if row is None:
        raise TurnExpired
    return not row[0]


def renew(db: sqlite3.Connection, lease: Lease, hold: float) -> bool:
    """See `Store.renew`."""
    going = fenced(db, lease)
    until = int(hold * 1000)
    db.execute(f"UPDATE branches SET held_until = {NOW} + ? WHERE segment = ?", (until, lease.segment))
    return going


def cancel(db: sqlite3.Connection, owner: Owner, name: str, turn: int | None, branch: int | None) -> bool:
    """See `Store.cancel`."""
    here = require(db, owner, name, branch)
    asked = db.execute(
        f"UPDATE branches SET stop = 1 WHERE conversation = ?1 AND held_until >= {NOW}"
        " AND (?2 IS NULL OR (segment = ?3 AND head = ?2))",
        (here.key, turn, here.segment),
    )
    return asked.rowcount > 0


# --------------------------------------------------------------------------------------- recovery


def settle(db: sqlite3.Connection, owner: Owner, name: str) -> None:
    """See `Store.settle`."""
    here = require(db, owner, name)
    recover(db, owner, name, here, running(db, here))


def recover(db: sqlite3.Connection, owner: Owner, name: str, here: Here, turns: Sequence[Running]) -> Here:
    """Close those of the turns whose holder's time ran out, and free their leases.

    What had arrived is kept as the assistant's message; where no words had, there is none.
    """
    left = [each for each in turns if each.until < here.now]
    for each in left:
        _close(db, require(db, owner, name, each.branch))
    return require(db, owner, name, here.branch) if left else here


def _close(db: sqlite3.Connection, there: Here) -> None:
    turn = there.segment * SEGMENT + there.head
    asked = db.execute("SELECT stop FROM branches WHERE segment = ?", (there.segment,)).fetchone()[0]
    stopped = Trait.STOPPED if asked else 0
    _keep_partials(db, there)
    db.execute(
        "UPDATE turns SET state = ?, marks = marks | ?, traits = traits | ? WHERE id = ?",
        (TurnState.INCOMPLETE, stopped, stopped, turn),
    )
    note_standing(db, there.key, stopped, TurnState.INCOMPLETE)
    db.execute("UPDATE branches SET held_until = NULL WHERE segment = ?", (there.segment,))


def _keep_partials(db: sqlite3.Connection, there: Here) -> None:
    turn = there.segment * SEGMENT + there.head
    steps = db.execute("SELECT steps FROM turns WHERE id = ?", (turn,)).fetchone()[0]
    rows = db.execute(
        "SELECT text, reasoning, course FROM partials WHERE segment = ? ORDER BY number", (there.segment,)
    ).fetchall()
    keep_course(db, turn, steps, b"".join(row[2] or b"" for row in rows))
    db.execute("DELETE FROM partials WHERE segment = ?", (there.segment,))
    text = b"".join(row[0] for row in rows).decode()
    thoughts = [row[1] for row in rows if row[1] is not None]
    if text.strip():
        message = {"role": "assistant", "content": text}
        if thoughts:
            message["reasoning_content"] = b"".join(thoughts).decode()
        extend(db, there, [seal(message, count_message)])
