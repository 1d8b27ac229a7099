"""The store that the tests of this folder work with, in a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from multiturn.storage.sqlite import SQLiteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chats.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteStore]:
    store = SQLiteStore(str(path))
    yield store
    await store.close()


@pytest.fixture
async def impatient(path: Path) -> AsyncIterator[SQLiteStore]:
    """The same, which soon gives up waiting for other programs."""
    store = SQLiteStore(str(path), patience=0.3)
    yield store
    await store.close()
