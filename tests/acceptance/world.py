"""Clients before simulated providers: real HTTP on loopback, real SQLite files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.simulators import Lines, Script, Simulator, simulate

from multiturn import AsyncMultiTurn
from multiturn.config import Timing
from multiturn.settings import load

__all__ = ["SHORT", "World", "client_of", "environment_of", "world"]

VARIABLES = {
    "qwen": ("DASHSCOPE_API_KEY", "DASHSCOPE_COMPATIBLE_BASE_URL"),
    "dashscope": ("DASHSCOPE_API_KEY", "DASHSCOPE_HTTP_BASE_URL"),
    "kimi": ("MOONSHOT_API_KEY", "MOONSHOT_BASE_URL"),
    "deepseek": ("DEEPSEEK_API_KEY", "DEEPSEEK_BASE_URL"),
    "glm": ("ZHIPUAI_API_KEY", "ZHIPUAI_BASE_URL"),
    "stepfun": ("STEP_API_KEY", "STEP_BASE_URL"),
    "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
}
SHORT = Timing(lease=1.0, renew=0.2)
"""Who is gone is soon found to be; whoever is there may be as slow as the machine."""


def environment_of(*simulators: Simulator) -> dict[str, str]:
    """Keys and addresses, as an operator sets them."""
    found: dict[str, str] = {}
    for simulator in simulators:
        key, address = VARIABLES[simulator.name]
        found |= {key: simulator.key, address: simulator.base_url}
    return found


def client_of(
    path: Path, model: str, *simulators: Simulator, timing: Timing = SHORT, **given: Any
) -> AsyncMultiTurn:
    """A client of these simulators with a database in ``path``."""
    store = given.pop("store", f"sqlite:///{path / 'chats.db'}")
    config = load({"model": model, "timing": timing, "keep_reasoning": given.pop("keep_reasoning", None)}, {})
    return AsyncMultiTurn(model, store, config=config, environment=environment_of(*simulators), **given)


class World:
    """One simulated provider and clients of it."""

    def __init__(self, simulator: Simulator, make: Callable[..., AsyncMultiTurn]) -> None:
        self.simulator = simulator
        self.client = make()
        self.make = make


@asynccontextmanager
async def world(
    path: Path,
    name: str = "qwen",
    script: Script | Lines | None = None,
    *,
    model: str = "qwen/qwen-plus",
    **given: Any,
) -> AsyncIterator[World]:
    """A simulator, and a client of it; ``make`` makes more clients, each as if in a process of its own."""
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(simulate(name, script))
        clients: list[AsyncMultiTurn] = []

        def make(**more: Any) -> AsyncMultiTurn:
            clients.append(client_of(path, model, simulator, **{**given, **more}))
            return clients[-1]

        try:
            yield World(simulator, make)
        finally:
            for client in clients:
                await client.close()
