"""Does a client grow with its conversations?

A process of its own holds one client, whose conversation grows turn by turn through ``send``. It notes
its resident memory (or, in a second process, what ``tracemalloc`` sees) when everything is warm, and at
the end.

``python -m bench.memory FOLDER TURNS rss|traced`` prints the notes as JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from multiturn import AsyncMultiTurn, ContextPolicy

from .children import python
from .corpus import SYSTEM, invented
from .figures import Figure
from .scale import Scale
from .sending import Instant
from .stands import MODEL, NAME

__all__ = ["growth"]

FIRST = 600
"""Turns after which everything is loaded and warm: also numpy, for the first two blocks of the index."""
ALLOWED = 1.1


def growth(folder: Path, scale: Scale) -> list[Figure]:
    """Memory of a long-lived client after few and after many turns."""
    figures = []
    for way in ("rss", "traced"):
        place = folder / way
        place.mkdir()
        notes = json.loads(python("-m", "bench.memory", str(place), str(scale.turns), way))
        figures.append(
            Figure(
                "memory of one client",
                f"{FIRST:,} → {scale.turns:,} turns sent",
                "resident" if way == "rss" else "tracemalloc",
                "KiB",
                notes["last"] / 1024,
                f"at {FIRST:,}",
                notes["first"] / 1024,
                notes["last"] / notes["first"],
                ALLOWED,
            )
        )
    return figures


async def _live(folder: Path, turns: int, size: Callable[[], int]) -> dict[str, int]:
    client = AsyncMultiTurn(
        MODEL,
        f"sqlite:///{folder / 'memory.db'}",
        ContextPolicy.last_messages(20),
        provider=Instant(),
        environment={"HOME": str(folder)},
    )
    async with client:
        chat = client.conversation(NAME, system=SYSTEM)
        inputs = [message["content"] for message in invented(200)[::2]]
        for number in range(min(FIRST, turns)):
            await chat.send(inputs[number % len(inputs)])
        notes = {"first": size()}
        for number in range(turns - FIRST):
            await chat.send(inputs[number % len(inputs)])
        notes["last"] = size()
    return notes


def _resident() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def main(folder: str, turns: str, way: str) -> None:
    """Live, and print the notes."""
    if way == "traced":
        tracemalloc.start()
    size = _traced if way == "traced" else _resident
    print(json.dumps(asyncio.run(_live(Path(folder), int(turns), size))))


if __name__ == "__main__":
    main(*sys.argv[1:])
