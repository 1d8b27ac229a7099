"""What belongs to another tenant or user is answered exactly like what is not there, on every route."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.keyed import bearer, made
from tests.gateway.responding import MODEL
from tests.gateway.serving import Gate, gate
from tests.simulators import Script, Wire, serve

MISSING = "resp_01JCXV3Q8Z0000000000000000_0_1_1"


def answers(one: Gate, id: str, key: str) -> list[tuple[int, bytes]]:
    """What every route says of a response."""
    found = [
        one.get(f"/v1/responses/{id}", **bearer(key)),
        one.get(f"/v1/responses/{id}?stream=true&starting_after=1", **bearer(key)),
        one.get(f"/v1/responses/{id}/input_items", **bearer(key)),
        one.get(f"/v1/responses/{id}/context", **bearer(key)),
        one.post({}, f"/v1/responses/{id}/cancel", **bearer(key)),
        one.get(f"/v1/responses/{id}", "DELETE", **bearer(key)),
    ]
    for path in ("", "/input_tokens", "/compact"):
        for extra in ({}, {"store": False}, {"stream": True}, {"background": True}):
            body: dict[str, Any] = {"model": MODEL, "input": "hi", "previous_response_id": id, **extra}
            found.append(one.post(body, f"/v1/responses{path}", **bearer(key)))
    return [(status, body) for status, body, _ in found]


def test_no_route_tells_a_foreign_response_from_a_missing_one(tmp_path: Path) -> None:
    store = tmp_path / "chats.db"
    ada, other = made(store, "shop", "ada"), made(store, "other")
    bob, whole = made(store, "shop", "bob"), made(store, "shop")
    with serve("qwen", "ok") as sim, gate(sim, store=store) as one:
        status, body, _ = one.post({"model": MODEL, "input": "a secret"}, "/v1/responses", **bearer(ada))
        assert status == 200
        name = json.loads(body)["id"]
        asked = len(sim.requests)
        for key in (other, bob):
            assert answers(one, name, key) == answers(one, MISSING, key)
            assert {status for status, _ in answers(one, name, key)} == {400, 404}
        assert len(sim.requests) == asked
        assert one.get(f"/v1/responses/{name}", **bearer(ada))[0] == 200
        assert one.get(f"/v1/responses/{name}", **bearer(whole))[0] == 200


def test_equal_keys_of_two_tenants_are_two_responses(tmp_path: Path) -> None:
    store = tmp_path / "chats.db"
    keys = made(store, "shop"), made(store, "other")
    with serve("qwen", ["first", "second"]) as sim, gate(sim, store=store) as one:
        found = []
        for key in keys:
            head = {**bearer(key), "idempotency_key": "k1"}
            found.append(json.loads(one.post({"model": MODEL, "input": "hi"}, "/v1/responses", **head)[1]))
        assert found[0]["id"] != found[1]["id"]
        assert len(sim.requests) == 2


@pytest.mark.parametrize("whose", [("other", None), ("shop", "bob")])
def test_equal_keys_in_the_background_follow_nobody_elses_response(
    tmp_path: Path, whose: tuple[str, str | None]
) -> None:
    store = tmp_path / "chats.db"
    keys = made(store, "shop", "ada"), made(store, *whose)
    with serve("qwen", Script("slow", wire=Wire(first=2))) as sim, gate(sim, store=store) as one:
        body, found = {"model": MODEL, "input": "hi", "background": True}, []
        for key in keys:
            head = {**bearer(key), "idempotency_key": "k1"}
            found.append(json.loads(one.post(body, "/v1/responses", **head)[1])["id"])
        assert found[0] != found[1]
        assert one.get(f"/v1/responses/{found[1]}", **bearer(keys[1]))[0] == 200
        assert one.get(f"/v1/responses/{found[0]}", **bearer(keys[1]))[0] == 404
