"""Keys for a gateway's store, made as the command line makes them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from multiturn.storage.key_store import new_key
from multiturn.storage.sqlite import SQLiteStore

__all__ = ["bearer", "made", "revoked"]

ORDINARY = ("chat", "read", "inspect")


def made(store: Path, tenant: str, user: str | None = None, scopes: tuple[str, ...] = ORDINARY) -> str:
    """A new key: the secret."""
    secret, key = new_key(tenant, user, scopes)

    async def keep() -> None:
        opened = SQLiteStore(str(store))
        await opened.keys.keep(key)
        await opened.close()

    asyncio.run(keep())
    return secret


def revoked(store: Path) -> None:
    """Every key of the store is revoked."""

    async def revoke() -> None:
        opened = SQLiteStore(str(store))
        for key in await opened.keys.listed():
            await opened.keys.revoke(key.id)
        await opened.close()

    asyncio.run(revoke())


def bearer(secret: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"authorization": f"Bearer {secret}"}
