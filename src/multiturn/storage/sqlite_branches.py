"""Which branches are there, and how does a new one come about?"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ..conversations import Branch, Owner
from .sqlite_conversations import Here, require
from .sqlite_pieces import owner_of, pieces
from .sqlite_rows import SEGMENT
from .sqlite_summaries import inherited

__all__ = ["branches", "fork", "new_branch", "switch"]

INSERT = """
INSERT INTO branches
    (conversation, number, parent, fork, head, shared, cut_turn, cut_key, cut_scale, request, summary)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING segment"""


def new_branch(db: sqlite3.Connection, here: Here, name: str, after: int) -> tuple[int, int]:
    """A branch that shares the turns of this path up to ``after``: its number and segment. A cut that
    still lies on the shared part is kept, so the provider's cache stays warm, and the newest summary of
    nothing but shared turns. Raises `TurnNotFound`."""
    parent, shared = here.segment, 0
    if after:
        piece = owner_of(pieces(db, here.segment), after, name)
        parent = piece.segment
        row = db.execute("SELECT before + messages FROM turns WHERE id = ?", (parent * SEGMENT + after,))
        shared = piece.shared + int(row.fetchone()[0])
    keeps_cut = here.cut_turn is not None and here.cut_turn <= after + 1
    cut = (here.cut_turn, here.cut_key, here.cut_scale) if keeps_cut else (None, None, 0)
    place = (here.key, here.branches, parent, after, after, shared)
    segment = db.execute(INSERT, (*place, *cut, here.request, inherited(db, here, after))).fetchone()[0]
    db.execute("UPDATE conversations SET branches = branches + 1 WHERE id = ?", (here.key,))
    return here.branches, segment


def fork(db: sqlite3.Connection, owner: Owner, name: str, after: int, branch: int | None) -> int:
    """See `Store.fork`."""
    return new_branch(db, require(db, owner, name, branch), name, after)[0]


def switch(db: sqlite3.Connection, owner: Owner, name: str, branch: int) -> None:
    """See `Store.switch`."""
    here = require(db, owner, name, branch)
    db.execute("UPDATE conversations SET segment = ? WHERE id = ?", (here.segment, here.key))


def branches(db: sqlite3.Connection, owner: Owner, name: str) -> Sequence[Branch]:
    """See `Store.branches`."""
    here = require(db, owner, name)
    rows = db.execute(
        "SELECT b.number, p.number, b.fork, b.head, b.segment = ? FROM branches b"
        " LEFT JOIN branches p ON p.segment = b.parent WHERE b.conversation = ? ORDER BY b.number",
        (here.in_use, here.key),
    )
    return [Branch(number, parent, fork, head, bool(used)) for number, parent, fork, head, used in rows]
