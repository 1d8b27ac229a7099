"""Which keys are there, and what opens with them?"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from .key_store import Key
from .sqlite_rows import NOW

__all__ = ["SQLiteKeys"]

T = TypeVar("T")
Run = Callable[[Callable[[sqlite3.Connection], T]], Awaitable[T]]
COLUMNS = "id, digest, prefix, tenant, user, scopes, label, created_at, revoked_at"
KEEP = f"""
INSERT INTO keys ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, {NOW}, NULL) RETURNING {COLUMNS}"""
FIND = f"SELECT {COLUMNS} FROM keys WHERE digest = ?"
REVOKE = f"UPDATE keys SET revoked_at = COALESCE(revoked_at, {NOW}) WHERE id = ? RETURNING {COLUMNS}"
LISTED = f"SELECT {COLUMNS} FROM keys ORDER BY rowid"


class SQLiteKeys:
    """The `KeyStore` of a SQLite file; ``read`` and ``write`` run work in its transactions."""

    def __init__(self, read: Run[Any], write: Run[Any]) -> None:
        self._read: Run[Any] = read
        self._write: Run[Any] = write

    async def keep(self, key: Key) -> Key:
        """See `KeyStore.keep`."""
        values = (key.id, key.digest, key.prefix, key.tenant, key.user, " ".join(key.scopes), key.label)
        return _key(await self._write(lambda db: db.execute(KEEP, values).fetchone()))

    async def find(self, digest: bytes) -> Key | None:
        """See `KeyStore.find`."""
        row = await self._read(lambda db: db.execute(FIND, (digest,)).fetchone())
        return row and _key(row)

    async def revoke(self, id: str) -> Key | None:
        """See `KeyStore.revoke`."""
        row = await self._write(lambda db: db.execute(REVOKE, (id,)).fetchone())
        return row and _key(row)

    async def listed(self) -> Sequence[Key]:
        """See `KeyStore.listed`."""
        return [_key(row) for row in await self._read(lambda db: db.execute(LISTED).fetchall())]

    async def any(self) -> bool:
        """See `KeyStore.any`."""
        row = await self._read(lambda db: db.execute("SELECT 1 FROM keys LIMIT 1").fetchone())
        return row is not None


def _key(row: Sequence[Any]) -> Key:
    name, digest, prefix, tenant, user, scopes, label, created_at, revoked_at = row
    revoked = None if revoked_at is None else revoked_at / 1000
    return Key(name, digest, prefix, tenant, user, tuple(scopes.split()), label, created_at / 1000, revoked)
