"""How a response looks that did not come to a good end, wherever it is told."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from tests.gateway.responding import ask, chunks, post, told, until
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Fault, Script, serve

from multiturn import ContextPolicy


def fetched(one: Gate, id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(one.get(f"/v1/responses/{id}")[1])
    return found


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (Answer("a long answer", finish="length"), "incomplete", "max_output_tokens"),
        (Answer("a bad answer", finish="content_filter"), "incomplete", "content_filter"),
        (Answer("a bad answer", fail="content_filter", fail_after=2), "incomplete", "content_filter"),
        (Answer("a long answer", fail="overloaded", fail_after=2), "failed", None),
    ],
)
def test_how_it_ended_is_told_alike_everywhere(answer: Answer, status: str, reason: str | None) -> None:
    with serve("qwen", answer) as sim, gate(sim) as one:
        events = told(one, "hi")
        last = events[-1]["response"]
        assert (events[-1]["type"], last["status"]) == (f"response.{status}", status)
        assert last["incomplete_details"] == ({"reason": reason} if reason else None)
        assert (last["error"] is None) is (status == "incomplete")
        assert last["completed_at"] is None
        assert [item["status"] for item in last["output"]] == ["incomplete"]
        assert last["output"][0]["content"][0]["text"].startswith("a ")
        assert fetched(one, last["id"]) == last
        assert chunks(one.openai().responses.retrieve(last["id"], stream=True)) == events


def test_a_filtered_question_is_incomplete() -> None:
    with serve("qwen", Script("no", faults=Fault(400, kind="content_filter"))) as sim, gate(sim) as one:
        with pytest.raises(openai.BadRequestError):
            ask(one, "hi")
        name = post(one, {"input": "hi", "background": True})[1]["id"]
        until(lambda: fetched(one, name)["status"] != "in_progress")
        last = fetched(one, name)
        assert (last["status"], last["incomplete_details"]) == ("incomplete", {"reason": "content_filter"})
        assert (last["error"], last["output"], last["usage"]) == (None, [], None)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(429).after(10, unit="ms"), "rate_limit_exceeded"),
        (Fault(400, message="Range of input length should be [1, 6]"), "invalid_prompt"),
        (Fault(400), "server_error"),
    ],
)
def test_an_error_has_a_code_that_the_api_knows(fault: Fault, code: str) -> None:
    with serve("qwen", Script("no", faults=fault)) as sim, gate(sim) as one:
        name = post(one, {"input": "hi", "background": True})[1]["id"]
        until(lambda: fetched(one, name)["status"] == "failed")
        assert fetched(one, name)["error"]["code"] == code
        assert "{" not in fetched(one, name)["error"]["message"]


def test_a_turn_that_did_not_fit_any_more_is_called_an_invalid_prompt() -> None:
    small = ContextPolicy(budget=300, reserve_output=64)
    with serve("qwen", Script("yes")) as sim, gate(sim, policy=small) as one:
        first = ask(
            one, [{"role": "developer", "content": "be nice " * 60}, {"role": "user", "content": "hi"}]
        )
        with pytest.raises(openai.BadRequestError):
            ask(one, "well " * 120, previous_response_id=first.id)
        failed = fetched(one, f"{first.id.rpartition('_1_1')[0]}_2_1")
        assert (failed["status"], failed["error"]["code"]) == ("failed", "invalid_prompt")
