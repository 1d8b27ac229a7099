"""Where are pictures kept? Long strings of messages with media are stored once for each tenant.

They are cut out of the body before it is stored, and put back at their byte when it is read: so a body
comes back as it was, and nothing that a user writes can be taken for a reference.
"""

from __future__ import annotations

import re
import sqlite3
from hashlib import sha256

from ..messages import Trait

__all__ = ["copy_media", "drop_media", "put_back", "take_out"]

LONG = re.compile(rb'"([!#-\[\]-~]{4096,}+)"')
"""A string of JSON of at least 4 KiB without a blank, an escape or a letter beyond ASCII: a ``data:``
URL, or base64 by itself."""
MEDIA = Trait.MEDIA

STORE = """
INSERT INTO blobs (tenant, hash, body) SELECT tenant, ?, ? FROM conversations WHERE id = ?
ON CONFLICT DO NOTHING"""
REFER = """
INSERT INTO media SELECT ?, ?, b.id FROM blobs b JOIN conversations c ON c.tenant = b.tenant
WHERE c.id = ? AND b.hash = ?"""


def take_out(db: sqlite3.Connection, conversation: int, message: int, body: bytes) -> bytes:
    """What of the body of a message with media is stored with it; the rest is kept once."""
    kept: list[bytes] = []
    done = place = 0
    for found in LONG.finditer(body):
        kept.append(body[done : found.start(1)])
        place += len(kept[-1])
        done = found.end(1)
        name = sha256(found[1]).digest()
        db.execute(STORE, (name, found[1], conversation))
        db.execute(REFER, (message, place, conversation, name))
    return b"".join((*kept, body[done:])) if kept else body


def put_back(db: sqlite3.Connection, message: int, body: bytes) -> bytes:
    """The body as it came, of what is stored of it."""
    rows = db.execute(
        "SELECT m.place, b.body FROM media m JOIN blobs b ON b.id = m.blob WHERE m.message = ?"
        " ORDER BY m.place",
        (message,),
    )
    whole: list[bytes] = []
    done = 0
    for place, blob in rows:
        whole += (body[done:place], blob)
        done = place
    return b"".join((*whole, body[done:])) if whole else body


def copy_media(db: sqlite3.Connection, first: int, last: int, offset: int) -> None:
    """Messages with these keys were repeated ``offset`` further on."""
    db.execute(
        "INSERT INTO media SELECT message + ?, place, blob FROM media WHERE message BETWEEN ? AND ?",
        (offset, first, last),
    )


def drop_media(db: sqlite3.Connection, first: int, last: int) -> None:
    """Messages with these keys are gone, and with them what only they referred to."""
    rows = db.execute("DELETE FROM media WHERE message BETWEEN ? AND ? RETURNING blob", (first, last))
    for blob in {row[0] for row in rows}:
        db.execute(
            "DELETE FROM blobs WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM media WHERE blob = ?1)", (blob,)
        )
