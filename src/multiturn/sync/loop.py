"""On which thread does the blocking API run? An event loop on a daemon thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Generic, TypeVar

from ..errors import TurnClosed
from ..phrases import Reason

__all__ = ["Loop"]

T = TypeVar("T")
Work = Callable[[], Awaitable[T]]
PATIENCE = 10.0
"""Seconds that work which was cancelled may take to put everything in order: more than a lock lasts."""
FAREWELL = 1.0
"""Seconds to wait for the end of a client that nobody holds any more."""
OURS = "multiturn"
"""How the names of our threads begin, those of the stores included."""


class Loop:
    """An event loop on a daemon thread, started at first use. What was made on it before a fork is
    foreign in the forked process: its thread is not there."""

    def __init__(self) -> None:
        self._process = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def foreign(self) -> bool:
        """Whether it was started in another process, before a fork."""
        return self._process not in (0, os.getpid())

    def run(self, work: Work[T]) -> T:
        """Do ``work`` on the loop and wait for it. Ctrl-C while waiting cancels it first."""
        if self.foreign:
            raise TurnClosed(Reason("why.after_fork"))
        if threading.current_thread() is self._thread:
            raise RuntimeError("a blocking call on the client's own thread would wait for itself")
        return _Call(self._running(), work).wait()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop, self._process = asyncio.new_event_loop(), os.getpid()
                self._thread = threading.Thread(target=_serve, args=(self._loop,), name=OURS, daemon=True)
                self._thread.start()
            return self._loop

    def end(self, last: Work[None], *, held: bool = True) -> None:
        """Do ``last``, then end the thread; whatever still runs is cancelled. Where nobody ``held`` the
        client any more, this may be the garbage collector at work, on any thread and in the middle of
        anything: then it is not waited for long, and on our own threads not at all."""
        loop, self._loop = self._loop, None
        if loop is None or self._thread is None or self.foreign:
            return
        call = _Call(loop, last, then=loop.stop)
        if held:
            try:
                call.wait()
            finally:
                self._thread.join()
        elif not threading.current_thread().name.startswith(OURS):
            self._thread.join(FAREWELL)


class _Call(Generic[T]):
    """Work on the loop, and somebody on another thread who waits for it."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, work: Work[T], then: Callable[[], None] | None = None
    ) -> None:
        self._loop = loop
        self._outcome: Future[T] = Future()
        self._task: asyncio.Task[T] | None = None
        loop.call_soon_threadsafe(self._start, _awaited(work), then)

    def wait(self) -> T:
        """The result. Whoever stops waiting cancels the work, and stays until everything is in order."""
        try:
            return self._outcome.result()
        except BaseException:
            if not self._outcome.done():
                self._loop.call_soon_threadsafe(self._cancel)
                with suppress(Exception):
                    self._outcome.exception(PATIENCE)
            raise

    def _start(self, work: Coroutine[Any, Any, T], then: Callable[[], None] | None) -> None:
        self._task = self._loop.create_task(work)
        self._task.add_done_callback(self._hand_over)
        if then is not None:
            self._task.add_done_callback(lambda _: then())

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _hand_over(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self._outcome.set_exception(TurnClosed(Reason("why.closed_meanwhile")))
        elif error := task.exception():
            self._outcome.set_exception(error)
        else:
            self._outcome.set_result(task.result())


async def _awaited(work: Work[T]) -> T:
    return await work()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
