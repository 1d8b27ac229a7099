"""What is a message, and what is special about one?"""

from __future__ import annotations

import dataclasses

import pytest

from multiturn.messages import (
    MEDIA_KINDS,
    MEDIA_NAMES,
    Image,
    Message,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    Trait,
)

STORED = {
    "TOOL_CALL": 1,
    "TOOL_RESULT": 2,
    "REASONING": 4,
    "IMAGE": 8,
    "AUDIO": 16,
    "VIDEO": 32,
    "FILE": 64,
    "INSTRUCTION": 128,
    "LISTED": 256,
    "BARE": 512,
    "EXTRA": 1024,
    "IRREGULAR": 2048,
    "PINNED": 4096,
    "EXCLUDED": 8192,
    "RETRACTED": 16384,
    "STOPPED": 32768,
    "MODERATED": 65536,
    "OPEN": 131072,
    "QUOTED": 262144,
    "DELETED": 524288,
}


def test_the_bits_are_those_that_stand_in_databases() -> None:
    bits = {name: value for name, value in vars(Trait).items() if name.isupper() and name != "MEDIA"}
    assert bits == STORED


def test_media_is_everything_that_is_not_text() -> None:
    assert Trait.MEDIA == Trait.IMAGE | Trait.AUDIO | Trait.VIDEO | Trait.FILE


def test_every_kind_of_part_is_one_medium() -> None:
    assert all(trait in MEDIA_NAMES for trait in MEDIA_KINDS.values())
    assert "text" not in MEDIA_KINDS


def test_the_words_of_a_message_are_its_texts_and_results_joined() -> None:
    parts = (Reasoning("hm"), Text("你好"), Image("https://x/y.png"), Text("！"), ToolCall("a", "f", "{}"))
    assert Message("assistant", parts).text == "你好！"
    assert Message("tool", (ToolResult("a", "42"),)).text == "42"
    assert Message("user", ()).text == ""


def test_no_reasoning_differs_from_empty_reasoning() -> None:
    assert Message("assistant", (Text("x"),)).reasoning is None
    assert Message("assistant", (Reasoning(""), Text("x"))).reasoning == ""
    assert Message("assistant", (Text("x"), Reasoning("because"))).reasoning == "because"


def test_the_calls_of_a_message_in_their_order() -> None:
    one, other = ToolCall("a", "f", "{}"), ToolCall("b", "g", '{"x":1}')
    assert Message("assistant", (one, Text("and"), other)).tool_calls == (one, other)
    assert Message("assistant", (Text("x"),)).tool_calls == ()


def test_messages_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Message("user", ()).role = "system"  # type: ignore[misc]  # what the test is about
