"""Every request gets an answer, also while the gateway ends, and who leaves is counted and nothing else."""

from __future__ import annotations

import io
import json
import logging
import socket
import threading
from typing import Any

import pytest
from tests.gateway.responding import MODEL, until
from tests.gateway.serving import gate
from tests.simulators import Script, Wire, serve

from multiturn.gateway.dashscope.generation import MULTIMODAL, TEXT
from multiturn.gateway.log import LOG
from multiturn.storage.sqlite import SQLiteStore

BODY: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "talk"}]}


@pytest.mark.parametrize("extra", [{}, {"conversation": "c1"}], ids=["stateless", "stateful"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_what_has_not_begun_when_the_server_stops_is_told(extra: dict[str, str], *, stream: bool) -> None:
    with serve("qwen", Script("late", wire=Wire(first=20))) as sim, gate(sim, grace=0) as one:
        found: list[Any] = []
        body = {**BODY, **extra, "stream": stream}
        thread = threading.Thread(target=lambda: found.append(one.post(body)))
        thread.start()
        until(lambda: bool(sim.requests))
        one.server.should_exit = True
        thread.join()
        status, answer, headers = found[0]
        assert (status, json.loads(answer)["error"]["code"]) == (503, "stopping")
        assert headers["x-should-retry"] == "true"


def test_what_waits_behind_a_stream_is_told_too() -> None:
    slow = Script("word " * 400, wire=Wire(piece=5, between=0.1))
    with serve("qwen", slow) as sim, gate(sim, grace=0) as one:
        with one.socket({**BODY, "conversation": "c1", "stream": True}) as sock, sock.makefile("rb") as raw:
            assert raw.readline().startswith(b"HTTP/1.1 200 ")
            open_ones: Any = one.server.server_state.connections
            sock.sendall(b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n")
            until(lambda: any(each.pipeline for each in list(open_ones)))
            one.server.should_exit = True
            rest = raw.read()
            assert rest.count(b'"stopping"') == 2
            assert b"HTTP/1.1 503 " in rest


def test_who_leaves_in_the_middle_of_a_body_is_counted_and_nothing_else() -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\n"
    with gate(model="demo") as one:
        for body in (b"", b'{"messages"'):
            with socket.create_connection(("127.0.0.1", one.port), timeout=30) as sock:
                sock.sendall(head + body)
                until(lambda: b"multiturn_requests_open 2.0" in one.get("/metrics")[1])
        until(lambda: b"multiturn_clients_left_total 2.0" in one.get("/metrics")[1])
        assert b'status="500"' not in one.get("/metrics")[1]


def test_a_fault_of_our_own_is_written_down_with_its_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(SQLiteStore, "conversation", broken)
    with gate(model="demo") as one:
        assert one.get("/v1/conversations/c", **{"x-request-id": "abc-1"})[0] == 500
        assert one.post(b"[")[0] == 400
    found = [each for each in caplog.records if each.name == "multiturn.gateway"]
    assert [(each.msg, getattr(each, "figures", None)) for each in found] == [
        ("failed", {"request": "abc-1"})
    ]
    assert found[0].exc_info is not None


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        (
            "GET",
            "/v1/conversations/alices-secrets/turns/3/context",
            "/v1/conversations/{id}/turns/{n}/context",
        ),
        ("PUT", "/v1/conversations/alices-secrets", "/v1/conversations/{id}"),
        ("HEAD", "/v1/models", "/v1/models"),
        ("DELETE", "/v1/conversations/alices-secrets", "/v1/conversations/{id}"),
        *(("POST", path, path) for path in ("/v1/chat/completions", "/v1/responses", TEXT, MULTIMODAL)),
        ("POST", "/v1/responses/resp_1/cancel", "/v1/responses/{id}/cancel"),
        ("GET", "/v1/responses/compact", "/v1/responses/{id}"),
        ("GET", "/v1/alices-secrets", "other"),
    ],
)
def test_what_is_refused_at_the_door_is_written_down_with_its_route(
    method: str, path: str, route: str
) -> None:
    with gate(model="demo") as one:
        assert one.get(path, method, host="elsewhere.example")[0] == 403
        figures = one.get("/metrics")[1].decode()
        assert f'method="{method}",route="{route}",status="403"' in figures
        assert "alices" not in figures


def test_a_server_that_logs_addresses_can_write_a_slash_of_a_name(caplog: pytest.LogCaptureFixture) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        logger = logging.getLogger("uvicorn.access")
        logger.addHandler(caplog.handler)
        try:
            assert one.get("/v1/models/qwen%2Fqwen-plus")[0] == 200
        finally:
            logger.removeHandler(caplog.handler)


def test_what_ended_last_is_written_down_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Lines are written together; those that still wait are when the gateway ends."""
    monkeypatch.setattr("multiturn.gateway.log.TOGETHER", 3_600)
    written = logging.StreamHandler(io.StringIO())
    monkeypatch.setattr(LOG, "handlers", [written])
    caplog.set_level(logging.INFO, logger=LOG.name)
    with gate(model="demo") as one:
        assert one.get("/v1/models", **{"x-request-id": "the-last"})[0] == 200
    assert '"request":"the-last"' in written.stream.getvalue()


def test_what_is_done_is_not_held_on_to() -> None:
    with gate(model="demo") as one:
        gateway = one.server.config.app._gateway  # type: ignore[union-attr]  # ours, whatever uvicorn takes
        said = {"model": "demo", "conversation": "c", "messages": [{"role": "user", "content": "hi"}]}
        assert one.post(said, x_multiturn_detached="true")[0] == 200
        until(lambda: not gateway.tasks)
