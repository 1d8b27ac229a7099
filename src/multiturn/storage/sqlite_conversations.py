"""Where is a conversation, what is in force in it, and how does it come and go?"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

import orjson

from ..conversations import Declared, Owner, Settings, new_ulid
from ..errors import ConversationError, ConversationNotFound, TurnExpired
from ..messages import Entry
from ..phrases import Reason
from .records import Lease
from .sqlite_media import drop_media
from .sqlite_quotes import citing_dropped, drop_quotes
from .sqlite_rows import (
    LASTS,
    NOW,
    SEGMENT,
    last_key,
    read_settings,
    write_metadata,
    write_seconds,
    write_settings,
)
from .sqlite_terms import forget_segment

__all__ = [
    "HELD",
    "Here",
    "declare",
    "delete",
    "delete_user",
    "find",
    "find_held",
    "head_key",
    "require",
    "settings_of",
    "settings_so_far",
    "sweep",
    "title_of",
]


TITLE = 80
"""Characters of the first user message that name a conversation."""


class Here(NamedTuple):
    """A conversation and the branch that is worked on, as a writer sees them."""

    key: int
    user: str
    ulid: str
    title: str
    in_use: int
    branches: int
    segment: int
    branch: int
    epoch: int
    held_until: int | None
    """Until when the last turn of the branch is held; ``None``: it has ended."""
    parent: int
    fork: int
    head: int
    shared: int
    messages: int
    cut_turn: int | None
    cut_key: str | None
    cut_scale: float
    request: bytes | None
    summary: int | None
    """The key of the one in force."""
    indexed: int
    """Messages of the segment, from its first on, whose words are in the index of recall."""
    head_state: int | None
    """State of the last turn of the path."""
    version: int | None
    settings: bytes | None
    """Those in force, as they are stored."""
    first_ticket: int | None
    now: int


COLUMNS = """c.id, c.user, c.ulid, c.title, c.segment, c.branches,
    b.segment, b.number, b.epoch, b.held_until, b.parent, b.fork, b.head, b.shared, b.messages,
    b.cut_turn, b.cut_key, b.cut_scale, b.request, b.summary, b.indexed,
    (SELECT state FROM turns
        WHERE id = (CASE WHEN b.head > b.fork THEN b.segment ELSE b.parent END << 32) + b.head)"""
FIND = f"""
SELECT {COLUMNS}, s.version, s.body,
    (SELECT MIN(id) FROM tickets WHERE conversation = c.id AND expires > {NOW}), {NOW}
FROM conversations c JOIN branches b ON b.segment = c.segment LEFT JOIN settings s ON s.id = c.settings
WHERE c.tenant = ? AND c.name = ? AND {LASTS}"""
HELD = f"epoch = ? AND held_until >= CASE WHEN ? THEN {NOW} ELSE 0 END"
"""A branch is still held by the lease with this epoch; one whose time is limited, only until that is over."""
FIND_HELD = f"""
SELECT {COLUMNS}, NULL, NULL, NULL, {NOW}
FROM branches b JOIN conversations c ON c.id = b.conversation
WHERE b.segment = ? AND b.conversation = ? AND b.{HELD}"""
FIND_BRANCH = FIND.replace("b.segment = c.segment", "b.conversation = c.id AND b.number = ?")


def head_key(here: Here) -> int:
    """The key of the last turn of the path; of no turn where there is none."""
    return (here.segment if here.head > here.fork else here.parent) * SEGMENT + here.head


def find(db: sqlite3.Connection, owner: Owner, name: str, branch: int | None = None) -> Here | None:
    """The conversation, or ``None`` where there is none. One of another user's, or a branch that is
    not there, is an error."""
    if branch is None:
        row = db.execute(FIND, (owner.tenant, name)).fetchone()
    else:
        row = db.execute(FIND_BRANCH, (branch, owner.tenant, name)).fetchone()
    if row is None:
        if branch is not None and find(db, owner, name) is not None:
            raise ConversationError(Reason("why.no_branch", branch=branch))
        return None
    if owner.user is not None and owner.user != row[1]:
        raise ConversationNotFound(conversation=name)
    return Here._make(row)


def find_held(db: sqlite3.Connection, lease: Lease) -> Here:
    """Where the lease is, on the branch of its turn; raises `TurnExpired` unless it still holds."""
    row = db.execute(FIND_HELD, (lease.segment, lease.key, lease.epoch, lease.limited)).fetchone()
    if row is None:
        raise TurnExpired
    return Here._make(row)


def require(
    db: sqlite3.Connection,
    owner: Owner,
    name: str,
    branch: int | None = None,
    *,
    make: Declared | None = None,
) -> Here:
    """The conversation; one that is not there is made as declared, or is an error."""
    here = find(db, owner, name, branch)
    if here is None and make is not None and not branch:
        _make(db, owner, name, make)
        here = find(db, owner, name, branch)
    if here is None:
        raise ConversationNotFound(conversation=name)
    return here


def _make(db: sqlite3.Connection, owner: Owner, name: str, declared: Declared) -> None:
    now = int(db.execute(f"SELECT {NOW}").fetchone()[0])
    over = db.execute("SELECT id FROM conversations WHERE tenant = ? AND name = ?", (owner.tenant, name))
    for (key,) in over.fetchall():
        _delete(db, key)
    kept = write_metadata(declared.metadata or {}), write_seconds(declared.expires_after)
    key = db.execute(
        "INSERT INTO conversations (tenant, name, user, ulid, created_at, updated_at, metadata,"
        " expires_after) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (owner.tenant, name, owner.user or "", new_ulid(now / 1000), now, now, *kept),
    ).lastrowid
    segment = db.execute("INSERT INTO branches (conversation, number) VALUES (?, 0)", (key,)).lastrowid
    db.execute("UPDATE conversations SET segment = ? WHERE id = ?", (segment, key))


# --------------------------------------------------------------------------------------- settings


def settings_of(here: Here) -> Settings:
    """What is in force now."""
    return read_settings(here.version, here.settings)


def declare(db: sqlite3.Connection, here: Here, declared: Declared) -> Settings:
    """Put in force what differs from what is, as a new version."""
    before = settings_of(here)
    body = write_settings(before, declared)
    if body is None:
        return before
    version = before.version + 1
    key = db.execute(
        f"INSERT INTO settings (conversation, version, created_at, body) VALUES (?, ?, {NOW}, ?)",
        (here.key, version, body),
    ).lastrowid
    settings = read_settings(version, body)
    db.execute(
        "UPDATE conversations SET settings = ?, memory = ? WHERE id = ?", (key, settings.memory, here.key)
    )
    return settings


def settings_so_far(db: sqlite3.Connection, owner: Owner, name: str) -> list[Settings]:
    """See `Store.settings`."""
    here = require(db, owner, name)
    rows = "SELECT version, body FROM settings WHERE conversation = ? ORDER BY version"
    return [read_settings(version, body) for version, body in db.execute(rows, (here.key,))]


def title_of(entries: Iterable[Entry]) -> str:
    """The beginning of what the user said first, on one line."""
    for entry in entries:
        if entry.role == "user":
            return " ".join(_text(entry.body).split())[:TITLE]
    return ""


def _text(body: bytes) -> str:
    try:
        content = orjson.loads(body)["content"]
        if isinstance(content, list):
            content = " ".join(part.get("text") or "" for part in content)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return ""
    return content if isinstance(content, str) else ""


# --------------------------------------------------------------------------------------- deletion

OF_SEGMENT = (
    "DELETE FROM messages WHERE id BETWEEN ? AND ?",
    "DELETE FROM turns WHERE id BETWEEN ? AND ?",
    "DELETE FROM steps WHERE turn BETWEEN ? AND ?",
    "DELETE FROM exchanges WHERE turn BETWEEN ? AND ?",
    "DELETE FROM partials WHERE segment BETWEEN ? >> 32 AND ? >> 32",
)
OF_CONVERSATION = (
    "DELETE FROM branches WHERE conversation = ?",
    "DELETE FROM settings WHERE conversation = ?",
    "DELETE FROM summaries WHERE conversation = ?",
    "DELETE FROM own_ids WHERE conversation = ?",
    "DELETE FROM request_keys WHERE conversation = ?",
    "DELETE FROM requests WHERE conversation = ?",
    "DELETE FROM tickets WHERE conversation = ?",
    "DELETE FROM conversations WHERE id = ?",
)


def delete(db: sqlite3.Connection, owner: Owner, name: str) -> None:
    """Remove a conversation with everything that belongs to it."""
    _delete(db, require(db, owner, name).key)


def delete_user(db: sqlite3.Connection, owner: Owner) -> int:
    """Remove all conversations of a user; how many there were."""
    keys = db.execute(
        "SELECT id FROM conversations WHERE tenant = ?1 AND (?2 IS NULL OR user = ?2)",
        (owner.tenant, owner.user),
    ).fetchall()
    for (key,) in keys:
        _delete(db, key)
    return len(keys)


def sweep(db: sqlite3.Connection, limit: int) -> int:
    """See `Store.sweep`."""
    over = db.execute(OVER, (limit,)).fetchall()
    for (key,) in over:
        _delete(db, key)
    return len(over)


OVER = f"""
SELECT c.id FROM conversations c WHERE c.expires_after IS NOT NULL
    AND c.updated_at + c.expires_after <= {NOW} AND NOT {LASTS} LIMIT ?"""


def _delete(db: sqlite3.Connection, key: int) -> None:
    segments = db.execute("SELECT segment FROM branches WHERE conversation = ?", (key,)).fetchall()
    for (segment,) in segments:
        keys = segment * SEGMENT, last_key(segment)
        drop_quotes(db, *keys)
        citing_dropped(db, *keys)
        drop_media(db, *keys)
        forget_segment(db, segment)
        for statement in OF_SEGMENT:
            db.execute(statement, keys)
    for statement in OF_CONVERSATION:
        db.execute(statement, (key,))
