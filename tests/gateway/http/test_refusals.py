"""Whatever goes wrong arrives in one envelope with four keys, and never tells the input back."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest
from openai import NotFoundError, OpenAI
from tests.gateway.serving import Gate, gate
from tests.simulators import serve

CHAT = "/v1/chat/completions"
SECRET = "xyzzy-told-to-nobody"
GOOD = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}


def error_of(body: bytes) -> dict[str, Any]:
    value = json.loads(body)
    assert set(value) == {"error"}
    assert set(value["error"]) == {"message", "type", "param", "code"}
    assert value["error"]["message"]
    return dict(value["error"])


@pytest.fixture(scope="module")
def one() -> Any:
    with gate(model="demo") as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nope", 404, "unknown_url"),
        ("GET", f"/v1/{SECRET}", 404, "unknown_url"),
        ("GET", CHAT, 405, "method_not_allowed"),
        ("PUT", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/conversations?limit=0", 400, "limit_range"),
        ("GET", "/v1/conversations?limit=many", 400, "limit_range"),
        ("GET", f"/v1/conversations/{SECRET}/turns", 404, "conversation_not_found"),
        ("GET", f"/v1/models/{SECRET}", 404, "model_not_found"),
        ("GET", "/v1/models/qwen/qwen-plus", 404, "model_not_found"),
    ],
)
def test_a_path_that_leads_nowhere(one: Gate, method: str, path: str, status: int, code: str) -> None:
    answer, body, headers = one.get(path, method)
    assert (answer, error_of(body)["code"]) == (status, code)
    assert SECRET not in body.decode()
    assert headers["x-request-id"]


def deep(levels: int) -> bytes:
    return b'{"messages":' + b"[" * levels + b"]" * levels + b"}"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b"{", 400, "invalid_json"),
        (b'{"a":NaN}', 400, "invalid_json"),
        (b'{"a":"\xff"}', 400, "invalid_json"),
        (b'{"a":"\\ud800"}', 400, "invalid_json"),
        (b"[]", 400, "not_an_object"),
        (b'"' + SECRET.encode() + b'"', 400, "not_an_object"),
        (deep(70), 400, "too_deep"),
        (deep(100_000), 400, "invalid_json"),
        (b'{"a":1,"a":2}', 400, "duplicate_key"),
        (b'{"messages":[{"role":"user","role":"user"}]}', 400, "duplicate_key"),
        (b'{"seed":' + b"9" * 5000 + b"}", 400, "invalid_json"),
        (b'{"seed":18446744073709551616}', 400, "integer_too_large"),
        (b"{}", 400, "messages_missing"),
        (b'{"messages":[' + b'{"role":"user"},' * 2048 + b'{"role":"user"}]}', 400, "too_many_messages"),
        (b'{"messages":"' + SECRET.encode() + b'"}', 400, "messages_missing"),
        (b'{"messages":["' + SECRET.encode() + b'"]}', 400, "messages_shape"),
        (b'{"messages":[{"role":"user","content":7}]}', 400, "message_invalid"),
        (b'{"messages":[{"role":"xyzzy-told-to-nobody"}]}', 400, "message_invalid"),
        (b'{"messages":[{"role":"user","content":"x"}],"model":7}', 400, "not_text"),
        (
            b'{"messages":[{"role":"user","content":"x"}],"model":"xyzzy-told-to-nobody"}',
            404,
            "model_not_found",
        ),
        (b'{"messages":[{"role":"user","content":"x"}],"model":"kimi/kimi-k2.6"}', 404, "key_missing"),
        (b'{"messages":[{"role":"user","content":"x"}],"stream":"yes"}', 400, "not_a_switch"),
        (b'{"messages":[{"role":"user","content":"x"}],"n":2}', 400, "one_choice"),
        (
            b'{"messages":[{"role":"user","content":"x"}],"max_tokens":"xyzzy-told-to-nobody"}',
            400,
            "parameter_invalid",
        ),
        (b'{"messages":[{"role":"user","content":"x"}],"conversation":7}', 400, "conversation_shape"),
        (b'{"messages":[{"role":"user","content":"x"}],"conversation":{}}', 400, "conversation_shape"),
        (b'{"messages":[{"role":"user","content":"x"}],"conversation":" "}', 400, "conversation_shape"),
        (
            b'{"messages":[{"role":"user","content":"x"}],"conversation":"' + b"x" * 513 + b'"}',
            400,
            "text_too_long",
        ),
        (b'{"messages":[{"role":"user","content":"x"}],"conversation":"c","n":2}', 400, "one_choice"),
        (b'{"messages":[{"role":"assistant","content":"x"}],"conversation":"c"}', 400, "nothing_new"),
        (b'{"messages":[{"role":"user","content":""}],"conversation":"c"}', 400, "message_empty"),
        (
            b'{"messages":[{"role":"user","content":"x"}],"conversation":"c","tools":"xyzzy-told-to-nobody"}',
            400,
            "parameter_invalid",
        ),
        (b'{"messages":[{"role":"user","content":"x"}],"conversation":"c","user":7}', 400, "not_text"),
    ],
)
def test_a_body_that_cannot_be_used(one: Gate, body: bytes, status: int, code: str) -> None:
    answer, said, _ = one.post(body)
    assert (answer, error_of(said)["code"]) == (status, code)
    assert SECRET not in said.decode()
    assert one.get("/v1/conversations/c")[0] == 404


def test_who_comes_to_a_wrong_address_reads_where_the_right_one_is(one: Gate) -> None:
    with OpenAI(base_url=one.url, api_key="none") as lost, pytest.raises(NotFoundError, match="ends in /v1"):
        lost.models.list()


@pytest.mark.parametrize(
    ("method", "path", "known"),
    [
        ("PUT", "/v1/conversations/c", "DELETE, GET, HEAD, POST"),
        ("DELETE", "/v1/conversations", "GET, HEAD, POST"),
        ("GET", CHAT, "POST"),
    ],
)
def test_all_methods_of_an_address_are_named(one: Gate, method: str, path: str, known: str) -> None:
    answer, body, headers = one.get(path, method)
    assert (answer, headers["allow"]) == (405, known)
    assert error_of(body)["message"] == f"This address answers only {known}."


def test_where_json_ends_to_be_json_is_told(one: Gate) -> None:
    _, body, _ = one.post(b'{"model": "demo",\n "messages": [}')
    assert "line 2, column 15" in error_of(body)["message"]


def test_a_part_that_the_model_cannot_see_is_named(one: Gate) -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    body = {**GOOD, "messages": [{"role": "user", "content": [picture]}], "conversation": "seen"}
    assert "cannot read this kind of part: image." in error_of(one.post(body)[1])["message"]


def test_a_parameter_that_is_wrong_is_named(one: Gate) -> None:
    _, body, _ = one.post({**GOOD, "max_tokens": -1})
    assert error_of(body)["param"] == "max_tokens"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_of_another_kind(one: Gate, kind: str) -> None:
    answer, body, _ = one.post(GOOD, content_type=kind)
    assert (answer, error_of(body)["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "header",
    [
        {"content_type": "Application/JSON ; charset=utf-8"},
        {"content_type": "application/vnd.api+json"},
        {"content_encoding": "Identity"},
    ],
    ids=str,
)
def test_json_may_be_called_so_in_other_ways(one: Gate, header: dict[str, str]) -> None:
    assert one.post(GOOD, **header)[0] == 200


def test_a_compressed_body(one: Gate) -> None:
    assert one.post(GOOD, content_encoding="gzip")[0] == 415


def test_a_body_that_is_too_large_is_refused_before_it_has_come(one: Gate) -> None:
    with socket.create_connection(("127.0.0.1", one.port), timeout=30) as sock:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        sock.sendall(f"{head}content-length: {33 << 20}\r\n\r\n".encode() + b" " * 1000)
        told = sock.recv(2000)
        assert told.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in told
        assert b"32 MiB" in told


def test_a_body_without_a_length_is_read_to_the_limit_only(one: Gate) -> None:
    with socket.create_connection(("127.0.0.1", one.port), timeout=30) as sock:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        sock.sendall(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
        piece = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
        for _ in range(8):
            sock.sendall(piece)
        sock.sendall(b"1\r\n \r\n")  # one byte too many, and nothing behind it that nobody reads
        assert sock.recv(100).startswith(b"HTTP/1.1 413 ")


def test_media_make_room_in_a_body(one: Gate) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * (20 << 20)}}
    raw = json.dumps({**GOOD, "messages": [{"role": "user", "content": [picture]}]}).encode()
    assert one.post(raw)[0] == 200


def test_media_make_no_more_room_than_there_is(one: Gate) -> None:
    with socket.create_connection(("127.0.0.1", one.port), timeout=30) as sock:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
        sock.sendall(head.encode() + b'11\r\n"data:x;base64,A"\r\n')
        piece = b"400000\r\n" + b"A" * (4 << 20) + b"\r\n"
        for _ in range(8):
            sock.sendall(piece)
        told = sock.recv(2000)
        assert told.startswith(b"HTTP/1.1 413 ")
        assert b"32 MiB" in told


def test_text_makes_no_room(one: Gate) -> None:
    with socket.create_connection(("127.0.0.1", one.port), timeout=30) as sock:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        sock.sendall(f"{head}content-length: {9 << 20}\r\n\r\n".encode())
        sock.sendall(b'{"messages": "' + b"x" * (8 << 20))  # a little more than text may have
        told = sock.recv(2000)
        assert told.startswith(b"HTTP/1.1 413 ")
        assert b"8 MiB" in told


def test_a_head_that_never_ends(one: Gate) -> None:
    with socket.create_connection(("127.0.0.1", one.port), timeout=30) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 65_000)
        time.sleep(0.1)  # the rest comes in a piece of its own, and nothing behind it that nobody reads
        sock.sendall(b"y" * 1000)
        assert b" 431 " in sock.recv(100)


def test_an_address_counts_as_a_part_of_the_head(one: Gate) -> None:
    with socket.create_connection(("127.0.0.1", one.port), timeout=30) as sock:
        sock.sendall(b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert b" 431 " in sock.recv(100)


def test_what_is_no_http(one: Gate) -> None:
    with socket.create_connection(("127.0.0.1", one.port), timeout=30) as sock:
        sock.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        head, _, body = sock.recv(2000).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert error_of(body)["code"] == "not_http"


@pytest.mark.parametrize("header", [{"host": "evil.example"}, {"origin": "https://evil.example"}])
def test_a_page_of_somebody_elses_is_refused(one: Gate, header: dict[str, str]) -> None:
    assert one.get("/v1/models", **header)[0] == 403


def test_a_request_keeps_the_id_it_came_with(one: Gate) -> None:
    assert one.get("/healthz", **{"x-request-id": "abc-1"})[2]["x-request-id"] == "abc-1"
    assert one.get("/healthz", **{"x-request-id": "a b"})[2]["x-request-id"].startswith("req_")


def test_a_fault_of_our_own_says_nothing_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    from multiturn.gateway.completions import stateless

    def broken(*_: object) -> None:
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr(stateless, "check_choices", broken)
    with gate(model="demo") as one:
        status, body, headers = one.post(GOOD)
        assert (status, error_of(body)["code"]) == (500, "internal_error")
        assert SECRET not in body.decode()
        assert headers["x-should-retry"] == "false"


def test_a_fault_of_our_own_is_told_in_the_envelope_on_every_path(monkeypatch: pytest.MonkeyPatch) -> None:
    from multiturn.storage.sqlite import SQLiteStore

    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr(SQLiteStore, "conversation", broken)
    with gate(model="demo") as one:
        status, body, headers = one.get("/v1/conversations/c1")
        assert (status, error_of(body)["code"]) == (500, "internal_error")
        assert SECRET not in body.decode()
        assert headers["x-should-retry"] == "false"


def test_foreign_and_missing_conversations_are_told_alike() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        body = {"model": "qwen/qwen-plus", "messages": GOOD["messages"], "conversation": "c1", "user": "ada"}
        assert one.post(body)[0] == 200
        for path in ("", "/turns", "/turns/1/context"):
            foreign = one.get(f"/v1/conversations/c1{path}?user=bob")
            missing = one.get(f"/v1/conversations/c2{path}?user=bob")
            assert foreign[:2] == missing[:2]
            assert foreign[0] == 404
        assert one.get("/v1/conversations/c1?user=bob", "DELETE")[:2] == missing[:2]
        assert one.get("/v1/conversations/c1?user=ada")[0] == 200


def test_errors_are_told_in_the_operators_language() -> None:
    from multiturn.config import Config

    with gate(model="demo", config=Config(store=":memory:", model="demo", language="zh")) as one:
        assert "没有" in error_of(one.get("/nope")[1])["message"]
        assert "参数" in error_of(one.post({**GOOD, "max_tokens": -1})[1])["message"]


@pytest.mark.parametrize("fields", [1, 500], ids=["one", "many"])
@pytest.mark.parametrize("earlier", [False, True], ids=["first", "next"])
def test_a_head_that_comes_all_at_once_has_a_limit_too(fields: int, *, earlier: bool) -> None:
    length = 65_700 // fields  # hardly too much: what is not read any more would reset the connection
    more = b"".join(b"x-%d: %b\r\n" % (number, b"y" * length) for number in range(fields))
    with gate(model="demo") as one, socket.create_connection(("127.0.0.1", one.port), timeout=30) as sock:
        if earlier:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert b" 200 " in sock.recv(1000)
        sock.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n" + more + b"\r\n")
        assert b" 431 " in sock.recv(100)


def test_a_large_body_behind_a_head_that_came_in_two_pieces_is_no_large_head() -> None:
    content = "x" * 300_000
    body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": content}]}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r" % len(body)
    with gate(model="demo") as one, socket.create_connection(("127.0.0.1", one.port), timeout=30) as sock:
        sock.sendall(head)
        time.sleep(0.2)
        sock.sendall(b"\n" + body)
        assert b" 431 " not in sock.recv(100)
