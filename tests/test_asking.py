"""What a caller asks for: whatever cannot be used is refused before anything is stored."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from tests.scene import Make, said, states, stored

from multiturn import (
    ContextOverflow,
    ContextPolicy,
    ConversationNotFound,
    InputInvalid,
    MessageEmpty,
    MessageInvalid,
    ParameterInvalid,
    Text,
)
from multiturn.asking import check_metadata

# -------------------------------------------------------------------------------------- bad input


WRONG: list[tuple[object, dict[str, Any], type[InputInvalid], str]] = [
    ("", {}, MessageEmpty, "message_empty"),
    (None, {}, MessageEmpty, "message_empty"),
    (" \n\t", {}, MessageEmpty, "message_empty"),
    ([], {}, MessageEmpty, "message_empty"),
    ([Text("")], {}, MessageEmpty, "message_empty"),
    (5, {}, MessageInvalid, "message_invalid"),
    (b"bytes", {}, MessageInvalid, "message_invalid"),
    ("half \ud83d", {}, MessageInvalid, "message_invalid"),
    ({"role": "assistant", "content": "x"}, {}, MessageInvalid, "message_invalid"),
    ({"role": "tool", "tool_call_id": "x", "content": "x"}, {}, MessageInvalid, "message_invalid"),
    ({"role": "user", "content": "x", "n": float("nan")}, {}, MessageInvalid, "message_invalid"),
    ({"role": "user", "content": "x", "n": 1 << 64}, {}, MessageInvalid, "message_invalid"),
    ({"role": "user", "content": [{"text": "no type"}]}, {}, MessageInvalid, "message_invalid"),
    ("a", {"tool_results": {"call_1": "x"}}, InputInvalid, "input_invalid"),
    (None, {"tool_results": "call_1"}, ParameterInvalid, "parameter_invalid"),
    (None, {"tool_results": {"call_1": object()}}, InputInvalid, "input_invalid"),
    (None, {"tool_results": {"call_1": float("inf")}}, InputInvalid, "input_invalid"),
    ("a", {"on_busy": "wait"}, ParameterInvalid, "parameter_invalid"),
    ("a", {"key": ""}, ParameterInvalid, "parameter_invalid"),
    ("a", {"key": 7}, ParameterInvalid, "parameter_invalid"),
    ("a", {"key": "k" * 513}, ParameterInvalid, "parameter_invalid"),
    ("a", {"context": "today is Monday"}, ParameterInvalid, "parameter_invalid"),
    ("a", {"context": {"role": "user", "content": "x"}}, ParameterInvalid, "parameter_invalid"),
    ("a", {"context": [""]}, ParameterInvalid, "parameter_invalid"),
    ("a", {"context": [{"role": "tool", "tool_call_id": "x", "content": "x"}]}, ParameterInvalid, ""),
    ("a", {"context": [5]}, MessageInvalid, "message_invalid"),
    ("a", {"params": {"messages": []}}, ParameterInvalid, "parameter_invalid"),
    ("a", {"params": ["x"]}, ParameterInvalid, "parameter_invalid"),
    ("a", {"params": {"x": object()}}, ParameterInvalid, "parameter_invalid"),
    ("a", {"params": {"x": "\ud800"}}, ParameterInvalid, "parameter_invalid"),
    ("a", {"seed": 1 << 70}, ParameterInvalid, "parameter_invalid"),
    ("a", {"tools": "weather"}, ParameterInvalid, "parameter_invalid"),
    ("a", {"tools": ["weather"]}, ParameterInvalid, "parameter_invalid"),
    ("a", {"tools": [{"type": "function", "function": {"name": object()}}]}, ParameterInvalid, ""),
    ("a", {"max_tokens": 0}, ParameterInvalid, "parameter_invalid"),
    ("a", {"max_tokens": "many"}, ParameterInvalid, "parameter_invalid"),
    ("a", {"max_completion_tokens": True}, ParameterInvalid, "parameter_invalid"),
]


@pytest.mark.parametrize(("content", "asking", "kind", "code"), WRONG)
async def test_what_cannot_be_used_is_refused_and_nothing_is_stored(
    scene: Make, content: object, asking: dict[str, Any], kind: type[InputInvalid], code: str
) -> None:
    it = scene("fine")
    chat = it.client.conversation("c")
    with pytest.raises(kind) as raised:
        await chat.send(content, **asking)
    assert raised.value.code == (code or "parameter_invalid")
    assert raised.value.turn is None
    assert "Nothing was stored" in str(raised.value)
    assert it.requests == []
    assert await stored(chat) == 0
    assert (await chat.send("and now?")).text == "fine"


async def test_a_message_larger_than_the_window_is_refused_with_the_figures(scene: Make) -> None:
    it = scene("fine")
    chat = it.client.conversation("c", policy=ContextPolicy(budget=100))
    with pytest.raises(ContextOverflow) as raised:
        await chat.send("very long " * 200)
    figures = raised.value.figures
    assert figures["limit"] == 100
    assert int(str(figures["needed"])) > 100
    assert str(figures["needed"]) in str(raised.value)
    assert "100" in str(raised.value)
    assert raised.value.turn is None
    assert await stored(chat) == 0
    assert (await chat.send("short")).text == "fine"


async def test_a_fresh_handle_refuses_by_what_is_stored(scene: Make) -> None:
    it = scene("fine", "again")
    await it.client.conversation("c", policy=ContextPolicy(budget=100)).send("short")
    fresh = it.client.conversation("c")
    with pytest.raises(ContextOverflow) as raised:
        await fresh.send("very long " * 200)
    assert raised.value.turn is None
    assert await states(fresh) == ["COMPLETED"]


async def test_somebody_elses_conversation_is_like_one_that_does_not_exist(scene: Make) -> None:
    it = scene("hello", "never")
    await it.client.conversation("c", user="ada").send("a")
    theirs = it.client.conversation("c", user="bob")
    for attempt in (
        lambda: theirs.send("b"),
        theirs.history,
        theirs.turns,
        lambda: theirs.window("b"),
        lambda: theirs.add(["b"]),
        lambda: theirs.pin(1),
        theirs.usage,
        theirs.export,
        theirs.delete,
        lambda: theirs.branch(1),
        theirs.cancel,
        lambda: theirs.edit(1, "b"),
        theirs.regenerate,
    ):
        with pytest.raises(ConversationNotFound) as raised:
            await attempt()
        assert "c" in str(raised.value)
    assert [m.text for m in await it.client.conversation("c", user="ada").history()] == ["a", "hello"]
    assert len(it.requests) == 1


# ---------------------------------------------------------------------------------------- context


async def test_context_is_sent_before_the_input_and_never_kept(scene: Make) -> None:
    it = scene("one", "two")
    chat = it.client.conversation("c", system="Be brief.")
    await chat.send("a")
    reply = await chat.send(
        "b", context=["It is Monday.", {"role": "system", "content": "Order 42 is late."}]
    )
    assert said(it.requests[1]) == ["Be brief.\n\nOrder 42 is late.", "a", "one", "It is Monday.\n\nb"]
    assert [d.code.value for d in reply.window.decisions].count("context") == 2
    assert [m.text for m in await chat.history()] == ["a", "one", "b", "two"]
    assert "Monday" not in str((await chat.window("c")).messages)


async def test_any_mapping_may_be_a_parameter(scene: Make) -> None:
    it = scene("fine")
    params = MappingProxyType({"thinking": MappingProxyType({"type": "disabled"})})
    await it.client.conversation().send("a", params=params)
    assert it.requests[0].params == {"thinking": {"type": "disabled"}}


def notes(many: int, name: int, text: int) -> dict[str, str]:
    return {f"{number:0>{name}}": "字" * text for number in range(many)}


def test_metadata_is_taken_as_openai_limits_it() -> None:
    assert check_metadata(notes(16, 64, 512)) == notes(16, 64, 512)
    for wrong in (notes(17, 64, 512), notes(1, 65, 512), notes(1, 64, 513)):
        with pytest.raises(ParameterInvalid):
            check_metadata(wrong)
