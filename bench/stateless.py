"""What does the gateway add to a chat completion that nobody remembers? Beside Y, and litellm's proxy."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from .load import Calling, calling, request
from .servers import Server
from .talk import Talk
from .verdicts import Verdict

__all__ = ["Stand", "added_time", "ratio", "requests", "streams", "thousand"]

CONNECTIONS = 32
STREAMS = 256
MEGABYTE = 1e6
Work = Callable[[Server], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Stand:
    """Who takes part, and how much is measured: ``rounds`` in which all take turns, ``size`` scales what is
    done in one, ``crowd`` is how many streams are open at the most."""

    ours: Server
    plain: Server
    model: Server
    peer: Server | None = None
    rounds: int = 7
    size: float = 1.0
    crowd: int = 1_000

    @property
    def contestants(self) -> Sequence[Server]:
        """Those whose requests are compared."""
        return [each for each in (self.plain, self.ours, self.peer) if each is not None]


async def race(servers: Sequence[Server], work: Work, rounds: int) -> dict[str, list[float]]:
    """One figure a round for each; all take turns, and each is warm before."""
    figures: dict[str, list[float]] = {each.name: [] for each in servers}
    for each in servers:
        await work(each)
    for number in range(rounds):
        for each in servers if number % 2 else reversed(servers):
            figures[each.name].append(await work(each))
    return figures


def ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def judged(
    what: str,
    data: str,
    unit: str,
    figures: Mapping[str, Sequence[float]],
    must: float,
    aim: float | None,
    *,
    least: bool = False,
) -> Verdict:
    """Ours beside Y. With ``least`` a figure is work for the same processor time: the ratio is turned
    round."""
    ours, base, peer = figures["ours"], figures["Y"], figures.get("litellm")
    figure = ratio(base, ours) if least else ratio(ours, base)
    return Verdict(
        what,
        data,
        unit,
        statistics.median(ours),
        figure,
        "Y",
        statistics.median(base),
        must,
        aim,
        least,
        statistics.median(peer) if peer else None,
        ratio(peer, ours) if peer else None,
    )


async def _with(server: Server, connections: int, work: Callable[[Calling], Awaitable[None]]) -> float:
    """Seconds of processor time a server takes for something."""
    clients = await calling(server.port, connections)
    try:
        begun = server.cpu()
        await work(clients)
        return server.cpu() - begun
    finally:
        clients.close()
        await asyncio.sleep(0.05)


async def requests(stand: Stand) -> list[Verdict]:
    """Answers in one piece, at 32 connections."""

    async def work(server: Server) -> float:
        count = round((100 if server is stand.peer else 3_000) * stand.size)
        raw = request(Talk(0, 20), 1, stream=False)

        async def ask(clients: Calling) -> None:
            await clients.one_after_the_other([raw] * count)

        return await _with(server, CONNECTIONS, ask) / count * 1e6

    figures = await race(stand.contestants, work, stand.rounds)
    data = f"{CONNECTIONS} connections"
    found = [judged("requests per core, CPU of one", data, "µs", figures, 1.0, 1.4, least=True)]
    if "litellm" in figures:
        beside = statistics.median(figures["litellm"])
        figure = ratio(figures["litellm"], figures["ours"])
        found.append(
            Verdict(
                "requests per core, beside litellm", data, "µs", found[0].ours, figure, "litellm", beside, 50,
                None, least=True,
            )
        )  # fmt: skip
    return found


async def streams(stand: Stand) -> list[Verdict]:
    """Streams paced one wake-up for each chunk, at one and at 256; and the same in bursts."""
    count, many = max(10, round(150 * stand.size)), min(STREAMS, stand.crowd)
    paced = (
        (1, Talk(0, count * 5, 2, 1, stamped=True), "CPU per 100,000 paced chunks", None, None),
        (many, Talk(0, count, 50, 1, stamped=True), "CPU per 100,000 paced chunks", 1.0, 0.75),
        (
            many,
            Talk(0, count * 4, 100, 20, stamped=True),
            "CPU per 100,000 chunks in bursts of 20",
            None,
            None,
        ),
    )
    found = []
    for number, talk, what, must, aim in paced:

        async def work(server: Server, number: int = number, talk: Talk = talk) -> float:
            least = server is stand.peer and number > 1
            return await _streamed(server, max(1, number // 32) if least else number, talk)

        servers = stand.contestants if must is not None else (stand.plain, stand.ours)
        figures = await race(servers, work, stand.rounds)
        data = f"{number} stream{'s' if number > 1 else ''}"
        verdict = judged(what, data, "s", figures, must or 1.0, aim)
        found.append(verdict)
    return found


async def _streamed(server: Server, number: int, talk: Talk) -> float:
    """Seconds for 100,000 chunks."""
    raw = request(talk, 1, stream=True)
    chunks = 0

    async def ask(clients: Calling) -> None:
        nonlocal chunks
        answers = await clients.all_at_once([raw] * number, talk.every / 1e3)
        chunks = sum(len(each.transits) for each in answers)
        if server.name != "litellm" and chunks < number * talk.pieces * 0.99:
            raise RuntimeError(f"{server.name} lost {number * talk.pieces - chunks} chunks")

    return await _with(server, number, ask) / chunks * 1e5


async def added_time(stand: Stand) -> list[Verdict]:
    """The time to the first token, one stream at a time, less the model's own."""
    raw = request(Talk(0, 3, 2), 1, stream=True)

    async def work(server: Server) -> float:
        count = 10 if server is stand.peer else round(100 * stand.size)
        clients = await calling(server.port, 1)
        try:
            answers = await clients.one_after_the_other([raw] * count)
        finally:
            clients.close()
        return statistics.median(each.first for each in answers) * 1e6

    figures = await race([stand.model, *stand.contestants], work, stand.rounds)
    direct = figures.pop("model")
    added = {
        name: [max(1.0, a - b) for a, b in zip(times, direct, strict=True)] for name, times in figures.items()
    }
    found = [judged("added time to the first token", "one stream", "µs", added, 1.0, None)]
    if "litellm" in added:
        figure = ratio(added["litellm"], added["ours"])
        what = "added time to the first token, beside litellm"
        beside = statistics.median(added["litellm"])
        found.append(
            Verdict(what, "one stream", "µs", found[0].ours, figure, "litellm", beside, None, 25, least=True)
        )
    return found


async def thousand(stand: Stand) -> list[Verdict]:
    """How long a chunk takes from the model to the client at 1,000 streams, and what the gateway holds in
    memory meanwhile."""
    talk = Talk(0, max(20, round(60 * stand.size)), 50, 1, stamped=True)
    raw = request(talk, 1, stream=True)
    held: dict[str, list[float]] = {}

    async def work(server: Server) -> float:
        clients = await calling(server.port, stand.crowd)
        try:
            asking = asyncio.create_task(clients.all_at_once([raw] * stand.crowd, 0.5))
            await asyncio.sleep(talk.every * talk.pieces / 1e3 * 0.7)
            held.setdefault(server.name, []).append(server.memory() / MEGABYTE)
            answers = await asking
        finally:
            clients.close()
            await asyncio.sleep(0.2)
        transits = sorted(each for answer in answers for each in answer.transits)
        return transits[len(transits) * 99 // 100] * 1e3

    servers = (stand.plain, stand.ours)
    figures = await race(servers, work, stand.rounds)
    data = f"{stand.crowd:,} streams"
    ours = max(held["ours"])
    return [
        judged("p99 transit of a chunk", data, "ms", figures, 1.0, 0.5),
        Verdict("memory", data, "MB", ours, ours, "Y", max(held["Y"]), 120, 80),
    ]
