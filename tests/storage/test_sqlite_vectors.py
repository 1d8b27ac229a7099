"""Vectors go with the words they were made of, and nothing is embedded of what is over."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.conformance.talk import ALICE, answer, assistant, user

from multiturn.conversations import Declared
from multiturn.storage.sqlite import SQLiteStore
from multiturn.storage.vector_store import Kept

MODEL = "qwen/text-embedding-v4"


async def test_what_is_rewritten_has_no_vector_any_more(tmp_path: Path) -> None:
    store = SQLiteStore(str(tmp_path / "chats.db"))
    await answer(store, 1)
    backlog = await store.vectors.backlog(ALICE, "c", MODEL, 2, 100)
    kept = [Kept(each.key, each.digest, b"\0\0\0\0") for each in backlog.waiting]
    await store.vectors.keep(MODEL, 2, kept, backlog.marks)
    assert [model.vectors for model in await store.vectors.models()] == [2]
    await store.rewrite(ALICE, "c", 1, {1: assistant("other")})
    assert [model.vectors for model in await store.vectors.models()] == [1]
    await store.close()


async def test_vectors_of_one_model_and_length_stay_when_the_others_go(tmp_path: Path) -> None:
    store = SQLiteStore(str(tmp_path / "chats.db"))
    await answer(store, 1)
    for model, dimension in ((MODEL, 2), (MODEL, 4), ("other", 2)):
        backlog = await store.vectors.backlog(ALICE, "c", model, dimension, 100)
        kept = [Kept(each.key, each.digest, b"\0\0" * dimension) for each in backlog.waiting]
        await store.vectors.keep(model, dimension, kept, backlog.marks)
    assert await store.vectors.forget_others(MODEL, 2) == 4
    assert [(model.name, model.dimension, model.vectors) for model in await store.vectors.models()] == [
        (MODEL, 2, 2)
    ]
    assert [await store.vectors.remaining(name, 2) for name in (MODEL, "other")] == [(0, 0), (2, 6)]
    await store.close()


async def test_what_is_over_waits_for_no_vectors(tmp_path: Path) -> None:
    store = SQLiteStore(str(tmp_path / "chats.db"))
    await store.add(ALICE, "c", [[user("a"), assistant("b")]], Declared(expires_after=60))
    assert len(await store.vectors.lagging(MODEL, 2, begun=False)) == 1
    await store.describe(ALICE, "c", expires_after=0.05)
    await asyncio.sleep(0.1)
    assert await store.vectors.lagging(MODEL, 2, begun=False) == []
    await store.close()
