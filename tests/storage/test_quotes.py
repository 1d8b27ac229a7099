"""What is quoted from another conversation goes with it too, and deletion leaves no row behind."""

from __future__ import annotations

import sqlite3

import pytest
from tests.conformance.talk import ALICE, answer, ask, assistant, begin, finish

from multiturn.conversations import Owner, Summary
from multiturn.messages import Entry, Trait
from multiturn.path import Source
from multiturn.storage.sqlite import SQLiteStore
from multiturn.window import Quotation

STRANGER = Owner("other", "alice")


async def quoting(store: SQLiteStore, *sources: Source, conversation: str = "c") -> None:
    lease = await begin(store, "u", conversation)
    await finish(store, lease, assistant("a"), quote=Quotation("「旧」".encode(), 9, sources))


async def quoted(store: SQLiteStore, conversation: str = "c") -> list[int]:
    """The turns that quote something; their figures must say the same."""
    told = await store.history(ALICE, conversation)
    for turn in await store.turns(ALICE, conversation):
        assert turn.tokens == sum(one.row.tokens for one in told if one.row.turn == turn.number)
    return [one.row.turn for one in told if one.row.quote is not None]


@pytest.mark.parametrize("trait", [Trait.RETRACTED, Trait.EXCLUDED])
async def test_withdrawn_there_is_withdrawn_here(store: SQLiteStore, trait: int) -> None:
    await answer(store, 1, 2, conversation="elsewhere")
    await quoting(store, Source(1, 0, 0.5, "elsewhere"))
    await quoting(store, Source(2, 0, 0.5, "elsewhere"))
    await quoting(store, Source(1, 0, 0.5))
    await store.mark(ALICE, "elsewhere", 1, set=int(trait))
    assert await quoted(store) == [2, 3]


async def test_deleted_there_is_withdrawn_here(store: SQLiteStore) -> None:
    await answer(store, 1, conversation="elsewhere")
    await quoting(store, Source(1, 1, 0.5, "elsewhere"))
    assert await quoted(store) == [1]
    await store.delete(ALICE, "elsewhere")
    assert await quoted(store) == []


@pytest.mark.parametrize(
    "source",
    [
        Source(1, 0, 0.5, "never was"),
        Source(9, 0, 0.5),
        Source(1, 2, 0.5),
        Source(2, -1, 0.5),
        Source(1, 0, 0.5, "of another tenant"),
    ],
)
async def test_what_is_not_to_be_had_is_not_quoted(store: SQLiteStore, source: Source) -> None:
    await store.add(STRANGER, "of another tenant", [[Entry("user", 0, 1, b"{}")]])
    await answer(store, 1, 2)
    await quoting(store, Source(1, 0, 0.5), source)
    assert await quoted(store) == []


async def test_nothing_is_left_of_what_was_deleted(store: SQLiteStore) -> None:
    await answer(store, 1)
    await quoting(store, Source(1, 0, 0.5, "c"), Source(1, 1, 0.5))
    await ask(store, "edited", "ok", after=1)
    await quoting(store, Source(2, 0, 0.5))
    await answer(store, 1, conversation="elsewhere")
    await quoting(store, Source(1, 0, 0.5, "elsewhere"))
    await store.write_summary(ALICE, "c", Summary(0, 1, "s", 1), None)

    def rows(db: sqlite3.Connection) -> list[int]:
        tables = ("quotes", "quote_sources", "summaries", "branches")
        return [db.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0] for name in tables]

    assert await store._writer.run(rows) == [3, 4, 1, 3]
    await store.delete(ALICE, "c")
    assert await store._writer.run(rows) == [0, 0, 0, 1]
