"""Is the client still there? One that leaves ends the work that is done for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive

__all__ = ["ClientLeft", "staying"]


class ClientLeft(Exception):
    """Nobody listens any more."""


@asynccontextmanager
async def staying(receive: Receive) -> AsyncIterator[None]:
    """What is done inside is cancelled as soon as the client leaves, and `ClientLeft` raised. Enter it
    once the whole body was read, and leave it before the last piece is sent."""
    task, left = asyncio.current_task(), False
    assert task is not None, "a coroutine runs in a task"  # noqa: S101  (for the type checker)

    async def watch() -> None:
        nonlocal left
        while (await receive())["type"] != "http.disconnect":
            pass
        left = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if left and not task.uncancel():
            raise ClientLeft from None
        raise
    finally:
        watcher.cancel()
