"""How do events reach the client? Whole ones in each write, the head with the first of them, an error as
an event of its own: never a silent end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from starlette.types import Receive, Send

from .presence import ClientLeft, staying
from .refusal import Refusal, Said, said_of

__all__ = ["DONE", "Beside", "encoded_headers", "failed_event", "send_events", "send_whole", "stopping"]

DONE = b"data: [DONE]\n\n"
EVENTS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
Beside = Callable[[], Mapping[str, str]]
"""The headers that are told beside an answer; asked for when its first piece is there."""


def failed_event(said: Said) -> bytes:
    """An error as an event that OpenAI's SDKs raise."""
    return b"data: " + said.body + b"\n\n"


async def send_events(
    receive: Receive,
    send: Send,
    parts: AsyncGenerator[bytes, None],
    beside: Beside,
    language: str,
    failed: Callable[[Said], bytes] = failed_event,
) -> bool:
    """Send events as they come; whether all of them were. What fails before the first one is raised, so
    that it gets a status of its own; `ClientLeft` where nobody listens any more. What fails later is told
    by an event that ``failed`` writes."""
    begun = False
    failure: Exception | None = None
    try:
        async with staying(receive), aclosing(parts):
            async for part in parts:
                if not begun:
                    begun = True
                    await _begin(send, beside())
                await send({"type": "http.response.body", "body": part, "more_body": True})
    except asyncio.CancelledError:
        failure = stopping()
    except ClientLeft:
        raise
    except Exception as error:  # noqa: BLE001  (it is raised below, or told)
        failure = error
    if failure is not None and not begun:
        raise failure
    last = b"" if failure is None else failed(said_of(failure, language))
    await send({"type": "http.response.body", "body": last})
    return failure is None


async def _begin(send: Send, headers: Mapping[str, str]) -> None:
    head = [*EVENTS, *encoded_headers(headers)]
    await send({"type": "http.response.start", "status": 200, "headers": head})


async def send_whole(send: Send, body: bytes, headers: Mapping[str, str]) -> None:
    """Send an answer in one piece."""
    head = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *encoded_headers(headers),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


def stopping() -> Refusal:
    """The server ends, and with it whatever it was doing."""
    return Refusal(503, "stopping", headers={"x-should-retry": "true"})


def encoded_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as bytes; characters that would end a line are left out."""
    return [
        (name.encode(), (value if value.isprintable() else _printable(value)).encode())
        for name, value in headers.items()
    ]


def _printable(value: str) -> str:
    return "".join(each for each in value if each.isprintable())
