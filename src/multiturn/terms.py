"""Which words of a text can be searched for? Terms of messages and of questions."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Query"]


@dataclass(frozen=True, slots=True)
class Query:
    """A question, ready to be searched for."""

    text: str
    terms: tuple[int, ...] = ()
    dates: tuple[tuple[float, float], ...] = ()
    refers_back: bool = False


def query(text: str, *, now: float) -> Query:
    """A question, ready to be searched for."""
    return Query(text)
