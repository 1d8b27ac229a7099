"""How does work reach a database thread, and its outcome come back to the event loop?

Each thread owns its connection. A job is a function of the connection; whoever submits it awaits a
future of their own loop. That is one hop there and one back, about half of what an executor costs.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

__all__ = ["Job", "Outcome", "Unwanted", "deliver", "joined"]

Unwanted = Callable[[Any], None]
"""Called with the result of a job that was done although whoever submitted it had left."""


class Job(NamedTuple):
    """One piece of work and where its outcome goes."""

    work: Callable[[sqlite3.Connection], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    unwanted: Unwanted | None = None


Outcome = tuple[Job, Any, BaseException | None]


def deliver(outcomes: Sequence[Outcome]) -> None:
    """Bring outcomes home: one wake-up for each loop."""
    for loop, group in groupby(outcomes, key=_loop):
        try:
            loop.call_soon_threadsafe(_settle, list(group))
        except RuntimeError:  # the loop is closed: nobody waits any more
            continue


async def joined(thread: threading.Thread) -> None:
    """Wait for the end of a thread, without a second one to wait in: none can be started any more when
    the interpreter is on its way out."""
    while thread.is_alive():  # noqa: ASYNC110  (the end of a thread sets no event)
        await asyncio.sleep(0.001)


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
