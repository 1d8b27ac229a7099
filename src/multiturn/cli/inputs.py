"""Where does the next input come from? A person at a terminal, or the lines of a pipe."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import TYPE_CHECKING, Protocol

from ..errors import MessageInvalid
from ..phrases import Reason
from .screen import Screen

if TYPE_CHECKING:
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

__all__ = ["Inputs", "Keyboard", "Lines", "read_all"]


class Inputs(Protocol):
    """Gives one input after the other."""

    async def next(self) -> str | None:
        """The next input; ``None`` when there are no more."""
        ...


class Lines:
    """Each line of a pipe is one input; blank lines are passed over.

    The waiting is done in a thread that ends with the process, on the bare file descriptor: so Ctrl-C
    works while the pipe is silent, and nothing is held when the interpreter ends.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = sys.stdin.fileno() if descriptor is None else descriptor
        self._rest = b""
        self._ended = False

    async def next(self) -> str | None:
        """The next line that is not blank, without its end."""
        while (line := self._cut()) is None or not line.strip():
            if line is None:
                if self._ended:
                    return None
                await self._more()
        return decoded(line)

    def _cut(self) -> bytes | None:
        line, newline, rest = self._rest.partition(b"\n")
        if not newline and not (self._ended and line):
            return None
        self._rest = rest
        return line.removesuffix(b"\r")

    async def _more(self) -> None:
        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[bytes] = loop.create_future()

        def settle(piece: bytes) -> None:
            if not arrived.done():
                arrived.set_result(piece)

        def wait() -> None:
            try:
                piece = os.read(self._descriptor, 65536)
            except OSError:  # the terminal behind it is gone
                piece = b""
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, piece)

        threading.Thread(target=wait, name="standard input", daemon=True).start()
        piece = await arrived
        self._ended = not piece
        self._rest += piece


def read_all() -> str:
    """Everything on standard input, as one text."""
    return decoded(sys.stdin.buffer.read()).strip("\r\n")


def decoded(data: bytes) -> str:
    """UTF-8 as text; a byte order mark is passed over."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MessageInvalid(Reason("message.encoding")) from None


class Keyboard:
    """A person types: Enter sends, Alt+Enter or a trailing backslash breaks the line, pasted text stays
    whole, Ctrl-C empties the line, Ctrl-D on an empty line leaves."""

    def __init__(self, screen: Screen) -> None:
        from prompt_toolkit import PromptSession

        self._screen = screen
        self._session: PromptSession[str] = PromptSession(
            multiline=True, key_bindings=_bindings(), prompt_continuation="  "
        )

    async def next(self) -> str | None:
        """What was typed; ``None`` after Ctrl-D."""
        while True:
            try:
                text = await self._session.prompt_async("› ")
            except EOFError:
                return None
            except KeyboardInterrupt:
                self._screen.quiet(self._screen.say("chat.leave"))
                continue
            if text.strip():
                return text


def _bindings() -> KeyBindings:
    from prompt_toolkit.key_binding import KeyBindings

    bindings = KeyBindings()

    @bindings.add("enter")
    def send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.char_before_cursor == "\\" and buffer.document.is_cursor_at_the_end:
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    def break_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return bindings
