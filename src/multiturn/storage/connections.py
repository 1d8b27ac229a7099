"""How is a database file opened, and what do SQLite's errors mean to us?"""

from __future__ import annotations

import os
import sqlite3
import traceback
from contextlib import suppress
from pathlib import Path

from ..errors import Error, InputInvalid, StoreBusy, StoreCorrupt, StoreError, StoreFull, StoreUnavailable
from ..phrases import Reason, system_reason
from .migrations import bring_up_to_date

__all__ = ["MEMORY", "after_failure", "as_ours", "connect"]

MEMORY = ":memory:"

NO_ROOM = (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
"""How SQLite names a quota or a limit on the size of files; only a full disk is SQLITE_FULL to it."""


def connect(path: str, patience: float) -> sqlite3.Connection:
    """Open the database at ``path``, made and brought up to date where necessary.

    ``patience`` is how many seconds to wait for locks of other programs. Raises a `StoreError`.
    """
    connection: sqlite3.Connection | None = None
    try:
        if path != MEMORY:
            _make_file(path)
        connection = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
        bring_up_to_date(connection, path, patience)
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return connection


def _make_file(path: str) -> None:
    """Conversations are private: a new file may be read by its owner only (SQLite gives the same
    rights to the files it puts beside it)."""
    if os.path.exists(path):
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def as_ours(error: BaseException, path: str) -> BaseException:
    """One of our errors for one of SQLite's or the operating system's; any other as it is.

    The frames it passed are cleared: a cursor in them would keep the connection in its old snapshot as
    long as somebody looks at the error.
    """
    traceback.clear_frames(error.__traceback__)
    if isinstance(error, sqlite3.Error | OSError):
        failure: Error = _understood(error, path)
    elif isinstance(error, UnicodeEncodeError | OverflowError):
        failure = InputInvalid(Reason("why.store_name", problem=error))
    else:
        return error
    failure.__cause__ = error
    return failure


def _understood(error: Exception, path: str) -> StoreError:
    full_code = getattr(error, "sqlite_errorcode", 0)
    code = full_code & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(path=path)
    if code == sqlite3.SQLITE_FULL or full_code in NO_ROOM:
        return StoreFull(path=path)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreCorrupt(Reason("why.store_damaged"), path=path)
    return StoreUnavailable(_unusable(error, code), path=path)


def _unusable(error: Exception, code: int) -> Reason:
    """Why a database cannot be used, and what to do about it."""
    if isinstance(error, OSError):
        return Reason("why.store_system", problem=system_reason(error))
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return Reason("why.store_cannot_open")
    if code == sqlite3.SQLITE_READONLY:
        return Reason("why.store_readonly")
    name = getattr(error, "sqlite_errorname", None)
    what = f"{error} ({name})" if name else str(error)
    return Reason("why.store_io" if code == sqlite3.SQLITE_IOERR else "why.store_sqlite", problem=what)


def after_failure(connection: sqlite3.Connection, failure: BaseException) -> sqlite3.Connection | None:
    """Undo what was begun. A connection that may be broken is closed: the next work opens a new one."""
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if not isinstance(failure, StoreUnavailable | StoreCorrupt):
            return connection
    except sqlite3.Error:
        pass
    connection.close()
    return None
