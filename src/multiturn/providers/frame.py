"""What do the pieces of a streamed answer have in common? Nearly all of them differ in a few words only: then
those are read, and all around them is compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

__all__ = ["Frame", "frame_of"]

PROBE = "\N{SYMBOL FOR START OF TEXT}"


class Frame(NamedTuple):
    """The bytes of a piece before its words and behind them. Words are one string of JSON; whatever other
    string stands in its place, the rest says the same."""

    head: bytes
    tail: bytes

    def words(self, piece: bytes) -> str | None:
        """What a piece says that differs in its words only; ``None`` where it is any other."""
        if not piece.startswith(self.head) or not piece.endswith(self.tail):
            return None
        try:
            words = orjson.loads(piece[len(self.head) : len(piece) - len(self.tail)])
        except ValueError:
            return None
        return words if type(words) is str else None


def frame_of(piece: bytes, words: str, read: Callable[[Any], object]) -> Frame | None:
    """The frame of a piece that says ``words``; ``read`` gets them from the opened piece. ``None`` where
    they are written in another way, or stand first where they are not read.

    >>> frame_of(b'{"id":7,"text":"Hello"}', "Hello", lambda piece: piece["text"])
    Frame(head=b'{"id":7,"text":', tail=b'}')
    """
    written = orjson.dumps(words)
    head, _, tail = piece.partition(written)
    try:
        other = read(orjson.loads(b"%b%b%b" % (head, orjson.dumps(PROBE), tail)))
    except ValueError:
        return None
    return Frame(head, tail) if other == PROBE else None
