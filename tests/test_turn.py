"""One turn: keys, queues, failures, and trying again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.scene import TOOLS, Make, calls, said, sent, states

from multiturn import (
    AsyncConversation,
    ContextOverflow,
    ContextPolicy,
    ConversationBusy,
    ConversationNotFound,
    Delta,
    KeyReused,
    ProviderOverflow,
    RateLimited,
    StoreFull,
    StreamCut,
    ToolCall,
    Turn,
    TurnClosed,
    TurnExpired,
    TurnNotFound,
    TurnState,
    Usage,
)
from multiturn.asking import Asking
from multiturn.sealing import seal
from multiturn.storage import Ending, Lease
from multiturn.tokens import count_message
from multiturn.window import Request

# ----------------------------------------------------------------------------------- request keys


async def test_a_repeated_key_gives_the_stored_reply(scene: Make) -> None:
    answer = Delta("Noted.", "hm", finish_reason="stop", usage=Usage(11, 3))
    it = scene(answer)
    chat = it.client.conversation("c")
    first = await chat.send("I like tea.", key="m-1")
    again = await it.client.conversation("c").send("I like tea.", key="m-1")
    assert (again.text, again.reasoning, again.finish_reason, again.usage) == (
        "Noted.",
        "hm",
        "stop",
        Usage(11, 3),
    )
    assert again.turn.id == first.turn.id
    assert again.model == first.model
    assert [d.code for d in again.window.decisions] == [d.code for d in first.window.decisions]
    assert len(it.requests) == 1
    assert await states(chat) == ["COMPLETED"]


async def test_a_key_with_another_input_is_refused(scene: Make) -> None:
    it = scene("Noted.", "fine")
    chat = it.client.conversation("c")
    await chat.send("I like tea.", key="m-1")
    with pytest.raises(KeyReused, match="m-1"):
        await chat.send("I like coffee.", key="m-1")
    with pytest.raises(KeyReused):
        await chat.edit(1, "I like tea.", key="m-1")
    assert await states(chat) == ["COMPLETED"]
    assert (await chat.send("next")).text == "fine"


async def test_a_key_in_flight_is_joined(scene: Make) -> None:
    it = scene("only once")
    first, second = await asyncio.gather(
        it.client.conversation("c").send("a", key="k"), it.client.conversation("c").send("a", key="k")
    )
    assert first.text == second.text == "only once"
    assert first.turn.id == second.turn.id
    assert len(it.requests) == 1


async def told(chat: AsyncConversation, words: str, key: str | None) -> list[Delta]:
    """The deltas of a turn that may be told again as they came."""
    asking: Asking = {} if key is None else {"key": key}
    message = {"role": "user", "content": words}
    async with chat.turn([message], retold=b"", **asking) as stream:
        return [delta async for delta in stream]


async def test_a_repeated_key_gives_the_very_deltas(scene: Make) -> None:
    answer = [Delta("", "hm"), Delta("No"), Delta("ted", ""), Delta(".", finish_reason="stop")]
    it = scene(answer)
    first = await told(it.client.conversation("c"), "I like tea.", "m-1")
    again = await told(it.client.conversation("c"), "I like tea.", "m-1")
    assert [(each.text, each.reasoning, each.finish_reason) for each in again] == [
        ("", "hm", None),
        ("No", None, None),
        ("ted", "", None),
        (".", None, "stop"),
    ]
    assert [(each.text, each.reasoning) for each in first] == [(each.text, each.reasoning) for each in again]
    assert len(it.requests) == 1


async def test_a_repeated_key_gives_its_own_step_of_the_turn(scene: Make) -> None:
    """Results went on with the turn since: what the key asked for were the calls."""
    it = scene([Delta("let me "), calls("c1", text="see")], "sunny")
    chat = it.client.conversation("c")
    first = await told(chat, "weather?", "m-1")
    await chat.send(tool_results={"c1": "sun"})
    again = await told(chat, "weather?", "m-1")
    assert [each.text for each in again] == [each.text for each in first] == ["let me ", "see"]
    assert again[-1].finish_reason == "tool_calls"
    assert again[-1].calls[0].id == "c1"


async def test_a_repeated_key_is_found_on_the_branch_it_was_made_on(scene: Make) -> None:
    it = scene("tea", "coffee")
    chat = it.client.conversation("c")
    await chat.send("I like tea.", key="m-1")
    await chat.edit(1, "I like coffee.")
    assert (await chat.send("I like tea.", key="m-1")).text == "tea"


async def test_a_retried_turn_is_told_as_it_ended(scene: Make) -> None:
    """What its key asked for was dropped when it was asked again."""
    it = scene([calls("c1")], RateLimited("slow down", provider="qwen"), "whole")
    chat = it.client.conversation("c")
    await told(chat, "weather?", "m-1")
    with pytest.raises(RateLimited):
        await chat.send(tool_results={"c1": "sun"})
    await chat.retry()
    assert "".join([each.text for each in await told(chat, "weather?", "m-1")]) == "whole"


async def test_what_was_deleted_is_not_told_again(scene: Make) -> None:
    it = scene([Delta("one "), Delta("two", finish_reason="stop")])
    await told(it.client.conversation("c"), "count", "m-1")
    store, owner = it.client.engine.store, it.client.reach
    gone = seal({"role": "assistant", "content": None}, count_message)
    await store.rewrite(owner, "c", 1, {1: gone})
    again = await told(it.client.conversation("c"), "count", "m-1")
    assert "".join([each.text for each in again]) == ""


async def test_calls_whose_end_cannot_be_stored_end_the_turn_all_the_same(
    scene: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = scene(calls("c1"), "sunny")
    chat, store = it.client.conversation("c"), it.client.engine.store
    finish, errors = store.finish, [StoreFull(path="x")]

    async def finishing(lease: Lease, ending: Ending) -> Turn:
        if errors:
            raise errors.pop()
        return await finish(lease, ending)

    monkeypatch.setattr(store, "finish", finishing)
    with pytest.raises(StoreFull):
        await told(chat, "weather?", "m-1")
    assert await states(chat) == ["FAILED"]
    assert "".join([each.text for each in await told(chat, "weather?", "m-1")]) == "sunny"


async def test_what_cannot_be_put_together_holds_no_conversation(scene: Make) -> None:
    odd: Any = 7
    it = scene(Delta("a", usage=odd, finish_reason="stop"), "b")
    chat = it.client.conversation("c")
    with pytest.raises(AttributeError):
        await chat.send("a")
    assert (await chat.send("b")).text == "b"
    assert await states(chat) == ["INCOMPLETE", "COMPLETED"]


async def test_the_key_of_a_turn_that_failed_may_be_used_again(scene: Make) -> None:
    it = scene(RateLimited("slow down", provider="qwen"), "now")
    chat = it.client.conversation("c")
    with pytest.raises(RateLimited):
        await chat.send("a", key="k")
    assert (await chat.send("a", key="k")).text == "now"
    assert await states(chat) == ["FAILED", "COMPLETED"]
    assert said(it.requests[1]) == ["a"]


async def test_a_repeated_key_gives_stored_calls_too_also_as_a_stream(scene: Make) -> None:
    it = scene(calls("call_7"))
    chat = it.client.conversation("c")
    first = await chat.send("Weather?", tools=TOOLS, key="k")
    async with chat.stream("Weather?", tools=TOOLS, key="k") as stream:
        deltas = [delta async for delta in stream]
    assert stream.reply.tool_calls == first.tool_calls == (ToolCall("call_7", "weather", "{}"),)
    assert [piece.id for delta in deltas for piece in delta.calls] == ["call_7"]
    async with chat.prepare("Weather?", tools=TOOLS, key="k") as turn:
        assert turn.reply is not None
        assert turn.reply.tool_calls == first.tool_calls
    assert await states(chat) == ["WAITING"]
    assert len(it.requests) == 1


# ------------------------------------------------------------------------------------------- busy


async def test_a_second_turn_queues_is_refused_or_interrupts(scene: Make) -> None:
    it = scene("first", "second", "third")
    chat = it.client.conversation("c")
    async with chat.prepare("a") as turn:
        with pytest.raises(ConversationBusy) as raised:
            await chat.send("b", on_busy="reject")
        assert raised.value.retryable
        assert raised.value.turn is None
        queued = asyncio.create_task(chat.send("c"))
        await asyncio.sleep(0.05)
        assert not queued.done()
        await turn.commit("answered")
    assert (await queued).text == "first"
    assert said(it.requests[0]) == ["a", "answered", "c"]


# ------------------------------------------------------------------------------ failing, retrying


async def test_a_failed_turn_keeps_the_input_and_is_left_out(scene: Make) -> None:
    it = scene(RateLimited("slow down", provider="qwen"), "hello", "and now")
    chat = it.client.conversation("c")
    with pytest.raises(RateLimited) as raised:
        await chat.send("first")
    (turn,) = await chat.turns()
    assert raised.value.turn == turn.id
    assert turn.state is TurnState.FAILED
    assert turn.error == "rate_limited"
    assert [m.text for m in await chat.history()] == ["first"]
    await chat.send("second")
    assert said(it.requests[1]) == ["second"]
    assert [span.code for span in (await chat.ledger()).spans] == ["failed", "new"]
    with pytest.raises(TurnClosed):
        await chat.retry()


async def test_retry_repeats_the_failed_turn(scene: Make) -> None:
    it = scene("one", RateLimited("slow down", provider="qwen"), "two")
    chat = it.client.conversation("c")
    await chat.send("a")
    with pytest.raises(RateLimited):
        await chat.send("b")
    reply = await chat.retry(temperature=0.1)
    assert reply.text == "two"
    assert reply.turn.number == 2
    assert said(it.requests[2]) == ["a", "one", "b"]
    assert it.requests[2].params == {"temperature": 0.1}
    assert await states(chat) == ["COMPLETED", "COMPLETED"]
    assert [m.text for m in await chat.history()] == ["a", "one", "b", "two"]


async def test_retry_of_nothing_is_refused(scene: Make) -> None:
    it = scene()
    chat = it.client.conversation("c")
    with pytest.raises(ConversationNotFound):
        await chat.retry()
    await chat.add([])
    with pytest.raises(TurnNotFound):
        await chat.retry()


async def test_a_foreign_error_of_a_provider_ends_the_turn_too(scene: Make) -> None:
    it = scene(TimeoutError("gone"), ValueError("odd"), "fine")
    chat = it.client.conversation("c")
    with pytest.raises(TimeoutError, match="gone"):
        await chat.send("a")
    with pytest.raises(ValueError, match="odd"):
        await chat.send("b")
    assert [turn.error for turn in await chat.turns()] == ["error", "error"]
    assert (await chat.send("c")).text == "fine"


async def test_what_somebody_else_changed_meanwhile_fails_the_turn_and_names_it(scene: Make) -> None:
    it = scene("A", "B", "C")
    chat = it.client.conversation("c")
    await chat.send("a")
    await it.client.conversation("c", policy=ContextPolicy(budget=100)).send("b")
    with pytest.raises(ContextOverflow) as raised:
        await chat.send("very long " * 200)
    turns = await chat.turns()
    assert raised.value.turn == turns[-1].id
    assert (turns[-1].state.name, turns[-1].error) == ("FAILED", "context_overflow")
    assert len(it.requests) == 2
    assert (await chat.send("c")).text == "C"


async def test_a_turn_of_another_process_that_was_deleted_ends_in_peace(scene: Make) -> None:
    it = scene("never", "next")
    chat = it.client.conversation("c")
    async with chat.prepare("a") as turn:
        await it.client.conversation("c").delete()
        with pytest.raises(TurnExpired):
            await turn.commit("late")
    await chat.send("b")
    assert [m.text for m in await chat.history()] == ["b", "never"]


# ----------------------------------------------------------------------- what use teaches of a model


def too_long(limit: int | None) -> ProviderOverflow:
    error = ProviderOverflow("input length is too long", provider="scripted")
    error.limit = limit
    return error


async def test_an_overflow_is_learned_from_and_asked_again_once(scene: Make) -> None:
    it = scene("one", "two", "three", too_long(1200), "four", "five", model="compatible/llama")
    chat = it.client.conversation("c", policy=ContextPolicy(summarize=None, recall=None))
    for number in range(3):
        await chat.send(f"number {number}: " + "tea and more tea, " * 100)
    reply = await chat.send("and now?")
    assert reply.text == "four"
    assert reply.window.tokens <= 1200
    assert len(said(it.requests[4])) < len(said(it.requests[3]))
    assert reply.window.decisions[0].code == "over_budget"
    assert (await chat.send("again")).window.limits.budget <= 1200
    assert await states(chat) == ["COMPLETED"] * 5


async def test_an_overflow_that_names_what_no_model_has_teaches_nothing(scene: Make) -> None:
    it = scene(too_long(1), "fine", model="compatible/llama")
    chat = it.client.conversation("c")
    with pytest.raises(ProviderOverflow):
        await chat.send("tea and more tea")
    assert (await chat.retry()).text == "fine"


async def test_a_second_overflow_is_told(scene: Make) -> None:
    it = scene("one", too_long(None), too_long(None), model="compatible/llama")
    chat = it.client.conversation("c", policy=ContextPolicy(summarize=None, recall=None))
    await chat.send("tea and more tea, " * 10)
    with pytest.raises(ProviderOverflow):
        await chat.send("and now?")
    assert len(it.requests) == 3
    assert await states(chat) == ["COMPLETED", "FAILED"]


async def test_an_overflow_after_the_first_words_is_not_repeated(scene: Make) -> None:
    def late(_: Request) -> Delta:
        raise too_long(100)

    it = scene([Delta("some ")], late, model="compatible/llama")
    chat = it.client.conversation("c")
    with pytest.raises(StreamCut):
        await chat.send("hello")
    assert len(it.requests) == 1


async def test_reported_usage_calibrates_the_next_windows(scene: Make) -> None:
    def twice(request: Request) -> Delta:
        counted = 3 + sum(count_message(message) for message in sent(request))
        return Delta("fine", finish_reason="stop", usage=Usage(2 * counted, 1))

    it = scene(*[twice] * 6)
    chat = it.client.conversation("c")
    before = (await chat.send("tea")).window.limits.scale
    for _ in range(4):
        await chat.send("tea and more tea, " * 80)
    after = (await chat.window("tea")).limits.scale
    assert before == pytest.approx(1.15)
    assert after == pytest.approx(2 * 1.05, rel=0.02)


async def test_what_was_learned_outlasts_the_client(tmp_path: Path, scene: Make) -> None:
    store = f"sqlite:///{tmp_path}/chats.db"
    it = scene(too_long(2000), store=store, model="compatible/llama")
    with pytest.raises(ProviderOverflow):
        await it.client.conversation("c").send("hello")
    await it.client.close()
    window = await scene(store=store, model="compatible/llama").client.conversation("c").window("tea")
    assert window.limits.budget <= 2000
