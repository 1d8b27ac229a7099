"""A client that leaves stops the model, unless it asked for the turn to go on."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from tests.gateway.responding import until
from tests.gateway.serving import gate
from tests.simulators import Script, Wire, serve

BODY: dict[str, Any] = {
    "model": "qwen/qwen-plus",
    "messages": [{"role": "user", "content": "talk"}],
    "stream": True,
}


def slow() -> Script:
    return Script("word " * 400, wire=Wire(piece=5, between=0.05))


@pytest.mark.parametrize("extra", [{}, {"conversation": "c1"}], ids=["stateless", "stateful"])
@pytest.mark.parametrize("how", ["close", "half"])
def test_the_provider_is_left_too(extra: dict[str, str], how: str) -> None:
    with serve("qwen", slow()) as sim, gate(sim) as one:
        with one.socket({**BODY, **extra}) as sock:
            assert sock.recv(100).startswith(b"HTTP/1.1 200")
            sock.recv(100)
            if how == "half":
                sock.shutdown(socket.SHUT_WR)
            else:
                sock.close()
            until(lambda: sim.requests[0].left)
        until(lambda: b"multiturn_clients_left_total 1.0" in one.get("/metrics")[1])
        if extra:
            until(lambda: state(one) == "incomplete")


@pytest.mark.parametrize("extra", [{}, {"conversation": "c1"}], ids=["stateless", "stateful"])
def test_a_client_that_leaves_before_the_first_word(extra: dict[str, str]) -> None:
    with serve("qwen", Script("late", wire=Wire(first=20))) as sim, gate(sim) as one:
        with one.socket({**BODY, **extra, "stream": False}):
            until(lambda: bool(sim.requests))
        until(lambda: sim.requests[0].left)


def test_what_arrived_is_kept_as_stopped() -> None:
    with serve("qwen", slow()) as sim, gate(sim) as one:
        with one.socket({**BODY, "conversation": "c1"}) as sock:
            while b"word" not in sock.recv(4000):
                pass
        until(lambda: sim.requests[0].left)
        until(lambda: state(one) == "incomplete")
        sim.script = Script("ok")
        one.post({**BODY, "stream": False, "conversation": "c1"})
        sent = sim.requests[-1].messages
        assert [each["role"] for each in sent] == ["user", "assistant", "user"]
        assert str(sent[1]["content"]).startswith("word")


def test_a_detached_turn_goes_on() -> None:
    with serve("qwen", Script("word " * 20, wire=Wire(piece=5, between=0.02))) as sim, gate(sim) as one:
        with one.socket({**BODY, "conversation": "c1"}, "x-multiturn-detached: true") as sock:
            sock.recv(100)
        until(lambda: state(one) == "completed")
        assert not sim.requests[0].left


def state(one: Any) -> str:
    found = json.loads(one.get("/v1/conversations/c1/turns")[1]).get("data") or [{"state": ""}]
    return str(found[-1]["state"])
