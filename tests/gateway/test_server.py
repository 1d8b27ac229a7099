"""`multiturn serve`: it listens, remembers, and ends in order."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.gateway.keyed import made
from tests.gateway.responding import until
from tests.gateway.serving import Gate, gate
from tests.simulators import Script, Wire, serve

from multiturn.gateway.server import Protocol

ROOT = Path(__file__).parents[2]
SECRET = "sk-canary-4711"


def environment(folder: Path) -> dict[str, str]:
    kept = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(folder)}
    return kept | {"PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}


@contextmanager
def program(folder: Path, *options: str, **variables: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The command in a process of its own, and the address it tells."""
    command = [sys.executable, "-P", "-m", "multiturn", "serve", "--port", "0", *options]
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        command, cwd=folder, env=environment(folder) | variables, stderr=log, stdout=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 60
        while not (found := re.search(r"http://\S+/v1", (folder / "log").read_text())):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end
            time.sleep(0.05)
        yield process, found[0]
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)
        log.close()


def ask(url: str, text: str, **options: Any) -> str:
    with openai.OpenAI(base_url=url, max_retries=0, **{"api_key": "none", **options}) as client:
        reply = client.chat.completions.create(
            model="demo",
            messages=[{"role": "user", "content": text}],
            extra_body={"conversation": "order-42"},
        )
        return str(reply.choices[0].message.content)


def test_it_remembers_across_a_restart_and_ends_with_zero(tmp_path: Path) -> None:
    with program(tmp_path, "--store", "sqlite:///chats.db") as (process, url):
        ask(url, "My name is Ada.")
    assert process.returncode == 0
    with program(tmp_path, "--store", "sqlite:///chats.db") as (_, url):
        assert "Ada" in ask(url, "What is my name?")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_without_a_key_it_listens_nowhere_but_on_this_machine(tmp_path: Path, host: str) -> None:
    command = [sys.executable, "-P", "-m", "multiturn", "serve", "--host", host]
    done = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, check=False)
    assert done.returncode == 2
    assert b"multiturn keys create" in done.stderr
    assert b"key_needed" in done.stderr


def test_without_a_key_no_proxy_may_lead_others_to_it(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "multiturn", "serve", "--allow-host", "chat.example.com"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, check=False)
    assert done.returncode == 2
    assert b"key_needed" in done.stderr


def test_with_a_key_it_listens_for_others(tmp_path: Path) -> None:
    secret = made(tmp_path / "chats.db", "shop")
    options = ("--store", "sqlite:///chats.db", "--host", "0.0.0.0", "--allow-host", "chat.example.com")
    with program(tmp_path, *options, "-m", "demo") as (_, url):
        with pytest.raises(openai.AuthenticationError):
            ask(url, "My name is Ada.")
        ask(url, "My name is Ada.", api_key=secret)
        assert "Ada" in ask(url, "What is my name?", api_key=secret)
        named = {"api_key": secret, "default_headers": {"host": "chat.example.com"}}
        assert "Ada" in ask(url, "What is my name?", **named)
        named["default_headers"] = {"host": "evil.example"}
        with pytest.raises(openai.PermissionDeniedError):
            ask(url, "What is my name?", **named)


@pytest.mark.parametrize(
    ("host", "opened"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("127.0.0.1", "127.0.0.1"), ("localhost", "localhost")],
)
def test_the_address_that_is_told_can_be_opened(tmp_path: Path, host: str, opened: str) -> None:
    secret = made(tmp_path / "chats.db", "shop")
    options = ("--store", "sqlite:///chats.db", "--host", host, "-m", "demo")
    with program(tmp_path, *options) as (_, url):
        assert re.fullmatch(rf"http://{re.escape(opened)}:\d+/v1", url)
        ask(url, "My name is Ada.", api_key=secret)
        told = (tmp_path / "log").read_text().splitlines()[1:2]
        everywhere = [line for line in told if "every address of this machine" in line]
        assert len(everywhere) == (host in ("0.0.0.0", "::"))
        assert all(f"({host if host == '0.0.0.0' else '[::]'}:" in line for line in everywhere)


def test_a_store_that_cannot_be_used_is_told_before_it_listens(tmp_path: Path) -> None:
    (tmp_path / "chats.db").write_text("These are words, and no database: " * 40)
    command = [
        sys.executable,
        "-P",
        "-m",
        "multiturn",
        "serve",
        "--port",
        "0",
        "--store",
        "sqlite:///chats.db",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert re.fullmatch(
        rb"The file \S+chats.db is not a readable database .*\[store_corrupt\]\n", done.stderr
    )


def test_told_twice_it_ends_at_once_and_keeps_what_had_arrived(tmp_path: Path) -> None:
    options = ("--store", "sqlite:///chats.db", "-m", "demo?slow=2s")
    with program(tmp_path, *options) as (process, url):
        with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
            stream = client.responses.create(input="My name is Ada.", stream=True)
            told: list[Any] = [next(stream) for _ in range(7)]
            for _ in range(2):
                process.send_signal(signal.SIGINT)
                time.sleep(1)  # two signals that wait for the same moment are one
            assert process.wait(15) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()
    with program(tmp_path, *options) as (_, url), openai.OpenAI(base_url=url, api_key="none") as client:
        stored = client.responses.retrieve(told[0].response.id)
        heard = "".join(event.delta for event in told if event.type == "response.output_text.delta")
        assert stored.status == "cancelled"
        assert heard
        assert stored.output_text.startswith(heard)


def test_a_port_that_is_taken_is_told_in_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-P", "-m", "multiturn", "serve", "--port", port]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith(
        b"the system refused: another program listens at this address already; --port "
    )


def test_the_log_tells_ids_and_neither_secrets_nor_words(tmp_path: Path) -> None:
    with serve("qwen", "hush", key=SECRET) as sim:
        given = {"DASHSCOPE_API_KEY": SECRET, "DASHSCOPE_COMPATIBLE_BASE_URL": sim.base_url}
        with program(tmp_path, "-m", "qwen/qwen-plus", **given) as (_, url):
            with openai.OpenAI(base_url=url, api_key=SECRET) as client:
                reply = client.chat.completions.create(
                    model="qwen/qwen-plus",
                    messages=[{"role": "user", "content": "canary words"}],
                    extra_body={"conversation": "canary-conversation", "user": "canary-user"},
                )
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if line[:1] == "{"]
    (line,) = [each for each in lines if each["event"] == "request"]
    assert (line["request"], line["route"], line["status"]) == (
        reply._request_id,
        "/v1/chat/completions",
        200,
    )
    assert "canary" not in (tmp_path / "log").read_text()
    assert "hush" not in (tmp_path / "log").read_text()


def body(**more: Any) -> dict[str, Any]:
    return {
        "model": "qwen/qwen-plus",
        "messages": [{"role": "user", "content": "talk"}],
        "stream": True,
        **more,
    }


@pytest.mark.parametrize("extra", [{}, {"conversation": "c1"}], ids=["stateless", "stateful"])
def test_a_stream_comes_to_its_end_while_the_server_stops(extra: dict[str, str]) -> None:
    with serve("qwen", Script("word " * 10, wire=Wire(piece=5, between=0.1))) as sim, gate(sim) as one:
        parts: list[bytes] = []
        thread = threading.Thread(target=lambda: parts.extend(one.writes(body(**extra))))
        thread.start()
        until(lambda: bool(sim.requests))
        one.server.should_exit = True
        thread.join()
        assert parts[-1].endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("extra", [{}, {"conversation": "c1"}], ids=["stateless", "stateful"])
def test_a_stream_that_is_too_long_is_told(extra: dict[str, str], tmp_path: Path) -> None:
    slow = Script("word " * 400, wire=Wire(piece=5, between=0.1))
    with serve("qwen", slow) as sim, gate(sim, store=tmp_path / "a.db", grace=1) as one:
        parts: list[bytes] = []
        thread = threading.Thread(target=lambda: parts.extend(one.writes(body(**extra))))
        thread.start()
        until(lambda: bool(parts))
        one.server.should_exit = True
        thread.join()
        assert json.loads(parts[-1].removeprefix(b"data: "))["error"]["code"] == "stopping"
        until(lambda: sim.requests[0].left)
    if extra:
        with gate(sim, store=tmp_path / "a.db") as one:
            assert json.loads(one.get("/v1/conversations/c1/turns")[1])["data"][0]["state"] == "incomplete"


def test_a_head_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiturn.gateway.server.HEAD_SECONDS", 0.2)
    assert Protocol._head_timer is None
    with gate(model="demo") as one, socket.create_connection(("127.0.0.1", one.port), timeout=30) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nhost:")
        assert sock.recv(200).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiturn.gateway.http.body.READ_SECONDS", 0.2)
    with gate(model="demo") as one, socket.create_connection(("127.0.0.1", one.port), timeout=30) as sock:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{"
        sock.sendall(head)
        assert sock.recv(200).startswith(b"HTTP/1.1 408 ")


def test_it_is_alive_ready_and_counted() -> None:
    with gate(model="demo") as one:
        assert one.get("/healthz")[0] == one.get("/readyz")[0] == 200
        one.post({"model": "demo", "messages": [{"role": "user", "content": "x"}], "conversation": "canary"})
        text = one.get("/metrics")[1].decode()
        assert 'multiturn_requests_total{method="POST",route="/v1/chat/completions",status="200"} 1.0' in text
        one.get("/v1/conversations/canary")
        assert "canary" not in one.get("/metrics")[1].decode()


def test_it_is_not_ready_where_the_store_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "chats.db").write_text("this is no database, and never was one" * 100)
    with gate(model="demo", store=tmp_path / "chats.db") as one:
        assert one.get("/healthz")[0] == 200
        status, said, _ = one.get("/readyz")
        assert (status, json.loads(said)["error"]["code"]) == (503, "store_corrupt")


def names(one: Gate) -> list[str]:
    return [each.id for each in one.openai().models.list()]


def test_models_are_listed_whose_key_is_set() -> None:
    with serve("qwen") as sim, gate(sim) as one:
        assert "qwen/qwen-plus" in names(one)
        assert "demo" in names(one)
        assert not [each for each in names(one) if each.startswith(("kimi/", "openai/"))]
        assert one.openai().models.retrieve("qwen/qwen-plus").owned_by == "qwen"
