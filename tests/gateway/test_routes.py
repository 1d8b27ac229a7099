"""A client names a route, and whoever can answers: over real HTTP, with and without a conversation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Fault, Script, Simulator, serve

from multiturn.settings import load

TARGETS = ("qwen/qwen-plus", "kimi/kimi-k2.6")
HELLO = [{"role": "user", "content": "你好"}]
DOWN = Fault(503)


@contextmanager
def routed(
    qwen: Any = None, kimi: Any = None, *, targets: tuple[str, ...] = TARGETS, **given: Any
) -> Iterator[tuple[Gate, Simulator, Simulator]]:
    """A gateway with a route over two providers."""
    routes = {"chat-fast": {"targets": list(targets)}}
    config = load({"routes": routes}, {"HOME": "/nowhere"}, Path("/nowhere"))
    with serve("qwen", qwen) as one, serve("kimi", kimi) as other:
        with gate(one, other, config=config, **given) as door:
            yield door, one, other


def ask(**more: Any) -> dict[str, Any]:
    return {"model": "chat-fast", "messages": HELLO, **more}


# ----------------------------------------------------------------------------------- stateless


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", [DOWN, Fault(429), Fault(500), Fault(drop=True), Fault(404, kind="model")])
def test_the_next_target_answers_what_nobody_remembers(fault: Fault, stream: bool) -> None:
    with routed(Script(faults={1: fault}), "好") as (door, qwen, kimi):
        status, body, headers = door.post(ask(stream=stream))
        assert (status, "好" in body.decode()) == (200, True)
        assert (headers["x-multiturn-route"], headers["x-multiturn-model"]) == ("chat-fast", TARGETS[1])
        assert (len(qwen.requests), len(kimi.requests)) == (1, 1)
        assert kimi.requests[0].body["model"] == "kimi-k2.6"


def test_the_model_of_the_answer_is_the_one_that_gave_it() -> None:
    with routed("好") as (door, qwen, _):
        status, _, headers = door.post(ask())
        assert (status, headers["x-multiturn-model"]) == (200, TARGETS[0])
        assert door.openai().chat.completions.create(**ask()).model == "qwen-plus"
        assert len(qwen.requests) == 2


def test_a_model_that_is_no_route_answers_untouched() -> None:
    with routed("好") as (door, qwen, kimi):
        status, _, headers = door.post(ask(model="qwen/qwen-plus"))
        assert (status, headers["x-multiturn-route"], headers["x-multiturn-model"]) == (200, None, None)
        assert (len(qwen.requests), len(kimi.requests)) == (1, 0)


def test_after_the_first_byte_nobody_else_is_asked() -> None:
    broken = Script(Answer("I was about to say something", cut="reset", cut_after=3))
    with routed(broken, "好") as (door, qwen, kimi):
        with pytest.raises(openai.APIError):
            for _ in door.openai().chat.completions.create(**ask(stream=True)):
                pass
        assert (len(qwen.requests), len(kimi.requests)) == (1, 0)


@pytest.mark.parametrize("how", [Answer("无", cut="end", cut_after=0), Answer("无", fail="overloaded")])
def test_a_stream_without_a_first_byte_is_begun_elsewhere(how: Answer) -> None:
    with routed(how, "好") as (door, qwen, kimi):
        _, body, headers = door.post(ask(stream=True))
        assert ("好" in body.decode(), headers["x-multiturn-model"]) == (True, TARGETS[1])
        assert b"error" not in body
        assert (len(qwen.requests), len(kimi.requests)) == (1, 1)


def test_a_target_that_is_down_is_soon_left_alone_and_the_last_error_is_told() -> None:
    with routed(Script(faults=DOWN), "好") as (door, qwen, kimi):
        for _ in range(6):
            assert door.post(ask())[0] == 200
        assert (len(qwen.requests), len(kimi.requests)) == (3, 6)
    with routed(Script(faults=DOWN), Script(faults=Fault(500))) as (door, qwen, kimi):
        status, _, headers = door.post(ask())
        assert (status, headers["x-multiturn-route"]) == (500, None)
        assert (len(qwen.requests), len(kimi.requests)) == (1, 1)


def test_an_answer_ends_the_row_of_failures() -> None:
    with routed(Script("好", faults=dict.fromkeys((1, 3, 5, 7), DOWN)), "好") as (door, qwen, kimi):
        models = [door.post(ask())[2]["x-multiturn-model"] for _ in range(8)]
        assert models == [TARGETS[1], TARGETS[0]] * 4
        assert (len(qwen.requests), len(kimi.requests)) == (8, 4)


def test_the_last_target_is_asked_again_in_dashscopes_words_too() -> None:
    body = {"model": "chat-fast", "input": {"messages": HELLO}}
    with routed(Script(faults=DOWN), Script("好", faults={1: DOWN})) as (door, qwen, kimi):
        status, told, _ = door.post(body, "/api/v1/services/aigc/text-generation/generation")
        assert (status, "好" in told.decode()) == (200, True)
        assert (len(qwen.requests), len(kimi.requests)) == (1, 2)


def test_a_bad_request_is_nobodys_fault_but_the_clients() -> None:
    with routed() as (door, qwen, kimi):
        assert door.post(ask(temperature=99))[0] == 400
        assert (len(qwen.requests), len(kimi.requests)) == (1, 0)


def test_routes_over_models_of_other_protocols_work_too() -> None:
    with routed("好", targets=("demo?fail=503", "qwen/qwen-plus")) as (door, qwen, _):
        for stream in (False, True):
            status, body, headers = door.post(ask(stream=stream))
            assert (status, "好" in body.decode()) == (200, True)
            assert headers["x-multiturn-model"] == "qwen/qwen-plus"
        assert len(qwen.requests) == 2


# ------------------------------------------------------------------------------------ stateful


@pytest.mark.parametrize("stream", [False, True])
def test_the_next_target_goes_on_with_the_conversation(stream: bool) -> None:
    with routed(Script(faults={2: DOWN})) as (door, qwen, kimi):
        sdk = door.openai(default_headers={"x-conversation-id": "c"})
        first = sdk.chat.completions.create(**ask(messages=[{"role": "user", "content": "我今年 27 岁。"}]))
        assert first.model == TARGETS[0]
        body = ask(messages=[{"role": "user", "content": "我几岁？"}], stream=stream)
        status, answer, headers = door.post(body, x_conversation_id="c")
        assert (status, "27" in answer.decode(), TARGETS[1] in answer.decode()) == (200, True, True)
        assert (headers["x-multiturn-route"], headers["x-multiturn-model"]) == ("chat-fast", TARGETS[1])
        told = json.loads(door.get("/v1/conversations/c/turns/2/context")[1])
        assert (told["route"], told["tried"][0]["model"]) == ("chat-fast", TARGETS[0])
        third = sdk.chat.completions.create(**ask(messages=[{"role": "user", "content": "再说一遍"}]))
        assert third.model == TARGETS[1]
        assert (len(qwen.requests), len(kimi.requests)) == (2, 2)


def test_a_conversation_that_is_only_read_has_a_route_too() -> None:
    with routed(Script(faults={2: DOWN})) as (door, qwen, kimi):
        door.post(ask(messages=[{"role": "user", "content": "我今年 27 岁。"}]), x_conversation_id="c")
        body = ask(messages=[{"role": "user", "content": "我几岁？"}], store=False)
        status, answer, headers = door.post(body, x_conversation_id="c")
        assert (status, "27" in answer.decode()) == (200, True)
        assert (headers["x-multiturn-route"], headers["x-multiturn-model"]) == ("chat-fast", TARGETS[1])
        assert (len(qwen.requests), len(kimi.requests)) == (2, 1)


def test_a_conversation_that_is_only_read_stays_where_it_is() -> None:
    with routed(Script(faults={1: DOWN})) as (door, qwen, kimi):
        door.post(ask(), x_conversation_id="c")
        _, _, headers = door.post(ask(store=False), x_conversation_id="c")
        assert headers["x-multiturn-model"] == TARGETS[1]
        assert (len(qwen.requests), len(kimi.requests)) == (1, 2)


def test_a_repeat_is_told_of_the_same_route() -> None:
    with routed() as (door, qwen, _):
        given = {"x_conversation_id": "c", "idempotency_key": "k-1"}
        told = [door.post(ask(), **given)[2] for _ in range(2)]
        assert [each["x-multiturn-route"] for each in told] == ["chat-fast"] * 2
        assert [each["x-multiturn-model"] for each in told] == [TARGETS[0]] * 2
        assert len(qwen.requests) == 1


def test_what_one_of_the_targets_does_not_know_is_dropped() -> None:
    with routed("好") as (door, qwen, _):
        status, _, headers = door.post(ask(verbosity="low"), x_conversation_id="c")
        assert (status, headers["x-multiturn-dropped"]) == (200, "verbosity")
        assert "verbosity" not in qwen.requests[0].body


# ----------------------------------------------------------------------------------- responses


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_comes_from_whoever_can_answer(stream: bool) -> None:
    with routed(Script(faults={2: DOWN})) as (door, qwen, kimi):
        sdk = door.openai()
        first = sdk.responses.create(model="chat-fast", input="我今年 27 岁。")
        asked: Any = {"model": "chat-fast", "input": "我几岁？", "previous_response_id": first.id}
        raw = sdk.responses.with_raw_response.create(**asked, stream=stream)
        answer: Any = raw.parse()
        if stream:
            *_, last = answer
            answer = last.response
        assert (first.model, answer.model) == TARGETS
        assert "27" in answer.output_text
        assert (raw.headers["x-multiturn-route"], raw.headers["x-multiturn-model"]) == (
            "chat-fast",
            TARGETS[1],
        )
        assert (len(qwen.requests), len(kimi.requests)) == (2, 1)


# ---------------------------------------------------------------------------- what a client sees


def test_routes_are_listed_as_models() -> None:
    with routed() as (door, _, _):
        sdk = door.openai()
        listed = {model.id: model.owned_by for model in sdk.models.list()}
        assert listed["chat-fast"] == "route"
        assert listed["qwen/qwen-plus"] == "qwen"
        one = sdk.models.retrieve("chat-fast")
        assert (one.owned_by, getattr(one, "targets")) == ("route", list(TARGETS))  # noqa: B009  (ours)
    with routed(targets=("openai/gpt-5.4",)) as (door, _, _):
        assert "chat-fast" not in {model.id for model in door.openai().models.list()}
        assert door.get("/v1/models/chat-fast")[0] == 404


def test_after_our_last_try_a_client_is_told_not_to_repeat() -> None:
    with routed(Script(faults=DOWN)) as (door, qwen, _):
        body = ask(model="qwen/qwen-plus")
        status, _, headers = door.post(body, x_conversation_id="c")
        assert (status, headers["x-should-retry"], len(qwen.requests)) == (503, "false", 3)


def test_a_client_may_repeat_what_we_hand_on_until_the_budget_is_spent() -> None:
    with routed(Script(faults=DOWN)) as (door, qwen, _):
        told = [door.post(ask(model="qwen/qwen-plus"))[2]["x-should-retry"] for _ in range(5)]
        assert told == ["true", "true", "true", "false", "false"]
        assert len(qwen.requests) == 5
        with pytest.raises(openai.InternalServerError):
            door.openai(max_retries=2).chat.completions.create(**ask(model="qwen/qwen-plus"))
        assert len(qwen.requests) == 6


def test_a_tenth_of_what_we_hand_on_may_be_repeated() -> None:
    with routed(Script("好", faults=dict.fromkeys(range(61, 80), DOWN))) as (door, _, _):
        for _ in range(60):
            assert door.post(ask(model="qwen/qwen-plus"))[0] == 200
        told = [door.post(ask(model="qwen/qwen-plus"))[2]["x-should-retry"] for _ in range(8)]
        assert 4 <= told.count("true") <= 6
