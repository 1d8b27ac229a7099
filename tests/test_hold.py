"""Holding a turn: what arrives is stored in order, also past a lock."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from multiturn import TurnExpired
from multiturn.conversations import Owner
from multiturn.errors import StoreBusy
from multiturn.hold import Hold
from multiturn.reply import Delta
from multiturn.sealing import seal
from multiturn.storage import Lease, Partial, Start
from multiturn.storage.sqlite import SQLiteStore
from multiturn.tokens import count_message

ADA = Owner("", "ada")
BATCH = 3000


@pytest.fixture
async def store(tmp_path: Path) -> SQLiteStore:
    return SQLiteStore(str(tmp_path / "chats.db"), patience=0.1)


async def begun(store: SQLiteStore, seconds: float = 5.0) -> Lease:
    entry = seal("a", count_message)
    begun = await store.begin(ADA, "c", Start(entries=[entry], hold=seconds))
    assert begun.lease is not None
    return begun.lease


def hold_of(store: SQLiteStore, lease: Lease, *, keep_reasoning: bool = True) -> Hold:
    return Hold(store, lease, seconds=5.0, renew=0.1, keep_reasoning=keep_reasoning)


async def kept(store: SQLiteStore) -> tuple[str, str | None]:
    """What a crash now would leave: words and thoughts."""

    def read(db: sqlite3.Connection) -> list[tuple[bytes, bytes | None]]:
        return db.execute("SELECT text, reasoning FROM partials ORDER BY number").fetchall()

    rows = await store._writer.run(read)
    thoughts = [row[1].decode() for row in rows if row[1] is not None]
    return b"".join(row[0] for row in rows).decode(), "".join(thoughts) if thoughts else None


async def test_batches_that_met_a_lock_come_with_the_next_in_order(
    tmp_path: Path, store: SQLiteStore
) -> None:
    hold = hold_of(store, await begun(store))
    other = sqlite3.connect(tmp_path / "chats.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for letter in "ab":
        hold.keep(Delta(letter * BATCH, letter))
        await asyncio.sleep(0.2)
    other.close()
    hold.keep(Delta("c" * BATCH, "c"))
    await hold.release()
    assert await kept(store) == ("a" * BATCH + "b" * BATCH + "c" * BATCH, "abc")
    assert not hold.stopped
    await store.close()


async def test_what_falls_due_while_a_batch_meets_a_lock_brings_it_along(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = hold_of(store, await begun(store))
    append, met = store.append, list[str]()

    async def busy_at_first(lease: Lease, partial: Partial) -> bool:
        if met:
            return await append(lease, partial)
        met.append("a lock")
        hold.keep(Delta("b" * BATCH))
        raise StoreBusy(path="chats.db")

    monkeypatch.setattr(store, "append", busy_at_first)
    hold.keep(Delta("a" * BATCH))
    await hold.release()
    assert (await kept(store))[0] == "a" * BATCH + "b" * BATCH
    await store.close()


async def test_what_comes_while_a_batch_is_stored_is_stored_next(store: SQLiteStore) -> None:
    hold = hold_of(store, await begun(store))
    for letter in "abcdef":
        hold.keep(Delta(letter * BATCH))
        await asyncio.sleep(0)
    await hold.release()
    assert (await kept(store))[0] == "".join(letter * BATCH for letter in "abcdef")
    await store.close()


async def test_little_pieces_are_stored_after_a_while(store: SQLiteStore) -> None:
    hold = hold_of(store, await begun(store))
    hold.keep(Delta("one "))
    hold.keep(Delta("two"))
    hold.keep(Delta(reasoning=""))
    assert await kept(store) == ("", None)
    while (await kept(store))[0] != "one two":  # noqa: ASYNC110  (the store sets no event)
        await asyncio.sleep(0.02)
    assert await kept(store) == ("one two", None)
    await hold.release()
    await store.close()


async def test_thoughts_that_are_not_kept_are_not_stored_on_the_way_either(store: SQLiteStore) -> None:
    hold = hold_of(store, await begun(store), keep_reasoning=False)
    hold.keep(Delta("x" * BATCH, "secret"))
    hold.keep(Delta(reasoning="secret" * BATCH))
    await hold.release()
    assert await kept(store) == ("x" * BATCH, None)
    await store.close()


async def test_a_hold_that_was_lost_stops_the_turn(store: SQLiteStore) -> None:
    lease = await begun(store, 0.05)
    hold = Hold(store, lease, seconds=5.0, renew=None, keep_reasoning=True)
    await asyncio.sleep(0.1)
    await begun(store)
    hold.keep(Delta("x" * BATCH))
    await hold.release()
    assert hold.stopped
    with pytest.raises(TurnExpired):
        await store.renew(lease, 1.0)
    await store.close()


async def test_a_request_to_stop_is_heard_by_signs_of_life_and_batches(store: SQLiteStore) -> None:
    silent = hold_of(store, await begun(store))
    assert await store.cancel(ADA, "c")
    while not silent.stopped:  # noqa: ASYNC110  (the store sets no event)
        await asyncio.sleep(0.02)
    await silent.release()
    await store.close()
