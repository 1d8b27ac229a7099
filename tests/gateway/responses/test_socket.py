"""Responses over a WebSocket: the same as those that are posted, one after the other."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.keyed import bearer, made
from tests.gateway.responding import MODEL, TOOL, ask, result, sent, until
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Call, Fault, Script, Wire, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from multiturn.gateway.http.body import LARGEST_BODY, LARGEST_WITH_MEDIA
from multiturn.gateway.responses.socket import AHEAD

ENDS = ("response.completed", "response.failed", "response.incomplete", "error")


@pytest.fixture(autouse=True)
def _directly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that this machine has for addresses elsewhere would be asked for a WebSocket on it, too."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@contextmanager
def line(one: Gate, path: str = "/v1/responses", **headers: str) -> Iterator[Connection]:
    """A connection; ``_`` in a header's name stands for a hyphen."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    with connect(f"ws://127.0.0.1:{one.port}{path}", additional_headers=given, max_size=None) as found:
        yield found


def say(ws: Connection, **fields: Any) -> None:
    ws.send(json.dumps({"type": "response.create", "model": MODEL, **fields}))


def heard(ws: Connection) -> list[dict[str, Any]]:
    """The events up to the end of one response."""
    found: list[dict[str, Any]] = []
    while not found or found[-1]["type"] not in ENDS:
        found.append(json.loads(ws.recv(timeout=60)))
    return found


def told(ws: Connection, **fields: Any) -> dict[str, Any]:
    """The end of one response: the response, or the error."""
    say(ws, **fields)
    last = heard(ws)[-1]
    return last.get("response", last)  # type: ignore[no-any-return]  # JSON


def code(last: dict[str, Any]) -> tuple[int, str]:
    assert last["error"].keys() == {"message", "type", "param", "code"}
    return last["status"], last["error"]["code"]


def posted(one: Gate, **fields: Any) -> list[dict[str, Any]]:
    raw = one.post({"model": MODEL, "stream": True, **fields}, "/v1/responses")[1]
    found = [each.partition("data: ")[2] for each in raw.decode().split("\n\n")]
    return [json.loads(each) for each in found if each.startswith("{")]


def test_frames_are_the_events_of_a_posted_response() -> None:
    answer = Answer("Let me see.", reasoning="Hm.", calls=[Call("weather")])
    with serve("qwen", Script(answer, wire=Wire(piece=4))) as sim, gate(sim) as one, line(one) as ws:
        asked: dict[str, Any] = {"input": "weather?", "tools": [TOOL], "reasoning": {"effort": "high"}}
        say(ws, **asked)
        events = heard(ws)
        again = posted(one, **asked)
        assert [(e["type"], e["sequence_number"]) for e in events] == [
            (e["type"], e["sequence_number"]) for e in again
        ]
        assert [e.keys() for e in events] == [e.keys() for e in again]
        last = events[-1]["response"]
        assert json.loads(one.get(f"/v1/responses/{last['id']}")[1]) == last
        call = next(each["call_id"] for each in last["output"] if each["type"] == "function_call")
        sim.script = Script("sunny")
        after = told(ws, previous_response_id=last["id"], input=[result(call)], tools=[TOOL])
        assert (after["status"], after["previous_response_id"]) == ("completed", last["id"])
        assert sent(sim)[-1] == ("tool", "sunny")


def test_what_is_not_stored_goes_on_over_its_connection_only() -> None:
    with serve("qwen", ["OK", "cobalt", "yes", "anew"]) as sim, gate(sim) as one:
        with line(one) as ws:
            first = told(ws, input="Remember: cobalt.", store=False)
            say(ws, input="Which?", store=False, previous_response_id=first["id"])
            events = heard(ws)
            second = events[-1]["response"]
            assert {e["response"]["previous_response_id"] for e in events if "response" in e} == {first["id"]}
            assert sent(sim) == [("user", "Remember: cobalt."), ("assistant", "OK"), ("user", "Which?")]
            third = told(ws, input="Sure?", previous_response_id=second["id"])
            assert [text for _, text in sent(sim)] == ["Remember: cobalt.", "OK", "Which?", "cobalt", "Sure?"]
            assert one.get(f"/v1/responses/{third['id']}")[0] == 200
            assert one.get(f"/v1/responses/{second['id']}")[0] == 404
        with line(one) as ws:
            last = told(ws, input="And?", store=False, previous_response_id=second["id"])
            assert code(last) == (400, "previous_response_not_found")
            assert told(ws, input="And?", store=False)["status"] == "completed"


def test_what_is_not_stored_follows_what_is() -> None:
    with serve("qwen", ["one", "two", "three"]) as sim, gate(sim) as one, line(one) as ws:
        kept = ask(one, "1").id
        aside = told(ws, input="2", store=False, previous_response_id=kept)
        last = told(ws, input="3", store=False, previous_response_id=aside["id"])
        assert [text for _, text in sent(sim)] == ["1", "one", "2", "two", "3"]
        assert last["previous_response_id"] == aside["id"]


@pytest.mark.parametrize(
    ("bad", "failure"),
    [
        (Fault(400, message="no"), {"input": "What?"}),
        (Answer("It breaks.", cut="reset", cut_after=2), {"input": "What?"}),
        ("never asked", {"input": [result("call_none")]}),
    ],
    ids=["refused", "broken", "no such call"],
)
def test_what_failed_is_not_gone_on_with(bad: Any, failure: dict[str, Any]) -> None:
    with serve("qwen", ["OK", bad, "anew"]) as sim, gate(sim) as one, line(one) as ws:
        first = told(ws, input="Remember.", store=False)["id"]
        failed = told(ws, store=False, previous_response_id=first, **failure)
        assert failed.get("status") in (400, "failed")
        last = told(ws, input="Stale?", store=False, previous_response_id=first)
        assert code(last) == (400, "previous_response_not_found")


def test_only_the_newest_response_that_is_not_stored_is_gone_on_with() -> None:
    with serve("qwen", "OK") as sim, gate(sim) as one, line(one) as ws:
        first, second = (told(ws, input=text, store=False)["id"] for text in ("one", "two"))
        old = told(ws, input="more", store=False, previous_response_id=first)
        assert code(old) == (400, "previous_response_not_found")
        assert told(ws, input="more", store=False, previous_response_id=second)["status"] == "completed"


def test_what_is_not_stored_is_followed_in_no_other_conversation() -> None:
    with serve("qwen", "OK") as sim, gate(sim) as one, line(one) as ws:
        name = one.openai().conversations.create().id
        first = told(ws, input="hi", store=False)["id"]
        last = told(ws, input="more", previous_response_id=first, conversation=name)
        assert code(last) == (400, "mutually_exclusive_parameters")
        assert len(sim.requests) == 1


def test_every_frame_is_a_request_of_its_own() -> None:
    with serve("qwen", ["one", "two"]) as sim, gate(sim) as one:
        with line(one, idempotency_key="k", x_request_id="r") as ws:
            ends = [told(ws, input="go on") for _ in range(2)]
        assert [each["output"][0]["content"][0]["text"] for each in ends] == ["one", "two"]
        assert len(json.loads(one.get("/v1/conversations")[1])["data"]) == 2
        figures = one.get("/metrics")[1].decode().splitlines()
        counted = [each for each in figures if each.startswith("multiturn_requests_total{")]
        [line_of] = [each for each in counted if 'route="/v1/responses"' in each]
        assert line_of.endswith(" 2.0")


def test_a_connection_that_is_opened_again_repeats_no_frame(tmp_path: Path) -> None:
    with serve("qwen", ["one", "two"]) as sim:
        with gate(sim, store=tmp_path / "a.db") as one:
            name = one.openai().conversations.create().id
        for n, text in enumerate(("one", "two")):
            with gate(sim, store=tmp_path / "a.db") as one, line(one, x_stainless_retry_count=str(n)) as ws:
                last = told(ws, input="go on", conversation=name)
                assert last["output"][0]["content"][0]["text"] == text


def test_responses_are_made_one_after_the_other() -> None:
    with serve("qwen", Script(["one two", "three"], wire=Wire(piece=1, between=0.01))) as sim:
        with gate(sim) as one, line(one) as ws:
            say(ws, input="first")
            say(ws, input="second")
            ends = [heard(ws)[-1]["response"] for _ in range(2)]
            assert [each["output"][0]["content"][0]["text"] for each in ends] == ["one two", "three"]


@pytest.mark.parametrize(
    ("frame", "param"),
    [
        ("", None),
        ("[]", None),
        (b"\xff", None),
        ('{"input": "hi"}', "type"),
        ('{"type": "response.steer", "input": "hi"}', "type"),
        ('{"type": "response.create", "generate": false}', "generate"),
        ('{"type": "response.create", "input": 7}', "input"),
        ('{"type": "response.create", "input": "a", "input": "b"}', None),
        ('{"type": "response.create", "input": "a", "top_logprobs": 18446744073709551616}', None),
        ('{"type": "response.create", "input": %s}' % ("[" * 300 + "]" * 300), None),
        ('{"type": "response.create", "previous_response_id": "resp_none", "input": "x"}', None),
    ],
)
def test_a_bad_frame_is_refused_and_the_next_one_heard(frame: str | bytes, param: str | None) -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one, line(one) as ws:
        ws.send(frame)
        last = heard(ws)[-1]
        assert code(last)[0] == 400
        assert param is None or last["error"]["param"] == param
        assert told(ws, input="hi", background=True)["background"] is False


def test_an_answer_that_breaks_off_is_a_failed_response() -> None:
    script = Script([Answer("It breaks.", cut="reset", cut_after=2), "ok"], wire=Wire(piece=2))
    with serve("qwen", script) as sim, gate(sim) as one, line(one) as ws:
        assert told(ws, input="hi")["status"] == "failed"
        assert told(ws, input="hi")["status"] == "completed"


def test_a_conversation_that_is_deleted_meanwhile_is_told_as_an_error() -> None:
    with serve("qwen", Script("word " * 400, wire=Wire(piece=5, between=0.02))) as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        with line(one) as ws:
            say(ws, input="hi", conversation=name)
            until(lambda: bool(sim.requests))
            ws.recv(timeout=60)
            one.get(f"/v1/conversations/{name}", method="DELETE")
            assert code(heard(ws)[-1]) == (500, "turn_not_found")


def test_whoever_leaves_stops_the_model() -> None:
    with serve("qwen", Script("word " * 400, wire=Wire(piece=5, between=0.02))) as sim, gate(sim) as one:
        with line(one) as ws:
            say(ws, input="hi")
            first = json.loads(ws.recv(timeout=60))["response"]["id"]
        until(lambda: sim.requests[0].left)
        until(lambda: json.loads(one.get(f"/v1/responses/{first}")[1])["status"] == "cancelled")


def test_whoever_leaves_behind_frames_that_wait_stops_the_model() -> None:
    with serve("qwen", Answer("late", stall=threading.Event())) as sim, gate(sim) as one:
        with line(one) as ws:
            for n in range(5):
                say(ws, input=str(n))
            until(lambda: bool(sim.requests))
        until(lambda: sim.requests[0].left)
    assert len(sim.requests) == 1


def test_whoever_leaves_behind_more_than_is_read_stops_the_model() -> None:
    with serve("qwen", Script("word " * 4000, wire=Wire(piece=5, between=0.02))) as sim, gate(sim) as one:
        with line(one) as ws:
            say(ws, input="hi")
            until(lambda: bool(sim.requests))
            for _ in range(3):
                say(ws, input="x" * AHEAD)
            ws.socket.shutdown(socket.SHUT_RDWR)
        until(lambda: sim.requests[0].left)
    assert len(sim.requests) == 1


def test_whoever_neither_reads_nor_answers_stops_the_model() -> None:
    with serve("qwen", Script("w" * 20_000_000, wire=Wire(piece=200_000))) as sim, gate(sim) as one:
        one.server.config.ws_ping_interval = 3.0
        one.server.config.ws_ping_timeout = 0.1
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", one.port))
            key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            head = b"GET /v1/responses HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            sock.sendall(head + b"Connection: Upgrade\r\n" + key + b"\r\n")
            assert b" 101 " in sock.recv(4096)
            frame = json.dumps({"type": "response.create", "model": MODEL, "input": "hi"}).encode()
            sock.sendall(bytes([0x81, 0x80 | len(frame), 0, 0, 0, 0]) + frame)
            until(lambda: bool(sim.requests))
            until(lambda: sim.requests[0].left)


def test_the_end_of_the_server_waits_for_the_response_that_is_made() -> None:
    with serve("qwen", Script("word " * 100, wire=Wire(piece=5, between=0.02))) as sim, gate(sim) as one:
        with line(one) as idle, line(one) as ws:
            say(ws, input="hi")
            for _ in range(4):
                say(ws, input="never")
            until(lambda: bool(sim.requests))
            one.server.should_exit = True
            assert heard(ws)[-1]["response"]["status"] == "completed"
            for each in (ws, idle):
                with pytest.raises(ConnectionClosed) as closed:
                    each.recv(timeout=60)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1012
    assert len(sim.requests) == 1


def test_a_handshake_passes_the_same_doors(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    key = made(store, "acme")
    with serve("qwen", "ok") as sim, gate(sim, store=store) as one:
        for status, path, headers in (
            (401, "/v1/responses", {}),
            (401, "/v1/responses", {"authorization": "Bearer no"}),
            (403, "/v1/responses", {**bearer(key), "origin": "http://elsewhere.example"}),
            (404, "/v1/chat/completions", bearer(key)),
        ):
            with pytest.raises(InvalidStatus) as refused, line(one, path, **headers):
                pass
            answer = refused.value.response
            assert answer.status_code == status
            assert json.loads(answer.body or b"")["error"].keys() == {"message", "type", "param", "code"}
        with line(one, **bearer(key)) as ws:
            assert told(ws, input="hi")["status"] == "completed"


def test_many_frames_at_once_make_their_sender_wait() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one, line(one) as ws:

        def send() -> None:
            for n in range(30):
                say(ws, input=str(n), store=False)

        sending = threading.Thread(target=send)
        sending.start()
        assert [heard(ws)[-1]["type"] for _ in range(30)] == ["response.completed"] * 30
        sending.join()
        assert [each.messages[-1]["content"] for each in sim.requests] == [str(n) for n in range(30)]


def test_whoever_sends_too_much_at_once_waits() -> None:
    late = Answer("late", stall=threading.Event())
    with serve("qwen", late) as sim, gate(sim) as one, line(one) as ws:
        say(ws, input="hi")
        until(lambda: bool(sim.requests))

        def send() -> None:
            with suppress(ConnectionClosed):
                for _ in range(24):
                    say(ws, input="x" * AHEAD, store=False)

        sending = threading.Thread(target=send)
        sending.start()
        sending.join(3)
        assert sending.is_alive(), "much more is not read than may wait"
        ws.socket.shutdown(socket.SHUT_RDWR)
        sending.join()


def test_a_frame_that_is_too_long_closes_the_connection() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        with line(one) as ws:
            assert code(told(ws, input="x" * LARGEST_BODY)) == (413, "body_too_large")
            announced = struct.pack("!BBQ4s", 0x81, 0xFF, LARGEST_WITH_MEDIA + 1, b"mask")
            ws.socket.sendall(announced)  # what comes and nobody reads would reset the connection
            with pytest.raises(ConnectionClosed) as closed:
                ws.recv(timeout=60)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
        with line(one) as ws:
            assert told(ws, input="hi")["status"] == "completed"


def test_the_official_client_speaks_it() -> None:
    with serve("qwen", ["one", "two"]) as sim, gate(sim) as one:
        with one.openai().responses.connect() as connection:
            texts, before = [], None
            for words in ("hi", "more"):
                asked: dict[str, Any] = {"previous_response_id": before} if before else {}
                connection.response.create(model=MODEL, input=words, store=False, **asked)
                for event in connection:
                    if event.type == "response.completed":
                        before = event.response.id
                        texts.append(event.response.output_text)
                        break
        assert texts == ["one", "two"]
        assert [text for _, text in sent(sim)] == ["hi", "one", "more"]
