"""Which stores must pass? Each name opens a fresh, empty one; a new backend joins by one more line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from multiturn.storage import Store, open_store

__all__ = ["STORES", "Opening"]

Opening = Callable[[Path], AbstractAsyncContextManager[Store]]


@asynccontextmanager
async def sqlite_file(folder: Path) -> AsyncIterator[Store]:
    async with _closing(open_store(f"sqlite:///{folder / 'chats.db'}")) as store:
        yield store


@asynccontextmanager
async def memory(_: Path) -> AsyncIterator[Store]:
    async with _closing(open_store(":memory:")) as store:
        yield store


@asynccontextmanager
async def _closing(store: Store) -> AsyncIterator[Store]:
    try:
        yield store
    finally:
        await store.close()


STORES: dict[str, Opening] = {"sqlite file": sqlite_file, "memory": memory}
