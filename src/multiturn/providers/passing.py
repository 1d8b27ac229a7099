"""How is an answer handed on as the bytes in which it came? Whole events at a time, none of them opened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from ..errors import ProviderError, ProviderTimeout, StreamCut
from ..phrases import Reason
from .call import LARGEST_ANSWER, LARGEST_COMPLAINT, Call, late
from .faults import Faults
from .hindrance import Hindrance, reason_of
from .patience import Patience
from .sessions import Answer, Session

__all__ = ["Passed"]

BLANK_LINES = (b"\n\n", b"\r\n\r\n")


class Passed:
    """One answer on its way through. One timer watches over the whole of it, so that a piece costs no
    more than its reading."""

    def __init__(self, call: Call, faults: Faults, patience: Patience, proxy: str | None) -> None:
        self.faults = faults
        self.streamed = False
        """Whether the answer comes as events."""
        self._call = call
        self._patience = patience
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + patience.total
        self._alive = self._loop.time()
        self._limit = patience.first if call.stream else patience.total
        self._response: Answer | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._late: Reason | None = None
        self._rest = b""

    async def begin(self, session: Session) -> None:
        """Ask, and wait for the head of the answer."""
        limit = ("no_beginning" if self._call.stream else "no_answer", self._limit)
        until = self._loop.time() + self._limit
        response = self._response = await self._call.put(
            session, self._proxy, until, limit, provider=self.faults.provider
        )
        kind = response.content_type
        if not getattr(response.content, "complete", False):
            self._watch()
        if response.status >= 300 or "html" in kind:
            raise self.faults.answered(response.status, await self._complaint(), response.headers)
        self.streamed = self._call.stream and "json" not in kind

    async def events(self) -> bytes:
        """The whole events that are there, at least one; nothing at the end of the answer."""
        while chunk := await self._read():
            if events := self._ended(chunk):
                return events
        rest, self._rest = self._rest.strip(), b""
        return rest + b"\n\n" if rest else b""

    async def flow(self, look: Callable[[bytes], bytes], write: Callable[[bytes], bool]) -> None:
        """Have ``write`` take the events to come the moment they come, without a task in between; ``look``
        sees them before and says what of them to write. Until ``write`` says that the next ones have to
        wait, or nothing more comes; `events` then goes on. Raises what ``look`` does."""
        hand_to = getattr(self._response and self._response.content, "hand_to", None)
        if hand_to is None:
            return
        over: asyncio.Future[None] = self._loop.create_future()

        def arrived(chunk: bytes) -> None:
            if over.done():  # whoever waited has left in this very moment
                return
            self._heard()
            try:
                events = look(self._ended(chunk)) if chunk else b""
                if chunk and (not events or write(events)):
                    return
            except Exception as error:  # noqa: BLE001  (whoever waits gets it)
                over.set_exception(error)
            else:
                over.set_result(None)
            hand_to(None)

        hand_to(arrived)
        try:
            await over
        finally:
            hand_to(None)

    def _ended(self, chunk: bytes) -> bytes:
        """The events that are whole with this chunk; what is left of it waits for the next."""
        if self._rest:
            chunk = self._rest + chunk
        if chunk.endswith(BLANK_LINES):
            self._rest = b""
            return chunk
        cut = max(_after(chunk, blank) for blank in BLANK_LINES)
        self._rest = chunk[cut:]
        if not cut:
            self._check_size(len(chunk), "event_size")
        return chunk[:cut]

    async def whole(self) -> bytes:
        """The answer in one piece."""
        body = bytearray()
        while chunk := await self._read():
            body += chunk
            self._check_size(len(body), "answer_size")
        return bytes(body)

    def close(self) -> None:
        """Close the connection, unless the answer was read to its end and it can be used again."""
        if self._timer is not None:
            self._timer.cancel()
        if self._response is not None:
            self._response.close()

    async def _read(self) -> bytes:
        assert self._response is not None, "asked before it is read"  # noqa: S101  (for the type checker)
        try:
            chunk = await self._response.content.readany()
        except (Hindrance, OSError) as error:
            if self._late is not None:
                raise ProviderTimeout(self._late, provider=self.faults.provider) from error
            raise StreamCut(reason_of(error), provider=self.faults.provider) from error
        self._heard()
        return chunk

    def _heard(self) -> None:
        """Something came: from now on the limit is that of a pause."""
        self._alive = self._loop.time()
        if self._call.stream:
            self._limit = self._patience.idle

    def _check_size(self, size: int, what: str) -> None:
        if size > LARGEST_ANSWER:
            raise self.faults.unreadable(what, size=LARGEST_ANSWER >> 20)

    async def _complaint(self) -> bytes:
        """As much of an error's body as can be had."""
        body = bytearray()
        with suppress(ProviderError):
            while len(body) < LARGEST_COMPLAINT and (chunk := await self._read()):
                body += chunk
        return bytes(body[:LARGEST_COMPLAINT])

    def _watch(self) -> None:
        """Close a connection on which nothing came for too long; else look again when that could be, with
        the shorter limit of a pause, too, which holds as soon as something comes."""
        moment, now = min(self._alive + self._limit, self._end), self._loop.time()
        if now < moment:
            self._timer = self._loop.call_at(min(moment, now + self._patience.idle), self._watch)
        else:
            over = moment == self._end
            self._late = late("no_end" if over else "no_piece", self._patience.total if over else self._limit)
            self.close()


def _after(chunk: bytes, blank: bytes) -> int:
    """Where the last event in ``chunk`` ends; 0: nowhere."""
    place = chunk.rfind(blank)
    return 0 if place < 0 else place + len(blank)
