"""Answers of other people's SDKs, read as our own."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from multiturn import MessageInvalid, Usage
from multiturn.completion import Chunks, read_completion
from multiturn.reply import CallPiece, Delta, Draft

CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def completion(message: dict[str, Any], finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}
    return {"id": "r-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **more}


def test_a_completion_is_one_delta() -> None:
    value = completion(
        {"content": "27", "reasoning_content": "said so"},
        usage={"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    )
    for answer in (value, ChatCompletion.model_validate(value)):
        delta = read_completion(answer)
        assert (delta.text, delta.reasoning, delta.finish_reason) == ("27", "said so", "stop")
        assert (delta.model, delta.response_id) == ("m", "r-1")
        assert delta.usage is not None
        assert (delta.usage.input, delta.usage.output) == (9, 2)


@pytest.mark.parametrize(
    ("answer", "finish"),
    [
        ("text", "stop"),
        ({"content": "x"}, "stop"),
        ({"content": None, "tool_calls": [CALL]}, "tool_calls"),
        (completion({"content": "x"}, "length"), "length"),
        (completion({"content": None, "tool_calls": [CALL]}, None), "tool_calls"),
        (completion({"content": "x"}, None), "stop"),
    ],
)
def test_every_answer_has_a_finish_reason(answer: object, finish: str) -> None:
    assert read_completion(answer).finish_reason == finish


def test_calls_are_read_as_the_model_wrote_them() -> None:
    odd = {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": '{"a": 1.0e2, "a": 2}'}}
    delta = read_completion(completion({"content": None, "tool_calls": [CALL, odd]}))
    assert delta.calls == (
        CallPiece(0, "call_1", "f", "{}"),
        CallPiece(1, "call_2", "g", '{"a": 1.0e2, "a": 2}'),
    )


def test_fields_that_nobody_knows_are_kept() -> None:
    assert read_completion({"content": None, "refusal": "No."}).extra == {"refusal": "No."}


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 10, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}},
        {"prompt_tokens": 10, "completion_tokens": 3, "cached_tokens": 4},
        {"prompt_tokens": 10, "completion_tokens": 3, "prompt_cache_hit_tokens": 4},
    ],
)
def test_cached_tokens_are_found_wherever_they_stand(usage: dict[str, Any]) -> None:
    found = read_completion(completion({"content": "x"}, usage=usage)).usage
    assert found is not None
    assert (found.input, found.output, found.cached, found.estimated) == (10, 3, 4, False)
    assert found.raw == usage


@pytest.mark.parametrize("usage", [None, {}, "much", {"prompt_tokens": "many"}])
def test_usage_that_says_nothing_is_none(usage: object) -> None:
    assert read_completion(completion({"content": "x"}, usage=usage)).usage is None


@pytest.mark.parametrize(
    "answer",
    [
        None,
        5,
        b"x",
        [],
        {},
        {"choices": None},
        {"choices": []},
        {"choices": [5]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {"role": "tool", "content": "x"}}]},
        {"content": 5},
        {"content": "x", "tool_calls": 5},
        {"content": "x", "tool_calls": [{"id": "x"}]},
    ],
)
def test_anything_else_is_refused(answer: object) -> None:
    with pytest.raises(MessageInvalid):
        read_completion(answer)


def test_chunks_add_up() -> None:
    head = {"id": "r-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> ChatCompletionChunk:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return ChatCompletionChunk.model_validate({**head, "choices": [choice]})

    chunks, draft = Chunks(), Draft()
    pieces = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "hm"}),
        chunk({"content": "two "}),
        chunk({"content": "words"}),
        chunk({}, "stop"),
        {**head, "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
    ]
    for piece in pieces:
        draft.add(chunks.read(piece))
    assert (draft.text, draft.reasoning, draft.finish_reason) == ("two words", "hm", "stop")
    assert draft.usage == Usage(3, 2, raw={"prompt_tokens": 3, "completion_tokens": 2})


@pytest.mark.parametrize("chunk", [None, 5, "text", {"choices": "x"}, {"choices": ["x"]}])
def test_what_is_no_chunk_is_refused(chunk: object) -> None:
    with pytest.raises(MessageInvalid):
        Chunks().read(chunk)


def test_an_empty_chunk_says_nothing() -> None:
    assert Chunks().read({"choices": []}) == Delta()
