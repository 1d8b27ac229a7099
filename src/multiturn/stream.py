"""How does a turn look from outside while it runs? A stream of deltas, or a turn prepared for somebody
else's SDK. Both end their turn exactly once, also when they are left early."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from .completion import Chunks, read_completion
from .conversations import Turn
from .decision import Decisions
from .errors import Error, TurnClosed
from .phrases import Reason
from .reply import CallPiece, Delta, Draft, Reply
from .turn import OpenTurn
from .window import Window

__all__ = ["AsyncPreparedTurn", "AsyncStream", "Opened", "Retold"]

T = TypeVar("T")


class Retold(NamedTuple):
    """The stored reply of a turn that the same request key made before, and the deltas in which it came,
    where those were kept."""

    reply: Reply
    deltas: Sequence[Delta] = ()


Opened = Callable[[], Awaitable[OpenTurn | Retold]]
"""Begins the turn: gives it open, or what is told again of one that was made before."""


class AsyncStream:
    """The deltas of one turn; ``reply`` is there once they have ended.

    The turn begins with ``async with``, or with the first delta. Leaving early stops the model: what
    arrived is kept and marked as stopped.
    """

    def __init__(self, opened: Opened, *, stream: bool = True) -> None:
        self._opened: Opened | None = opened
        self._streamed = stream
        self._turn: OpenTurn | None = None
        self._deltas: AsyncIterator[Delta] | None = None
        self._reply: Reply | None = None
        self._closed = False
        self._reading = asyncio.Lock()

    @property
    def reply(self) -> Reply:
        """The whole reply. Raises `TurnClosed` before the last delta has come."""
        if self._reply is None:
            raise TurnClosed(Reason("why.reply_later"))
        return self._reply

    @property
    def turn(self) -> Turn:
        """The turn as it was accepted, or as it is stored once it has ended. Raises `TurnClosed` before it
        has begun."""
        if self._turn is not None and self._reply is None:
            return self._turn.begun.turn
        return self.reply.turn

    @property
    def window(self) -> Window:
        """What the model is being sent."""
        if self._turn is not None:
            return self._turn.window
        return self.reply.window

    async def __aenter__(self) -> Self:
        await self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(*(() if error is None else (Error,))):  # the first error is the one to tell
            await self.aclose()

    def __aiter__(self) -> AsyncIterator[Delta]:
        return self

    async def __anext__(self) -> Delta:
        async with self._reading:
            await self._begin()
            if self._deltas is None:
                raise StopAsyncIteration
            try:
                delta = await anext(self._deltas, None)
            except BaseException:
                self._deltas = None
                raise
            if delta is None:
                self._end()
                raise StopAsyncIteration
            return delta

    async def _begin(self) -> None:
        if self._closed or self._opened is None:
            return
        opened = await self._opened()
        self._opened = None  # what was asked is not kept while the answer comes
        if isinstance(opened, Retold):
            self._reply = opened.reply
            self._deltas = _stored(opened)
        else:
            self._turn = opened
            self._deltas = opened.deltas(stream=self._streamed)

    def _end(self) -> None:
        """The deltas are over, and with them the turn."""
        self._deltas = None
        if self._turn is not None:
            self._reply = self._turn.reply()

    def hand_to(self, direct: Callable[[Delta], bool]) -> None:
        """Have ``direct`` take the deltas to come the moment they come, without a task in between, as long
        as it returns true; those it does not get are read as ever, the last one always."""
        if self._turn is not None:
            self._turn.direct = direct

    def stop(self) -> None:
        """Ask the model to stop: the deltas end, and the reply holds what arrived, marked as stopped."""
        if self._turn is not None:
            self._turn.hold.stop()

    async def aclose(self) -> None:
        """Stop the model if it still answers; the turn is stored as stopped."""
        self._closed = True
        self.stop()
        async with self._reading:
            deltas, self._deltas = self._deltas, None
            if deltas is not None:
                async for _ in deltas:
                    pass
                self._end()


async def _stored(again: Retold) -> AsyncIterator[Delta]:
    for delta in again.deltas:
        yield delta
    if again.deltas:
        return
    reply = again.reply
    calls = [
        CallPiece(place, each.id, each.name, each.arguments) for place, each in enumerate(reply.tool_calls)
    ]
    yield Delta(reply.text, reply.reasoning, tuple(calls), reply.finish_reason or "stop")


class AsyncPreparedTurn:
    """A turn whose model you call yourself: send ``messages`` with your own SDK, then ``commit`` what
    came back, or ``follow`` its stream. Leaving without either keeps the input and marks the turn
    incomplete. After 10 minutes (a setting) the turn expires."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._chunks = Chunks()
        self._turn: OpenTurn | None = None
        self._reply: Reply | None = None
        self._followed = False

    async def __aenter__(self) -> Self:
        opened = await self._opened()
        if isinstance(opened, Retold):
            self._reply = opened.reply
        else:
            self._turn = opened
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        turn, self._turn = self._turn, None
        if turn is None or turn.ended:
            return
        if error is not None:
            await turn.fail(error)
        elif self._followed:
            await turn.interrupt()
        else:
            await turn.abort()

    @property
    def reply(self) -> Reply | None:
        """The reply, once committed; also where the same request key made it before."""
        return self._reply

    @property
    def window(self) -> Window:
        """What to send, and why."""
        return self._open.window if self._reply is None else self._reply.window

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The list to send."""
        return self.window.messages

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The tool definitions to send with it."""
        return self._open.question.given.tools

    @property
    def decisions(self) -> Decisions:
        """Why each message is sent or left out."""
        return self.window.decisions

    @property
    def tokens(self) -> int:
        """What the list costs by our count."""
        return self.window.tokens

    @property
    def _open(self) -> OpenTurn:
        if self._turn is None:
            raise TurnClosed(Reason("why.turn_over"))
        return self._turn

    async def commit(self, completion: object) -> Reply:
        """Store what the model answered: a completion or its message, as an SDK's object, a dictionary,
        or plain text. Raises `TurnExpired` where the turn's time has run out, `MessageInvalid` for what
        is no answer; the turn is then still open."""
        turn, answer = self._open, read_completion(completion)
        turn.draft = Draft()
        turn.draft.add(answer)
        await turn.complete()
        return self._ended(turn)

    async def follow(self, chunks: AsyncIterator[T]) -> AsyncIterator[T]:
        """Hand on an SDK's chunks and store their sum before the last one. Leaving early stores the
        turn as stopped."""
        held: list[T] = []
        try:
            async for chunk in chunks:
                going = await self._take(chunk)
                if self._told_to_stop:
                    break
                if going:
                    yield chunk
                else:
                    held.append(chunk)
            await self._settle()
        except BaseException as error:
            await self._break_off(error)
            raise
        for chunk in held:
            yield chunk

    async def _take(self, chunk: object) -> bool:
        """Add a chunk to the answer; whether it may be handed on before the turn is stored."""
        turn, self._followed = self._open, True
        turn.take(self._chunks.read(chunk))
        return turn.draft.finish_reason is None

    @property
    def _told_to_stop(self) -> bool:
        return self._turn is not None and self._turn.hold.stopped

    async def _settle(self) -> Reply:
        """The chunks are over: the answer is stored."""
        turn = self._open
        await turn.settle("the SDK")
        return self._ended(turn)

    async def _break_off(self, error: BaseException) -> None:
        """The chunks ended with an error, or nobody wants any more of them."""
        turn, self._turn = self._turn, None
        if turn is not None:
            await turn.fail(error)

    def _ended(self, turn: OpenTurn) -> Reply:
        self._turn = None
        self._reply = turn.reply()
        return self._reply
