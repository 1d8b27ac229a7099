"""How many tokens is this? An estimate that never shrinks as a text grows."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from multiturn.sealing import seal
from multiturn.tokens import MARGIN, REPLY_OVERHEAD, count_message, count_text, count_tools

texts = st.text() | st.text(alphabet="ab\n\t 1.,好，é👩\u200d", max_size=40)
HEAD = 4
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"北京"}'}}


# ----------------------------------------------------------------------------------------- text


def test_nothing_costs_nothing() -> None:
    assert count_text("") == 0


@given(texts)
def test_something_costs_something(text: str) -> None:
    assert count_text(text) >= (1 if text else 0)


@given(texts, texts)
@example("abc", "defgh")
@example(" ", " ")
@example("\n", "\n")
def test_a_longer_text_never_costs_less_and_never_much_more_than_its_pieces(one: str, other: str) -> None:
    both, pieces = count_text(one + other), count_text(one) + count_text(other)
    assert max(count_text(one), count_text(other)) <= both <= pieces + 2


ASCII = st.text(alphabet=[chr(code) for code in range(128)], max_size=60)


@given(texts | ASCII | st.text(alphabet="abcdefgX 09é好", max_size=60))
@example("\ud83d abcdefghijklmn")
def test_the_estimate_is_what_its_weights_say(text: str) -> None:
    def found(pattern: str) -> int:
        return len("".join(re.findall(pattern, text)))

    runs = 1.04 * len(re.findall("[A-Za-z]+", text)) + 0.62 * len(re.findall("[A-Za-z]{7}", text))
    signs = 1.2 * found("[0-9]") + 0.38 * found(r"[!-/:-@\[-`{-~]")
    blanks = 1.1 * len(re.findall(r"\n+|[ \t]{2,}", text))
    wide = 0.61 * found(r"[\u2e80-\u2fff\u3040-\u9fff\uac00-\ud7ff\uf900-\ufaff]")
    wide += 0.76 * found(r"[\u3000-\u303f\uff00-\uffef\u2010-\u203a]")
    wide += 0.6 * found(r"[\u00a1-\u200f\ufb00-\ufdff\ufe70-\ufeff]")
    known = found(r"[\x00-\x7f\u00a1-\u203a\u2e80-\u2fff\u3000-\u303f\u3040-\u9fff\uac00-\ud7ff]")
    known += found(r"[\uf900-\ufaff\ufb00-\ufdff\ufe70-\ufeff\uff00-\uffef]")
    exact = runs + signs + blanks + wide + 2.3 * (len(text) - known)
    assert abs(count_text(text) - exact) <= 1.01


@given(texts)
def test_the_estimate_grows_with_the_text(text: str) -> None:
    many = count_text((text + ".") * 100)
    assert many >= 38 + 99 * (count_text(text) - 1)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("你好，我今年 27 岁。", 8),
        ("hello", 2),
        ("a" * 14, 3),
        ("2026", 5),
        ("好" * 99, 61),
        ("，" * 99, 76),
        ("é" * 99, 60),
        ("👍" * 99, 228),
        ("()" * 49, 38),
        ("a  b\n\n\nc", 6),
        ("\x80" * 11, 26),
    ],
    ids=lambda value: str(value)[:8].encode("unicode_escape").decode(),
)
def test_each_script_has_its_weight(text: str, tokens: int) -> None:
    assert count_text(text) == tokens


# -------------------------------------------------------------------------------------- messages


@given(texts)
def test_a_message_costs_its_words_and_its_frame(text: str) -> None:
    assert count_message({"role": "user", "content": text}) == HEAD + count_text(text)


@pytest.mark.parametrize("content", [None, "", []])
def test_silence_costs_the_frame(content: object) -> None:
    assert count_message({"role": "assistant", "content": content}) == HEAD


def test_calls_cost_their_name_and_arguments() -> None:
    plain = count_message({"role": "assistant", "content": None})
    assert count_message({"role": "assistant", "content": None, "tool_calls": [CALL, CALL]}) == plain + 2 * (
        8 + count_text("weather") + count_text('{"city":"北京"}')
    )
    assert count_message({"role": "assistant", "content": None, "tool_calls": [{}]}) == plain + 8


def test_fields_we_do_not_know_cost_what_they_hold() -> None:
    message = {"role": "user", "content": "x", "name": "li", "mood": {"glad": True}, "nothing": None}
    expected = HEAD + count_text("x") + count_text("li") + count_text('{"glad":true}')
    assert count_message(message) == expected


@pytest.mark.parametrize(
    ("part", "tokens"),
    [
        ({"type": "text", "text": "hello"}, 2),
        ({"type": "text"}, 0),
        ({"type": "image_url", "image_url": {"url": "u" * 9000}}, 1024),
        ({"type": "image_url", "image_url": {"url": "u", "detail": "low"}}, 400),
        ({"type": "image_url", "image_url": "u"}, 1024),
        ({"type": "image", "image": "u"}, 1024),
        ({"type": "input_image", "image_url": "u"}, 1024),
        ({"type": "input_audio", "input_audio": {"data": "d" * 9000}}, 1024),
        ({"type": "video_url", "video_url": {"url": "u"}}, 4096),
        ({"type": "video", "video": ["a"] * 7}, 4096),
        ({"type": "video", "video": ["a"] * 16}, 8192),
        ({"type": "file", "file": {"file_data": "d" * 9000}}, 2048),
        ({"type": "hologram", "z": 1}, count_text('{"type":"hologram","z":1}')),
    ],
    ids=str,
)
def test_each_part_has_its_price(part: dict[str, Any], tokens: int) -> None:
    assert count_message({"role": "user", "content": [part]}) == HEAD + tokens


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_whatever_can_be_sealed_can_be_counted(names: list[str]) -> None:
    entry = seal(
        {"role": "user", "content": [{"type": name} for name in names if name != "text"]}, count_message
    )
    assert entry.tokens >= HEAD


# ----------------------------------------------------------------------------------------- tools


def test_tools_cost_their_json() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    text = '{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}'
    assert count_tools([]) == 0
    assert count_tools([tool, tool]) == 2 * (8 + count_text(text))


def test_a_tool_that_holds_more_than_json_is_counted_all_the_same() -> None:
    assert count_tools([{"f": {1, 2}}]) > 8


def test_the_margin_is_on_the_safe_side() -> None:
    assert MARGIN > 1
    assert REPLY_OVERHEAD > 0
