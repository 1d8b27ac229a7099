"""What conversations there are, and what the model saw of them."""

from __future__ import annotations

import json
from typing import Any

from tests.gateway.serving import Gate, gate
from tests.simulators import serve

from multiturn import ContextPolicy


def send(one: Gate, text: str, to: str = "c1", **more: Any) -> None:
    message = {"role": "user", "content": text}
    body = {"model": "qwen/qwen-plus", "messages": [message], "conversation": to, **more}
    assert one.post(body)[0] == 200


def read(one: Gate, path: str) -> Any:
    status, body, _ = one.get(path)
    assert status == 200
    return json.loads(body)


def test_conversations_are_listed_newest_first_in_pages() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        for name in ("a", "b", "c"):
            send(one, f"hello {name}", name)
        send(one, "hello", "other", user="bob")
        page = read(one, "/v1/conversations?limit=2")
        assert [each["id"] for each in page["data"]] == ["c", "b"]
        assert (page["first_id"], page["last_id"], page["has_more"]) == ("c", "b", True)
        page = read(one, "/v1/conversations?limit=2&after=b")
        assert [each["id"] for each in page["data"]] == ["a"]
        assert page["has_more"] is False
        assert page["data"][0]["title"] == "hello a"
        assert [each["id"] for each in read(one, "/v1/conversations?user=bob")["data"]] == ["other"]
        assert read(one, "/v1/conversations?user=nobody")["first_id"] == ""


def test_turns_tell_state_usage_and_cost() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        send(one, "one")
        send(one, "two")
        turns = read(one, "/v1/conversations/c1/turns")["data"]
        assert [(each["number"], each["state"], each["messages"]) for each in turns] == [
            (1, "completed", 2),
            (2, "completed", 2),
        ]
        assert turns[0]["usage"]["prompt_tokens"] > 0
        assert turns[0]["cost"]["currency"] == "USD"
        newest = read(one, "/v1/conversations/c1/turns?limit=1")
        assert ([each["number"] for each in newest["data"]], newest["has_more"]) == ([2], True)


def test_the_context_of_a_turn_tells_why() -> None:
    policy = ContextPolicy(max_turns=1, recall=None, summarize=None)
    with serve("qwen", "ok") as sim, gate(sim, policy=policy) as one:
        for text in ("one", "two", "three"):
            send(one, text)
        told = read(one, "/v1/conversations/c1/turns/3/context")
        codes = {each["code"]: each for each in told["ledger"]}
        assert codes["outside_window"]["sent"] is False
        assert codes["outside_window"]["turns"] == [1, 1]
        assert codes["new"]["sent"] is True
        assert codes["outside_window"]["reason"]
        assert told["turn"]["number"] == 3
        assert told["tokens"] > 0
        assert told["cost"]["amount"] != "0"
        assert told["changes"]
        assert told["summary"] is None
        assert told["recalled"] == []
        assert read(one, "/v1/conversations/c1/turns/1/context")["changes"] == []
        for missing in ("4", "0", "x", "99999999999999"):
            status, body, _ = one.get(f"/v1/conversations/c1/turns/{missing}/context")
            assert (status, json.loads(body)["error"]["code"]) == (404, "turn_not_found")


def test_the_context_tells_what_the_cache_held() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        send(one, "one " * 2000)
        send(one, "two")
        assert read(one, "/v1/conversations/c1/turns/2/context")["cache"]["predicted"] > 0


def test_a_deleted_conversation_is_gone() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        send(one, "one")
        status, body, _ = one.get("/v1/conversations/c1", "DELETE")
        assert (status, json.loads(body)) == (
            200,
            {"id": "c1", "object": "conversation.deleted", "deleted": True},
        )
        assert one.get("/v1/conversations/c1")[0] == 404
        assert one.get("/v1/conversations/c1", "DELETE")[0] == 404
        send(one, "anew")
        assert read(one, "/v1/conversations/c1")["turns"] == 1
