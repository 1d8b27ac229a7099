"""Is the schema of this file the one we know? Numbered SQL files, each applied once, in order.

The file's ``user_version`` is the number of the last one; its ``application_id`` says that it is ours.
Everything happens in one exclusive transaction, so processes that start together do not collide, and
one that dies in the middle leaves the file as it was.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from ..errors import StoreCorrupt, StoreTooNew
from ..phrases import Reason

__all__ = ["bring_up_to_date"]

APPLICATION = 0x6D74_7572
"""``mtur`` in a file's header."""
PAUSE = 0.02


def bring_up_to_date(connection: sqlite3.Connection, path: str, patience: float) -> None:
    """Apply what is missing. Raises `StoreTooNew` or `StoreCorrupt` and leaves such a file untouched."""
    known = len(_scripts())
    if _version(connection) == known and _application(connection) == APPLICATION:
        return
    found, ours, empty = _state(connection)
    if not ours and not empty:
        raise StoreCorrupt(Reason("why.store_other"), path=path)
    if found > known:
        raise StoreTooNew(path=path, found=found, known=known)
    if found < known:
        _use_write_ahead_log(connection, patience)
        connection.execute("BEGIN EXCLUSIVE")
        try:
            _apply(connection)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def _state(connection: sqlite3.Connection) -> tuple[int, bool, bool]:
    """The file's version, whether it is ours, and whether nothing is in it: all at one moment, because
    another process may be making the schema just now."""
    connection.execute("BEGIN")
    try:
        empty = connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None
        return _version(connection), _application(connection) == APPLICATION, empty
    finally:
        connection.execute("ROLLBACK")


def _use_write_ahead_log(connection: sqlite3.Connection, patience: float) -> None:
    """Readers go on while one writes. SQLite does not always wait by itself for this one."""
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(PAUSE)
        else:
            return


def _apply(connection: sqlite3.Connection) -> None:
    for number, script in enumerate(_scripts()[_version(connection) :], _version(connection) + 1):
        for statement in _statements(script):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
    connection.execute(f"PRAGMA application_id = {APPLICATION}")


def _application(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA application_id").fetchone()[0])


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@cache
def _scripts() -> tuple[str, ...]:
    folder = files(__package__) / "sql" / "sqlite"
    found = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return tuple(file.read_text(encoding="utf-8") for file in found)


def _statements(script: str) -> Iterator[str]:
    """One at a time: Python's ``executescript`` would commit first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
