"""Is what a conversation remembers found again, marked, left out, erased and noted as one says?"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.scene import TOOLS, Make, calls, said, states, stored

from multiturn import (
    ContextPolicy,
    ConversationNotFound,
    Delta,
    Message,
    ParameterInvalid,
    TurnNotFound,
    Usage,
)


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
    assert "code is 4711" not in await chat.export()
    await chat.send("more")
    assert said(it.requests[-1]) == ["weather?", "sunny", "more"]
    assert (await chat.ledger()).spans[0].code == "excluded_by_user"
    await chat.erase(history[-1].id)
    for wrong in (99, "msg_1", history[0].id.replace("_1_0", "_1_7")):
        with pytest.raises(TurnNotFound):
            await chat.erase(wrong)
    await chat.send("last")
    assert said(it.requests[-1])[-2:] == ["B", "last"]


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


async def test_a_dry_run_may_be_made_of_whole_messages(scene: Make) -> None:
    chat = scene("fine").client.conversation()
    await chat.send("one")
    window = await chat.window(
        messages=[{"role": "user", "content": "two"}, {"role": "user", "content": "three"}]
    )
    assert [each["content"] for each in window.messages][:2] == ["one", "fine"]
    assert "three" in str(window.messages[-1]["content"])
    assert await stored(chat) == 2
