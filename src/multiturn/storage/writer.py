"""Who writes? One thread, which commits together what arrived together.

Operations that share a transaction have a savepoint each: one that fails takes nothing with it. Nobody
hears of success before the COMMIT that covers it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

from ..errors import StoreUnavailable
from ..phrases import Reason
from .connections import after_failure, as_ours, connect
from .jobs import Early, Job, Outcome, Unwanted, deliver, end, parted, tell_early

__all__ = ["Writer"]

T = TypeVar("T")
JOURNAL_LIMIT = 16 * 1024 * 1024
"""Bytes to which the write-ahead log shrinks again after a large import."""
BATCH = 256
"""Operations that share a commit at most."""


class Writer:
    """The writing thread of one database; it starts with the first operation."""

    def __init__(self, path: str, patience: float) -> None:
        self._path = path
        self._patience = patience
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    def run(
        self,
        work: Callable[[sqlite3.Connection], T],
        unwanted: Unwanted | None = None,
        early: Early | None = None,
    ) -> asyncio.Future[T]:
        """Have ``work`` done in a transaction; the future gets its result once it is durable.

        Somebody who stops waiting before its turn came leaves nothing behind; afterwards the work
        stays done, and ``unwanted`` hears of it. ``early`` is called in between with what the result will
        be, if it becomes durable at all, where nobody else's work is in the transaction: until then
        everybody else reads what was before it, and nobody else writes.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._submit(Job(work, loop, future, unwanted, early))
        return future

    def aside(
        self, work: Callable[[sqlite3.Connection], None], then: Callable[[], None] = lambda: None
    ) -> None:
        """Have something done for which nobody waits, and which may as well fail; ``then`` is called when
        that is over. A closed store does it no more."""

        def done(outcome: asyncio.Future[None]) -> None:
            if not outcome.cancelled():
                outcome.exception()  # so that the loop does not complain of one that nobody took
            then()

        with suppress(StoreUnavailable):
            self.run(work).add_done_callback(done)

    async def close(self) -> None:
        """Commit what was submitted and close the connection."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        await parted([thread] if thread else [], self._jobs)

    def _submit(self, job: Job) -> None:
        with self._lock:
            if self._closed:
                raise StoreUnavailable(Reason("why.store_closed"), path=self._path)
            self._jobs.put(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="multiturn-writer", daemon=True)
                self._thread.start()

    # -- in the thread

    def _serve(self) -> None:
        last = None
        while last is None:
            jobs = self._arrived()
            last = jobs.pop() if jobs[-1].work is end else None
            wanted = [job for job in jobs if not job.future.cancelled()]
            if wanted:
                deliver(self._commit(wanted))
        if self._connection is not None:
            self._connection.close()
        deliver(((last, None, None),))

    def _arrived(self) -> list[Job]:
        jobs = [self._jobs.get()]
        with suppress(Empty):
            while jobs[-1].work is not end and len(jobs) < BATCH:
                jobs.append(self._jobs.get_nowait())
        return jobs

    def _commit(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        outcomes: list[Outcome] = []
        try:
            connection = self._connection = self._connection or self._connect()
            connection.execute("BEGIN IMMEDIATE")
            if len(jobs) == 1:
                return [self._perform_alone(connection, jobs[0])]
            outcomes.extend(self._perform(connection, job) for job in jobs)
            connection.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001  (it belongs to those who wait)
            failure = as_ours(error, self._path)
            if self._connection is not None:
                self._connection = after_failure(self._connection, failure)
            refused = {outcome[0]: outcome for outcome in outcomes if outcome[2] is not None}
            return [refused.get(job, (job, None, failure)) for job in jobs]
        return outcomes

    def _connect(self) -> sqlite3.Connection:
        connection = connect(self._path, self._patience)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_LIMIT}")
        return connection

    def _perform_alone(self, connection: sqlite3.Connection, job: Job) -> Outcome:
        """Nobody else's work is in the transaction: it needs no savepoint, which costs as much as a row."""
        try:
            result = job.work(connection)
        except BaseException as error:
            if not connection.in_transaction:  # a full disk undoes the whole transaction at once
                raise
            failure = as_ours(error, self._path)
            connection.execute("ROLLBACK")
            return job, None, failure
        tell_early(job, result)
        connection.execute("COMMIT")
        return job, result, None

    def _perform(self, connection: sqlite3.Connection, job: Job) -> Outcome:
        connection.execute("SAVEPOINT operation")
        try:
            result = job.work(connection)
        except BaseException as error:
            if not connection.in_transaction:  # a full disk undoes the whole transaction at once
                raise
            failure = as_ours(error, self._path)
            connection.execute("ROLLBACK TO operation")
            connection.execute("RELEASE operation")
            return job, None, failure
        connection.execute("RELEASE operation")
        return job, result, None
