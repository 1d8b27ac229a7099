"""Who hears of a response while it is made, who may leave, and what becomes of one that nobody waits for."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.responding import MODEL, ask, chunks, post, sent, told, until
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Fault, Script, Wire, serve

from multiturn.settings import load

RESPONSES = "/v1/responses"
DETACHED = "x-multiturn-detached: true"


def slow(words: int = 400) -> Script:
    return Script("word " * words, wire=Wire(piece=5, between=0.02))


def turns(one: Gate, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(one.get(f"/v1/conversations/{name}/turns")[1])["data"]
    return found


def response_of(turn: dict[str, Any]) -> str:
    """The id of the first response of a turn."""
    return f"{turn['id'].replace('turn_', 'resp_', 1)}_1"


def state(one: Gate, name: str) -> str:
    return str((turns(one, name) or [{"state": ""}])[-1]["state"])


@pytest.mark.parametrize("streamed", [False, True])
def test_a_detached_response_goes_on_without_its_client(*, streamed: bool) -> None:
    with serve("qwen", slow(30)) as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        body = {"model": MODEL, "input": "hi", "conversation": name, "stream": streamed}
        with one.socket(body, DETACHED, path=RESPONSES):
            until(lambda: bool(sim.requests))
        until(lambda: state(one, name) == "completed")
        assert not sim.requests[0].left


@pytest.mark.parametrize("streamed", [False, True])
def test_a_detached_response_is_followed_by_its_repeat(*, streamed: bool) -> None:
    with serve("qwen", slow(120)) as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        body = {"model": MODEL, "input": "hi", "conversation": name, "stream": streamed}
        with one.socket(body, DETACHED, "idempotency-key: k1", path=RESPONSES):
            until(lambda: bool(sim.requests))
        with one.socket(body, DETACHED, "idempotency-key: k1", path=RESPONSES) as sock:
            if streamed:
                assert sock.recv(10)
                assert state(one, name) in ("accepted", "streaming"), "it is heard while it comes"
            else:
                assert b"completed" in sock.recv(100_000)
        until(lambda: state(one, name) == "completed")
        again = one.post(body, RESPONSES, x_multiturn_detached="true", idempotency_key="k1")
        assert (again[0], len(turns(one, name)), len(sim.requests)) == (200, 1, 1)


@pytest.mark.parametrize(("value", "streamed"), [("True", False), ("1", False), ("true", True)])
def test_a_detached_response_is_told_to_whoever_stays(value: str, *, streamed: bool) -> None:
    with serve("qwen", slow(4)) as sim, gate(sim) as one:
        body = {"model": MODEL, "input": "hi", "stream": streamed}
        status, answer, headers = one.post(body, RESPONSES, x_multiturn_detached=value)
        assert (status, headers["x-multiturn-turn"]) == (200, "1")
        if streamed:
            assert b"event: response.completed" in answer
        else:
            kept = one.openai().responses.retrieve(json.loads(answer)["id"])
            assert (kept.status, kept.to_dict()) == ("completed", json.loads(answer))


def test_what_comes_is_told_as_it_comes() -> None:
    with serve("qwen", slow()) as sim, gate(sim) as one:
        client = one.openai()
        create: Any = client.responses.create
        for asked in ({"background": True}, {"stream": True}):
            first = create(model=MODEL, input="hi", **asked)
            name = first.id if "background" in asked else next(first).response.id
            follower = client.responses.retrieve(name, stream=True)
            assert next(each for each in follower if each.type == "response.output_text.delta").delta
            assert client.responses.retrieve(name).status == "in_progress"
            client.responses.cancel(name)
            assert [each.type for each in follower][-1] == "response.incomplete"
        assert len(sim.requests) == 2


def test_one_that_fails_in_the_background_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with serve("qwen", Script("no", faults=Fault(400, delay=0.3))) as sim, gate(sim) as one:
        client = one.openai()
        first = client.responses.create(model=MODEL, input="hi", background=True)
        events = chunks(client.responses.retrieve(first.id, stream=True))
        assert events[0]["response"]["status"] == "queued"
        assert (events[-1]["type"], events[-1]["response"]["output"]) == ("response.failed", [])
        assert client.responses.retrieve(first.id).to_dict() == events[-1]["response"]
    gc.collect()
    assert not [each for each in caplog.records if each.name == "asyncio"]


def test_a_follower_hears_that_the_conversation_was_deleted() -> None:
    with serve("qwen", slow()) as sim, gate(sim) as one:
        client = one.openai()
        name = client.conversations.create().id
        first = client.responses.create(model=MODEL, input="hi", conversation=name, background=True)
        heard: list[dict[str, Any]] = []
        ended = False
        follow = client.with_options(timeout=30).responses.with_streaming_response.retrieve
        with follow(first.id, stream=True) as answer:
            for line in answer.iter_lines():
                if line == "data: [DONE]":
                    ended = True
                elif line.startswith("data: "):
                    heard.append(json.loads(line[6:]))
                    if len(heard) == 3:
                        client.conversations.delete(name)
        last = heard[-1]
        assert ended
        assert (last["type"], last["sequence_number"]) == ("error", len(heard) - 1)
        error = {key: last[key] for key in ("code", "message", "param")}
        assert last["error"] == {"type": "invalid_request_error", **error}
        assert error["code"].endswith("_not_found")


def test_whoever_follows_a_response_hears_that_its_client_left() -> None:
    with serve("qwen", Script("late", wire=Wire(first=20))) as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        with one.socket({"model": MODEL, "input": "hi", "conversation": name}, path=RESPONSES):
            until(lambda: bool(sim.requests))
            follower = one.openai().responses.retrieve(response_of(turns(one, name)[0]), stream=True)
            assert next(follower).type == "response.created"
        assert list(follower)[-1].type == "response.incomplete"
        until(lambda: sim.requests[0].left)


def test_whoever_leaves_the_line_is_not_answered() -> None:
    with serve("qwen", slow(100)) as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        first = one.openai().responses.create(model=MODEL, input="one", conversation=name, background=True)
        with one.socket({"model": MODEL, "input": "two", "conversation": name}, path=RESPONSES):
            pass
        assert [each["type"] for each in chunks(one.openai().responses.retrieve(first.id, stream=True))][-1]
        sim.script = Script("ok")
        ask(one, "three", conversation=name)
        assert [text for _, text in sent(sim)][::2] == ["one", "three"]
        assert len(turns(one, name)) == 2


def test_what_was_refused_early_is_refused_again() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        body = {"input": [{"role": "user", "content": "word " * 200_000}]}
        first = post(one, body)
        again = post(one, body, x_stainless_retry_count="1")
        assert (first[0], first[1]["error"]["param"]) == (400, "input")
        assert again[:2] == first[:2]
        assert not sim.requests


def test_a_repeat_in_a_conversation_that_goes_on_makes_no_second_turn() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        ask(one, "one", conversation=name)
        down = Fault(503).after(10, unit="ms")
        sim.script = Script("ok", faults=dict.fromkeys(range(1, 5), down))
        body = {"input": "two", "conversation": name}
        assert post(one, body)[0] == 503
        assert post(one, body, x_stainless_retry_count="1")[0] == 200
        assert [text for _, text in sent(sim)] == ["one", "ok", "two"]
        assert [each["state"] for each in turns(one, name)] == ["completed"] * 2


def test_a_repeat_of_what_was_answered_before_the_last_turn_failed_is_told_again() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        body = {"input": "one", "conversation": name, "background": True}
        first = post(one, body)[1]["id"]
        until(lambda: state(one, name) == "completed")
        sim.script = Script("no", faults=Fault(400))
        assert post(one, {"input": "two", "conversation": name})[0] == 400
        status, again, _ = post(one, body, x_stainless_retry_count="1")
        assert (status, again["id"], again["status"]) == (200, first, "completed")
        assert [each["state"] for each in turns(one, name)] == ["completed", "failed"]


def test_a_conversation_stays_with_whoever_answered_it() -> None:
    targets = ["qwen/qwen-plus", "kimi/kimi-k2.6"]
    config = load({"routes": {"fast": {"targets": targets}}}, {"HOME": "/nowhere"}, Path("/nowhere"))
    with serve("qwen", Script("ok", faults={1: Fault(503)})) as qwen, serve("kimi", "ok") as kimi:
        with gate(qwen, kimi, config=config) as one:
            last = ask(one, "one", model="fast")
            for text in ("two", "three"):
                last = ask(one, text, model="fast", previous_response_id=last.id)
            assert last.model == targets[1]
            assert (len(qwen.requests), len(kimi.requests)) == (1, 3)


def test_a_response_that_is_made_whole_is_asked_for_whole() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        ask(one, "hi")
        assert not sim.requests[-1].body.get("stream")
        told(one, "hi")
        assert sim.requests[-1].body["stream"] is True


def test_an_answer_without_any_piece_is_told_too() -> None:
    with serve("qwen", Answer("")) as sim, gate(sim) as one:
        last = told(one, "hi")[-1]
        assert (last["type"], last["response"]["output"]) == ("response.completed", [])
