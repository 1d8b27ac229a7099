"""What was recalled for a turn, and what becomes of it when what it quotes is withdrawn?"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ..messages import Trait
from ..path import Source
from ..window import Quotation
from .records import Lease
from .sqlite_pieces import Piece, pieces
from .sqlite_rows import SEGMENT

__all__ = ["citing_dropped", "copy_quotes", "drop_quotes", "keep_quote"]

QUOTED = Trait.QUOTED
GONE = Trait.RETRACTED | Trait.EXCLUDED
"""What carries one of these may not be quoted."""

INPUT = """
SELECT m.id FROM turns t JOIN messages m ON m.id >= (t.id & ~4294967295) + t.before
    AND m.id < (t.id & ~4294967295) + t.before + t.messages
WHERE t.id = ? AND m.role = 0 ORDER BY m.id DESC LIMIT 1"""


def keep_quote(db: sqlite3.Connection, lease: Lease, turn: int, quote: Quotation) -> None:
    """Put what was recalled beside the input of the turn with this key. What was withdrawn meanwhile
    is not kept."""
    row = db.execute(INPUT, (turn,)).fetchone() if quote.text else None
    sources = None if row is None else _sources(db, lease, turn // SEGMENT, quote.sources)
    if row is None or sources is None:
        return
    message = row[0]
    drop_quotes(db, message, message)
    db.execute("INSERT INTO quotes VALUES (?, ?, ?)", (message, quote.tokens, quote.text))
    db.executemany(
        "INSERT OR IGNORE INTO quote_sources VALUES (?, ?, ?)",
        [(message, key, source.score) for key, source in zip(sources, quote.sources, strict=True)],
    )
    db.execute(
        "UPDATE messages SET tokens = tokens + ?, traits = traits | ? WHERE id = ?",
        (quote.tokens, QUOTED, message),
    )
    db.execute(
        "UPDATE turns SET tokens = tokens + ?, traits = traits | ? WHERE id = ?",
        (quote.tokens, QUOTED, turn),
    )


# ---------------------------------------------------------------------------------------- sources

SEGMENT_IN_USE = "SELECT segment FROM conversations WHERE tenant = ? AND name = ?"
STANDS = f"""
SELECT m.id FROM turns t JOIN messages m ON m.id = (t.id & ~4294967295) + t.before + :place
WHERE t.id = :turn AND :place BETWEEN 0 AND t.messages - 1
    AND (t.marks & {GONE}) = 0 AND (m.traits & {GONE}) = 0
    AND NOT EXISTS (SELECT 1 FROM messages u WHERE u.id >= (t.id & ~4294967295) + t.before
        AND u.id < (t.id & ~4294967295) + t.before + t.messages
        AND u.role = 0 AND (u.traits & {GONE}) <> 0)"""


def _sources(
    db: sqlite3.Connection, lease: Lease, segment: int, sources: Sequence[Source]
) -> Sequence[int] | None:
    """The keys of the messages that are quoted; ``None`` where one of them is no more to be had."""
    here = pieces(db, segment)
    paths: dict[str | None, Sequence[Piece]] = {None: here, lease.conversation: here}
    found: list[int] = []
    for source in sources:
        if source.conversation not in paths:
            row = db.execute(SEGMENT_IN_USE, (lease.owner.tenant, source.conversation)).fetchone()
            paths[source.conversation] = pieces(db, row[0]) if row else ()
        key = _standing(db, paths[source.conversation], source)
        if key is None:
            return None
        found.append(key)
    return found


def _standing(db: sqlite3.Connection, path: Sequence[Piece], source: Source) -> int | None:
    for piece in path:
        if piece.first <= source.turn <= piece.last:
            values = {"turn": piece.segment * SEGMENT + source.turn, "place": source.place}
            row = db.execute(STANDS, values).fetchone()
            return None if row is None else int(row[0])
    return None


# ---------------------------------------------------------------------------------------- leaving


def drop_quotes(db: sqlite3.Connection, first: int, last: int) -> None:
    """The messages with these keys quote nothing any more."""
    rows = db.execute("SELECT message FROM quotes WHERE message BETWEEN ? AND ?", (first, last))
    for (message,) in rows.fetchall():
        _drop(db, message)


def citing_dropped(db: sqlite3.Connection, first: int, last: int) -> None:
    """Nothing quotes the messages with these keys any more."""
    rows = db.execute(
        "SELECT DISTINCT message FROM quote_sources WHERE source BETWEEN ? AND ?", (first, last)
    )
    for (message,) in rows.fetchall():
        _drop(db, message)


def _drop(db: sqlite3.Connection, message: int) -> None:
    tokens = db.execute("DELETE FROM quotes WHERE message = ? RETURNING tokens", (message,)).fetchone()[0]
    db.execute("DELETE FROM quote_sources WHERE message = ?", (message,))
    turn = db.execute(
        "UPDATE messages SET tokens = tokens - ?, traits = traits & ~? WHERE id = ? RETURNING turn",
        (tokens, QUOTED, message),
    ).fetchone()[0]
    db.execute(
        "UPDATE turns SET tokens = tokens - ?, traits = traits & ~? WHERE id = ?",
        (tokens, QUOTED, (message // SEGMENT) * SEGMENT + turn),
    )


def copy_quotes(db: sqlite3.Connection, first: int, last: int, offset: int) -> None:
    """Messages with these keys were repeated ``offset`` further on."""
    db.execute(
        "INSERT INTO quotes SELECT message + ?, tokens, text FROM quotes WHERE message BETWEEN ? AND ?",
        (offset, first, last),
    )
    db.execute(
        "INSERT INTO quote_sources SELECT message + ?, source, score FROM quote_sources"
        " WHERE message BETWEEN ? AND ?",
        (offset, first, last),
    )
