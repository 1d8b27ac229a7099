"""Is the client still there? One that leaves ends the work that is done for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from starlette.types import Receive

from .connection import Connection

__all__ = ["ClientLeft", "staying"]


class ClientLeft(Exception):
    """Nobody listens any more."""


class staying:  # noqa: N801  (reads as a word: ``async with staying(receive)``)
    """What is done inside is cancelled as soon as the client leaves, and `ClientLeft` raised. Enter it
    once the whole body was read, and leave it before the last piece is sent."""

    __slots__ = ("_before", "_left", "_receive", "_task", "_watcher")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._task: asyncio.Task[object] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._before: Callable[[], None] | None = None
        self._left = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        if not isinstance(self._receive, Connection):
            self._watcher = asyncio.create_task(self._watch())
        elif self._receive.left:
            raise ClientLeft
        else:
            self._before = self._receive.when_left(self._leave)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
        elif isinstance(self._receive, Connection):
            self._receive.when_left(self._before)
        if isinstance(error, asyncio.CancelledError) and self._left:
            assert self._task is not None, "it was cancelled by us"  # noqa: S101  (for the type checker)
            if not self._task.uncancel():
                raise ClientLeft from None

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _leave(self) -> None:
        self._left = True
        if self._task is not None:
            self._task.cancel()
