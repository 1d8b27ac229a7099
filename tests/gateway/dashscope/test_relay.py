"""What of an answer of DashScope's own is looked at on its way: was that its end, and what did it consume?"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.access.test_allowances import counted
from tests.gateway.keyed import bearer, made
from tests.gateway.responding import until
from tests.gateway.serving import gate
from tests.simulators import Answer, Fault, Script, Wire, serve

TEXT = "/api/v1/services/aigc/text-generation/generation"
BODY: dict[str, Any] = {"model": "dashscope/qwen-plus", "input": {"prompt": "talk"}}


@pytest.mark.parametrize("streamed", [False, True])
def test_who_leaves_has_the_model_stopped_and_what_was_asked_counted(
    tmp_path: Path, *, streamed: bool
) -> None:
    store = tmp_path / "chats.db"
    key = bearer(made(store, "shop"))["authorization"]
    late = Script("late", wire=Wire(first=20))
    with serve("dashscope", late) as sim, gate(sim, store=store) as one:
        wanted = [f"authorization: {key}", *(["x-dashscope-sse: enable"] if streamed else [])]
        with one.socket(BODY, *wanted, path=TEXT):
            until(lambda: bool(sim.requests))
        until(lambda: sim.requests[0].left)
    found = counted(store, "shop")
    assert (found.calls, found.usage.input > 0, found.usage.output) == (1, True, 0)


@pytest.mark.parametrize(
    "fault", [Fault(200, body={"code": "InternalError", "message": "x"}), Fault(200, body="words")]
)
def test_an_answer_that_is_none_is_told_and_not_counted(tmp_path: Path, fault: Fault) -> None:
    store = tmp_path / "chats.db"
    key = bearer(made(store, "shop"))
    with serve("dashscope", Script("no", faults=fault)) as sim, gate(sim, store=store) as one:
        status, raw, _ = one.post(BODY, TEXT, **key)
        assert (status, json.loads(raw)["code"]) == (502, "InternalError")
    assert counted(store, "shop").calls == 0


def test_comments_pass_and_are_no_frames() -> None:
    with (
        serve("dashscope", Script("a long answer", wire=Wire(comments=2, chatty=True))) as sim,
        gate(sim) as one,
    ):
        raw = one.post(BODY, TEXT, X_DashScope_SSE="enable")[1]
        assert b"event:error" not in raw
        assert re.search(rb'"finish_reason": ?"stop"', raw)


def test_the_frame_of_a_failure_is_numbered_like_the_others() -> None:
    with serve("dashscope", Answer("a long answer", cut="end", cut_after=3)) as sim, gate(sim) as one:
        raw = one.post(BODY, TEXT, X_DashScope_SSE="enable")[1].decode()
        numbers = [int(each) for each in re.findall(r"^id: ?(\d+)", raw, re.MULTILINE)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert raw.count("event:error") == 1
