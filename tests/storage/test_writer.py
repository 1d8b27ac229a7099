"""Commits are shared, and each operation still stands for itself."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conformance.talk import ALICE, answer, ask, begin, said

from multiturn.conversations import TurnState
from multiturn.errors import ConversationNotFound
from multiturn.storage import Reach
from multiturn.storage.jobs import Job
from multiturn.storage.sqlite import SQLiteStore


class Gate:
    """A piece of work that stops the writer until it is opened."""

    def __init__(self, store: SQLiteStore) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()
        self.done = asyncio.ensure_future(store._writer.run(self.work))

    def work(self, _: sqlite3.Connection) -> None:
        self.reached.set()
        self.opened.wait(60)

    async def until_reached(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, 60)


async def test_nobody_hears_of_success_before_the_commit(store: SQLiteStore) -> None:
    first = Gate(store)
    await first.until_reached()
    task = asyncio.create_task(answer(store, 1))
    await asyncio.sleep(0)
    last = Gate(store)
    first.opened.set()
    await last.until_reached()
    assert not task.done(), "its work is done, but not durable"
    assert not first.done.done() or first.done.result() is None
    last.opened.set()
    await task
    assert await said(store) == ["u1", "a1"]


async def test_it_is_told_early_only_by_itself_and_only_what_will_be(store: SQLiteStore) -> None:
    early: list[str] = []
    write = store._writer.run

    def fails(_: sqlite3.Connection) -> str:
        raise ConversationNotFound(conversation="c")

    assert await write(lambda _: "alone", early=early.append) == "alone"
    with pytest.raises(ConversationNotFound):
        await write(fails, early=early.append)
    gate = Gate(store)
    await gate.until_reached()
    together = [write(lambda _: "together", early=early.append) for _ in range(2)]
    gate.opened.set()
    assert await asyncio.gather(*together) == ["together"] * 2
    assert early == ["alone"]


async def test_who_left_is_told_nothing_early(store: SQLiteStore) -> None:
    early: list[None] = []
    reached, opened = threading.Event(), threading.Event()

    def work(_: sqlite3.Connection) -> None:
        reached.set()
        opened.wait(60)

    future = store._writer.run(work, early=early.append)
    assert await asyncio.to_thread(reached.wait, 60)
    future.cancel()
    opened.set()
    await store._writer.run(lambda _: None)
    assert not early


async def test_what_is_told_early_is_not_stored_yet(tmp_path: Path) -> None:
    """Who reads then reads what was before, and the others cannot write."""
    store = SQLiteStore(str(tmp_path / "store.db"))
    await answer(store, 1)
    seen: list[int] = []

    def early(_: None) -> None:
        with sqlite3.connect(store.path, timeout=0) as other:
            seen.extend(row[0] for row in other.execute("SELECT COUNT(*) FROM turns"))
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
        other.close()
        told.set()

    told = threading.Event()
    job = Job(
        lambda db: db.execute("DELETE FROM turns").fetchone(),
        _Now(),  # type: ignore[arg-type]  # what is called in the loop is called at once here
        asyncio.get_running_loop().create_future(),
        early=early,
    )
    connection = sqlite3.connect(store.path, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    store._writer._perform_alone(connection, job)
    assert told.is_set()
    assert seen == [1]
    assert connection.execute("SELECT COUNT(*) FROM turns").fetchone() == (0,)
    connection.close()
    await store.close()


class _Now:
    """A loop in which everything is called at once."""

    def call_soon_threadsafe(self, call: Callable[..., None], *given: object) -> None:
        call(*given)


async def test_who_left_before_its_turn_came_leaves_nothing(store: SQLiteStore) -> None:
    gate = Gate(store)
    await gate.until_reached()
    task = asyncio.create_task(begin(store, "left"))
    await asyncio.sleep(0)
    task.cancel()
    gate.opened.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ConversationNotFound):
        await store.conversation(ALICE, "c")


async def test_what_nobody_wants_any_more_is_not_written(store: SQLiteStore) -> None:
    await answer(store, 1)
    gate = Gate(store)
    await gate.until_reached()
    task = asyncio.create_task(store.delete(ALICE, "c"))
    await asyncio.sleep(0)
    task.cancel()
    gate.opened.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await said(store) == ["u1", "a1"]


async def test_who_left_while_it_was_written_gives_the_lease_back(store: SQLiteStore) -> None:
    first = Gate(store)
    await first.until_reached()
    task = asyncio.create_task(begin(store, "left", hold=600))
    await asyncio.sleep(0)
    last = Gate(store)
    first.opened.set()
    await last.until_reached()
    task.cancel()
    last.opened.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await last.done
    await ask(store, "next", "ok", wait=2)
    assert [turn.state for turn in await store.turns(ALICE, "c")] == [
        TurnState.INCOMPLETE,
        TurnState.COMPLETED,
    ]
    assert await said(store) == ["left", "next", "ok"]
    await ask(store, "again", "ok")
    path = await store.gather(ALICE, "c", Reach(turns=0))
    assert [each.turn.number for each in path.withheld] == [1]


async def test_who_left_while_it_was_given_a_ticket_gives_it_back(store: SQLiteStore) -> None:
    await begin(store, "holds", hold=600)
    first = Gate(store)
    await first.until_reached()
    task = asyncio.create_task(begin(store, "left"))
    await asyncio.sleep(0)
    last = Gate(store)
    first.opened.set()
    await last.until_reached()
    task.cancel()
    last.opened.set()
    await last.done
    await asyncio.sleep(0)

    def tickets(db: sqlite3.Connection) -> int:
        return int(db.execute("SELECT COUNT(*) FROM tickets").fetchone()[0])

    assert await store._writer.run(tickets) == 0


async def test_one_that_is_refused_takes_nothing_with_it(store: SQLiteStore) -> None:
    gate = Gate(store)
    await gate.until_reached()

    def broken(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM turns")
        raise KeyError("a mistake after it wrote")

    one = asyncio.create_task(answer(store, 1))
    await asyncio.sleep(0)
    refused = store._writer.run(broken)
    other = asyncio.create_task(answer(store, 2))
    await asyncio.sleep(0)
    gate.opened.set()
    await asyncio.gather(one, other)
    with pytest.raises(KeyError):
        await refused
    assert await said(store) == ["u1", "a1", "u2", "a2"]


async def test_one_that_is_refused_by_itself_leaves_nothing(store: SQLiteStore) -> None:
    await answer(store, 1)

    def broken(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM messages")
        next(iter(db.execute("SELECT * FROM turns")))
        raise KeyError("a mistake after it wrote")

    with pytest.raises(KeyError):
        await store._writer.run(broken)
    assert await said(store) == ["u1", "a1"]
    await answer(store, 2)
    assert await said(store) == ["u1", "a1", "u2", "a2"]


def test_a_loop_that_is_gone_takes_no_thread_with_it(path: Path) -> None:
    store = SQLiteStore(str(path))
    held: list[Gate] = []

    async def leave_in_the_middle() -> None:
        held.append(Gate(store))
        await held[0].until_reached()

    asyncio.run(leave_in_the_middle())
    held[0].opened.set()
    asyncio.run(answer(store, 1))
    assert asyncio.run(said(store)) == ["u1", "a1"]
    asyncio.run(store.close())
