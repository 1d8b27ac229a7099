"""Y: what would a team write that only wants to look at each chunk? Starlette and aiohttp's client; every
chunk is parsed and encoded again, nothing is kept. ``python -m bench.plain_gateway PORT UPSTREAM``."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

__all__ = ["application"]

DATA = b"data: "
DONE = b"[DONE]"


def application(upstream: int) -> Starlette:
    """The gateway in front of a provider on a port of this machine."""
    url = f"http://127.0.0.1:{upstream}/v1/chat/completions"
    session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        nonlocal session
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            yield

    async def complete(request: Request) -> Response:
        assert session is not None
        body = orjson.loads(await request.body())
        headers = {"content-type": "application/json", "authorization": "Bearer none"}
        answer = await session.post(url, data=orjson.dumps(body), headers=headers)
        if body.get("stream"):
            return StreamingResponse(_events(answer), media_type="text/event-stream")
        async with answer:
            return Response(orjson.dumps(orjson.loads(await answer.read())), media_type="application/json")

    return Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])], lifespan=lifespan)


async def _events(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    rest = b""
    async with answer:
        async for part in answer.content.iter_any():
            *events, rest = (rest + part).split(b"\n\n")
            if events:
                yield b"".join(_again(event) for event in events)


def _again(event: bytes) -> bytes:
    data = event.removeprefix(DATA)
    return DATA + (data if data == DONE else orjson.dumps(orjson.loads(data))) + b"\n\n"


if __name__ == "__main__":
    uvicorn.run(
        application(int(sys.argv[2])),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        backlog=4096,
    )
