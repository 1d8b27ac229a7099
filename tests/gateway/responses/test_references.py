"""An item that a request for a response only names is one of the same user's."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from tests.gateway.responding import ask, post, sent
from tests.gateway.serving import Gate, gate
from tests.simulators import serve

from multiturn.gateway.items.posted import posted_items


def words(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text}


def named(id: str) -> dict[str, str]:
    return {"type": "item_reference", "id": id}


def made(one: Gate, text: str, user: str | None = None, **more: Any) -> tuple[str, str]:
    """A new conversation and its only item."""
    extra: Any = {"extra_body": {"user": user}} if user else {}
    sdk = one.openai().conversations
    items: Any = [{**words(text), **more}]
    name = sdk.create(items=items, **extra).id
    query: Any = {"extra_query": {"user": user}} if user else {}
    [item] = sdk.items.list(name, **query)
    return name, str(item.id)


def test_what_is_referred_to_is_said() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        _, item = made(one, "a riddle")
        ask(one, [named(item), words("solve it")])
        assert sent(sim) == [("user", "a riddle\n\nsolve it")]


@pytest.mark.parametrize("kept", [True, False])
def test_items_of_another_user_are_like_missing_ones(*, kept: bool) -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        name, item = made(one, "a secret", "bob")
        ours, own = made(one, "mine", "ada")
        followed = ask(one, "hi", user="ada").id
        asked = len(sim.requests)
        places: list[dict[str, str]] = [{}, {"user": "ada"}]
        for place in [*places, {"conversation": ours}, {"previous_response_id": followed}]:
            for one_id in (item, "msg_01JCXV3Q8Z0000000000000000_0_1_0", "given"):
                body = {"input": [named(one_id), words("tell me")], "store": kept, **place}
                status, answer, _ = post(one, body)
                assert (status, answer["error"]["code"]) == (404, "item_not_found"), (place, one_id)
                assert answer["error"]["param"] == "input"
        assert len(sim.requests) == asked
        ask(one, [named(item), words("tell me")], user="bob", store=kept)
        assert sent(sim) == [("user", "a secret\n\ntell me")]
        ask(one, [named(own), words("tell me")], conversation=ours, store=kept)
        ask(one, [named(item), words("tell me")], conversation=name, store=kept)


def test_an_item_with_a_clients_id_is_found_in_its_conversation_only() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        name, item = made(one, "a riddle", id="mine")
        assert item == "mine"
        ask(one, [named("mine"), words("solve it")], conversation=name)
        assert sent(sim) == [("user", "a riddle\n\na riddle\n\nsolve it")]
        with pytest.raises(openai.NotFoundError):
            ask(one, [named("mine"), words("solve it")])


@pytest.mark.parametrize("blank", ["", None])
def test_a_blank_id_is_none(blank: str | None) -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        first = ask(one, [{**words("hi"), "id": blank}, {**words("there"), "id": blank}])
        ids = [item.id for item in one.openai().responses.input_items.list(first.id)]
        assert len({*ids, ""}) == 3
        status, answer, _ = post(one, {"input": [{"type": "item_reference", "id": blank}]})
        assert (status, answer["error"]["param"]) == (400, "input[0].id")


@pytest.mark.parametrize("blank", ["", None])
def test_what_is_unknown_gets_an_id_where_its_own_is_blank(blank: str | None) -> None:
    with gate() as one:
        unknown: dict[str, Any] = {"type": "web_search_call", "id": blank, "status": "completed"}
        assert "id" not in posted_items([unknown])[0]
        body = {"items": [words("hi"), unknown, unknown]}
        status, answer, _ = one.post(body, "/v1/conversations")
        assert status == 200, answer
        found = json.loads(one.get(f"/v1/conversations/{json.loads(answer)['id']}/items")[1])["data"]
        assert len({each["id"] for each in found} - {"", None}) == 3
