"""The index of recall is written with the turn, turned round in blocks, and those never change."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from tests.conformance.talk import ALICE, answer, ask, entry, user

from multiturn.conversations import Declared
from multiturn.search.terms import query
from multiturn.storage import sqlite_postings, sqlite_terms
from multiturn.storage.migrations import _scripts
from multiturn.storage.sqlite import SQLiteStore
from multiturn.storage.sqlite_terms import BLOCK, SLACK

NOW = 1.7e9


async def rows(store: SQLiteStore, statement: str, *values: object) -> list[Any]:
    def read(db: sqlite3.Connection) -> list[Any]:
        return db.execute(statement, values).fetchall()

    found: list[Any] = await store._write(read)
    return found


async def count(store: SQLiteStore, table: str) -> int:
    return int((await rows(store, f"SELECT COUNT(*) FROM {table}"))[0][0])


async def found(store: SQLiteStore, text: str, **where: Any) -> list[int]:
    hits = await store.recall(ALICE, "c", query(text, now=NOW), **where)
    return [hit.told.row.turn for hit in hits]


async def filled(store: SQLiteStore, turns: int) -> None:
    await store.add(ALICE, "c", [[user(f"tea number{turn}")] for turn in range(1, turns + 1)])


async def test_the_newest_lie_by_message_and_full_blocks_by_term(store: SQLiteStore) -> None:
    await filled(store, BLOCK + SLACK)
    assert await count(store, "recall_tail") == BLOCK + SLACK
    assert await count(store, "recall_blocks") == 0
    await answer(store, 1)
    assert await count(store, "recall_tail") == SLACK + 2
    assert await count(store, "recall_spans") == 1
    assert await count(store, "recall_blocks") <= 512


async def test_the_tail_stays_short(store: SQLiteStore) -> None:
    await filled(store, 3_000)
    assert await count(store, "recall_tail") <= BLOCK + SLACK
    assert await count(store, "recall_spans") == 5


async def test_a_block_is_never_written_again(store: SQLiteStore) -> None:
    await filled(store, 700)
    statement = "SELECT id, terms FROM recall_blocks UNION ALL SELECT -id, body FROM recall_spans"
    before = set(await rows(store, statement))
    for number in range(100):
        await ask(store, f"tea {number}", "milk")
    await filled(store, 1_000)
    await store.mark(ALICE, "c", 3, set=8192)
    assert before < set(await rows(store, statement))


async def test_a_turn_longer_than_the_tail_stays_in_it_until_it_can_change_no_more(
    store: SQLiteStore,
) -> None:
    await store.add(ALICE, "c", [[user(f"tea {number}") for number in range(1_500)]])
    assert await count(store, "recall_tail") == 1_500
    await answer(store, 1)
    assert await count(store, "recall_tail") < BLOCK + SLACK
    assert (await found(store, "tea", limit=2_000)).count(1) == 1_500


async def test_nothing_is_left_of_a_deleted_conversation(store: SQLiteStore) -> None:
    await filled(store, 1_000)
    await rows(store, "INSERT INTO recall_backlog SELECT segment, 1 FROM branches")
    await store.delete(ALICE, "c")
    tables = ("recall_tail", "recall_blocks", "recall_spans", "recall_backlog")
    assert [await count(store, table) for table in tables] == [0] * 4


async def test_conversations_side_by_side_are_kept_apart(store: SQLiteStore) -> None:
    await filled(store, 700)
    await store.add(ALICE, "other", [[user(f"tea other{turn}")] for turn in range(700)])
    hits = await store.recall(ALICE, "c", query("tea", now=NOW), limit=2_000)
    assert len(hits) == 700
    await store.delete(ALICE, "other")
    assert len(await found(store, "tea", limit=2_000)) == 700


# ------------------------------------------------------------------------------------- many messages


async def test_a_common_word_is_left_out_among_many_messages_unless_it_is_all_there_is(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(store, 1_000)
    monkeypatch.setattr(sqlite_postings, "ENOUGH", 1)
    assert len(await found(store, "tea number7", limit=2_000)) == 1_000
    monkeypatch.setattr(sqlite_postings, "MANY", 500)
    monkeypatch.setattr(sqlite_postings, "FEW_BLOCKS", 0)
    near = await found(store, "tea number7", limit=2_000)
    assert near[0] == 7
    assert len(near) < 20
    assert len(await found(store, "tea", limit=2_000)) == 1_000


async def test_many_blocks_are_searched_term_by_term_to_the_same_end(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(store, 3_000)
    questions = [
        query(f"number{turn} number{turn + 700} tea", now=NOW) for turn in (1, 511, 512, 1_500, 2_200)
    ]
    at_one_time = [await store.recall(ALICE, "c", each, before=2_500, limit=40) for each in questions]
    monkeypatch.setattr(sqlite_postings, "FEW_BLOCKS", 0)
    assert [await store.recall(ALICE, "c", each, before=2_500, limit=40) for each in questions] == at_one_time
    assert [hits[0].told.row.turn for hits in at_one_time] != [0] * 5


async def test_blocks_and_tail_together_count_as_one(store: SQLiteStore) -> None:
    """The same talk scores the same however it lies."""
    groups = [[entry("user", f"tea number{turn}", name="Ann" * (turn % 3))] for turn in range(BLOCK + SLACK)]
    await store.add(ALICE, "c", groups)
    query_ = query("number500 number520 tea of Ann", now=NOW)
    before = [(hit.told.row.turn, round(hit.score, 6)) for hit in await store.recall(ALICE, "c", query_)]
    await store._write(lambda db: sqlite_terms._turn_round(db, 1, BLOCK + SLACK))
    assert await count(store, "recall_tail") == SLACK
    after = [(hit.told.row.turn, round(hit.score, 6)) for hit in await store.recall(ALICE, "c", query_)]
    assert after == before


# ----------------------------------------------------------------------------------------- backlog


async def unindexed(store: SQLiteStore) -> None:
    """As a store was before there was an index."""
    (script,) = [script for script in _scripts() if "recall_backlog" in script]
    (insert,) = [part for part in script.split(";") if "INSERT INTO recall_backlog" in part]
    for table in ("recall_tail", "recall_blocks", "recall_spans"):
        await rows(store, f"DELETE FROM {table}")
    await rows(store, insert)


async def test_what_was_stored_before_there_was_an_index_is_caught_up_with(store: SQLiteStore) -> None:
    await filled(store, 1_200)
    await unindexed(store)
    assert await found(store, "number7") == []
    await ask(store, "strawberry", "jam")
    assert (await found(store, "number7", limit=1), await found(store, "number1199")) == ([7], [])
    assert set(await found(store, "strawberry jam", limit=2)) == {1_201}
    assert await count(store, "recall_spans") == 0
    for _ in range(2):
        await ask(store, "milk", "honey")
    assert await count(store, "recall_backlog") == 0
    for number in (1, 500, 501, 513, 1_000, 1_001, 1_200):
        assert await found(store, f"number{number}", limit=1) == [number]
    assert await count(store, "recall_tail") <= BLOCK + SLACK


async def test_failed_turns_of_old_are_not_caught_up_with(store: SQLiteStore) -> None:
    await filled(store, 3)
    await rows(store, "UPDATE turns SET state = 5 WHERE (id & 4294967295) = 2")
    await unindexed(store)
    await ask(store, "strawberry", "jam")
    assert await found(store, "number2", limit=1) != [2]
    assert await found(store, "number3", limit=1) == [3]


async def test_the_memory_of_old_conversations_is_known(store: SQLiteStore) -> None:
    await store.add(ALICE, "c", [[user("tea")]], Declared(memory="m"))
    (script,) = [script for script in _scripts() if "recall_backlog" in script]
    (update,) = [part for part in script.split(";") if "UPDATE conversations" in part]
    await rows(store, "UPDATE conversations SET memory = NULL")
    await rows(store, update)
    hits = await store.recall(ALICE, "new", query("tea", now=NOW), memory="m")
    assert [hit.conversation for hit in hits] == ["c"]
