"""Pieces are written the moment they come, and yet a client that does not keep up gets every one of them."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest
from tests.gateway.serving import Gate, gate
from tests.simulators import Script, Wire, serve

KINDS = pytest.mark.parametrize("extra", [{}, {"conversation": "c1"}], ids=["stateless", "stateful"])
TEXT = "".join(f"{number:>7} " for number in range(700_000))
WIRE = Wire(piece=40_000, between=0.001)


def body(extra: dict[str, str]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "talk"}], "stream": True, **extra}


def words(raw: bytes) -> str:
    """The words of the events in a chunked answer."""
    parts, rest = [], raw.partition(b"\r\n\r\n")[2]
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        parts.append(rest[: int(size, 16)])
        rest = rest[int(size, 16) + 2 :]
    lines = b"".join(parts).splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]
    return "".join(each["choices"][0]["delta"].get("content") or "" for each in events if each["choices"])


def everything(sock: socket.socket) -> bytes:
    parts: list[bytes] = []
    while not parts or not b"".join(parts[-2:]).endswith(b"\r\n0\r\n\r\n"):
        parts.append(sock.recv(1 << 20))
        assert parts[-1]
    return b"".join(parts)


def waiting(one: Gate) -> int:
    """Bytes the gateway has written and the network has not taken."""
    open_ones: Any = set(one.server.server_state.connections)
    return max((int(each.transport.get_write_buffer_size()) for each in open_ones), default=0)


@KINDS
def test_a_client_that_reads_late_gets_every_piece(extra: dict[str, str]) -> None:
    with serve("qwen", Script(TEXT, wire=WIRE)) as sim, gate(sim) as one:
        with one.socket(body(extra)) as sock:
            time.sleep(0.5)
            assert waiting(one) < 1 << 20, "the answer piles up"
            assert words(everything(sock)) == TEXT
