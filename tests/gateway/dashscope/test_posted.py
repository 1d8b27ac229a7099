"""What is asked for in DashScope's own protocol is asked for in ours."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.catalog import Catalog
from multiturn.gateway.dashscope.posted import adds, fields_of, known_to, plain_text
from multiturn.gateway.http.refusal import Refusal
from multiturn.providers.dashscope import native_messages

words = st.text(min_size=1, max_size=8)
addresses = st.sampled_from(["https://example.com/a", "data:image/png;base64,AAAA", "oss://a/b"])
hints = st.fixed_dictionaries({}, optional={"min_pixels": st.integers(1, 9), "fps": st.floats(1, 9)})
parts = st.one_of(
    words.map(lambda text: {"type": "text", "text": text}),
    addresses.map(lambda url: {"type": "image_url", "image_url": {"url": url}}),
    addresses.map(lambda url: {"type": "video_url", "video_url": {"url": url}}),
    st.lists(addresses, min_size=1).map(lambda frames: {"type": "video", "video": frames}),
    st.just({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}),
    addresses.filter(lambda url: not url.startswith("data:")).map(
        lambda url: {"type": "input_audio", "input_audio": {"data": url}}
    ),
)
contents = words | st.lists(st.builds(lambda part, more: part | more, parts, hints), min_size=1, max_size=4)
messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": contents}), min_size=1
)


def joined(content: Any) -> Any:
    """Words alone are one text."""
    if isinstance(content, list) and all(part.keys() == {"type", "text"} for part in content):
        return "".join(part["text"] for part in content)
    return content


@given(messages)
def test_messages_in_native_parts_are_the_messages_they_were_made_of(said: list[dict[str, Any]]) -> None:
    found = fields_of({"input": {"messages": native_messages(said)}})["messages"]
    assert found == [{**message, "content": joined(message["content"])} for message in said]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "messages",
                        "prompt",
                        "history",
                        "role",
                        "content",
                        "text",
                        "image",
                        "audio",
                        "tool_calls",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from(["messages", "history", "prompt", "tool_calls"]),
)
def test_whatever_is_posted_is_read_or_refused(value: Any, name: str) -> None:
    bodies: list[dict[str, Any]] = [
        {"input": value, "parameters": value},
        {"input": {name: value, "prompt": "a"}},
        {"input": {"messages": [{"role": "assistant", name: value}, {"role": "tool"}, {"role": "user"}]}},
        {
            "input": {
                "messages": [{"role": "assistant", "tool_calls": [value]}, {"role": "tool", "name": "a"}]
            }
        },
        {
            "input": {
                "messages": [{"role": "assistant", "tool_calls": [{"function": value}]}, {"role": "tool"}]
            }
        },
        {"input": {"messages": [{"role": "user", "content": [value]}]}},
    ]
    for body in bodies:
        try:
            fields = fields_of(body)
            plain_text(body)
            adds(body)
        except Refusal:
            continue
        assert all(isinstance(each["role"], str) for each in fields["messages"])


def test_fields_of_the_format_and_nulls_are_not_handed_on() -> None:
    parameters = {"result_format": "message", "incremental_output": True, "seed": None, "top_p": 0.5}
    body = {"input": {"prompt": "a"}, "parameters": parameters}
    assert fields_of(body) == {"top_p": 0.5, "messages": [{"role": "user", "content": "a"}]}


def test_a_prompt_comes_after_messages() -> None:
    body = {"input": {"messages": [{"role": "system", "content": "be brief"}], "prompt": "a"}}
    assert [each["content"] for each in fields_of(body)["messages"]] == ["be brief", "a"]


@pytest.mark.parametrize("number", [2048, 2049])
def test_there_is_a_limit_to_messages(number: int) -> None:
    body = {"input": {"messages": [{"role": "user", "content": "a"}] * number}}
    if number > 2048:
        with pytest.raises(Refusal):
            fields_of(body)
    else:
        assert len(fields_of(body)["messages"]) == number


@pytest.mark.parametrize(
    ("provider", "known", "left_out"),
    [
        ("qwen", {"enable_thinking": True, "thinking_budget": 9, "top_k": 5}, []),
        ("dashscope", {"enable_thinking": True, "thinking_budget": 9, "top_k": 5}, []),
        ("zhizengzeng", {"enable_thinking": True, "thinking_budget": 9, "top_k": 5}, []),
        ("siliconflow", {"enable_thinking": True, "thinking_budget": 9}, ["top_k"]),
        ("glm", {"thinking": {"type": "enabled"}}, ["thinking_budget", "top_k"]),
        ("stepfun", {}, ["enable_thinking", "thinking_budget", "top_k"]),
    ],
)
def test_thinking_is_switched_as_the_provider_has_it(
    provider: str, known: dict[str, Any], left_out: list[str]
) -> None:
    fields = {"enable_thinking": True, "thinking_budget": 9, "top_k": 5}
    assert known_to([Catalog().profile(provider)], fields) == (known, left_out)


def test_targets_that_differ_get_what_all_of_them_take() -> None:
    catalog, fields = Catalog(), {"enable_thinking": True, "top_k": 5, "seed": 1}
    same = known_to([catalog.profile(each) for each in ("qwen", "dashscope")], fields)
    assert same == (fields, [])
    both = known_to([catalog.profile(each) for each in ("qwen", "kimi")], fields)
    assert both == ({"seed": 1}, ["enable_thinking", "top_k"])


@pytest.mark.parametrize(
    ("model", "parameters", "text", "adding"),
    [
        ("qwen-plus", {}, True, False),
        ("qwen-plus", {"result_format": "message"}, False, False),
        ("qwen-plus", {"tools": [{}]}, False, False),
        ("qwen-plus", {"enable_thinking": True}, False, False),
        ("qwen/qwen3-max", {}, False, True),
        ("qwen3-max", {"result_format": "text", "incremental_output": False}, True, False),
        ("kimi/kimi-k2.6", {"incremental_output": True}, True, True),
        (None, None, True, False),
    ],
)
def test_how_the_answer_is_written(model: Any, parameters: Any, text: bool, adding: bool) -> None:
    body = {"model": model, "input": {"prompt": "a"}, "parameters": parameters}
    assert (plain_text(body), adds(body)) == (text, adding)


def content_of(*parts: Any) -> Any:
    return fields_of({"input": {"messages": [{"role": "user", "content": list(parts)}]}})["messages"][0][
        "content"
    ]


def test_bare_words_are_words() -> None:
    assert content_of("a", {"text": "b"}) == "ab"


def test_what_has_a_type_already_is_left_as_it_is() -> None:
    part = {"type": "strange", "text": "a", "x": 1}
    assert content_of(part) == [part]


@pytest.mark.parametrize(
    ("audio", "sound"),
    [
        ("data:audio/mp3;base64,AAAA", {"data": "AAAA", "format": "mp3"}),
        ("data:audio/mp3,AAAA", {"data": "data:audio/mp3,AAAA"}),
        ("data:image/png;base64,AAAA", {"data": "data:image/png;base64,AAAA"}),
        ("data:audio/mp3;base64", {"data": "data:audio/mp3;base64"}),
        ("oss://a/b,c", {"data": "oss://a/b,c"}),
    ],
)
def test_a_sound_is_its_data_or_its_address(audio: str, sound: dict[str, str]) -> None:
    assert content_of({"audio": audio}) == [{"type": "input_audio", "input_audio": sound}]


def test_a_list_without_messages_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        fields_of({"input": {"messages": []}})
    assert (refused.value.code, refused.value.param) == ("messages_missing", "input.messages")


@pytest.mark.parametrize(
    ("result", "call"),
    [
        ({"tool_call_id": "2", "name": "f"}, "2"),
        ({"name": "g"}, "2"),
        ({"name": "f"}, "1"),
        ({"name": "h"}, None),
    ],
)
def test_a_result_belongs_to_the_call_it_names(result: dict[str, str], call: str | None) -> None:
    calls = [{"id": name, "function": {"name": each}} for name, each in (("1", "f"), ("2", "g"))]
    said = [{"role": "assistant", "tool_calls": calls}, {"role": "tool", "content": "a", **result}]
    assert fields_of({"input": {"messages": said}})["messages"][1].get("tool_call_id") == call
