"""Which ids does a refusal name? Of calls that wait in our store; never those that only the client sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Call, serve

from multiturn.config import Config

MODEL = "qwen/qwen-plus"
THEIRS = "call_of_the_client"
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
CHAT_TOOL = {"type": "function", "function": {"name": "weather", "parameters": TOOL["parameters"]}}
Ask = Callable[..., tuple[int, bytes, Any]]


@pytest.fixture(params=["en", "zh"])
def waiting(request: pytest.FixtureRequest) -> Iterator[Gate]:
    """A conversation whose newest turn waits for the results of two calls."""
    calls = Answer(calls=(Call("weather", id="call_paris"), Call("weather", id="call_rome")))
    config = Config(store=":memory:", model=MODEL, language=request.param)
    with serve("qwen", [calls, "ok", "ok"]) as sim, gate(sim, config=config) as one:
        body = {"model": MODEL, "conversation": "c", "tools": [CHAT_TOOL]}
        assert one.post({**body, "messages": [user("weather?")]})[0] == 200
        yield one


def chat(one: Gate, *calls: str) -> tuple[int, bytes, Any]:
    results = [{"role": "tool", "tool_call_id": each, "content": "sun"} for each in calls]
    return one.post({"model": MODEL, "conversation": "c", "messages": results})


def response(one: Gate, *calls: str) -> tuple[int, bytes, Any]:
    return one.post({"model": MODEL, "conversation": "c", "input": outputs(*calls)}, "/v1/responses")


def counted(one: Gate, *calls: str) -> tuple[int, bytes, Any]:
    body = {"model": MODEL, "conversation": "c", "input": outputs(*calls)}
    return one.post(body, "/v1/responses/input_tokens")


def items(one: Gate, *calls: str) -> tuple[int, bytes, Any]:
    return one.post({"items": outputs(*calls)}, "/v1/conversations/c/items")


def native(one: Gate, *calls: str) -> tuple[int, bytes, Any]:
    results = [{"role": "tool", "tool_call_id": each, "content": "sun"} for each in calls]
    path = "/api/v1/services/aigc/text-generation/generation"
    body = {"model": MODEL, "input": {"messages": results}}
    return one.post(body, path, x_conversation_id="c")


def outputs(*calls: str) -> list[dict[str, str]]:
    return [{"type": "function_call_output", "call_id": each, "output": "sun"} for each in calls]


def message_of(body: bytes) -> str:
    value = json.loads(body)
    return str(value["message"] if "message" in value else value["error"]["message"])


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


doors = pytest.mark.parametrize("ask", [chat, response, counted, native])


@doors
def test_calls_without_a_result_are_named(waiting: Gate, ask: Ask) -> None:
    status, body, _ = ask(waiting, "call_paris")
    said = message_of(body)
    assert status == 400
    assert "call_rome" in said
    assert "call_paris" not in said
    assert "…" not in said
    if ask is not native:
        assert json.loads(body)["error"]["code"] == "tool_results_incomplete"


@doors
def test_a_result_of_an_unknown_call_is_told_which_are_open(waiting: Gate, ask: Ask) -> None:
    status, body, _ = ask(waiting, "call_paris", THEIRS)
    said = message_of(body)
    assert status == 400
    assert "call_paris, call_rome" in said
    assert THEIRS not in said
    assert "…" not in said
    if ask is not native:
        assert json.loads(body)["error"]["code"] == "tool_call_unknown"


def test_an_added_result_is_told_which_calls_the_newest_turn_makes(waiting: Gate) -> None:
    status, body, _ = items(waiting, THEIRS)
    said = json.loads(body)["error"]
    assert (status, said["code"]) == (400, "items_refused")
    assert "call_paris, call_rome" in said["message"]
    assert THEIRS not in said["message"]


@doors
def test_where_nothing_is_open_that_is_said(waiting: Gate, ask: Ask) -> None:
    assert chat(waiting, "call_paris", "call_rome")[0] == 200
    status, body, _ = ask(waiting, THEIRS)
    assert status == 400
    assert THEIRS not in body.decode()
    assert any(word in message_of(body) for word in ("Open calls: none.", "待回答的有：无。"))


def test_calls_that_only_the_client_sent_are_not_named(waiting: Gate) -> None:
    call = {"type": "function_call", "call_id": THEIRS, "name": "weather", "arguments": "{}"}
    status, body, _ = waiting.post({"model": MODEL, "input": [user("hi"), call]}, "/v1/responses")
    said = json.loads(body)["error"]
    assert (status, said["code"], said["param"]) == (400, "tool_results_incomplete", "input")
    assert THEIRS not in said["message"]
    assert "…" not in said["message"]


def test_an_aligned_result_is_told_which_calls_the_newest_turn_makes(waiting: Gate) -> None:
    function = {"name": "weather", "arguments": "{}"}
    calls = [{"id": each, "type": "function", "function": function} for each in ("call_paris", "call_rome")]
    history = [
        user("weather?"),
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": THEIRS, "content": "sun"},
        {"role": "assistant", "content": "It is sunny."},
        user("and tomorrow?"),
    ]
    body = {"model": MODEL, "conversation": "c", "messages": history}
    status, answer, _ = waiting.post(body, x_conversation_mode="align")
    assert (status, json.loads(answer)["error"]["code"]) == (400, "message_invalid")
    assert "call_paris, call_rome" in message_of(answer)
    assert THEIRS not in message_of(answer)
