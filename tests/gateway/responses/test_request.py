"""In which words a request for a response reaches a provider, and what is refused before that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from tests.gateway.responding import MODEL, TOOL, ask, post, sent
from tests.gateway.serving import Gate, gate
from tests.simulators import Simulator, serve

from multiturn.providers.scripted import ScriptedProvider

RESPONSES = "/v1/responses"


@contextmanager
def one_of(name: str, model: str) -> Iterator[tuple[Gate, Simulator]]:
    with serve(name, "ok") as sim, gate(sim, model=model) as one:
        yield one, sim


def test_what_goes_with_tools_is_not_said_without_them() -> None:
    with one_of("qwen", MODEL) as (one, sim):
        ask(one, "hi", tool_choice="auto", parallel_tool_calls=False, tools=[])
        assert not {"tools", "tool_choice", "parallel_tool_calls"} & sim.requests[-1].body.keys()
        ask(one, "hi", tools=[{**TOOL, "description": "d", "strict": True}])
        [tool] = sim.requests[-1].body["tools"]
        assert tool["function"].keys() == {"name", "description", "parameters", "strict"}
        assert "tool_choice" not in sim.requests[-1].body


@pytest.mark.parametrize(("effort", "thinks"), [("high", "enabled"), ("none", "disabled")])
def test_a_provider_with_another_switch_hears_its_own_word(effort: str, thinks: str) -> None:
    with one_of("kimi", "kimi/kimi-k2.6") as (one, sim):
        response = ask(one, "hi", model="kimi/kimi-k2.6", reasoning={"effort": effort}, temperature=0.1)
        assert sim.requests[-1].body["thinking"] == {"type": thinks}
        assert not {"temperature", "reasoning_effort", "enable_thinking"} & sim.requests[-1].body.keys()
        assert response.temperature == 0.1


@pytest.mark.parametrize("effort", ["high", "none"])
def test_a_provider_without_a_switch_hears_of_no_effort(effort: str) -> None:
    provider = ScriptedProvider(["ok"])
    with gate(provider=provider, model="demo") as one:
        assert ask(one, "hi", model="demo", reasoning={"effort": effort}).output_text == "ok"
        assert not {"thinking", "reasoning_effort", "enable_thinking"} & provider.requests[0].params.keys()


def test_openai_hears_how_many_words_to_make() -> None:
    with one_of("openai", "openai/gpt-5") as (one, sim):
        ask(one, "hi", model="openai/gpt-5", text={"verbosity": "low"}, prompt_cache_key="k")
        assert (sim.requests[-1].body["verbosity"], sim.requests[-1].body["prompt_cache_key"]) == ("low", "k")


def test_blank_instructions_are_none() -> None:
    with one_of("qwen", MODEL) as (one, sim):
        head = [{"role": "system", "content": "Sell phones."}, {"role": "user", "content": "hi"}]
        one.post({"model": MODEL, "messages": head, "conversation": "c1"})
        assert ask(one, "one", conversation="c1", instructions=" ").instructions == " "
        assert "system" not in [role for role, _ in sent(sim)]


def test_a_compaction_without_a_threshold_is_our_own() -> None:
    with one_of("qwen", MODEL) as (one, _):
        management: Any = [{"type": "compaction"}]
        response = ask(one, "hi", context_management=management)
        context = json.loads(one.get(f"{RESPONSES}/{response.id}/context")[1])
        assert context["budget"] > 10_000


def test_with_truncation_disabled_there_is_no_budget_of_ours() -> None:
    with one_of("qwen", MODEL) as (one, sim):
        items = [
            {"role": role, "content": "word " * 9_000 if role == "user" else "ok"}
            for _ in range(5)
            for role in ("user", "assistant")
        ]
        items = [{"role": "developer", "content": "Be kind."}, *items]
        given: dict[str, Any] = {"input": [*items, {"role": "user", "content": "hi"}]}
        for kept in (True, False):
            for truncation in ("auto", "disabled"):
                asked = len(sim.requests)
                assert post(one, {**given, "store": kept, "truncation": truncation})[0] == 200
                [messages] = [
                    heard for got in sim.requests[asked:] if (heard := got.messages)[-1]["content"] == "hi"
                ]
                assert (len(messages) == 12) is (truncation == "disabled")
                assert (messages[0]["content"], messages[-1]["content"]) == ("Be kind.", "hi")
        counted = one.post({"model": MODEL, **given}, f"{RESPONSES}/input_tokens")[1]
        assert 4_000 < json.loads(counted)["input_tokens"] < 32_000
        long: Any = {"input": [*items, {"role": "user", "content": "hi " * 40_000}], "store": False}
        status, answer, _ = post(one, long)
        assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")


def test_what_cannot_be_together_is_refused_by_name() -> None:
    with one_of("qwen", MODEL) as (one, sim):
        for fields, param in (
            ({"previous_response_id": "resp_1", "conversation": "c"}, "previous_response_id"),
            ({"background": True, "store": False}, "background"),
        ):
            status, answer, _ = post(one, {"input": "hi", **fields})
            assert (status, answer["error"]["param"]) == (400, param)
        nothing: list[dict[str, Any]] = [{}, {"input": None}, {"input": []}]
        for empty in nothing:
            status, answer, _ = post(one, empty)
            assert (status, answer["error"]["param"]) == (400, "input")
        assert post(one, {"input": "hi", "background": False, "store": False})[0] == 200
        assert len(sim.requests) == 1


def test_without_a_model_the_conversations_or_the_gateways_answers() -> None:
    with one_of("qwen", "qwen/qwen-turbo") as (one, _):
        name = one.openai().conversations.create().id
        assert ask(one, "hi", model=openai.omit, conversation=name).model == "qwen/qwen-turbo"
        ask(one, "hi", model="qwen/qwen-flash", conversation=name)
        assert ask(one, "hi", model=openai.omit, conversation=name).model == "qwen/qwen-flash"
