"""A file of the first version is read, and goes on, as if it had been made today."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from tests.conformance.talk import ALICE, ask, assistant, begin, finish, held, result, said, texts

from multiturn.conversations import Owner, Summary, TurnState
from multiturn.messages import Trait
from multiturn.path import Cut, Source
from multiturn.storage import ModelFacts, Reach, Start, migrations
from multiturn.storage.migrations import bring_up_to_date
from multiturn.storage.sqlite import SQLiteStore
from multiturn.usage import Usage
from multiturn.window import Quotation

ROWS = Path(__file__).with_name("rows_1.sql")
BOB = Owner("other", "bob")


@pytest.fixture
async def old(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SQLiteStore]:
    """The file, opened by the program of today."""
    first = migrations._scripts()[:1]
    with monkeypatch.context() as before:
        before.setattr(migrations, "_scripts", lambda: first)
        connection = sqlite3.connect(path, isolation_level=None)
        bring_up_to_date(connection, str(path), 1)
        connection.executescript(ROWS.read_text())
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        connection.close()
    store = SQLiteStore(str(path))
    yield store
    await store.close()


async def test_everything_is_still_there(old: SQLiteStore) -> None:
    told = await old.history(ALICE, "c", branch=0)
    assert texts([one.row for one in told])[:4] == ["u1", "a1", "u2", "a2"]
    url = orjson.loads(told[4].row.body)["content"][0]["image_url"]["url"]
    assert url == "data:image/png;base64," + "QUJD" * 1_500
    assert all(one.row.quote is None for one in told)
    path = await old.gather(ALICE, "c", Reach(key="k"), 0)
    assert path.cut == Cut(2, "k", 0.0)
    assert (path.summary, path.request) == (None, None)
    assert texts(path.standing) == ["u1", "a1"]
    assert (path.settings.model, path.settings.memory) == ("qwen/qwen-plus", "alice/daiyu")
    turn = (await old.turns(ALICE, "c"))[1]
    assert (turn.usage, turn.key) == (Usage(10, 5), "k")
    assert await said(old, "c") == ["u1", "a1", "u2", "a2", "edited", None]
    assert [row.row.body for row in await old.history(BOB, "d")] != []
    assert await old.model_facts() == []
    assert await old.claim_due() is None
    assert await old.summaries(ALICE, "c") == []


async def test_it_goes_on(old: SQLiteStore) -> None:
    start = Start(entries=[result("x", "r")], results=("x",))
    lease = held(await old.begin(ALICE, "c", start))
    turn = await finish(
        old,
        lease,
        assistant("a3"),
        quote=Quotation(b"u1", 4, (Source(1, 0, 0.9),)),
        cut=Cut(2, "k", 1.5),
        request=b"r",
        due=True,
    )
    assert turn.state is TurnState.COMPLETED
    assert turn.traits & Trait.QUOTED
    due = await old.claim_due()
    assert due is not None
    assert await old.write_summary(ALICE, "c", Summary(0, 2, "s", 1, "m"), None, due.branch)
    await old.settle_due(due, done=True)
    path = await old.gather(ALICE, "c", Reach())
    assert path.summary is not None
    assert (path.cut, path.request) == (Cut(2, "k", 1.5), b"r")
    assert [turn.number for turn in path.turns] == [3]
    assert (await old.gather(ALICE, "c", Reach(), 0)).summary is None
    await old.mark(ALICE, "c", 1, set=int(Trait.RETRACTED))
    assert all(told.row.quote is None for told in await old.history(ALICE, "c"))
    await old.learn_limit("qwen/qwen-plus", 5)
    assert await old.model_facts() == [ModelFacts("qwen/qwen-plus", limit=5)]


async def test_it_is_deleted_whole(old: SQLiteStore) -> None:
    await ask(old, "new", "ok", "d", BOB)
    await finish(old, await begin(old, "u", "d", BOB), assistant("a"))
    await old.delete_user(ALICE)
    await old.delete_user(BOB)

    def rows(db: sqlite3.Connection) -> dict[str, int]:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: db.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0] for name in names}

    left = {name for name, count in (await old._writer.run(rows)).items() if count}
    assert left <= {"models", "accounts", "sqlite_sequence"}  # what was consumed stays consumed


WITH_ONE_TAKEN_BACK = """
INSERT INTO branches (segment, conversation, number, head, messages) VALUES (1, 1, 0, 3, 6);
INSERT INTO conversations (id, tenant, name, user, ulid, created_at, updated_at, segment)
    VALUES (1, 'shop', 'c', 'alice', '01M7YS648WR4ZNYW471J7BQJ6G', 0, 0, 1);
INSERT INTO turns (id, state, traits, marks, tokens, reasoning_tokens, messages, before, steps, created_at)
    VALUES (4294967297, 3, 0, 0, 6, 0, 2, 0, 1, 0),
    (4294967298, 3, 16384, 16384, 6, 0, 2, 2, 1, 0),
    (4294967299, 3, 0, 0, 6, 0, 2, 4, 1, 0);"""


async def test_what_was_taken_back_before_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a file from before turns that are never sent had an index."""
    earlier = migrations._scripts()[:8]
    with monkeypatch.context() as before:
        before.setattr(migrations, "_scripts", lambda: earlier)
        connection = sqlite3.connect(path, isolation_level=None)
        bring_up_to_date(connection, str(path), 1)
        connection.executescript(WITH_ONE_TAKEN_BACK)
        connection.close()
    store = SQLiteStore(str(path))
    gathered = await store.gather(ALICE, "c", Reach(turns=0))
    await store.close()
    assert [(each.turn.number, each.at) for each in gathered.withheld] == [(2, 2)]


IN_THE_MIDDLE = """
INSERT INTO branches (segment, conversation, number, parent, fork, head, shared, messages)
    VALUES (1, 1, 0, 0, 0, 1, 0, 1), (2, 1, 1, 0, 0, 1, 0, 1);
INSERT INTO conversations (id, tenant, name, user, ulid, created_at, updated_at, segment, branches, epoch,
    held_until, held_turn, stop)
    VALUES (1, 'shop', 'c', 'alice', '01M7YS648WR4ZNYW471J7BQJ6G', 0, 0, 1, 2, 5, 1, 8589934593, 1);
INSERT INTO turns (id, state, traits, marks, tokens, reasoning_tokens, messages, before, steps, created_at)
    VALUES (4294967297, 3, 0, 0, 6, 0, 1, 0, 1, 0), (8589934593, 1, 0, 0, 6, 0, 1, 0, 1, 0);
INSERT INTO messages (id, turn, role, traits, tokens, reasoning_tokens, body)
    VALUES (4294967296, 1, 0, 0, 6, 0, CAST('{"role":"user","content":"one"}' AS BLOB)),
    (8589934592, 1, 0, 0, 6, 0, CAST('{"role":"user","content":"two"}' AS BLOB));
INSERT INTO partials (conversation, number, text)
    VALUES (1, 1, CAST('half of ' AS BLOB)), (1, 2, CAST('it' AS BLOB));"""


async def test_a_turn_that_ran_is_closed_with_what_had_arrived(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a file from when a conversation was held, and not its branches."""
    earlier = migrations._scripts()[:10]
    with monkeypatch.context() as before:
        before.setattr(migrations, "_scripts", lambda: earlier)
        connection = sqlite3.connect(path, isolation_level=None)
        bring_up_to_date(connection, str(path), 1)
        connection.executescript(IN_THE_MIDDLE)
        connection.close()
    store = SQLiteStore(str(path))
    await store.settle(ALICE, "c")
    assert await said(store, "c", 0) == ["one"]
    assert await said(store, "c", 1) == ["two", "half of it"]
    (turn,) = await store.turns(ALICE, "c", branch=1)
    assert (turn.state, bool(turn.traits & Trait.STOPPED)) == (TurnState.INCOMPLETE, True)
    lease = await begin(store, "three", branch=1)
    assert lease.epoch > 5
    await finish(store, lease, assistant("ok"))
    await store.close()
