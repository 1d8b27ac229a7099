"""Who asks in the gateway's benchmark? Clients on raw asyncio, which notice when each piece came and take as
little as they can of the core they share with the model."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import orjson

from .talk import SYSTEM, Talk, said

__all__ = ["Answer", "Caller", "calling", "request"]

STAMP = re.compile(rb"~(\d+)~")
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
PATIENCE = 120.0
END = b"\r\n0\r\n\r\n"


@dataclass(slots=True)
class Answer:
    """What came back, and when: seconds until the first piece and until the end, and of each stamped piece
    since its sending."""

    first: float = 0.0
    total: float = 0.0
    transits: list[float] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(self.parts)


def request(
    talk: Talk, turn: int, *, stream: bool, stateful: bool = False, model: str = "compatible/bench"
) -> bytes:
    """A chat completion that posts the newest input of a turn."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": said(talk, turn)}]
    body = orjson.dumps({"model": model, "messages": messages, "stream": stream})
    named = f"x-conversation-id: c{talk.conversation}\r\n" if stateful else ""
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: bench\r\naccept: */*\r\n"
        f"content-type: application/json\r\nauthorization: Bearer none\r\n{named}"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Caller(asyncio.Protocol):
    """One connection, which asks one thing after the other."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._answer = Answer()
        self._began = 0.0
        self._left: int | None = None
        self._in_body = False
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError("closed before the end of the answer"))

    async def ask(self, raw: bytes) -> Answer:
        """Send a request and wait for the whole answer. Raises `ConnectionError`, also for an answer that
        is no success."""
        assert self._transport is not None
        self._waiting, self._answer = self._loop.create_future(), Answer()
        self._in_body, self._tail, self._left = False, b"", None
        self._began = time.perf_counter()
        self._transport.write(raw)
        return await self._waiting

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if not self._in_body:
            data = self._tail + data
            head, blank, body = data.partition(b"\r\n\r\n")
            if not blank:
                self._tail = data
                return
            self._begin(head)
            data = body
        answer = self._answer
        if not answer.first and data:
            answer.first = time.perf_counter() - self._began
        for sent in STAMP.findall(data):
            answer.transits.append((now - int(sent)) / 1e9)
        answer.parts.append(data)
        if self._is_over(data) and self._waiting is not None and not self._waiting.done():
            answer.total = time.perf_counter() - self._began
            self._waiting.set_result(answer)

    def _begin(self, head: bytes) -> None:
        self._in_body, self._tail = True, b"\r\n"
        length = LENGTH.search(head)
        self._left = int(length[1]) if length else None
        if head[9:12] != b"200" and self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError(head.decode("latin-1")))

    def _is_over(self, data: bytes) -> bool:
        if self._left is not None:
            self._left -= len(data)
            return self._left <= 0
        self._tail = (self._tail + data)[-len(END) :] if len(data) < len(END) else data[-len(END) :]
        return self._tail == END


class Calling:
    """So many connections to one server."""

    def __init__(self, callers: list[Caller]) -> None:
        self.callers = callers

    async def one_after_the_other(self, raws: Iterable[bytes]) -> list[Answer]:
        """Each connection takes the next request as soon as it is free."""
        left, answers = iter(raws), []

        async def work(caller: Caller) -> None:
            for raw in left:
                answers.append(await caller.ask(raw))  # noqa: PERF401  (each is asked after the one before)

        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(work(caller) for caller in self.callers))
        return answers

    async def all_at_once(self, raws: Iterable[bytes], spread: float) -> list[Answer]:
        """Each connection asks one thing; they begin evenly within ``spread`` seconds."""
        step = spread / len(self.callers)

        async def work(place: int, caller: Caller, raw: bytes) -> Answer:
            await asyncio.sleep(place * step)
            return await caller.ask(raw)

        works = [work(place, *each) for place, each in enumerate(zip(self.callers, raws, strict=True))]
        async with asyncio.timeout(PATIENCE):
            return await asyncio.gather(*works)

    def close(self) -> None:
        """Hang up everywhere."""
        for caller in self.callers:
            caller.close()


async def calling(port: int, connections: int) -> Calling:
    """Connections to a server of this machine."""
    loop = asyncio.get_running_loop()
    callers = [(await loop.create_connection(Caller, "127.0.0.1", port))[1] for _ in range(connections)]
    return Calling(callers)
