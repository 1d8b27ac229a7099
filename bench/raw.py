"""What would somebody write by hand? Two tables on ``sqlite3``, the bare statements, one thread.

Rows hold messages as the bytes that go over the wire, with a token count beside them; a window is a few
rows joined by commas. There are no turns, branches, tenants, leases or decisions. WAL and FULL, as ours.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

__all__ = ["Raw", "Row", "borrowed_schema", "borrowed_window"]

T = TypeVar("T")
Row = tuple[int, bytes]
"""Tokens and wire bytes of a message."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS conversations (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, system BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS messages (
    conversation INTEGER NOT NULL, number INTEGER NOT NULL, tokens INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (conversation, number)
) WITHOUT ROWID;
"""
HEAD = "SELECT id, system FROM conversations WHERE name = ?"
NEXT = "SELECT MAX(number) + 1 FROM messages WHERE conversation = ?"
INSERT = "INSERT INTO messages VALUES (?, ?, ?, ?)"
NEWEST = "SELECT body FROM messages WHERE conversation = ? ORDER BY number DESC LIMIT ?"
BACKWARDS = "SELECT tokens, body FROM messages WHERE conversation = ? ORDER BY number DESC"


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    return db


class Raw:
    """A store by hand, with one thread and one connection."""

    def __init__(self, path: Path, name: str) -> None:
        self._name = name
        self._db = _connect(path)
        self._thread = ThreadPoolExecutor(1)

    def fill(self, system: bytes, rows: Sequence[Row]) -> None:
        """Make the conversation, in one transaction."""
        self._db.executescript(SCHEMA)
        self._db.execute("BEGIN IMMEDIATE")
        key = self._db.execute(
            "INSERT INTO conversations (name, system) VALUES (?, ?)", (self._name, system)
        ).lastrowid
        values = [(key, number, *row) for number, row in enumerate(rows)]
        self._db.executemany(INSERT, values)
        self._db.execute("COMMIT")

    async def add(self, rows: Sequence[Row]) -> None:
        """Store messages in one transaction."""
        await self._run(lambda: _add(self._db, self._name, rows))

    async def newest(self, count: int) -> bytes:
        """The instructions and the newest messages."""
        return await self._run(lambda: _newest(self._db, self._name, count))

    async def within(self, budget: int) -> bytes:
        """The instructions and the newest messages until ``budget`` tokens are used up."""
        return await self._run(lambda: _within(self._db, self._name, budget))

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Let go of the file and the thread."""
        self._thread.shutdown()
        self._db.close()


async def borrowed_window(path: Path, name: str, *, newest: int | None = None, budget: int = 0) -> bytes:
    """One window through a connection of its own, in a thread of the loop that is there already."""

    def work() -> bytes:
        db = _connect(path)
        try:
            return _within(db, name, budget) if newest is None else _newest(db, name, newest)
        finally:
            db.close()

    return await asyncio.get_running_loop().run_in_executor(None, work)


async def borrowed_schema(path: Path) -> None:
    """The least that any first read costs: open a file and let SQLite read its schema, in a thread of the
    loop that is there already."""

    def work() -> None:
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("SELECT 1 FROM sqlite_master").fetchone()
        db.close()

    await asyncio.get_running_loop().run_in_executor(None, work)


def _add(db: sqlite3.Connection, name: str, rows: Sequence[Row]) -> None:
    db.execute("BEGIN IMMEDIATE")
    key = db.execute(HEAD, (name,)).fetchone()[0]
    number = db.execute(NEXT, (key,)).fetchone()[0] or 0
    db.executemany(INSERT, [(key, number + offset, *row) for offset, row in enumerate(rows)])
    db.execute("COMMIT")


def _newest(db: sqlite3.Connection, name: str, count: int) -> bytes:
    key, system = db.execute(HEAD, (name,)).fetchone()
    bodies = [body for (body,) in db.execute(NEWEST, (key, count))]
    return _joined(system, bodies)


def _within(db: sqlite3.Connection, name: str, budget: int) -> bytes:
    key, system = db.execute(HEAD, (name,)).fetchone()
    bodies = []
    for tokens, body in db.execute(BACKWARDS, (key,)):
        budget -= tokens
        if budget < 0:
            break
        bodies.append(body)
    return _joined(system, bodies)


def _joined(system: bytes, newest_first: list[bytes]) -> bytes:
    return b"[" + b",".join([system, *reversed(newest_first)]) + b"]"
