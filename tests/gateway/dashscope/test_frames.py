"""How deltas look as frames of DashScope's, where no simulated provider makes them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from multiturn.gateway.completions.form import Named
from multiturn.gateway.dashscope.frames import Native
from multiturn.reply import CallPiece, Delta, Draft
from multiturn.usage import Usage

NAMED = Named("", "", 0.0)
pieces = st.builds(CallPiece, st.integers(0, 2), st.just(""), st.sampled_from(["", "f"]), st.text(max_size=3))
deltas = st.lists(
    st.builds(
        Delta,
        st.text(max_size=4),
        st.none() | st.text(max_size=4),
        st.lists(pieces, max_size=2).map(tuple),
        st.none() | st.sampled_from(["stop", "tool_calls"]),
        st.none() | st.builds(Usage, st.integers(0, 9), st.integers(0, 9)),
    ),
    min_size=1,
)


def written(form: Native, said: list[Delta]) -> list[Any]:
    """The data of the frames of an answer."""
    frames = form.pieces(NAMED)
    raw = b"".join([*(frames.of(each) for each in said), frames.end(None)]).decode()
    return [json.loads(line[5:]) for line in raw.split("\n") if line.startswith("data:")]


def message(frame: Any) -> Any:
    return frame["output"]["choices"][0]["message"]


@given(deltas, st.booleans())
def test_frames_that_add_and_frames_that_repeat_say_the_same(said: list[Delta], parts: bool) -> None:
    adding = written(Native("r", parts=parts, adding=True), said)
    repeating = written(Native("r", parts=parts), said)
    draft = Draft()
    for each in said:
        draft.add(each)
    last = message(repeating[-1])
    whole = [message(each) for each in adding]
    if parts:
        assert "".join(part["text"] for each in whole for part in each["content"]) == draft.text
        assert "".join(part["text"] for part in last["content"]) == draft.text
    else:
        assert "".join(each["content"] for each in whole) == last["content"] == draft.text
    thought = "".join(each.get("reasoning_content", "") for each in whole)
    assert thought == last.get("reasoning_content", "") == (draft.reasoning or "")
    assert len(adding) == len(repeating)
    assert adding[-1]["usage"] == repeating[-1]["usage"]
    finish = [each["output"]["choices"][0]["finish_reason"] for each in adding]
    assert finish == ["null"] * (len(finish) - 1) + [draft.finish_reason or "stop"]
    calls: dict[int, list[str]] = {}
    for piece in (piece for each in whole for piece in each.get("tool_calls", ())):
        call = calls.setdefault(piece["index"], ["", ""])
        call[0] += piece["id"]
        call[1] += piece["function"]["arguments"]
    assert sorted(calls.values()) == sorted([each.id, each.arguments] for each in draft.tool_calls)


def test_calls_are_told_also_where_words_alone_were_wanted() -> None:
    call = CallPiece(0, "call_1", "weather", "{}")
    frames = written(Native("r", text=True, adding=True), [Delta("I look."), Delta(calls=(call,))])
    assert frames[0]["output"]["text"] == "I look."
    [told] = message(frames[1])["tool_calls"]
    assert (told["id"], told["function"]["name"]) == ("call_1", "weather")


def test_where_nothing_is_said_the_fields_are_there_and_empty() -> None:
    whole = json.loads(Native("r", parts=True, thinking=True).whole(NAMED, Draft(), None))
    assert message(whole) == {"role": "assistant", "content": [], "reasoning_content": ""}
    assert message(json.loads(Native("r").whole(NAMED, Draft(), None))) == {
        "role": "assistant",
        "content": "",
    }


def test_a_call_without_an_id_gets_one() -> None:
    said = [Delta(calls=(CallPiece(1, "", "f", "{"),)), Delta(calls=(CallPiece(1, "", "", "}"),))]
    frames = [message(each) for each in written(Native("r", adding=True), said)]
    assert [each["tool_calls"][0]["id"] for each in frames[:2]] == ["call_1", ""]


def test_what_images_cost_is_told_by_either_name() -> None:
    for raw in ({"image_tokens": 7}, {"prompt_tokens_details": {"image_tokens": 7}}):
        told = json.loads(Native("r").whole(NAMED, Draft(), Usage(9, 1, raw=raw)))["usage"]
        assert (told["input_tokens"], told["total_tokens"], told["image_tokens"]) == (9, 10, 7)
    assert "image_tokens" not in json.loads(Native("r").whole(NAMED, Draft(), None))["usage"]
