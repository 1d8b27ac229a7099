"""How is a running turn held, and what has arrived of it kept? A sign of life every few seconds, text
in batches; and it can be told to stop from anywhere, also from another process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import TypeVar

from .course import Course
from .errors import Error, TurnExpired
from .reply import Delta
from .storage import Lease, Partial, Store

__all__ = ["Hold", "to_the_end"]

T = TypeVar("T")

BATCH_SECONDS = 0.25
BATCH_CHARACTERS = 2048


class Hold:
    """The grip on one turn, from its acceptance to its end. ``seconds`` is how long the lease lasts
    without a sign of life, which is given every ``renew`` seconds (``None``: never, so the turn has no
    more time than that)."""

    def __init__(
        self, store: Store, lease: Lease, *, seconds: float, renew: float | None, keep_reasoning: bool
    ) -> None:
        self.lease = lease
        self.stopped = False
        self._store = store
        self._seconds = seconds
        self._renew_every = renew
        self._keep_reasoning = keep_reasoning
        self._arrived: list[Partial] = []
        self._size = 0
        self._storing = self._due = False
        self._reading: asyncio.Timeout | None = None
        self._flush_timer: asyncio.TimerHandle | None = None
        self._renew_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._wait_to_renew()

    # -- reading

    async def next(self, answer: AsyncIterator[Delta]) -> Delta | None:
        """The next delta; ``None`` at the end, or as soon as the turn is told to stop."""
        if self.stopped:
            return None
        self._reading = reading = asyncio.timeout(None)
        try:
            async with reading:
                return await anext(answer, None)
        except TimeoutError:
            if reading.expired():
                return None
            raise
        finally:
            self._reading = None

    async def during(self, flow: Coroutine[None, None, None]) -> None:
        """Wait for a flow of deltas; not any longer, as soon as the turn is told to stop."""
        if self.stopped:
            flow.close()
            return
        self._reading = reading = asyncio.timeout(None)
        try:
            async with reading:
                await flow
        except TimeoutError:
            if not reading.expired():
                raise
        finally:
            self._reading = None

    def stop(self) -> None:
        """Reading ends now, also in the middle of waiting."""
        self.stopped = True
        if self._reading is not None:
            self._reading.reschedule(asyncio.get_running_loop().time())

    # -- keeping

    def keep(self, delta: Delta, course: Course | None = None) -> None:
        """Store what arrived with the next batch, and in what pieces, where note is taken of that."""
        reasoning = delta.reasoning if self._keep_reasoning else None
        if not delta.text and not reasoning:
            return
        self._arrived.append(Partial(delta.text, reasoning, course.taken() if course else b""))
        self._size += len(delta.text) + len(reasoning or "")
        if self._size >= BATCH_CHARACTERS:
            self._flush()
        elif self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(BATCH_SECONDS, self._flush)

    def _flush(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        self._due = True
        if not self._storing:
            self._storing = True
            self._spawn(self._append())

    async def _append(self) -> None:
        """One batch after the other, so that they stay in order: what is due meanwhile waits, and what could
        not be stored comes with the next."""
        try:
            while self._due and self._arrived:
                self._due = False
                partial, self._arrived, self._size = _joined(self._arrived), [], 0
                try:
                    if not await self._store.append(self.lease, partial):
                        self.stop()
                except Error:
                    self._arrived.insert(0, partial)
                    if not self._due:
                        raise
        finally:
            self._storing = False

    # -- holding

    def _wait_to_renew(self) -> None:
        if self._renew_every is not None:
            loop = asyncio.get_running_loop()
            self._renew_timer = loop.call_later(self._renew_every, lambda: self._spawn(self._renew()))

    async def _renew(self) -> None:
        try:
            if not await self._store.renew(self.lease, self._seconds):
                self.stop()
        finally:
            self._wait_to_renew()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[None, None, None]) -> None:
        """A lost lease stops the turn; any other trouble of the store shows when the turn ends."""
        try:
            await work
        except TurnExpired:
            self.stop()
        except Error:
            return

    async def release(self) -> None:
        """Let go: no more signs of life; what is being written is finished first."""
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks)
        if self._renew_timer is not None:
            self._renew_timer.cancel()


def _joined(parts: Sequence[Partial]) -> Partial:
    thoughts = [part.reasoning for part in parts if part.reasoning is not None]
    return Partial(
        "".join([part.text for part in parts]),
        "".join(thoughts) if thoughts else None,
        b"".join([part.course for part in parts]),
    )


async def to_the_end(task: asyncio.Task[T]) -> T:
    """Wait for ``task``, however often whoever waits is cancelled; only then is it cancelled."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    result = task.exception() or task.result()
    if cancelled is not None:
        raise cancelled
    if isinstance(result, BaseException):
        raise result
    return result
