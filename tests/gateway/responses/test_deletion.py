"""What goes with a response that is deleted, and what stays."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from tests.gateway.responding import TOOL, ask, post, result, sent
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Call, Fault, Script, serve


def gone(one: Gate, id: str) -> None:
    assert one.get(f"/v1/responses/{id}", "DELETE")[0] == 200


def test_nothing_of_what_was_said_stays(tmp_path: Path) -> None:
    path, call = tmp_path / "chats.db", Call("weather", {"city": "secret two"}, id="call_1")
    script: list[Any] = ["ok", Answer("secret one", calls=[call]), "secret four", "ok"]
    with serve("qwen", script) as sim, gate(sim, store=path) as one:
        first = ask(one, "one")
        second = ask(one, "two", previous_response_id=first.id, tools=[TOOL])
        third = ask(one, [result("call_1", "secret three")], previous_response_id=second.id)
        for each in (second, third):
            gone(one, each.id)
        [found] = json.loads(one.get("/v1/conversations")[1])["data"]
        assert "secret" not in one.get(f"/v1/conversations/{found['id']}/items")[1].decode()
        assert len(json.loads(one.get(f"/v1/conversations/{found['id']}/items")[1])["data"]) == 2
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT COUNT(*) FROM messages WHERE INSTR(body, 'secret')").fetchone() == (0,)
    db.close()


def test_a_failed_response_can_be_deleted() -> None:
    with serve("qwen", Script("ok", faults={2: Fault(400, delay=0.1)})) as sim, gate(sim) as one:
        first = ask(one, "one")
        body = {"input": "two", "previous_response_id": first.id, "background": True, "stream": True}
        raw = one.post({"model": first.model, **body}, "/v1/responses")[1]
        failed = json.loads(raw.split(b"data: ")[-2].partition(b"\n")[0])["response"]
        assert failed["status"] == "failed"
        gone(one, failed["id"])
        assert post(one, {"input": "three", "previous_response_id": failed["id"]})[0] == 400
        ask(one, "three", previous_response_id=first.id)
        assert [text for _, text in sent(sim)] == ["one", "ok", "three"]


def test_what_another_branch_says_stays() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        first = ask(one, "one")
        left = ask(one, "left", previous_response_id=first.id)
        right = ask(one, "right", previous_response_id=first.id)
        more = ask(one, "more right", previous_response_id=right.id)
        gone(one, right.id)
        ask(one, "more", previous_response_id=left.id)
        assert [text for _, text in sent(sim)] == ["one", "ok", "left", "ok", "more"]
        ask(one, "on", previous_response_id=more.id)
        assert [text for _, text in sent(sim)] == ["one", "ok", "more right", "ok", "on"]
