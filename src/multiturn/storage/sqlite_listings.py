"""Which conversations are there, and what is told and noted of each?"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from ..conversations import Conversation, Owner
from ..errors import ConversationNotFound
from .sqlite_conversations import require
from .sqlite_rows import LASTS, NOW, read_settings, write_metadata, write_seconds

__all__ = ["conversation", "conversations", "describe", "lookup"]

CONVERSATION = f"""
SELECT (SELECT MAX(held_until) / 1000.0 FROM branches WHERE conversation = c.id AND held_until >= {NOW}),
    c.name, c.ulid, c.user, c.created_at, c.updated_at, s.version, s.body, b.number, b.head,
    b.shared + b.messages, c.title, c.metadata, c.expires_after
FROM conversations c JOIN branches b ON b.segment = c.segment LEFT JOIN settings s ON s.id = c.settings"""


def _conversation(row: Sequence[Any]) -> Conversation:
    held_until, name, ulid, user, created_at, updated_at, version, body, *rest = row
    branch, turns, messages, title, metadata, expires_after = rest
    return Conversation(
        name,
        ulid,
        user,
        created_at / 1000,
        updated_at / 1000,
        read_settings(version, body),
        branch,
        turns,
        messages,
        title,
        held_until,
        orjson.loads(metadata or "{}"),
        None if expires_after is None else expires_after / 1000,
    )


ONE = f"{CONVERSATION} WHERE c.tenant = ? AND c.name = ? AND {LASTS}"


def conversation(db: sqlite3.Connection, owner: Owner, name: str) -> Conversation:
    """One conversation."""
    row = db.execute(ONE, (owner.tenant, name)).fetchone()
    if row is None or owner.user not in (None, row[3]):
        raise ConversationNotFound(conversation=name)
    return _conversation(row)


BY_KEY = f"{CONVERSATION} WHERE c.id = ?"


def describe(
    db: sqlite3.Connection,
    owner: Owner,
    name: str,
    metadata: Mapping[str, str] | None,
    expires_after: float | None,
) -> Conversation:
    """See `Store.describe`."""
    key = require(db, owner, name).key
    if metadata is not None:
        db.execute("UPDATE conversations SET metadata = ? WHERE id = ?", (write_metadata(metadata), key))
    if expires_after is not None:
        db.execute(
            f"UPDATE conversations SET expires_after = ?, updated_at = {NOW} WHERE id = ?",
            (write_seconds(expires_after), key),
        )
    return _conversation(db.execute(BY_KEY, (key,)).fetchone())


LISTED = f"""{CONVERSATION}
WHERE c.tenant = :tenant AND c.user = :user AND {LASTS}
    AND (c.updated_at, c.id) < (:time, :key) AND (c.updated_at, c.id) > (:from, :first)
    AND NOT EXISTS (SELECT key, value FROM json_each(:metadata)
        EXCEPT SELECT key, value FROM json_each(COALESCE(c.metadata, '{{}}')))
ORDER BY c.updated_at DESC, c.id DESC LIMIT :limit"""
LISTED_ALL = LISTED.replace("AND c.user = :user ", "")
OLDEST, OLDEST_ALL = (each.replace("DESC", "ASC") for each in (LISTED, LISTED_ALL))
LAST_USED = f"""
SELECT c.updated_at, c.id, c.user FROM conversations c WHERE c.tenant = ? AND c.name = ? AND {LASTS}"""
END_OF_TIME = (1 << 63) - 1


def conversations(
    db: sqlite3.Connection,
    owner: Owner,
    limit: int,
    before: str | None,
    after: str | None,
    metadata: Mapping[str, str],
    *,
    oldest: bool,
) -> Sequence[Conversation]:
    """See `Store.conversations`."""
    time, key = (END_OF_TIME, END_OF_TIME) if before is None else _last_used(db, owner, before)
    start, first = (-1, -1) if after is None else _last_used(db, owner, after)
    values = {
        "tenant": owner.tenant,
        "user": owner.user,
        "time": time,
        "key": key,
        "from": start,
        "first": first,
        "metadata": write_metadata(metadata) or "{}",
        "limit": limit,
    }
    everybody, one = (OLDEST_ALL, OLDEST) if oldest else (LISTED_ALL, LISTED)
    rows = db.execute(everybody if owner.user is None else one, values)
    return [_conversation(row) for row in rows]


def _last_used(db: sqlite3.Connection, owner: Owner, name: str) -> tuple[int, int]:
    row = db.execute(LAST_USED, (owner.tenant, name)).fetchone()
    if row is None or owner.user not in (None, row[2]):
        raise ConversationNotFound(conversation=name)
    return row[0], row[1]


def lookup(db: sqlite3.Connection, owner: Owner, ulid: str) -> str:
    """The application's id of the conversation with this ULID."""
    row = db.execute(
        f"SELECT c.tenant, c.user, c.name FROM conversations c WHERE c.ulid = ? AND {LASTS}", (ulid,)
    ).fetchone()
    if row is None or row[0] != owner.tenant or owner.user not in (None, row[1]):
        raise ConversationNotFound(conversation=ulid)
    return str(row[2])
