"""What does a turn cost that the gateway remembers? Beside S, which commits twice and does nothing else; and
does it grow with the conversation?"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from .load import Answer, calling, request
from .servers import Server, Servers
from .stateless import Stand, race, ratio
from .talk import EVERY, Talk, answer, said
from .verdicts import Verdict

__all__ = ["growth", "long", "memory", "stored", "turns", "wrong"]

CONVERSATIONS = 32
TURNS = 20
LONG = 1_000
STORED = 80
NUMBERS = count(1)
"""Every conversation of the benchmark is another."""
NEAR = 5
"""How many turns on each side of the tenth and the last are looked at."""


async def _talked(
    server: Server, talks: Sequence[Talk], turns: int, *, stream: bool, first: int = 1
) -> list[list[Answer]]:
    """Conversations at once, one turn after the other in each; the answers of each."""
    clients = await calling(server.port, len(talks))

    async def one(place: int, talk: Talk) -> list[Answer]:
        return [
            await clients.callers[place].ask(request(talk, turn, stream=stream, stateful=True))
            for turn in range(first, first + turns)
        ]

    try:
        return await asyncio.gather(*(one(*each) for each in enumerate(talks)))
    finally:
        clients.close()


def _new(number: int, pieces: int, every: int, least: int = EVERY) -> list[Talk]:
    return [Talk(next(NUMBERS), pieces, every, least=least) for _ in range(number)]


async def turns(stand: Stand, two_commits: Server) -> list[Verdict]:
    """Processor time of a turn, 32 conversations at once, 20 turns each."""
    found = []
    for stream, every in ((True, 5), (False, 0)):

        async def work(server: Server, stream: bool = stream, every: int = every) -> float:
            begun = server.cpu()
            await _talked(server, _new(CONVERSATIONS, 20, every), TURNS, stream=stream)
            return (server.cpu() - begun) / CONVERSATIONS / TURNS * 1e6

        figures = await race((two_commits, stand.ours), work, stand.rounds)
        what = f"durable turn, CPU, {'streamed in 20 chunks' if stream else 'in one piece'}"
        ours, base = statistics.median(figures["ours"]), statistics.median(figures["S"])
        figure = ratio(figures["ours"], figures["S"])
        data = f"{CONVERSATIONS} conversations × {TURNS} turns"
        found.append(Verdict(what, data, "µs", ours, figure, "S", base, 3, 2))
    return found


async def growth(stand: Stand) -> list[Verdict]:
    """The first token of the twentieth turn beside that of the first, in one conversation after the other."""
    firsts: list[float] = []
    lasts: list[float] = []
    for _ in range(max(3, round(30 * stand.size))):
        (answers,) = await _talked(stand.ours, _new(1, 10, 2), TURNS, stream=True)
        firsts.append(answers[0].first)
        lasts.append(answers[-1].first)
    one, other = statistics.median(lasts) * 1e3, statistics.median(firsts) * 1e3
    data = f"{len(firsts)} conversations, one after the other"
    return [
        Verdict("first token, turn 20 ÷ turn 1", data, "ms", one, one / other, "turn 1", other, 1.5, 1.25)
    ]


async def long(servers: Servers, size: float) -> list[Verdict]:
    """The first token of the thousandth turn beside that of the tenth."""
    found = []
    length = max(40, round(LONG * size))
    newest = ("--max-messages", "20")
    kinds = {
        "the newest 20 messages": (5, *newest, "--recall", "off", "--summarize", "off"),
        "the newest 20 messages, what fits recalled": (5, *newest),
        "the default policy": (20,),
    }
    for policy, (least, *options) in kinds.items():
        server = servers.ours(*map(str, options))
        (answers,) = await _talked(server, _new(1, 10, 2, int(least)), length, stream=True)
        server.end()
        early = statistics.median(each.first for each in answers[9 - NEAR : 10 + NEAR]) * 1e3
        late = statistics.median(each.first for each in answers[-2 * NEAR :]) * 1e3
        what = f"first token, turn {length:,} ÷ turn 10, {policy}"
        found.append(Verdict(what, "one conversation", "ms", late, late / early, "turn 10", early, 1.2, 1.05))
    return found


async def stored(servers: Servers, folder: Path, size: float) -> list[Verdict]:
    """Bytes on disk for a byte of text, and whether they grow with the turns only. A store with one turn is
    what it holds at the beginning."""
    bytes_of: dict[int, float] = {}
    turns = max(4, round(STORED * size))
    for length in (0, turns // 2, turns):
        file = folder / f"stored-{length}.db"
        server = servers.ours(store=file)
        talks = _new(CONVERSATIONS, 60, 0)
        await _talked(server, talks if length else _new(1, 60, 0), length or 1, stream=False)
        server.end()
        text = sum(
            len(said(talk, turn).encode()) + len(answer(talk, turn).encode())
            for talk in talks
            for turn in range(1, length + 1)
        )
        there = _bytes_of(folder, file.name)
        bytes_of[length] = (there - bytes_of[0]) / text if length else there
    half, whole = bytes_of[turns // 2], bytes_of[turns]
    data = f"{CONVERSATIONS} conversations × {turns} turns"
    return [
        Verdict("bytes stored ÷ bytes of text", data, "", whole, whole, must=3, aim=2),
        Verdict("the same, beside half as many turns", data, "", whole, whole / half, "half", half, aim=1.05),
    ]


def _bytes_of(folder: Path, name: str) -> int:
    return sum(each.stat().st_size for each in folder.glob(f"{name}*"))


async def memory(servers: Servers, crowd: int) -> list[Verdict]:
    """What the gateway holds in memory while a turn is streamed in each of many conversations."""
    server = servers.ours()
    talks = _new(crowd, 60, 50)
    idle = server.memory() / 1e6
    clients = await calling(server.port, crowd)
    try:
        raws = [request(talk, 1, stream=True, stateful=True) for talk in talks]
        asking = asyncio.create_task(clients.all_at_once(raws, 1.0))
        held = 0.0
        while not asking.done():
            held = max(held, server.memory() / 1e6)
            await asyncio.sleep(0.1)
        await asking
    finally:
        clients.close()
        server.end()
    data = f"{crowd:,} streams of {crowd:,} conversations"
    return [Verdict("memory, stateful", data, "MB", held, held, "idle", idle, 120, 80)]


def wrong(told: dict[str, int]) -> Verdict:
    """Requests in which the model was shown something else than what was said."""
    data = f"{told['requests']:,} requests, {told['cut']:,} of them without the oldest turns"
    return Verdict("turns with a wrong history", data, "", told["wrong"], told["wrong"], must=0, aim=0)
