"""How does a message look as OpenAI-style JSON? Into a dictionary, and out of one."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import orjson
import pytest
from openai.types.chat import ChatCompletionMessage

from multiturn.errors import MessageInvalid
from multiturn.messages import (
    Audio,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    Video,
)
from multiturn.wire import opened, plain, written


def body(**value: object) -> bytes:
    return orjson.dumps(value)


# ------------------------------------------------------------------------------------ coming in


class Dumped:
    """As the DashScope SDK's objects: a dictionary on request."""

    def to_dict(self) -> dict[str, str]:
        return {"role": "assistant", "content": "好"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("你好", {"role": "user", "content": "你好"}),
        ("", {"role": "user", "content": ""}),
        ({"role": "x", "more": [1]}, {"role": "x", "more": [1]}),
        (OrderedDict(role="user", content="x"), {"role": "user", "content": "x"}),
        (Message("user", (Text("x"),), name="li"), {"role": "user", "content": "x", "name": "li"}),
        (Dumped(), {"role": "assistant", "content": "好"}),
        (
            ["see", Image("https://x/y.png"), {"type": "text", "text": "z"}],
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "see"},
                    {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                    {"type": "text", "text": "z"},
                ],
            },
        ),
    ],
)
def test_whatever_a_message_comes_as_it_becomes_a_dictionary(value: object, expected: object) -> None:
    assert plain(value) == expected


def test_an_sdk_object_is_dumped_with_its_nulls() -> None:
    message = plain(ChatCompletionMessage(role="assistant", content="hi"))
    assert (message["role"], message["content"], message["tool_calls"]) == ("assistant", "hi", None)


def test_the_dictionary_is_a_copy() -> None:
    given = {"role": "user", "content": "x"}
    plain(given)["content"] = "y"
    assert given["content"] == "x"


def test_a_record_brings_its_time_and_model_but_no_id() -> None:
    message = Message("assistant", (Text("x"),), id="msg_1", created_at=5.0, model="qwen/qwen-plus")
    assert plain(message) == {
        "role": "assistant",
        "content": "x",
        "created_at": 5.0,
        "model": "qwen/qwen-plus",
    }


@pytest.mark.parametrize("value", [None, 5, b"bytes", bytearray(b"x"), object(), {"a", "b"}])
def test_what_is_no_message_is_refused(value: object) -> None:
    with pytest.raises(MessageInvalid, match="a message is text, a list of parts"):
        plain(value)


# ------------------------------------------------------------------------------------ going out


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Image("u"), {"type": "image_url", "image_url": {"url": "u"}}),
        (Image("u", "low"), {"type": "image_url", "image_url": {"url": "u", "detail": "low"}}),
        (Audio("d"), {"type": "input_audio", "input_audio": {"data": "d"}}),
        (Audio("d", "mp3"), {"type": "input_audio", "input_audio": {"data": "d", "format": "mp3"}}),
        (Video("u"), {"type": "video_url", "video_url": {"url": "u"}}),
        (Video(frames=("a", "b")), {"type": "video", "video": ["a", "b"]}),
        (File(id="f"), {"type": "file", "file": {"file_id": "f"}}),
        (
            File(data="data:x", name="a.pdf"),
            {"type": "file", "file": {"file_data": "data:x", "filename": "a.pdf"}},
        ),
        (Opaque(b'{"type":"hologram","z":1}'), {"type": "hologram", "z": 1}),
    ],
)
def test_each_part_has_one_form_and_reads_back(part: Part, expected: object) -> None:
    message = Message("user", (Text("see"), part))
    value = written(message)
    assert value["content"] == [{"type": "text", "text": "see"}, expected]
    assert opened(orjson.dumps(value)) == message


def test_text_alone_is_a_string_and_nothing_is_null() -> None:
    assert written(Message("user", (Text("x"),)))["content"] == "x"
    assert written(Message("assistant", ()))["content"] is None


def test_calls_reasoning_and_results_have_their_own_fields() -> None:
    call = ToolCall("a", "f", '{"x": 1}')
    assert written(Message("assistant", (Reasoning("hm"), call))) == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}],
        "reasoning_content": "hm",
    }
    assert written(Message("tool", (ToolResult("a", "42"),))) == {
        "role": "tool",
        "tool_call_id": "a",
        "content": "42",
    }


def test_empty_reasoning_is_written_and_none_is_not() -> None:
    assert written(Message("assistant", (Reasoning(""), Text("x"))))["reasoning_content"] == ""
    assert "reasoning_content" not in written(Message("assistant", (Text("x"),)))


def test_fields_we_do_not_know_stand_where_they_stood() -> None:
    assert written(Message("user", (Text("x"),), extra={"mood": "glad"})) == {
        "role": "user",
        "content": "x",
        "mood": "glad",
    }


def test_what_a_message_is_cannot_be_overwritten_by_other_fields() -> None:
    assert written(Message("user", (Text("x"),), extra={"role": "system", "content": "y", "z": 1})) == {
        "role": "user",
        "content": "x",
        "z": 1,
    }


# --------------------------------------------------------------------------------------- opened


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": "u"}, "min_pixels": 5},
        {"type": "image_url", "image_url": {"url": "u", "fps": 2}},
        {"type": "image_url", "image_url": {"url": "u", "detail": None}},
        {"type": "image_url", "image_url": "u"},
        {"type": "image_url"},
        {"type": "input_audio", "input_audio": {"data": "d", "rate": 8000}},
        {"type": "input_audio", "input_audio": {}},
        {"type": "video_url", "video_url": {"url": "u", "fps": 2}},
        {"type": "video", "video": []},
        {"type": "video", "video": ["a"], "fps": 2},
        {"type": "file", "file": {"file_id": "f", "pages": 2}},
        {"type": "file", "file": {"file_id": None}},
        {"type": "hologram", "z": [1, {"y": None}]},
    ],
    ids=str,
)
def test_a_part_that_no_record_could_say_whole_is_kept_as_it_is(part: dict[str, Any]) -> None:
    message = opened(body(role="user", content=[part]))
    assert message.parts == (Opaque(orjson.dumps(part)),)
    assert written(message)["content"] == [part]


def test_a_message_has_its_facts_where_the_store_knows_less() -> None:
    message = opened(body(role="assistant", content="x"), id="msg_1", created_at=2.0, model="qwen/x")
    assert (message.id, message.created_at, message.model) == ("msg_1", 2.0, "qwen/x")
    told = orjson.dumps({"id": "own", "created_at": 1.0, "model": "kimi/y"})
    message = opened(body(role="user", content="x"), None, told, id="msg_1", created_at=2.0, model="qwen/x")
    assert (message.id, message.created_at, message.model) == ("own", 1.0, "kimi/y")


@pytest.mark.parametrize("role", ["user", "system", "tool"])
def test_only_what_a_model_wrote_has_a_model(role: str) -> None:
    sealed = body(role=role, content="x", tool_call_id="a")
    assert opened(sealed, model="qwen/x").model is None


def test_reasoning_is_a_part_even_where_it_is_empty() -> None:
    sealed = body(role="assistant", content="x")
    assert opened(sealed).parts == (Text("x"),)
    assert opened(sealed, b"").parts == (Reasoning(""), Text("x"))
    assert opened(sealed, "想".encode()).reasoning == "想"


def test_words_of_a_tool_result_are_joined_from_its_parts() -> None:
    parts = [
        {"type": "text", "text": "4"},
        {"type": "image_url", "image_url": {"url": "u"}},
        {"type": "text", "text": "2"},
    ]
    assert opened(body(role="tool", tool_call_id="a", content=parts)).parts == (ToolResult("a", "42"),)
    assert opened(body(role="tool", tool_call_id="a", content=None)).parts == (ToolResult("a", ""),)


def test_silence_has_no_parts() -> None:
    assert opened(body(role="assistant", content="")).parts == ()
    assert opened(body(role="assistant", content=None)).parts == ()
    assert opened(body(role="assistant", tool_calls=[])).parts == ()


def test_what_was_replaced_on_arrival_is_said() -> None:
    sealed = body(role="assistant", content="\ufffd", mood="x")
    assert opened(sealed, None, b'{"text_replaced":true}').extra == {"mood": "x", "text_replaced": True}
    assert opened(sealed).extra == {"mood": "x"}
    assert opened(body(role="user", content="x")).extra is None
