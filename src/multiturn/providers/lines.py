"""Over which connections does a call go, where each microsecond counts? Plain HTTP/1.1 on asyncio and
httptools' parser: what a gateway does thousands of times a second."""

from __future__ import annotations

import asyncio
import io
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from ..phrases import system_reason
from .hindrance import ConnectingTooLong, Hindrance, NoSuchHost, NotConnected, NotTrusted
from .line import Line, Received

__all__ = ["Lines"]

IDLE = 15.0
"""Seconds for which a connection nobody uses is kept."""


class Place(NamedTuple):
    """Where a provider listens."""

    host: str
    port: int
    secure: bool


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
        """Ask, and wait for the head of the answer. Raises `Hindrance` and `OSError`."""
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
                    ssl=self._security() if place.secure else None,
                    server_hostname=place.host if place.secure else None,
                )
        except TimeoutError as error:
            raise ConnectingTooLong(self._connect) from error
        except OSError as error:
            raise _hindrance(place, error) from error
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


def _hindrance(place: Place, error: OSError) -> Hindrance:
    if isinstance(error, ssl.SSLError):
        return NotTrusted(place.host, place.port)
    if isinstance(error, socket.gaierror):
        return NoSuchHost(place.host, place.port)
    return NotConnected(place.host, place.port, system_reason(error))
