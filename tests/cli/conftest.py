"""What the tests of the command line share."""

from pathlib import Path

import pytest
from tests.cli.terminal import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A user with an empty home."""
    return Shell(tmp_path)
