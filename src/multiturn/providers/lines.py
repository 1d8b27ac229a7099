"""Over which connections does a call go, where each microsecond counts? Plain HTTP/1.1 on asyncio and
httptools' parser: what a gateway does thousands of times a second. Failures are those of aiohttp's client,
which does the same where a proxy stands between or httptools is not installed."""

from __future__ import annotations

import asyncio
import io
import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, cast
from urllib.parse import SplitResult, urlsplit

import aiohttp
import httptools

__all__ = ["Lines", "Received"]

IDLE = 15.0
"""Seconds for which a connection nobody uses is kept."""
FULL = 256 << 10
"""Bytes nobody has read yet, above which the provider has to wait."""
LARGEST_HEAD = 64 << 10
NO_BODY = (204, 304)


class Place(NamedTuple):
    """Where a provider listens; as aiohttp's errors have it."""

    host: str
    port: int
    is_ssl: bool
    ssl: bool = True


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
        """What is read: as aiohttp's answers have it."""
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
        """Hang up, unless the answer was read to its end and the connection can be used again."""
        line, self._line = self._line, None
        if line is not None and not self._over:
            line.drop()
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
            self.head.set_exception(failure or aiohttp.ServerDisconnectedError())
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
            received.end(aiohttp.ClientPayloadError(str(error)))
            self.drop()
        received.arrived()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone. An answer whose length nobody told ends with it."""
        self.lost = True
        received, self._received = self._received, None
        if received is None:
            return
        if not received.head.done():
            received.end(exc or aiohttp.ServerDisconnectedError())
        elif self._measured or exc is not None:
            received.end(aiohttp.ClientPayloadError("the answer broke off"))
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


class Lines:
    """The connections of one event loop, each to where it was first asked for."""

    def __init__(self, connect: float) -> None:
        self._connect = connect
        self._idle: dict[Place, deque[Line]] = {}
        self._open: set[Line] = set()
        self._targets: dict[str, tuple[Place, bytes]] = {}
        self._context: ssl.SSLContext | None = None
        self._heads: dict[tuple[str, ...], bytes] = {}

    async def post(
        self, url: str, *, data: bytes | io.BytesIO, headers: Mapping[str, str], **_: object
    ) -> Received:
        """Ask, and wait for the head of the answer. Raises `aiohttp.ClientError` and `OSError`."""
        if url not in self._targets:
            self._targets[url] = _target(urlsplit(url))
        place, first = self._targets[url]
        body = data if isinstance(data, bytes) else data.getvalue()
        line = self._free(place) or await self._opened(place)
        received = line.ask(
            b"%bContent-Length: %d\r\n\r\n%b" % (first + self._head(headers), len(body), body)
        )
        try:
            await received.head
        except BaseException:
            received.close()
            raise
        return received

    async def close(self) -> None:
        """Hang up everywhere."""
        self._idle.clear()
        while self._open:
            with suppress(RuntimeError):  # of an event loop that has ended
                self._open.pop().drop()
        await asyncio.sleep(0)

    def _head(self, headers: Mapping[str, str]) -> bytes:
        """Headers as bytes: the same few all the time."""
        key = (*headers, *headers.values())
        if key not in self._heads:
            if len(self._heads) > 64:
                self._heads.clear()
            if any(mark in part for part in key for mark in "\r\n\0"):
                raise ValueError("a header holds the end of a line")
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            self._heads[key] = lines.encode("utf-8")
        return self._heads[key]

    def _free(self, place: Place) -> Line | None:
        """The connection used last, if it is still there; those that idled too long are closed."""
        idle = self._idle.get(place)
        while idle:
            oldest = idle[0]
            if oldest.lost or oldest.loop.time() - oldest.idle_since > IDLE:
                idle.popleft()
                self._open.discard(oldest)
                if not oldest.lost:
                    oldest.drop()
                continue
            line = idle.pop()
            if not line.lost:
                return line
            self._open.discard(line)
        return None

    async def _opened(self, place: Place) -> Line:
        loop = asyncio.get_running_loop()

        def freed(line: Line) -> None:
            line.idle_since = loop.time()
            self._idle.setdefault(place, deque()).append(line)

        try:
            async with asyncio.timeout(self._connect):
                _, line = await loop.create_connection(
                    lambda: Line(loop, freed),
                    place.host,
                    place.port,
                    ssl=self._security() if place.is_ssl else None,
                    server_hostname=place.host if place.is_ssl else None,
                )
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error
        except OSError as error:
            raise _as_aiohttp(place, error) from error
        self._open = {each for each in self._open if not each.lost}
        self._open.add(line)
        return line

    def _security(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context()
            self._context.set_alpn_protocols(["http/1.1"])
        return self._context


def _target(parts: SplitResult) -> tuple[Place, bytes]:
    """Where a URL leads, and the first lines of a request for it."""
    secure = parts.scheme == "https"
    place = Place(parts.hostname or "", parts.port or (443 if secure else 80), secure)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = parts.netloc.rpartition("@")[2]
    return place, f"POST {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: multiturn\r\n".encode("ascii")


def _as_aiohttp(place: Place, error: OSError) -> Exception:
    key = cast("Any", place)
    if isinstance(error, ssl.CertificateError):
        return aiohttp.ClientConnectorCertificateError(key, error)
    if isinstance(error, ssl.SSLError):
        return aiohttp.ClientConnectorSSLError(key, error)
    if isinstance(error, socket.gaierror):
        return aiohttp.ClientConnectorDNSError(key, error)
    return aiohttp.ClientConnectorError(key, error)
