"""How does the best durable session of another library do the same? openai-agents' SQLiteSession.

Where it is not installed (`requirements/bench.txt`), it takes no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .corpus import Message, tokens

__all__ = ["Peer", "open_peer"]


class Peer:
    """One session. It has no place for instructions: an application puts them in front itself."""

    def __init__(self, session: Any) -> None:
        self._session = session

    async def add(self, messages: Sequence[Message]) -> None:
        """Store messages in one transaction."""
        await self._session.add_items(list(messages))

    async def newest(self, count: int) -> list[Message]:
        """The newest messages."""
        return list(await self._session.get_items(limit=count))

    async def within(self, budget: int) -> list[Message]:
        """The newest messages until ``budget`` tokens are used up: it can only give all of them, which
        are then counted from the end."""
        items = await self._session.get_items()
        kept = len(items)
        while kept and (budget := budget - tokens(items[kept - 1])) >= 0:
            kept -= 1
        return list(items[kept:])

    def close(self) -> None:
        """Let go of the file."""
        self._session.close()


def open_peer(path: Path, name: str) -> Peer | None:
    """A session in this file; ``None`` where the library is not installed."""
    try:
        from agents import SQLiteSession
    except ImportError:
        return None
    return Peer(SQLiteSession(name, path))
