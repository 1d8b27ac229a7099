"""Who writes? One thread, which commits together what arrived together.

Each operation runs in a savepoint of its own: one that fails takes nothing with it. Nobody hears of
success before the COMMIT that covers it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from ..errors import StoreUnavailable
from .connections import after_failure, as_ours, connect
from .jobs import Job, Outcome, Unwanted, deliver, joined

__all__ = ["Writer"]

T = TypeVar("T")
BATCH = 256
"""Operations that share a commit at most."""


class Writer:
    """The writing thread of one database; it starts with the first operation."""

    def __init__(self, path: str, patience: float) -> None:
        self._path = path
        self._patience = patience
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    def run(
        self, work: Callable[[sqlite3.Connection], T], unwanted: Unwanted | None = None
    ) -> asyncio.Future[T]:
        """Have ``work`` done in a transaction; the future gets its result once it is durable.

        Somebody who stops waiting before its turn came leaves nothing behind; afterwards the work
        stays done, and ``unwanted`` hears of it.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._submit(Job(work, loop, future, unwanted))
        return future

    def leave(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """Have ``work`` done some time; nobody waits for it."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        future.add_done_callback(_overheard)
        self._submit(Job(work, loop, future))

    async def close(self) -> None:
        """Commit what was submitted and close the connection."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
            self._jobs.put(None)
        if thread is not None:
            await joined(thread)

    def _submit(self, job: Job) -> None:
        with self._lock:
            if self._closed:
                raise StoreUnavailable("it was closed", path=self._path)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="multiturn-writer", daemon=True)
                self._thread.start()
            self._jobs.put(job)

    # -- in the thread

    def _serve(self) -> None:
        going = True
        while going:
            jobs = self._arrived()
            if jobs[-1] is None:
                going = False
            wanted = [job for job in jobs if job is not None and not job.future.cancelled()]
            if wanted:
                deliver(self._commit(wanted))
        self._let_go()

    def _arrived(self) -> list[Job | None]:
        jobs = [self._jobs.get()]
        try:
            while jobs[-1] is not None and len(jobs) < BATCH:
                jobs.append(self._jobs.get_nowait())
        except Empty:
            pass
        return jobs

    def _commit(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        outcomes: list[Outcome] = []
        try:
            connection = self._connection = self._connection or connect(self._path, self._patience)
            connection.execute("BEGIN IMMEDIATE")
            outcomes.extend(self._perform(connection, job) for job in jobs)
            connection.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001  (it belongs to those who wait)
            failure = as_ours(error, self._path)
            if self._connection is not None:
                self._connection = after_failure(self._connection, failure)
            refused = {outcome[0]: outcome for outcome in outcomes if outcome[2] is not None}
            return [refused.get(job, (job, None, failure)) for job in jobs]
        return outcomes

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

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _overheard(future: asyncio.Future[Any]) -> None:
    """Nobody waits: take the exception, so that the loop does not complain."""
    if not future.cancelled():
        future.exception()
