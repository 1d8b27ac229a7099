"""How long does it take, on a machine that does other things, too?

All contestants take turns, many times; each round gives each one figure, and a ratio is the median of
the rounds' ratios. So what slows the machine for a while slows them all. CPU is measured with all threads
on one core: else the figures would say where the system happened to put each thread (across cores every
hop costs four times as much, whoever makes it).
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["CLOCKS", "Clock", "Times", "Work", "one_core", "race", "ratio"]

Work = Callable[[], Awaitable[object]]
Clock = Literal["CPU", "wall"]
CLOCKS: tuple[Clock, ...] = ("CPU", "wall")
"""CPU: of the whole process, all its threads."""


@dataclass(slots=True)
class Times:
    """Seconds an operation took, one for each round."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def by(self, clock: Clock) -> list[float]:
        """The rounds by one clock."""
        return self.cpu if clock == "CPU" else self.wall

    def median(self, clock: Clock) -> float:
        """The middle round."""
        return statistics.median(self.by(clock))


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this thread, and those it starts, on one core; where the system cannot, nothing is kept."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


async def race(
    contestants: Mapping[str, Work], rounds: int, seconds: float, most: int = 100
) -> dict[str, Times]:
    """Let all take turns for so many rounds; each repeats its work for about so many ``seconds`` of a
    round, at most ``most`` times."""
    repeats = {name: await _repeats(work, seconds, most) for name, work in contestants.items()}
    times = {name: Times() for name in contestants}
    gc.collect()
    gc.freeze()  # what was prepared is nobody's garbage
    for number in range(rounds):
        order = list(contestants)
        for name in order if number % 2 else reversed(order):
            await _measure(contestants[name], repeats[name], times[name])
    gc.unfreeze()
    return times


async def _repeats(work: Work, seconds: float, most: int) -> int:
    await work()
    begun = time.perf_counter()
    await work()
    return max(1, min(most, round(seconds / (time.perf_counter() - begun))))


async def _measure(work: Work, repeats: int, times: Times) -> None:
    await work()  # warms the caches of the processor, which the one before has filled
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        await work()
    times.cpu.append((time.process_time() - cpu) / repeats)
    times.wall.append((time.perf_counter() - wall) / repeats)


def ratio(one: Times, other: Times, clock: Clock) -> float:
    """How many times as long ``one`` takes: the median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(one.by(clock), other.by(clock), strict=True))
