"""What does it cost to store a turn, and how many bytes does it take?

``add`` counts tokens, writes JSON, makes a turn with its figures, and gives the stored messages with
their ids. By hand: two rows whose bytes and token counts are there already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

from .corpus import Message
from .figures import Figure, compared
from .rounds import CLOCKS, Times, Work, race, ratio
from .scale import Scale
from .stands import Stand, row_of, stand

__all__ = ["bytes_on_disk", "storing"]

MOST = 5
"""Turns a round: the shortest conversation must stay short."""


async def storing(folder: Path, messages: Callable[[int], Sequence[Message]], scale: Scale) -> list[Figure]:
    """A turn stored in conversations of different lengths."""
    contestants: dict[str, Work] = {}
    sizes = [size for size in scale.sizes if size != 1_000]
    async with AsyncExitStack() as stack:
        for size in sizes:
            place = await stack.enter_async_context(stand(folder, messages(size)))
            contestants |= _contestants(place, messages(1_000))
        times = await race(contestants, scale.rounds, scale.slice, MOST)
    return [*_by_size(times, sizes), *_growth(times, sizes)]


def _contestants(place: Stand, messages: Sequence[Message]) -> dict[str, Work]:
    turns = [messages[index : index + 2] for index in range(0, len(messages), 2)]
    rows = [[row_of(message) for message in turn] for turn in turns]
    ours, raws, peers = count(), count(), count()
    size, peer = place.size, place.peer
    found: dict[str, Work] = {
        f"ours {size}": lambda: place.chat.add(turns[next(ours) % len(turns)]),
        f"raw {size}": lambda: place.raw.add(rows[next(raws) % len(rows)]),
    }
    if peer is not None:
        found[f"peer {size}"] = lambda: peer.add(turns[next(peers) % len(turns)])
    return found


def _by_size(times: dict[str, Times], sizes: Sequence[int]) -> list[Figure]:
    return [
        compared(
            "add a turn",
            f"{size:,} messages",
            clock,
            times,
            (f"ours {size}", f"raw {size}", f"peer {size}"),
            beside="raw",
            target=2,
        )
        for clock in CLOCKS
        for size in sizes
    ]


def _growth(times: dict[str, Times], sizes: Sequence[int]) -> list[Figure]:
    found = []
    for clock in CLOCKS:
        first, last = times[f"ours {sizes[0]}"], times[f"ours {sizes[-1]}"]
        its_first, its_last = times.get(f"peer {sizes[0]}"), times.get(f"peer {sizes[-1]}")
        found.append(
            Figure(
                "add a turn: growth",
                f"{sizes[0]:,} → {sizes[-1]:,}",
                clock,
                "µs",
                last.median(clock) * 1e6,
                f"at {sizes[0]:,}",
                first.median(clock) * 1e6,
                ratio(last, first, clock),
                1.2,
                its_last.median(clock) * 1e6 if its_last else None,
                ratio(its_last, its_first, clock) if its_last and its_first else None,
            )
        )
    return found


async def bytes_on_disk(
    folder: Path, messages: Callable[[int], Sequence[Message]], scale: Scale
) -> list[Figure]:
    """The file of the longest conversation, closed (so its log is written back), as it is."""
    async with stand(folder, messages(scale.longest)) as place:
        pass
    ours, raw = place.ours_file.stat().st_size, place.raw_file.stat().st_size
    peer = place.peer_file.stat().st_size if place.peer else None
    return [
        Figure(
            "bytes on disk",
            f"{scale.longest:,} messages",
            "file",
            "bytes",
            ours,
            "raw",
            raw,
            ours / raw,
            1.6,
            peer,
            peer / ours if peer else None,
        )
    ]
