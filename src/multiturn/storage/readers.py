"""Who reads? A few threads, each with its own connection; one hop for a read, one snapshot.

The first reads are done in a thread that the event loop lends: somebody who looks once and goes needs
no thread of their own, whose start costs as much as the reading. Who stays gets one, which goes on with
that connection.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

from ..errors import StoreUnavailable
from ..phrases import Reason
from .connections import after_failure, as_ours, connect
from .jobs import Job, Outcome, deliver, end, parted

__all__ = ["Readers"]

T = TypeVar("T")
THREADS = 4
"""Reads at one time; more wait."""
BORROWED = 3
"""So many reads, one after the other, are done in borrowed threads. Their way is twice as long."""


class Readers:
    """The reading threads of one database; each starts when those before it are busy."""

    def __init__(self, path: str, patience: float) -> None:
        self._path = path
        self._patience = patience
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._waiting = 0
        self._closed = False
        self._borrowed = 0
        self._at_work = threading.Lock()
        self._spare: sqlite3.Connection | None = None

    def run(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Have ``work`` done in one snapshot; the future gets its result."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._lock:
            if self._closed:
                raise StoreUnavailable(Reason("why.store_closed"), path=self._path)
            self._waiting += 1
            job = Job(work, loop, future)
            alone = self._waiting == 1 and not self._threads
            if not alone or self._borrowed == BORROWED or not self._borrow(job):
                self._jobs.put(job)
                if self._waiting > len(self._threads) < THREADS:
                    self._start()
        return future

    async def close(self) -> None:
        """Finish the reads that wait and close the connections."""
        with self._lock:
            self._closed = True
            threads, self._threads = self._threads, []
        await parted(threads, self._jobs)
        await self._let_go()

    def _start(self) -> None:
        name = f"multiturn-reader-{len(self._threads) + 1}"
        self._threads.append(threading.Thread(target=self._serve, name=name, daemon=True))
        self._threads[-1].start()

    # -- the first reads

    def _borrow(self, job: Job) -> bool:
        """Have it done in a thread of the loop's; ``False`` where none is to be had any more."""
        self._at_work.acquire()
        try:
            job.loop.run_in_executor(None, self._serve_one, job)
        except RuntimeError:  # the interpreter is on its way out
            self._at_work.release()
            return False
        self._borrowed += 1
        return True

    def _serve_one(self, job: Job) -> None:
        connection, outcome = self._wanted(self._take_spare(), job)
        with self._lock:
            self._waiting -= 1
            self._spare = connection
            self._at_work.release()
        deliver((outcome,))

    async def _let_go(self) -> None:
        """Close what the first reads have opened, if nobody went on with it."""
        if self._at_work.locked():
            await asyncio.get_running_loop().run_in_executor(None, self._at_work.acquire)
        connection = self._take_spare()
        if connection is not None:
            connection.close()

    def _take_spare(self) -> sqlite3.Connection | None:
        with self._lock:
            connection, self._spare = self._spare, None
        return connection

    # -- in the threads

    def _serve(self) -> None:
        connection = self._take_spare()
        while (job := self._jobs.get()).work is not end:
            connection, outcome = self._wanted(connection, job)
            with self._lock:
                self._waiting -= 1
            deliver((outcome,))
        if connection is not None:
            connection.close()
        deliver(((job, None, None),))

    def _wanted(
        self, connection: sqlite3.Connection | None, job: Job
    ) -> tuple[sqlite3.Connection | None, Outcome]:
        """Do it, if somebody still waits for it."""
        return (connection, (job, None, None)) if job.future.cancelled() else self._perform(connection, job)

    def _perform(
        self, connection: sqlite3.Connection | None, job: Job
    ) -> tuple[sqlite3.Connection | None, Outcome]:
        try:
            connection = connection or connect(self._path, self._patience)
            connection.execute("BEGIN")
            result = job.work(connection)
            connection.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001  (it belongs to whoever waits)
            failure = as_ours(error, self._path)
            if connection is not None:
                connection = after_failure(connection, failure)
            return connection, (job, None, failure)
        return connection, (job, result, None)
