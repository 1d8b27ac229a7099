"""An answer that is passed on: whole events as soon as they are there, and its limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.providers.loopback import Answer, Exchange, loopback

from multiturn.catalog import Catalog
from multiturn.errors import ProviderFailed, ProviderTimeout, StreamCut
from multiturn.providers import Patience, open_provider, passing
from multiturn.providers.openai_chat import OpenAIChat
from multiturn.providers.passing import Passed

PATIENCE = Patience()


@asynccontextmanager
async def passed(
    answer: Answer, *, stream: bool = True, patience: Patience = PATIENCE
) -> AsyncIterator[Passed]:
    async with loopback(answer) as server:
        client = open_provider(Catalog().profile("openai"), key="k", base_url=server.url, patience=patience)
        assert isinstance(client, OpenAIChat)
        exchange = await client.passed(b"{}", stream=stream)
        try:
            yield exchange
        finally:
            exchange.close()
            await client.close()


async def test_whole_events_go_on_while_the_next_is_on_its_way() -> None:
    read = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.say("data: 1\r\n\r\ndata: 2\n\ndata:")
        await read.wait()
        await exchange.say(" 3\r\n\r\ndata: 4")

    async with passed(answer) as exchange:
        assert await exchange.events() == b"data: 1\r\n\r\ndata: 2\n\n"
        read.set()
        assert await exchange.events() == b"data: 3\r\n\r\n"
        assert await exchange.events() == b"data: 4\n\n"
        assert await exchange.events() == b""


async def test_what_is_larger_than_any_answer_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passing, "LARGEST_ANSWER", 20)

    async def event(exchange: Exchange) -> None:
        await exchange.say("data: " + "x" * 20)

    async def body(exchange: Exchange) -> None:
        await exchange.whole(b'"' + b"x" * 20 + b'"')

    async with passed(event) as exchange:
        with pytest.raises(ProviderFailed):
            await exchange.events()
    async with passed(body, stream=False) as exchange:
        with pytest.raises(ProviderFailed):
            await exchange.whole()


@pytest.mark.parametrize("flowing", [False, True])
@pytest.mark.parametrize(
    ("patience", "why"),
    [
        (Patience(idle=0.1), r"0\.1 s"),
        (Patience(first=0.1, idle=60, total=0.3), r"0\.3 s"),
    ],
)
async def test_a_pause_and_the_whole_have_their_limits(patience: Patience, why: str, flowing: bool) -> None:
    async def stalls(exchange: Exchange) -> None:
        await exchange.say("data: 1\n\n")
        await asyncio.sleep(30)

    async with passed(stalls, patience=patience) as exchange:
        if flowing:
            await exchange.flow(bytes, lambda _: True)
        else:
            assert await exchange.events() == b"data: 1\n\n"
        with pytest.raises(ProviderTimeout, match=why):
            await exchange.events()


async def test_an_answer_in_one_piece_has_all_the_time_there_is() -> None:
    async def slow(exchange: Exchange) -> None:
        await asyncio.sleep(0.2)
        await exchange.start(kind="application/json")
        await asyncio.sleep(0.2)
        await exchange.say(b"{}")

    async with passed(slow, stream=False, patience=Patience(first=0.05, idle=0.05)) as exchange:
        assert await exchange.whole() == b"{}"


async def test_one_that_breaks_off_is_cut() -> None:
    async def breaks(exchange: Exchange) -> None:
        await exchange.say("data: 1\n\n")
        exchange.reset()

    async with passed(breaks) as exchange:
        assert await exchange.events() == b"data: 1\n\n"
        with pytest.raises(StreamCut):
            await exchange.events()
