"""A header that is there twice and says two things is refused on every front: the first is no better than the
second."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.gateway.serving import Gate, gate

USER = {"role": "user", "content": "Hello"}
CHAT = {"model": "demo", "messages": [USER]}
NATIVE = {"model": "demo", "input": {"messages": [USER]}}
GENERATION = "/api/v1/services/aigc/text-generation/generation"
FRONTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {**CHAT, "conversation": "c"}),
    "dashscope": (GENERATION, {**NATIVE, "parameters": {"conversation": "c"}}),
    "responses": ("/v1/responses", {"model": "demo", "input": "Hello"}),
    "regenerate": ("/v1/conversations/c/turns/1/regenerate", {}),
}
ALL = ("chat", "dashscope", "responses", "regenerate")
CASES = [
    *[(front, "Idempotency-Key", "a", "b") for front in ALL],
    *[(front, "X-Multiturn-Detached", "false", "true") for front in ALL],
    *[(front, "X-Conversation-Mode", "append", "align") for front in ALL[:2]],
    *[(front, "X-Conversation-Id", "c", "d") for front in ALL[:3]],
]


def asked(one: Gate, front: str, *headers: str) -> tuple[int, Any]:
    """Status and JSON of an answer to a request with these headers, some of them twice."""
    path, body = FRONTS[front]
    with (
        one.socket(body, "content-type: application/json", "connection: close", *headers, path=path) as sock,
        sock.makefile("rb") as raw,
    ):
        status, length = int(raw.readline().split()[1]), 0
        while line := raw.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        return status, json.loads(raw.read(length))


def told(found: dict[str, Any]) -> Any:
    """What an envelope says: its code and its place; in DashScope's, which has no place, its code."""
    return found["code"] if "code" in found else (found["error"]["code"], found["error"]["param"])


def held(one: Gate) -> list[str]:
    return [each["id"] for each in json.loads(one.get("/v1/conversations")[1])["data"]]


@pytest.mark.parametrize("key", ["", " ", "k" * 513])
@pytest.mark.parametrize("front", ["chat", "responses"])
def test_a_request_key_that_is_none_is_refused(front: str, key: str) -> None:
    with gate(model="demo") as one:
        status, found = asked(one, front, f"Idempotency-Key: {key}")
        assert (status, told(found)) == (400, ("parameter_invalid", "Idempotency-Key"))
        assert held(one) == []


@pytest.mark.parametrize(("front", "name", "one_value", "other"), CASES)
def test_a_header_that_says_two_things_is_refused(front: str, name: str, one_value: str, other: str) -> None:
    with gate(model="demo") as one:
        one.post({**CHAT, "conversation": "c"})
        status, found = asked(one, front, f"{name}: {one_value}", f"{name}: {other}")
        assert status == 400, found
        assert told(found) == ("InvalidParameter" if front == "dashscope" else ("header_twice", name.lower()))
        assert held(one) == ["c"]
        assert len(json.loads(one.get("/v1/conversations/c/turns")[1])["data"]) == 1


@pytest.mark.parametrize(("front", "name", "value", "_"), CASES)
def test_what_is_said_twice_alike_is_said_once(front: str, name: str, value: str, _: str) -> None:
    with gate(model="demo") as one:
        one.post({**CHAT, "conversation": "c"})
        assert asked(one, front, f"{name}: {value}", f"{name}: {value}")[0] == 200


@pytest.mark.parametrize("front", ALL[:3])
def test_a_header_that_names_another_conversation_than_the_body_is_refused(front: str) -> None:
    with gate(model="demo") as one:
        one.post({**CHAT, "conversation": "c"})
        path, body = FRONTS[front]
        named = body if front == "dashscope" else {**body, "conversation": "c"}
        status, raw, _ = one.post(named, path, x_conversation_id="d")
        assert (status, front == "dashscope" or told(json.loads(raw))[0] == "conversation_shape") == (
            400,
            True,
        )
        assert held(one) == ["c"]
