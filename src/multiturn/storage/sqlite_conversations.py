"""Which conversations are there, what is in force in them, and how do they come and go?"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from ..conversations import Conversation, Declared, Owner, Settings, new_ulid
from ..errors import ConversationError, ConversationNotFound, TurnExpired
from ..messages import Entry
from ..phrases import Reason
from .records import Lease
from .sqlite_media import drop_media
from .sqlite_quotes import citing_dropped, drop_quotes
from .sqlite_rows import NOW, SEGMENT, last_key, read_settings, write_settings
from .sqlite_terms import forget_segment

__all__ = [
    "HELD",
    "Here",
    "conversation",
    "conversations",
    "declare",
    "delete",
    "delete_user",
    "find",
    "find_held",
    "head_key",
    "lookup",
    "require",
    "settings_of",
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
    epoch: int
    held_until: int | None
    held_turn: int | None
    segment: int
    branch: int
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


COLUMNS = """c.id, c.user, c.ulid, c.title, c.segment, c.branches, c.epoch, c.held_until, c.held_turn,
    b.segment, b.number, b.parent, b.fork, b.head, b.shared, b.messages, b.cut_turn, b.cut_key,
    b.cut_scale, b.request, b.summary, b.indexed,
    (SELECT state FROM turns
        WHERE id = (CASE WHEN b.head > b.fork THEN b.segment ELSE b.parent END << 32) + b.head)"""
FIND = f"""
SELECT {COLUMNS}, s.version, s.body,
    (SELECT MIN(id) FROM tickets WHERE conversation = c.id AND expires > {NOW}), {NOW}
FROM conversations c JOIN branches b ON b.segment = c.segment LEFT JOIN settings s ON s.id = c.settings
WHERE c.tenant = ? AND c.name = ?"""
HELD = f"held_turn IS NOT NULL AND (NOT ? OR held_until >= {NOW})"
"""A turn runs here; one whose time is limited, only until that is over."""
FIND_HELD = f"""
SELECT {COLUMNS}, NULL, NULL, NULL, {NOW}
FROM conversations c JOIN branches b ON b.segment = c.held_turn >> 32
WHERE c.id = ? AND c.epoch = ? AND {HELD}"""
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
    row = db.execute(FIND_HELD, (lease.key, lease.epoch, lease.limited)).fetchone()
    if row is None:
        raise TurnExpired
    return Here._make(row)


def require(
    db: sqlite3.Connection, owner: Owner, name: str, branch: int | None = None, *, make: bool = False
) -> Here:
    """The conversation; one that is not there is made or is an error."""
    here = find(db, owner, name, branch)
    if here is None and make and not branch:
        _make(db, owner, name)
        here = find(db, owner, name, branch)
    if here is None:
        raise ConversationNotFound(conversation=name)
    return here


def _make(db: sqlite3.Connection, owner: Owner, name: str) -> None:
    now = int(db.execute(f"SELECT {NOW}").fetchone()[0])
    key = db.execute(
        "INSERT INTO conversations (tenant, name, user, ulid, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (owner.tenant, name, owner.user or "", new_ulid(now / 1000), now, now),
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


# ------------------------------------------------------------------------------------------ lists

CONVERSATION = f"""
SELECT CASE WHEN c.held_until >= {NOW} THEN c.held_until / 1000.0 END,
    c.name, c.ulid, c.user, c.created_at, c.updated_at, s.version, s.body, b.number, b.head,
    b.shared + b.messages, c.title
FROM conversations c JOIN branches b ON b.segment = c.segment LEFT JOIN settings s ON s.id = c.settings"""


def _conversation(row: Sequence[Any]) -> Conversation:
    held_until, name, ulid, user, created_at, updated_at, version, body, branch, turns, messages, title = row
    settings = read_settings(version, body)
    made, used = created_at / 1000, updated_at / 1000
    return Conversation(name, ulid, user, made, used, settings, branch, turns, messages, title, held_until)


def conversation(db: sqlite3.Connection, owner: Owner, name: str) -> Conversation:
    """One conversation."""
    row = db.execute(f"{CONVERSATION} WHERE c.tenant = ? AND c.name = ?", (owner.tenant, name)).fetchone()
    if row is None or owner.user not in (None, row[3]):
        raise ConversationNotFound(conversation=name)
    return _conversation(row)


LISTED = f"""{CONVERSATION}
WHERE c.tenant = :tenant AND c.user = :user AND (c.updated_at, c.id) < (:time, :key)
ORDER BY c.updated_at DESC, c.id DESC LIMIT :limit"""
LISTED_ALL = LISTED.replace("AND c.user = :user ", "")
END_OF_TIME = (1 << 63) - 1


def conversations(
    db: sqlite3.Connection, owner: Owner, limit: int, before: str | None
) -> Sequence[Conversation]:
    """The most recently used ones."""
    time = key = END_OF_TIME
    if before is not None:
        row = db.execute(
            "SELECT updated_at, id, user FROM conversations WHERE tenant = ? AND name = ?",
            (owner.tenant, before),
        ).fetchone()
        if row is None or owner.user not in (None, row[2]):
            raise ConversationNotFound(conversation=before)
        time, key, _ = row
    rows = db.execute(
        LISTED_ALL if owner.user is None else LISTED,
        {"tenant": owner.tenant, "user": owner.user, "time": time, "key": key, "limit": limit},
    )
    return [_conversation(row) for row in rows]


def lookup(db: sqlite3.Connection, owner: Owner, ulid: str) -> str:
    """The application's id of the conversation with this ULID."""
    row = db.execute("SELECT tenant, user, name FROM conversations WHERE ulid = ?", (ulid,)).fetchone()
    if row is None or row[0] != owner.tenant or owner.user not in (None, row[1]):
        raise ConversationNotFound(conversation=ulid)
    return str(row[2])


# --------------------------------------------------------------------------------------- deletion

OF_SEGMENT = (
    "DELETE FROM messages WHERE id BETWEEN ? AND ?",
    "DELETE FROM turns WHERE id BETWEEN ? AND ?",
    "DELETE FROM steps WHERE turn BETWEEN ? AND ?",
)
OF_CONVERSATION = (
    "DELETE FROM branches WHERE conversation = ?",
    "DELETE FROM settings WHERE conversation = ?",
    "DELETE FROM summaries WHERE conversation = ?",
    "DELETE FROM own_ids WHERE conversation = ?",
    "DELETE FROM partials WHERE conversation = ?",
    "DELETE FROM request_keys WHERE conversation = ?",
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
