"""How long does it take to find an old message, and what does its index cost?

A search is everything from the text of a question to its ten best messages: reading the index, spreading
the terms, ranking; CPU is that of all threads. Questions are pieces of sentences of the conversation. Turns
are stored through `add`, and the bytes on disk counted, with the index.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .corpus import Message
from .figures import Figure
from .rounds import CLOCKS, Clock, Times
from .scale import Scale
from .stands import NAME, client_of

__all__ = ["questions", "recalling", "timed"]

BATCH = 20_000
QUESTION = 24
"""Characters of a sentence that make a question."""
TARGETS = {1_000: (0.5, 3.0), 100_000: (0.95, 50.0)}
"""For a length of the conversation: which share of the searches may take how many milliseconds."""
BYTES = 700.0
TURNS = 4_000.0
"""Turns that must be stored in a second, index included."""


async def recalling(folder: Path, messages: Callable[[int], Sequence[Message]], scale: Scale) -> list[Figure]:
    """Searches in conversations of different lengths."""
    figures: list[Figure] = []
    for size in scale.sizes:
        told = messages(size)
        file = folder / f"recall-{size}.db"
        stored, searched = Times(), Times()
        async with client_of(file) as client:
            chat = client.conversation(NAME)
            for first in range(0, size, BATCH):
                with timed(stored):
                    await chat.add(told[first : first + BATCH])
            for question in questions(told, scale.rounds * 3):
                with timed(searched):
                    await chat.recall(question)
        for clock in CLOCKS:
            figures += _searches(size, searched.by(clock)[1:], clock)
        if size == scale.longest:
            figures += [_rate(size, size / 2 / sum(stored.by(clock)), clock) for clock in CLOCKS]
            figures.append(_bytes(size, file.stat().st_size / size))
    return [*figures, *await _putting_in(folder / "recall-putting-in.db", messages(2_000), scale)]


async def _putting_in(file: Path, told: Sequence[Message], scale: Scale) -> list[Figure]:
    """The words of a turn go into the index once another turn came: so ``add`` of a short turn behind one
    of many messages is nearly all putting in."""
    many = [told[0], *({**message, "role": "assistant"} for message in told[1:])]
    short = [{"role": "user", "content": "ok"}]
    put_in = Times()
    async with client_of(file) as client:
        for number in range(scale.rounds):
            chat = client.conversation(f"{NAME}-{number}")
            await chat.add(many)
            with timed(put_in):
                await chat.add(short)
    data = f"{len(many):,} messages at one time"
    return [
        Figure(
            "a message put into the index",
            data,
            clock,
            "µs",
            statistics.median(put_in.by(clock)) / len(many) * 1e6,
        )
        for clock in CLOCKS
    ]


@contextmanager
def timed(times: Times) -> Iterator[None]:
    """Add what happens inside to the times."""
    begun, before = time.perf_counter(), time.process_time()
    yield
    times.wall.append(time.perf_counter() - begun)
    times.cpu.append(time.process_time() - before)


def questions(told: Sequence[Message], count: int) -> list[str]:
    """Pieces of what was told, each as a question."""
    chance = random.Random(7)
    found = []
    for _ in range(count):
        text = chance.choice(told)["content"]
        first = chance.randrange(max(1, len(text) - QUESTION))
        found.append(text[first : first + QUESTION] + "？")
    return found


def _searches(size: int, seconds: Sequence[float], clock: Clock) -> list[Figure]:
    shares = {"p50": statistics.median(seconds), "p95": statistics.quantiles(seconds, n=20)[-1]}
    share, most = TARGETS.get(size, (0.0, 0.0))
    figures = []
    for name, measured in shares.items():
        judged = name == f"p{share * 100:.0f}"
        figures.append(
            Figure(
                f"a search, {name}",
                f"{size:,} messages",
                clock,
                "ms",
                measured * 1e3,
                "limit" if judged else "",
                most if judged else None,
                measured * 1e3 / most if judged else None,
                1.0 if judged else None,
            )
        )
    return figures


def _rate(size: int, turns: float, clock: Clock) -> Figure:
    ratio = TURNS / turns
    return Figure(
        "stored and indexed in a second",
        f"{size:,} messages",
        clock,
        "turns",
        turns,
        "limit",
        TURNS,
        ratio,
        1.0,
    )


def _bytes(size: int, found: float) -> Figure:
    return Figure(
        "bytes a message, index included", f"{size:,} messages", "file", "bytes", found, "limit", BYTES,
        found / BYTES, 1.0,
    )  # fmt: skip
