"""How does work reach a database thread, and its outcome come back to the event loop?

Each thread owns its connection. A job is a function of the connection; whoever submits it awaits a
future of their own loop. That is one hop there and one back, about half of what an executor costs.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import groupby
from queue import SimpleQueue
from typing import Any, NamedTuple

__all__ = ["Early", "Job", "Outcome", "Unwanted", "deliver", "end", "parted", "tell_early"]

Unwanted = Callable[[Any], None]
"""Called with the result of a job that was done although whoever submitted it had left."""
Early = Callable[[Any], None]
"""Called in the loop with the result of a job that is done, but not durable yet."""


class Job(NamedTuple):
    """One piece of work and where its outcome goes."""

    work: Callable[[sqlite3.Connection], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    unwanted: Unwanted | None = None
    early: Early | None = None


Outcome = tuple[Job, Any, BaseException | None]


def deliver(outcomes: Sequence[Outcome]) -> None:
    """Bring outcomes home: one wake-up for each loop."""
    if len(outcomes) == 1:
        groups = [(outcomes[0][0].loop, outcomes)]
    else:
        groups = [(loop, list(group)) for loop, group in groupby(outcomes, key=_loop)]
    for loop, group in groups:
        try:
            loop.call_soon_threadsafe(_settle, group)
        except RuntimeError:  # the loop is closed: nobody waits any more
            continue


def tell_early(job: Job, result: Any) -> None:
    """Tell the outcome before it is durable, where somebody wants to know."""
    if job.early is not None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            job.loop.call_soon_threadsafe(_hear, job, result)


def _hear(job: Job, result: Any) -> None:
    """Whoever has left wants to know nothing."""
    if job.early is not None and not job.future.done():
        job.early(result)


def end(_: sqlite3.Connection) -> None:
    """The last work of a thread: it closes its connection, says so, and is gone."""


async def parted(threads: Sequence[threading.Thread], jobs: SimpleQueue[Job]) -> None:
    """Wait until these threads have done what is queued, and ended. No other thread is needed to wait
    in: none can be started any more when the interpreter is on its way out."""
    loop = asyncio.get_running_loop()
    lasts = [Job(end, loop, loop.create_future()) for _ in threads]
    for last in lasts:
        jobs.put(last)
    for last in lasts:
        await last.future
    for thread in threads:
        thread.join()


def _loop(outcome: Outcome) -> asyncio.AbstractEventLoop:
    return outcome[0].loop


def _settle(outcomes: Sequence[Outcome]) -> None:
    for job, result, error in outcomes:
        if not job.future.done():
            if error is None:
                job.future.set_result(result)
            else:
                job.future.set_exception(error)
        elif error is None and job.unwanted is not None:
            job.unwanted(result)
