"""A provider that says what it is told to, byte by byte."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from multiturn.providers.line import Received
from multiturn.providers.lines import Lines

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_THE_END = b"HTTP/1.1 200 OK\r\n\r\nhel"


class Host:
    """A server that says what it is told to, byte by byte; one entry of ``says`` for each request."""

    def __init__(self, *says: bytes, close: bool = False) -> None:
        self.url = ""
        self.connections = 0
        self.left = 0
        """Connections on which nobody asks any more."""
        self.requests: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self._says = list(says)
        self._close = close

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(size))
                writer.write(self._says.pop(0) if self._says else b"")
                await writer.drain()
                if self._close:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left += 1
        if self._close:
            writer.close()


@asynccontextmanager
async def host(
    *says: bytes, close: bool = False, secure: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Host, Lines]]:
    one, lines = Host(*says, close=close), Lines(5.0)
    server = await asyncio.start_server(one.talk, "127.0.0.1", 0, ssl=secure)
    scheme = "https" if secure else "http"
    one.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat?x=1"
    try:
        yield one, lines
    finally:
        await lines.close()
        for writer in one.writers:
            writer.close()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)


async def post(one: Host, lines: Lines, body: bytes = b"{}", **headers: str) -> Received:
    return await lines.post(one.url, data=body, headers=headers)


async def read(answer: Received) -> bytes:
    parts = []
    while part := await answer.readany():
        parts.append(part)
    return b"".join(parts)
