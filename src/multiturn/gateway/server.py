"""How is the gateway served? Uvicorn on uvloop with httptools, time and size limits for what arrives, and an
end that finishes or tells every stream."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from ..client import AsyncMultiTurn
from .access.hosts import Hosts
from .app import application
from .http.body import LARGEST_WITH_MEDIA
from .http.connection import CONNECTION, Connection
from .http.refusal import Refusal, said_of
from .log import set_up
from .responses.socket import ENDING

__all__ = ["serve", "server_of"]

HEAD_SECONDS = 10.0
LARGEST_HEAD = 64 << 10
GRACE = 20
"""Seconds in which open streams may come to their end after the server was told to stop."""


COLLECTED = (10_000, 20, 20)
"""When Python looks for garbage: a request makes some hundred objects, and nearly none in circles."""


class Protocol(HttpToolsProtocol):
    """HTTP with limits for the head of a request, and errors in our envelope."""

    _head_timer: asyncio.TimerHandle | None = None
    _head_size = 0
    _fields_size = 0
    _connections: list[Connection] = []  # noqa: RUF012  (never changed, only replaced)
    _language = "en"

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Somebody is there, and has a moment to say what they want."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._stop_waiting()
        super().connection_lost(exc)
        for connection in self._connections:
            connection.lost()

    def on_response_complete(self) -> None:
        """An answer was sent; whether it arrived, the end of the connection may tell."""
        newest = self._connections[-1]
        self._connections = [each for each in self._connections if each.open or each is newest]
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        """Some bytes, which are at first those of a head."""
        head = self._head_timer
        super().data_received(data)
        if head is not None and self._head_timer is head:  # it has not come to its end
            self._head_size += len(data)
            if self._head_size > LARGEST_HEAD:
                self._refuse(Refusal(431, "head_too_large"))

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._fields_size = 0
        self._wait_for_head()

    def on_url(self, url: bytes) -> None:
        """The address, which is a part of the head; one that is too long is found out with the fields."""
        self._fields_size += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field of the head. Too much of them ends the request, also where all came at once."""
        self._fields_size += len(name) + len(value)
        if self._fields_size > LARGEST_HEAD:
            raise ValueError("the head is too large")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._stop_waiting()
        super().on_headers_complete()
        if self.parser.should_upgrade() and self._should_upgrade():
            return
        connection = Connection(self.cycle)
        self._connections = [*(each for each in self._connections if each.open), connection]
        self.scope[CONNECTION] = connection  # type: ignore[literal-required]  # a key of ours

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP, or too much of it."""
        del msg
        too_large = self._fields_size > LARGEST_HEAD
        self._refuse(Refusal(431, "head_too_large") if too_large else Refusal(400, "not_http"))

    def _wait_for_head(self) -> None:
        if self._head_timer is None:
            self._head_size = 0
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        self._refuse(Refusal(408, "request_timeout"))

    def _refuse(self, refusal: Refusal) -> None:
        self._stop_waiting()
        body = said_of(refusal).body
        head = f"HTTP/1.1 {refusal.status} Refused\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode() + body)
        self.transport.close()


class Socket(WebSocketsSansIOProtocol):
    """A WebSocket; when the server ends, it does behind the response that is being made."""

    def shutdown(self) -> None:
        """The server ends."""
        if self.handshake_complete and not self.close_sent:
            ending: Any = {"type": ENDING}
            self.queue.put_nowait(ending)
        else:
            super().shutdown()

    def keepalive_timeout(self) -> None:
        """Whoever does not answer a ping does not read either: the rest is not waited for."""
        super().keepalive_timeout()
        self.transport.abort()


class Server(uvicorn.Server):
    """Uvicorn's server; a signal is an orderly end, not a failure."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._told = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say so."""
        await super().startup(sockets)
        if self.started:
            self._told()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End; told twice, end at once."""
        del sig, frame
        self.force_exit = self.should_exit
        self.should_exit = True


def server_of(
    client: AsyncMultiTurn,
    started: Callable[[], None] = lambda: None,
    *,
    grace: int = GRACE,
    hosts: Hosts | None = None,
) -> Server:
    """The server in front of ``client``, which closes with it. ``started`` is called once requests are
    answered; ``grace`` is how many seconds open streams have when the end comes; ``hosts`` are the names by
    which it is reached."""
    options: dict[str, Any] = {
        "http": Protocol,
        "loop": "uvloop",
        "ws": Socket,
        "ws_max_size": LARGEST_WITH_MEDIA,
        "ws_per_message_deflate": False,
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "timeout_keep_alive": 75,
        "timeout_graceful_shutdown": grace,
    }
    return Server(uvicorn.Config(application(client, hosts), **options), started)


def serve(
    client: AsyncMultiTurn, listener: socket.socket, started: Callable[[], None], hosts: Hosts | None = None
) -> None:
    """Serve ``client`` on a socket that is bound, until a signal comes."""
    set_up()
    gc.collect()
    gc.freeze()  # what is there by now is nobody's garbage
    gc.set_threshold(*COLLECTED)
    server_of(client, started, hosts=hosts).run([listener])
