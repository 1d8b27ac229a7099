"""Who reads? A few threads, each with its own connection; one hop for a read, one snapshot."""

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

    def run(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Have ``work`` done in one snapshot; the future gets its result."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._lock:
            if self._closed:
                raise StoreUnavailable(Reason("why.store_closed"), path=self._path)
            self._waiting += 1
            self._jobs.put(Job(work, loop, future))
            if self._waiting > len(self._threads) < THREADS:
                self._start()
        return future

    async def close(self) -> None:
        """Finish the reads that wait and close the connections."""
        with self._lock:
            self._closed = True
            threads, self._threads = self._threads, []
        await parted(threads, self._jobs)

    def _start(self) -> None:
        name = f"multiturn-reader-{len(self._threads) + 1}"
        self._threads.append(threading.Thread(target=self._serve, name=name, daemon=True))
        self._threads[-1].start()

    # -- in the threads

    def _serve(self) -> None:
        connection: sqlite3.Connection | None = None
        while (job := self._jobs.get()).work is not end:
            outcome: Outcome = (job, None, None)
            if not job.future.cancelled():
                connection, outcome = self._perform(connection, job)
            with self._lock:
                self._waiting -= 1
            deliver((outcome,))
        if connection is not None:
            connection.close()
        deliver(((job, None, None),))

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
