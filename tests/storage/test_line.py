"""Who waits in this process is told when the lease is freed in this process."""

from __future__ import annotations

import asyncio

import pytest
from tests.conformance.talk import ask, assistant, begin, finish, said

from multiturn.storage import line
from multiturn.storage.sqlite import SQLiteStore


def keep_tickets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to give a sign of life."""
    for module in ("sqlite_waiting", "sqlite_leases"):
        monkeypatch.setattr(f"multiturn.storage.{module}.TICKET_LIFE", 180.0)


async def test_the_first_in_line_is_told_and_then_the_next(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looks by himself here: whoever were not told would wait for a minute."""
    monkeypatch.setattr(line, "POLL", 60.0)
    monkeypatch.setattr(line, "SLOWEST_POLL", 60.0)
    keep_tickets(monkeypatch)
    lease = await begin(store, "0")
    waiting = []
    for number in range(1, 5):
        waiting.append(asyncio.create_task(ask(store, str(number), "ok")))
        await asyncio.sleep(0.02)
    waiting[1].cancel()
    await asyncio.sleep(0.02)
    await finish(store, lease, assistant("ok"))
    await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 30)
    assert (await said(store))[::2] == ["0", "1", "3", "4"]


async def test_when_the_first_leaves_just_as_it_was_told_the_next_is_told(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "POLL", 60.0)
    monkeypatch.setattr(line, "SLOWEST_POLL", 60.0)
    keep_tickets(monkeypatch)
    lease = await begin(store, "0")
    first = asyncio.create_task(ask(store, "1", "ok"))
    await asyncio.sleep(0.02)
    second = asyncio.create_task(ask(store, "2", "ok"))
    await asyncio.sleep(0.02)
    await finish(store, lease, assistant("ok"))
    first.cancel()
    await asyncio.wait_for(second, 30)
    assert (await said(store))[::2] == ["0", "2"]


@pytest.mark.parametrize("steps", [1, 2, 3])
async def test_whoever_leaves_in_the_very_moment_it_is_told_has_left(
    monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(line, "POLL", 60.0)
    place = line.Line().join(1, 1)
    waiting = asyncio.create_task(place.wait(60.0))
    await asyncio.sleep(0.01)
    place.tell()
    for _ in range(steps):
        await asyncio.sleep(0)
    left = waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled() is left


async def test_whoever_waits_keeps_the_place_however_long_it_takes(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_tickets(monkeypatch)
    monkeypatch.setattr("multiturn.storage.sqlite_waiting.TICKET_LIFE", 0.03)
    lease = await begin(store, "0")
    waiting = asyncio.create_task(ask(store, "1", "ok"))

    async def lapses_at() -> int:
        return await store._write(
            lambda db: int(db.execute("SELECT TOTAL(expires) FROM tickets").fetchone()[0])
        )

    async with asyncio.timeout(30):
        while not (first := await lapses_at()):  # noqa: ASYNC110  (nobody is told of a ticket)
            await asyncio.sleep(0.01)
        while await lapses_at() == first:  # noqa: ASYNC110  (nor of one that is renewed)
            await asyncio.sleep(0.01)
    await finish(store, lease, assistant("ok"))
    await waiting


async def test_only_the_first_in_line_looks(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_tickets(monkeypatch)
    looks: list[int] = []
    may_go = line.Place.wait

    async def watched(place: line.Place, at_most: float, *, alone: bool = False) -> None:
        await may_go(place, at_most, alone=alone)
        looks.append(place.ticket)

    monkeypatch.setattr(line.Place, "wait", watched)
    lease = await begin(store, "0")
    waiting = [asyncio.create_task(ask(store, str(number), "ok")) for number in range(4)]
    while len(looks) < 5:  # noqa: ASYNC110  (the line sets no event)
        await asyncio.sleep(0.01)
    assert len(set(looks)) == 1
    await finish(store, lease, assistant("ok"))
    await asyncio.gather(*waiting)
