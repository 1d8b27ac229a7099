"""Who writes and reads one SQLite file, and how does a turn come into it?"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable

from ..conversations import Address, Owner, Turn
from ..path import Path
from . import sqlite_exchanges, sqlite_leases, sqlite_paths, sqlite_turns
from .connections import MEMORY
from .readers import Readers
from .records import Begun, Ending, Exchange, Lease, Partial, Reach, Start
from .sqlite_leases import Queued
from .sqlite_waiting import Waiting
from .writer import Writer

__all__ = ["SQLiteTurnStore"]


class SQLiteTurnStore:
    """A `TurnStore` in one SQLite file, with the threads that write and read it."""

    def __init__(self, path: str, *, patience: float = 5.0) -> None:
        self.path = path if path == MEMORY else os.path.abspath(path)
        self._writer = Writer(self.path, patience)
        self._readers = None if path == MEMORY else Readers(self.path, patience)
        self._waiting = Waiting(self._writer, self._readers or self._writer)
        self._write = self._writer.run
        self._read = self._writer.run if self._readers is None else self._readers.run

    async def open(self) -> None:
        """See `Store.open`."""
        await self._write(lambda _: None)

    async def close(self) -> None:
        """See `Store.close`."""
        if self._readers is not None:
            await self._readers.close()
        await self._writer.close()

    async def begin(
        self,
        owner: Owner,
        conversation: str,
        start: Start,
        reach: Reach | None = None,
        ahead: Callable[[Begun], None] | None = None,
    ) -> Begun:
        """See `Store.begin`."""

        def early(outcome: Begun | Queued) -> None:
            if ahead is not None and isinstance(outcome, Begun) and outcome.alone:
                ahead(outcome)

        def attempt(db: sqlite3.Connection, ticket: int | None) -> Begun | Queued:
            return sqlite_turns.begin(db, owner, conversation, start, ticket, reach)

        return await self._waiting.begin(
            attempt, conversation, start.wait, start.key, early if ahead else None
        )

    async def was_made(self, owner: Owner, conversation: str, key: str) -> bool:
        """See `Store.was_made`."""
        return await self._read(lambda db: sqlite_turns.was_made(db, owner, conversation, key))

    async def gather(self, owner: Owner, conversation: str, reach: Reach, branch: int | None = None) -> Path:
        """See `Store.gather`."""
        return await self._read(lambda db: sqlite_paths.gather(db, owner, conversation, reach, branch))

    async def renew(self, lease: Lease, hold: float) -> bool:
        """See `Store.renew`."""
        return await self._write(lambda db: sqlite_leases.renew(db, lease, hold))

    async def append(self, lease: Lease, partial: Partial) -> bool:
        """See `Store.append`."""
        return await self._write(lambda db: sqlite_turns.append(db, lease, partial))

    async def finish(self, lease: Lease, ending: Ending) -> Turn:
        """See `Store.finish`."""
        turn = await self._write(lambda db: sqlite_turns.finish(db, lease, ending))
        self._waiting.freed(lease.key)
        return turn

    async def cancel(
        self, owner: Owner, conversation: str, turn: int | None = None, branch: int | None = None
    ) -> bool:
        """See `Store.cancel`."""
        return await self._write(lambda db: sqlite_leases.cancel(db, owner, conversation, turn, branch))

    async def settle(self, owner: Owner, conversation: str) -> None:
        """See `Store.settle`."""
        await self._write(lambda db: sqlite_leases.settle(db, owner, conversation))

    async def exchange(self, owner: Owner, at: Address) -> Exchange:
        """See `Store.exchange`."""
        return await self._read(lambda db: sqlite_exchanges.exchange(db, owner, at))

    async def forget_exchange(self, owner: Owner, at: Address) -> None:
        """See `Store.forget_exchange`."""
        await self._write(lambda db: sqlite_exchanges.forget_exchange(db, owner, at))
