"""What the tests of who may do what share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The file of a store."""
    return tmp_path / "chats.db"
