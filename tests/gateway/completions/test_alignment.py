"""A client whose history differs is followed on a branch, in the mode that compares."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.serving import Gate, gate
from tests.simulators import Received, Simulator, serve

from multiturn.gateway.completions.alignment import aligned

MODEL = "qwen/qwen-plus"


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def answer(received: Received) -> str:
    return f"answer to {received.text}"


def send(one: Gate, *messages: Any, mode: str = "align", to: str = "c1") -> None:
    body = {"model": MODEL, "messages": list(messages), "conversation": to}
    status, said, _ = one.post(body, x_conversation_mode=mode)
    assert status == 200, said


def sent(sim: Simulator) -> list[object]:
    return [each["content"] for each in sim.requests[-1].messages]


def forks(one: Gate, name: str) -> list[int]:
    """Behind which turn each branch begins."""
    return [each["fork"] for each in json.loads(one.get(f"/v1/conversations/{name}/branches")[1])["data"]]


ONE = (user("one"), said("answer to one"))
TWO = (user("two"), said("answer to two"))


def test_the_same_history_goes_on() -> None:
    with serve("qwen", answer) as sim, gate(sim) as gateway:
        send(gateway, user("one"))
        send(gateway, *ONE, user("two"))
        send(gateway, *TWO, user("three"))
        assert sent(sim) == ["one", "answer to one", "two", "answer to two", "three"]


def test_an_edited_message_makes_a_branch() -> None:
    with serve("qwen", answer) as sim, gate(sim) as gateway:
        send(gateway, user("one"))
        send(gateway, *ONE, user("two"))
        send(gateway, *ONE, user("another"))
        assert sent(sim) == ["one", "answer to one", "another"]
        send(gateway, *ONE, user("another"), said("answer to another"), user("three"))
        assert sent(sim) == ["one", "answer to one", "another", "answer to another", "three"]


def test_what_is_agreed_is_shared_with_the_branch_which_is_then_in_use() -> None:
    with serve("qwen", answer) as sim, gate(sim) as gateway:
        send(gateway, user("one"))
        send(gateway, *ONE, user("two"))
        assert forks(gateway, "c1") == [0]
        send(gateway, *ONE, user("another"))
        assert forks(gateway, "c1") == [0, 1]
        send(gateway, user("more"), mode="append")
        assert sent(sim) == ["one", "answer to one", "another", "answer to another", "more"]


def test_messages_with_ids_of_their_own_are_no_less_turns() -> None:
    one, two = ({"id": f"own-{text}", **user(text)} for text in ("one", "two"))
    with serve("qwen", answer) as sim, gate(sim) as gateway:
        send(gateway, one)
        send(gateway, one, said("answer to one"), two)
        send(gateway, one, said("answer to one"), two, said("something else"), user("three"))
        assert sent(sim) == ["one", "answer to one", "two", "something else", "three"]
        assert forks(gateway, "c1") == [0, 1]


@pytest.mark.parametrize("shown", [True, False], ids=["posted", "not posted"])
def test_an_opening_is_said_once(*, shown: bool) -> None:
    head = [said(" Good  morning!")] if shown else []
    with serve("qwen", answer) as sim, gate(sim) as gateway:
        name = json.loads(gateway.post({"opening": "Good morning!"}, "/v1/conversations")[1])["id"]
        send(gateway, *head, user("one"), to=name)
        send(gateway, *head, *ONE, user("two"), to=name)
        assert sent(sim) == ["Good morning!", "one", "answer to one", "two"]
        assert forks(gateway, name) == [0]
        send(gateway, *head, user("another"), said("hm"), user("three"), to=name)
        assert sent(sim) == ["Good morning!", "another", "hm", "three"]


def test_a_deleted_message_is_not_waited_for() -> None:
    with serve("qwen", answer) as sim, gate(sim) as gateway:
        send(gateway, user("one"))
        send(gateway, *ONE, user("two"))
        found = json.loads(gateway.get("/v1/conversations/c1/items?order=asc")[1])["data"]
        assert gateway.get(f"/v1/conversations/c1/items/{found[1]['id']}", "DELETE")[0] == 200
        send(gateway, user("one"), *TWO, user("three"))
        assert forks(gateway, "c1") == [0]
        assert sent(sim) == ["one\n\ntwo", "answer to two", "three"]


def test_an_edited_answer_is_what_the_model_sees() -> None:
    with serve("qwen", answer) as sim, gate(sim) as gateway:
        send(gateway, user("one"))
        send(gateway, user("one"), said("what I would rather have heard"), user("two"))
        assert sent(sim) == ["one", "what I would rather have heard", "two"]


def test_a_history_that_nobody_knows_is_taken_in() -> None:
    with serve("qwen", answer) as sim, gate(sim) as gateway:
        send(gateway, *ONE, user("two"))
        assert sent(sim) == ["one", "answer to one", "two"]


def test_another_mode_is_refused() -> None:
    with serve("qwen", answer) as sim, gate(sim) as gateway:
        body = {"model": MODEL, "messages": [user("one")], "conversation": "c1"}
        assert gateway.post(body, x_conversation_mode="guess")[0] == 400


@pytest.mark.parametrize(
    "messages",
    [
        [user("other"), said("x"), user(" ")],
        [user("other"), {"role": "tool", "tool_call_id": "call_1", "content": "sun"}, user("two")],
        [*ONE, user("two"), said("x"), {"role": "tool", "tool_call_id": "call_1", "content": "s"}, user("3")],
        [user("other"), said("x"), user("word " * 60_000)],
        [*ONE, user("two"), said("x"), user("word " * 60_000)],
    ],
    ids=[
        "nothing new",
        "a result of no call",
        "another behind what is stored",
        "more than the window holds",
        "more than it holds behind another",
    ],
)
def test_what_is_refused_changes_nothing(messages: list[Any]) -> None:
    with serve("qwen", answer) as sim, gate(sim) as gateway:
        send(gateway, user("one"))
        send(gateway, user("two"))
        body = {"model": MODEL, "messages": messages, "conversation": "c1"}
        assert gateway.post(body, x_conversation_mode="align")[0] == 400
        assert len(json.loads(gateway.get("/v1/conversations/c1/branches")[1])["data"]) == 1
        send(gateway, user("three"))
        assert len(sent(sim)) == 5


LIKE = st.tuples(st.sampled_from(["user", "assistant"]), st.sampled_from("ab"), st.just(()))


@given(st.lists(LIKE, max_size=6), st.lists(LIKE, max_size=6))
def test_what_is_agreed_is_the_same_on_both_sides_and_tears_no_turn(stored: Any, posted: Any) -> None:
    turns = [1 + place // 2 for place in range(len(stored))]
    where = aligned(stored, turns, posted)
    agreed = stored[: where.agreed]
    known = posted[: where.unknown]
    assert agreed[len(agreed) - len(known) :] == known
    assert where.agreed % 2 == 0 or where.agreed == len(stored)


@pytest.mark.parametrize("newest", [2, 4])
def test_newest_messages_alone_are_enough(newest: int) -> None:
    stored = [("user", str(number), ()) for number in range(6)]
    where = aligned(stored, list(range(6)), stored[-newest:])
    assert (where.agreed, where.unknown) == (6, newest)
