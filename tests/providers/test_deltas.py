"""Pieces of an answer become deltas, in every dialect, and nothing of the text is lost or invented."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from multiturn.errors import ProviderFailed, ProviderOverflow, StreamCut
from multiturn.messages import ToolCall
from multiturn.providers.deltas import NOTHING, REPLACED, AnswerReader
from multiturn.providers.faults import Faults
from multiturn.providers.values import opened
from multiturn.reply import Delta, Draft

FAULTS = Faults("test")


def read(
    choices: Iterable[Mapping[str, Any]], *, cumulative: bool = False, last: str | None = "stop"
) -> tuple[Draft, list[Delta]]:
    """What the choices add up to; each goes over the wire as JSON."""
    reader, deltas, draft = AnswerReader(FAULTS, cumulative=cumulative), [], Draft()
    finish = [{"delta": {}, "finish_reason": last}] if last else []
    for choice in (*choices, *finish):
        value, damaged = opened(json.dumps({"choices": [choice]}).encode())
        deltas.append(reader.piece(value, value["choices"][0], damaged=damaged))
    deltas.append(reader.end())
    deltas = [delta for delta in deltas if delta is not NOTHING]
    for delta in deltas:
        draft.add(delta)
    return draft, deltas


def say(**delta: Any) -> dict[str, Any]:
    return {"delta": delta}


# ---------------------------------------------------------------------------------------- words


def test_text_and_reasoning_under_both_names() -> None:
    draft, _ = read([say(reasoning_content="a"), say(reasoning="b"), say(content="c"), say(content="d")])
    assert (draft.reasoning, draft.text, draft.finish_reason) == ("ab", "cd", "stop")
    together, _ = read([say(content="c", reasoning_content="a")])
    assert (together.reasoning, together.text) == ("a", "c")


def test_both_names_at_once_are_one_thought() -> None:
    draft, _ = read([say(reasoning_content="a", reasoning="a"), say(reasoning_content="", reasoning="b")])
    assert draft.reasoning == "ab"


def test_no_reasoning_differs_from_empty_reasoning() -> None:
    assert read([say(content="x", reasoning_content=None)])[0].reasoning is None
    assert (
        read([say(role="assistant", content="", reasoning_content=""), say(content="x")])[0].reasoning == ""
    )
    _, deltas = read([say(reasoning_content=""), say(content="x"), say(content="y")])
    assert [delta.reasoning for delta in deltas if delta.text] == ["", None], "it is told once"


def test_a_piece_that_says_nothing_is_nothing() -> None:
    reader = AnswerReader(FAULTS)
    piece = {"delta": {"role": "assistant", "content": "", "refusal": None}}
    assert reader.piece({}, piece, damaged=False) is NOTHING
    assert not reader.begun


def test_model_and_id_come_with_the_first_delta_only() -> None:
    reader = AnswerReader(FAULTS)
    head = {"id": "r-1", "model": "m"}
    assert reader.piece(head, say(role="assistant"), damaged=False) is NOTHING
    first = reader.piece(head, say(content="a"), damaged=False)
    second = reader.piece(head, say(content="b"), damaged=False)
    assert (first.model, first.response_id) == ("m", "r-1")
    assert (second.model, second.response_id) == (None, None)


def test_content_in_parts_is_joined() -> None:
    parts = [{"text": "a"}, {"type": "text", "text": "b"}, {"image": "x"}, "c"]
    assert read([{"message": {"content": parts}}])[0].text == "abc"


def test_what_is_not_interpreted_is_handed_on() -> None:
    draft, _ = read(
        [
            say(refusal="I "),
            say(refusal="can't", annotations=[1], obfuscation="xx", function_call=None),
        ]
    )
    assert draft.extra == {"refusal": "I can't", "annotations": [1]}


def test_cumulative_pieces_are_diffed() -> None:
    draft, deltas = read(
        [
            say(content="", reasoning_content="th"),
            say(content="", reasoning_content="think"),
            say(content="哈", reasoning_content="think"),
            say(content="哈哈", reasoning_content="think"),
            say(content="", reasoning_content=""),
            say(
                content="哈哈",
                tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}],
            ),
            say(
                content="哈哈",
                tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}],
            ),
        ],
        cumulative=True,
    )
    assert (draft.text, draft.reasoning) == ("哈哈", "think")
    assert draft.tool_calls == (ToolCall("a", "f", "{}"),)
    assert [delta.text for delta in deltas if delta.text] == ["哈", "哈"]


# -------------------------------------------------------------------------------- half characters


def halves(text: str) -> list[str]:
    """The text as a provider sends it that counts in UTF-16: two halves for an emoji."""
    raw = text.encode("utf-16-le")
    return [raw[i : i + 2].decode("utf-16-le", "surrogatepass") for i in range(0, len(raw), 2)]


def test_an_emoji_split_across_two_pieces() -> None:
    draft, deltas = read([say(content="a\ud83d"), say(content="\ude00b")])
    assert draft.text == "a😀b"
    assert [delta.text for delta in deltas] == ["a", "😀b", ""]
    assert REPLACED not in draft.extra


def test_halves_wait_for_their_own_text() -> None:
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "\ud83d"}}
    more = {"index": 0, "function": {"arguments": "\ude01"}}
    draft, _ = read(
        [
            say(content="\ud83d", reasoning_content="\ud83e", tool_calls=[call]),
            say(reasoning_content="\udd14", tool_calls=[more]),
            say(content="\ude00"),
        ]
    )
    assert (draft.text, draft.reasoning) == ("😀", "🤔")
    assert draft.tool_calls[0].arguments == "😁"
    assert REPLACED not in draft.extra


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["a\ud83d", "b"], "a\ufffdb"),
        (["\ude00b"], "\ufffdb"),
        (["a", "\ud83d"], "a\ufffd"),
        (["\ud83d\ud83d", "\ude00"], "\ufffd😀"),
    ],
)
def test_a_half_that_stays_alone_is_replaced_and_flagged(pieces: list[str], text: str) -> None:
    draft, _ = read([say(content=piece) for piece in pieces])
    assert draft.text == text
    assert draft.extra[REPLACED] is True


def test_halves_left_at_the_end_of_every_text() -> None:
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "x\ud83d"}}
    draft, _ = read([say(content="t\ud83d", reasoning="r\ud83d", tool_calls=[call])])
    assert (draft.text, draft.reasoning) == ("t\ufffd", "r\ufffd")
    assert draft.tool_calls[0].arguments == "x\ufffd"
    assert draft.extra[REPLACED] is True


@given(st.text(max_size=30), st.booleans())
@example("\U00010000\U0010ffff", False)
def test_any_text_survives_its_splitting(text: str, through_arguments: bool) -> None:
    def piece(part: str) -> dict[str, Any]:
        if through_arguments:
            return say(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": part}}])
        return say(content=part)

    draft, deltas = read([piece(part) for part in halves(text)])
    heard = "".join(call.arguments for call in draft.tool_calls) if through_arguments else draft.text
    assert heard == text
    assert not any(REPLACED in (delta.extra or {}) for delta in deltas)


@given(st.lists(st.text(st.characters(codec=None, categories=("Cs", "Lu", "Lo")), max_size=4), max_size=8))
def test_whatever_comes_leaves_as_valid_text(pieces: list[str]) -> None:
    draft, _ = read([say(content=piece) for piece in pieces])
    draft.text.encode()


def test_bytes_that_are_no_utf8_are_replaced_and_flagged() -> None:
    value, damaged = opened(b'{"choices":[{"delta":{"content":"a\xff\x80b","x":"\xff"}}]}')
    delta = AnswerReader(FAULTS).piece(value, value["choices"][0], damaged=damaged)
    assert delta.text == "a\ufffd\ufffdb"
    assert delta.extra == {"x": "\ufffd", REPLACED: True}


def test_halves_as_bytes_are_joined() -> None:
    reader, text = AnswerReader(FAULTS), ""
    for half in (b"\xed\xa0\xbd", b"\xed\xb8\x80"):
        value, damaged = opened(b'{"choices":[{"delta":{"content":"%s"}}]}' % half)
        text += reader.piece(value, value["choices"][0], damaged=damaged).text
    assert text == "😀"


def test_names_and_extras_are_sound() -> None:
    body = (
        rb'{"id":"r\ud83d","model":"m","choices":[{"delta":{"content":"x","note":["\ud83d",{"\ud83d":1}]}}],'
    )
    body += rb'"usage":{"prompt_tokens":1,"completion_tokens":1,"note":"\ud83d"}}'
    value, damaged = opened(body)
    delta = AnswerReader(FAULTS).piece(value, value["choices"][0], damaged=damaged)
    assert delta.response_id == "r\ufffd"
    assert delta.extra == {"note": ["\ufffd", {"\ufffd": 1}], REPLACED: True}
    assert delta.usage
    assert delta.usage.raw
    assert delta.usage.raw["note"] == "\ufffd"


# ------------------------------------------------------------------------------------- tool calls


def call(arguments: Any = None, **fields: Any) -> dict[str, Any]:
    function = {
        k: v for k, v in (("name", fields.pop("name", None)), ("arguments", arguments)) if v is not None
    }
    return {**fields, "function": function}


CALLS = (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}"))


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(
            [
                [call("", index=0, id="a", name="f")],
                [call('{"x"', index=0)],
                [call(":1}", index=0)],
                [call("", index=1, id="b", name="g")],
                [call("{}", index=1)],
            ],
            id="by index",
        ),
        pytest.param(
            [
                [call("", index=0, id="a", name="f"), call("", index=1, id="b", name="g")],
                [call('{"x"', index=0, id="", name=""), call("{}", index=1, id="", name="")],
                [call(":1}", index=0, id="", name="")],
            ],
            id="parallel, later ids empty",
        ),
        pytest.param(
            [
                [call('{"x"', index=0, id="a", name="f")],
                [call(":1}", index=0, id="a", name="f")],
                [call("{}", index=1, id="b", name="g")],
            ],
            id="id and name repeated",
        ),
        pytest.param(
            [[call('{"x":1}', id="a", name="f"), call("{}", id="b", name="g")]], id="whole, without index"
        ),
        pytest.param(
            [
                [call(id="a", name="f")],
                [call('{"x":1}')],
                [call(id="b", name="g")],
                [call("{}")],
            ],
            id="without index, later pieces without id",
        ),
        pytest.param(
            [
                [call('{"x"', id="a", name="f")],
                [call("{}", id="b", name="g")],
                [call(":1}", id="a")],
            ],
            id="by id alone",
        ),
        pytest.param(
            [[call('{"x":1}', index=0, id="a", name="f")], [call("{}", index=0, id="b", name="g")]],
            id="one index for two calls",
        ),
        pytest.param(
            [
                [call("", index=0, id="a", name="f")],
                [call('{"x":1}', index=0)],
                [call("", index=0, id="b", name="g")],
                [call("{}", index=0)],
            ],
            id="one index for two calls, in pieces",
        ),
        pytest.param(
            [
                [call('{"x"', index=1, id="a", name="f"), call("{}", index=2, id="b", name="g")],
                [call(":1}", index=1)],
            ],
            id="counted from one",
        ),
    ],
)
def test_tool_calls_in_pieces(pieces: list[list[dict[str, Any]]]) -> None:
    draft, _ = read([say(tool_calls=piece) for piece in pieces], last="tool_calls")
    assert draft.tool_calls == CALLS
    assert draft.finish_reason == "tool_calls"


def test_calls_without_any_id() -> None:
    draft, _ = read([say(tool_calls=[call("{}", name="f"), call("[]", name="g")])])
    assert [(c.id, c.name, c.arguments) for c in draft.tool_calls] == [
        ("call_0", "f", "{}"),
        ("call_1", "g", "[]"),
    ]


def test_arguments_as_an_object() -> None:
    draft, _ = read([say(tool_calls=[call({"市": "杭州"}, index=0, id="a", name="f")])])
    assert draft.tool_calls == (ToolCall("a", "f", '{"市": "杭州"}'),)


@pytest.mark.parametrize("raw", [None, "x", {}, [None, "x", 5], [{}], [{"function": None}]])
def test_odd_calls_are_passed_over(raw: Any) -> None:
    assert read([say(content="x", tool_calls=raw)])[0].tool_calls == ()


# ---------------------------------------------------------------------------------------- the end


def test_a_second_finish_says_nothing() -> None:
    _, deltas = read([say(content="x"), {"delta": {}, "finish_reason": "stop"}, {"finish_reason": "length"}])
    assert [delta.finish_reason for delta in deltas] == [None, "stop"]


def test_the_word_null_is_no_finish() -> None:
    with pytest.raises(StreamCut):
        read([{"message": {"content": "x"}, "finish_reason": "null"}], last=None)


def test_an_end_without_a_finish_reason_is_a_cut() -> None:
    with pytest.raises(StreamCut) as caught:
        read([say(content="x")], last=None)
    assert caught.value.provider == "test"


@pytest.mark.parametrize(
    ("reason", "heard"),
    [
        ("stop", "stop"),
        ("tool_calls", "tool_calls"),
        ("content_filter", "content_filter"),
        ("sensitive", "content_filter"),
        ("model_context_window_exceeded", "length"),
    ],
)
def test_finish_reasons_in_openais_words(reason: str, heard: str) -> None:
    assert read([say(content="x")], last=reason)[0].finish_reason == heard


def test_finish_reasons_that_are_errors() -> None:
    with pytest.raises(StreamCut):
        read([say(content="x")], last="network_error")
    with pytest.raises(ProviderFailed):
        read([], last="network_error")
    with pytest.raises(ProviderOverflow) as caught:
        read([], last="model_context_window_exceeded")
    assert caught.value.provider_code == "model_context_window_exceeded"
