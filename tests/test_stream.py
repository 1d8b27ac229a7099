"""Streams and prepared turns: stored before their end, stopped by leaving, never left open."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from tests.scene import TOOLS, Make, calls, said, states

from multiturn import (
    AsyncConversation,
    AsyncMultiTurn,
    ContentFiltered,
    ConversationBusy,
    Delta,
    MessageInvalid,
    ProviderFailed,
    StreamCut,
    TurnClosed,
    TurnExpired,
    TurnState,
    Usage,
)
from multiturn.config import Timing
from multiturn.messages import Trait
from multiturn.settings import load
from multiturn.window import Request

PIECES = [Delta("one "), Delta("two "), Delta("three"), Delta(finish_reason="stop", usage=Usage(5, 3))]


class Paced:
    """A provider that waits for leave before each piece, and tells when nobody listens any more."""

    name = "paced"

    def __init__(self, pieces: Iterable[Delta | Exception] = PIECES, *, free: int = 0) -> None:
        self.pieces = list(pieces)
        self.leave = asyncio.Semaphore(free)
        self.left = asyncio.Event()
        self.requests: list[Request] = []

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        self.requests.append(request)
        try:
            for piece in self.pieces:
                await self.leave.acquire()
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.left.set()

    async def close(self) -> None:
        """Nothing is open."""

    def let(self, pieces: int) -> None:
        for _ in range(pieces):
            self.leave.release()


SHORT = Timing(lease=1.0, renew=0.1, queue=10.0)


def client_of(path: Path, provider: Any, *, timing: Timing = SHORT, **given: Any) -> AsyncMultiTurn:
    config = load(
        {"store": f"sqlite:///{path / 'chats.db'}", "model": "qwen/qwen-plus", "timing": timing}, {}
    )
    return AsyncMultiTurn(config=config, provider=provider, environment={}, **given)


async def soon(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something has come about; the test's own time limit ends the wait."""
    while not await condition():  # noqa: ASYNC110  (another process may bring it about)
        await asyncio.sleep(0.01)


# -------------------------------------------------------------------------------- to the end


async def test_the_turn_is_stored_before_the_last_delta(tmp_path: Path) -> None:
    provider = Paced(free=9)
    async with client_of(tmp_path, provider) as client, client_of(tmp_path, provider) as other:
        chat, seen = client.conversation("c"), other.conversation("c")
        async with chat.stream("a") as stream:
            async for delta in stream:
                (turn,) = await seen.turns()
                if delta.finish_reason:
                    assert turn.state is TurnState.COMPLETED
                    assert [m.text for m in await seen.history()] == ["a", "one two three"]
                else:
                    assert not turn.state.final
                    with pytest.raises(TurnClosed):
                        _ = stream.reply
        assert stream.reply.text == "one two three"
        assert stream.reply.usage == Usage(5, 3)
        assert stream.window.messages[-1]["content"] == "a"


async def test_what_comes_after_the_finish_reason_is_part_of_the_last_delta(scene: Make) -> None:
    it = scene(
        [
            Delta("one"),
            Delta(finish_reason="stop", extra={"a": 1}),
            Delta(" more", "why", usage=Usage(7, 2), extra={"b": 2}),
        ]
    )
    async with it.client.conversation("c").stream("a") as stream:
        deltas = [delta async for delta in stream]
    assert deltas[-1] == Delta(" more", "why", (), "stop", Usage(7, 2), extra={"a": 1, "b": 2})
    assert stream.reply.text == "one more"
    assert stream.reply.usage == Usage(7, 2)


async def test_a_stream_may_be_read_without_a_block(scene: Make) -> None:
    it = scene(PIECES)
    chat = it.client.conversation("c")
    stream = chat.stream("a")
    assert "".join([delta.text async for delta in stream]) == "one two three"
    assert [delta async for delta in stream] == []
    await stream.aclose()
    assert stream.reply.turn.state is TurnState.COMPLETED
    assert await states(chat) == ["COMPLETED"]


async def test_a_stream_that_was_closed_begins_no_turn(scene: Make) -> None:
    it = scene(PIECES)
    stream = it.client.conversation("c").stream("a")
    with pytest.raises(TurnClosed):
        _ = stream.window
    await stream.aclose()
    assert [delta async for delta in stream] == []
    assert it.requests == []


# ------------------------------------------------------------------------------- left early


async def stopped_after_one(client: AsyncMultiTurn, provider: Paced) -> None:
    """What arrived is kept, marked, and sent again."""
    chat = client.conversation("c")
    await asyncio.wait_for(provider.left.wait(), 30)
    await soon(lambda: ended(chat))
    (turn,) = await chat.turns()
    assert turn.state is TurnState.INCOMPLETE
    assert turn.traits & Trait.STOPPED
    assert turn.error is None
    assert turn.usage is not None
    assert turn.usage.estimated
    assert [m.text for m in await chat.history()] == ["a", "one "]
    window = await chat.window("b")
    assert [m["content"] for m in window.messages] == ["a", "one ", "b"]
    assert [span.code for span in window.spans] == ["stopped", "new"]
    provider.let(9)
    assert (await chat.send("b", on_busy="reject")).text == "one two three"


async def ended(chat: AsyncConversation) -> bool:
    return all(turn.state.final for turn in await chat.turns())


async def test_leaving_early_stops_the_model(tmp_path: Path) -> None:
    provider = Paced(free=1)
    async with client_of(tmp_path, provider) as client:
        async with client.conversation("c").stream("a") as stream:
            async for _ in stream:
                break
        assert provider.left.is_set()
        assert stream.reply.text == "one "
        assert stream.reply.turn.state is TurnState.INCOMPLETE
        await stopped_after_one(client, provider)


async def test_an_exception_in_the_body_stops_the_model(tmp_path: Path) -> None:
    provider = Paced(free=1)
    async with client_of(tmp_path, provider) as client:

        async def body() -> None:
            async with client.conversation("c").stream("a") as stream:
                async for _ in stream:
                    raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            await body()
        await stopped_after_one(client, provider)


async def test_an_abandoned_stream_stops_the_model(tmp_path: Path) -> None:
    provider = Paced(free=1)
    async with client_of(tmp_path, provider) as client:
        stream = client.conversation("c").stream("a")
        assert (await anext(stream)).text == "one "
        del stream
        gc.collect()
        await stopped_after_one(client, provider)


async def test_a_loop_that_is_left_stops_the_model(tmp_path: Path) -> None:
    provider = Paced(free=1)
    async with client_of(tmp_path, provider) as client:
        async for _ in client.conversation("c").stream("a"):
            break
        gc.collect()
        await stopped_after_one(client, provider)


async def test_a_cancelled_task_stops_the_model(tmp_path: Path) -> None:
    provider = Paced(free=1)
    async with client_of(tmp_path, provider) as client:
        arrived = asyncio.Event()

        async def reading() -> None:
            async with client.conversation("c").stream("a") as stream:
                async for _ in stream:
                    arrived.set()

        task = asyncio.create_task(reading())
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert provider.left.is_set()
        await stopped_after_one(client, provider)


async def test_being_cancelled_again_and_again_does_not_leave_a_turn_open(tmp_path: Path) -> None:
    provider = Paced(free=1)
    async with client_of(tmp_path, provider) as client:
        arrived = asyncio.Event()

        async def reading() -> None:
            async for _ in client.conversation("c").stream("a"):
                arrived.set()

        task = asyncio.create_task(reading())
        await arrived.wait()
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
        assert task.cancelled()
        assert await ended(client.conversation("c"))
        await stopped_after_one(client, provider)


async def test_a_cancelled_send_is_a_stopped_turn(tmp_path: Path) -> None:
    provider = Paced()
    async with client_of(tmp_path, provider) as client:
        chat = client.conversation("c")
        sending = asyncio.create_task(chat.send("a"))
        while not provider.requests:  # noqa: ASYNC110  (the provider sets no event)
            await asyncio.sleep(0.01)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert provider.left.is_set()
        assert await states(chat) == ["INCOMPLETE"]
        provider.let(9)
        await chat.send("b")
        assert said(provider.requests[1]) == ["a\n\nb"]


async def test_being_cancelled_while_the_end_is_stored_leaves_it_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Paced([Delta("done", finish_reason="stop")], free=1)
    async with client_of(tmp_path, provider) as client:
        chat = client.conversation("c")
        finish = client._store.finish

        async def finishing(*arguments: Any) -> Any:
            reading.cancel()
            return await finish(*arguments)

        monkeypatch.setattr(client._store, "finish", finishing)
        reading = asyncio.create_task(chat.send("a"))
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await states(chat) == ["COMPLETED"]
        assert [m.text for m in await chat.history()] == ["a", "done"]


async def test_stop_ends_the_deltas(tmp_path: Path) -> None:
    provider = Paced(free=1)
    async with client_of(tmp_path, provider) as client:
        async with client.conversation("c").stream("a") as stream:
            texts = []
            async for delta in stream:
                texts.append(delta.text)
                asyncio.get_running_loop().call_later(0.05, stream.stop)
        assert texts == ["one "]
        assert stream.reply.text == "one "
        await stopped_after_one(client, provider)


async def test_another_process_may_cancel_the_turn(tmp_path: Path) -> None:
    provider = Paced(free=1)
    async with client_of(tmp_path, provider) as client, client_of(tmp_path, provider) as other:
        async with client.conversation("c").stream("a") as stream:
            await anext(stream)
            assert await other.conversation("c").cancel()
            assert [delta async for delta in stream] == []
        await stopped_after_one(client, provider)
        assert not await other.conversation("c").cancel()


async def test_a_turn_may_interrupt_the_running_one(tmp_path: Path) -> None:
    provider = Paced(free=1)
    async with client_of(tmp_path, provider) as client, client_of(tmp_path, Paced(free=9)) as other:
        async with client.conversation("c").stream("a") as stream:
            await anext(stream)
            second = asyncio.create_task(other.conversation("c").send("b", on_busy="interrupt"))
            assert [delta async for delta in stream] == []
        assert stream.reply.turn.state is TurnState.INCOMPLETE
        reply = await second
        assert [m["content"] for m in reply.window.messages] == ["a", "one ", "b"]


async def test_two_streams_of_one_conversation_run_one_after_the_other(scene: Make) -> None:
    it = scene(PIECES, PIECES)
    chat = it.client.conversation("c")

    async def whole(text: str) -> str:
        async with chat.stream(text) as stream:
            return "".join([delta.text async for delta in stream])

    assert set(await asyncio.gather(whole("a"), whole("b"))) == {"one two three"}
    assert len(said(it.requests[1])) == 3
    assert await states(chat) == ["COMPLETED", "COMPLETED"]


async def test_a_stream_may_be_closed_by_another_task(tmp_path: Path) -> None:
    provider = Paced(free=1)
    async with client_of(tmp_path, provider) as client:
        stream = client.conversation("c").stream("a")
        await anext(stream)
        reading = asyncio.create_task(anext(stream, None))
        await asyncio.sleep(0.02)
        await stream.aclose()
        assert await reading is None
        assert stream.reply.text == "one "
        await stopped_after_one(client, provider)


# ------------------------------------------------------------------------------ while it runs


async def test_what_arrives_is_stored_while_it_arrives(tmp_path: Path) -> None:
    provider = Paced([Delta("x" * 3000), Delta("y", "thought"), Delta(finish_reason="stop")], free=1)
    async with client_of(tmp_path, provider) as client, client_of(tmp_path, Paced(free=9)) as other:
        async with client.conversation("c").stream("a") as stream:
            await anext(stream)
            seen = other.conversation("c")

            async def streaming() -> bool:
                return [turn.state for turn in await seen.turns()] == [TurnState.STREAMING]

            await soon(streaming)
            provider.let(2)
            assert [delta.text async for delta in stream] == ["y", ""]


async def test_a_long_answer_keeps_its_hold(tmp_path: Path) -> None:
    provider, timing = Paced(free=1), Timing(lease=2.5, renew=0.1)
    async with (
        client_of(tmp_path, provider, timing=timing) as client,
        client_of(tmp_path, Paced(free=9)) as other,
    ):
        async with client.conversation("c").stream("a") as stream:
            await anext(stream)
            await asyncio.sleep(timing.lease + 0.2)
            with pytest.raises(ConversationBusy):
                await other.conversation("c").send("b", on_busy="reject")
            provider.let(3)
            assert "".join([delta.text async for delta in stream]) == "two three"
        assert stream.reply.turn.state is TurnState.COMPLETED


async def test_a_turn_that_was_taken_over_writes_nothing(tmp_path: Path) -> None:
    """As after a long sleep of the machine: no sign of life was given in time."""
    provider = Paced(free=1)
    async with client_of(tmp_path, provider) as client:
        async with client_of(tmp_path, Paced(free=9)) as other:
            stream = client.conversation("c").stream("a")
            await anext(stream)
            assert stream._turn is not None
            assert stream._turn.hold._renew_timer is not None
            stream._turn.hold._renew_timer.cancel()
            await other.conversation("c").send("b")
            provider.let(3)
            with pytest.raises(TurnExpired) as raised:
                _ = [delta async for delta in stream]
            turns = await other.conversation("c").turns()
            assert raised.value.turn == turns[0].id
            assert [turn.state.name for turn in turns] == ["INCOMPLETE", "COMPLETED"]
            spent = await other.conversation("c").usage()
            assert (spent.turns, spent.calls) == (1, 2), "what came too late was paid for all the same"
            provider.let(9)
            assert (await client.conversation("c").send("c", on_busy="reject")).text == "one two three"


async def test_an_error_in_the_middle_keeps_what_arrived(tmp_path: Path) -> None:
    provider = Paced([Delta("one "), ProviderFailed("broken", provider="paced")], free=9)
    async with client_of(tmp_path, provider) as client:
        chat = client.conversation("c")
        stream = chat.stream("a")
        assert (await anext(stream)).text == "one "
        with pytest.raises(ProviderFailed) as raised:
            await anext(stream)
        with pytest.raises(TurnClosed):
            _ = stream.reply
        assert [delta async for delta in stream] == []
        (turn,) = await chat.turns()
        assert raised.value.turn == turn.id
        assert (turn.state, turn.error) == (TurnState.INCOMPLETE, "provider_failed")
        assert [m.text for m in await chat.history()] == ["a", "one "]
        assert [m["content"] for m in (await chat.window("b")).messages] == ["b"]
        provider.pieces = list(PIECES)
        assert (await chat.retry()).text == "one two three"
        assert [m.text for m in await chat.history()] == ["a", "one two three"]


async def test_an_answer_without_an_end_was_cut(scene: Make) -> None:
    it = scene([Delta("one ")])
    chat = it.client.conversation("c")
    with pytest.raises(StreamCut):
        await chat.send("a")
    assert [turn.error for turn in await chat.turns()] == ["stream_cut"]


async def test_filtered_content_is_left_out_from_then_on(scene: Make) -> None:
    it = scene(ContentFiltered("no", provider="qwen"), "fine")
    chat = it.client.conversation("c")
    with pytest.raises(ContentFiltered):
        await chat.send("bad words")
    await chat.send("good words")
    assert said(it.requests[1]) == ["good words"]
    assert [span.code for span in (await chat.ledger()).spans] == ["moderated", "new"]


async def test_half_a_character_ends_the_turn_and_not_the_conversation(scene: Make) -> None:
    it = scene(Delta("half \ud83d", finish_reason="stop"), "fine")
    chat = it.client.conversation("c")
    with pytest.raises(MessageInvalid):
        await chat.send("a")
    assert (await chat.send("b", on_busy="reject")).text == "fine"


# ------------------------------------------------------------------------------ prepared turns


def completion(text: str | None = "hello", **message: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "qwen-plus",
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls" if "tool_calls" in message else "stop",
                "message": {"role": "assistant", "content": text, **message},
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 4,
            "total_tokens": 13,
            "prompt_tokens_details": {"cached_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    }


def chunks(*texts: str, finish: bool = True) -> list[ChatCompletionChunk]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "qwen-plus"}
    rows: list[dict[str, Any]] = [
        {**head, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
        for text in texts
    ]
    if finish:
        rows.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        rows.append({**head, "choices": [], "usage": completion()["usage"]})
    return [ChatCompletionChunk.model_validate(row) for row in rows]


async def flowing(items: Iterable[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


def call() -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}


@pytest.mark.parametrize(
    "answer",
    [
        "hello",
        {"role": "assistant", "content": "hello"},
        {"content": [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]},
        completion(),
        ChatCompletion.model_validate(completion()),
        ChatCompletion.model_validate(completion()).choices[0].message,
        ChatCompletion.model_validate(completion()).model_dump(),
    ],
)
async def test_an_answer_in_any_form_may_be_committed(scene: Make, answer: object) -> None:
    it = scene()
    chat = it.client.conversation("c", system="Be brief.")
    async with chat.prepare("a", tools=TOOLS) as turn:
        assert [m["content"] for m in turn.messages] == ["Be brief.", "a"]
        assert len(turn.decisions) == 2
        assert turn.tokens > 5
        assert (turn.reply, turn.tools) == (None, TOOLS)
        reply = await turn.commit(answer)
        assert turn.reply is reply
        with pytest.raises(TurnClosed):
            await turn.commit("again")
    assert reply.text == "hello"
    assert reply.turn.state is TurnState.COMPLETED
    assert [m.text for m in await chat.history()] == ["a", "hello"]
    assert it.requests == []


async def test_a_committed_completion_brings_its_figures(scene: Make) -> None:
    it = scene()
    async with it.client.conversation("c").prepare("a") as turn:
        reply = await turn.commit(ChatCompletion.model_validate(completion(reasoning_content="hm")))
    assert reply.usage is not None
    assert (reply.usage.input, reply.usage.output, reply.usage.cached, reply.usage.reasoning) == (9, 4, 3, 1)
    assert reply.reasoning == "hm"
    assert reply.cost is not None


async def test_committed_calls_wait_for_results(scene: Make) -> None:
    it = scene("Sunny.")
    chat = it.client.conversation("c")
    async with chat.prepare("a", tools=TOOLS) as turn:
        reply = await turn.commit(ChatCompletion.model_validate(completion(None, tool_calls=[call()])))
    assert reply.turn.state is TurnState.WAITING
    assert (await chat.send(tool_results={"call_1": "sun"})).text == "Sunny."
    assert it.requests[0].tools == TOOLS


@pytest.mark.parametrize(
    "answer",
    [
        5,
        None,
        [],
        {},
        {"choices": []},
        {"choices": [{}]},
        {"choices": "x"},
        {"choices": [{"message": "x"}]},
        {"error": {"message": "busy"}},
        {"role": "user", "content": "x"},
        {"content": 5},
        {"content": "x", "tool_calls": "y"},
        {"content": "x", "tool_calls": ["y"]},
        {"content": "x", "tool_calls": [{"function": "y"}]},
        {"content": "half \ud83d"},
    ],
)
async def test_what_is_no_answer_may_be_committed_better(scene: Make, answer: object) -> None:
    it = scene("next")
    chat = it.client.conversation("c")
    async with chat.prepare("a") as turn:
        with pytest.raises(MessageInvalid):
            await turn.commit(answer)
        reply = await turn.commit("better")
    assert reply.text == "better"
    assert [m.text for m in await chat.history()] == ["a", "better"]
    assert (await chat.send("b", on_busy="reject")).text == "next"


async def test_leaving_without_an_answer_keeps_the_input_and_leaves_it_out(scene: Make) -> None:
    it = scene("fine")
    chat = it.client.conversation("c")
    async with chat.prepare("a"):
        assert await states(chat) == ["ACCEPTED"]
        with pytest.raises(ConversationBusy):
            await chat.send("b", on_busy="reject")
    assert await states(chat) == ["INCOMPLETE"]
    assert [m.text for m in await chat.history()] == ["a"]
    await chat.send("b")
    assert said(it.requests[0]) == ["b"]


async def test_an_error_of_the_sdk_fails_the_turn(scene: Make) -> None:
    it = scene("fine")
    chat = it.client.conversation("c")

    async def body() -> None:
        async with chat.prepare("a"):
            raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        await body()
    assert await states(chat) == ["FAILED"]
    assert (await chat.retry()).text == "fine"


async def test_a_prepared_turn_expires(tmp_path: Path) -> None:
    async with client_of(tmp_path, Paced(free=9), timing=Timing(prepare=0.1)) as client:
        chat = client.conversation("c")
        async with chat.prepare("a") as turn:
            await asyncio.sleep(0.2)
            with pytest.raises(TurnExpired) as raised:
                await turn.commit("late")
        (first,) = await chat.turns()
        assert raised.value.turn == first.id
        await chat.send("b", on_busy="reject")
        assert await states(chat) == ["INCOMPLETE", "COMPLETED"]
        assert [m.text for m in await chat.history()] == ["a", "b", "one two three"]


async def test_the_chunks_of_an_sdk_are_followed(tmp_path: Path) -> None:
    given = chunks("hel", "lo")
    async with client_of(tmp_path, Paced()) as client, client_of(tmp_path, Paced()) as other:
        chat, seen = client.conversation("c"), other.conversation("c")
        got: list[Any] = []
        async with chat.prepare("a") as turn:
            async for chunk in turn.follow(flowing(given)):
                got.append(chunk)
                finished = bool(chunk.choices and chunk.choices[0].finish_reason)
                if finished:
                    assert [m.text for m in await seen.history()] == ["a", "hello"]
        assert got == given
        assert turn.reply is not None
        assert turn.reply.usage is not None
        assert turn.reply.usage.cached == 3
        assert await states(chat) == ["COMPLETED"]


async def test_leaving_the_chunks_early_is_a_stopped_turn(scene: Make) -> None:
    it = scene("fine")
    chat = it.client.conversation("c")
    async with chat.prepare("a") as turn:
        async for _ in turn.follow(flowing(chunks("hel", "lo"))):
            break
    gc.collect()
    await soon(lambda: ended(chat))
    assert await states(chat) == ["INCOMPLETE"]
    await chat.send("b")
    assert said(it.requests[0]) == ["a", "hel", "b"]


async def test_chunks_that_break_off_are_a_cut_answer(scene: Make) -> None:
    it = scene("fine")
    chat = it.client.conversation("c")

    async def body() -> None:
        async with chat.prepare("a") as turn:
            async for _ in turn.follow(flowing(chunks("hel", finish=False))):
                pass

    with pytest.raises(StreamCut) as raised:
        await body()
    (first,) = await chat.turns()
    assert raised.value.turn == first.id
    assert (first.state, first.error) == (TurnState.INCOMPLETE, "stream_cut")
    await chat.send("b")
    assert said(it.requests[0]) == ["b"]


async def test_followed_chunks_end_when_somebody_cancels(tmp_path: Path) -> None:
    async def slowly() -> AsyncIterator[Any]:
        for chunk in chunks(*("x" * 3000,) * 500):
            yield chunk
            await asyncio.sleep(0.02)

    async with client_of(tmp_path, Paced()) as client:
        chat = client.conversation("c")
        got = 0
        async with chat.prepare("a") as turn:
            async for _ in turn.follow(slowly()):
                got += 1
                if got == 1:
                    assert await chat.cancel()
        assert got < 500
        assert turn.reply is not None
        assert turn.reply.turn.state is TurnState.INCOMPLETE
        assert turn.reply.turn.traits & Trait.STOPPED


async def test_calls_in_chunks_are_put_together(scene: Make) -> None:
    it = scene()
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    pieces = [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"city": '}},
        {"index": 0, "function": {"arguments": '"Lisbon"}'}},
    ]
    rows: list[Any] = [
        {**head, "choices": [{"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": None}]}
        for piece in pieces
    ]
    rows.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    async with it.client.conversation("c").prepare("a") as turn:
        async for _ in turn.follow(flowing(rows)):
            pass
    assert turn.reply is not None
    assert [(c.id, c.name, c.arguments) for c in turn.reply.tool_calls] == [
        ("call_1", "weather", '{"city": "Lisbon"}')
    ]


async def test_a_stream_of_calls_waits(scene: Make) -> None:
    it = scene(calls("c1"))
    chat = it.client.conversation("c")
    async with chat.stream("a", tools=TOOLS) as stream:
        deltas = [delta async for delta in stream]
    assert deltas[-1].finish_reason == "tool_calls"
    assert stream.reply.turn.state is TurnState.WAITING
