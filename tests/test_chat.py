"""A conversation in the hand: what is sent, answered, edited and answered anew."""

from __future__ import annotations

from typing import Any

import pytest
from tests.scene import TOOLS, Make, calls, said, sent, states, stored

from multiturn import (
    AsyncMultiTurn,
    AsyncStream,
    ContextPolicy,
    ConversationNotFound,
    Delta,
    Image,
    MessageEmpty,
    MessageInvalid,
    ProviderFailed,
    Reply,
    Text,
    ToolResultsIncomplete,
    TurnClosed,
    TurnState,
    Usage,
)
from multiturn.reply import CallPiece
from multiturn.storage import open_store
from multiturn.storage.sqlite import SQLiteStore


async def test_a_reply_tells_what_was_said_spent_and_seen(scene: Make) -> None:
    answer = Delta("27.", "he said so", finish_reason="stop", usage=Usage(1000, 50), response_id="r-1")
    it = scene(answer)
    reply = await it.client.conversation("c", system="Be brief.").send("How old am I?", temperature=0.2)
    assert (reply.text, reply.reasoning, reply.finish_reason) == ("27.", "he said so", "stop")
    assert (reply.usage, reply.model) == (Usage(1000, 50), "qwen/qwen-plus")
    assert reply.cost is not None
    assert reply.cost.amount > 0
    assert not reply.cost.estimated
    assert reply.window.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How old am I?"},
    ]
    assert reply.turn.state is TurnState.COMPLETED
    assert reply.turn.usage == Usage(1000, 50)
    assert it.requests[0].params == {"temperature": 0.2}


async def test_each_window_goes_on_where_the_last_one_ended(scene: Make) -> None:
    it = scene("one", "two", "three")
    chat = it.client.conversation("c", system="Be brief.")
    for text in ("a", "b", "c"):
        await chat.send(text)
    assert said(it.requests[2]) == ["Be brief.", "a", "one", "b", "two", "c"]
    assert it.requests[2].body.startswith(it.requests[1].body[:-1])


async def test_a_handle_does_nothing_by_itself(scene: Make) -> None:
    it = scene()
    chat = it.client.conversation("c", user="ada", system="Be brief.")
    assert chat.id == "c"
    assert "c" in repr(chat)
    chat.stream("hello")
    chat.prepare("hello")
    assert await it.client.conversations(user="ada") == []
    assert it.requests == []


async def test_parts_are_sent_and_come_back_as_parts(scene: Make) -> None:
    it = scene("a cat")
    chat = it.client.conversation("c", model="qwen/qwen3-vl-plus")
    await chat.send([Text("What is this?"), Image("https://example.org/cat.png")])
    assert sent(it.requests[0])[0]["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}},
    ]
    assert (await chat.history())[0].parts == (Text("What is this?"), Image("https://example.org/cat.png"))


async def test_what_a_model_refuses_is_not_sent_to_a_relay_of_it_either(scene: Make) -> None:
    for model in ("kimi/kimi-k2.6", "zhizengzeng/kimi-k2.6"):
        it = scene("fine", model=model)
        await it.client.conversation("c").send("x", temperature=0.5, seed=7)
        assert it.requests[0].params.keys() - {"prompt_cache_key"} == {"seed"}


async def through(stream: AsyncStream) -> Reply:
    async with stream:
        async for _ in stream:
            pass
    return stream.reply


async def test_what_only_one_provider_knows_is_passed_through(scene: Make) -> None:
    it = scene("x")
    await it.client.conversation().send("a", params={"enable_thinking": True, "top_k": 3}, stop=["."], seed=7)
    assert it.requests[0].params == {"enable_thinking": True, "top_k": 3, "stop": ["."], "seed": 7}


@pytest.mark.parametrize("method", ["send", "stream", "prepare", "retry", "edit", "regenerate"])
async def test_a_misspelt_keyword_is_a_type_error(scene: Make, method: str) -> None:
    it = scene("first")
    chat = it.client.conversation("c")
    await chat.send("a")
    arguments: dict[str, tuple[object, ...]] = {"edit": (1, "b"), "retry": (), "regenerate": ()}

    async def misspelt() -> None:
        await getattr(chat, method)(*arguments.get(method, ("a",)), temprature=1)

    with pytest.raises(TypeError, match="temprature"):
        await misspelt()
    assert len(it.requests) == 1
    assert await states(chat) == ["COMPLETED"]


async def test_edit_and_regenerate_make_branches_that_share_what_came_before(scene: Make) -> None:
    it = scene("A", "B", "C", "B2", "B3")
    chat = it.client.conversation("c")
    for text in ("a", "b", "c"):
        await chat.send(text)
    old = await chat.turns()
    reply = await chat.edit(2, "b!")
    assert reply.text == "B2"
    assert said(it.requests[3]) == ["a", "A", "b!"]
    assert [m.text for m in await chat.history()] == ["a", "A", "b!", "B2"]
    await chat.regenerate()
    assert said(it.requests[4]) == ["a", "A", "b!"]
    assert [m.text for m in await chat.history()] == ["a", "A", "b!", "B3"]
    branches = [(b.number, b.fork, b.turns, b.in_use) for b in await chat.branches()]
    assert branches == [(0, 0, 3, False), (1, 1, 2, False), (2, 1, 2, True)]
    await chat.switch(old[2])
    assert [m.text for m in await chat.history()] == ["a", "A", "b", "B", "c", "C"]
    await chat.switch((await chat.branches())[1])
    assert [m.text for m in await chat.history()] == ["a", "A", "b!", "B2"]


async def test_an_input_answered_anew_costs_what_it_did_and_is_sent_though_it_was_left_out(
    scene: Make,
) -> None:
    it = scene(*["Noted."] * 17, model="qwen/qwen-plus", policy=ContextPolicy(budget=700, summarize=None))
    chat = it.client.conversation("c")
    await chat.send("The locker code is 48213, remember it.")
    for day in range(12):
        await chat.send(f"Day {day}: " + "water garden tree " * 14)
    first = await chat.send("What was the locker code?")
    assert first.window.recalled, "it was recalled for the input"
    second = await chat.regenerate()
    assert it.requests[-1].body == it.requests[-2].body
    assert (second.turn.tokens, second.window.tokens) == (first.turn.tokens, first.window.tokens)
    await chat.exclude(second.turn)
    third = await chat.regenerate(second.turn)
    assert it.requests[-1].body == it.requests[-2].body
    assert (third.turn.tokens, third.turn.traits) == (first.turn.tokens, first.turn.traits)
    forgetful = it.client.conversation("c", policy=ContextPolicy(budget=700, summarize=None, recall=None))
    last = await forgetful.regenerate(first.turn)
    assert last.turn.traits == 0
    assert last.turn.tokens < first.turn.tokens


async def test_the_turn_that_goes_on_is_sent_though_it_was_left_out(scene: Make) -> None:
    it = scene(calls("a"), "A", ProviderFailed("out of order"), "B", "C")
    chat = it.client.conversation("c")
    reply = await chat.send("a", tools=TOOLS)
    await chat.exclude(reply.turn)
    await chat.send(tool_results={"a": "sunny"})
    assert said(it.requests[1]) == ["a", None, "sunny"]
    with pytest.raises(ProviderFailed):
        await chat.send("b")
    await chat.exclude(2)
    again = await chat.retry()
    assert said(it.requests[3]) == ["b"]
    assert [span.code for span in again.window.spans if span.sent] == ["new"]
    await chat.send("c")
    assert said(it.requests[4]) == ["c"], "it is left out of later windows all the same"


async def test_an_earlier_turn_is_answered_anew(scene: Make) -> None:
    it = scene("A", "B", "A2")
    chat = it.client.conversation("c", system="Be brief.", model="qwen/qwen3-vl-plus")
    await chat.send("a")
    await chat.send([Text("b"), Image("https://example.org/b.png")])
    reply = await chat.regenerate(1)
    assert reply.text == "A2"
    assert said(it.requests[2]) == ["Be brief.", "a"]
    assert [m.text for m in await chat.history()] == ["a", "A2"]


async def test_a_conversation_that_is_not_there_is_not_repeated(scene: Make) -> None:
    it = scene("never")
    with pytest.raises(ConversationNotFound, match="no conversation nope"):
        await it.client.conversation("nope").retry()
    assert await it.client.conversations() == []
    assert it.requests == []


async def test_calls_without_words_are_estimated_too(scene: Make) -> None:
    it = scene(
        Delta(calls=(CallPiece(0, "c1", "weather", '{"city": "Lisbon"}'),), finish_reason="tool_calls")
    )
    reply = await it.client.conversation("c").send("Weather?", tools=TOOLS)
    assert reply.usage is not None
    assert reply.usage.estimated
    assert reply.usage.output > 3


async def test_an_empty_answer_leaves_no_empty_message(scene: Make) -> None:
    it = scene(Delta(finish_reason="stop"), Delta(" \n", finish_reason="stop"), "fine")
    chat = it.client.conversation("c")
    assert (await chat.send("a")).text == ""
    await chat.send("b")
    assert [m.role for m in await chat.history()] == ["user", "user"]
    assert (await chat.send("c")).text == "fine"


async def test_a_refusal_is_kept(scene: Make) -> None:
    it = scene(Delta(finish_reason="stop", extra={"refusal": "I cannot help with that."}))
    chat = it.client.conversation("c", model="openai/gpt-5.4-mini")
    await chat.send("a")
    assert (await chat.history())[1].extra == {"refusal": "I cannot help with that."}


async def test_an_answer_cut_by_the_filter_is_left_out_next_time(scene: Make) -> None:
    it = scene(Delta("bad wo", finish_reason="content_filter"), "fine")
    chat = it.client.conversation("c")
    reply = await chat.send("a")
    assert reply.finish_reason == "content_filter"
    assert reply.turn.state is TurnState.COMPLETED
    await chat.send("b")
    assert said(it.requests[1]) == ["b"]
    assert [span.code for span in (await chat.ledger()).spans] == ["moderated", "new"]


async def test_a_store_of_ones_own_is_used() -> None:
    store = open_store(":memory:")
    assert isinstance(store, SQLiteStore)
    async with AsyncMultiTurn(model="demo", store=store) as client:
        await client.conversation("c").send("I am 27.")
        assert len(await store.conversations(client.conversation("c")._place.owner)) == 1


async def test_a_turn_may_be_made_of_whole_messages(scene: Make) -> None:
    one = scene("fine")
    chat = one.client.conversation()
    messages = [{"role": "user", "content": "one"}, {"role": "system", "content": "Be brief."}]
    reply = await through(chat.turn([*messages, {"role": "user", "content": "two"}]))
    assert (reply.text, reply.turn.number) == ("fine", 1)
    assert [message.text for message in await chat.history()] == ["one", "Be brief.", "two", "fine"]


async def test_results_in_whole_messages_go_on_with_the_waiting_turn(scene: Make) -> None:
    one = scene(calls("a", "b"), "fine")
    chat = one.client.conversation()
    await chat.send("weather?", tools=TOOLS)
    results = [{"role": "tool", "tool_call_id": each, "content": "sunny"} for each in ("a", "b")]
    with pytest.raises(ToolResultsIncomplete):
        await through(chat.turn(results[:1]))
    stream = chat.turn(results)
    with pytest.raises(TurnClosed):
        _ = stream.turn
    assert (await through(stream)).turn.number == 1
    assert stream.turn.state.name == "COMPLETED"
    assert one.requests[-1].tools == TOOLS


async def test_no_messages_repeat_the_newest_turn(scene: Make) -> None:
    one = scene(ProviderFailed("gone"), "fine")
    chat = one.client.conversation()
    with pytest.raises(ProviderFailed):
        await chat.send("one")
    reply = await through(chat.turn(None))
    assert (reply.text, reply.turn.number) == ("fine", 1)


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([], MessageEmpty),
        ([{"role": "user", "content": " "}], MessageEmpty),
        ([{"role": "system", "content": "Be brief."}], MessageEmpty),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], MessageInvalid),
    ],
)
async def test_what_is_no_input_of_a_turn_is_refused(scene: Make, messages: list[Any], error: type) -> None:
    chat = scene("never").client.conversation()
    with pytest.raises(error):
        await through(chat.turn(messages))
    assert await stored(chat) == 0
