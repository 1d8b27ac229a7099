"""The clients that are JavaScript, ready to be run."""

from __future__ import annotations

import shutil

import pytest
from tests.gateway.clients.nodejs import ENVIRONMENT, SCRIPTS, Node


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """Their scripts beside their packages."""
    folder = tmp_path_factory.mktemp("javascript")
    (folder / "node_modules").symlink_to(ENVIRONMENT / "node_modules")
    return Node(shutil.copytree(SCRIPTS, folder / "scripts"))
