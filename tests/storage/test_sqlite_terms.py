"""The index of recall is written in chunks, turned round in blocks, and those never change; what waits is
found as well."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conformance.talk import ALICE, answer, ask, assistant, begin, entry, finish, held, user

from multiturn.conversations import Declared, TurnState
from multiturn.errors import Error
from multiturn.messages import Trait
from multiturn.search import ranking
from multiturn.search.terms import Query, query
from multiturn.storage import Start, sqlite_postings, sqlite_terms
from multiturn.storage.migrations import _scripts
from multiturn.storage.sqlite import SQLiteStore
from multiturn.storage.sqlite_recall import BEHIND
from multiturn.storage.sqlite_shelf import Shelf
from multiturn.storage.sqlite_terms import BLOCK, CHUNK, SPAN

NOW = 1.7e9
BLOCKS = 3
"""Numbers in the name of blocks that lie open."""


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


async def waiting(store: SQLiteStore) -> int:
    """Messages that are not in the index."""
    return int((await rows(store, "SELECT SUM(messages - indexed) FROM branches"))[0][0])


# --------------------------------------------------------------------------------- from turn to block


async def test_words_go_in_by_chunks_and_are_found_before(store: SQLiteStore) -> None:
    for turn in range(1, CHUNK + 2):
        assert await count(store, "recall_chunks") == 0
        await store.add(ALICE, "c", [[user(f"tea number{turn}")]])
        assert await found(store, f"number{turn}", limit=1) == [turn]
    assert (await count(store, "recall_chunks"), await waiting(store)) == (1, 1)
    assert [await found(store, f"number{turn}", limit=1) for turn in (1, CHUNK)] == [[1], [CHUNK]]
    assert sorted(await found(store, "tea", limit=99)) == list(range(1, CHUNK + 2))


async def test_sent_turns_go_in_as_added_ones_do(store: SQLiteStore) -> None:
    for turn in range(1, CHUNK + 2):
        await ask(store, f"tea number{turn}", "milk")
    assert await waiting(store) <= CHUNK + 2
    assert [await found(store, f"number{turn}", limit=1) for turn in (1, 20, CHUNK)] == [[1], [20], [CHUNK]]


async def test_full_blocks_lie_by_term(store: SQLiteStore) -> None:
    await filled(store, BLOCK)
    assert await count(store, "recall_chunks") == BLOCK // CHUNK - 1
    assert await count(store, "recall_blocks") == 0
    await answer(store, 1)
    for _ in range(CHUNK):
        await ask(store, "milk", "honey")
    assert await count(store, "recall_spans") == 1
    assert await count(store, "recall_chunks") <= 2
    assert await count(store, "recall_blocks") <= 512


async def test_many_at_once_go_in_at_once(store: SQLiteStore) -> None:
    await filled(store, 3_000)
    assert await waiting(store) <= CHUNK
    assert await count(store, "recall_chunks") < BLOCK // CHUNK
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


async def test_nothing_is_left_of_a_deleted_conversation(store: SQLiteStore) -> None:
    await filled(store, 1_000)
    await store.delete(ALICE, "c")
    tables = ("recall_chunks", "recall_blocks", "recall_spans")
    assert [await count(store, table) for table in tables] == [0] * 3
    await store._write(lambda db: sqlite_terms.index(db, 1, whole=True))
    assert [await count(store, table) for table in tables] == [0] * 3


@pytest.mark.parametrize("turns", [1, 20, CHUNK + 1, 2 * BLOCK])
async def test_of_a_message_that_was_rewritten_no_old_word_stays(store: SQLiteStore, turns: int) -> None:
    await filled(store, turns)
    await put_in(store)
    turn = turns // 4 + 1
    before = len(await found(store, "tea", limit=9_999))
    await store.rewrite(ALICE, "c", turn, {0: user("coffee")})
    assert await found(store, "coffee", limit=1) == [turn]
    assert turn not in await found(store, f"number{turn}", limit=1)
    assert len(await found(store, "tea coffee", limit=9_999)) == before
    assert await found(store, f"number{turns}", limit=1) == ([turns] if turns > 1 else [])


# --------------------------------------------------------------------------------------- what waits


async def test_a_long_turn_waits_until_it_can_change_no_more(store: SQLiteStore) -> None:
    await store.add(ALICE, "c", [[user(f"tea {number}") for number in range(1_500)]])
    assert await count(store, "recall_chunks") == 0
    await answer(store, 1)
    assert await waiting(store) < CHUNK + 2
    assert (await found(store, "tea", limit=2_000)).count(1) == 1_500


async def test_a_question_that_reads_much_that_waits_has_it_put_in(store: SQLiteStore) -> None:
    await store.add(ALICE, "c", [[user(f"tea {number}") for number in range(BEHIND)]])
    await found(store, "tea")
    await store.lookup(ALICE, (await store.conversation(ALICE, "c")).ulid)
    assert await waiting(store) == BEHIND
    await store.add(ALICE, "c", [[user("honey")], [user("milk")]])
    await store.add(ALICE, "c", [[user(f"tea {number}") for number in range(BEHIND)]])
    hits = await store.recall(ALICE, "c", query("tea milk", now=NOW), limit=200)
    assert await waiting(store) == 0
    assert await store.recall(ALICE, "c", query("tea milk", now=NOW), limit=200) == hits
    assert len(hits) > 2 * BEHIND


async def test_many_conversations_with_one_memory_are_read_from_the_index_the_next_time(
    store: SQLiteStore,
) -> None:
    for number in range(40):
        await store.add(ALICE, f"c{number}", [[user(f"tea {number}")]] * 3, Declared(memory="m"))
    assert await waiting(store) == 120
    hits = await store.recall(ALICE, "new", query("tea", now=NOW), memory="m", limit=200)
    assert await waiting(store) == 0
    assert len(hits) == 120
    assert await store.recall(ALICE, "new", query("tea", now=NOW), memory="m", limit=200) == hits


async def put_in(store: SQLiteStore) -> None:
    """All that may be found now."""
    await store._write(lambda db: sqlite_terms.index(db, 1, whole=True))


@pytest.mark.parametrize("turns", [1, 20, 40])
async def test_a_turn_that_is_in_the_index_may_still_change(store: SQLiteStore, turns: int) -> None:
    for turn in range(turns):
        await ask(store, f"tea number{turn}", "sugar")
    await put_in(store)
    assert await waiting(store) == 0
    await store.add(ALICE, "c", [[assistant("marzipan")]])
    assert await found(store, "marzipan", limit=1) == [turns]
    for _ in range(2):
        hits = await store.recall(ALICE, "c", query("sugar marzipan", now=NOW), limit=200)
        assert len({hit.told for hit in hits}) == len(hits) > turns
        await put_in(store)


async def test_a_stopped_turn_that_is_in_the_index_loses_its_reply_when_it_is_tried_again(
    store: SQLiteStore,
) -> None:
    await filled(store, CHUNK - 1)
    lease = await begin(store, "tea")
    await finish(store, lease, assistant("liquorice"), state=TurnState.INCOMPLETE, traits=Trait.STOPPED)
    await put_in(store)
    assert CHUNK in await found(store, "liquorice")
    lease = held(await store.begin(ALICE, "c", Start(again=True)))
    assert CHUNK not in await found(store, "liquorice", limit=99)
    await finish(store, lease, assistant("marzipan"))
    await put_in(store)
    assert CHUNK in await found(store, "marzipan")
    assert CHUNK + 1 not in await found(store, "liquorice", limit=99)


async def test_what_a_failed_turn_said_is_passed_and_what_runs_is_not(store: SQLiteStore) -> None:
    lease = await begin(store, "strawberry")
    await put_in(store)
    assert await waiting(store) == 1
    await finish(store, lease, assistant("jam"))
    await put_in(store)
    assert await found(store, "strawberry jam", limit=2) == [1, 1]


async def test_a_message_was_said_with_the_one_before_it_also_across_chunks(store: SQLiteStore) -> None:
    early = entry("user", "tea")._replace(facts=b'{"created_at": 1000000000}')
    await store.add(
        ALICE, "c", [[early, *(assistant(f"milk {n}") for n in range(2 * CHUNK))], [user("honey")]]
    )
    stretch = (1 << 32, (1 << 32) + 2 * CHUNK + 1)
    said = await store._write(lambda db: sqlite_postings.read(db, [stretch], [], Shelf()).times.tolist())
    assert set(said[:-1]) == {1_000_000_000}
    assert said[-1] > NOW


async def test_two_programs_that_put_the_same_in_put_it_in_once(store: SQLiteStore) -> None:
    await filled(store, 3 * CHUNK)
    other = SQLiteStore(store.path)
    await asyncio.gather(put_in(store), put_in(other))
    await other.close()
    assert len(await found(store, "tea", limit=999)) == 3 * CHUNK


async def test_conversations_side_by_side_are_kept_apart(store: SQLiteStore) -> None:
    await filled(store, 700)
    await store.add(ALICE, "other", [[user(f"tea other{turn}")] for turn in range(700)])
    hits = await store.recall(ALICE, "c", query("tea", now=NOW), limit=2_000)
    assert len(hits) == 700
    await store.delete(ALICE, "other")
    assert len(await found(store, "tea", limit=2_000)) == 700


async def test_another_program_finds_at_once_what_waits(store: SQLiteStore) -> None:
    other = SQLiteStore(store.path)
    for turn in range(1, CHUNK + 10):
        await ask(store, f"tea number{turn}", "milk")
        assert await found(other, f"number{turn}", limit=1) == [turn]
    await other.close()


# -------------------------------------------------------------------------------- random histories

STEPS = st.one_of(
    st.tuples(st.sampled_from(("add", "goes on", "put in")), st.integers(1, 40)),
    st.tuples(st.just("add"), st.sampled_from((BLOCK - 1, BLOCK, BLOCK + CHUNK))),
    st.tuples(st.sampled_from(("long", "goes on")), st.integers(1, 2 * CHUNK)),
    st.tuples(
        st.sampled_from(("ask", "fail", "stop", "again", "fork", "switch", "put in", "rewrite")),
        st.integers(0, 99),
    ),
)


async def walk(store: SQLiteStore, number: int, step: str, size: int) -> None:
    """One step of a history; those that are refused are none."""
    reply = f"milk answer{number}"
    if step == "add":
        await store.add(ALICE, "c", [[user(f"tea w{number} w{turn}")] for turn in range(size)])
    elif step == "long":
        await store.add(
            ALICE, "c", [[user(f"tea w{number}"), *(assistant(f"w{place}") for place in range(size))]]
        )
    elif step == "goes on":
        await store.add(ALICE, "c", [[assistant(f"tea goes{number} w{place}") for place in range(size)]])
    elif step in ("fork", "switch"):
        branches = await store.branches(ALICE, "c")
        made = await store.fork(ALICE, "c", size % (branches[0].turns + 1)) if step == "fork" else size
        await store.switch(ALICE, "c", made % (len(branches) + (step == "fork")))
    elif step == "put in":
        for branch in range(1, 9):
            await store._write(partial(sqlite_terms.index, segment=branch, whole=size % 2 == 0))
    elif step == "rewrite":
        await store.rewrite(ALICE, "c", size + 1, {0: user(f"milk rewritten{number}")})
    elif step == "again":
        lease = held(await store.begin(ALICE, "c", Start(again=True)))
        await finish(store, lease, assistant(reply))
    else:
        lease = await begin(store, f"tea asked{number}")
        state = TurnState.COMPLETED if step == "ask" else TurnState.INCOMPLETE
        traits = int(Trait.STOPPED) if step == "stop" else 0
        await finish(store, lease, assistant(reply), state=state, traits=traits)


async def everywhere(store: SQLiteStore) -> list[tuple[str, float]]:
    """What is found on all branches, and how well it fits."""
    asked = query("tea milk w3 asked2 goes5 answer4", now=NOW)
    hits = [
        await store.recall(ALICE, "c", asked, branch=branch.number, limit=9_999)
        for branch in await store.branches(ALICE, "c")
    ]
    return [(hit.told.id, round(hit.score, 5)) for some in hits for hit in some]


@given(st.lists(STEPS, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_however_it_lies_the_same_is_found_as_without_an_index(steps: list[tuple[str, int]]) -> None:
    async def tried() -> None:
        store = SQLiteStore(":memory:")
        await store.add(ALICE, "c", [[user("tea w0")]])
        for number, (step, size) in enumerate(steps):
            with suppress(Error):
                await walk(store, number, step, size)
        indexed = await everywhere(store)
        for table in ("recall_chunks", "recall_blocks", "recall_spans"):
            await rows(store, f"DELETE FROM {table}")
        await rows(store, "UPDATE branches SET indexed = 0")
        assert sorted(indexed) == sorted(await everywhere(store))
        await store.close()

    asyncio.run(tried())


@given(st.lists(STEPS, min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_open_blocks_say_what_is_stored_whatever_was_written_meanwhile(steps: list[tuple[str, int]]) -> None:
    async def tried() -> None:
        store = SQLiteStore(":memory:")
        await store.add(ALICE, "c", [[user(f"tea w0 w{turn}")] for turn in range(BLOCK + CHUNK)])
        asked = query("tea milk w3 asked2 goes5 rewritten4", now=NOW)
        for number, (step, size) in enumerate(steps):
            with suppress(Error):
                await walk(store, number, step, size)
            for _ in range(2):
                await store.recall(ALICE, "c", asked, limit=9_999)
            warm, shelf = await store.recall(ALICE, "c", asked, limit=9_999), store._shelf
            store._shelf = Shelf()
            assert warm == await store.recall(ALICE, "c", asked, limit=9_999)
            store._shelf = shelf
        await store.close()

    asyncio.run(tried())


# ------------------------------------------------------------------------------------- many messages


@pytest.mark.parametrize("blocks", [0, 8])
async def test_a_common_word_is_left_out_among_many_messages_unless_it_is_all_there_is(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    await filled(store, ranking.MANY - 1)
    monkeypatch.setattr(ranking, "ENOUGH", 1)
    assert len(await found(store, "tea number7", limit=2_000)) == ranking.MANY - 1
    monkeypatch.setattr(ranking, "MANY", ranking.MANY - 1)
    monkeypatch.setattr(sqlite_postings, "FEW_BLOCKS", blocks)
    near = await found(store, "tea number7", limit=2_000)
    assert near[0] == 7
    assert len(near) < 20
    assert len(await found(store, "tea", limit=2_000)) == ranking.MANY


async def test_a_day_without_any_word_is_found_in_blocks_as_well(store: SQLiteStore) -> None:
    await filled(store, BLOCK + CHUNK)
    always = Query("then", dates=((0.0, 4e9),))
    for _ in range(3):  # closed, opened and open
        assert len(await store.recall(ALICE, "c", always, limit=2_000)) == BLOCK + CHUNK


async def test_what_is_too_common_to_be_read_is_no_word_that_nobody_said(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(store, ranking.MANY + 24)
    asked = query("tea number7 number70 number700 number1000", now=NOW)
    hits = await store.recall(ALICE, "c", asked)
    monkeypatch.setattr(sqlite_postings, "passed_over", lambda least, *_: np.zeros(len(least), bool))
    assert await store.recall(ALICE, "c", asked) == hits


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
    groups = [[entry("user", f"tea number{turn}", name="Ann" * (turn % 3))] for turn in range(BLOCK)]
    await store.add(ALICE, "c", groups)
    await put_in(store)
    query_ = query("number400 number500 tea of Ann", now=NOW)
    hits = await store.recall(ALICE, "c", query_)
    before = [(hit.told.row.turn, round(hit.score, 6)) for hit in hits]
    assert await count(store, "recall_spans") == 0
    await store._write(lambda db: sqlite_terms._turn_round(db, 1 << 32, BLOCK))
    assert await count(store, "recall_spans") == 1
    hits = await store.recall(ALICE, "c", query_)
    assert [(hit.told.row.turn, round(hit.score, 6)) for hit in hits] == before


# --------------------------------------------------------------------------------------- old files


async def test_blocks_without_a_name_are_found_and_stay_closed(store: SQLiteStore) -> None:
    await filled(store, 700)
    hits = [await store.recall(ALICE, "c", query("tea number7", now=NOW), limit=20) for _ in range(3)]
    assert BLOCKS in map(len, store._shelf._kept)
    store._shelf = Shelf()
    await rows(store, f"UPDATE recall_spans SET body = SUBSTR(body, 1, {SPAN})")
    hits += [await store.recall(ALICE, "c", query("tea number7", now=NOW), limit=20) for _ in range(3)]
    assert BLOCKS not in map(len, store._shelf._kept)
    assert all(each == hits[0] for each in hits)


async def since_version_4(store: SQLiteStore) -> None:
    """As a file was whose index lay message by message behind the blocks."""
    (script,) = [script for script in _scripts() if "ADD COLUMN indexed" in script]
    (update,) = [part for part in script.split(";") if "UPDATE branches" in part]
    await rows(store, "DELETE FROM recall_chunks")
    await rows(store, update)


@pytest.mark.parametrize(("turns", "blocks"), [(20, 0), (BLOCK + 200, 1), (3 * BLOCK, 2)])
async def test_blocks_of_old_files_stay_and_the_rest_goes_in_again(
    store: SQLiteStore, turns: int, blocks: int
) -> None:
    await filled(store, turns)
    await since_version_4(store)
    assert await count(store, "recall_spans") == blocks
    assert await waiting(store) == turns - blocks * BLOCK
    hits = await found(store, "tea", limit=9_999)
    assert sorted(hits) == list(range(1, turns + 1))
    await ask(store, "milk", "honey")
    await put_in(store)
    assert set(hits) < set(await found(store, "tea", limit=9_999))
    assert await waiting(store) == 0


async def test_of_a_file_without_an_index_the_newest_are_found_at_once_and_soon_all(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(store, 1_000)
    for table in ("recall_blocks", "recall_spans"):
        await rows(store, f"DELETE FROM {table}")
    await since_version_4(store)
    assert await waiting(store) == 1_000
    monkeypatch.setattr(sqlite_postings, "WAITING", 100)
    newest = await found(store, "number1 number1000", limit=9)
    assert newest[0] == 1_000
    assert 1 not in newest
    assert await waiting(store) == 0
    assert await found(store, "number1", limit=1) == [1]


async def test_old_messages_go_in_some_at_a_time_and_new_ones_all(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(store, 400)
    await since_version_4(store)
    monkeypatch.setattr(sqlite_terms, "BACKLOG", 100)
    await found(store, "tea")
    assert await waiting(store) == 300
    await filled(store, 1_000)
    assert await waiting(store) == pytest.approx(200, abs=CHUNK)
    assert len(await found(store, "tea", limit=9_999)) == 1_400
    for _ in range(2):
        await found(store, "tea")
    assert await waiting(store) <= BEHIND


async def test_failed_turns_are_not_found(store: SQLiteStore) -> None:
    await filled(store, 40)
    await rows(store, "UPDATE turns SET state = 5 WHERE (id & 4294967295) IN (2, 39)")
    await since_version_4(store)
    for _ in range(2):
        assert [await found(store, f"number{turn}", limit=1) == [turn] for turn in (1, 2, 39, 40)] == [
            True, False, False, True,
        ]  # fmt: skip
        await put_in(store)


async def test_the_memory_of_old_conversations_is_known(store: SQLiteStore) -> None:
    await store.add(ALICE, "c", [[user("tea")]], Declared(memory="m"))
    (script,) = [script for script in _scripts() if "INSERT INTO recall_backlog" in script]
    (update,) = [part for part in script.split(";") if "UPDATE conversations" in part]
    await rows(store, "UPDATE conversations SET memory = NULL")
    await rows(store, update)
    hits = await store.recall(ALICE, "new", query("tea", now=NOW), memory="m")
    assert [hit.conversation for hit in hits] == ["c"]
