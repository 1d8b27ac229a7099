"""Which messages have a vector, which lack one, and which are most like a question?"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from ..conversations import Owner, TurnState
from ..messages import Trait
from ..search.vectors import dimension_of, nearest
from .records import Found, Scope
from .sqlite_conversations import Here, find
from .sqlite_recall import Stretch, as_found, searched
from .sqlite_rows import LASTS, SEGMENT, last_key
from .vector_store import Backlog, Kept, VectorModel, Waiting, digest_of, words_of

__all__ = ["SQLiteVectors"]

T = TypeVar("T")
Run = Callable[[Callable[[sqlite3.Connection], T]], Awaitable[T]]
LOW = SEGMENT - 1
USER, ASSISTANT = 0, 1
WITHDRAWN = Trait.RETRACTED | Trait.MODERATED
EXCLUDED, STOPPED = Trait.EXCLUDED, Trait.STOPPED
MOST = 500
"""Values in one statement."""


class SQLiteVectors:
    """The `VectorStore` of a SQLite file; ``read`` and ``write`` run work in its transactions."""

    def __init__(self, read: Run[Any], write: Run[Any]) -> None:
        self._read: Run[Any] = read
        self._write: Run[Any] = write

    async def models(self) -> Sequence[VectorModel]:
        """See `VectorStore.models`."""
        found: Sequence[VectorModel] = await self._read(_models)
        return found

    async def backlog(
        self, owner: Owner, conversation: str, model: str, dimension: int | None, limit: int
    ) -> Backlog:
        """See `VectorStore.backlog`."""

        def work(db: sqlite3.Connection) -> Backlog:
            here = find(db, owner, conversation)
            number = _number(db, model, dimension)
            return Backlog((), (), 0) if here is None else _backlog(db, here, number, limit)

        found: Backlog = await self._read(work)
        return found

    async def keep(
        self, model: str, dimension: int, vectors: Sequence[Kept], marks: Sequence[tuple[int, int]] = ()
    ) -> None:
        """See `VectorStore.keep`."""
        await self._write(lambda db: _keep(db, model, dimension, vectors, marks))

    async def look_up(self, model: str, dimension: int, digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """See `VectorStore.look_up`."""

        def work(db: sqlite3.Connection) -> Mapping[bytes, bytes]:
            return _look_up(db, _number(db, model, dimension), digests)

        found: Mapping[bytes, bytes] = await self._read(work)
        return found

    async def near(
        self,
        owner: Owner,
        conversation: str,
        model: str,
        vector: bytes,
        *,
        branch: int | None = None,
        before: int | None = None,
        memory: str | None = None,
        limit: int = 200,
    ) -> Sequence[Found]:
        """See `VectorStore.near`."""
        scope = Scope(owner, conversation, branch, before, memory)

        def work(db: sqlite3.Connection) -> Sequence[Found]:
            number = _number(db, model, dimension_of(vector))
            return [] if number is None else _near(db, searched(db, scope), number, vector, limit)

        found: Sequence[Found] = await self._read(work)
        return found

    async def lagging(
        self, model: str, dimension: int | None, *, begun: bool, limit: int = 1000
    ) -> Sequence[tuple[Owner, str]]:
        """See `VectorStore.lagging`."""

        def work(db: sqlite3.Connection) -> Sequence[tuple[Owner, str]]:
            values = {"model": _number(db, model, dimension), "begun": begun, "limit": limit}
            return [(Owner(tenant, user), name) for tenant, user, name in db.execute(LAGGING, values)]

        found: Sequence[tuple[Owner, str]] = await self._read(work)
        return found

    async def remaining(self, model: str, dimension: int | None) -> tuple[int, int]:
        """See `VectorStore.remaining`."""

        def work(db: sqlite3.Connection) -> tuple[int, int]:
            messages, tokens = db.execute(REMAINING, (_number(db, model, dimension),)).fetchone()
            return messages, tokens

        found: tuple[int, int] = await self._read(work)
        return found

    async def forget_others(self, model: str, dimension: int) -> int:
        """See `VectorStore.forget_others`."""
        found: int = await self._write(lambda db: _forget_others(db, model, dimension))
        return found


# ------------------------------------------------------------------------------------------ models


def _models(db: sqlite3.Connection) -> Sequence[VectorModel]:
    rows = db.execute(
        "SELECT name, dimension, (SELECT COUNT(*) FROM vectors WHERE model = m.id) FROM vector_models m"
        " ORDER BY id"
    )
    return [VectorModel._make(row) for row in rows]


def _number(db: sqlite3.Connection, model: str, dimension: int | None) -> int | None:
    """The number under which vectors of this model and dimension are kept; ``None`` where none are."""
    row = db.execute(
        "SELECT id FROM vector_models WHERE name = ? AND dimension = ?", (model, dimension)
    ).fetchone()
    return None if row is None else int(row[0])


def _forget_others(db: sqlite3.Connection, model: str, dimension: int) -> int:
    gone = "(SELECT id FROM vector_models WHERE name <> ?1 OR dimension <> ?2)"
    number = db.execute(f"DELETE FROM vectors WHERE model IN {gone}", (model, dimension)).rowcount
    db.execute(f"DELETE FROM vector_marks WHERE model IN {gone}", (model, dimension))
    db.execute(f"DELETE FROM vector_models WHERE id IN {gone}", (model, dimension))
    return number


# --------------------------------------------------------------------------------- what is missing

BEHIND = """
SELECT b.segment, b.head, COALESCE(v.messages, 0) FROM branches b
    LEFT JOIN vector_marks v ON v.segment = b.segment AND v.model = ?
WHERE b.conversation = ? AND COALESCE(v.messages, 0) < b.messages ORDER BY b.segment"""
NEXT = f"""
SELECT m.id, m.role, m.traits | t.marks | (t.traits & {WITHDRAWN}), t.state, m.body
FROM messages m JOIN turns t ON t.id = (m.id & ~{LOW}) + m.turn
WHERE m.id BETWEEN ? AND ? AND (t.state = {int(TurnState.COMPLETED)} OR t.id < ?) ORDER BY m.id LIMIT ?"""
"""The last turn of a path may still change, unless it is completed."""
LAGGING = f"""
SELECT DISTINCT c.tenant, c.user, c.name FROM conversations c JOIN branches b ON b.conversation = c.id
    LEFT JOIN vector_marks v ON v.segment = b.segment AND v.model = :model
WHERE COALESCE(v.messages, 0) < b.messages AND {LASTS} AND (NOT :begun OR EXISTS (
    SELECT 1 FROM branches x JOIN vector_marks w ON w.segment = x.segment AND w.model = :model
    WHERE x.conversation = c.id))
ORDER BY c.id LIMIT :limit"""
REMAINING = f"""
SELECT COUNT(*), COALESCE(SUM(CASE WHEN m.role IN ({USER}, {ASSISTANT}) THEN m.tokens END), 0)
FROM branches b LEFT JOIN vector_marks v ON v.segment = b.segment AND v.model = ?
    JOIN messages m ON m.id BETWEEN b.segment * {SEGMENT} + COALESCE(v.messages, 0)
        AND b.segment * {SEGMENT} + {LOW}"""


def _backlog(db: sqlite3.Connection, here: Here, model: int | None, limit: int) -> Backlog:
    waiting: list[Waiting] = []
    marks: list[tuple[int, int]] = []
    passed = 0
    for segment, head, done in db.execute(BEHIND, (model, here.key)).fetchall():
        base = segment * SEGMENT
        rows = db.execute(NEXT, (base + done, last_key(segment), base + head, limit - passed)).fetchall()
        waiting += _with_words(rows)
        if rows:
            passed += len(rows)
            marks.append((segment, (rows[-1][0] & LOW) + 1))
        if passed >= limit:
            break
    return Backlog(waiting, marks, passed)


def _with_words(rows: Iterable[Sequence[Any]]) -> Iterable[Waiting]:
    """Messages that can be recalled and say something."""
    for key, role, traits, state, body in rows:
        stopped = state == TurnState.INCOMPLETE and traits & STOPPED
        recalled = state == TurnState.COMPLETED or stopped
        if role in (USER, ASSISTANT) and recalled and not traits & (WITHDRAWN | EXCLUDED):
            words = words_of(body)
            if words:
                yield Waiting(key, words, digest_of(words))


def _keep(
    db: sqlite3.Connection,
    model: str,
    dimension: int,
    vectors: Sequence[Kept],
    marks: Sequence[tuple[int, int]],
) -> None:
    db.execute("INSERT OR IGNORE INTO vector_models (name, dimension) VALUES (?, ?)", (model, dimension))
    number = _number(db, model, dimension)
    db.executemany(
        "INSERT OR REPLACE INTO vectors (message, model, digest, body) SELECT ?1, ?2, ?3, ?4"
        " WHERE EXISTS (SELECT 1 FROM messages WHERE id = ?1)",
        [(kept.key, number, kept.digest, kept.vector) for kept in vectors],
    )
    db.executemany(
        "INSERT INTO vector_marks SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM branches WHERE segment = ?1)"
        " ON CONFLICT DO UPDATE SET messages = MAX(messages, excluded.messages)",
        [(segment, number, messages) for segment, messages in marks],
    )


# ---------------------------------------------------------------------------------- what is there


def _look_up(db: sqlite3.Connection, model: int | None, digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for at in range(0, len(digests), MOST):
        some = digests[at : at + MOST]
        places = ", ".join("?" * len(some))
        rows = db.execute(
            f"SELECT digest, body FROM vectors WHERE model = ? AND digest IN ({places})", (model, *some)
        )
        found.update(rows)
    return found


BETWEEN = "SELECT message, body FROM vectors WHERE message BETWEEN ? AND ? AND model = ?"


def _near(
    db: sqlite3.Connection, paths: Sequence[Sequence[Stretch]], model: int, vector: bytes, limit: int
) -> Sequence[Found]:
    stretches = [stretch for path in paths for stretch in path]
    keys: list[int] = []
    bodies: list[bytes] = []
    belongs: list[Stretch] = []
    for stretch in stretches:
        for key, body in db.execute(BETWEEN, (stretch.first, stretch.last, model)):
            keys.append(key)
            bodies.append(body)
            belongs.append(stretch)
    best = nearest(vector, bodies, limit)
    return as_found(db, [(belongs[place], keys[place], score) for place, score in best])
