"""Vectors are made beside the turns, one conversation after the other."""

from __future__ import annotations

import asyncio
from typing import Any

from multiturn.conversations import Owner
from multiturn.indexing import Indexer

ADA = Owner("", "ada")


class Slow:
    """Stands for an embedder that takes its time: three portions for each conversation."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.calls, self.running, self.most = seconds, list[str](), 0, 0

    async def catch_up(self, owner: Owner, conversation: str) -> int:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.running -= 1
        self.calls.append(conversation)
        return 3 - min(3, self.calls.count(conversation))

    async def reached(self, calls: int) -> None:
        while len(self.calls) < calls:  # noqa: ASYNC110  (what is tested tells nobody)
            await asyncio.sleep(0.001)


def indexer(slow: Slow) -> Indexer:
    opened: Any = slow
    return Indexer(lambda name: opened if name == "known" else None)


async def test_closing_finishes_what_is_waiting_a_portion_each() -> None:
    slow = Slow()
    one = indexer(slow)
    for name in ("a", "b", "a"):
        one.wake(ADA, name, "known")
    one.wake(ADA, "c", "unknown")
    await one.drain()
    assert slow.calls == ["a", "b"]


async def test_one_after_the_other() -> None:
    slow = Slow()
    one = indexer(slow)
    for name in ("a", "b", "a"):
        one.wake(ADA, name, "known")
    one.wake(ADA, "c", "unknown")
    await slow.reached(6)
    one.wake(ADA, "d", "known")
    await slow.reached(9)
    await one.drain()
    assert slow.calls == ["a"] * 3 + ["b"] * 3 + ["d"] * 3
    assert slow.most == 1


async def test_closing_does_not_wait_for_ever() -> None:
    slow = Slow(60)
    one = indexer(slow)
    one.wake(ADA, "a", "known")
    await asyncio.sleep(0.01)
    await asyncio.wait_for(one.drain(0.05), 30)
    assert (slow.running, slow.calls) == (0, [])
    one.wake(ADA, "b", "known")
    await asyncio.sleep(0.01)
    assert slow.running == 0
    await one.drain()


async def test_closing_what_never_ran() -> None:
    await indexer(Slow()).drain()
