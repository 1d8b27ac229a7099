"""The first reads borrow a thread, later ones have their own; none is left behind."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.conformance.talk import answer, said

from multiturn.errors import StoreUnavailable
from multiturn.storage.readers import BORROWED, Readers
from multiturn.storage.sqlite import SQLiteStore

from .files import written


def here(_: sqlite3.Connection) -> str:
    return threading.current_thread().name


def connection(db: sqlite3.Connection) -> sqlite3.Connection:
    return db


def closed(db: sqlite3.Connection) -> bool:
    try:
        db.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return True
    return False


@pytest.fixture
async def file(path: Path) -> str:
    await written(path, 1)
    return str(path)


async def test_who_looks_once_needs_no_thread_and_who_stays_gets_one(file: str) -> None:
    readers = Readers(file, 1)
    names = [await readers.run(here) for _ in range(BORROWED + 2)]
    assert not any(name.startswith("multiturn") for name in names[:BORROWED])
    assert names[BORROWED:] == ["multiturn-reader-1"] * 2
    await readers.close()


async def test_all_of_them_read_with_the_same_connection(file: str) -> None:
    readers = Readers(file, 1)
    used = [await readers.run(connection) for _ in range(BORROWED + 2)]
    assert len(set(map(id, used))) == 1
    await readers.close()
    assert closed(used[0])


@pytest.mark.parametrize("reads", range(BORROWED + 2))
async def test_closing_leaves_no_connection(file: str, reads: int) -> None:
    readers = Readers(file, 1)
    used = [await readers.run(connection) for _ in range(reads)]
    await readers.close()
    assert all(map(closed, used))
    with pytest.raises(StoreUnavailable):
        readers.run(here)


async def test_closing_waits_for_a_read_that_is_under_way(file: str) -> None:
    readers = Readers(file, 1)
    begun, go_on = threading.Event(), threading.Event()

    def slow(db: sqlite3.Connection) -> sqlite3.Connection:
        begun.set()
        assert go_on.wait(60)
        return db

    reading = readers.run(slow)
    await asyncio.to_thread(begun.wait)
    closing = asyncio.create_task(readers.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    go_on.set()
    await closing
    assert closed(await reading)


async def test_several_at_once_do_not_wait_for_each_other(file: str) -> None:
    readers = Readers(file, 1)
    together = threading.Barrier(3)

    def meet(db: sqlite3.Connection) -> sqlite3.Connection:
        together.wait(60)
        return db

    used = await asyncio.gather(*(readers.run(meet) for _ in range(3)))
    assert len(set(map(id, used))) == 3
    names = [await readers.run(here) for _ in range(BORROWED)]
    assert all(name.startswith("multiturn-reader-") for name in names), "they are there already"
    await readers.close()
    assert all(map(closed, used))


async def test_a_read_that_nobody_waits_for_is_not_done(file: str) -> None:
    readers = Readers(file, 1)
    done: list[int] = []
    gate = threading.Event()
    lender = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(lender)
    lender.submit(gate.wait, 60)
    reading = readers.run(lambda _: done.append(1))
    reading.cancel()
    gate.set()
    await readers.run(here)
    await readers.close()
    assert done == []


async def test_where_no_thread_is_lent_it_has_its_own(file: str) -> None:
    """On the way out of the interpreter, for one."""
    lender = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(lender)
    lender.shutdown()
    readers = Readers(file, 1)
    assert await readers.run(here) == "multiturn-reader-1"
    await readers.close()


@pytest.fixture
def folder_in_its_place(path: Path) -> Path:
    path.mkdir()
    return path


async def test_a_first_read_that_fails_leaves_a_store_that_reads(folder_in_its_place: Path) -> None:
    store = SQLiteStore(str(folder_in_its_place))
    with pytest.raises(StoreUnavailable):
        await said(store)
    os.rmdir(folder_in_its_place)
    await answer(store, 1)
    assert await said(store) == ["u1", "a1"]
    await store.close()
