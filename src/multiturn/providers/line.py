"""What travels over one connection? One question, one answer, and again: HTTP/1.1 by httptools' parser."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httptools

from .hindrance import BrokenOff, Disconnected

__all__ = ["Line", "Received"]

FULL = 256 << 10
"""Bytes nobody has read yet, above which the provider has to wait."""
LARGEST_HEAD = 64 << 10
"""Bytes of names and values of headers, above which an answer is none."""
NO_BODY = (204, 304)


class Received:
    """One answer while it arrives. ``headers`` have small letters."""

    def __init__(self, line: Line) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.head: asyncio.Future[None] = line.loop.create_future()
        self._line: Line | None = line
        self._parts: list[bytes] = []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._sink: Callable[[bytes], None] | None = None
        self._failure: Exception | None = None
        self._over = False

    @property
    def content_type(self) -> str:
        """The kind of the answer, without its parameters."""
        return self.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()

    @property
    def content(self) -> Received:
        """The body: it is read here, too."""
        return self

    @property
    def complete(self) -> bool:
        """Whether all of it is there."""
        return self._over

    def at_eof(self) -> bool:
        """Whether everything was read."""
        return self._over and not self._parts

    async def readany(self) -> bytes:
        """What has come since, at least something; nothing at the end."""
        while not self._parts:
            if self._failure is not None:
                raise self._failure
            if self._over:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._taken()

    def hand_to(self, sink: Callable[[bytes], None] | None) -> None:
        """From now on ``sink`` is called with what comes the moment it comes, with nothing at the end or
        where the answer fails: `readany` says which. It runs beside all tasks and must not raise."""
        self._sink = sink
        if sink is not None and (self._parts or self._over or self._failure):
            self.arrived()

    def hold(self, *, on: bool) -> None:
        """Whether the provider has to wait."""
        if self._line is not None:
            self._line.hold(on=on)

    def close(self) -> None:
        """Hang up, unless the answer was read to its end and the connection can be used again. Whoever
        waits for more is told that nothing comes."""
        line, self._line = self._line, None
        if line is not None and not self._over:
            line.drop()
            self.end(BrokenOff())
            self.arrived()
        self._sink = None

    # -- what the line tells

    def add(self, part: bytes) -> None:
        """A piece of the body."""
        self._parts.append(part)
        self._size += len(part)

    def arrived(self) -> None:
        """All pieces that came together are there."""
        if self._sink is not None:
            if self._parts:
                self._sink(self._taken())
            self._tell_end()
            return
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self._size > FULL:
            self.hold(on=True)

    def _tell_end(self) -> None:
        if self._sink is not None and (self._over or self._failure is not None):
            self._sink(b"")

    def end(self, failure: Exception | None = None) -> None:
        """Nothing more comes."""
        if self._over or self._failure is not None:
            return
        self._over, self._failure = failure is None, failure
        if not self.head.done():
            self.head.set_exception(failure or Disconnected())
            self.head.exception()  # whoever asked may have left

    def _taken(self) -> bytes:
        parts, self._parts = self._parts, []
        if self._size > FULL:
            self.hold(on=False)
        self._size = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Line(asyncio.Protocol):
    """One connection: one question, one answer, and again."""

    def __init__(self, loop: asyncio.AbstractEventLoop, freed: Callable[[Line], None]) -> None:
        self.loop = loop
        self.idle_since = 0.0
        self.lost = False
        self._freed = freed
        self._transport: Any = None
        self._received: Received | None = None
        self._parser: Any = None
        self._headers: dict[str, str] = {}
        self._head_size = 0
        self._measured = False

    def ask(self, raw: bytes) -> Received:
        """Send a request; its answer is still to come."""
        self._parser = httptools.HttpResponseParser(self)
        self._headers, self._head_size, self._measured = {}, 0, False
        received = self._received = Received(self)
        self._transport.write(raw)
        return received

    def hold(self, *, on: bool) -> None:
        """Whether the other side has to wait."""
        if not self.lost:
            (self._transport.pause_reading if on else self._transport.resume_reading)()

    def drop(self) -> None:
        """Hang up."""
        self._received, self.lost = None, True
        self._transport.abort()

    # -- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is a connection."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Some bytes of an answer; what nobody asked for ends the connection."""
        received = self._received
        if received is None:
            self.drop()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            failure = BrokenOff()
            failure.__cause__ = error
            received.end(failure)
            self.drop()
        received.arrived()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone. An answer whose length nobody told ends with it."""
        self.lost = True
        received, self._received = self._received, None
        if received is None:
            return
        if not received.head.done():
            received.end(exc or Disconnected())
        elif self._measured or exc is not None:
            received.end(BrokenOff())
        else:
            received.end()
        received.arrived()

    # -- httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header of the answer."""
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text
        self._head_size += len(name) + len(value)
        if self._head_size > LARGEST_HEAD:
            raise ValueError("the head of the answer is too large")

    def on_headers_complete(self) -> None:
        """The head is there; one that only announces another is passed over."""
        received, headers = self._received, self._headers
        self._headers = {}
        status = self._parser.get_status_code()
        if received is None or status < 200:
            return
        received.status, received.headers = status, headers
        self._measured = "content-length" in headers or "transfer-encoding" in headers or status in NO_BODY
        if not received.head.done():
            received.head.set_result(None)

    def on_body(self, part: bytes) -> None:
        """A piece of the body."""
        if self._received is not None:
            self._received.add(part)

    def on_message_complete(self) -> None:
        """The end of the answer: the connection can be used again, if both sides want."""
        received = self._received
        if received is None or not received.status:
            return
        self._received = None
        received.end()
        if self._parser.should_keep_alive() and self._measured:
            self._freed(self)
        else:
            self.lost = True
            self._transport.close()
