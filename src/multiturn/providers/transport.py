"""How does one call go over the wire? Time limits, repetitions before the first delta, a connection that
closes the moment nobody listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from ..errors import ProviderError, ProviderTimeout, StreamCut
from ..reply import Delta
from .call import LARGEST_ANSWER, LARGEST_COMPLAINT, Call, late
from .deltas import NOTHING
from .events import Event, EventParser
from .faults import Faults
from .flow import Deltas, Flow, Taker
from .hindrance import Hindrance, reason_of
from .passing import Passed
from .patience import Budget, Patience, Retry
from .proxy import proxy_of
from .sessions import Answer, Session, Sessions

__all__ = ["Reader", "Transport"]

FAREWELL = 0.05
"""Seconds in which the rest of a finished answer may come, so that its connection can be used again."""


class Reader(Protocol):
    """Turns what one endpoint answers into deltas; it does no I/O. `ProviderError` where the answer is a
    complaint, `StreamCut` where its end is missing."""

    @property
    def finished(self) -> bool:
        """Whether the finish reason was seen: what is missing after it does not matter."""
        ...

    @property
    def done(self) -> bool:
        """Whether nothing more can come."""
        ...

    def event(self, event: Event, *, complete: bool = True) -> Delta | None:
        """The delta of an event, `NOTHING` where it adds nothing, ``None`` where it is no sign of
        life. ``complete`` is false for one that the end of the stream may have cut."""
        ...

    def end(self) -> Delta:
        """What the end of the stream brings."""
        ...

    def whole(self, status: int, body: bytes) -> Delta:
        """The delta of an answer that was not streamed."""
        ...


class Transport:
    """Makes calls to one provider. Each event loop that uses it has connections of its own. ``budget`` is
    what it may repeat, by default its own."""

    def __init__(
        self, faults: Faults, patience: Patience, retry: Retry, budget: Budget | None = None
    ) -> None:
        self._faults = faults
        self._patience = patience
        self._retry = retry
        self._budget = budget or Budget(retry)
        self._sessions = Sessions(patience.connect)
        self._proxies: dict[str, str | None] = {}

    def stream(self, call: Call, reader: Callable[[], Reader]) -> Deltas:
        """The deltas of an answer; ``reader`` makes a fresh reader for each attempt."""
        return Deltas(lambda: self._begun(call, reader))

    async def passed(self, call: Call) -> Passed:
        """The answer as the bytes in which it comes, asked for once; `ProviderError` where it is none. It is
        for the client to ask again, within the same budget."""
        now = asyncio.get_running_loop().time
        self._budget.ask(now())
        proxy = self._proxy(call.url)
        exchange = Passed(call, self._faults, self._patience, proxy)
        try:
            await exchange.begin(await self._sessions.of(proxy))
        except ProviderError as error:
            exchange.close()
            error.final = error.retryable and not self._budget.take(now(), comes_back=True)
            raise
        except BaseException:
            exchange.close()
            raise
        return exchange

    async def close(self) -> None:
        """Close all connections."""
        await self._sessions.close()

    async def _begun(self, call: Call, reader: Callable[[], Reader]) -> tuple[_Exchange, list[Delta]]:
        """An exchange whose first deltas are there; it is tried again where that may help."""
        now = asyncio.get_running_loop().time
        end = now() + self._patience.total
        self._budget.ask(now())
        repetition, proxy = 0, self._proxy(call.url)
        while True:
            exchange = _Exchange(call, reader(), self._faults, self._patience, end, proxy)
            try:
                return exchange, await exchange.begin(await self._sessions.of(proxy))
            except ProviderError as error:
                exchange.close()
                pause = self._retry.pause(error, repetition)
                if isinstance(error, call.elsewhere):
                    self._budget.spend(now())
                    raise
                possible = error.retryable and repetition < self._retry.times and now() + pause < end
                if not possible or not self._budget.take(now()):
                    error.final = True
                    raise
            except BaseException:
                exchange.close()
                raise
            await asyncio.sleep(pause)
            repetition += 1

    def _proxy(self, url: str) -> str | None:
        """The proxy for an address, which is looked up once."""
        if url not in self._proxies:
            self._proxies[url] = proxy_of(url)
        return self._proxies[url]


class _Exchange:
    """One attempt: a request, and its answer while it arrives."""

    def __init__(
        self, call: Call, reader: Reader, faults: Faults, patience: Patience, end: float, proxy: str | None
    ) -> None:
        self._call = call
        self._proxy = proxy
        self._reader = reader
        self._faults = faults
        self._patience = patience
        self._clock = asyncio.get_running_loop()
        self._end = end
        self._first: float | None = self._clock.time() + patience.first if call.stream else None
        """When the first delta must be there; ``None`` once it is, and for an answer in one piece."""
        self._alive = self._clock.time()
        """When we last saw a sign of life, or began to wait for one."""
        self._parser = EventParser()
        self._response: Answer | None = None
        self._failure: ProviderError | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    async def begin(self, session: Session) -> list[Delta]:
        """Ask, and wait for the first deltas."""
        until, limit = self._deadline()
        response = self._response = await self._call.put(
            session, self._proxy, until, limit, provider=self._faults.provider
        )
        self._call = replace(self._call, body=b"")
        kind = response.content_type
        if response.status >= 300 or (self._call.stream and "html" in kind):
            body = await self._complaint(response)
            raise self._faults.answered(response.status, body, response.headers)
        if self._call.stream and "json" not in kind:
            deltas = await self.more()
            self._first = None
            return deltas
        self._first = None
        delta = self._reader.whole(response.status, await self._body(response))
        self._over = True
        return [delta]

    async def more(self) -> list[Delta]:
        """The next deltas; none when the answer is over."""
        if self._failure is not None:
            raise self._failure
        self._alive = self._clock.time()
        while not self._over:
            chunk = await self._next()
            deltas = self._deltas(chunk)
            if deltas:
                return deltas
        await self._take_leave()
        return []

    async def flow(self, take: Taker) -> Sequence[Delta]:
        """Have deltas taken as they come; those that came and were not. What ends or spoils the answer
        meanwhile shows in `more`."""
        hand_to = getattr(self._response and self._response.content, "hand_to", None)
        if hand_to is None or self._over or self._failure is not None:
            return ()
        flow = Flow(take)

        def arrived(chunk: bytes) -> None:
            try:
                if chunk and flow.came(self._deltas(chunk)) and not self._over and self._failure is None:
                    return
            except Exception as error:  # noqa: BLE001  (whoever waits gets it)
                self._failure = error if isinstance(error, ProviderError) else None
                flow.end(None if self._failure else error)
            hand_to(None)
            flow.end()

        self._alive = self._clock.time()
        hand_to(arrived)
        self._watch(flow)
        try:
            await flow.over
        finally:
            hand_to(None)
            if self._timer is not None:
                self._timer.cancel()
        return flow.left

    def _watch(self, flow: Flow) -> None:
        """End a flow in which nothing came for too long; else look again when that could be."""
        moment, passed = self._deadline()
        if self._clock.time() < moment:
            self._timer = self._clock.call_at(moment, self._watch, flow)
        elif not flow.over.done():
            self._failure = ProviderTimeout(late(*passed), provider=self._faults.provider)
            flow.end()

    def close(self) -> None:
        """Close the connection, unless the answer was read to its end and it can be used again."""
        if self._response is not None:
            self._response.close()

    # ----------------------------------------------------------------------------------- asking

    def _deadline(self) -> tuple[float, tuple[str, float]]:
        """Until when we wait for the next bytes, and which limit has passed if they do not come (`late`)."""
        patience = self._patience
        if not self._call.stream:
            return self._end, ("no_answer", patience.total)
        if self._first is not None:
            moment, passed = self._first, ("no_beginning", patience.first)
        else:
            moment, passed = self._alive + patience.idle, ("no_piece", patience.idle)
        return (moment, passed) if moment <= self._end else (self._end, ("no_end", patience.total))

    # ---------------------------------------------------------------------------------- reading

    async def _read(self) -> bytes:
        assert self._response is not None, "asked before it is read"  # noqa: S101  (for the type checker)
        moment, passed = self._deadline()
        try:
            async with asyncio.timeout_at(moment):
                return await self._response.content.readany()
        except TimeoutError as error:
            raise ProviderTimeout(late(*passed), provider=self._faults.provider) from error
        except (Hindrance, OSError) as error:
            raise StreamCut(reason_of(error), provider=self._faults.provider) from error

    async def _next(self) -> bytes:
        """The next bytes of a stream, none at its end. What fails after the finish reason is its end."""
        try:
            return await self._read()
        except ProviderError:
            if self._reader.finished:
                return b""
            raise

    def _deltas(self, chunk: bytes) -> list[Delta]:
        """The deltas in a chunk; an error behind them waits until they are handed on."""
        deltas: list[Delta] = []
        try:
            for event in self._events(chunk):
                delta = self._reader.event(event, complete=bool(chunk))
                if delta is not None:
                    self._alive = self._clock.time()
                    if delta is not NOTHING:
                        deltas.append(delta)
                if self._reader.done:
                    break
            self._over = self._over or self._reader.done or not chunk
            if self._over and not self._reader.done and (last := self._reader.end()) is not NOTHING:
                deltas.append(last)
        except ProviderError as error:
            if not deltas:
                raise
            self._failure = error
        return deltas

    def _events(self, chunk: bytes) -> list[Event]:
        if not chunk:
            last = self._parser.end()
            return [last] if last else []
        events = self._parser.feed(chunk)
        if self._parser.pending > LARGEST_ANSWER:
            raise self._faults.unreadable("event_size", size=LARGEST_ANSWER >> 20)
        return events

    async def _body(self, response: Answer) -> bytes:
        body = bytearray()
        while not response.content.at_eof():
            body += await self._read()
            if len(body) > LARGEST_ANSWER:
                raise self._faults.unreadable("answer_size", size=LARGEST_ANSWER >> 20)
        return bytes(body)

    async def _complaint(self, response: Answer) -> bytes:
        """As much of an error's body as can be had."""
        body = bytearray()
        with suppress(ProviderError):
            while not response.content.at_eof() and len(body) < LARGEST_COMPLAINT:
                body += await self._read()
        return bytes(body[:LARGEST_COMPLAINT])

    async def _take_leave(self) -> None:
        """Read the end of a finished answer, so that its connection is free for the next one."""
        if self._response is None:
            return
        with suppress(Hindrance, OSError):
            async with asyncio.timeout(FAREWELL):
                while not self._response.content.at_eof():
                    await self._response.content.readany()
