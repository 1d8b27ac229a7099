"""The command line: ``multiturn`` and ``python -m multiturn``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and end the process: 0 when it went well, 1 for a failure, 2 for wrong usage, 130
    when Ctrl-C ended it. ``arguments`` default to those of the process."""
    from .program import run

    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))
