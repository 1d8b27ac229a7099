"""Which ranges of rows is a path made of? The branch's own segment and, before it, its parent's up to the
fork, and so on."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from ..errors import TurnNotFound
from .sqlite_rows import SEGMENT

__all__ = ["Piece", "owner_of", "pieces"]


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
