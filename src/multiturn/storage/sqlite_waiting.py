"""Who may begin now, and who has to wait? One turn at a time runs on a branch; whoever has to wait for it
queues in the database, for all processes together."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ..errors import ConversationBusy
from . import sqlite_leases, sqlite_turns
from .jobs import Early
from .line import Line, Place
from .readers import Readers
from .records import Begun
from .sqlite_leases import TICKET_LIFE, Queued
from .writer import Writer

__all__ = ["Waiting"]

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
Attempt = Callable[[sqlite3.Connection, int | None], T | Queued]


class Waiting:
    """Those who wait in this process."""

    def __init__(self, writer: Writer, reader: Readers | Writer) -> None:
        self._writer = writer
        self._reader = reader
        self._line = Line()

    def freed(self, key: int) -> None:
        """The conversation with this key is free: whoever is next may look at once."""
        self._line.freed(key)

    async def begin(
        self,
        attempt: Attempt[T],
        conversation: str,
        wait: float,
        key: str | None,
        early: Early | None = None,
    ) -> T:
        """What ``attempt`` comes to; where somebody else is at it, after waiting up to ``wait`` seconds. It
        runs inside a transaction of the writer, with the ticket of whoever waited; ``early`` hears of the
        first outcome (`Writer.run`). Raises `ConversationBusy`."""
        deadline = asyncio.get_running_loop().time() + wait
        outcome = await self._taken(lambda db: attempt(db, None), early)
        if not isinstance(outcome, Queued):
            return outcome
        if outcome.ticket is not None:
            place = self._line.join(outcome.key, outcome.ticket)
            try:
                while isinstance(outcome, Queued) and await self._called(place, outcome, deadline, key):
                    outcome = await self._taken(lambda db: attempt(db, place.ticket))
            except BaseException:
                self._unwanted(Queued(place.key, place.ticket))
                raise
            finally:
                self._line.leave(place)
        if isinstance(outcome, Queued):
            self._unwanted(outcome)
            raise ConversationBusy(conversation=conversation, waited=wait)
        return outcome

    async def _taken(self, work: Work[T | Queued], early: Early | None = None) -> T | Queued:
        """The outcome; where whoever waits is cancelled, it is given back, however late that is."""
        outcome = self._writer.run(work, self._unwanted, early)
        try:
            return await outcome
        except asyncio.CancelledError:
            if outcome.done() and not outcome.cancelled() and outcome.exception() is None:
                self._unwanted(outcome.result())  # it had arrived, but was not looked at yet
            raise

    async def _called(self, place: Place, queued: Queued, deadline: float, key: str | None) -> bool:
        """Wait until it may be our turn; ``False`` when the time is over."""
        now = asyncio.get_running_loop().time
        renewed = now()
        while (left := deadline - now()) > 0:
            alone = key is not None or queued.segment is not None
            await place.wait(min(left, TICKET_LIFE / 3), alone=alone)
            if await self._reader.run(lambda db: sqlite_leases.may_go(db, queued, key)):
                return True
            if now() - renewed > TICKET_LIFE / 3:
                renewed = now()
                await self._writer.run(lambda db: sqlite_leases.keep_ticket(db, place.key, place.ticket))
        return False

    def _unwanted(self, outcome: object) -> None:
        """Whoever wanted this has left: give it back."""
        if isinstance(outcome, Queued) and outcome.ticket is not None:
            self._give_back(outcome.key, partial(sqlite_leases.drop_ticket, ticket=outcome.ticket))
        elif isinstance(outcome, Begun) and outcome.lease is not None:
            self._give_back(outcome.lease.key, partial(sqlite_turns.abandon, lease=outcome.lease))

    def _give_back(self, key: int, work: Work[None]) -> None:
        """Nobody waits for this but the next in line. In a closed store it lapses by itself."""
        self._writer.aside(work, lambda: self.freed(key))
