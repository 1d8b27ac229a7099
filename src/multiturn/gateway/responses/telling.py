"""How is a response told while it is made, and again afterwards? Both from the beginning, or from after any
of its events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from ...conversations import Address, Owner
from ...course import Reader
from ...memory import message_of
from ...storage import Asked, Exchange
from ...stream import AsyncStream
from ...turn import OpenTurn
from ..items.items import items_of
from .events import Events, refusal_in
from .response import Progress, responded, response_of, status_of

__all__ = ["Live", "Mark", "Telling", "ended", "told_again", "whole"]


Mark = tuple[Owner, str, bytes]
"""Which request asked: whose it is, its key, the digest of its body."""


class Live:
    """A response that is being made in this process. ``first`` is how it looks at the beginning, ``last``
    at the end; ``stream`` is its turn, ``beside`` what else stands beside its answer. Where nobody listens
    while it comes, it need not be ``streamed``."""

    def __init__(
        self, turn: OpenTurn, asked: Asked, mark: Mark, beside: Mapping[str, str], *, streamed: bool
    ) -> None:
        begun, lease = turn.begun, turn.lease
        at = Address(lease.ulid, lease.branch, lease.turn, lease.step)
        self.at = at
        self.conversation = lease.conversation
        self.owner = lease.owner
        self.message = Address(at.ulid, at.branch, at.turn, begun.turn.messages).message_id
        self.first = _first(at, begun.asked_at or 0.0, asked, self.conversation)
        self.last: Mapping[str, Any] | None = None
        self.mark = mark
        self.beside = beside
        self._error: Exception | None = None

        async def opened() -> OpenTurn:
            return turn

        self.stream = AsyncStream(opened, stream=streamed)
        self.turn = turn
        assert turn.course is not None, "what is asked for is noted"  # noqa: S101  (for the type checker)
        self.course = turn.course
        self._released = self._followers = 0
        self._changed = asyncio.Event()

    @property
    def id(self) -> str:
        """The id of the response."""
        return self.at.response_id

    def tell(self) -> None:
        """More has come that may be told."""
        self._released = len(self.course.told)
        self._change()

    def end(self, last: Mapping[str, Any]) -> None:
        """The response is stored; this is how. All of it was told."""
        self.last = last
        self._change()

    def fail(self, error: Exception) -> None:
        """Nobody knows how it was stored."""
        self._error = error
        self._change()

    def _change(self) -> None:
        if self._followers:
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    def telling(self, after: int = -1) -> Telling:
        """What writes its events after number ``after`` while they come."""
        return Telling(self, after)

    @property
    def released(self) -> int:
        """How much of the course may be told."""
        return self._released

    async def followed(self, events: Events) -> AsyncGenerator[bytes, None]:
        """All events, from the beginning to the end, as they come."""
        reader, told = Reader.live(self.course), events.begin(self.first)
        self._followers += 1
        try:
            while self.last is None and self._error is None:
                changed = self._changed
                if told := told + events.of(reader.pieces(self._released)):
                    yield told
                told = b""
                if changed is self._changed:
                    await changed.wait()
        finally:
            self._followers -= 1
        if self._error is not None:
            raise self._error
        told += events.of(reader.pieces(self._released))
        last = self.last or {}
        yield told + events.close(str(last["status"]), refusal_in(last["output"])) + events.end(last)


class Telling:
    """Writes the events of a response for the client that asked for it."""

    def __init__(self, live: Live, after: int) -> None:
        self._live = live
        self.events = Events(live.message, after)
        self._reader = Reader.live(live.course)
        self.begun = False

    def more(self) -> bytes:
        """The events of what may be told now."""
        told = b"" if self.begun else self.events.begin(self._live.first)
        self.begun = True
        return told + self.events.of(self._reader.pieces(self._live.released))


def ended(exchange: Exchange, events: Events, language: str) -> tuple[bytes, dict[str, Any]]:
    """The last events, and the response they tell of."""
    told = events.close(status_of(exchange), _refusal(exchange))
    last = response_of(exchange, language, events.items)
    return told + events.end(last, crashed=exchange.step is None), last


def whole(exchange: Exchange, language: str) -> dict[str, Any]:
    """A stored response, as its last event tells it."""
    if exchange.output is not None or not exchange.course:
        return response_of(exchange, language)
    return ended(exchange, _replayed(exchange)[0], language)[1]


def told_again(exchange: Exchange, language: str, after: int = -1) -> bytes:
    """The events of a response that has ended, after number ``after``."""
    events, told = _replayed(exchange, after)
    return told + ended(exchange, events, language)[0]


def _replayed(exchange: Exchange, after: int = -1) -> tuple[Events, bytes]:
    at = exchange.address
    place = exchange.input[-1].row.place + 1 if exchange.input else 0
    events = Events(Address(at.ulid, at.branch, at.turn, place).message_id, after)
    first = _first(at, exchange.created_at, exchange.asked, exchange.conversation)
    answer = message_of(exchange.output) if exchange.output else None
    told = events.begin(first)
    return events, told + events.of(Reader.stored(exchange.course, answer).pieces())


def _refusal(exchange: Exchange) -> str:
    """What a stored answer says where it refuses; most do not."""
    output = exchange.output
    if output is None or b'"refusal"' not in output.row.body:
        return ""
    return refusal_in(items_of(output))


def _first(at: Address, created_at: float, asked: Asked, conversation: str) -> dict[str, Any]:
    """A response that has just begun."""
    return responded(at.response_id, created_at, asked, conversation, Progress())
