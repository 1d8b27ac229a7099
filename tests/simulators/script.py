"""What does a simulator say, and how does it go wrong? The script of a simulator, in plain records."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from multiturn.providers.quoting import answer, text_of

Pause = float | threading.Event
"""So many seconds, or until a test says that it is over."""


async def pass_by(pause: Pause) -> None:
    """Wait for the end of a pause."""
    if isinstance(pause, threading.Event):
        while not pause.is_set():  # noqa: ASYNC110  (it is set in another thread)
            await asyncio.sleep(0.005)
    else:
        await asyncio.sleep(pause)


@dataclass(frozen=True)
class Call:
    """A tool call of the reply; without an ``id`` it gets one."""

    name: str
    arguments: str | Mapping[str, Any] = "{}"
    id: str = ""

    @property
    def text(self) -> str:
        """The arguments as the JSON text that is sent."""
        return (
            self.arguments
            if isinstance(self.arguments, str)
            else json.dumps(self.arguments, ensure_ascii=False)
        )


@dataclass(frozen=True)
class Answer:
    """A reply, and what befalls it on its way. Places count the pieces of the stream from 0.

    ``reasoning`` is left out where the request switched thinking off; ``None`` lets the simulator think of
    something where it is on. ``cut`` breaks the connection after so many pieces: ``reset`` (the hard way),
    ``close`` (without the end of the body) or ``end`` (a proper end, but no finish reason). ``stall``
    is a silence after ``stall_after`` pieces, ``fail`` (a problem's name) after ``fail_after``.
    """

    text: str = ""
    reasoning: str | None = None
    calls: Sequence[Call] = ()
    finish: str | None = None
    refusal: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    usage: bool = True
    cut: Literal["", "reset", "close", "end"] = ""
    cut_after: int = 1
    stall: Pause = 0
    stall_after: int = 0
    fail: str = ""
    fail_after: int = 0

    @property
    def ending(self) -> str:
        """The finish reason."""
        return self.finish or ("tool_calls" if self.calls else "stop")


@dataclass(frozen=True)
class Fault:
    """An answer with an error status. ``kind`` is a problem's name where the status alone does not say which
    (``rate_limit``, ``quota``, ``burst``, ``billing``, ``overloaded``, ``content_filter`` …); ``html`` sends
    the page of a proxy instead; ``drop`` closes the connection without a word; ``body`` is sent as it
    stands."""

    status: int = 500
    kind: str = ""
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    html: bool = False
    drop: bool = False
    body: Any = None
    delay: Pause = 0

    def after(self, seconds: float | str, *, unit: str = "seconds") -> Fault:
        """The same fault with a Retry-After header (``unit="ms"``: retry-after-ms); a date goes as text."""
        name = "retry-after-ms" if unit == "ms" else "retry-after"
        return replace(self, headers={**self.headers, name: str(seconds)})


@dataclass(frozen=True)
class Wire:
    """How a stream is cut into bytes. ``split`` writes so many bytes at a time, wherever that cuts a
    character; ``comments`` keep-alive lines come before the first event and before every event if ``chatty``;
    ``first``
    and ``between`` are pauses in seconds; ``piece`` is the length of a text delta in characters."""

    newline: Literal["\n", "\r\n"] = "\n"
    split: int = 0
    piece: int = 4
    comments: int = 0
    chatty: bool = False
    first: float = 0
    between: float = 0
    finish_twice: bool = False
    done: bool = True


@dataclass
class Received:
    """A request as it came. ``left`` says the client went before the end; ``notes`` what a real provider
    would have taken badly without refusing it."""

    number: int
    at: float
    method: str
    path: str
    headers: Mapping[str, str]
    raw: bytes
    body: dict[str, Any] = field(default_factory=dict)
    status: int = 0
    left: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages, in either protocol."""
        found = self.body.get("messages") or (self.body.get("input") or {}).get("messages")
        return found if isinstance(found, list) else []

    @property
    def text(self) -> str:
        """The words of the last message."""
        return text_of(self.messages[-1]) if self.messages else ""


Reply = str | Answer | Fault
Writer = Callable[[Received], Reply]
Lines = Reply | Writer | Sequence[Reply | Writer]
"""What a script may be made of."""


def remember(received: Received) -> Reply:
    """Answer by quoting what was sent, as the demo model does: what was not sent is not known."""
    return answer(received.messages)


def echo(received: Received) -> Reply:
    """Say the last message again."""
    return received.text


class Script:
    """What is answered: one reply for ever, one of a list after the other, or what a function says.

    ``faults`` go before it, by the number of the request (from 1) or, as one fault, for every request. A
    list that has run out answers 500 ``script ended``.
    """

    def __init__(
        self,
        reply: Lines = remember,
        *,
        faults: Mapping[int, Fault] | Fault | None = None,
        wire: Wire | None = None,
    ) -> None:
        self.reply = reply
        self.faults = faults
        self.wire = wire or Wire()
        self.served = 0

    def fault(self, number: int) -> Fault | None:
        """The fault that meets the request with this number."""
        return self.faults if isinstance(self.faults, Fault) else (self.faults or {}).get(number)

    def next(self, received: Received) -> Answer | Fault:
        """The reply to a request that was found good."""
        reply: Any = self.reply
        if isinstance(reply, Sequence) and not isinstance(reply, str):
            reply = reply[self.served] if self.served < len(reply) else Fault(500, message="script ended")
        self.served += 1
        if callable(reply):
            reply = reply(received)
        return Answer(reply) if isinstance(reply, str) else reply
