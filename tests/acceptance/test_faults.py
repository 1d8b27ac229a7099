"""What may go wrong between us and a provider: the input is kept, the error says what to do, and the next
turn works."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.scene import states
from tests.simulators import Answer, Fault, Script, Wire, simulate

from multiturn import (
    BillingRefused,
    ContentFiltered,
    HistoryRefused,
    KeyMissing,
    KeyRefused,
    ModelNotFound,
    ModelUnknown,
    ProviderError,
    ProviderFailed,
    ProviderOverflow,
    ProviderOverloaded,
    ProviderTimeout,
    ProviderUnreachable,
    RateLimited,
    RequestRefused,
    StreamCut,
    TurnState,
)
from multiturn.messages import Trait

from .world import SHORT, World, client_of, world

LONG = "一二三四五六七八九十" * 40


@asynccontextmanager
async def failing(path: Path, fault: Any, *, then: str = "fine", **given: Any) -> AsyncIterator[World]:
    """A world whose first answer goes wrong."""
    script = Script([then, then], faults={1: fault}) if isinstance(fault, Fault) else Script([fault, then])
    async with world(path, script=script, **given) as one:
        yield one


async def works_again(one: World, left_out: str) -> None:
    """The next turn is answered, without what failed."""
    reply = await one.client.conversation("c").send("next")
    assert reply.text == "fine"
    assert left_out not in str(reply.window.messages)
    assert one.simulator.requests[-1].status == 200


FAULTS = [
    (Fault(401), KeyRefused, "Check the key"),
    (Fault(403), KeyRefused, "Check the key"),
    (Fault(404), ModelNotFound, "Choose another model"),
    (Fault(402, kind="billing"), BillingRefused, "Top up"),
    (Fault(400), RequestRefused, "Check the parameters"),
    (Fault(400, kind="content_filter"), ContentFiltered, "change the wording"),
    (Fault(400, kind="overflow"), ProviderOverflow, "lower the budget"),
    (Fault(400, kind="orphan"), HistoryRefused, "worth reporting"),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("fault", "kind", "advice"), FAULTS, ids=lambda value: getattr(value, "__name__", "")
)
async def test_a_refusal_is_told_once_and_the_input_kept(
    tmp_path: Path, fault: Fault, kind: type[ProviderError], advice: str, *, stream: bool
) -> None:
    async with failing(tmp_path, fault) as one:
        chat = one.client.conversation("c")
        with pytest.raises(kind) as raised:
            await ask(chat, "first", stream=stream)
        error = raised.value
        assert len(one.simulator.requests) == 1, "what cannot succeed is not tried again"
        assert advice in str(error)
        assert "qwen" in str(error)
        assert error.provider == "qwen"
        assert error.status == fault.status
        (turn,) = await chat.turns()
        assert error.turn == turn.id
        assert (turn.state, turn.error) == (TurnState.FAILED, error.code)
        assert [m.text for m in await chat.history()] == ["first"]
        await works_again(one, "first")


async def ask(chat: Any, text: str, *, stream: bool) -> str:
    if not stream:
        return str((await chat.send(text)).text)
    async with chat.stream(text) as going:
        return "".join([delta.text async for delta in going])


STORMS = [
    (Fault(429, kind="rate_limit").after(0), RateLimited),
    (Fault(503, kind="overloaded").after(0), ProviderOverloaded),
    (Fault(502, html=True).after(0), ProviderFailed),
    (Fault(500).after(0), ProviderFailed),
    (Fault(drop=True), ProviderUnreachable),
]


@pytest.mark.parametrize(("fault", "kind"), STORMS, ids=lambda value: getattr(value, "__name__", ""))
async def test_a_short_storm_is_waited_out_and_a_long_one_is_told(
    tmp_path: Path, fault: Fault, kind: type[ProviderError]
) -> None:
    script = Script("fine", faults={1: fault, 2: fault})
    async with world(tmp_path, script=script) as one:
        chat = one.client.conversation("c")
        assert (await chat.send("first")).text == "fine"
        assert len(one.simulator.requests) == 3
        assert await states(chat) == ["COMPLETED"]
    async with world(tmp_path, script=Script("fine", faults=dict.fromkeys(range(1, 4), fault))) as one:
        chat = one.client.conversation("d")
        with pytest.raises(kind) as raised:
            await chat.send("first")
        assert raised.value.retryable
        assert raised.value.turn == (await chat.turns())[0].id
        assert await states(chat) == ["FAILED"]
        assert "<html" not in str(raised.value)
        assert (await chat.retry()).text == "fine"
        assert await states(chat) == ["COMPLETED"]


CUTS = [
    (Answer(LONG, cut="reset", cut_after=30), StreamCut),
    (Answer(LONG, cut="close", cut_after=30), StreamCut),
    (Answer(LONG, cut="end", cut_after=30), StreamCut),
    (Answer(LONG, stall=60, stall_after=30), ProviderTimeout),
    (Answer(LONG, fail="server", fail_after=30), ProviderFailed),
    (Answer(LONG, fail="rate_limit", fail_after=30), RateLimited),
    (Answer(LONG, fail="content_filter", fail_after=30), ContentFiltered),
]


@pytest.mark.parametrize(("answer", "kind"), CUTS, ids=lambda value: getattr(value, "cut", "") or None)
async def test_what_breaks_in_the_middle_is_kept_flagged_and_left_out(
    tmp_path: Path, answer: Answer, kind: type[ProviderError]
) -> None:
    timing = replace(SHORT, idle=0.5) if answer.stall else SHORT
    async with failing(tmp_path, answer, timing=timing) as one:
        chat = one.client.conversation("c")
        texts: list[str] = []

        async def reading() -> None:
            async for delta in chat.stream("first"):
                texts.append(delta.text)  # noqa: PERF401  (it ends with an error)

        with pytest.raises(kind) as raised:
            await reading()
        arrived = "".join(texts)
        assert arrived
        assert LONG.startswith(arrived)
        (turn,) = await chat.turns()
        assert raised.value.turn == turn.id
        assert (turn.state, turn.error) == (TurnState.INCOMPLETE, raised.value.code)
        assert [m.text for m in await chat.history()] == ["first", arrived]
        assert turn.usage is not None
        assert turn.usage.estimated
        assert bool(turn.traits & Trait.MODERATED) == (kind is ContentFiltered)
        await works_again(one, arrived)


@pytest.mark.parametrize("fault", [Answer("x", stall=60), Fault(500, delay=60)])
async def test_silence_before_the_first_word_ends(tmp_path: Path, fault: Any) -> None:
    hasty = replace(SHORT, first_token=0.3)
    script = Script("fine", faults=fault) if isinstance(fault, Fault) else Script(fault)
    async with world(tmp_path, script=script, timing=hasty) as one:
        chat = one.client.conversation("c")
        with pytest.raises(ProviderTimeout) as raised:
            await ask(chat, "first", stream=True)
        assert "0.3" in str(raised.value)
        assert await states(chat) == ["FAILED"]


async def test_nobody_is_there(tmp_path: Path) -> None:
    async with simulate("qwen") as simulator:
        client = client_of(tmp_path, "qwen/qwen-plus", simulator, base_url="http://127.0.0.1:1/v1")
        async with client:
            chat = client.conversation("c")
            with pytest.raises(ProviderUnreachable, match="base URL") as raised:
                await chat.send("first")
            assert raised.value.turn is not None
            assert [m.text for m in await chat.history()] == ["first"]
        async with client_of(tmp_path, "qwen/qwen-plus", simulator) as client:
            assert (await client.conversation("c").retry()).turn.state is TurnState.COMPLETED


async def test_a_model_the_provider_does_not_know(tmp_path: Path) -> None:
    async with world(tmp_path, script="fine") as one:
        chat = one.client.conversation("c", model="qwen/qwen-99")
        with pytest.raises(ModelNotFound, match="Choose another model"):
            await chat.send("first")
        assert (await one.client.conversation("c", model="qwen/qwen-plus").send("second")).text == "fine"


async def test_what_cannot_be_asked_is_refused_before_anything_is_stored(tmp_path: Path) -> None:
    async with world(tmp_path, script="fine") as one:
        with pytest.raises(ModelUnknown, match="multiturn models"):
            one.client.conversation("c", model="nobody/x")
        chat = one.client.conversation("c", model="kimi/kimi-k2.6")
        with pytest.raises(KeyMissing, match="MOONSHOT_API_KEY") as raised:
            await chat.send("first")
        assert raised.value.turn is None
        assert await one.client.conversations() == []
        await one.client.conversation("c").send("first")
        with pytest.raises(KeyMissing):
            await chat.send("second")
        fresh = one.make().conversation("c")
        assert await states(fresh) == ["COMPLETED"]


async def test_a_stored_model_without_a_key_is_refused_by_a_fresh_handle_too(tmp_path: Path) -> None:
    async with simulate("kimi", "fine") as kimi, simulate("qwen", "fine") as qwen:
        async with client_of(tmp_path, "qwen/qwen-plus", qwen, kimi) as client:
            await client.conversation("c", model="kimi/kimi-k2.6").send("first")
        keyless = client_of(tmp_path, "qwen/qwen-plus", qwen)
        keyless._declared = replace(keyless._declared, model=None)
        async with keyless as client:
            with pytest.raises(KeyMissing) as raised:
                await client.conversation("c").send("second")
            assert raised.value.turn is None
            assert await states(client.conversation("c")) == ["COMPLETED"]


# ------------------------------------------------------------------------------------- leaving


async def left(one: World, number: int = 1) -> None:
    """The simulator sees the connection close, which it does not where the answer is read to its end."""
    async with asyncio.timeout(30):
        while not one.simulator.requests[number - 1].left:  # noqa: ASYNC110  (the simulator sets no event)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("how", ["break", "cancel", "abandon", "error", "cancel_send"])
async def test_leaving_closes_the_connection(tmp_path: Path, how: str) -> None:
    endless = Answer(LONG, stall=60, stall_after=30)
    script = Script([endless, "fine"], wire=Wire(between=0.05))
    async with world(tmp_path, script=script) as one:
        chat = one.client.conversation("c")
        await LEAVING[how](chat, one)
        await left(one)
        while not all(turn.state.final for turn in await chat.turns()):  # noqa: ASYNC110  (as above)
            await asyncio.sleep(0.01)
        (turn,) = await chat.turns()
        assert turn.state is TurnState.INCOMPLETE
        assert turn.traits & Trait.STOPPED
        history = [m.text for m in await chat.history()]
        assert history[0] == "first"
        reply = await chat.send("next", on_busy="reject")
        assert reply.text == "fine"
        sent = "".join(str(message["content"]) for message in reply.window.messages)
        assert sent.replace("\n\n", "") == "".join([*history, "next"])


async def _break(chat: Any, one: World) -> None:
    async with chat.stream("first") as stream:
        async for _ in stream:
            break


async def _abandon(chat: Any, one: World) -> None:
    await anext(chat.stream("first"))


async def _error(chat: Any, one: World) -> None:
    async def body() -> None:
        async with chat.stream("first") as stream:
            async for _ in stream:
                raise KeyError("mine")

    with pytest.raises(KeyError):
        await body()


async def _cancel(chat: Any, one: World) -> None:
    arrived = asyncio.Event()

    async def reading() -> None:
        async for _ in chat.stream("first"):
            arrived.set()

    task = asyncio.create_task(reading())
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _cancel_send(chat: Any, one: World) -> None:
    task = asyncio.create_task(chat.send("first"))
    while not one.simulator.requests:  # noqa: ASYNC110  (as above)
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


LEAVING = {
    "break": _break,
    "abandon": _abandon,
    "error": _error,
    "cancel": _cancel,
    "cancel_send": _cancel_send,
}


# --------------------------------------------------------------------------------------- usage


async def test_usage_is_estimated_and_flagged_where_the_provider_sends_none(tmp_path: Path) -> None:
    async with world(tmp_path, script=Script(Answer("fine", usage=False))) as one:
        chat = one.client.conversation("c")
        async with chat.stream("first") as stream:
            async for _ in stream:
                pass
        usage = stream.reply.usage
        assert usage is not None
        assert usage.estimated
        assert usage.input > 0
        assert usage.output > 0
        assert (await chat.turns())[0].usage == replace(usage, raw=None)
        assert (await one.client.usage())[0].usage.estimated


async def test_usage_that_is_reported_is_the_one_that_counts(tmp_path: Path) -> None:
    async with world(tmp_path, script="fine") as one:
        chat = one.client.conversation("c")
        whole = await chat.send("first")
        async with chat.stream("second") as stream:
            async for _ in stream:
                pass
        for reply in (whole, stream.reply):
            assert reply.usage is not None
            assert not reply.usage.estimated
            assert reply.usage.raw
        spent = await chat.usage()
        assert spent.calls == 2
        assert spent.usage.input == sum(t.usage.input for t in await chat.turns() if t.usage)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_two_loops_may_use_one_client_one_after_the_other(tmp_path: Path) -> None:
    """As `asyncio.run` does it twice: connections of a loop that has ended are not used again. Python
    warns of the sockets that were open at the end of the first."""
    async with simulate("qwen", "fine") as simulator:

        def program() -> list[str]:
            client = client_of(tmp_path, "qwen/qwen-plus", simulator)

            async def once(text: str) -> str:
                return (await client.conversation("c").send(text)).text

            texts = [asyncio.run(once("first")), asyncio.run(once("second"))]
            asyncio.run(client.close())
            return texts

        assert await asyncio.to_thread(program) == ["fine", "fine"]
        gc.collect()
