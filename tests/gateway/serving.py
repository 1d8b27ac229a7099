"""A gateway that listens, in a thread of its own: clients are real, over real HTTP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai

from multiturn import AsyncMultiTurn
from multiturn.gateway.server import Server, server_of

__all__ = ["Gate", "gate"]

ADDRESSES = {
    "qwen": ("DASHSCOPE_API_KEY", "DASHSCOPE_COMPATIBLE_BASE_URL"),
    "kimi": ("MOONSHOT_API_KEY", "MOONSHOT_BASE_URL"),
    "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
}


@dataclass
class Gate:
    """A running gateway."""

    url: str
    server: Server

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def openai(self, **options: Any) -> openai.OpenAI:
        """The official client, which checks what it gets."""
        given = {"max_retries": 0, "_strict_response_validation": True, **options}
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", **given)

    def aopenai(self, **options: Any) -> openai.AsyncOpenAI:
        """The same, for asyncio."""
        given = {"max_retries": 0, "_strict_response_validation": True, **options}
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key="none", **given)


@contextmanager
def gate(
    *simulators: Any, store: str | Path = ":memory:", model: str = "qwen/qwen-plus", grace: int = 5, **given: Any
) -> Iterator[Gate]:
    """A gateway whose keys are those of ``simulators``; ``given`` are arguments of its client."""
    environment = {"HOME": "/nowhere"}
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
    assert ready.wait(10)
    try:
        yield Gate(f"http://127.0.0.1:{listener.getsockname()[1]}", server)
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
        assert not thread.is_alive()
