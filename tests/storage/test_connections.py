"""Files that are not ours, locks of others, disks that are full."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from tests.conformance.talk import ALICE, answer, ask, assistant, begin, finish, said, texts, user

from multiturn.errors import (
    ConversationNotFound,
    Error,
    StoreBusy,
    StoreCorrupt,
    StoreFull,
    StoreTooNew,
    StoreUnavailable,
)
from multiturn.phrases import error_sentence
from multiturn.storage import Reach, Start
from multiturn.storage.connections import as_ours
from multiturn.storage.migrations import _scripts
from multiturn.storage.sqlite import SQLiteStore

from .files import Other, beside, contents, put, words_of, written


@pytest.mark.parametrize(
    "garbage",
    [b"This is a letter, not a database.\n" * 100, b"\0" * 5000, b"SQLite format 3\0" + b"\xff" * 8000],
)
async def test_a_file_that_is_no_database_is_left_alone(
    path: Path, store: SQLiteStore, garbage: bytes
) -> None:
    put(path, garbage)
    for call in (
        lambda: store.gather(ALICE, "c", Reach()),
        lambda: store.add(ALICE, "c", [[user("x")]]),
        store.open,
    ):
        with pytest.raises(StoreCorrupt) as caught:
            await call()
        assert caught.value.code == "store_corrupt"
        assert str(path) in str(caught.value)
        assert not isinstance(caught.value, sqlite3.Error)
    assert contents(path) == garbage
    assert beside(path) == ["chats.db"]


async def test_a_damaged_file_says_so(path: Path, store: SQLiteStore) -> None:
    content = bytearray(await written(path, *range(500)))
    for offset in range(8 * 4096, len(content), 4096):
        content[offset : offset + 4096] = b"\xa5" * 4096
    put(path, bytes(content))
    with pytest.raises(StoreCorrupt):
        await store.history(ALICE, "c")
    with pytest.raises(StoreCorrupt):
        await answer(store, 1)


@pytest.mark.parametrize("version", [3, len(_scripts())])
async def test_another_programs_database_is_left_alone(path: Path, store: SQLiteStore, version: int) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, text TEXT)")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()
    before = contents(path)
    with pytest.raises(StoreCorrupt, match="another program"):
        await answer(store, 1)
    assert contents(path) == before


async def test_a_newer_schema_is_left_alone(path: Path, store: SQLiteStore) -> None:
    await written(path, 1)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()
    before = contents(path)
    for call in (lambda: store.gather(ALICE, "c", Reach()), lambda: answer(store, 2)):
        with pytest.raises(StoreTooNew) as caught:
            await call()
        assert caught.value.figures["found"] == 99
    assert contents(path) == before


async def test_a_folder_is_no_file(tmp_path: Path) -> None:
    store = SQLiteStore(str(tmp_path))
    with pytest.raises(StoreUnavailable, match="check that its folder exists") as caught:
        await answer(store, 1)
    assert "请检查所在文件夹是否存在" in error_sentence(caught.value, "zh")
    file = tmp_path / "file"
    file.write_text("x")
    inside = SQLiteStore(str(file / "chats.db"))
    with pytest.raises(StoreUnavailable, match="something of that name is there; check its folder") as caught:
        await answer(inside, 1)
    assert "那里已有同名的东西；请检查所在文件夹和权限" in error_sentence(caught.value, "zh")
    await store.close()
    await inside.close()


async def test_a_file_that_becomes_usable_is_used(path: Path, store: SQLiteStore) -> None:
    put(path, b"not a database, for now " * 50)
    with pytest.raises(StoreCorrupt):
        await answer(store, 1)
    with pytest.raises(StoreCorrupt):
        await store.gather(ALICE, "c", Reach())
    put(path, b"")
    await answer(store, 1)
    assert await said(store) == ["u1", "a1"]


async def test_errors_have_codes_not_tracebacks(path: Path, store: SQLiteStore) -> None:
    put(path, b"garbage" * 1000)
    with pytest.raises(Error) as caught:
        await store.begin(ALICE, "c", Start(entries=[user("x")]))
    assert caught.value.code == "store_corrupt"


# ------------------------------------------------------------------------------------ locked and full


async def test_locked_by_another_program(path: Path, impatient: SQLiteStore) -> None:
    await answer(impatient, 1)
    with Other("lock", path, "shared") as other:
        assert await other.line() == "locked"
        with pytest.raises(StoreBusy) as caught:
            await answer(impatient, 2)
        assert caught.value.retryable
        assert await said(impatient) == ["u1", "a1"], "reading goes on"
        await other.rest()
    await answer(impatient, 2)
    assert await said(impatient) == ["u1", "a1", "u2", "a2"]


async def test_a_lock_that_goes_away_in_time_is_waited_for(path: Path) -> None:
    store = SQLiteStore(str(path))
    await answer(store, 1)
    with Other("lock", path, "shared") as other:
        assert await other.line() == "locked"
        task = asyncio.create_task(answer(store, 2))
        await asyncio.sleep(0.3)
        assert not task.done()
        await other.rest()
        await task
    await store.close()


async def test_locked_before_it_was_opened(path: Path, impatient: SQLiteStore) -> None:
    await written(path, 1)
    with Other("lock", path, "alone") as other:
        assert await other.line() == "locked"
        with pytest.raises(StoreBusy):
            await answer(impatient, 2)
        with pytest.raises(StoreBusy):
            await impatient.gather(ALICE, "c", Reach())
        await other.rest()
    await answer(impatient, 2)
    assert await said(impatient) == ["u1", "a1", "u2", "a2"]


async def room(store: SQLiteStore, more: int | None) -> None:
    """Let the file grow by so many pages more, or freely."""

    def limit(db: sqlite3.Connection) -> None:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages + more if more is not None else 1 << 30}")

    await store._writer.run(limit)


BIG = "x" * 40_000


async def test_a_full_disk(store: SQLiteStore) -> None:
    await ask(store, "a", "b")
    lease = await begin(store, "c")
    await room(store, 5)
    with pytest.raises(StoreFull) as caught:
        await finish(store, lease, assistant(BIG))
    assert caught.value.code == "storage_full"
    assert caught.value.retryable
    assert await said(store) == ["a", "b", "c"], "reading goes on, and nothing is half written"
    with pytest.raises(StoreFull):
        await ask(store, BIG, "x", "other")
    with pytest.raises(ConversationNotFound):
        await store.conversation(ALICE, "other")
    await room(store, None)
    await finish(store, lease, assistant(BIG))
    assert await said(store) == ["a", "b", "c", BIG]


async def test_on_a_full_disk_what_was_acknowledged_is_there_and_nothing_else(store: SQLiteStore) -> None:
    await store.open()
    await room(store, 300)

    async def one(number: int) -> bool:
        try:
            await store.add(ALICE, "c", [[user(str(number)), assistant(BIG)]])
        except StoreFull:
            return False
        return True

    stored: list[int] = []
    for first in range(0, 64, 8):
        numbers = range(first, first + 8)
        done = await asyncio.gather(*(one(number) for number in numbers))
        stored += [number for number, was in zip(numbers, done, strict=True) if was]
    assert 0 < len(stored) < 64
    told = await store.history(ALICE, "c")
    assert sorted(texts([t.row for t in told])[::2], key=int) == [str(number) for number in stored]  # type: ignore[arg-type]  # all are text


async def test_a_limit_on_the_size_of_files(path: Path) -> None:
    assert await Other("fill", path).rest() == ["before", "storage_full", "True", "after"]
    words = await words_of(path)
    assert words[:2] == ["before", "before"]
    assert words[-2:] == ["after", "after"]


async def test_what_fails_has_our_name(store: SQLiteStore) -> None:
    """Never a raw error of SQLite, and the store goes on."""
    await answer(store, 1)
    with pytest.raises(
        StoreUnavailable, match=r"SQLite says no such table: nowhere \(SQLITE_ERROR\)"
    ) as caught:
        await store._writer.run(lambda db: db.execute("SELECT * FROM nowhere"))
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    assert store._readers is not None
    with pytest.raises(StoreUnavailable, match="may not be written; change its rights"):
        await store._writer.run(lambda db: db.executescript("PRAGMA query_only = 1; DELETE FROM turns"))
    with pytest.raises(StoreUnavailable):
        await store._readers.run(lambda db: db.execute("SELECT * FROM nowhere"))
    await answer(store, 2)
    assert await said(store) == ["u1", "a1", "u2", "a2"]


def test_a_disk_that_does_not_read_is_not_taken_for_a_mistake_of_ours(path: Path) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_IOERR_READ, "SQLITE_IOERR_READ"
    ours = as_ours(error, str(path))
    assert isinstance(ours, StoreUnavailable)
    assert "failed (disk I/O error (SQLITE_IOERR_READ)); check the disk" in str(ours)


async def test_an_error_that_is_kept_does_not_keep_the_past(store: SQLiteStore) -> None:
    """Whoever holds on to an exception does not hold the reader in its old snapshot."""
    await answer(store, 1, 2)

    def fails(db: sqlite3.Connection) -> None:
        for row in db.execute("SELECT id FROM messages"):
            raise KeyError(row)

    assert store._readers is not None
    with pytest.raises(KeyError) as caught:
        await store._readers.run(fails)
    await answer(store, 3)
    assert (await said(store))[-1] == "a3"
    assert caught.value.__traceback__ is not None
