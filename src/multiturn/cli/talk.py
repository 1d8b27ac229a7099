"""How does one turn appear? The reply as it arrives, Ctrl-C that stops it, the quiet line behind it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Awaitable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from ..chat import AsyncConversation
from ..client import AsyncMultiTurn
from ..conversations import TurnState
from ..errors import Error
from ..reply import Delta, Reply
from .figures import clock, reply_line
from .markdown import LiveMarkdown
from .records import reply_record
from .screen import Screen
from .session import Session

__all__ = ["Interrupted", "Talk", "stoppable"]

MOMENT = 1.0
"""Seconds of waiting that need no explanation."""


@dataclass(slots=True)
class Talk:
    """A sitting at one conversation; ``chat`` and ``model`` change with /branch and /model."""

    session: Session
    client: AsyncMultiTurn
    chat: AsyncConversation
    model: str
    kept: bool = False
    """Whether anything of this sitting is stored."""

    @property
    def screen(self) -> Screen:
        """Where it is shown."""
        return self.session.screen

    async def say(self, text: str) -> Reply | None:
        """Send ``text`` and show the reply as it arrives. ``None``: Ctrl-C stopped it."""
        stream, accepted = self.chat.stream(text), False
        explaining = asyncio.create_task(self._explain_waiting())
        try:
            with stoppable(self.screen):
                async with stream:
                    explaining.cancel()
                    self.kept = accepted = True
                    with _view(self.screen) as view:
                        async for delta in stream:
                            view.feed(delta)
        except Interrupted:
            self.screen.quiet(self.screen.say("reply.stopped" if accepted else "failure.stopped"))
            return None
        finally:
            explaining.cancel()
        self._behind(stream.reply)
        return stream.reply

    async def _explain_waiting(self) -> None:
        """Say what we wait for, where another turn holds the conversation for longer than a moment."""
        await asyncio.sleep(MOMENT)
        with contextlib.suppress(Error):
            held_until = (await self.chat.info()).held_until
            if held_until is not None:
                until = clock(held_until)
                self.screen.note(self.screen.say("chat.waiting", conversation=self.chat.id, until=until))

    async def tell(self, work: Awaitable[Reply]) -> Reply | None:
        """Wait for a whole reply and show it. ``None``: Ctrl-C stopped it."""
        try:
            with stoppable(self.screen):
                reply = await work
        except Interrupted:
            self.screen.quiet(self.screen.say("reply.stopped"))
            return None
        with _view(self.screen) as view:
            view.feed(Delta(reply.text))
        self._behind(reply)
        return reply

    def _behind(self, reply: Reply) -> None:
        """What stands behind a reply."""
        screen = self.screen
        if screen.as_json:
            screen.record(reply_record(reply, self.chat.id))
            return
        screen.quiet(reply_line(reply, screen.language))
        if reply.turn.state is TurnState.INCOMPLETE:
            screen.quiet(screen.say("reply.stopped"))
        elif reply.tool_calls:
            names = ", ".join(call.name for call in reply.tool_calls)
            screen.quiet(screen.say("reply.tools", names=names))
        elif reply.finish_reason not in (None, "stop"):
            screen.quiet(screen.say("reply.incomplete", reason=reply.finish_reason))


# ------------------------------------------------------------------------------------- stopping


class Interrupted(Exception):
    """Ctrl-C while a person waited for a reply."""


@contextlib.contextmanager
def stoppable(screen: Screen) -> Iterator[None]:
    """While a person waits for a reply, Ctrl-C stops it: a turn that was accepted keeps what has arrived.
    Where nobody sits at a terminal, Ctrl-C ends the program."""
    task = asyncio.current_task()
    if task is None or not screen.asks or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, pressed = asyncio.get_running_loop(), 0

    def stop(_: int, __: object) -> None:
        nonlocal pressed
        pressed += 1
        loop.call_soon_threadsafe(task.cancel)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    except asyncio.CancelledError:
        if not pressed:
            raise
        for _ in range(pressed):
            task.uncancel()
        raise Interrupted from None
    finally:
        signal.signal(signal.SIGINT, before)


# ---------------------------------------------------------------------------------------- views


class View(AbstractContextManager["View"], Protocol):
    """Shows deltas."""

    def feed(self, delta: Delta) -> None:
        """Show one more."""
        ...


def _view(screen: Screen) -> View:
    if screen.as_json:
        return Silent()
    return Drawn(screen) if screen.rich else Written(screen)


class Silent:
    """Shows nothing: the whole reply follows as JSON."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def feed(self, delta: Delta) -> None:
        """Nothing."""


class Written:
    """Plain text, piece by piece."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._last = "\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._last.endswith("\n") and not isinstance(problem, OSError):
            self._screen.piece("\n")

    def feed(self, delta: Delta) -> None:
        """Write its text."""
        if delta.text:
            self._screen.piece(delta.text)
            self._last = delta.text


class Drawn:
    """Markdown on a terminal: closed blocks printed once, the open one drawn live."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._live = LiveMarkdown()
        self._begun = False

    def __enter__(self) -> Self:
        sys.stdout.flush()
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, problem, trace)

    def feed(self, delta: Delta) -> None:
        """Draw its text; while the model only thinks, say so."""
        if delta.text:
            self._begun = True
            self._live.feed(delta.text)
        elif delta.reasoning and not self._begun:
            self._live.status(self._screen.say("reply.thinking"))
