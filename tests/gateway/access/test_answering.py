"""Does everything that is being answered count, however it was started, until it has ended?"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.access.tenants import MODEL, config
from tests.gateway.keyed import bearer, made
from tests.gateway.responding import until
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer as Answered
from tests.simulators import Fault, Script, serve

from multiturn.gateway.access.answering import Answer

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"


def until_told(enough: threading.Event) -> Answered:
    """An answer that takes its time; what is asked meanwhile would be answered at once."""
    return Answered("word " * 5, stall=enough, stall_after=2)


def said(**more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], **more}


def too_many(one: Gate, key: str) -> bool:
    """Whether one answer more is one too many."""
    status, body, headers = one.post(said(), **bearer(key))
    if status == 200:
        return False
    assert (status, json.loads(body)["error"]["code"]) == (429, "rate_limit_exceeded")
    assert headers["retry-after"] == "1"
    return True


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("path", "body"),
    [(CHAT, said(conversation="c")), (RESPONSES, {"model": MODEL, "input": "hi"})],
    ids=["chat", "responses"],
)
def test_a_detached_answer_counts_after_its_client_has_left(
    store: Path, tmp_path: Path, path: str, body: dict[str, Any], *, stream: bool
) -> None:
    shop, enough = made(store, "shop"), threading.Event()
    arguments = config(store, tmp_path, shop={"streams": 1})
    with serve("qwen", Script([until_told(enough), "short"])) as sim, gate(sim, **arguments) as one:
        lines = (f"authorization: Bearer {shop}", "x-multiturn-detached: true")
        with one.socket({**body, "stream": stream}, *lines, path=path) as sock:
            until(lambda: sim.requests)
            if stream:
                assert sock.recv(16)
        assert too_many(one, shop)
        assert len(sim.requests) == 1
        enough.set()
        until(lambda: not too_many(one, shop))
        assert not sim.requests[0].left


@pytest.mark.parametrize("way", ["regenerate", "edit"])
def test_a_turn_that_is_said_anew_counts_after_its_client_has_left(
    store: Path, tmp_path: Path, way: str
) -> None:
    shop, enough = made(store, "shop"), threading.Event()
    arguments = config(store, tmp_path, shop={"streams": 1})
    with serve("qwen", Script(["first", until_told(enough), "short"])) as sim, gate(sim, **arguments) as one:
        assert one.post(said(conversation="c"), **bearer(shop))[0] == 200
        lines = (f"authorization: Bearer {shop}", "x-multiturn-detached: true")
        again, body = f"/v1/conversations/c/turns/1/{way}", {"text": "hi"} if way == "edit" else {}
        with one.socket(body, *lines, path=again):
            until(lambda: len(sim.requests) == 2)
        assert too_many(one, shop)
        enough.set()
        until(lambda: not too_many(one, shop))
        assert not sim.requests[1].left


def test_a_response_in_the_background_counts_until_it_has_ended(store: Path, tmp_path: Path) -> None:
    shop, enough = made(store, "shop"), threading.Event()
    arguments = config(store, tmp_path, shop={"streams": 1})
    with serve("qwen", Script([until_told(enough), "short"])) as sim, gate(sim, **arguments) as one:
        body = {"model": MODEL, "input": "hi", "background": True}
        status, told, _ = one.post(body, RESPONSES, **bearer(shop))
        name = json.loads(told)["id"]
        assert status == 200
        assert too_many(one, shop)
        assert json.loads(one.get(f"{RESPONSES}/{name}", **bearer(shop))[1])["status"] == "in_progress"
        enough.set()
        until(lambda: not too_many(one, shop))
        assert json.loads(one.get(f"{RESPONSES}/{name}", **bearer(shop))[1])["status"] == "completed"


def test_one_that_is_stopped_counts_no_more(store: Path, tmp_path: Path) -> None:
    shop = made(store, "shop")
    arguments = config(store, tmp_path, shop={"streams": 1})
    with (
        serve("qwen", Script([until_told(threading.Event()), "short"])) as sim,
        gate(sim, **arguments) as one,
    ):
        body = {"model": MODEL, "input": "hi", "background": True}
        name = json.loads(one.post(body, RESPONSES, **bearer(shop))[1])["id"]
        until(lambda: sim.requests)
        assert one.post({}, f"{RESPONSES}/{name}/cancel", **bearer(shop))[0] == 200
        until(lambda: not too_many(one, shop))


def test_one_that_fails_counts_no_more(store: Path, tmp_path: Path) -> None:
    shop = made(store, "shop")
    arguments = config(store, tmp_path, shop={"streams": 1})
    broken = Script([Fault(400, message="no"), Fault(400, message="no"), "short"])
    with serve("qwen", broken) as sim, gate(sim, **arguments) as one:
        one.post({"model": MODEL, "input": "hi", "background": True}, RESPONSES, **bearer(shop))
        detached = {"x_multiturn_detached": "true", **bearer(shop)}
        until(lambda: one.post(said(conversation="c"), **detached)[0] == 400)
        until(lambda: not too_many(one, shop))


def test_an_answer_ends_once_with_what_is_done_last() -> None:
    ended: list[Answer] = []
    answer = Answer("shop", ended.append)
    assert answer.stay()
    answer.leave()
    assert ended == []
    answer.leave()
    assert ended == [answer]
    assert not answer.stay()
