"""What a request for a response may say, how it reaches the provider, and what is told back."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from tests.gateway.responding import MODEL, TOOL, ask, post, sent
from tests.gateway.serving import gate
from tests.simulators import Answer, Call, Simulator, serve

from multiturn.gateway.http.refusal import Refusal, said_of
from multiturn.gateway.responses.fields import checked

FORM = {"type": "json_schema", "name": "x", "schema": {}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def body(sim: Simulator) -> dict[str, Any]:
    found: dict[str, Any] = sim.requests[-1].body
    return found


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("temperature", 3, "number_range"),
        ("temperature", "hot", "invalid_type"),
        ("temperature", True, "invalid_type"),
        ("top_p", -0.1, "number_range"),
        ("top_logprobs", 21, "integer_above_max_value"),
        ("max_output_tokens", 15, "integer_below_min_value"),
        ("max_output_tokens", 1.5, "invalid_type"),
        ("max_tool_calls", 0, "integer_below_min_value"),
        ("max_tool_calls", True, "invalid_type"),
        ("truncation", "sometimes", "invalid_value"),
        ("stream", "yes", "not_a_switch"),
        ("background", 1, "not_a_switch"),
        ("parallel_tool_calls", "no", "not_a_switch"),
        ("store", 0, "not_a_switch"),
        ("instructions", ["a"], "not_text"),
        ("model", 5, "not_text"),
        ("user", 5, "not_text"),
        ("include", "all", "invalid_type"),
        ("include", [1], "not_text"),
        ("metadata", [], "invalid_type"),
        ("metadata", {"a": 1}, "metadata_shape"),
        ("metadata", {"a" * 65: "b"}, "metadata_shape"),
        ("metadata", {"a": "b" * 513}, "metadata_shape"),
        ("metadata", {str(n): "" for n in range(17)}, "metadata_shape"),
        ("tools", {}, "invalid_type"),
        ("tools", [1], "invalid_type"),
        ("tools", [{"type": "function"}], "not_text"),
        ("tools", [{"type": "function", "name": "f", "parameters": "none"}], "invalid_type"),
        ("tools", [{"type": "function", "name": "f", "strict": "no"}], "not_a_switch"),
        ("tools", [{"type": "function", "name": "f", "description": 5}], "not_text"),
        ("tools", [{"type": "function", "function": {"strict": True}}], "not_text"),
        ("tools", [{"type": "web_search"}], "unsupported_tool"),
        ("tools", [{"type": "custom", "name": "f"}], "unsupported_tool"),
        ("tool_choice", "maybe", "invalid_value"),
        ("tool_choice", {"type": "file_search"}, "unsupported_tool"),
        ("tool_choice", {"type": "function"}, "not_text"),
        ("tool_choice", {"type": "function", "function": {"name": 5}}, "not_text"),
        ("tool_choice", {"type": "allowed_tools", "tools": [{"type": "mcp"}]}, "unsupported_tool"),
        ("tool_choice", {"type": "allowed_tools", "tools": [5]}, "unsupported_tool"),
        ("tool_choice", {"type": "allowed_tools", "mode": "maybe", "tools": []}, "invalid_value"),
        (
            "tool_choice",
            {"type": "allowed_tools", "tools": [{"type": "function", "name": ["f"]}]},
            "not_text",
        ),
        ("text", {"format": {"type": "poem"}}, "invalid_value"),
        ("text", {"format": {"type": "json_schema", "name": "x"}}, "invalid_type"),
        ("text", {"format": {"type": "json_schema", "schema": {}}}, "not_text"),
        ("text", {"format": {**FORM, "strict": "yes"}}, "not_a_switch"),
        ("text", {"format": {**FORM, "description": 5}}, "not_text"),
        ("text", {"verbosity": "chatty"}, "invalid_value"),
        ("reasoning", "hard", "invalid_type"),
        ("reasoning", {"effort": 5}, "not_text"),
        ("reasoning", {"summary": 5}, "not_text"),
        ("reasoning", {"generate_summary": 5}, "not_text"),
        ("context_management", [{"type": "truncation"}], "invalid_value"),
        (
            "context_management",
            [{"type": "compaction", "compact_threshold": 999}],
            "integer_below_min_value",
        ),
        ("conversation", {"name": "c"}, "conversation_shape"),
        ("conversation", " ", "conversation_shape"),
        ("conversation", {"id": ""}, "conversation_shape"),
        *[(name, {}, "unsupported_parameter") for name in ("moderation", "prompt")],
        ("access_programs", {"cyber": "daybreak_red"}, "unsupported_parameter"),
        ("access_programs", "standard", "invalid_type"),
        ("image", {"context_compression": "enabled"}, "unsupported_parameter"),
        ("image", {"context_compression": "a lot"}, "invalid_value"),
        ("image", "auto", "invalid_type"),
        ("background_options", 5, "invalid_type"),
        *[
            (name, 5, "not_text")
            for name in ("previous_response_id", "prompt_cache_key", "prompt_cache_retention")
        ],
        *[(name, 5, "not_text") for name in ("safety_identifier", "service_tier")],
        *[(name, 5, "invalid_type") for name in ("prompt_cache_options", "stream_options")],
        *[(f"{name}_penalty", 2.1, "number_range") for name in ("presence", "frequency")],
        *[(f"{name}_penalty", -2.1, "number_range") for name in ("presence", "frequency")],
        ("user", "x" * 513, "text_too_long"),
        ("top_p", 1.1, "number_range"),
        ("temperature", -0.1, "number_range"),
        ("frobnicate", 1, "unknown_parameter"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(name: str, value: Any, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        checked({name: value})
    assert caught.value.status == 400
    assert caught.value.code == code
    assert str(caught.value.param).startswith(name)
    for language in ("en", "zh"):
        assert "{" not in said_of(caught.value, language).message


@pytest.mark.parametrize(
    ("name", "value", "figures"),
    [
        ("temperature", 3, ("0", "2")),
        ("max_output_tokens", 15, ("16",)),
        ("top_logprobs", 21, ("20",)),
        ("truncation", "sometimes", ("auto", "disabled")),
    ],
)
def test_a_refusal_says_what_may_be(name: str, value: Any, figures: tuple[str, ...]) -> None:
    with pytest.raises(Refusal) as caught:
        checked({name: value})
    assert all(each in said_of(caught.value).message for each in figures)


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0, "top_p": 0, "top_logprobs": 0, "max_output_tokens": 16, "max_tool_calls": 1},
        {"temperature": 2, "top_p": 1, "top_logprobs": 20},
        *[{"presence_penalty": each, "frequency_penalty": each} for each in (-2, 2)],
        *[{"tool_choice": each} for each in ("auto", "none", "required", {"type": "function", "name": "f"})],
        *[{"text": {"format": {"type": "json_object"}, "verbosity": each}} for each in ("low", "medium")],
        *[{"truncation": each} for each in ("auto", "disabled")],
        {"top_logprobs": 5, "metadata": {"k" * 64: "v" * 512}},
        {"metadata": {str(n): "" for n in range(16)}},
        {"reasoning": {"effort": None, "summary": "auto"}},
        {"text": {"format": {**FORM, "description": "d", "strict": True}, "verbosity": "high"}},
        {"context_management": [{"type": "compaction"}]},
        {"context_management": [{"type": "compaction", "compact_threshold": 1000}]},
        {"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": []}},
        {"include": ["a", "b"], "user": "", "prompt_cache_options": {}, "stream_options": {}},
        {"access_programs": {"cyber": "standard"}, "background_options": {"completion_window": "2h"}},
        *[{"image": {"context_compression": each}} for each in ("auto", "disabled", None)],
    ],
)
def test_what_is_just_allowed_is_taken_as_it_is(fields: dict[str, Any]) -> None:
    assert checked(fields) == fields


def test_what_is_a_providers_own_is_handed_on() -> None:
    assert checked({"seed": {"any": 1}}, frozenset(("seed",))) == {"seed": {"any": 1}}
    with pytest.raises(Refusal):
        checked({"seed": 1}, frozenset(("stop",)))


def test_what_is_spelt_in_an_older_way_is_spelt_anew() -> None:
    nested = {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}
    found = checked(
        {
            "conversation": {"id": "c"},
            "reasoning": {"generate_summary": "auto"},
            "tools": [{"type": "function", "function": nested}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "text": {"format": None},
        }
    )
    assert found == {
        "conversation": "c",
        "reasoning": {"effort": None, "summary": "auto"},
        "tools": [{"type": "function", **nested}],
        "tool_choice": {"type": "function", "name": "f"},
        "text": {"format": {"type": "text"}},
    }


def test_only_what_has_a_name_of_usual_length_is_named() -> None:
    for length, told in ((64, "x" * 64), (65, None)):
        with pytest.raises(Refusal) as caught:
            checked({"x" * length: 1})
        assert (caught.value.code, caught.value.param) == ("unknown_parameter", told)


def test_null_means_not_given() -> None:
    assert checked({"temperature": None, "tools": None, "prompt": None, "frobnicate": None}) == {}


def test_refusals_are_told_in_the_envelope() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        for fields, code in (
            ({}, "items_missing"),
            ({"input": None}, "items_missing"),
            ({"input": []}, "items_missing"),
            ({"input": 5}, "items_missing"),
            ({"input": [5]}, "item_shape"),
            ({"input": "hi", "frobnicate": 1}, "unknown_parameter"),
            ({"input": "hi", "background": True, "store": False}, "background_stored"),
            ({"input": [{"type": "item_reference", "id": "msg_none"}]}, "item_not_found"),
            (
                {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
                "tool_call_unknown",
            ),
        ):
            status, answer, _ = post(one, fields)
            assert status in (400, 404)
            assert answer["error"]["code"] == code
            assert set(answer["error"]) == {"message", "type", "param", "code"}
        stray = {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}
        for path in ("", "/input_tokens"):
            found = one.post({"model": MODEL, **stray}, f"/v1/responses{path}")
            assert (found[0], json.loads(found[1])["error"]["param"]) == (400, "input")
        assert one.get("/v1/responses")[0] == 405
        assert not sim.requests
        assert one.get("/v1/conversations")[1].count(b'"conv') == 0


def test_sampling_reaches_the_provider_and_is_told_back() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        given: Any = {"temperature": 0.5, "top_p": 0.9, "max_output_tokens": 100}
        response = ask(one, "hi", **given, extra_body={"presence_penalty": 0.1, "seed": 7})
        assert body(sim)["max_tokens"] == 100
        assert (body(sim)["temperature"], body(sim)["top_p"], body(sim)["seed"]) == (0.5, 0.9, 7)
        told = response.to_dict()
        assert {name: told[name] for name in given} == given
        assert told["presence_penalty"] == 0.1


def test_what_only_openai_knows_stays_here_and_is_told_back() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        given: Any = {"service_tier": "flex", "safety_identifier": "u1", "prompt_cache_key": "k"}
        response = ask(one, "hi", **given, metadata={"a": "b"}, include=["message.output_text.logprobs"])
        assert not {*given, "metadata", "include", "store"} & body(sim).keys()
        assert response.metadata == {"a": "b"}
        # the tier is the one that serves the request, all else is told as it was asked for
        assert {name: response.to_dict()[name] for name in given} == {**given, "service_tier": "default"}


def test_a_schema_is_asked_for_in_the_providers_words() -> None:
    with serve("qwen", "{}") as sim, gate(sim) as one:
        form: Any = {"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True}
        response = ask(one, "hi", text={"format": form})
        assert body(sim)["response_format"] == {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": SCHEMA, "strict": True},
        }
        assert response.text.format.to_dict()["schema"] == SCHEMA
        ask(one, "as json", text={"format": {"type": "json_object"}})
        assert body(sim)["response_format"] == {"type": "json_object"}
        ask(one, "hi", text={"format": {"type": "text"}, "verbosity": "low"})
        assert not {"response_format", "verbosity"} & body(sim).keys()


@pytest.mark.parametrize(
    ("choice", "passed"),
    [
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "name": "weather"}, {"type": "function", "function": {"name": "weather"}}),
    ],
)
def test_a_choice_of_tools_in_the_providers_words(choice: Any, passed: Any) -> None:
    with serve("qwen", Answer("ok", calls=[Call("weather", id="c")])) as sim, gate(sim) as one:
        response = ask(one, "hi", tools=[TOOL], tool_choice=choice, parallel_tool_calls=False)
        assert body(sim)["tool_choice"] == passed
        assert body(sim)["parallel_tool_calls"] is False
        assert response.to_dict()["tool_choice"] == choice
        assert response.parallel_tool_calls is False


def test_only_allowed_tools_are_offered() -> None:
    other = {**TOOL, "name": "other"}
    with serve("qwen", "ok") as sim, gate(sim) as one:
        allowed: Any = {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "other"}],
        }
        response = ask(one, "hi", tools=[TOOL, other], tool_choice=allowed)
        assert [tool["function"]["name"] for tool in body(sim)["tools"]] == ["other"]
        assert [tool.to_dict()["name"] for tool in response.tools] == ["weather", "other"]


@pytest.mark.parametrize(("effort", "thinks"), [("high", True), ("none", False), ("minimal", False)])
def test_how_much_to_think_in_the_providers_words(effort: Any, thinks: bool) -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        response = ask(one, "hi", reasoning={"effort": effort, "summary": "auto"})
        assert body(sim)["enable_thinking"] is thinks
        assert response.reasoning.to_dict() == {"effort": effort, "summary": "auto"}


def test_openai_itself_gets_its_own_words() -> None:
    with serve("openai", "ok") as sim, gate(sim, model="openai/gpt-5") as one:
        ask(
            one,
            "hi",
            model="openai/gpt-5",
            reasoning={"effort": "low"},
            max_output_tokens=50,
            service_tier="flex",
        )
        assert body(sim)["reasoning_effort"] == "low"
        assert body(sim)["max_completion_tokens"] == 50
        assert body(sim)["service_tier"] == "flex"


def test_a_picture_reaches_the_model() -> None:
    url = "https://example.com/a.png"
    with serve("qwen", "A cat.") as sim, gate(sim) as one:
        content: Any = [
            {"type": "input_text", "text": "what?"},
            {"type": "input_image", "image_url": url, "detail": "low"},
        ]
        response = ask(one, [{"role": "user", "content": content}], model="qwen/qwen3-vl-plus")
        parts = sent(sim)[0][1]
        assert parts[1] == {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
        listed = one.openai().responses.input_items.list(response.id).data[0].to_dict()
        assert listed["content"] == content


def test_the_model_may_change_and_be_left_out() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        first = ask(one, "one", model="qwen/qwen-turbo")
        assert (first.model, body(sim)["model"]) == ("qwen/qwen-turbo", "qwen-turbo")
        second = ask(one, "two", previous_response_id=first.id, model=openai.omit)
        assert second.model == "qwen/qwen-turbo"
        assert ask(one, "three", previous_response_id=second.id).model == MODEL
        assert ask(one, "alone", model=openai.omit).model == MODEL
        with pytest.raises(openai.NotFoundError) as caught:
            ask(one, "hi", model="nobody/nothing")
        assert caught.value.code == "model_not_found"
