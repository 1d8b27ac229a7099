"""The embedded store: one SQLite file, or memory. It passes each call to the statements that answer it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType

from ..conversations import (
    Address,
    Branch,
    Conversation,
    Declared,
    Owner,
    Settings,
    Step,
    Summary,
    Turn,
)
from ..messages import Entry
from ..search.terms import Query
from . import (
    sqlite_branches,
    sqlite_conversations,
    sqlite_dues,
    sqlite_history,
    sqlite_imports,
    sqlite_listings,
    sqlite_models,
    sqlite_recall,
    sqlite_rewriting,
    sqlite_segments,
    sqlite_summaries,
    sqlite_terms,
    sqlite_turns,
    sqlite_usage,
)
from .records import (
    Due,
    Extent,
    Found,
    Grouping,
    Hit,
    ModelFacts,
    Scope,
    Told,
    UsageRow,
)
from .sqlite_accounts import SQLiteAccounts
from .sqlite_imports import Import
from .sqlite_keys import SQLiteKeys
from .sqlite_leases import Queued
from .sqlite_segments import Marking
from .sqlite_shelf import Shelf
from .sqlite_turn_store import SQLiteTurnStore
from .sqlite_vectors import SQLiteVectors

__all__ = ["SQLiteStore"]


class SQLiteStore(SQLiteTurnStore):
    """A `Store` in one SQLite file (``":memory:"``: in memory, gone with the store).

    ``patience`` is how many seconds to wait for another program's lock before `StoreBusy`.
    """

    def __init__(self, path: str, *, patience: float = 5.0) -> None:
        super().__init__(path, patience=patience)
        self._shelf = Shelf()
        self.vectors = SQLiteVectors(self._read, self._write)
        self.keys = SQLiteKeys(self._read, self._write)
        self.accounts = SQLiteAccounts(self._read, self._write)

    # -- history

    async def add(
        self,
        owner: Owner,
        conversation: str,
        turns: Sequence[Sequence[Entry]],
        declared: Declared = Declared(),
        wait: float = 30.0,
        branch: int | None = None,
        make: bool = True,
    ) -> Sequence[Told]:
        """See `Store.add`."""
        given = Import(owner, conversation, turns, declared, wait)

        def attempt(db: sqlite3.Connection, ticket: int | None) -> Sequence[Told] | Queued:
            return sqlite_imports.add(db, given, ticket, branch, make=make)

        return await self._waiting.begin(attempt, conversation, wait, None)

    async def take_in(
        self,
        owner: Owner,
        conversation: str,
        turns: Sequence[Sequence[Entry]],
        declared: Declared,
        found: Extent,
        wait: float = 30.0,
        fork: tuple[int, int | None] | None = None,
    ) -> int | None:
        """See `Store.take_in`."""
        given = Import(owner, conversation, turns, declared, wait)

        def attempt(db: sqlite3.Connection, ticket: int | None) -> int | Queued | None:
            return sqlite_imports.take_in(db, given, ticket, found, fork)

        return await self._waiting.begin(attempt, conversation, wait, None)

    async def history(
        self,
        owner: Owner,
        conversation: str,
        *,
        after: int = 0,
        limit: int | None = None,
        branch: int | None = None,
    ) -> Sequence[Told]:
        """See `Store.history`."""
        return await self._read(
            lambda db: sqlite_history.history(db, owner, conversation, after, limit, branch)
        )

    async def turns(
        self,
        owner: Owner,
        conversation: str,
        *,
        after: int = 0,
        limit: int | None = None,
        newest: bool = False,
        branch: int | None = None,
    ) -> Sequence[Turn]:
        """See `Store.turns`."""
        return await self._read(
            lambda db: sqlite_history.turns(db, owner, conversation, after, limit, newest, branch)
        )

    async def steps(
        self, owner: Owner, conversation: str, turn: int, branch: int | None = None
    ) -> Sequence[Step]:
        """See `Store.steps`."""
        return await self._read(lambda db: sqlite_history.steps(db, owner, conversation, turn, branch))

    async def locate(self, owner: Owner, conversation: str, message: str) -> Address:
        """See `Store.locate`."""
        return await self._read(lambda db: sqlite_history.locate(db, owner, conversation, message))

    async def branches(self, owner: Owner, conversation: str) -> Sequence[Branch]:
        """See `Store.branches`."""
        return await self._read(lambda db: sqlite_branches.branches(db, owner, conversation))

    async def fork(self, owner: Owner, conversation: str, after: int, branch: int | None = None) -> int:
        """See `Store.fork`."""
        return await self._write(lambda db: sqlite_branches.fork(db, owner, conversation, after, branch))

    async def switch(self, owner: Owner, conversation: str, branch: int) -> None:
        """See `Store.switch`."""
        await self._write(lambda db: sqlite_branches.switch(db, owner, conversation, branch))

    async def mark(
        self,
        owner: Owner,
        conversation: str,
        turn: int,
        *,
        place: int | None = None,
        set: int = 0,
        clear: int = 0,
        reason: str | None = None,
        branch: int | None = None,
    ) -> None:
        """See `Store.mark`."""
        marking = Marking(turn, place, set, clear, reason)

        def work(db: sqlite3.Connection) -> None:
            here = sqlite_conversations.require(db, owner, conversation, branch)
            sqlite_segments.mark(db, here, conversation, marking)

        await self._write(work)

    async def rewrite(
        self,
        owner: Owner,
        conversation: str,
        turn: int,
        entries: Mapping[int, Entry],
        branch: int | None = None,
        seen: Sequence[Told] = (),
    ) -> bool:
        """See `Store.rewrite`."""
        return await self._write(
            lambda db: sqlite_rewriting.rewrite(db, owner, conversation, turn, entries, branch, seen)
        )

    # -- conversations

    async def conversation(self, owner: Owner, conversation: str) -> Conversation:
        """See `Store.conversation`."""
        return await self._read(lambda db: sqlite_listings.conversation(db, owner, conversation))

    async def conversations(
        self,
        owner: Owner,
        *,
        limit: int = 100,
        before: str | None = None,
        after: str | None = None,
        oldest: bool = False,
        metadata: Mapping[str, str] = MappingProxyType({}),
    ) -> Sequence[Conversation]:
        """See `Store.conversations`."""
        return await self._read(
            lambda db: sqlite_listings.conversations(db, owner, limit, before, after, metadata, oldest=oldest)
        )

    async def describe(
        self,
        owner: Owner,
        conversation: str,
        *,
        metadata: Mapping[str, str] | None = None,
        expires_after: float | None = None,
    ) -> Conversation:
        """See `Store.describe`."""
        return await self._write(
            lambda db: sqlite_listings.describe(db, owner, conversation, metadata, expires_after)
        )

    async def sweep(self, limit: int = 100) -> int:
        """See `Store.sweep`."""
        return await self._write(lambda db: sqlite_conversations.sweep(db, limit))

    async def declare(self, owner: Owner, conversation: str, declared: Declared) -> Settings:
        """See `Store.declare`."""

        def work(db: sqlite3.Connection) -> Settings:
            here = sqlite_conversations.require(db, owner, conversation, make=declared)
            return sqlite_conversations.declare(db, here, declared)

        return await self._write(work)

    async def settings(self, owner: Owner, conversation: str) -> Sequence[Settings]:
        """See `Store.settings`."""
        return await self._read(lambda db: sqlite_conversations.settings_so_far(db, owner, conversation))

    async def search(
        self, owner: Owner, text: str, *, conversation: str | None = None, limit: int = 20
    ) -> Sequence[Hit]:
        """See `Store.search`."""
        return await self._read(lambda db: sqlite_history.search(db, owner, text, conversation, limit))

    async def recall(
        self,
        owner: Owner,
        conversation: str,
        query: Query,
        *,
        branch: int | None = None,
        before: int | None = None,
        memory: str | None = None,
        limit: int = 10,
        least: float = 0.0,
    ) -> Sequence[Found]:
        """See `Store.recall`."""
        scope = Scope(owner, conversation, branch, before, memory)
        finds = await self._read(lambda db: sqlite_recall.search(db, self._shelf, scope, query, limit, least))
        for segment in finds.behind:
            self._writer.aside(partial(sqlite_terms.index, segment=segment, whole=True))
        return finds.found

    # -- summaries

    async def summaries(
        self, owner: Owner, conversation: str, branch: int | None = None
    ) -> Sequence[Summary]:
        """See `Store.summaries`."""
        return await self._read(lambda db: sqlite_summaries.summaries(db, owner, conversation, branch))

    async def write_summary(
        self,
        owner: Owner,
        conversation: str,
        summary: Summary,
        expected: int | None,
        branch: int | None = None,
        due: Due | None = None,
    ) -> Summary | None:
        """See `Store.write_summary`."""
        return await self._write(
            lambda db: sqlite_summaries.write_summary(db, owner, conversation, summary, expected, branch, due)
        )

    async def undo_summary(
        self, owner: Owner, conversation: str, branch: int | None = None
    ) -> Summary | None:
        """See `Store.undo_summary`."""
        return await self._write(lambda db: sqlite_summaries.undo_summary(db, owner, conversation, branch))

    async def record(self, owner: Owner, conversation: str, step: Step, branch: int | None = None) -> None:
        """See `Store.record`."""
        await self._write(lambda db: sqlite_turns.record(db, owner, conversation, step, branch))

    async def claim_due(
        self, *, owner: Owner | None = None, conversation: str | None = None, hold: float = 60.0
    ) -> Due | None:
        """See `Store.claim_due`."""
        return await self._write(lambda db: sqlite_dues.claim(db, owner, conversation, hold))

    async def settle_due(self, due: Due, *, done: bool, wait: float = 0.0) -> None:
        """See `Store.settle_due`."""
        await self._write(lambda db: sqlite_dues.settle(db, due, wait, done=done))

    # -- models

    async def model_facts(self) -> Sequence[ModelFacts]:
        """See `Store.model_facts`."""
        return await self._read(sqlite_models.model_facts)

    async def learn_limit(self, model: str, limit: int) -> None:
        """See `Store.learn_limit`."""
        await self._write(lambda db: sqlite_models.learn_limit(db, model, limit))

    async def usage(
        self, owner: Owner, *, conversation: str | None = None, by: Grouping | Sequence[Grouping] = "all"
    ) -> Sequence[UsageRow]:
        """See `Store.usage`."""
        return await self._read(lambda db: sqlite_usage.usage(db, owner, conversation, by))

    async def delete(self, owner: Owner, conversation: str) -> None:
        """See `Store.delete`."""
        await self._write(lambda db: sqlite_conversations.delete(db, owner, conversation))

    async def delete_user(self, owner: Owner) -> int:
        """See `Store.delete_user`."""
        return await self._write(lambda db: sqlite_conversations.delete_user(db, owner))

    async def lookup(self, owner: Owner, ulid: str) -> str:
        """See `Store.lookup`."""
        return await self._read(lambda db: sqlite_listings.lookup(db, owner, ulid))
