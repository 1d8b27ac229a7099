"""A conversation in the hand: what is sent, stored, found again, changed and left out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.scene import TOOLS, Make, call_of, calls, said, sent, states, stored

from multiturn import (
    AsyncMultiTurn,
    AsyncStream,
    ContextPolicy,
    ConversationNotFound,
    Delta,
    Image,
    InputInvalid,
    Message,
    MessageEmpty,
    MessageInvalid,
    ParameterInvalid,
    ProviderFailed,
    Reply,
    Text,
    ToolResultsIncomplete,
    TurnClosed,
    TurnNotFound,
    TurnState,
    Usage,
)
from multiturn.reply import CallPiece
from multiturn.storage import open_store
from multiturn.storage.sqlite import SQLiteStore

ASKED = {"role": "assistant", "content": None, "tool_calls": [call_of("c1")]}

# ---------------------------------------------------------------------------------------- sending


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


# --------------------------------------------------------------------------------------- branches


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


@pytest.mark.parametrize("wanted", [0, 3, -1, "turn_x", "turn_01JCXV3Q8Z0000000000000000_0_1"])
async def test_a_turn_that_is_not_there_is_named(scene: Make, wanted: int | str) -> None:
    it = scene("A", "B")
    chat = it.client.conversation("c")
    await chat.send("a")
    await chat.send("b")
    for attempt in (
        lambda: chat.edit(wanted, "x"),
        lambda: chat.regenerate(wanted),
        lambda: chat.pin(wanted),
        lambda: chat.ledger(wanted),
        lambda: chat.retract(wanted, "why"),
    ):
        with pytest.raises(TurnNotFound) as raised:
            await attempt()
        assert str(wanted) in str(raised.value)
    assert len(await chat.branches()) == 1
    assert len(it.requests) == 2
    assert not any(turn.traits for turn in await chat.turns())


async def test_an_id_means_its_own_branch_and_conversation(scene: Make) -> None:
    it = scene("A", "B", "B2", "B3", "other", "next")
    chat = it.client.conversation("c")
    await chat.send("a")
    first = await chat.send("b")
    second = await chat.edit(2, "b2")
    await chat.pin(first.turn.id)
    assert not any(turn.traits for turn in await chat.turns()), "the turn with its number here is another one"
    assert (await chat.ledger(first.turn)) == first.window.ledger
    assert (await chat.ledger(second.turn)) == second.window.ledger
    await chat.regenerate(first.turn)
    assert said(it.requests[3]) == ["a", "A", "b"]
    elsewhere = it.client.conversation("d")
    strange = await elsewhere.send("x")
    with pytest.raises(TurnNotFound):
        await chat.pin(strange.turn)
    with pytest.raises(TurnNotFound):
        await chat.switch(strange.turn)
    with pytest.raises(TurnNotFound):
        await chat.exclude((await elsewhere.history())[0])


async def test_a_branch_aside_leaves_the_conversation_where_it_is(scene: Make) -> None:
    it = scene("A", "B", "aside", "C", "edited")
    chat = it.client.conversation("c")
    await chat.send("a")
    await chat.send("b")
    aside = await chat.branch(1)
    await aside.send("x")
    await chat.send("c")
    assert said(it.requests[2]) == ["a", "A", "x"]
    assert said(it.requests[3]) == ["a", "A", "b", "B", "c"]
    assert [m.text for m in await aside.history()] == ["a", "A", "x", "aside"]
    await aside.edit(2, "y")
    assert [m.text for m in await aside.history()] == ["a", "A", "y", "edited"]


# -------------------------------------------------------------- pinning, leaving out, taking back


async def test_what_is_pinned_stays_in_every_window(scene: Make) -> None:
    it = scene(*"ABCDEF")
    chat = it.client.conversation("c", policy=ContextPolicy.last_turns(1))
    first = await chat.send("a")
    for text in "bc":
        await chat.send(text)
    await chat.pin(first.turn)
    assert [m["content"] for m in (await chat.window("d")).messages] == ["a", "A", "c", "C", "d"]
    await chat.unpin(1)
    assert [m["content"] for m in (await chat.window("d")).messages] == ["c", "C", "d"]


async def test_what_is_left_out_by_hand_comes_back_by_hand(scene: Make) -> None:
    it = scene("A", "B", "C")
    chat = it.client.conversation("c")
    await chat.send("a")
    await chat.send("b")
    history = await chat.history()
    await chat.exclude(history[3])
    assert [m["content"] for m in (await chat.window("c")).messages] == ["a", "A", "b\n\nc"]
    await chat.exclude(1)
    assert [m["content"] for m in (await chat.window("c")).messages] == ["b\n\nc"]
    await chat.include(1)
    await chat.include(history[3].id)
    assert [m["content"] for m in (await chat.window("c")).messages] == ["a", "A", "b", "B", "c"]
    assert len(await chat.history()) == 4
    with pytest.raises(TurnNotFound):
        await chat.exclude("nobody")


async def test_a_withdrawn_turn_is_never_sent_and_keeps_the_reason(scene: Make) -> None:
    it = scene("A", "B")
    chat = it.client.conversation("c")
    await chat.send("a")
    await chat.send("b")
    await chat.retract(1, "sent by mistake")
    assert [m["content"] for m in (await chat.window("c")).messages] == ["b", "B", "c"]
    assert (await chat.turns())[0].reason == "sent by mistake"
    assert [m.text for m in await chat.history()] == ["a", "A", "b", "B"]


# ----------------------------------------------------------------------------------------- adding


async def test_what_was_said_elsewhere_is_taken_in(scene: Make) -> None:
    it = scene("27.")
    chat = it.client.conversation("c")
    told = await chat.add(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "I am 27.", "name": "ada", "created_at": 1.5, "id": "m-1"},
            {"role": "assistant", "content": "Noted.", "model": "kimi/kimi-k2.6"},
            {"role": "user", "content": "And?"},
            {"role": "assistant", "content": None, "tool_calls": [call_of("c1")], "refusal": None},
            {"role": "tool", "tool_call_id": "c1", "content": "sun"},
            {"role": "assistant", "content": "Sunny.", "audio": None, "function_call": None},
        ]
    )
    assert [m.role for m in told] == ["user", "assistant", "user", "assistant", "tool", "assistant"]
    assert (told[0].id, told[0].created_at, told[0].name) == ("m-1", 1.5, "ada")
    assert told[1].model == "kimi/kimi-k2.6"
    assert told[1].id.startswith("msg_")
    assert await states(chat) == ["COMPLETED", "COMPLETED"]
    await chat.send("How old am I?")
    messages = sent(it.requests[0])
    assert messages[0] == {"role": "system", "content": "Be brief."}
    assert [m["role"] for m in messages] == [
        "system", "user", "assistant", "user", "assistant", "tool", "assistant", "user",
    ]  # fmt: skip
    await chat.exclude("m-1")
    assert "I am 27." not in str((await chat.window("x")).messages)


@pytest.mark.parametrize(
    "messages",
    [
        "hello",
        {"role": "user", "content": "hello"},
        [{"role": "nobody", "content": "x"}],
        [{"content": "x"}],
        [{"role": "user", "content": "fine"}, {"role": "user", "content": float("nan")}],
        [{"role": "tool", "content": "x"}],
        [{"role": "tool", "tool_call_id": "c1", "content": "x"}],
        [{"role": "user", "content": "x"}, {"role": "tool", "tool_call_id": "c1", "content": "x"}],
        [ASKED, {"role": "tool", "tool_call_id": "c2", "content": "x"}],
        [ASKED, {"role": "user", "content": "x"}, {"role": "tool", "tool_call_id": "c1", "content": "x"}],
        [{"role": "assistant", "content": None, "tool_calls": [{"id": "x"}]}],
        [{"role": "user", "content": "x", "created_at": "yesterday"}],
        [None],
    ],
)
async def test_what_is_no_list_of_messages_is_not_taken_in(scene: Make, messages: Any) -> None:
    it = scene("fine")
    chat = it.client.conversation("c")
    with pytest.raises(InputInvalid) as raised:
        await chat.add(messages)
    assert "Nothing was stored" in str(raised.value)
    assert await stored(chat) == 0


async def test_a_result_may_answer_the_newest_turn_that_is_stored(scene: Make) -> None:
    it = scene(calls("c1"))
    chat = it.client.conversation("c")
    await chat.send("Weather?", tools=TOOLS)
    with pytest.raises(MessageInvalid, match="answers the call c2, which no assistant message before it"):
        await chat.add([{"role": "tool", "tool_call_id": "c2", "content": "sun"}])
    await chat.add(
        [{"role": "tool", "tool_call_id": "c1", "content": None}, {"role": "assistant", "content": "Sunny."}]
    )
    assert await states(chat) == ["COMPLETED"]
    window = await chat.window("And now?")
    assert [message["content"] for message in window.messages] == [
        "Weather?",
        None,
        "(empty)",
        "Sunny.",
        "And now?",
    ]
    await chat.add([{"role": "user", "content": "a new turn"}])
    with pytest.raises(MessageInvalid):
        await chat.add([{"role": "tool", "tool_call_id": "c1", "content": "late"}])


async def test_what_is_added_on_a_branch_stays_there(scene: Make) -> None:
    it = scene()
    chat = it.client.conversation("c")
    await chat.add([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])
    aside = await chat.branch(1)
    await aside.add([{"role": "user", "content": "c"}])
    assert [m.text for m in await chat.history()] == ["a", "b"]
    assert [m.text for m in await aside.history()] == ["a", "c"]


async def test_instructions_that_say_nothing_are_none(scene: Make) -> None:
    it = scene("fine", "fine", "fine")
    blank = {"role": "system", "content": " "}
    await it.client.conversation("a", system="  ").send("x")
    await it.client.conversation("b", system=[blank, {"role": "developer", "content": "y"}]).send("x")
    chat = it.client.conversation("c")
    await chat.add([blank, {"role": "system", "content": "y"}, {"role": "user", "content": "x"}])
    await chat.send("x")
    assert [said(request) for request in it.requests] == [["x"], ["y", "x"], ["y", "x\n\nx"]]
    for name, known in (("a", 0), ("b", 1), ("c", 1)):
        assert len((await it.client.conversation(name).info()).settings.instructions) == known


async def test_a_conversation_that_is_not_there_is_not_repeated(scene: Make) -> None:
    it = scene("never")
    with pytest.raises(ConversationNotFound, match="no conversation nope"):
        await it.client.conversation("nope").retry()
    assert await it.client.conversations() == []
    assert it.requests == []


async def test_messages_go_from_one_conversation_to_another(scene: Make) -> None:
    it = scene("A", "B", calls("c1"), "Sunny.", model="qwen/qwen3-vl-plus")
    chat = it.client.conversation("c")
    await chat.send("a")
    await chat.send([Text("b"), Image("https://example.org/b.png")])
    await chat.send("Weather?", tools=TOOLS)
    await chat.send(tool_results={"c1": "sun"})
    copy = it.client.conversation("d")
    await copy.add(await chat.history())
    assert (await copy.window("x")).body == (await chat.window("x")).body


# ---------------------------------------------------------------------------------- usage, export


@pytest.mark.parametrize(
    ("text", "k", "field"),
    [
        ("", 1, "text"),
        (" \n", 1, "text"),
        (None, 1, "text"),
        (27, 1, "text"),
        ("tea", 0, "k"),
        ("tea", "3", "k"),
    ],
)
async def test_what_cannot_be_looked_for_is_named(scene: Make, text: Any, k: Any, field: str) -> None:
    chat = scene("Yes.").client.conversation("c")
    await chat.send("I like tea.")
    with pytest.raises(ParameterInvalid, match=f"parameter {field} is wrong"):
        await chat.recall(text, k)


async def test_usage_is_added_up_and_estimated_where_nobody_tells(scene: Make) -> None:
    it = scene(Delta("one", finish_reason="stop", usage=Usage(100, 10)), Delta("two", finish_reason="stop"))
    chat = it.client.conversation("c")
    await chat.send("a")
    second = await chat.send("b")
    assert second.usage is not None
    assert second.usage.estimated
    assert second.usage.output > 0
    assert second.usage.input > 5
    spent = await chat.usage()
    assert (spent.calls, spent.turns, spent.usage.estimated) == (2, 2, True)
    assert spent.usage.input == 100 + second.usage.input
    assert spent.costs[0].estimated


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


async def test_deleting_removes_everything(scene: Make) -> None:
    it = scene("A", "B")
    chat = it.client.conversation("c", system="Be brief.")
    await chat.send("a")
    await chat.delete()
    with pytest.raises(ConversationNotFound):
        await chat.history()
    assert await it.client.search("a") == []
    assert await it.client.conversations() == []
    await chat.send("b")
    assert said(it.requests[1]) == ["Be brief.", "b"]
    assert await states(chat) == ["COMPLETED"]


async def test_history_and_turns_are_read_in_pieces(scene: Make) -> None:
    it = scene(*"ABCDE")
    chat = it.client.conversation("c")
    for text in "abcde":
        await chat.send(text)
    assert [m.text for m in await chat.history(after=1, limit=2)] == ["b", "B", "c", "C"]
    assert [t.number for t in await chat.turns(limit=2)] == [4, 5]
    assert isinstance((await chat.history())[0], Message)


async def test_a_store_of_ones_own_is_used() -> None:
    store = open_store(":memory:")
    assert isinstance(store, SQLiteStore)
    async with AsyncMultiTurn(model="demo", store=store) as client:
        await client.conversation("c").send("I am 27.")
        assert len(await store.conversations(client.conversation("c")._place.owner)) == 1


async def test_what_has_no_turn_says_so(scene: Make) -> None:
    chat = scene().client.conversation("c", opening="Hello!")
    await chat.add([])
    for attempt in (chat.regenerate, chat.ledger, lambda: chat.exclude("opening")):
        with pytest.raises(TurnNotFound):
            await attempt()
    await chat.add([{"role": "assistant", "content": "I open."}, "a", {"role": "assistant", "content": "b"}])
    with pytest.raises(TurnNotFound):
        await chat.ledger(2)
    with pytest.raises(TurnNotFound):
        await chat.exclude(1)
    await chat.exclude((await chat.history())[1])
    assert [m["content"] for m in (await chat.window("c")).messages] == ["Hello!", "a", "b", "c"]


async def test_instructions_that_are_added_later_stay_where_they_are(scene: Make) -> None:
    it = scene(model="openai/gpt-4o")
    chat = it.client.conversation("c")
    await chat.add(["a", {"role": "assistant", "content": "b"}])
    await chat.add([{"role": "system", "content": "Be brief."}, "c", {"role": "assistant", "content": "d"}])
    assert [m["content"] for m in (await chat.window("e")).messages] == ["a", "b", "Be brief.", "c", "d", "e"]
    other = it.client.conversation("d", system="Mine.")
    await other.add([{"role": "system", "content": "Theirs."}, "a"])
    assert [m["content"] for m in (await other.window("e")).messages][:2] == ["Mine.", "Theirs."]


async def test_instructions_that_are_added_may_stay_messages(scene: Make) -> None:
    it = scene("ok", model="openai/gpt-4o")
    chat = it.client.conversation("c")
    with pytest.raises(ConversationNotFound):
        await chat.add(["a"], make=False)
    await chat.add([{"role": "system", "content": "Be brief."}, "a"], instructions=False)
    assert [message.text for message in await chat.history()] == ["Be brief.", "a"]
    assert (await chat.info()).settings.instructions == ()
    await chat.add([{"role": "assistant", "content": "b"}], make=False)
    await chat.send("c")
    assert said(it.requests[0]) == ["Be brief.", "a", "b", "c"]


async def test_results_of_calls_that_were_added_go_on_with_them(scene: Make) -> None:
    it = scene("sunny")
    chat = it.client.conversation("c")
    await chat.add(["weather?", ASKED])
    assert await states(chat) == ["WAITING"]
    with pytest.raises(ToolResultsIncomplete):
        await chat.send(tool_results={})
    assert (await chat.send(tool_results={"c1": "sun"})).text == "sunny"
    assert [message["role"] for message in sent(it.requests[0])] == ["user", "assistant", "tool"]
    assert await states(chat) == ["COMPLETED"]


# ---------------------------------------------------------------------------------- deleted for good


async def test_what_is_erased_is_gone_with_what_belongs_to_it(scene: Make) -> None:
    it = scene("A", calls("c1", text="I look"), "sunny", "B", "C")
    chat = it.client.conversation("c")
    await chat.send("my code is 4711")
    await chat.send("weather?", tools=TOOLS)
    await chat.send(tool_results={"c1": "sun"})
    history = await chat.history()
    await chat.erase(history[3])
    assert [message.text for message in await chat.history()] == ["my code is 4711", "A", "weather?", "sunny"]
    await chat.erase(1)
    assert [message.text for message in await chat.history()] == ["A", "weather?", "sunny"]
    assert await it.client.search("4711") == []
    assert "4711" not in await chat.export()
    await chat.send("more")
    assert said(it.requests[-1]) == ["weather?", "sunny", "more"]
    assert (await chat.ledger()).spans[0].code == "excluded_by_user"
    await chat.erase(history[-1].id)
    for wrong in (99, "msg_1", history[0].id.replace("_1_0", "_1_7")):
        with pytest.raises(TurnNotFound):
            await chat.erase(wrong)
    await chat.send("last")
    assert said(it.requests[-1])[-2:] == ["B", "last"]


# ------------------------------------------------------------------------------ metadata, time to live


async def test_what_is_noted_on_a_conversation_finds_it(scene: Make) -> None:
    it = scene("ok", config=None)
    chat = it.client.conversation("c", metadata={"order": "7"}, expires_after=60)
    await chat.send("a")
    await it.client.conversation("d").add(["b"])
    assert (await chat.info()).metadata == {"order": "7"}
    assert (await chat.info()).expires_after == 60
    assert [one.id for one in await it.client.conversations(metadata={"order": "7"})] == ["c"]
    assert [one.id for one in await it.client.conversations(oldest=True)] == ["c", "d"]
    assert [one.id for one in await it.client.conversations(after="c")] == ["d"]
    assert (await chat.update(metadata={"order": "8"})).metadata == {"order": "8"}
    assert (await chat.update(expires_after=0)).expires_after is None
    assert (await chat.info()).metadata == {"order": "8"}
    await it.client.conversation("c", metadata={"order": "9"}, expires_after=1).add(["more"])
    assert ((await chat.info()).metadata, (await chat.info()).expires_after) == ({"order": "8"}, None)
    with pytest.raises(ConversationNotFound):
        await it.client.conversation("e").update(metadata={})


@pytest.mark.parametrize(
    "given",
    [
        {"metadata": {"a": 1}},
        {"metadata": {1: "a"}},
        {"metadata": "a"},
        {"metadata": {"a" * 65: ""}},
        {"metadata": {"a": "b" * 513}},
        {"metadata": {"a": "\ud800"}},
        {"metadata": {str(n): "" for n in range(17)}},
        {"expires_after": -1},
        {"expires_after": float("nan")},
        {"expires_after": True},
        {"expires_after": "60"},
        {"expires_after": 1e12},
    ],
)
async def test_what_cannot_be_noted_is_refused(scene: Make, given: Any) -> None:
    it = scene("ok")
    with pytest.raises(ParameterInvalid) as refused:
        it.client.conversation("c", **given)
    assert refused.value.figures["name"] in given
    chat = it.client.conversation("c")
    await chat.add(["a"])
    with pytest.raises(ParameterInvalid):
        await chat.update(**given)
    if "metadata" in given:
        with pytest.raises(ParameterInvalid):
            await it.client.conversations(**given)
    assert ((await chat.info()).metadata, (await chat.info()).expires_after) == ({}, None)


async def test_a_conversation_whose_time_is_over_begins_anew(scene: Make) -> None:
    it = scene("one", "two")
    chat = it.client.conversation("c", expires_after=0.05)
    await chat.add(["a"])
    await asyncio.sleep(0.1)
    with pytest.raises(ConversationNotFound):
        await chat.history()
    assert await it.client.sweep() == 1
    assert await it.client.sweep() == 0
    await it.client.conversation("c", expires_after=60).send("b")
    assert said(it.requests[0]) == ["b"]


# ------------------------------------------------------------------------------ whole messages


async def through(stream: AsyncStream) -> Reply:
    async with stream:
        async for _ in stream:
            pass
    return stream.reply


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


async def test_a_dry_run_may_be_made_of_whole_messages(scene: Make) -> None:
    chat = scene("fine").client.conversation()
    await chat.send("one")
    window = await chat.window(
        messages=[{"role": "user", "content": "two"}, {"role": "user", "content": "three"}]
    )
    assert [each["content"] for each in window.messages][:2] == ["one", "fine"]
    assert "three" in str(window.messages[-1]["content"])
    assert await stored(chat) == 2
