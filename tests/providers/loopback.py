"""A small real server on loopback that answers as a test wants, byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from multiturn.providers import Provider
from multiturn.reply import Delta
from multiturn.window import Request


@dataclass
class Received:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    raw: bytes
    peer: Any

    @property
    def body(self) -> dict[str, Any]:
        """The body as JSON."""
        value = orjson.loads(self.raw)
        assert isinstance(value, dict)
        return value


class Exchange:
    """One answer under way: ``start`` it, ``say`` bytes, break it off."""

    def __init__(self, request: web.Request) -> None:
        self.request = request
        self.response: web.StreamResponse | None = None

    async def start(self, status: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.response = web.StreamResponse(status=status, headers={"Content-Type": kind, **named})
        await self.response.prepare(self.request)

    async def say(self, *pieces: bytes | str) -> None:
        if self.response is None:
            await self.start()
        assert self.response is not None
        for piece in pieces:
            await self.response.write(piece if isinstance(piece, bytes) else piece.encode())

    async def whole(
        self, body: object, status: int = 200, kind: str = "application/json", **headers: str
    ) -> None:
        await self.start(status, kind, **headers)
        await self.say(body if isinstance(body, bytes | str) else orjson.dumps(body))

    def reset(self) -> None:
        assert self.request.transport is not None
        self.request.transport.abort()


Answer = Callable[[Exchange], Awaitable[None]]


@dataclass
class Loopback:
    """The server: ``answers`` in order, the last one for all further requests."""

    answers: tuple[Answer, ...]
    url: str = ""
    received: list[Received] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the first request has come."""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client went before its answer was complete."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        peer = request.transport.get_extra_info("peername") if request.transport else None
        self.received.append(Received(request.path, headers, raw, peer))
        self.asked.set()
        exchange = Exchange(request)
        try:
            await self.answers[min(len(self.received), len(self.answers)) - 1](exchange)
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise
        return exchange.response or web.Response(status=204)


@asynccontextmanager
async def loopback(*answers: Answer) -> AsyncIterator[Loopback]:
    """A running server."""
    server = Loopback(answers)
    application = web.Application(client_max_size=64 << 20)
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        server.url = f"http://{host}:{port}"
        yield server
    finally:
        await runner.cleanup()


def event(value: object) -> str:
    """A ``data:`` event."""
    return f"data: {value if isinstance(value, str) else orjson.dumps(value).decode()}\n\n"


def chunk(text: str | None = None, finish: str | None = None, **delta: Any) -> str:
    """An event with one choice."""
    words = {} if text is None else {"content": text}
    return event(
        {
            "id": "c-1",
            "model": "m-1",
            "choices": [{"index": 0, "delta": words | delta, "finish_reason": finish}],
        }
    )


def asked(text: str = "你好", **fields: Any) -> Request:
    """A request with one user message."""
    return Request(**{"model": "m", "body": orjson.dumps([{"role": "user", "content": text}]), **fields})


async def collect(provider: Provider, request: Request | None = None) -> list[Delta]:
    """All deltas of an answer."""
    return [delta async for delta in provider.stream(request or asked())]
