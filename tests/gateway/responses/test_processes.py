"""Two processes serve the same store: what one makes the other tells, stops and deletes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.gateway.responding import MODEL, ask, chunks, sent, until
from tests.gateway.serving import Gate, gate
from tests.simulators import Script, Simulator, Wire, serve


@contextmanager
def two(path: Path, words: int) -> Iterator[tuple[Simulator, Gate, Gate, Any]]:
    """Two gateways, of which the first makes a response of so many words in the background."""
    script = Script("word " * words, wire=Wire(piece=5, between=0.02))
    with serve("qwen", script) as sim, gate(sim, store=path) as one, gate(sim, store=path) as other:
        first = one.openai().responses.create(model=MODEL, input="hi", background=True)
        until(lambda: bool(sim.requests))
        yield sim, one, other, first


def test_what_another_process_makes_is_stopped_from_here(tmp_path: Path) -> None:
    with two(tmp_path / "chats.db", 400) as (sim, one, other, first):
        assert other.openai().responses.retrieve(first.id).status == "in_progress"
        stopped = other.openai().responses.cancel(first.id)
        assert stopped.status == "cancelled"
        until(lambda: sim.requests[0].left)
        assert one.openai().responses.retrieve(first.id).to_dict() == stopped.to_dict()


def test_what_another_process_makes_is_told_here_once_it_has_ended(tmp_path: Path) -> None:
    with two(tmp_path / "chats.db", 20) as (_, one, other, first):
        events = chunks(other.openai().responses.retrieve(first.id, stream=True, starting_after=2))
        assert events[0]["sequence_number"] == 3
        assert events[-1]["type"] == "response.completed"
        assert events == chunks(one.openai().responses.retrieve(first.id, stream=True, starting_after=2))
        assert other.openai().responses.cancel(first.id).to_dict() == events[-1]["response"]


def test_what_another_process_makes_is_deleted_from_here(tmp_path: Path) -> None:
    with two(tmp_path / "chats.db", 400) as (sim, one, other, first):
        other.openai().responses.delete(first.id)
        until(lambda: sim.requests[0].left)
        for each in (one, other):
            assert each.get(f"/v1/responses/{first.id}")[0] == 404
            assert json.loads(each.get("/v1/conversations")[1])["data"] == []


def test_a_turn_waits_for_the_one_that_another_process_makes(tmp_path: Path) -> None:
    with two(tmp_path / "chats.db", 10) as (sim, _, other, first):
        until(lambda: other.openai().responses.retrieve(first.id).status == "completed")
        sim.script = Script("ok")
        ask(other, "more", previous_response_id=first.id)
        assert [role for role, _ in sent(sim)] == ["user", "assistant", "user"]
