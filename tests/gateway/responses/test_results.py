"""Results of calls find the turn that waits for them, whoever began it and whatever was sent with them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.gateway.responding import MODEL, TOOL, ask, post, result, sent
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Call, Fault, Script, serve

QUESTION: Any = {"role": "user", "content": "weather?"}
FUNCTION = {"type": "function", "function": {"name": "weather", "parameters": TOOL["parameters"]}}
CALLING = Answer(calls=[Call("weather", id="call_1")])


def roles(sim: Any) -> list[str]:
    return [role for role, _ in sent(sim)]


def asked_in_chat(one: Gate) -> None:
    """A chat completion of conversation c1 that calls a tool."""
    body = {"model": MODEL, "messages": [QUESTION], "tools": [FUNCTION], "conversation": "c1"}
    status, answer, _ = one.post(body)
    assert (status, json.loads(answer)["choices"][0]["finish_reason"]) == (200, "tool_calls")


@pytest.mark.parametrize("kept", [True, False])
def test_a_chat_completion_that_waits_is_answered_too(*, kept: bool) -> None:
    with serve("qwen", [CALLING, "sunny"]) as sim, gate(sim) as one:
        asked_in_chat(one)
        assert ask(one, [result("call_1")], conversation="c1", store=kept).output_text == "sunny"
        assert roles(sim) == ["user", "assistant", "tool"]


def test_what_failed_of_a_chat_completion_is_no_response() -> None:
    with serve("qwen", Script([CALLING, "no"], faults={2: Fault(400)})) as sim, gate(sim) as one:
        asked_in_chat(one)
        for _ in range(2):
            assert post(one, {"input": [result("call_1")], "conversation": "c1"})[0] == 400


def test_a_turn_that_is_sent_again_behind_its_response_is_not_said_twice() -> None:
    with serve("qwen", [CALLING, "never mind", "sunny", "ok"]) as sim, gate(sim) as one:
        first = ask(one, [QUESTION], tools=[TOOL])
        ask(one, "something else", previous_response_id=first.id)
        second = ask(one, [QUESTION, result("call_1")], previous_response_id=first.id)
        assert roles(sim) == ["user", "assistant", "tool"]
        ask(one, [QUESTION], previous_response_id=second.id)
        assert roles(sim) == ["user", "assistant", "tool", "assistant", "user"]


def test_a_question_that_is_asked_again_instead_of_results_is_heard() -> None:
    with serve("qwen", [CALLING, "sunny"]) as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        ask(one, [QUESTION], tools=[TOOL], conversation=name)
        assert ask(one, [QUESTION], conversation=name).output_text == "sunny"
        assert roles(sim)[-1] == "user"


def test_results_that_failed_are_all_handed_on_again() -> None:
    calls = Answer(calls=[Call("weather", id="call_1"), Call("weather", id="call_2")])
    with serve("qwen", Script([calls, "sunny"], faults={2: Fault(400)})) as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        ask(one, [QUESTION], tools=[TOOL], conversation=name)
        body = {"input": [QUESTION, result("call_1"), result("call_2")], "conversation": name}
        assert post(one, body)[0] == 400
        assert post(one, body)[0] == 200
        assert roles(sim) == ["user", "assistant", "tool", "tool"]


def test_a_question_that_is_asked_again_behind_the_results_is_heard() -> None:
    with serve("qwen", [CALLING, "sunny"]) as sim, gate(sim) as one:
        first = ask(one, [QUESTION], tools=[TOOL])
        more = {"role": "user", "content": "and?"}
        ask(one, [QUESTION, result("call_1"), QUESTION, more], previous_response_id=first.id)
        assert roles(sim)[:4] == ["user", "assistant", "tool", "user"]
        assert "weather?" in str(sent(sim)[3])


def test_in_an_empty_conversation_nothing_waits() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        for kept in (True, False):
            status, answer, _ = post(one, {"input": [result("call_1")], "conversation": name, "store": kept})
            assert (status, answer["error"]["code"]) == (400, "tool_call_unknown")
