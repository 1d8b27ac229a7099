"""Who in this process waits for which conversation, and who is told when it becomes free?

The queue itself is in the database, for all processes together. Here only the first of those who wait
in this process looks again and again; it is told at once when the lease is freed in this process.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

__all__ = ["Line", "Place"]

POLL = 0.025
SLOWEST_POLL = 0.1
GROWTH = 1.3


class Place:
    """A place in the line of one conversation."""

    def __init__(self, line: Line, key: int, ticket: int) -> None:
        self.key = key
        self.ticket = ticket
        self._line = line
        self._loop = asyncio.get_running_loop()
        self._freed = asyncio.Event()
        self._pause = POLL

    async def wait(self, at_most: float, *, alone: bool = False) -> None:
        """Until it may be our turn: told so, or when it is time to look; ``alone`` looks even if
        others here are before us."""
        first = alone or self._line.first(self.key) == self.ticket
        if first:
            at_most = min(at_most, self._pause)
            self._pause = min(self._pause * GROWTH, SLOWEST_POLL)
        with suppress(TimeoutError):  # wait_for would lose a cancellation in the moment it is told
            async with asyncio.timeout(at_most):
                await self._freed.wait()
        self._freed.clear()

    def tell(self) -> None:
        """It may be this one's turn. Called from any thread."""
        with suppress(RuntimeError):  # its loop is closed: it waits no more
            self._loop.call_soon_threadsafe(self._freed.set)


class Line:
    """All places of one store, by conversation."""

    def __init__(self) -> None:
        self._places: dict[int, dict[int, Place]] = {}

    def join(self, key: int, ticket: int) -> Place:
        """A place for this ticket."""
        place = Place(self, key, ticket)
        self._places.setdefault(key, {})[ticket] = place
        return place

    def leave(self, place: Place) -> None:
        """It waits no more: the next is told to look."""
        places = self._places[place.key]
        del places[place.ticket]
        if not places:
            del self._places[place.key]
        self.freed(place.key)

    def first(self, key: int) -> int | None:
        """The lowest ticket that waits here."""
        return min(self._places.get(key, ()), default=None)

    def freed(self, key: int) -> None:
        """The lease is free: tell the first."""
        ticket = self.first(key)
        if ticket is not None:
            self._places[key][ticket].tell()
