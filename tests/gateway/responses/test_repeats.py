"""A request for a response that is repeated makes no second one; a conversation takes one at a time."""

from __future__ import annotations

import json
import threading
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.gateway.keyed import bearer, made
from tests.gateway.responding import MODEL, TOOL, ask, post, result, sent, until
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Call, Fault, Script, Wire, serve

from multiturn.config import Config, Timing


def conversations(one: Gate) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(one.get("/v1/conversations")[1])["data"]
    return found


def patient(one: Gate, input: Any, **given: Any) -> Any:
    """What fails at first is repeated, as the SDK does it by itself when a connection breaks."""
    with pytest.raises(openai.InternalServerError):
        ask(one, input, **given)
    return ask(one, input, **given, extra_headers={"x-stainless-retry-count": "1"})


@pytest.mark.parametrize("streamed", [False, True])
def test_a_repeated_first_request_makes_one_conversation(streamed: bool) -> None:
    faults = {number: Fault(503) for number in range(1, 5)}
    with serve("qwen", Script("ok", faults=faults)) as sim, gate(sim) as one:
        answer = patient(one, "hi", stream=streamed)
        if streamed:
            assert list(answer)[-1].type == "response.completed"
        assert [each["turns"] for each in conversations(one)] == [1]
        assert sent(sim) == [("user", "hi")]


def test_a_repeated_follow_up_is_one_turn() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        first = ask(one, "one")
        sim.script = Script("ok", faults={number: Fault(503) for number in range(1, 5)})
        second = patient(one, "two", previous_response_id=first.id)
        assert [text for _, text in sent(sim)] == ["one", "ok", "two"]
        ask(one, "three", previous_response_id=second.id)
        assert [text for _, text in sent(sim)] == ["one", "ok", "two", "ok", "three"]


def test_repeated_results_are_handed_on_once() -> None:
    with serve("qwen", Answer(calls=[Call("weather", id="call_1")])) as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        ask(one, "weather?", tools=[TOOL], conversation=name)
        sim.script = Script("ok", faults={number: Fault(503) for number in range(1, 5)})
        patient(one, [result("call_1")], conversation=name)
        ask(one, "thanks", conversation=name)
        assert [role for role, _ in sent(sim)] == ["user", "assistant", "tool", "assistant", "user"]


@pytest.mark.parametrize("where", ["first", "follow", "conversation"])
def test_a_repeat_while_the_first_still_runs_joins_it(where: str) -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        body: dict[str, Any] = {"input": "hi"}
        if where == "follow":
            body["previous_response_id"] = ask(one, "before").id
        if where == "conversation":
            body["conversation"] = one.openai().conversations.create().id
        sim.script = Script("a slow answer", wire=Wire(first=2))
        asked = len(sim.requests)
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(post(one, body)))
        thread.start()
        until(lambda: len(sim.requests) > asked)
        status, second, _ = post(one, body, x_stainless_retry_count="1")
        thread.join()
        assert (status, found[0][0]) == (200, 200)
        assert second == found[0][1]
        assert len(sim.requests) == asked + 1
        assert len(conversations(one)) == 1


def test_a_repeat_is_told_the_same_events() -> None:
    with serve("qwen", Script("a slow answer", wire=Wire(first=2))) as sim, gate(sim) as one:
        raw = json.dumps({"model": MODEL, "input": "hi", "stream": True}).encode()
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(one.post(raw, path="/v1/responses")[1]))
        thread.start()
        until(lambda: bool(sim.requests))
        again = one.post(raw, path="/v1/responses", x_stainless_retry_count="1")[1]
        thread.join()
        assert again == found[0]


def test_a_repeat_is_known_after_a_restart(tmp_path: Path) -> None:
    body = {"input": "hi"}
    with serve("qwen", ["first", "second", "third"]) as sim:
        with gate(sim, store=tmp_path / "chats.db") as one:
            first = post(one, body)[1]
        with gate(sim, store=tmp_path / "chats.db") as one:
            assert post(one, body, x_stainless_retry_count="1")[1] == first
            follow = {"input": "more", "previous_response_id": first["id"]}
            second = post(one, follow)[1]
        with gate(sim, store=tmp_path / "chats.db") as one:
            assert post(one, follow, x_stainless_retry_count="1")[1] == second
            assert len(conversations(one)) == 1


@pytest.mark.parametrize("where", ["conversation", "branch", "other"])
def test_a_repeat_finds_its_turn_among_others_after_a_restart(tmp_path: Path, where: str) -> None:
    again = {"x_stainless_retry_count": "1"}
    with serve("qwen", [str(number) for number in range(9)]) as sim:
        with gate(sim, store=tmp_path / "chats.db") as one:
            name = one.openai().conversations.create().id
            first = ask(one, "one", conversation=name)
            body: dict[str, Any] = {"input": "two", "conversation": name}
            if where == "branch":
                ask(one, "two", previous_response_id=first.id)
                body = {"input": "three", "previous_response_id": first.id}
            if where == "other":
                body = {"input": "two"}
            found = post(one, body)[1]
            if where == "other":
                ask(one, "three", conversation=name)
            asked = len(sim.requests)
        with gate(sim, store=tmp_path / "chats.db") as one:
            assert post(one, body, **again)[1] == found
            assert len(sim.requests) == asked
            status, other, _ = post(one, {**body, "temperature": 0.5}, **again)
            assert (status, len(sim.requests)) == (200, asked + 1)
            assert other["id"] != found["id"]


def test_a_count_that_is_none_is_no_repeat() -> None:
    with serve("qwen", ["first", "second", "third"]) as sim, gate(sim) as one:
        found = [post(one, {"input": "hi"}, x_stainless_retry_count=each) for each in ("x", "0", "-1")]
        assert [status for status, _, _ in found] == [200] * 3
        assert len({answer["id"] for _, answer, _ in found}) == 3


def test_nobody_repeats_what_another_user_posted(tmp_path: Path) -> None:
    store = tmp_path / "chats.db"
    keys = made(store, "shop", "ada"), made(store, "shop", "bob"), made(store, "other")
    with serve("qwen", "ok") as sim, gate(sim, store=store) as one:
        body = {"input": "hi", "background": True}
        found = [post(one, body, **bearer(key), x_stainless_retry_count="1")[1]["id"] for key in keys]
        assert len(set(found)) == 3


def test_two_equal_requests_are_two_responses() -> None:
    with serve("qwen", ["first", "second"]) as sim, gate(sim) as one:
        assert ask(one, "继续").id != ask(one, "继续").id
        assert len(conversations(one)) == 2


def test_a_request_key_answers_the_same_and_refuses_another_body(tmp_path: Path) -> None:
    key: Any = {"extra_headers": {"Idempotency-Key": "k1"}}
    with serve("qwen", ["first", "second"]) as sim:
        with gate(sim, store=tmp_path / "chats.db") as one:
            first = ask(one, "hi", **key)
            assert ask(one, "hi", **key).to_dict() == first.to_dict()
        with gate(sim, store=tmp_path / "chats.db") as one:
            assert ask(one, "hi", **key).to_dict() == first.to_dict()
            with pytest.raises(openai.UnprocessableEntityError):
                ask(one, "hi", temperature=0.5, **key)
        assert len(sim.requests) == 1


@pytest.mark.parametrize("more", [{}, {"stream": True}], ids=str)
def test_the_same_headers_stand_beside_the_repeat(more: dict[str, Any]) -> None:
    def beside() -> dict[str, str]:
        asked = {"model": MODEL, "input": "hi", **more}
        _, _, headers = one.post(asked, "/v1/responses", idempotency_key="k1")
        return {
            name: value
            for name, value in headers.items()
            if name.startswith(("x-multiturn-", "x-conversation-"))
        }

    with serve("qwen", "first") as sim, gate(sim) as one:
        first = beside()
        assert {"x-conversation-id", "x-multiturn-turn-id", "x-multiturn-left-out"} < first.keys()
        assert beside() == first


def test_a_key_tells_the_step_it_made() -> None:
    script: list[Any] = [Answer(calls=[Call("weather", id="call_1")]), "It is sunny."]
    with serve("qwen", script) as sim, gate(sim) as one:
        first = ask(one, "weather?", tools=[TOOL], extra_headers={"Idempotency-Key": "k1"})
        given: Any = {"previous_response_id": first.id, "extra_headers": {"Idempotency-Key": "k2"}}
        second = ask(one, [result("call_1")], **given)
        assert ask(one, [result("call_1")], **given).to_dict() == second.to_dict()
        again = ask(one, "weather?", tools=[TOOL], extra_headers={"Idempotency-Key": "k1"})
        assert again.to_dict() == first.to_dict()


def test_a_conversation_that_is_busy_says_so_in_openais_words() -> None:
    config = Config(store=":memory:", model=MODEL, timing=Timing(queue=0.2))
    with serve("qwen", Script("slow", wire=Wire(first=2))) as sim, gate(sim, config=config) as one:
        name = one.openai().conversations.create().id
        thread = threading.Thread(target=ask, args=(one, "one"), kwargs={"conversation": name})
        thread.start()
        until(lambda: bool(sim.requests))
        status, body, headers = post(one, {"input": "two", "conversation": name})
        thread.join()
        error = body["error"]
        assert (status, error["code"], error["param"]) == (400, "conversation_locked", "conversation")
        assert (headers["x-should-retry"], headers["retry-after-ms"]) == ("true", "200")


def test_a_repeated_background_request_finds_the_response_that_runs() -> None:
    with serve("qwen", Script("word " * 60, wire=Wire(piece=5, between=0.02))) as sim, gate(sim) as one:
        body = {"input": "hi", "background": True}
        first = post(one, body)[1]
        second = post(one, body, x_stainless_retry_count="1")[1]
        assert second == first
        until(lambda: one.openai().responses.retrieve(first["id"]).status == "completed")
        again = post(one, body, x_stainless_retry_count="1")[1]
        assert (again["id"], again["status"]) == (first["id"], "completed")
        assert len(sim.requests) == 1


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_that_was_told_whole_is_not_told_again(*, streamed: bool) -> None:
    with serve("qwen", ["first", "second"]) as sim, gate(sim) as one:
        line = HTTPConnection("127.0.0.1", one.port, timeout=30)
        for count in ("0", "1"):
            again = {"content-type": "application/json", "x-stainless-retry-count": count}
            body = {"model": MODEL, "input": "继续", "stream": streamed}
            line.request("POST", "/v1/responses", json.dumps(body), again)
            assert b"completed" in line.getresponse().read()
        assert [each["turns"] for each in conversations(one)] == [1, 1]
        assert len(sim.requests) == 2
        line.close()


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_that_was_lost_on_its_way_is_told_again(*, streamed: bool) -> None:
    with serve("qwen", ["uno", "due"]) as sim, gate(sim) as one:
        body = {"model": MODEL, "input": "继续", "stream": streamed}
        with one.socket(body, "content-type: application/json", path="/v1/responses"):
            until(lambda: [each["turns"] for each in conversations(one)] == [1])
            name = conversations(one)[0]["id"]
            until(lambda: b"completed" in one.get(f"/v1/conversations/{name}/turns")[1])
        again = one.post(body, path="/v1/responses", x_stainless_retry_count="1")[1]
        assert b"uno" in again
        assert len(sim.requests) == 1
        assert b"due" in one.post(body, path="/v1/responses")[1]
