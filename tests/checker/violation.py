"""What is wrong with a window, in one record."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Violation"]


@dataclass(frozen=True)
class Violation:
    """A broken rule by its short name, what happened, and the message it happened to (its place in the
    window, or in the input where the message was not sent)."""

    rule: str
    detail: str
    index: int | None = None
