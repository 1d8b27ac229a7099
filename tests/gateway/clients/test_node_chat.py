"""The official package for Node.js works on chat completions of the gateway, by its base URL alone."""

from __future__ import annotations

from typing import Any

import pytest
from tests.gateway.clients.models import CITIES, forecaster
from tests.gateway.clients.nodejs import REFUSALS, Node, is_refusal
from tests.gateway.completions.test_stateful import asked, states
from tests.gateway.responding import until
from tests.gateway.serving import gate
from tests.simulators import Answer, Received, Reply, Script, Wire, serve

FILE = "openai_chat"
SUNNY = " ".join(f"It is sunny in {city}." for city in CITIES)


def test_it_answers(node: Node) -> None:
    with serve("qwen", Answer("a longer answer", reasoning=None)) as sim, gate(sim) as one:
        got = node.tell(one, FILE, "whole")
        message = got["data"]["choices"][0]["message"]
        assert (message["role"], message["content"]) == ("assistant", "a longer answer")
        assert got["data"]["usage"]["total_tokens"] > 0
        assert got["request_id"]
        assert asked(sim) == [("system", "Be brief."), ("user", "Hello")]


def test_it_streams(node: Node) -> None:
    with serve("qwen", "a longer answer") as sim, gate(sim) as one:
        *chunks, last = node.tell(one, FILE, "streamed")
        assert (
            "".join(each["choices"][0]["delta"].get("content") or "" for each in chunks) == "a longer answer"
        )
        assert [each["choices"][0]["finish_reason"] for each in chunks if each["choices"]][-1] == "stop"
        assert last["choices"] == []
        assert last["usage"]["completion_tokens"] > 0
        got = node.tell(one, FILE, "streamedByItsHelper")
        assert got["words"] == got["final"]["choices"][0]["message"]["content"] == "a longer answer"


def test_without_a_conversation_nothing_is_remembered(node: Node) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        assert "Ada" not in node.tell(one, FILE, "forgets")
        assert len(asked(sim)) == 1


@pytest.mark.parametrize("way", ["remembersByHeader", "remembersByBody"])
def test_the_gateway_remembers(node: Node, way: str) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        assert "Ada" in node.tell(one, FILE, way)
        assert states(one) == ["completed", "completed"]
        assert "conversation" not in sim.requests[-1].body


def test_it_runs_tools(node: Node) -> None:
    with serve("qwen", forecaster) as sim, gate(sim) as one:
        assert node.tell(one, FILE, "runsTools") == {"said": SUNNY, "calls": [*CITIES]}
        assert asked(sim)[-1] == ("tool", "It is sunny in 上海.")


def test_it_runs_tools_in_a_conversation(node: Node) -> None:
    with serve("qwen", forecaster) as sim, gate(sim) as one:
        assert node.tell(one, FILE, "runsToolsInAConversation") == {"said": SUNNY, "calls": [*CITIES]}
        assert states(one) == ["completed"]
        assert [role for role, _ in asked(sim)] == ["user", "assistant", "tool", "tool"]


def test_results_alone_go_on_with_streamed_calls(node: Node) -> None:
    with serve("qwen", forecaster) as sim, gate(sim) as one:
        assert node.tell(one, FILE, "streamsTools") == {"finish_reason": "tool_calls", "said": SUNNY}
        assert states(one) == ["completed"]
        assert [role for role, _ in asked(sim)] == ["user", "assistant", "tool", "tool"]


@pytest.mark.parametrize("kind", REFUSALS)
def test_refusals_of_the_provider_are_the_packages_own_errors(node: Node, kind: str) -> None:
    fault, name = REFUSALS[kind]
    with serve("qwen", Script("no", faults=fault)) as sim, gate(sim) as one:
        is_refusal(node.tell(one, FILE, "refused"), name, fault.status)


def test_refusals_of_the_gateway_are_too(node: Node) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        got = node.tell(one, FILE, "refusedForItsModel")
        assert (got["class"], got["code"], got["param"]) == ("NotFoundError", "model_not_found", "model")
        got = node.tell(one, FILE, "refusedForItsBody")
        assert (got["class"], got["type"]) == ("BadRequestError", "invalid_request_error")


def test_an_answer_that_breaks_off_is_an_error(node: Node) -> None:
    answer = Answer("a long answer that fails", fail="rate_limit", fail_after=3, stall=0.3, stall_after=2)
    with serve("qwen", answer) as sim, gate(sim) as one:
        got = node.tell(one, FILE, "brokenOff")
        assert got["class"] == "APIError"
        assert got["code"]
        assert got["message"]


def test_what_it_repeats_by_itself_is_one_turn(node: Node) -> None:
    asked_for: list[Received] = []

    def slow_at_first(received: Received) -> Reply:
        asked_for.append(received)
        return Answer("never seen", stall=20) if len(asked_for) == 1 else "ok"

    with serve("qwen", slow_at_first) as sim, gate(sim) as one:
        assert node.tell(one, FILE, "givesUpAndRepeats") == "ok"
        assert states(one) == ["completed"]
        assert asked(sim) == [("user", "My name is Ada.")]


def test_a_client_that_leaves_stops_the_model(node: Node) -> None:
    with serve("qwen", Script("a very long answer " * 50, wire=Wire(between=0.1))) as sim, gate(sim) as one:
        assert node.tell(one, FILE, "leaves") is True
        until(lambda: sim.requests[0].left)
        until(lambda: states(one) == ["incomplete"])


def test_it_lists_the_models(node: Node) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        got: list[Any] = node.tell(one, FILE, "models")
        assert "qwen/qwen-plus" in got
