"""What a deleted response leaves alone, whose conversation a response may go into, what is no question."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.keyed import bearer, made
from tests.gateway.responding import MODEL, TOOL, ask, post, result
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Call, serve


def there(one: Gate, id: str) -> bool:
    return one.get(f"/v1/responses/{id}")[0] == 200


def said(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


@pytest.mark.parametrize("deleted", [0, 1])
def test_a_deleted_step_leaves_the_others_of_its_turn(deleted: int) -> None:
    with serve("qwen", [Answer(calls=[Call("weather", id="call_1")]), "sunny"]) as sim, gate(sim) as one:
        first = ask(one, "weather?", tools=[TOOL])
        second = ask(one, [result("call_1")], previous_response_id=first.id)
        ids = [first.id, second.id]
        assert one.get(f"/v1/responses/{ids[deleted]}", "DELETE")[0] == 200
        assert [there(one, each) for each in ids] == [deleted == 1, deleted == 0]


def test_a_deleted_response_leaves_the_answer_that_was_made_anew() -> None:
    with serve("qwen", ["first", "second"]) as sim, gate(sim) as one:
        first = ask(one, "hi")
        [found] = json.loads(one.get("/v1/conversations")[1])["data"]
        assert one.post({}, f"/v1/conversations/{found['id']}/turns/1/regenerate")[0] == 200
        assert one.get(f"/v1/responses/{first.id}", "DELETE")[0] == 200
        assert "second" in one.get(f"/v1/conversations/{found['id']}/items")[1].decode()


def test_another_users_conversation_is_like_a_missing_one() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        hers = one.openai().conversations.create(extra_body={"user": "ada"}).id
        for kept in (True, False):
            more = {"input": "hi", "user": "bob", "store": kept}
            theirs = post(one, {**more, "conversation": hers})
            missing = post(one, {**more, "conversation": "conv_missing"})
            assert theirs[:2] == missing[:2]
            assert theirs[0] == 404
        assert not sim.requests
        assert ask(one, "hi", user="ada", conversation=hers).output_text == "ok"


@pytest.mark.parametrize("kept", [True, False])
def test_what_was_made_without_a_user_may_be_followed_with_one(kept: bool) -> None:
    with serve("qwen", ["one", "two", "three", "four"]) as sim, gate(sim) as one:
        made = one.openai().conversations.create()
        assert ask(one, "hi", user="ada", conversation=made.id, store=kept).output_text == "one"
        first = ask(one, "hi")
        followed = ask(one, "go on", user="bob", previous_response_id=first.id, store=kept)
        assert (followed.output_text, followed.user) == ("three", "bob")
        assert sim.requests[-1].messages[0]["content"] == "hi"
        hers = ask(one, "hi", user="ada")
        assert post(one, {"input": "hi", "user": "bob", "previous_response_id": hers.id})[0] == 400


def test_a_key_of_one_user_does_not_reach_what_was_made_without(tmp_path: Path) -> None:
    store = tmp_path / "chats.db"
    whole, ada = made(store, "shop"), made(store, "shop", "ada")
    with serve("qwen", "ok") as sim, gate(sim, store=store) as one:
        _, first, _ = post(one, {"input": "hi"}, **bearer(whole))
        for user in ({}, {"user": "ada"}):
            body = {"input": "hi", "previous_response_id": first["id"], **user}
            assert post(one, body, **bearer(ada))[0] == 400
        assert len(sim.requests) == 1


def test_equal_keys_of_two_users_are_two_responses(tmp_path: Path) -> None:
    store = tmp_path / "chats.db"
    keys = made(store, "shop", "ada"), made(store, "shop", "bob")
    with serve("qwen", ["first", "second"]) as sim, gate(sim, store=store) as one:
        found = [
            one.post({"model": MODEL, "input": "hi"}, "/v1/responses", **bearer(key), idempotency_key="k1")
            for key in keys
        ]
        assert [status for status, _, _ in found] == [200, 200]
        assert len({json.loads(body)["id"] for _, body, _ in found}) == 2


CALLING: dict[str, Any] = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(
    ("items", "code"),
    [
        ([said("user", " ")], "message_empty"),
        ([said("user", "hi"), said("assistant", "ok")], "nothing_new"),
        ([said("developer", "Be brief.")], "user_missing"),
        ([said("user", "hi"), CALLING], "tool_results_incomplete"),
        ([CALLING], "tool_results_incomplete"),
        ([result("c0"), CALLING, result("c1")], "results_first"),
        ([result("c0"), said("assistant", "hm")], "results_first"),
    ],
)
def test_what_is_no_question_is_refused(items: list[Any], code: str, *, kept: bool) -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        status, answer, _ = post(one, {"input": items, "store": kept})
        assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, code, "input")
        assert not sim.requests
        assert json.loads(one.get("/v1/conversations")[1])["data"] == []


def test_an_answer_says_beside_it_where_it_stands() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        for more in ({}, {"stream": True}, {"background": True}):
            status, _, headers = one.post({"model": MODEL, "input": "hi", **more}, "/v1/responses")
            assert status == 200
            assert headers["x-conversation-id"].startswith("conv_")
            assert headers["x-multiturn-turn"] == "1"
            assert headers["x-multiturn-turn-id"].startswith("turn_")
            assert headers["x-multiturn-model"] == MODEL
            assert int(headers["x-multiturn-context-tokens"]) > 0
            assert headers["x-multiturn-left-out"] == "0"


def test_bad_questions_about_a_response_are_refused_by_name() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        path = f"/v1/responses/{ask(one, 'hi').id}"
        for query, param in (
            ("stream=maybe", "stream"),
            ("stream=", "stream"),
            *((f"stream=true&starting_after={each}", "starting_after") for each in ("-1", "x", "9" * 13, "")),
        ):
            status, body, _ = one.get(f"{path}?{query}")
            assert (status, json.loads(body)["error"]["param"]) == (400, param)
        assert one.get(f"{path}?stream=TRUE&starting_after={'9' * 12}")[:2] == (200, b"data: [DONE]\n\n")
        assert json.loads(one.get(f"{path}?stream=false&starting_after=1")[1])["status"] == "completed"
        status, body, _ = one.get("/v1/responses/resp_none")
        assert (status, json.loads(body)["error"]["param"]) == (404, "response_id")
        assert one.get("/v1/responses")[2]["allow"] == "POST"


def test_only_the_id_of_a_response_is_one() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        first = ask(one, "hi").id
        for other in ("msg_", "turn_", "fc_"):
            name = first.replace("resp_", other)
            assert one.get(f"/v1/responses/{name}")[0] == 404
            assert post(one, {"input": "more", "previous_response_id": name})[0] == 400
        assert len(sim.requests) == 1


def test_what_is_too_long_is_said_of_the_input() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        for path, more in (("", {}), ("", {"store": False}), ("/input_tokens", {})):
            body = {"model": MODEL, "input": "hi " * 200_000, **more}
            status, answer, _ = one.post(body, f"/v1/responses{path}")
            assert (status, json.loads(answer)["error"]["param"]) == (400, "input")
        assert not sim.requests


def test_what_a_conversation_has_no_room_for_is_not_stored() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        ask(one, "hi", conversation=name)
        path = f"/v1/conversations/{name}"
        raw = json.dumps({"budget": 300, "reserve_output": 16, "summarize": None, "recall": None}).encode()
        assert one._asked("PUT", f"{path}/policy", raw, {})[0] == 200
        status, answer, _ = post(one, {"input": "word " * 500, "conversation": name})
        assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")
        assert len(json.loads(one.get(f"{path}/turns")[1])["data"]) == 1
