"""Run multiturn as ``python -m multiturn``."""

from .cli import main

main()
