"""Whatever pieces come, those of which only the words are read say what they would say if all was read."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.providers.events import Event
from multiturn.providers.faults import Faults
from multiturn.providers.frame import Frame, frame_of
from multiturn.providers.openai_chat import choice_of
from multiturn.providers.reading import JsonReader
from multiturn.reply import Delta

FAULTS = Faults("compatible", {}, ())
words = st.text(st.characters(codec="utf-8"), max_size=4)
deltas = st.one_of(
    words.map(lambda text: {"content": text}),
    words.map(lambda text: {"content": text}),
    words.map(lambda text: {"reasoning_content": text}),
    words.map(lambda text: {"role": "assistant", "content": text}),
    st.just({"content": None}),
    st.just({"refusal": "no"}),
)
heads = st.fixed_dictionaries(
    {"id": st.sampled_from(["a", "b", "content"]), "model": st.sampled_from(["m", ","])},
    optional={"created": st.integers(0, 1), "usage": st.none() | st.just({"prompt_tokens": 3})},
)


@st.composite
def pieces(draw: st.DrawFn) -> bytes:
    choice = {
        "index": 0,
        "delta": draw(deltas),
        "finish_reason": draw(st.sampled_from([None] * 9 + ["stop"])),
    }
    value = {**draw(heads), "choices": [choice]}
    return json.dumps(value, ensure_ascii=draw(st.booleans()), separators=(",", ":")).encode()


def read(events: list[bytes], *, framed: bool) -> list[Delta | None]:
    reader = JsonReader(FAULTS, choice_of)
    if not framed:
        reader._lessons = 0
    return [reader.event(Event(data)) for data in events]


@given(st.lists(pieces(), max_size=12))
def test_a_piece_says_the_same_in_a_frame(events: list[bytes]) -> None:
    assert read(events, framed=True) == read(events, framed=False)


def piece(text: str, **others: Any) -> bytes:
    return orjson.dumps({"id": "a", "choices": [{"index": 0, "delta": {"content": text, **others}}]})


def test_pieces_that_differ_in_their_words_have_a_frame() -> None:
    reader = JsonReader(FAULTS, choice_of)
    reader.event(Event(piece("Hello")))
    frame = reader._frame
    assert isinstance(frame, Frame)
    assert [frame.words(piece(text)) for text in ("", 'a"b\\', "你好\n")] == ["", 'a"b\\', "你好\n"]


@pytest.mark.parametrize(
    "other",
    [
        piece("x", role="assistant"),
        piece("x").replace(b'"a"', b'"b"'),
        piece("x").replace(b'"x"', b'"x","y":"z"'),
        piece("x").replace(b'"x"', b'"x" "y"'),
        piece("x").replace(b'"x"', b"null"),
        piece("x").replace(b'"x"', b"7"),
        piece("x").replace(b'"x"', b'["x"]'),
        piece("x").replace(b'"x"', b""),
        piece("x").replace(b'"x"', b'"\xff"'),
        piece("x")[:-20],
    ],
)
def test_any_other_piece_is_read_as_a_whole(other: bytes) -> None:
    frame = frame_of(piece("Hello"), "Hello", lambda value: value["choices"][0]["delta"]["content"])
    assert frame is not None
    assert frame.words(other) is None


@pytest.mark.parametrize("text", ["a", "index", ","])
def test_words_that_may_stand_elsewhere_have_no_frame(text: str) -> None:
    data = piece(text).replace(b'"id":', b'"z":["1","2"],"id":')
    assert frame_of(data, text, lambda value: value["choices"][0]["delta"]["content"]) is None


def test_words_that_are_written_in_another_way_have_no_frame() -> None:
    data = b'{"id":"\xe4\xbd\xa0","text":"\\u4f60"}'
    assert orjson.loads(data) == {"id": "你", "text": "你"}
    assert frame_of(data, "你", lambda value: value["text"]) is None


def test_it_is_not_looked_for_without_end() -> None:
    reader = JsonReader(FAULTS, choice_of)
    for number in range(9):
        reader.event(Event(piece("a").replace(b'"a",', b'"a","created":%d,' % number)))
    assert reader._lessons == 0


def test_a_piece_that_differs_behind_its_words_is_no_piece_of_the_frame() -> None:
    frame = Frame(b'{"text":', b',"finish":0}')
    assert frame.words(b'{"text":"a","finish":0}') == "a"
    assert frame.words(b'{"text":"a","finish":1}') is None
    assert frame.words(b'{"tail":"a","finish":0}') is None
