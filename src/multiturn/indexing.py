"""After a turn: which messages get their vectors, and when? One after the other, beside the turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .conversations import Owner
from .embedding import Embedder

__all__ = ["Indexer"]


class Indexer:
    """Embeds what the turns of one client have brought. What it does not come to stays to be done: by the
    next turn, or the next program (`Embedder.catch_up`)."""

    def __init__(self, embedder: Callable[[str], Embedder | None]) -> None:
        self._embedder = embedder
        self._waiting: dict[tuple[str, Owner, str], None] = {}
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    def wake(self, owner: Owner, conversation: str, model: str) -> None:
        """A turn of this conversation has ended, which recalls by this embedding model."""
        if self._closed:
            return
        self._waiting[model, owner, conversation] = None
        task = self._task
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            self._task = asyncio.create_task(self._work())

    async def drain(self, seconds: float = 5.0) -> None:
        """Wait for what is being embedded, and take up nothing more."""
        self._closed = True
        task = self._task
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            return
        await asyncio.wait((task,), timeout=seconds)
        task.cancel()
        await asyncio.wait((task,))

    async def _work(self) -> None:
        while self._waiting:
            model, owner, conversation = next(iter(self._waiting))
            del self._waiting[model, owner, conversation]
            embedder = self._embedder(model)
            if embedder is not None:
                while await embedder.catch_up(owner, conversation) and not self._closed:
                    continue
