"""Secrets and words leave no trace in what the gateway writes down, however loudly it is told to talk."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.gateway.keyed import made
from tests.gateway.test_server import environment
from tests.simulators import Fault, Script, Wire, serve

PROVIDER_KEY = "sk-canary-of-the-provider"
WORDS = "canary-said-by-a-user"
NAME = "canary-conversation"
USER = "canary-user"
WRONG = "mt_canary-that-opens-nothing"
LOUD = """
import logging, sys
from multiturn.gateway import server

quiet = server.set_up

def loud():
    quiet()
    for name in ("", *logging.root.manager.loggerDict):
        logging.getLogger(name).setLevel(logging.DEBUG)

server.set_up = loud
from multiturn.cli import main
main(sys.argv[1:])
"""


@contextmanager
def loud(folder: Path, **variables: str) -> Iterator[int]:
    """The gateway in a process of its own, all its loggers at DEBUG; its port. It writes to "log"."""
    options = ("--store", "sqlite:///chats.db", "--port", "0", "-m", "qwen/qwen-plus")
    command = [sys.executable, "-P", "-c", LOUD, "serve", *options]
    given = environment(folder) | variables | {"PYTHONASYNCIODEBUG": "1"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=given, stdout=log, stderr=log)
        try:
            end = time.monotonic() + 60
            while not (found := re.search(r"http://\S+:(\d+)/v1", (folder / "log").read_text())):
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end
                time.sleep(0.05)
            yield int(found[1])
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


def post(port: int, body: dict[str, Any] | bytes, key: str, **more: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}", **more}
    connection.request("POST", f"/v1/chat/completions?user={USER}", raw, headers)
    response = connection.getresponse()
    told = response.status, response.read()
    connection.close()
    return told


def leave(port: int, body: dict[str, Any], key: str) -> None:
    """Ask for a stream, and go in the middle of it."""
    raw = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.sendall(f"{head}content-length: {len(raw)}\r\n\r\n".encode() + raw)
        heard = b""
        while b"data:" not in heard:
            heard += sock.recv(4096)


def echoed(status: int) -> Fault:
    """A provider that repeats what it should not."""
    return Fault(status, message=f"Incorrect API key provided: {PROVIDER_KEY}; you said {WORDS}")


def test_neither_secrets_nor_words_are_written_down(tmp_path: Path) -> None:
    key = made(tmp_path / "chats.db", "shop")
    faults = {5: echoed(401), 6: echoed(400)} | {number: echoed(500) for number in range(7, 30)}
    script = Script(f"{WORDS} " * 20, faults=faults, wire=Wire(piece=5, between=0.01))
    body = {"model": "qwen/qwen-plus", "messages": [{"role": "user", "content": WORDS}], "user": USER}
    with serve("qwen", script, key=PROVIDER_KEY) as sim, socket.socket() as closed:
        variables = {"DASHSCOPE_API_KEY": PROVIDER_KEY, "DASHSCOPE_COMPATIBLE_BASE_URL": sim.base_url}
        closed.bind(("127.0.0.1", 0))  # taken, and nobody listens
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        variables |= {"MOONSHOT_API_KEY": PROVIDER_KEY, "MOONSHOT_BASE_URL": address}
        told = []
        with loud(tmp_path, **variables) as port:
            told.append(post(port, body, key))
            told.append(post(port, {**body, "conversation": NAME}, key))
            leave(port, {**body, "stream": True}, key)
            leave(port, {**body, "stream": True, "conversation": NAME}, key)
            kinds: tuple[dict[str, Any], ...] = ({}, {"conversation": NAME}, {}, {"stream": True})
            told += [post(port, {**body, **extra}, key) for extra in kinds]
            told.append(post(port, {**body, "model": "kimi/kimi-k2.6"}, key))
            told.append(post(port, {**body, "model": f"nobody/{WORDS}"}, key))
            told.append(post(port, f'{{"messages": "{WORDS}'.encode(), key))
            told.append(post(port, body, WRONG))
            told.append(post(port, body, "", **{"api-key": WRONG}))
            told.append(post(port, body, key, host=f"{WORDS}.example"))
            with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
                sock.sendall(f"POST / HTTP/1.1\r\nauthorization {key} {WRONG}\r\n\r\n".encode())
                told.append((400, sock.recv(4096)))
    log = (tmp_path / "log").read_text()
    assert [status for status, _ in told][:2] == [200, 200]
    assert sum('"event":"request"' in line for line in log.splitlines()) >= len(told)
    for canary in (PROVIDER_KEY, WORDS, NAME, USER, WRONG, key, key.removeprefix("mt_")):
        assert canary not in log
    for _, answer in told:
        assert PROVIDER_KEY.encode() not in answer
        assert key.encode() not in answer
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("chats.db*"))
    assert WORDS.encode() in kept
    for secret in (PROVIDER_KEY, key, WRONG):
        assert secret.encode() not in kept


def test_what_a_library_complains_of_is_told_without_its_words(tmp_path: Path) -> None:
    script = f"""
import asyncio, logging, sys
from multiturn.gateway.log import set_up
set_up()
async def fail(): raise ValueError({WORDS!r})
async def main():
    asyncio.create_task(fail())
    await asyncio.sleep(0.01)
asyncio.run(main())
import gc; gc.collect()
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], env=environment(tmp_path), capture_output=True, check=True
    )
    (line,) = [json.loads(each) for each in done.stderr.decode().splitlines()]
    assert (line["level"], line["event"], line["error"]) == (
        "error",
        "asyncio: Task exception was never retrieved",
        "ValueError",
    )
    assert WORDS not in done.stderr.decode()
