"""What does it cost to store a turn, and how many bytes does it take?

``add`` counts tokens, writes JSON, makes a turn with its figures, and gives the stored messages with
their ids. By hand: two rows whose bytes and token counts are there already.

The index of recall is written with every sixteenth turn or so: the middle turn does not show that. What
many turns in a row cost, divided by their number, does.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, closing
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
ROW = 512
"""Turns in a row: as many messages as complete two blocks of the index."""
ROWS = 5


async def storing(folder: Path, messages: Callable[[int], Sequence[Message]], scale: Scale) -> list[Figure]:
    """A turn stored in conversations of different lengths."""
    contestants: dict[str, Work] = {}
    sizes = [size for size in scale.sizes if size != 1_000]
    async with AsyncExitStack() as stack:
        for size in sizes:
            place = await stack.enter_async_context(stand(folder, messages(size)))
            contestants |= _contestants(place, messages(1_000))
        times = await race(contestants, scale.rounds, scale.slice, MOST)
        last = {name: work for name, work in contestants.items() if name.endswith(f" {sizes[-1]}")}
        rows = await race(_in_a_row(last, min(ROW, scale.turns)), ROWS, 0)
    return [*_by_size(times, sizes), *_growth(times, sizes), *_whole(rows, sizes[-1], min(ROW, scale.turns))]


def _in_a_row(contestants: Mapping[str, Work], turns: int) -> dict[str, Work]:
    def all_of(work: Work) -> Work:
        async def done() -> None:
            for _ in range(turns):
                await work()

        return done

    return {name: all_of(work) for name, work in contestants.items()}


def _whole(times: Mapping[str, Times], size: int, turns: int) -> list[Figure]:
    each = {
        name: Times([cpu / turns for cpu in one.cpu], [wall / turns for wall in one.wall])
        for name, one in times.items()
    }
    names = (f"ours {size}", f"raw {size}", f"peer {size}")
    what = f"add a turn, {turns} in a row, index included"
    return [compared(what, f"{size:,} messages", clock, each, names, beside="raw") for clock in CLOCKS]


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
    """The file of the longest conversation, closed (so its log is written back), as it is, and without the
    pages of the index of recall."""
    async with stand(folder, messages(scale.longest)) as place:
        pass
    ours, raw = place.ours_file.stat().st_size, place.raw_file.stat().st_size
    peer = place.peer_file.stat().st_size if place.peer else None
    found = {
        "bytes on disk, index of recall apart": (ours - _index_bytes(place.ours_file), 1.6),
        "bytes on disk, all": (ours, None),
    }
    return [
        Figure(
            what,
            f"{scale.longest:,} messages",
            "file",
            "bytes",
            size,
            "raw",
            raw,
            size / raw,
            target,
            peer,
            peer / size if peer else None,
        )
        for what, (size, target) in found.items()
    ]


def _index_bytes(file: Path) -> int:
    """How much of the file would be free without the tables of the index. What was free before is ours."""
    copy = file.with_suffix(".copy")
    shutil.copy(file, copy)
    with closing(sqlite3.connect(copy, isolation_level=None)) as db:
        before = _free(db)
        names = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'recall%'")
        for (name,) in names.fetchall():
            db.execute(f"DROP TABLE {name}")
        return _free(db) - before


def _free(db: sqlite3.Connection) -> int:
    pages, size = (db.execute(f"PRAGMA {each}").fetchone()[0] for each in ("freelist_count", "page_size"))
    return int(pages * size)
