"""Do messages that were spoken elsewhere become the turns they were?"""

from __future__ import annotations

from typing import Any

import pytest
from tests.scene import TOOLS, Make, call_of, calls, said, sent, states, stored

from multiturn import (
    ConversationNotFound,
    Image,
    InputInvalid,
    MessageInvalid,
    Text,
    ToolResultsIncomplete,
)

ASKED = {"role": "assistant", "content": None, "tool_calls": [call_of("c1")]}


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
