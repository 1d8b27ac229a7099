"""What does the turn being answered quote? Its later steps tell that, too: the quotation is still sent."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from ..path import Source
from .sqlite_rows import SEGMENT

__all__ = ["sources"]

QUOTED = f"""
SELECT s.source, o.id, m.turn, s.score, (m.id & 4294967295) - o.before, c.name
FROM turns t JOIN quote_sources s ON s.message >= (t.id & ~4294967295) + t.before
    AND s.message < (t.id & ~4294967295) + t.before + t.messages
    JOIN messages m ON m.id = s.source JOIN turns o ON o.id = (m.id & ~4294967295) + m.turn
    JOIN branches b ON b.segment = m.id / {SEGMENT} JOIN conversations c ON c.id = b.conversation
WHERE t.id = ? ORDER BY s.source"""


def sources(db: sqlite3.Connection, turn: int, path: Iterable[tuple[int, int, int]]) -> tuple[Source, ...]:
    """What the turn with this key quotes. ``path`` are the keys of the first and last turn of each piece, and
    how many messages stand before its segment: what lies on none of them is of another conversation."""
    ranges = list(path)
    found: list[Source] = []
    for message, its_turn, number, score, place, name in db.execute(QUOTED, (turn,)):
        shared = next((shared for first, last, shared in ranges if first <= its_turn <= last), None)
        if shared is None:
            found.append(Source(number, place, score, name))
        else:
            found.append(Source(number, place, score, None, shared + message % SEGMENT))
    return tuple(found)
