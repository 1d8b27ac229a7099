"""A gateway that listens, in a thread of its own: clients are real, over real HTTP."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import uvicorn.server
from openai import AsyncOpenAI

from multiturn import AsyncMultiTurn
from multiturn.gateway.server import Server, server_of

__all__ = ["Gate", "gate"]

ADDRESSES = {
    "qwen": ("DASHSCOPE_API_KEY", "DASHSCOPE_COMPATIBLE_BASE_URL"),
    "dashscope": ("DASHSCOPE_API_KEY", "DASHSCOPE_HTTP_BASE_URL"),
    "kimi": ("MOONSHOT_API_KEY", "MOONSHOT_BASE_URL"),
    "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
}


class Brisk:
    """asyncio, as uvicorn sees it in tests: it looks every tenth of a second whether it should end, and then
    gives connections as long to close. That would be most of what the tests of the gateway take."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        """Not for long."""
        await asyncio.sleep(min(seconds, 0.005))


vars(uvicorn.server)["asyncio"] = Brisk()


@dataclass
class Gate:
    """A running gateway."""

    url: str
    server: Server
    clients: list[openai.OpenAI] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def openai(self, **options: Any) -> openai.OpenAI:
        """The official client, which checks what it gets."""
        given = {"max_retries": 0, "_strict_response_validation": True, **options}
        self.clients.append(openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", **given))
        return self.clients[-1]

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
        """Status, body and headers of an answer."""
        return self._asked(method, path, None, headers)

    def post(
        self, body: bytes | dict[str, Any], path: str = "/v1/chat/completions", **headers: str
    ) -> tuple[int, bytes, Any]:
        """The same, with a JSON body; ``_`` in a header's name stands for a hyphen."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"content-type": "application/json"}
        return self._asked(
            "POST", path, raw, given | {name.replace("_", "-"): v for name, v in headers.items()}
        )

    def _asked(self, method: str, path: str, body: bytes | None, headers: Any) -> tuple[int, bytes, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read(), response.headers
        finally:
            connection.close()

    def writes(self, body: dict[str, Any]) -> Iterator[bytes]:
        """The writes of a streamed answer, as they come over the wire."""
        with self.socket(body) as sock, sock.makefile("rb") as raw:
            while raw.readline().strip():
                pass
            while size := int(raw.readline(), 16):
                yield raw.read(size)
                raw.readline()

    def socket(
        self, body: dict[str, Any], *headers: str, path: str = "/v1/chat/completions"
    ) -> socket.socket:
        """A connection over which a request was sent."""
        raw = json.dumps(body).encode()
        lines = [f"POST {path} HTTP/1.1", "host: localhost", f"content-length: {len(raw)}"]
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        sock.sendall("\r\n".join([*lines, *headers, "", ""]).encode() + raw)
        return sock

    def aopenai(self, **options: Any) -> AsyncOpenAI:
        """The same, for asyncio."""
        given = {"max_retries": 0, "_strict_response_validation": True, **options}
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key="none", **given)


@contextmanager
def gate(
    *simulators: Any,
    store: str | Path = ":memory:",
    model: str = "qwen/qwen-plus",
    grace: int = 5,
    variables: Mapping[str, str] | None = None,
    **given: Any,
) -> Iterator[Gate]:
    """A gateway whose keys are those of ``simulators``, and of its ``variables``; ``given`` are arguments of
    its client."""
    environment = {"HOME": "/nowhere", **(variables or {})}
    for one in simulators:
        key, address = ADDRESSES[one.name]
        environment |= {key: one.key, address: one.base_url}
    url = store if isinstance(store, str) else f"sqlite:///{store}"
    client = AsyncMultiTurn(model=model, store=url, environment=environment, **given)
    listener = socket.create_server(("127.0.0.1", 0))
    ready = threading.Event()
    server = server_of(client, ready.set, grace=grace)
    thread = threading.Thread(target=server.run, args=([listener],), name="gateway", daemon=True)
    thread.start()
    assert ready.wait(60)
    one = Gate(f"http://127.0.0.1:{listener.getsockname()[1]}", server)
    try:
        yield one
    finally:
        for sdk in one.clients:
            sdk.close()
        server.should_exit = True
        thread.join(60)
        listener.close()
        assert not thread.is_alive()
