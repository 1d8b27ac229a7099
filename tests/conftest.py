"""What all tests share."""

import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from tests.checker.counters import THOROUGH
from tests.scene import Make, Scene

DAY = 86_400
LAST_MOMENTS = 30

# A change is judged by the same examples wherever it is judged, however slow the machine is; new ones are
# looked for by ``scripts/test --thorough``.
settings.register_profile(
    "suite",
    derandomize=not THOROUGH,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")


@pytest.fixture(scope="session", autouse=True)
def _interrupts() -> None:
    """Ctrl-C reaches the programs that tests start, also where a shell runs the tests in the background
    and has it ignored: what is ignored stays so in every child."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _days() -> None:
    """Consumption is counted by the day, in UTC: no test begins where the day might end before it does."""
    left = DAY - time.time() % DAY
    if left < LAST_MOMENTS:
        time.sleep(left + 0.1)


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
