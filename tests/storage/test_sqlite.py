"""The embedded store as its user meets it: a file, durable, closed when it is closed."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.talk import ALICE, answer, ask, assistant, begin, said, user

from multiturn.conversations import Declared
from multiturn.errors import ConversationNotFound, StoreUnavailable
from multiturn.storage import Partial, Reach
from multiturn.storage.sqlite import SQLiteStore

from .files import beside, words_of, written


async def test_the_file_is_made_with_its_folders_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "chats.db"
    store = SQLiteStore(str(path))
    await answer(store, 1)
    modes = {file.name: file.stat().st_mode & 0o077 for file in path.parent.iterdir()}
    assert modes["chats.db"] == 0
    assert set(modes.values()) == {0}
    await store.close()
    assert beside(path) == ["chats.db"]


async def test_nothing_is_made_before_the_first_use(path: Path) -> None:
    store = SQLiteStore(str(path))
    await store.close()
    assert beside(path) == []


async def test_commits_are_durable_and_readers_do_not_wait(store: SQLiteStore) -> None:
    def pragmas(db: sqlite3.Connection) -> tuple[Any, ...]:
        names = ("journal_mode", "synchronous")
        return tuple(db.execute(f"PRAGMA {name}").fetchone()[0] for name in names)

    assert store._readers is not None
    assert await store._writer.run(pragmas) == ("wal", 2)
    assert (await store._readers.run(pragmas))[0] == "wal"


async def test_what_was_written_is_there_for_the_next_program(path: Path) -> None:
    await written(path, 1, 2)
    store = SQLiteStore(str(path))
    assert await said(store) == ["u1", "a1", "u2", "a2"]
    await store.close()


async def test_memory_forgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        store = SQLiteStore(":memory:")
        await answer(store, 1)
        assert await said(store) == ["u1", "a1"]
        await store.close()
    assert beside(tmp_path / "any") == []


def test_a_store_serves_one_loop_after_another(path: Path) -> None:
    store = SQLiteStore(str(path))
    for number in (1, 2, 3):
        asyncio.run(answer(store, number))
    assert asyncio.run(said(store)) == ["u1", "a1", "u2", "a2", "u3", "a3"]
    asyncio.run(store.close())


def test_a_store_serves_several_loops_at_once(path: Path) -> None:
    store = SQLiteStore(str(path))

    def work(tag: str) -> None:
        async def turns() -> None:
            await asyncio.gather(*(ask(store, f"{tag}{n}", f"{tag}{n}") for n in range(8)))

        asyncio.run(turns())

    threads = [threading.Thread(target=work, args=(tag,)) for tag in "xyz"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    words = asyncio.run(said(store))
    assert words[::2] == words[1::2]
    assert len(words) == 48
    asyncio.run(store.close())


async def test_closing_ends_everything(path: Path) -> None:
    store = SQLiteStore(str(path))
    await asyncio.gather(answer(store, 1), *(store.gather(ALICE, "c", Reach()) for _ in range(20)))
    await store.close()
    await store.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("multiturn-")]
    for call in (store.gather(ALICE, "c", Reach()), store.add(ALICE, "c", [[user("x")]]), store.open()):
        with pytest.raises(StoreUnavailable, match="closed"):
            await call


async def test_what_was_submitted_before_closing_is_written(path: Path) -> None:
    store = SQLiteStore(str(path))
    await store.open()
    tasks = [asyncio.create_task(answer(store, number)) for number in range(10)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*tasks)
    assert len(await words_of(path)) == 20


async def test_deleting_leaves_no_row_behind(store: SQLiteStore) -> None:
    await store.declare(ALICE, "c", Declared(model="m"))
    await store.add(ALICE, "c", [[user("u")._replace(facts=b'{"id":"own"}')]])
    await ask(store, "e", "x", after=0, key="k")
    lease = await begin(store, "running")
    await store.append(lease, Partial("half"))
    waiting = asyncio.create_task(begin(store, "waiting", make=False))
    await asyncio.sleep(0.05)
    tables = [
        "conversations",
        "settings",
        "branches",
        "turns",
        "messages",
        "own_ids",
        "steps",
        "partials",
        "request_keys",
        "tickets",
    ]

    def count(db: sqlite3.Connection) -> dict[str, int]:
        return {table: db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in tables}

    assert all((await store._writer.run(count)).values()), "every table has a row that can go"
    await store.delete(ALICE, "c")
    with pytest.raises(ConversationNotFound):
        await waiting
    assert not any((await store._writer.run(count)).values())


async def test_reading_a_tail_touches_few_pages(path: Path) -> None:
    """The same number of rows is read from a short and from a long conversation."""
    steps = {}
    for turns in (50, 5000):
        store = SQLiteStore(str(path))
        await store.add(ALICE, f"c{turns}", [[user("u"), assistant("a")]] * turns)
        count = 0

        def counted() -> int:
            nonlocal count
            count += 1
            return 0

        def watch(db: sqlite3.Connection, on: bool) -> None:
            db.set_progress_handler(counted if on else None, 1)

        assert store._readers is not None
        await store._readers.run(lambda db: watch(db, True))
        count = 0
        await store.gather(ALICE, f"c{turns}", Reach(messages=20))
        steps[turns] = count
        await store._readers.run(lambda db: watch(db, False))
        await store.close()
    assert steps[50] == steps[5000]


async def test_a_beginning_that_arrived_just_when_its_caller_left_is_given_back(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled between the outcome and the look at it."""
    await answer(store, 1)
    write = store._writer.run

    def leaving(*work: Any) -> asyncio.Future[Any]:
        outcome = write(*work)
        outcome.add_done_callback(lambda _: task.cancel())
        return outcome

    with monkeypatch.context() as hasty:
        hasty.setattr(store._writer, "run", leaving)
        task = asyncio.create_task(begin(store, "left", hold=600))
        with pytest.raises(asyncio.CancelledError):
            await task
    await ask(store, "next", "ok", wait=1)
    assert await said(store) == ["u1", "a1", "left", "next", "ok"]
