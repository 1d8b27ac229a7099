"""What all tests share."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.scene import Make, Scene


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
