"""Which ranges of rows is a path made of? The branch's own segment and, before it, its parent's up to the
fork, and so on."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from ..errors import TurnNotFound
from .sqlite_rows import SEGMENT

__all__ = [
    "HEAD_COLUMNS",
    "Head",
    "Piece",
    "backwards",
    "head_of",
    "messages_before",
    "owner_of",
    "pieces",
]


class Piece(NamedTuple):
    """Turns ``first`` to ``last`` of a path, which lie in one segment; ``shared`` counts the path's
    messages before the segment's own first turn."""

    segment: int
    branch: int
    first: int
    last: int
    shared: int

    @property
    def keys(self) -> tuple[int, int]:
        """The keys of its first and last turn."""
        return self.segment * SEGMENT + self.first, self.segment * SEGMENT + self.last


PIECES = """
WITH RECURSIVE path (segment, number, parent, fork, last, shared) AS (
    SELECT segment, number, parent, fork, head, shared FROM branches WHERE segment = ?
    UNION ALL
    SELECT b.segment, b.number, b.parent, b.fork, p.fork, b.shared
    FROM path p JOIN branches b ON b.segment = p.parent WHERE p.fork > 0
)
SELECT segment, number, fork + 1, last, shared FROM path WHERE last > fork"""


def pieces(db: sqlite3.Connection, segment: int) -> Sequence[Piece]:
    """The ranges of the whole path, in time order."""
    return [Piece._make(row) for row in db.execute(PIECES, (segment,))][::-1]


def owner_of(path: Sequence[Piece], turn: int, conversation: str) -> Piece:
    """The piece that holds the turn; raises `TurnNotFound`."""
    for piece in path:
        if piece.first <= turn <= piece.last:
            return piece
    raise TurnNotFound(wanted=turn, conversation=conversation)


HEAD_COLUMNS = """c.expires_after, c.user, c.standing, s.version, s.body,
    b.cut_turn, b.cut_key, b.cut_scale, b.request, b.summary,
    b.segment, b.number, b.parent, b.fork, b.head, b.shared, b.messages"""


class Head(NamedTuple):
    """A branch, as `HEAD_COLUMNS` reads it."""

    expires_after: int | None
    user: str
    standing: int
    version: int | None
    settings: bytes | None
    cut_turn: int | None
    cut_key: str | None
    cut_scale: float
    request: bytes | None
    summary: int | None
    segment: int
    number: int
    parent: int
    fork: int
    head: int
    shared: int
    messages: int


head_of: Callable[[Iterable[Any]], Head] = partial(tuple.__new__, Head)
PARENT = "SELECT segment, number, parent, fork, shared FROM branches WHERE segment = ?"


def backwards(db: sqlite3.Connection, place: Head, last: int) -> Iterator[Piece]:
    """The pieces of the path up to turn ``last``, newest first; parents are read when reached."""
    segment, branch, parent, fork, shared = (
        place.segment,
        place.number,
        place.parent,
        place.fork,
        place.shared,
    )
    while True:
        if last > fork:
            yield Piece(segment, branch, fork + 1, last, shared)
        if fork == 0:
            return
        last = min(last, fork)
        segment, branch, parent, fork, shared = db.execute(PARENT, (parent,)).fetchone()


def messages_before(db: sqlite3.Connection, place: Head, turn: int) -> int:
    """How many messages the path has before ``turn``."""
    piece = next(backwards(db, place, turn - 1), None)
    if piece is None:
        return 0
    row = db.execute("SELECT before + messages FROM turns WHERE id = ?", (piece.keys[1],)).fetchone()
    return piece.shared + int(row[0])
