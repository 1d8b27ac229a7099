"""What went into a response, page by page, and how much would go in."""

from __future__ import annotations

import json
from typing import Any

from tests.gateway.responding import MODEL, TOOL, ask, result
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Call, serve


def listed(one: Gate, id: str, query: str = "order=asc") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(one.get(f"/v1/responses/{id}/input_items?{query}")[1])
    return found


def words(page: dict[str, Any]) -> list[str]:
    return [item["content"][0]["text"] for item in page["data"]]


def said(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def test_a_history_that_was_posted_behind_a_response_is_its_own() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        first = ask(one, "one")
        ask(one, "two", previous_response_id=first.id)
        history: Any = [said("user", "a"), said("assistant", "b"), said("user", "c"), said("assistant", "d")]
        third = ask(one, [*history, said("user", "three")], previous_response_id=first.id)
        assert words(listed(one, third.id)) == ["a", "b", "c", "d", "three"]
        fourth = ask(one, "four", previous_response_id=third.id)
        assert words(listed(one, fourth.id)) == ["four"]


def test_pages_end_where_there_is_no_more() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        items: Any = [said("user", "a"), said("assistant", "b"), said("user", "c"), said("user", "d")]
        response = ask(one, items)
        first = listed(one, response.id, "order=asc&limit=2")
        assert (words(first), first["has_more"]) == (["a", "b"], True)
        rest = listed(one, response.id, f"order=asc&limit=2&after={first['last_id']}")
        assert (words(rest), rest["has_more"]) == (["c", "d"], False)
        back = listed(one, response.id, f"after={first['last_id']}")
        assert (words(back), back["has_more"]) == (["a"], False)
        status, body, _ = one.get(f"/v1/responses/{response.id}/input_items?after=msg_none")
        assert (status, json.loads(body)["error"]["param"]) == (404, "after")


def test_results_are_the_input_of_their_response() -> None:
    with serve("qwen", [Answer(calls=[Call("weather", id="call_1")]), "sunny"]) as sim, gate(sim) as one:
        first = ask(one, "weather?", tools=[TOOL])
        second = ask(one, [result("call_1")], previous_response_id=first.id)
        assert words(listed(one, first.id)) == ["weather?"]
        assert [each["type"] for each in listed(one, second.id)["data"]] == ["function_call_output"]


def test_what_is_there_already_is_counted_alone() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        first = ask(one, "one " * 100)
        path = "/v1/responses/input_tokens"
        body = {"model": MODEL, "previous_response_id": first.id}
        alone, more = (
            json.loads(one.post({**body, **each}, path)[1])["input_tokens"] for each in ({}, {"input": "hi"})
        )
        assert 50 < alone < more


def test_what_belongs_together_is_listed_apart() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "id": "fc_mine"}
    items: Any = [
        {**said("user", "a"), "id": "msg_mine"},
        {**said("assistant", "b"), "id": "msg_ours"},
        call,
        {**result("c1"), "id": "fco_mine"},
    ]
    with serve("qwen", "ok") as sim, gate(sim) as one:
        found = listed(one, ask(one, items, tools=[TOOL]).id)["data"]
        assert [each["id"] for each in found] == ["msg_mine", "msg_ours", "fc_mine", "fco_mine"]
        assert found[2] == {**call, "status": "completed"}
