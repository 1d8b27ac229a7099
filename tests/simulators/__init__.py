"""Simulated providers for the tests: real HTTP on loopback, as strict as the real ones.

>>> async with simulate("qwen") as simulator:        # doctest: +SKIP
...     simulator.base_url, simulator.key, simulator.requests

``serve`` is the same for blocking clients and other processes: it runs the server in a thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiohttp import web

from .family import FAMILY
from .script import Answer, Call, Fault, Lines, Received, Reply, Script, Wire, Writer, echo, remember
from .server import Clock, Model, Simulator

__all__ = [
    "FAMILY",
    "Answer",
    "Call",
    "Clock",
    "Fault",
    "Lines",
    "Model",
    "Received",
    "Reply",
    "Script",
    "Simulator",
    "Wire",
    "Writer",
    "echo",
    "remember",
    "serve",
    "simulate",
]


def make(name: str, script: Script | Lines | None = None, **options: Any) -> Simulator:
    """A simulator that does not listen yet; a bare reply or function is a script of its own."""
    return FAMILY[name](script if isinstance(script, Script) or script is None else Script(script), **options)


@asynccontextmanager
async def simulate(
    name: str, script: Script | Lines | None = None, *, port: int = 0, **options: Any
) -> AsyncIterator[Simulator]:
    """A running simulator on this event loop. ``options``: ``models``, ``clock``, ``key`` and
    ``concurrency``."""
    simulator = make(name, script, **options)
    runner = web.AppRunner(
        simulator.application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        host, bound = runner.addresses[0][:2]
        simulator.url = f"http://{host}:{bound}"
        yield simulator
    finally:
        await runner.cleanup()


@contextmanager
def serve(name: str, script: Script | Lines | None = None, **options: Any) -> Iterator[Simulator]:
    """A running simulator in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name=f"simulator-{name}", daemon=True)
    thread.start()
    running = simulate(name, script, **options)
    try:
        simulator = asyncio.run_coroutine_threadsafe(running.__aenter__(), loop).result(60)
        try:
            yield simulator
        finally:
            asyncio.run_coroutine_threadsafe(running.__aexit__(None, None, None), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()
