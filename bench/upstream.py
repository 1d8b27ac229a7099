"""Who plays the model in the gateway's benchmark? ``python -m bench.upstream PORT``: chat completions on raw
asyncio, whole or streamed with one wake-up for each piece, which counts the requests that show it a
history other than what was said."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, cast

import orjson
import uvloop

from .talk import Talk, asked, history_is_wrong, pieces

__all__ = ["SCRIBE", "Figures", "Upstream"]

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
MODEL = re.compile(rb'"model": ?"([^"]*)"')
STREAMED = re.compile(rb'"stream": ?true')
WANTS_USAGE = re.compile(rb'"include_usage": ?true')
LONGEST_MARK = 80
HEAD = (
    '"id":"chatcmpl-8f1d0f6a2b7c4e5d9a3b","created":1795260000,"model":"bench","system_fingerprint":"fp_3d1c"'
)
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNK = f'data: {{{HEAD},"object":"chat.completion.chunk","choices":['.encode()
FINISH = CHUNK + b'{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
SCRIBE = "scribe"
"""Under which name it is asked for summaries."""
CHECKED_AFTER = 0.001
"""Seconds until a history is opened and checked: no first piece waits for that."""
SUMMARY = "The customer asked about phones; the assistant answered."


@dataclass(slots=True)
class Figures:
    """What the model was asked so far: ``wrong`` with a history that is not what was said, ``cut`` without
    the beginning, ``beside`` for a summary."""

    requests: int = 0
    wrong: int = 0
    cut: int = 0
    beside: int = 0


class Question:
    """A request. Who is asked, what and how, is seen from its bytes; the rest is opened later."""

    def __init__(self, body: bytes) -> None:
        name = MODEL.search(body)
        self.beside = name is not None and name[1] == SCRIBE.encode()
        self.stream = STREAMED.search(body) is not None
        self.wants_usage = WANTS_USAGE.search(body) is not None
        mark = body[body.rfind(b"[c") :][:LONGEST_MARK]
        known = None if self.beside else asked(mark.decode("ascii", "replace"))
        self.texts = pieces(*known) if known else (SUMMARY,)
        self.talk, self.turn = known or (Talk(0, 1), 0)
        self._body = body

    @cached_property
    def messages(self) -> list[dict[str, Any]]:
        """What was said before, and the newest input."""
        return list(orjson.loads(self._body)["messages"])

    @property
    def usage(self) -> bytes:
        """What it took."""
        return _usage(len(orjson.dumps(self.messages)) // 4, self.talk.pieces)


@dataclass(slots=True)
class Writing:
    """A streamed answer on its way."""

    question: Question
    began: float
    done: int = 0


class Upstream(asyncio.Protocol):
    """One connection."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None
        self._transport = asyncio.Transport()  # until there is one

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, body = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        length = LENGTH.search(head)
        size = int(length[1]) if length else 0
        if len(body) < size:
            return
        self._buffer = body[size:]
        if head.startswith(b"GET "):
            self._loop.call_later(2 * CHECKED_AFTER, self._tell)
        else:
            self._asked(Question(body[:size]))

    def _tell(self) -> None:
        self._whole(orjson.dumps(asdict(self._figures)))

    def _asked(self, question: Question) -> None:
        self._loop.call_later(CHECKED_AFTER, self._count, question)
        if question.stream:
            self._stream(Writing(question, self._loop.time()))
        else:
            self._whole(_completion("".join(question.texts), question.usage))

    def _count(self, question: Question) -> None:
        figures, messages = self._figures, question.messages
        figures.requests += 1
        if question.beside:
            figures.beside += 1
        elif history_is_wrong(messages, question.talk, question.turn):
            figures.wrong += 1
        elif len(messages) // 2 < question.turn:
            figures.cut += 1

    def _whole(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._transport.write(head % len(body) + body)

    def _stream(self, writing: Writing) -> None:
        """Write what is due, and come back for the rest."""
        question, begun = writing.question, writing.done
        talk, texts = question.talk, question.texts
        head = b"" if begun else STREAM
        while True:
            end = min(writing.done + talk.burst, len(texts))
            events = b"".join(_chunk(text, talk) for text in texts[writing.done : end])
            writing.done = end + (events == b"")
            if not events:
                events = FINISH + (question.usage if question.wants_usage else b"") + DONE
                self._transport.write(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(events), events))
                return
            head += b"%x\r\n%b\r\n" % (len(events), events)
            if talk.every:
                self._transport.write(head)
                break
        due = writing.began + writing.done // talk.burst * talk.every / 1000
        self._timer = self._loop.call_at(due, self._stream, writing)


def _chunk(text: str, talk: Talk) -> bytes:
    content = b'"~%d~"' % time.monotonic_ns() if talk.stamped else orjson.dumps(text)
    return b'%b{"index":0,"delta":{"content":%b},"logprobs":null,"finish_reason":null}]}\n\n' % (
        CHUNK,
        content,
    )


def _usage(prompt: int, out: int) -> bytes:
    usage = {"prompt_tokens": prompt, "completion_tokens": out, "total_tokens": prompt + out}
    return b'%b],"usage":%b}\n\n' % (CHUNK, orjson.dumps(usage))


def _completion(text: str, usage: bytes) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    counted = usage[usage.index(b'"usage"') :].strip()
    return (
        f'{{{HEAD},"object":"chat.completion","choices":['.encode() + orjson.dumps(choice) + b"]," + counted
    )


async def _serve(port: int) -> None:
    figures = Figures()
    server = await asyncio.get_running_loop().create_server(
        lambda: Upstream(figures), "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
