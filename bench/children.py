"""How is something measured in a process of its own?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["environment", "python"]


def environment() -> dict[str, str]:
    """The same packages as here, wherever they were found."""
    here = str(Path(__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*filter(None, sys.path), here])}


def python(*arguments: str) -> str:
    """What a Python process prints. Raises where it fails."""
    done = subprocess.run(
        [sys.executable, *arguments], env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"python {' '.join(arguments)} failed:\n{done.stderr}")
    return done.stdout
