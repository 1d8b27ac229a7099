"""What all tests share."""

import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.scene import Make, Scene


@pytest.fixture(scope="session", autouse=True)
def _interrupts() -> None:
    """Ctrl-C reaches the programs that tests start, also where a shell runs the tests in the background
    and has it ignored: what is ignored stays so in every child."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, the loop the library is written for."""
    return "asyncio"


@pytest.fixture
async def scene() -> AsyncIterator[Make]:
    """Makes clients whose model reads from a script."""
    scenes: list[Scene] = []

    def make(*script: Any, **given: Any) -> Scene:
        scenes.append(Scene(*script, **given))
        return scenes[-1]

    yield make
    for one in scenes:
        await one.client.close()
