"""What does our own server know of a request that ASGI does not say? Whether its body is there, when its
client leaves, and a way to write a piece of an answer without a task in between."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import Message, Scope
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

__all__ = ["CONNECTION", "Connection", "Write", "connection_of"]

CONNECTION = "multiturn.connection"
"""Where it stands in the scope of a request."""


Write = Callable[[bytes], bool]
"""Sends a piece and says whether the next may come."""


class Connection:
    """One request on uvicorn. It is called as ASGI's ``receive``."""

    __slots__ = ("_cycle", "_leaving", "_missing", "left")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._leaving: Callable[[], None] | None = None
        self._missing: Callable[[], None] | None = None
        self.left = False
        """Whether nobody listens any more."""

    @property
    def open(self) -> bool:
        """Whether the answer is still to come."""
        return not self._cycle.response_complete

    async def __call__(self) -> Message:
        """What the client sends."""
        return await self._cycle.receive()  # type: ignore[return-value]  # the same in other words

    def body(self) -> bytes | None:
        """The whole body, if it is there."""
        cycle = self._cycle
        if cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue:
            return None
        cycle.message_event.clear()
        body, cycle.body = bytes(cycle.body), bytearray()
        return body

    def when_left(self, leaving: Callable[[], None] | None) -> Callable[[], None] | None:
        """Have something done as soon as the client leaves (``None``: nothing); gives what was to be done
        before."""
        before, self._leaving = self._leaving, leaving
        if leaving is not None:
            self._cycle.flow.resume_reading()
        return before

    def when_lost(self, missing: Callable[[], None]) -> None:
        """Have something done when the connection ends and this was the last request that came over it."""
        self._missing = missing

    def lost(self) -> None:
        """The client has left."""
        self.left = True
        if self._leaving is not None and not self._cycle.response_complete:
            self._leaving()
        if self._missing is not None:
            self._missing()

    def write(self, part: bytes) -> bool:
        """Send a piece of an answer that has begun and has no known length. False: the next one has to
        wait, because the client does not keep up or has left."""
        cycle = self._cycle
        if cycle.disconnected or not cycle.chunked_encoding:
            return False
        cycle.transport.write(b"%x\r\n%b\r\n" % (len(part), part))
        return not cycle.flow.write_paused


def connection_of(scope: Scope) -> Connection | None:
    """The connection of a request; ``None`` where another server serves us."""
    found: Connection | None = scope.get(CONNECTION)
    return found
