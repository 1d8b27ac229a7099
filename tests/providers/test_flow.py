"""Deltas that are taken the moment they come are the same, in the same order, as those that are read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
from tests.providers.loopback import Answer, Exchange, Loopback, asked, chunk, event, loopback

from multiturn.catalog import Catalog
from multiturn.errors import ProviderError, ProviderTimeout, StreamCut
from multiturn.providers import Patience, open_provider
from multiturn.providers.flow import Deltas
from multiturn.providers.line import Received
from multiturn.providers.openai_chat import OpenAIChat
from multiturn.reply import Delta

WORDS = tuple("一二三四五六七八九")


async def counts(exchange: Exchange) -> None:
    for word in WORDS:
        await exchange.say(chunk(word))
        await asyncio.sleep(0.005)
    await exchange.say(chunk(finish="stop"), event("[DONE]"))


@asynccontextmanager
async def streaming(answer: Answer, idle: float = 30) -> AsyncIterator[tuple[Deltas, Loopback]]:
    async with loopback(answer) as server:
        client = open_provider(
            Catalog().profile("openai"), key="k", base_url=server.url, patience=Patience(idle=idle)
        )
        deltas = client.stream(asked())
        assert isinstance(deltas, Deltas)
        async with aclosing(deltas):
            yield deltas, server
        await client.close()


def text(delta: Delta | None) -> str:
    return delta.text if delta else ""


@pytest.mark.parametrize("enough", [1, 4, 100])
async def test_taken_and_read_come_to_the_whole(enough: int) -> None:
    async with streaming(counts) as (deltas, _):
        told = [text(await anext(deltas))]

        def take(delta: Delta) -> bool | None:
            if delta.finish_reason:
                return None
            told.append(delta.text)
            return len(told) % (enough + 1) != 0

        last = None
        while last is None or not last.finish_reason:
            await deltas.flow(take)
            last = await anext(deltas)
            told.append(last.text)
        assert "".join(told) == "".join(WORDS)
        assert [delta async for delta in deltas] == []


async def test_what_came_together_stays_in_order() -> None:
    async def at_once(exchange: Exchange) -> None:
        await exchange.say("".join(map(chunk, WORDS)) + chunk(finish="stop") + event("[DONE]"))

    async with streaming(at_once) as (deltas, _):
        told = [text(await anext(deltas))]

        def take(delta: Delta) -> bool | None:
            told.append(delta.text)
            return len(told) < 4

        await deltas.flow(take)
        assert told == list(WORDS[:4])
        told += [delta.text async for delta in deltas]
        assert "".join(told) == "".join(WORDS)


async def taken(deltas: Deltas) -> str:
    """What flows after the first delta; then what is wrong is raised."""
    told = [text(await anext(deltas))]

    def take(delta: Delta) -> bool:
        told.append(delta.text)
        return True

    await deltas.flow(take)
    with pytest.raises(ProviderError) as caught:
        await anext(deltas)
    raise type(caught.value)("".join(told), provider="openai") from caught.value


async def test_a_provider_that_falls_silent() -> None:
    async def silent(exchange: Exchange) -> None:
        await exchange.say(chunk("一"))
        await asyncio.sleep(0.05)
        await exchange.say(chunk("二"))
        await asyncio.sleep(60)

    async with streaming(silent, idle=2) as (deltas, server):
        with pytest.raises(ProviderTimeout, match="一二"):
            await taken(deltas)
        await server.left.wait()


async def test_a_stream_that_breaks_off() -> None:
    async def breaks(exchange: Exchange) -> None:
        await exchange.say(chunk("一"))
        await asyncio.sleep(0.05)
        await exchange.say(chunk("二"))
        await asyncio.sleep(0.05)
        exchange.reset()

    async with streaming(breaks) as (deltas, _):
        with pytest.raises(StreamCut, match="一二"):
            await taken(deltas)


async def test_a_complaint_in_the_middle_comes_after_what_was_said() -> None:
    async def complains(exchange: Exchange) -> None:
        await exchange.say(chunk("一"))
        await asyncio.sleep(0.05)
        await exchange.say(chunk("二") + event({"error": {"message": "no more", "code": "server_error"}}))

    async with streaming(complains) as (deltas, _):
        with pytest.raises(ProviderError, match="一二"):
            await taken(deltas)


async def test_what_goes_wrong_in_taking_is_told() -> None:
    def take(_: Delta) -> bool:
        raise LookupError("mine")

    async with streaming(counts) as (deltas, _):
        await anext(deltas)
        with pytest.raises(LookupError, match="mine"):
            await deltas.flow(take)


async def test_who_leaves_a_flow_leaves_the_provider() -> None:
    async with streaming(counts) as (deltas, server):
        await anext(deltas)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await deltas.flow(lambda _: True)
        await deltas.aclose()
        await server.left.wait()


async def test_what_comes_in_the_moment_somebody_leaves_is_passed_to_nobody() -> None:
    async def one(exchange: Exchange) -> None:
        await exchange.say(chunk("一"))
        await asyncio.sleep(60)

    written: list[bytes] = []

    def write(events: bytes) -> bool:
        written.append(events)
        return False

    async with loopback(one) as server:
        client = open_provider(Catalog().profile("openai"), key="k", base_url=server.url)
        assert isinstance(client, OpenAIChat)
        answer = await client.passed(b"{}", stream=True)
        await answer.events()
        flowing = asyncio.create_task(answer.flow(lambda events: events, write))
        await asyncio.sleep(0)
        received = answer._response
        assert isinstance(received, Received)
        flowing.cancel()
        received.add(event({}).encode())
        received.arrived()
        with pytest.raises(asyncio.CancelledError):
            await flowing
        answer.close()
        await client.close()
    assert not written
