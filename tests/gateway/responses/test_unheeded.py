"""What has no effect is taken and named beside the answer, and nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.responding import MODEL, TOOL, post, until
from tests.gateway.serving import gate
from tests.simulators import Script, Wire, serve

from multiturn.gateway.responses.unheeded import HEEDED, unheeded

EVERYTHING: dict[str, Any] = {
    "background_options": {"completion_window": "2h", "continuation_id": "c"},
    "include": ["message.output_text.logprobs"],
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit", "ttl": "30m", "prewarm": True},
    "prompt_cache_retention": "24h",
    "reasoning": {"effort": "low", "mode": "pro", "context": "all_turns"},
    "safety_identifier": "s",
    "service_tier": "flex",
    "stream_options": {"include_obfuscation": True},
    "text": {"verbosity": "low"},
    "tools": [{**TOOL, "defer_loading": True, "output_schema": {}}],
    "top_logprobs": 2,
}
NAMED = [
    "background_options.completion_window",
    "background_options.continuation_id",
    "include",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_options.prewarm",
    "prompt_cache_retention",
    "reasoning.context",
    "reasoning.mode",
    "safety_identifier",
    "service_tier",
    "stream_options.include_obfuscation",
    "text.verbosity",
    "tools.defer_loading",
    "tools.output_schema",
    "top_logprobs",
]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"reasoning": {"effort": "high", "summary": "auto", "context": "auto", "mode": "standard"}},
        {"reasoning": None, "stream_options": None, "tools": None, "include": None, "top_logprobs": 0},
        {"reasoning": {"context": None}, "stream_options": {"include_obfuscation": False}},
        {"tools": [{**TOOL, "allowed_callers": ["direct"], "async": False, "defer_loading": False}]},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"include": ["file_search_call.results", "message.input_image.image_url"]},
        {"background_options": {"completion_window": "soonest"}},
        {"prompt_cache_options": {"mode": "implicit", "ttl": "30m", "prewarm": False}},
        {"text": {"format": {"type": "text"}, "verbosity": "low"}, "temperature": 1},
    ],
)
def test_what_has_an_effect_or_asks_for_what_happens_anyway_is_not_named(fields: dict[str, Any]) -> None:
    assert not unheeded(fields)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"tools": [{**TOOL, "allowed_callers": ["programmatic"]}]}, "tools.allowed_callers"),
        ({"tools": [TOOL, {**TOOL, "async": True}]}, "tools.async"),
        ({"tools": [{"type": "function", "function": {**TOOL, "output_schema": {}}}]}, "tools.output_schema"),
        ({"tools": [{**TOOL, "colour": "red"}]}, "tools"),
        ({"reasoning": {"depth": 3}}, "reasoning"),
        (
            {"prompt_cache_options": {"comparison_response_id": "r"}},
            "prompt_cache_options.comparison_response_id",
        ),
        ({"include": ["file_search_call.results", "reasoning.encrypted_content"]}, "include"),
    ],
)
def test_what_has_none_is_named(fields: dict[str, Any], name: str) -> None:
    assert unheeded(fields) == {name}


@given(
    st.dictionaries(st.sampled_from(sorted(HEEDED)), st.dictionaries(st.text(), st.integers(), max_size=5))
)
def test_only_names_of_ours_are_told(fields: dict[str, dict[str, int]]) -> None:
    ours = {f"{name}.{part}" for name, parts in HEEDED.items() for part in parts} | HEEDED.keys()
    assert unheeded(fields) <= ours


@pytest.mark.parametrize("more", [{}, {"stream": True}, {"store": False}, {"background": True}])
def test_the_names_stand_beside_every_answer(more: dict[str, Any]) -> None:
    with serve("qwen", ["ok"] * 2) as sim, gate(sim) as one:
        status, _, headers = one.post({"model": MODEL, "input": "hi", **EVERYTHING, **more}, "/v1/responses")
        assert status == 200
        assert headers["x-multiturn-dropped"].split(", ") == NAMED
        until(lambda: sim.requests)
        assert not {"prompt_cache_options", "service_tier", "verbosity"} & sim.requests[0].body.keys()
        status, _, headers = one.post({"model": MODEL, "input": "hi", **more}, "/v1/responses")
        assert status == 200
        assert "x-multiturn-dropped" not in headers


@pytest.mark.parametrize("more", [{}, {"background": True}])
def test_they_stand_beside_a_repeat_too(more: dict[str, Any]) -> None:
    with serve("qwen", Script("slow", wire=Wire(first=0.5))) as sim, gate(sim) as one:
        for _ in range(2):
            _, _, headers = post(one, {"input": "hi", "top_logprobs": 1, **more}, idempotency_key="k")
            assert headers["x-multiturn-dropped"] == "top_logprobs"
        until(lambda: sim.requests)
        assert len(sim.requests) == 1


def test_what_openai_knows_of_them_reaches_it() -> None:
    with serve("openai", "ok") as sim, gate(sim) as one:
        sent = {"model": "openai/gpt-5.6", "input": "hi", **EVERYTHING}
        status, raw, headers = one.post(sent, "/v1/responses")
        assert status == 200
        reached = {"prompt_cache_options", "prompt_cache_key", "prompt_cache_retention"}
        reached |= {"safety_identifier", "service_tier", "text.verbosity"}
        assert headers["x-multiturn-dropped"].split(", ") == [each for each in NAMED if each not in reached]
        asked = sim.requests[0].body
        assert asked["prompt_cache_options"] == {"mode": "explicit", "ttl": "30m"}
        assert (asked["service_tier"], asked["verbosity"], asked["reasoning_effort"]) == (
            "flex",
            "low",
            "low",
        )
        assert json.loads(raw)["service_tier"] == "flex"


def test_an_effort_is_named_where_nobody_can_make_one() -> None:
    with gate(model="demo") as one:
        for effort, named in (("low", "reasoning.effort"), (None, None)):
            body = {"model": "demo", "input": "hi", "reasoning": {"effort": effort}}
            assert one.post(body, "/v1/responses")[2]["x-multiturn-dropped"] == named


def test_what_is_only_counted_may_have_a_personality() -> None:
    with serve("qwen") as sim, gate(sim) as one:
        body = {"input": "hi", "personality": "friendly", "model": MODEL}
        status, _, headers = one.post(body, "/v1/responses/input_tokens")
        assert (status, headers["x-multiturn-dropped"]) == (200, "personality")
        assert one.post(body, "/v1/responses")[0] == 400
        assert not sim.requests
