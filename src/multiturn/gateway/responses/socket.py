"""How are responses asked for over a WebSocket? Each frame is a request as it would be posted, and passes
through the same doors; its events come back as frames. One response is made after the other.

Of the newest response that is not stored the connection keeps what it was made of, so that the next frame
may go on after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...errors import Error
from ..gateway import Gateway
from ..http.body import Body
from ..http.refusal import Refusal, Said, said_of
from ..http.sse import encoded_headers
from ..items.items import Item

__all__ = ["ENDING", "Sockets"]

PATH = "/v1/responses"
CREATE = "response.create"
ENDING = "multiturn.ending"
"""What the server says when it is to end: no more frames are taken on."""
RESTART = 1012
AHEAD = 1 << 20
"""Bytes of frames that are read while a response is made; with more, their sender waits."""
LEAST = 1 << 10
"""What a frame counts at least among them."""
SNAPSHOTS = frozenset(f"response.{each}" for each in ("created", "queued", "in_progress"))
ENDS = frozenset(f"response.{each}" for each in ("completed", "incomplete", "failed"))
OWN = frozenset(
    (
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"expect",
        b"idempotency-key",
        b"transfer-encoding",
        b"upgrade",
        b"x-request-id",
        b"x-stainless-retry-count",
    )
)
"""Headers of the handshake that say nothing of the requests behind it."""


class Sockets:
    """Answers WebSockets. ``answer`` is what answers requests, ``admit`` says of one whether it may come."""

    def __init__(self, answer: ASGIApp, admit: Callable[[Scope], Awaitable[None]], gateway: Gateway) -> None:
        self._answer, self._admit, self._gateway = answer, admit, gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what comes over one."""
        await receive()
        posted = _posted(scope)
        try:
            await self._check(posted)
        except (Refusal, Error) as error:
            await _reject(send, said_of(error, self._gateway.language))
            return
        await send({"type": "websocket.accept"})
        await _Session(self._answer, posted, receive, send, self._gateway.language).run()

    async def _check(self, posted: Scope) -> None:
        if posted["path"] != PATH:
            raise Refusal(404, "unknown_url")
        await self._admit(dict(posted))


@dataclass(frozen=True, slots=True)
class _Kept:
    """A response that is not stored: what ``stored`` it followed, and the items from there to its end."""

    id: str
    stored: Mapping[str, Any]
    items: list[Item]


class _Session:
    """One connection."""

    def __init__(self, answer: ASGIApp, posted: Scope, receive: Receive, send: Send, language: str) -> None:
        self._answer, self._posted, self._language = answer, posted, language
        self._receive, self._give = receive, send
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._ahead = 0
        self._room = asyncio.Event()
        self._left = asyncio.Event()
        self._over = False
        self._kept: _Kept | None = None

    async def run(self) -> None:
        """Answer its frames until it ends."""
        listening = asyncio.create_task(self._listen())
        try:
            while (frame := await self._next()) is not None and not self._over:
                await self._answered(frame)
            if not self._left.is_set():
                await self._send({"type": "websocket.close", "code": RESTART})
        finally:
            listening.cancel()

    async def _send(self, message: Message) -> None:
        try:
            await self._give(message)
        except OSError:  # it has left, behind frames that nobody has read
            self._leave()

    async def _listen(self) -> None:
        while (kind := (message := await self._receive())["type"]) != "websocket.disconnect":
            if kind == ENDING:
                self._end()
            else:
                text = message.get("text")
                await self._put(text.encode() if text is not None else message["bytes"])
        self._leave()

    async def _put(self, frame: bytes) -> None:
        """Put a frame behind those that wait. What comes after it is heard at once, above all that the client
        leaves, unless too much waits already."""
        self._ahead += max(len(frame), LEAST)
        self._frames.put_nowait(frame)
        while self._ahead > AHEAD:
            self._room.clear()
            await self._room.wait()

    async def _next(self) -> bytes | None:
        frame = await self._frames.get()
        if frame is not None:
            self._ahead -= max(len(frame), LEAST)
            self._room.set()
        return frame

    def _leave(self) -> None:
        self._left.set()
        self._end()

    def _end(self) -> None:
        self._over = True
        self._frames.put_nowait(None)

    # -- one frame

    async def _answered(self, frame: bytes) -> None:
        try:
            fields = dict(Body(frame).fields)
        except Refusal:  # it is refused as it came
            await self._post(frame, None)
            return
        if fields.pop("type", None) != CREATE:
            refusal = Refusal(400, "invalid_value", param="type", known=CREATE)
            said = said_of(refusal, self._language)
            await _Framing(self._send, None).refuse(said.status, said.body)
            return
        fields.pop("background", None)
        fields["stream"] = True
        previous, kept = fields.get("previous_response_id"), self._kept
        if kept is None or previous != kept.id or fields.get("conversation") is not None:
            kept = None
        stored = {name: fields[name] for name in ("previous_response_id", "conversation") if fields.get(name)}
        if kept is not None:
            del fields["previous_response_id"]
            stored = dict(kept.stored)
            fields |= stored | {"input": [*kept.items, *_items(fields.get("input"))]}
        last = await self._post(orjson.dumps(fields), previous if kept else None)
        if last is not None and last["status"] != "failed" and fields.get("store") is False:
            items = [*_items(fields.get("input")), *last["output"]]
            self._kept = _Kept(last["id"], stored, items)
        elif kept is not None and (last is None or last["status"] == "failed"):
            self._kept = None

    async def _post(self, body: bytes, previous: str | None) -> Mapping[str, Any] | None:
        """Have a request answered; gives the response, once it has come to an end. It followed ``previous``
        where that is known here only."""
        given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            if given:
                return given.pop()
            await self._left.wait()
            return {"type": "http.disconnect"}

        framing = _Framing(self._send, previous)
        await self._answer(dict(self._posted), receive, framing.send)
        return framing.last


class _Framing:
    """Sends an answer as frames."""

    def __init__(self, send: Send, previous: str | None) -> None:
        self._send, self._previous = send, previous
        self._status, self._refused = 200, b""
        self.last: dict[str, Any] | None = None

    async def send(self, message: Message) -> None:
        """A piece of it: whole events, or a part of a refusal."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            return
        body = message.get("body", b"")
        if self._status == 200:
            for event in body.split(b"\n\n"):
                name, _, data = event.partition(b"\ndata: ")
                if data:
                    await self._tell(name.removeprefix(b"event: ").decode(), data)
            return
        self._refused += body
        if not message.get("more_body", False):
            await self.refuse(self._status, self._refused)

    async def refuse(self, status: int, body: bytes) -> None:
        """An error, which is no response: its ``code`` is always there."""
        error = orjson.loads(body)["error"]
        error["code"] = error["code"] or error["type"]
        await self._frame(orjson.dumps({"type": "error", "status": status, "error": error}))

    async def _tell(self, kind: str, data: bytes) -> None:
        if kind == "error":
            await self.refuse(500, data)
            return
        if kind in ENDS or (self._previous is not None and kind in SNAPSHOTS):
            event = orjson.loads(data)
            if self._previous is not None:
                event["response"]["previous_response_id"] = self._previous
                data = orjson.dumps(event)
            if kind in ENDS:
                self.last = event["response"]
        await self._frame(data)

    async def _frame(self, data: bytes) -> None:
        await self._send({"type": "websocket.send", "text": data.decode()})


def _posted(scope: Scope) -> Scope:
    """The scope of a request that is posted over this connection."""
    headers = [
        (name, value)
        for name, value in scope["headers"]
        if name not in OWN and not name.startswith(b"sec-websocket-")
    ]
    scheme = "https" if scope.get("scheme") == "wss" else "http"
    headers.append((b"content-type", b"application/json"))
    return {**scope, "type": "http", "method": "POST", "scheme": scheme, "headers": headers}


def _items(value: Any) -> list[Any]:
    """What is posted as ``input``, as a list."""
    if value is None:
        return []
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    return value if isinstance(value, list) else [value]


async def _reject(send: Send, said: Said) -> None:
    """Refuse the handshake."""
    headers = [(b"content-type", b"application/json"), *encoded_headers(said.headers)]
    start = {"type": "websocket.http.response.start", "status": said.status, "headers": headers}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": said.body})
