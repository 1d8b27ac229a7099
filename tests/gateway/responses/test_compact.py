"""What is compacted: everything up to there that no summary tells of yet, in as many requests as it takes."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.responding import MODEL, TOOL, ask, post, result, sent, until
from tests.gateway.serving import Gate, gate
from tests.gateway.talking import summarised
from tests.simulators import Answer, Call, Fault, Received, Script, Simulator, Wire, serve

from multiturn.prompts import is_request, read

LONG = "w " * 4_000


def said(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def compacted(one: Gate, **body: Any) -> tuple[int, Any]:
    """Status and JSON of a request for a compaction."""
    status, raw, _ = one.post({"model": MODEL, **body}, "/v1/responses/compact")
    return status, json.loads(raw)


def opened(answer: Any) -> tuple[int, str]:
    """How many turns an item stands for, and what it says of them."""
    [item] = answer["output"]
    sealed = item["encrypted_content"].partition(".")[2]
    turns, text = json.loads(zlib.decompress(base64.urlsafe_b64decode(sealed)))
    return turns, text


def told(sim: Simulator) -> str:
    """The turns that were to be summarised last."""
    found = read(sim.requests[-1].messages)
    assert found is not None
    return found.turns


def counting(received: Received) -> str:
    return "A summary." if is_request(received.messages) else "ok"


def test_without_words_there_is_nothing_to_compact() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        for body in ({}, {"conversation": name}, {"input": [said("developer", "Be kind.")]}):
            status, answer = compacted(one, **body)
            assert (status, answer["error"]["code"], answer["error"]["param"]) == (
                400,
                "items_missing",
                "input",
            )
        assert not sim.requests


def test_the_turns_behind_a_response_are_left_out() -> None:
    with serve("qwen", Script(counting)) as sim, gate(sim) as one:
        first = ask(one, "My name is Ada.")
        second = ask(one, "I am 27 years old.", previous_response_id=first.id)
        ask(one, "The code is 4711.", previous_response_id=second.id)
        ask(one, "I live in Paris.", previous_response_id=first.id)
        assert opened(compacted(one, previous_response_id=second.id)[1])[0] == 2
        assert "Ada" in told(sim)
        assert "27" in told(sim)
        assert "4711" not in told(sim)
        assert "Paris" not in told(sim)


def test_a_branch_is_compacted_as_it_went() -> None:
    with serve("qwen", Script(counting)) as sim, gate(sim) as one:
        first = ask(one, "My name is Ada.")
        ask(one, "I am 27 years old.", previous_response_id=first.id)
        aside = ask(one, "I live in Paris.", previous_response_id=first.id)
        assert opened(compacted(one, previous_response_id=aside.id)[1])[0] == 2
        assert "Paris" in told(sim)
        assert "27 years" not in told(sim)


def test_what_is_posted_counts_as_turns() -> None:
    with serve("qwen", "A summary.") as sim, gate(sim) as one:
        items = [said("developer", "Be kind."), said("user", "I am Ada and 27 years old.")]
        items += [said("assistant", "Hello, Ada!"), said("developer", "Be brief."), said("user", "And you?")]
        assert opened(compacted(one, input=items)[1])[0] == 2
        assert told(sim).count("[turn ") == 3
        assert "Be" not in told(sim)


def test_an_existing_summary_is_gone_on_with(tmp_path: Path) -> None:
    store = tmp_path / "chats.db"
    with serve("qwen", Script(counting)) as sim, gate(sim, store=store) as one:
        name = one.openai().conversations.create().id
        first = ask(one, "The code is 4711. " + "a " * 400, conversation=name)
        for each in "bcd":
            last = ask(one, f"{each} " * 400, conversation=name)
        summarised(store, name, "A summary.", upto=2)
        compacted(one, previous_response_id=first.id)
        found = read(sim.requests[-1].messages)
        assert found is not None
        assert (found.so_far, "4711" in found.turns) == ("", True)
        for place in ({"conversation": name}, {"previous_response_id": last.id}):
            assert opened(compacted(one, **place)[1])[0] == 4
            found = read(sim.requests[-1].messages)
            assert found is not None
            assert (found.so_far, "4711" in found.turns) == ("A summary.", False)
            assert found.turns.startswith("[turn 3]")


@pytest.mark.parametrize(("place", "text"), [(0, "A summary."), (1, "用户叫小明。")])
def test_it_is_asked_for_in_the_users_language(place: int, text: str) -> None:
    turns = [
        [said("user", "你好，我叫小明，今年二十七岁。"), said("assistant", "Hello! " * 20)],
        [said("user", "Hello, I am Ada and 27."), said("assistant", "你好，很高兴认识你。" * 20)],
    ]
    with serve("qwen", text) as sim, gate(sim) as one:
        compacted(one, input=turns[place])
        found = read(sim.requests[-1].messages)
        assert found is not None
        assert found.language == ("zh", "en")[place]


def test_tools_and_their_results_are_told() -> None:
    script = Script([Answer(calls=[Call("weather", id="call_1")]), "It is sunny.", "A summary."])
    with serve("qwen", script) as sim, gate(sim) as one:
        first = ask(one, "weather?", tools=[TOOL])
        second = ask(one, [result("call_1")], previous_response_id=first.id)
        compacted(one, previous_response_id=second.id)
        assert "weather" in told(sim)
        assert "sunny" in told(sim)


def many(turns: int) -> list[dict[str, str]]:
    """Turns of which six are read at once."""
    return [each for n in range(turns) for each in (said("user", f"{n} " + LONG), said("assistant", "ok"))]


def test_what_is_too_much_for_one_request_is_read_in_several() -> None:
    with serve("qwen", "A summary.") as sim, gate(sim) as one:
        status, answer = compacted(one, input=many(9))
        assert status == 200
        assert opened(answer) == (9, "A summary.")
        found = [asked for each in sim.requests if (asked := read(each.messages))]
        told = [re.findall(r"^\[turn (\d+)\] user", each.turns, re.MULTILINE) for each in found]
        assert [int(number) for each in told for number in each] == [*range(1, 10)]
        assert [each.so_far for each in found] == ["", "A summary."]
        assert answer["usage"]["input_tokens"] > 9 * 4_000


def test_of_one_turn_that_is_too_much_the_beginning_is_read() -> None:
    with serve("qwen", "A summary.") as sim, gate(sim) as one:
        items = [said("user", "The code is 4711."), *[said("assistant", LONG)] * 9]
        status, answer = compacted(one, input=items)
        assert (status, opened(answer)) == (200, (1, "A summary."))
        assert "4711" in told(sim)
        assert 5_000 < len(told(sim)) < 20_000


def test_there_is_an_end_to_reading() -> None:
    with serve("qwen", "A summary.") as sim, gate(sim) as one:
        status, answer = compacted(one, input=many(16 * 6))
        assert (status, opened(answer), len(sim.requests)) == (200, (16 * 6, "A summary."), 16)
        status, answer = compacted(one, input=many(16 * 6 + 1))
        assert (status, answer["error"]["code"], answer["error"]["param"]) == (
            400,
            "context_length_exceeded",
            "input",
        )
        assert len(sim.requests) == 32


@pytest.mark.parametrize(
    ("fault", "code", "param"),
    [
        (Fault(404, kind="model"), "model_not_found", "model"),
        (Fault(429, kind="rate_limit"), "rate_limit_exceeded", None),
        (Fault(503, kind="overloaded"), "provider_overloaded", None),
    ],
)
def test_what_a_provider_refuses_anybody_is_told_as_it_is(fault: Fault, code: str, param: str | None) -> None:
    with serve("qwen", Script("ok", faults=fault)) as sim, gate(sim) as one:
        status, answer = compacted(one, input="My name is Ada.")
        assert (status, answer["error"]["param"]) == (fault.status, param)
        assert answer["error"]["code"]


@pytest.mark.parametrize("wrong", [Answer(""), Answer("A summary", finish="length"), Fault(400)])
def test_a_model_that_writes_none_is_told_of(wrong: Any) -> None:
    with (
        serve("qwen", Script(wrong if isinstance(wrong, Answer) else "", faults=None)) as sim,
        gate(sim) as one,
    ):
        if isinstance(wrong, Fault):
            sim.script = Script("ok", faults=wrong)
        status, answer = compacted(one, input="My name is Ada.")
        error = answer["error"]
        assert (status, error["code"], error["param"]) == (502, "compaction_failed", None)
        assert ("summary_" in error["message"]) is isinstance(wrong, Answer)


def test_a_summary_that_grew_keeps_what_was_summarised_before() -> None:
    replies = ["A summary of the first.", "A summary that is longer. " * 8]
    with serve("qwen", replies) as sim, gate(sim) as one:
        items = [said("user", "hi"), *[said("assistant", LONG)] * 9, said("user", "bye")]
        turns, text = opened(compacted(one, input=items)[1])
        assert (turns, text) == (2, "A summary of the first.\n[turn 2] user: bye")


def test_a_client_that_leaves_stops_the_summary() -> None:
    with serve("qwen", Script("late", wire=Wire(first=20))) as sim, gate(sim) as one:
        with one.socket({"model": MODEL, "input": "hi"}, path="/v1/responses/compact"):
            until(lambda: bool(sim.requests))
        until(lambda: sim.requests[0].left)


def test_an_item_stands_for_its_turns_where_it_is_handed_back() -> None:
    with serve("qwen", "A summary.") as sim, gate(sim) as one:
        items = [
            said("user", "I am Ada and 27 years old."),
            said("assistant", "Hello, Ada!"),
            said("user", "Bye."),
        ]
        [item] = compacted(one, input=items)[1]["output"]
        assert item["id"].startswith("cmp_")
        small = [{name: value for name, value in item.items() if name != "id"}, said("user", "How old am I?")]
        status, _, _ = post(one, {"input": small})
        assert status == 200
        [(role, words)] = sent(sim)
        assert role == "user"
        assert "turns 1–2" in words
        assert words.endswith("How old am I?")
