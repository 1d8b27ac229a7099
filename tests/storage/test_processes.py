"""Several processes at one file, and sudden death."""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path
from typing import Any

import orjson
from tests.conformance.talk import ALICE, ask, assistant, begin, finish, said

from multiturn.conversations import TurnState
from multiturn.storage.sqlite import SQLiteStore

from .files import Other, words_of


async def test_twenty_turns_at_once_from_two_processes(path: Path) -> None:
    with Other("turns", path, "x", 10) as one, Other("turns", path, "y", 10) as other:
        acknowledged = await one.rest() + await other.rest()
    assert sorted(acknowledged) == sorted(f"{tag}{n}" for tag in "xy" for n in range(10))
    words = await words_of(path)
    assert words[::2] == words[1::2], "no turn lies inside another"
    assert words[::2] == sorted(words[::2], key=words.index)
    assert sorted(map(str, words[::2])) == sorted(acknowledged)
    store = SQLiteStore(str(path))
    assert {turn.state for turn in await store.turns(ALICE, "c")} == {TurnState.COMPLETED}
    await store.close()


async def test_processes_that_start_together_make_one_schema(path: Path) -> None:
    others = [Other("open", path) for _ in range(4)]
    assert [await other.rest() for other in others] == [["open"]] * 4
    assert await _read_empty(path) == []


async def _read_empty(path: Path) -> list[Any]:
    store = SQLiteStore(str(path))
    try:
        return list(await store.conversations(ALICE))
    finally:
        await store.close()


async def test_the_queue_passes_over_a_process_that_died_in_it(path: Path, store: SQLiteStore) -> None:
    lease = await begin(store, "first")
    with Other("queue", path) as other:
        assert await other.line() == "queued"
        mine = asyncio.create_task(ask(store, "mine", "ok"))
        await asyncio.sleep(0.1)
        other.kill()
        await finish(store, lease, assistant("ok"))
        await asyncio.wait_for(mine, 30)
    assert await said(store) == ["first", "ok", "mine", "ok"]


async def test_the_queue_is_one_for_all_processes(path: Path, store: SQLiteStore) -> None:
    lease = await begin(store, "first")
    with Other("queue", path) as other:
        assert await other.line() == "queued"
        mine = asyncio.create_task(ask(store, "mine", "mine"))
        await asyncio.sleep(0.1)
        await finish(store, lease, assistant("first"))
        assert await other.line() == "queued"
        await asyncio.wait_for(mine, 30)
    assert (await said(store))[::2] == ["first", "queued", "mine"]


async def test_a_frozen_holder_writes_nothing_when_it_thaws(path: Path, store: SQLiteStore) -> None:
    with Other("freeze", path) as other:
        assert await other.line() == "begun"
        other.process.send_signal(signal.SIGSTOP)
        await ask(store, "next", "ok")
        other.process.send_signal(signal.SIGCONT)
        assert await other.rest() == ["turn_expired", "turn_expired"]
    assert await said(store) == ["frozen", "half", "next", "ok"]


async def test_a_frozen_holder_goes_on_when_nobody_came(path: Path, store: SQLiteStore) -> None:
    with Other("freeze", path) as other:
        assert await other.line() == "begun"
        other.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(0.9)
        other.process.send_signal(signal.SIGCONT)
        assert await other.rest() == ["written", "written"]
    assert await said(store) == ["frozen", "stale"]


async def test_killed_at_any_moment(path: Path) -> None:
    """Nothing that was acknowledged is lost, nothing is there twice, and the conversation goes on."""
    acknowledged: list[str] = []
    chance = random.Random(7)
    for run in range(6):
        with Other("work", path, f"r{run}") as other:
            acknowledged.append(await other.line())
            await asyncio.sleep(chance.uniform(0, 0.05))
            acknowledged += other.kill()
    store = SQLiteStore(str(path))
    await ask(store, "last", "last", wait=10)
    turns = await store.turns(ALICE, "c")
    said_by = {turn.number: [] for turn in turns}  # type: dict[int, list[str]]
    for told in await store.history(ALICE, "c"):
        said_by[told.row.turn].append(orjson.loads(told.row.body)["content"])
    complete = [turn for turn in turns if turn.state is TurnState.COMPLETED]
    assert [said_by[turn.number] for turn in complete] == [[w, w] for w in _in_order(complete, said_by)]
    names = [said_by[turn.number][0] for turn in complete]
    assert set(acknowledged) <= set(names)
    assert len(names) == len(set(names))
    for turn in turns:
        assert turn.state in (TurnState.COMPLETED, TurnState.INCOMPLETE)
        assert all(said_by[turn.number]), "no empty message"
    integrity = await store._writer.run(lambda db: db.execute("PRAGMA integrity_check").fetchone())
    assert integrity == ("ok",)
    await store.close()


async def _fall_due(store: SQLiteStore, *names: str) -> None:
    for name in names:
        await finish(store, await begin(store, "u", name), assistant("a"), due=True)


async def test_two_processes_never_claim_the_same(path: Path, store: SQLiteStore) -> None:
    names = [f"c{number}" for number in range(30)]
    await _fall_due(store, *names)
    with Other("claims", path, 60) as one, Other("claims", path, 60) as other:
        for process in (one, other):
            assert await process.line() == "ready"
        for process in (one, other):
            process.tell("go")
        claimed = await one.rest() + await other.rest()
    assert sorted(name for name in claimed if name != "none") == sorted(names)
    assert await store.claim_due() is None


async def test_what_a_dead_process_had_claimed_is_claimed_again(path: Path, store: SQLiteStore) -> None:
    for name, hold in (("kept", 60), ("c", 0.5)):
        await _fall_due(store, name)
        with Other("claims", path, hold) as other:
            assert await other.line() == "ready"
            other.tell("go")
            assert await other.line() == name
            other.kill()
    await asyncio.sleep(0.5)
    due = await store.claim_due()
    assert due is not None
    assert (due.conversation, due.failures) == ("c", 0)
    assert await store.claim_due() is None, "what a dead process holds is held until its time is over"


def _in_order(complete: Any, said_by: dict[int, list[str]]) -> list[str]:
    return [said_by[turn.number][0] for turn in complete]
