from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from multiturn.storage import Store

from .stores import STORES


@pytest.fixture(params=list(STORES))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with STORES[request.param](tmp_path) as store:
        yield store
