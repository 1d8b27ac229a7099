"""Conversations as files: nothing is lost on the way out, nothing is invented on the way in."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessage
from tests.scene import Make, call_of

from multiturn import (
    AsyncMultiTurn,
    ContextPolicy,
    InputInvalid,
    Message,
    MessageInvalid,
    ParameterInvalid,
    Summary,
)
from multiturn.conversations import Conversation, Owner, Settings
from multiturn.path import MessageRow
from multiturn.sealing import seal
from multiturn.storage import Told
from multiturn.tokens import count_message
from multiturn.transcript import exported, imported

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ODD = [
    "\0",
    "👩‍👩‍👧‍👦",
    "\u200d",
    "\ufeff",
    "\u2028",
    "你好\r\n",
    "\\u0000",
    '"',
    "</s>",
    "e\u0301",
    "\U0010ffff",
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.dictionaries(TEXT.map(lambda name: f"x_{name}"), JSON, max_size=3)
WORDS = TEXT.filter(lambda text: text.strip() != "") | st.sampled_from(ODD[1:2] + ODD[4:])


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    role = draw(st.sampled_from(["user", "assistant", "tool"]))
    words: Any = draw(WORDS)
    if role == "user" and draw(st.booleans()):
        words = [{"type": "text", "text": words, **draw(FIELDS)}, {"type": "odd_part", **draw(FIELDS)}]
    message: dict[str, Any] = {"role": role, "content": words, **draw(FIELDS)}
    if role == "tool":
        message["tool_call_id"] = "call_1"
    if role == "assistant" and draw(st.booleans()):
        message["tool_calls"] = [{**call_of("call_1"), **draw(FIELDS)}]
    if role == "assistant" and draw(st.booleans()):
        message["reasoning_content"] = draw(TEXT)
    return message


@settings(max_examples=200, deadline=None)
@given(st.lists(messages(), min_size=1, max_size=4))
def test_every_message_comes_back_byte_for_byte(given: list[dict[str, Any]]) -> None:
    text = exported("jsonl", conversation(), [told(message, place) for place, message in enumerate(given)])
    ((name, _, found, *_),) = imported(text.encode(), "file")
    assert name == "c"
    for was, now in zip(given, found, strict=True):
        assert now.pop("id").startswith("msg_")
        assert now.pop("created_at") == 2.5
        assert orjson.dumps(now, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
            was, option=orjson.OPT_SORT_KEYS
        )


def told(message: dict[str, Any], place: int) -> Told:
    e = seal(message, count_message)
    row = MessageRow(1, place, e.role, e.traits, e.tokens, e.reasoning_tokens, e.body, e.reasoning, None)
    return Told(row, e.facts, 2.5, f"msg_x_{place}")


def conversation(**given: Any) -> Conversation:
    return Conversation("c", "01", "ada", 1.0, 2.0, Settings(**given), 0, 1, 1, "title")


async def test_the_library_keeps_bytes_as_they_came(scene: Make) -> None:
    it = scene("fine", model="openai/gpt-4o")
    chat = it.client.conversation("c")
    said = [
        *({"role": role, "content": f"a {text} b"} for text in ODD for role in ("user", "assistant")),
        {
            "role": "user",
            "content": [{"type": "text", "text": "alone"}],
            "x_n": [1.5, -0.0, 1e300, (1 << 63) - 1],
        },
    ]
    await chat.add(said)
    found = orjson.loads(await chat.export("openai"))
    assert orjson.dumps(found) == orjson.dumps(said)
    assert [m.text for m in await chat.history()] == [f"a {t} b" for t in ODD for _ in range(2)] + ["alone"]
    await chat.send("next")
    sent = orjson.loads(it.requests[0].body)
    assert orjson.dumps(sent[:-2]) == orjson.dumps(said[:-1])


DEEP: Any = "x"
for _ in range(70):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        1 << 64,
        -(1 << 63) - 1,
        10**5000,
        "\ud83d",
        "a\udc00",
        DEEP,
        object(),
        {1: 2},
        b"x",
        {"x"},
    ],
    ids=range(12),
)
async def test_what_json_would_change_is_refused(scene: Make, value: Any) -> None:
    chat = scene().client.conversation("c")
    for message in (
        {"role": "user", "content": "x", "x_field": value},
        {"role": "user", "content": [{"type": "text", "text": "x", "x_field": value}]},
    ):
        with pytest.raises(MessageInvalid):
            await chat.add([message])


async def test_an_sdks_objects_and_dumps_are_taken(scene: Make) -> None:
    it = scene("fine", model="openai/gpt-4o")
    chat = it.client.conversation("c")
    message = ChatCompletionMessage.model_validate(
        {"role": "assistant", "content": None, "tool_calls": [call_of("call_1")]}
    )
    spoken = ChatCompletionMessage.model_validate(
        {"role": "assistant", "content": "Sunny.", "annotations": []}
    )
    await chat.add(
        ["Weather?", message, {"role": "tool", "tool_call_id": "call_1", "content": "sun"}, spoken]
    )
    await chat.add(
        ["Again?", message.model_dump(), {"role": "tool", "tool_call_id": "call_1", "content": "sun"}]
    )
    await chat.add([spoken.model_dump()])
    history = await chat.history()
    assert [m.role for m in history] == ["user", "assistant", "tool", "assistant"] * 2
    assert all(isinstance(m, Message) for m in history)
    assert len(await chat.turns()) == 2
    await chat.send("x")
    assert b"null" not in it.requests[0].body.replace(b'"content":null', b"")


# -------------------------------------------------------------------------------------- formats


async def test_a_conversation_is_written_in_three_ways(scene: Make) -> None:
    it = scene("27.")
    chat = it.client.conversation("c", system="Be brief.", opening="Hello!")
    await chat.send("I am 27.\nHow old am I?")
    head, *lines = [orjson.loads(line) for line in (await chat.export()).splitlines()]
    assert (head["format"], head["id"], head["opening"]) == ("multiturn/1", "c", "Hello!")
    assert head["instructions"] == [{"role": "system", "content": "Be brief."}]
    assert [line["role"] for line in lines] == ["user", "assistant"]
    assert lines[1]["model"] == "qwen/qwen-plus"
    assert lines[0]["created_at"] > 1e9
    assert [m["content"] for m in orjson.loads(await chat.export("openai"))] == [
        "Be brief.", "Hello!", "I am 27.\nHow old am I?", "27.",
    ]  # fmt: skip
    assert await chat.export("markdown") == (
        "**assistant**\n\nHello!\n\n**user**\n\nI am 27.\nHow old am I?\n\n**assistant**\n\n27.\n"
    )
    with pytest.raises(ParameterInvalid, match="markdown"):
        await chat.export("yaml")  # type: ignore[arg-type]  # wrong on purpose


async def test_summaries_and_what_was_quoted_stand_in_the_head(scene: Make) -> None:
    policy = ContextPolicy(budget=700, summarize=None)
    it = scene(*["Noted."] * 14, model="qwen/qwen-plus", policy=policy)
    chat = it.client.conversation("c", user="ada")
    await chat.send("The locker code is 48213, remember it.")
    for day in range(12):
        await chat.send(f"Day {day}: " + "water garden tree " * 14)
    reply = await chat.send("What was the locker code?")
    assert reply.window.recalled
    for text, model in (("Seven.", "m"), ("Mine.", None)):
        present = await chat.summary()
        summary = Summary(0, 3, text, 2, model)
        await it.client._store.write_summary(
            Owner("", "ada"), "c", summary, present.version if present else None
        )
    texts = (await chat.export(), await it.client.export_user("ada"))
    for head, *lines in ([orjson.loads(line) for line in text.splitlines()] for text in texts):
        assert [one.pop("created_at") > 1e9 for one in head["summaries"]] == [True, True]
        assert head["summaries"] == [
            {"version": 2, "upto": 3, "messages": 6, "text": "Mine.", "tokens": 2, "model": None},
            {"version": 1, "upto": 3, "messages": 6, "text": "Seven.", "tokens": 2, "model": "m"},
        ]
        *_, quoted = head["quotations"]
        assert quoted == {"message": lines[-2]["id"], "text": reply.window.recalled.text.decode()}
        assert "48213" in quoted["text"]
        assert lines[-2]["content"] == "What was the locker code?"


async def test_markdown_shows_words_of_lists_and_results(scene: Make) -> None:
    chat = scene().client.conversation("c")
    await chat.add(
        [
            {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "odd"}]},
            {"role": "assistant", "content": None, "tool_calls": [call_of("c1")]},
            {"role": "tool", "tool_call_id": "c1", "content": "sun"},
        ]
    )
    text = await chat.export("markdown")
    assert "look" in text
    assert "sun" in text


async def test_an_empty_conversation_is_a_head_alone() -> None:
    async with AsyncMultiTurn("demo", ":memory:", environment={}) as client:
        chat = client.conversation("c", system="Be brief.")
        await chat.add([])
        text = await chat.export()
        assert text.count("\n") == 1
        assert imported(text.encode(), "f")[0].messages == []


def test_several_conversations_in_one_file() -> None:
    one, two = (
        exported("jsonl", conversation(), [told({"role": "user", "content": "a"}, 0)]),
        exported("jsonl", replace(conversation(memory="m"), id="d"), []),
    )
    found = imported((one + two).encode(), "f")
    assert [(one.id, len(one.messages)) for one in found] == [("c", 1), ("d", 0)]
    assert found[1].settings["memory"] == "m"


@pytest.mark.parametrize(
    "line",
    [
        '{"role": "user", "content": "x", "content": "y"}',
        '{"role": "user", "content": "x", "n": NaN}',
        '{"role": "user", "content": "x", "n": -Infinity}',
        '{"role": "user", "content": "x", "n": 18446744073709551616}',
        '{"role": "user", "content": "x", "n": ' + "9" * 5000 + "}",
        '{"role": "user", "content": "half \\ud83d"}',
        '{"role": "user", "content": "x", "n": ' + "[" * 70 + "]" * 70 + "}",
        '{"role": "user", "content": "x", "n": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
    ids=range(8),
)
async def test_a_file_that_would_not_survive_is_refused(scene: Make, tmp_path: Path, line: str) -> None:
    it = scene()
    for text in (line, f"[{line}]"):
        (tmp_path / "f.json").write_text(text)
        with pytest.raises(InputInvalid):
            await it.client.load(tmp_path / "f.json")
    assert await it.client.conversations() == []


@pytest.mark.parametrize("text", ["[1]", '{"role"', "x", '{"format": "other"}', "[[]]"])
def test_something_else_is_no_conversation(text: str) -> None:
    with pytest.raises(InputInvalid, match="f"):
        imported(text.encode(), "f")


@pytest.mark.parametrize(
    "summaries",
    [
        "{}",
        "null",
        '["x"]',
        '[{"messages": 2, "text": " ", "model": null}]',
        '[{"messages": 2, "text": 1, "model": null}]',
        '[{"messages": "2", "text": "x", "model": null}]',
        '[{"messages": 2, "text": "x", "model": 1}]',
        '[{"text": "x", "model": null}]',
        '[{"messages": 2, "text": "half \\ud83d", "model": null}]',
    ],
    ids=range(9),
)
def test_what_is_no_summary_is_refused(summaries: str) -> None:
    for more in ("", ', "branch": 1, "after": null'):
        head = f'{{"format": "multiturn/1", "id": "c"{more}, "summaries": {summaries}}}'
        with pytest.raises(InputInvalid):
            imported(f'{{"format": "multiturn/1", "id": "c"}}\n{head}'.encode(), "f")


def test_an_empty_file_holds_nothing() -> None:
    assert imported(b"", "f") == []
    assert imported(b" [ ] ", "f") == [("f", {}, [], [], (), ())]
