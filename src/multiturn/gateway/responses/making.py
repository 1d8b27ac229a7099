"""How is a response made? Its turn begins, the model answers, and whoever asked is told: as it comes, or once
it is stored."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import replace

import orjson
from starlette.datastructures import Headers

from ...client import AsyncMultiTurn
from ...conversations import Address
from ...errors import ConversationNotFound, Error, StoreError
from ...ledger import Ledger
from ...reply import Delta
from ...storage import Asked, Begun, Exchange, Start
from ...turn import OpenTurn
from ...usage import Spending
from ..access.foresight import unless_made
from ..audience import is_detached
from ..completions.beside import sent_headers, window_headers
from ..gateway import Asker, Gateway
from ..http.connection import Write
from ..http.presence import staying
from ..http.sse import send_events, send_whole
from ..repeats import ENDED_BADLY, Seen
from .prepared import prepared
from .repeats import seen
from .request import Wanted, foresight_of
from .spot import Spot, owner_of, spot_of
from .telling import Live, Mark, Telling, ended, told_again, whole
from .turn import asked_in
from .window import check_room
from .words import check_new

__all__ = ["Making", "Running"]

NOTHING = Wanted({}, [])


class Running:
    """The responses that are being made in this process, by their ids."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._live: dict[str, Live] = {}

    def get(self, id: str) -> Live | None:
        """The response with this id, if it is being made here."""
        return self._live.get(id)

    def asked_for(self, mark: Mark) -> Live | None:
        """The response that the same request asked for before, if it is being made here."""
        return next((live for live in self._live.values() if live.mark == mark), None)

    def add(self, live: Live) -> None:
        """A response begins."""
        self._live[live.id] = live

    async def end(self, live: Live, client: AsyncMultiTurn, telling: Telling | None = None) -> bytes:
        """A response has ended, and is stored: whoever follows it is told. Gives the last events for the one
        who is ``telling`` it."""
        try:
            exchange = await client.engine.store.exchange(live.owner, live.at)
        except Error as error:
            live.fail(error)
            raise
        finally:
            self._live.pop(live.id, None)
        telling = telling or live.telling()
        live.tell()
        told = telling.more()
        last_told, last = ended(exchange, telling.events, self._gateway.language)
        live.end(last)
        return told + last_told

    async def run(self, live: Live, client: AsyncMultiTurn) -> None:
        """Make a response, whether or not somebody listens."""
        with suppress(Error):  # what failed is stored with the response
            try:
                async with live.stream:
                    async for _ in live.stream:
                        live.tell()
            finally:
                await self.end(live, client)


class Making:
    """One request for a response that is kept."""

    def __init__(self, asker: Asker, running: Running, wanted: Wanted, raw: bytes, headers: Headers) -> None:
        self._gateway, self._client, self._receive, self._send = asker
        self._asker, self._running = asker, running
        self._wanted, self._raw, self._headers = wanted, raw, headers
        self._streamed, self._background = wanted.get("stream") is True, wanted.get("background") is True
        self._seen: Seen
        self._extra: Mapping[str, str] = {}

    async def answer(self) -> None:
        """Answer it."""
        owner, repeats = owner_of(self._client, self._wanted.get("user")), self._gateway.repeats
        self._seen = await seen(repeats, self._client, owner, self._wanted, self._raw, self._headers)
        mark = (owner, self._seen.key, hashlib.sha256(self._raw).digest())
        goes_on = self._background or is_detached(self._headers)  # also when nobody listens
        live = self._running.asked_for(mark) if goes_on else None
        if live is not None:
            await self._apart(live)
            return
        await self._gateway.expect(self._foreseen)
        async with staying(self._receive):
            begun, asked = await self._begin(mark)
        self._wanted, self._raw = NOTHING, b""  # what was posted is not kept while the answer comes
        if isinstance(begun, Begun):
            await self._again(begun)
        elif goes_on:
            live = self._live(begun, asked, mark, streamed=True)
            self._gateway.beside(self._running.run(live, self._client))
            await self._apart(live)
        else:
            await self._make(self._live(begun, asked, mark, streamed=self._streamed))

    async def _foreseen(self) -> Spending | None:
        """What the response may take; nothing where it is stored already."""
        spot = await spot_of(self._client, self._wanted, self._seen.key)
        foresee = foresight_of(self._client, self._wanted, len(self._raw))
        return await unless_made(self._client, (spot.owner, spot.conversation), self._seen.key, foresee)

    def _live(self, turn: OpenTurn, asked: Asked, mark: Mark, *, streamed: bool) -> Live:
        """The response of a turn that has begun."""
        live = Live(turn, asked, mark, self._extra, streamed=streamed)
        self._running.add(live)
        return live

    async def _make(self, live: Live) -> None:
        """Make a response for a client whose leaving stops the model."""
        if self._streamed:
            telling = live.telling()
            await self._events(self._told(live, telling, self._asker.direct), live, telling)
        else:
            await self._whole(live)

    # -- beginning

    async def _begin(self, mark: Mark) -> tuple[OpenTurn | Begun, Asked]:
        wanted, client = self._wanted, self._client
        ready = await prepared(client, wanted, self._seen.key)
        spot, words, given = ready.spot, ready.words, ready.given
        self._extra = ready.told
        check_new(words)
        if wanted.strict:
            await check_room(client, spot, words, given, ready.model)
        asked = wanted.asked(ready.model, len(words.earlier), ready.dropped)
        start = Start(
            entries=words.entries,
            results=words.results,
            earlier=words.earlier,
            key=self._seen.key,
            digest=mark[-1],
            asked=asked,
        )
        if await self._failed_before(spot):
            start = replace(start, again=True)
        return await asked_in(client, spot, wanted, ready.model, given, start), asked

    async def _failed_before(self, spot: Spot) -> bool:
        """Whether this is a repeat, and what it repeats is the newest turn and has failed."""
        if not self._seen.repeated or spot.followed is not None:
            return False
        with suppress(ConversationNotFound):
            store = self._client.engine.store
            for turn in await store.turns(spot.owner, spot.conversation, limit=1, newest=True):
                return turn.key == self._seen.key and turn.state in ENDED_BADLY
        return False

    # -- telling

    async def _told(self, live: Live, telling: Telling, direct: Write | None) -> AsyncGenerator[bytes, None]:
        """The events for a client whose leaving stops the model. Once the first were sent, ``direct`` writes
        the others the moment they come, as long as the client keeps up."""
        over = False
        try:
            try:
                async with live.stream:
                    async for _ in live.stream:
                        live.tell()
                        if told := telling.more():
                            yield told
                            if direct is not None:
                                live.stream.hand_to(_writing(live, telling, direct))
                                direct = None
            except StoreError:  # nobody can say how it ended
                raise
            except Error:
                if not telling.begun:  # it gets a status of its own
                    raise
            over = True
            yield await self._running.end(live, self._client, telling)
        finally:
            if not over:
                self._gateway.beside(self._end(live))

    async def _end(self, live: Live) -> None:
        await self._running.end(live, self._client)

    async def _whole(self, live: Live) -> None:
        try:
            async with staying(self._receive), live.stream:
                async for _ in live.stream:
                    pass
        except BaseException:
            self._gateway.beside(self._end(live))
            raise
        await self._end(live)
        await send_whole(self._send, orjson.dumps(live.last), self._beside(live))
        self._gateway.repeats.was_told(self._seen.key, self._receive)

    async def _apart(self, live: Live) -> None:
        """Answer beside a response that is made whether or not somebody listens."""
        if self._streamed:
            telling = live.telling()
            await self._events(live.followed(telling.events), live, telling)
        elif self._background:
            queued = {**live.first, "status": "queued"}
            await send_whole(self._send, orjson.dumps(queued), self._beside(live))
        else:
            async with staying(self._receive):
                async for _ in live.followed(live.telling().events):
                    pass
            await send_whole(self._send, orjson.dumps(live.last), self._beside(live))

    async def _events(self, parts: AsyncGenerator[bytes, None], live: Live, telling: Telling) -> None:
        receive, language, failed = self._receive, self._gateway.language, telling.events.failed
        if await send_events(receive, self._send, parts, lambda: self._beside(live), language, failed):
            self._gateway.repeats.was_told(self._seen.key, receive)

    def _beside(self, live: Live) -> Mapping[str, str]:
        """What stands beside a response that is made here."""
        turn, window = live.turn.begun.turn, live.turn.window
        return {
            "x-conversation-id": live.conversation,
            "x-multiturn-turn": str(turn.number),
            "x-multiturn-turn-id": turn.id,
            **live.beside,
            **window_headers(window),
        }

    async def _again(self, begun: Begun) -> None:
        """A request that came before gets the same answer."""
        at = Address.parse(begun.turn.id)
        assert at is not None, "a turn has an address"  # noqa: S101  (for the type checker)
        at = replace(at, place=begun.step)
        exchange: Exchange = await self._client.engine.store.exchange(self._client.reach, at)
        language, headers = self._gateway.language, {**_stood_beside(exchange), **self._extra}
        if not self._streamed:
            await send_whole(self._send, orjson.dumps(whole(exchange, language)), headers)
            return

        async def parts() -> AsyncGenerator[bytes, None]:
            yield told_again(exchange, language)

        await send_events(self._receive, self._send, parts(), lambda: headers, language)


def _writing(live: Live, telling: Telling, write: Write) -> Callable[[Delta], bool]:
    """What writes the events of the next delta, and says whether another may come."""

    def direct(_: Delta) -> bool:
        live.tell()
        told = telling.more()
        return write(told) if told else True

    return direct


def _stood_beside(exchange: Exchange) -> dict[str, str]:
    """What stood beside a response that is stored."""
    at, step = exchange.address, exchange.step
    told = {
        "x-conversation-id": exchange.conversation,
        "x-multiturn-turn": str(at.turn),
        "x-multiturn-turn-id": at.turn_id,
    }
    if step is None or not step.ledger:
        return told
    return told | sent_headers(step.model, Ledger.from_json(step.ledger))
