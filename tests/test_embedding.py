"""Recall by meaning: vectors made after the turn, and what happens where they cannot be had."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scene import Make, Scene
from tests.simulators import Fault, Script, counting, simulate
from tests.simulators.embeddings import Embeds

from multiturn import EmbeddingChanged, ProviderFailed
from multiturn.catalog import Catalog
from multiturn.conversations import Owner
from multiturn.embedding import Embedder, fused
from multiturn.path import MessageRow
from multiturn.providers import Patience, Retry, open_embeddings
from multiturn.search.terms import query
from multiturn.storage import Found, Scope, Told
from multiturn.storage.sqlite import SQLiteStore

ADA = Owner("", "ada")
MODEL = "qwen/text-embedding-v4"
QUICK = Retry(times=0)
TALK = [
    "我的猫叫小白。",
    "好的，记住了。",
    "明天北京会下雨吗？",
    "会的，请带伞。",
    "给我推荐一本书。",
    "《三体》很好看。",
]


def said(texts: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"role": "assistant" if place % 2 else "user", "content": text} for place, text in enumerate(texts)
    ]


class Library:
    """A store with a conversation, an endpoint, and what makes vectors of the one with the other."""

    def __init__(self, scene: Scene, store: SQLiteStore, server: Embeds) -> None:
        self.scene, self.store, self.server = scene, store, server
        self.embedders: list[Embedder] = []

    def embedder(self, model: str = MODEL, **given: Any) -> Embedder:
        catalog = Catalog({"embeddings": {model: given.pop("card")}} if "card" in given else None)
        card = catalog.embedding(model)
        embeddings = open_embeddings(
            card,
            catalog.profile(card.provider),
            key=self.server.key,
            base_url=self.server.base_url,
            retry=given.pop("retry", QUICK),
            patience=Patience(total=60),
        )
        self.embedders.append(Embedder(embeddings, self.store, self.store.vectors, patience=30, **given))
        return self.embedders[-1]

    async def tell(self, name: str, texts: Sequence[str] = TALK, user: str = "ada") -> None:
        await self.scene.client.conversation(name, user=user).add(said(texts))

    async def found(self, text: str, name: str = "talk", limit: int = 200) -> list[Found]:
        return list(await self.store.recall(ADA, name, query(text, now=0.0), limit=limit))

    async def vectors(self) -> int:
        return sum(each.vectors for each in await self.store.vectors.models())


@asynccontextmanager
async def library(scene: Make, path: Path | str, script: Script | None = None) -> AsyncIterator[Library]:
    store = SQLiteStore(str(path))
    async with simulate("qwen", script) as server:
        assert isinstance(server, Embeds)
        one = Library(scene(store=store), store, server)
        try:
            yield one
        finally:
            for embedder in one.embedders:
                await embedder.close()


def words(found: Sequence[Found]) -> list[str]:
    return [orjson.loads(each.told.row.body)["content"] for each in found]


# ---------------------------------------------------------------------------------- catching up


async def test_every_message_of_a_conversation_gets_its_vector_once(scene: Make) -> None:
    async with library(scene, ":memory:") as one:
        await one.tell("talk", [*TALK, "我的猫叫小白。", "好的，记住了。"])
        embedder = one.embedder()
        assert await embedder.catch_up(ADA, "talk") == 8
        assert sorted(one.server.texts) == sorted(TALK)
        assert [tuple(each) for each in await one.store.vectors.models()] == [(MODEL, 1024, 8)]
        assert await embedder.catch_up(ADA, "talk") == 0
        await one.tell("talk", ["再见。", "好的，记住了。"])
        assert await embedder.catch_up(ADA, "talk") == 2
        assert one.server.texts[len(TALK) :] == ["再见。"]


async def test_only_words_that_can_be_recalled_are_sent_to_the_endpoint(scene: Make) -> None:
    async with library(scene, ":memory:") as one:
        chat = one.scene.client.conversation("talk", user="ada")
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        await chat.add(
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "看图"},
                        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                    ],
                },
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c1", "content": "secret result"},
                {"role": "assistant", "content": "是猫。"},
                *said(["withdrawn", "withdrawn too", "left out", "its answer", "   ", "stays"]),
            ]
        )
        await chat.retract(2)
        await chat.exclude(3)
        assert await one.embedder().catch_up(ADA, "talk") == 4
        assert set(one.server.texts) == {"看图", "是猫。", "its answer", "stays"}


async def test_a_turn_that_may_still_change_waits(tmp_path: Path) -> None:
    async with simulate("qwen") as server:
        assert isinstance(server, Embeds)
        store = SQLiteStore(str(tmp_path / "chats.db"))
        failure = ProviderFailed("no", provider="qwen")
        scene = Scene("第一轮的回答", failure, "第二次的回答", failure, "最后的回答", store=store)
        one = Library(scene, store, server)
        embedder = one.embedder()
        chat = scene.client.conversation("talk", user="ada")
        await chat.send("第一轮")
        assert await embedder.catch_up(ADA, "talk") == 2
        with pytest.raises(ProviderFailed):
            await chat.send("第一次失败了")
        assert await embedder.catch_up(ADA, "talk") == 0
        await chat.retry()
        assert await embedder.catch_up(ADA, "talk") == 2
        assert server.texts == ["第一轮", "第一轮的回答", "第一次失败了", "第二次的回答"]
        with pytest.raises(ProviderFailed):
            await chat.send("这一轮没有回答")
        await chat.send("最后一轮")
        assert await embedder.catch_up(ADA, "talk") == 2
        assert server.texts[4:] == ["最后一轮", "最后的回答"]
        await embedder.close()
        await scene.client.close()


async def test_a_portion_is_a_portion_over_all_branches(scene: Make) -> None:
    async with library(scene, ":memory:") as one:
        await one.tell("talk")
        other = await one.scene.client.conversation("talk", user="ada").branch(1)
        await other.switch((await other.branches())[-1])
        await one.tell("talk", ["另一条路", "好", "接着走", "嗯"])
        embedder = one.embedder()
        assert [await embedder.catch_up(ADA, "talk", 8) for _ in range(3)] == [8, 2, 0]


async def test_branches_share_vectors(scene: Make) -> None:
    async with library(scene, ":memory:") as one:
        await one.tell("talk")
        embedder = one.embedder()
        await embedder.catch_up(ADA, "talk")
        other = await one.scene.client.conversation("talk", user="ada").branch(1)
        await other.switch((await other.branches())[-1])
        await one.tell("talk", ["另一条路", "好的，记住了。"])
        assert await embedder.catch_up(ADA, "talk") == 2
        assert one.server.texts[len(TALK) :] == ["另一条路"]


async def test_a_long_conversation_is_caught_up_in_portions(scene: Make) -> None:
    async with library(scene, ":memory:") as one:
        await one.tell("talk", [f"第{number}句话" for number in range(50)])
        embedder = one.embedder()
        done = [await embedder.catch_up(ADA, "talk", 20) for _ in range(4)]
        assert done == [20, 20, 10, 0]
        assert one.server.texts == [f"第{number}句话" for number in range(50)]
        assert [len(each.body["input"]) for each in one.server.requests] == [10] * 5


async def test_what_a_crash_left_behind_is_done_by_the_next_program(scene: Make, tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    async with library(scene, path, Script(faults={3: Fault(drop=True)})) as one:
        await one.tell("old", [f"第{number}句话" for number in range(30)])
        await one.tell("never embedded")
        embedder = one.embedder()
        assert await embedder.catch_up(ADA, "old") == 0
        assert embedder.problem is not None
        assert await one.vectors() == 20
        await one.store.close()
    async with library(scene, path) as one:
        await one.tell("new")
        assert await one.embedder().catch_up(ADA, "new") == 6
        assert await one.vectors() == 26
        again = one.embedder()
        assert await again.catch_up(ADA, "old") == 30
        assert [each for each in one.server.texts if "句话" in each] == [f"第{n}句话" for n in range(20, 30)]
        await one.tell("old", ["尾声", "完"])
        assert await one.embedder().catch_up(ADA, "new") == 2
        assert "尾声" in one.server.texts
        assert set(TALK) & set(one.server.texts) == set(TALK)
        await one.store.close()


async def test_what_was_embedded_before_a_failure_is_not_paid_for_twice(scene: Make) -> None:
    async with library(scene, ":memory:", Script(faults={2: Fault(500)})) as one:
        await one.tell("talk", [f"第{number}句话" for number in range(25)] + ["完"])
        embedder = one.embedder()
        with pytest.raises(ProviderFailed):
            await embedder.advance(ADA, "talk")
        assert await one.vectors() == 10
        advance = await embedder.advance(ADA, "talk")
        assert (advance.passed, advance.embedded) == (26, 26)
        assert len(one.server.texts) == len(set(one.server.texts)) == 26


async def test_vectors_go_with_their_messages(scene: Make, tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    async with library(scene, path) as one:
        await one.tell("talk")
        await one.tell("other", TALK[:2])
        embedder = one.embedder()
        await embedder.catch_up(ADA, "talk")
        await embedder.catch_up(ADA, "other")
        assert await one.vectors() == 8
        await one.scene.client.conversation("talk", user="ada").delete()
        assert await one.vectors() == 2
        await one.scene.client.delete_user("ada")
        await one.store.close()
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT COUNT(*) FROM vectors").fetchone() == (0,)
        assert db.execute("SELECT COUNT(*) FROM vector_marks").fetchone() == (0,)
    db.close()


async def test_a_conversation_that_is_deleted_meanwhile_keeps_nothing(scene: Make) -> None:
    async with library(scene, ":memory:") as one:
        await one.tell("talk")
        one.server.embeds("text-embedding-v4", stall=0.3)
        task = asyncio.create_task(one.embedder().catch_up(ADA, "talk"))
        while not one.server.requests:  # noqa: ASYNC110  (the server has no event to wait for)
            await asyncio.sleep(0.01)
        await one.scene.client.conversation("talk", user="ada").delete()
        await task
        assert await one.vectors() == 0


async def test_the_same_conversation_is_not_caught_up_twice_at_one_time(scene: Make) -> None:
    async with library(scene, ":memory:") as one:
        await one.tell("talk")
        one.server.embeds("text-embedding-v4", stall=0.1)
        embedder = one.embedder()
        assert sorted(await asyncio.gather(*[embedder.catch_up(ADA, "talk") for _ in range(3)])) == [0, 0, 6]
        assert len(one.server.requests) == 1


async def test_nobody_elses_conversation_is_caught_up(scene: Make) -> None:
    async with library(scene, ":memory:") as one:
        await one.tell("talk")
        embedder = one.embedder()
        assert await embedder.catch_up(Owner("", "eve"), "talk") == 0
        assert await embedder.catch_up(ADA, "nothing") == 0
        assert one.server.texts == []


# ------------------------------------------------------------------------------------- questions


async def test_meaning_brings_forward_what_words_put_behind(scene: Make) -> None:
    async with library(scene, ":memory:") as one:
        await one.tell("talk")
        embedder = one.embedder()
        await embedder.catch_up(ADA, "talk")
        found = await one.found("猫叫什么")
        wanted = next(each for each in found if words([each]) == ["我的猫叫小白。"])
        shuffled = [*[each for each in found if each != wanted], wanted]
        level = [replace(each, score=0.5) for each in shuffled]
        ranked = await embedder.rerank(level, "猫叫什么")
        assert words(ranked)[0] == "我的猫叫小白。"
        assert ranked[0].score == 0.5
        assert sorted(words(ranked)) == sorted(words(found))
        assert [each.score for each in ranked] == sorted((each.score for each in ranked), reverse=True)


async def test_a_question_is_embedded_once_and_again_as_a_message_never(scene: Make) -> None:
    async with library(scene, ":memory:") as one:
        await one.tell("talk")
        embedder = one.embedder()
        for _ in range(2):
            assert await embedder.vector(" 给我推荐一本书。") is not None
        await embedder.catch_up(ADA, "talk")
        assert sorted(one.server.texts) == sorted(TALK)
        assert await embedder.vector("   ") is None


async def test_only_the_first_two_hundred_are_reranked(scene: Make) -> None:
    async with library(scene, ":memory:") as one:
        await one.tell("talk", [f"猫 {number}" for number in range(230)])
        embedder = one.embedder()
        while await embedder.catch_up(ADA, "talk"):
            pass
        found = await one.found("猫 7", limit=230)
        ranked = await embedder.rerank(found, "猫 7")
        assert ranked[200:] == found[200:]
        assert {one.told.id for one in ranked[:20]} != {one.told.id for one in found[:20]}
        assert {one.told.id for one in ranked[:200]} == {one.told.id for one in found[:200]}


async def test_nothing_found_asks_nobody(scene: Make) -> None:
    async with library(scene, ":memory:") as one:
        notes: list[str] = []
        assert await one.embedder().rerank([], "猫", notes=notes) == []
        assert (one.server.requests, notes) == ([], [])


async def test_all_vectors_are_gone_through_where_the_operator_says_so(scene: Make) -> None:
    async with library(scene, ":memory:") as one:
        await one.tell("talk")
        embedder = one.embedder(everything=True)
        await embedder.catch_up(ADA, "talk")
        chat = one.scene.client.conversation("talk", user="ada")
        await chat.retract(2)
        scope = Scope(ADA, "talk", before=3)
        ranked = await embedder.rerank([], "我的猫叫小白吗", scope)
        assert words(ranked) == ["我的猫叫小白。", "好的，记住了。"]
        assert [each.at for each in ranked] == [0, 1]
        assert ranked[0].score < 0.02
        found = (await one.found("推荐"))[:1]
        both = await embedder.rerank(found, "我的猫叫小白吗", Scope(ADA, "talk"))
        assert len(both) == 4
        assert {each.told.id for each in found} <= {each.told.id for each in both}
        branch = await chat.branch(0)
        await branch.switch((await branch.branches())[-1])
        await one.tell("talk", ["另一条路上的猫", "好"])
        await embedder.catch_up(ADA, "talk")
        assert both == await embedder.rerank(found, "我的猫叫小白吗", Scope(ADA, "talk", branch=0))
        assert words(await embedder.rerank([], "我的猫", Scope(ADA, "talk"))) == ["另一条路上的猫", "好"]


async def test_all_vectors_of_a_shared_memory_are_gone_through(scene: Make) -> None:
    async with library(scene, ":memory:") as one:
        for name, user in (("talk", "ada"), ("other", "ada"), ("hers", "eve")):
            chat = one.scene.client.conversation(name, user=user, memory="shared")
            await chat.add(said([f"{name} 的猫", "好"]))
        embedder = one.embedder(everything=True)
        await embedder.catch_up(ADA, "talk")
        await embedder.catch_up(ADA, "other")
        await embedder.catch_up(Owner("", "eve"), "hers")
        alone = await embedder.rerank([], "猫", Scope(ADA, "talk"))
        assert {each.conversation for each in alone} == {"talk"}
        both = await embedder.rerank([], "猫", Scope(ADA, "talk", memory="shared"))
        assert {(each.conversation, each.at is None) for each in both} == {("talk", False), ("other", True)}


async def test_another_users_vectors_are_never_gone_through(scene: Make) -> None:
    async with library(scene, ":memory:") as one:
        await one.tell("talk")
        embedder = one.embedder(everything=True)
        await embedder.catch_up(ADA, "talk")
        notes: list[str] = []
        assert await embedder.rerank([], "我的猫", Scope(Owner("", "eve"), "talk"), notes) == []
        assert notes == ["embedding_failed"]
        assert await embedder.rerank([], "我的猫", Scope(ADA, "nothing")) == []


# ---------------------------------------------------------------------------------------- faults


async def test_an_endpoint_that_stalls_leaves_the_words_alone_and_is_not_asked_again_at_once(
    scene: Make,
) -> None:
    async with library(scene, ":memory:") as one:
        await one.tell("talk")
        embedder = one.embedder()
        await embedder.catch_up(ADA, "talk")
        one.server.embeds("text-embedding-v4", stall=30)
        embedder.patience = 1
        found, notes = await one.found("猫叫什么"), list[str]()
        assert await embedder.rerank(found, "猫叫什么", notes=notes) == found
        assert await embedder.rerank(found, "猫还好吗", notes=notes) == found
        assert notes == ["embedding_failed", "embedding_failed"]
        assert embedder.problem is not None
        assert embedder.problem.code == "provider_timeout"
        assert len(one.server.requests) == 2
        assert await embedder.catch_up(ADA, "talk") == 0


@pytest.mark.parametrize(
    "fault", [Fault(500), Fault(401), Fault(drop=True), Fault(429), Fault(502, html=True)]
)
async def test_an_endpoint_that_fails_leaves_the_words_alone(scene: Make, fault: Fault) -> None:
    async with library(scene, ":memory:", Script(faults=fault)) as one:
        await one.tell("talk")
        embedder, notes = one.embedder(), list[str]()
        found = await one.found("猫叫什么")
        assert await embedder.rerank(found, "猫叫什么", notes=notes) == found
        assert notes == ["embedding_failed"]
        assert await embedder.catch_up(ADA, "talk") == 0


async def test_a_store_that_cannot_be_read_leaves_the_words_alone(scene: Make) -> None:
    async with library(scene, ":memory:") as one:
        await one.tell("talk")
        embedder, notes = one.embedder(), list[str]()
        found = await one.found("猫叫什么")
        await embedder.vector("猫叫什么")
        await one.store.close()
        assert await embedder.rerank(found, "猫叫什么", notes=notes) == found
        assert notes == ["embedding_failed"]
        assert await embedder.catch_up(ADA, "talk") == 0


async def test_vectors_of_another_dimension_are_never_mixed(scene: Make) -> None:
    async with library(scene, ":memory:") as one:
        await one.tell("talk")
        await one.embedder().catch_up(ADA, "talk")
        one.server.embeds("text-embedding-v4", gives=512)
        embedder, notes = one.embedder(), list[str]()
        found = await one.found("猫叫什么")
        assert await embedder.rerank(found, "猫叫什么", notes=notes) == found
        assert notes == ["embedding_changed"]
        await one.tell("talk", ["新的话", "好"])
        with pytest.raises(EmbeddingChanged, match=r"512.*1024.*db reembed"):
            await embedder.advance(ADA, "talk")
        assert [tuple(each) for each in await one.store.vectors.models()] == [(MODEL, 1024, 6)]
        asked = len(one.server.requests)
        assert await embedder.catch_up(ADA, "talk") == 0
        assert len(one.server.requests) == asked
        one.server.embeds("text-embedding-v4", gives=0)
        assert await embedder.rerank(await one.found("伞"), "要带伞吗", notes=notes)
        assert notes == ["embedding_changed"]
        assert await embedder.catch_up(ADA, "talk") == 2


async def test_a_dimension_that_changes_half_way_is_noticed(scene: Make) -> None:
    async with library(scene, ":memory:") as one:
        await one.tell("talk", [f"第{number}句话" for number in range(20)])

        embedder = one.embedder()
        embed = embedder.embeddings.embed

        async def change(texts: Sequence[str]) -> Any:
            answer = await embed(texts)
            one.server.embeds("text-embedding-v4", gives=64)
            return answer

        embedder.embeddings = _Changed(embedder.embeddings, change)  # type: ignore[assignment]  # a stand-in
        with pytest.raises(EmbeddingChanged):
            await embedder.advance(ADA, "talk")
        assert [tuple(each) for each in await one.store.vectors.models()] == [(MODEL, 1024, 10)]


class _Changed:
    """An embedding model that is asked in another way."""

    def __init__(self, embeddings: Any, embed: Any) -> None:
        self._embeddings, self.embed = embeddings, embed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embeddings, name)


async def test_models_are_never_mixed(scene: Make) -> None:
    async with library(scene, ":memory:") as one:
        await one.tell("talk")
        await one.embedder().catch_up(ADA, "talk")
        other = one.embedder("qwen/text-embedding-v3")
        found = await one.found("猫叫什么")
        assert await other.rerank(found, "猫叫什么") == found
        assert await other.catch_up(ADA, "talk") == 6
        models = {tuple(each) for each in await one.store.vectors.models()}
        assert models == {(MODEL, 1024, 6), ("qwen/text-embedding-v3", 1024, 6)}


# ------------------------------------------------------------------------------------------ cost


async def test_what_vectors_cost_is_counted_for_the_conversation(scene: Make) -> None:
    async with library(scene, ":memory:") as one:
        await one.tell("talk")
        await one.tell("other", ["别的", "话"])
        embedder = one.embedder()
        question = "我的猫叫什么名字"
        await embedder.vector(question, Scope(ADA, "talk"))
        await embedder.catch_up(ADA, "talk")
        await embedder.catch_up(ADA, "other")
        spent = await one.scene.client.conversation("talk", user="ada").usage()
        tokens = sum(map(counting.count, [*TALK, question]))
        assert (spent.usage.input, spent.usage.output, spent.turns) == (tokens, 0, 0)
        (cost,) = spent.costs
        assert cost.currency == "USD"
        assert float(cost.amount) == pytest.approx(0.07 * tokens / 1_000_000, abs=1e-9)
        by_model = await one.scene.client.usage(by="model")
        assert [each.group for each in by_model] == [MODEL]
        assert by_model[0].usage.input == tokens + sum(map(counting.count, ["别的", "话"]))


async def test_a_question_that_nothing_followed_is_counted_at_the_end(scene: Make) -> None:
    async with library(scene, ":memory:") as one:
        await one.tell("talk")
        embedder = one.embedder()
        await embedder.vector("我的猫叫什么名字", Scope(ADA, "talk"))
        await embedder.close()
        spent = await one.scene.client.conversation("talk", user="ada").usage()
        assert spent.usage.input == counting.count("我的猫叫什么名字")


# ---------------------------------------------------------------------------------------- fusion


def hit(place: int, score: float) -> Found:
    row = MessageRow(place, 0, "user", 0, 1, 0, b"{}", None, None)
    return Found("talk", Told(row, None, 0.0, f"msg_{place}"), score)


scores = st.lists(st.floats(0, 1, allow_subnormal=False), max_size=30)


@given(scores, st.data())
def test_fusing_keeps_every_message_and_the_best_score(found: list[float], data: st.DataObject) -> None:
    hits = [hit(place, score) for place, score in enumerate(found)]
    cosines = data.draw(st.lists(st.none() | st.floats(-1, 1), min_size=len(hits), max_size=len(hits)))
    ranked = fused(hits, cosines)
    if all(cosine is None for cosine in cosines):
        assert ranked == hits
        return
    assert sorted(each.told.id for each in ranked) == sorted(each.told.id for each in hits)
    assert [each.score for each in ranked] == sorted((each.score for each in ranked), reverse=True)
    if any(found):
        assert ranked[0].score == pytest.approx(max(found))
    else:
        assert all(each.score <= 0.01 for each in ranked)


@given(scores)
def test_without_vectors_nothing_changes(found: list[float]) -> None:
    hits = [hit(place, score) for place, score in enumerate(sorted(found, reverse=True))]
    ranked = fused(hits, [None] * len(hits))
    assert [each.told.id for each in ranked] == [each.told.id for each in hits]
    assert ranked == hits


def test_a_message_without_a_vector_keeps_the_place_its_words_give_it() -> None:
    ranked = fused([hit(1, 0.8), hit(2, 0.4), hit(3, 0.2)], [None, 0.1, 0.9])
    assert [each.told.id for each in ranked] == ["msg_1", "msg_3", "msg_2"]
    level = fused([hit(1, 0.8), hit(2, 0.4)], [0.5, 0.5])
    assert [each.score for each in level] == [0.8, 0.4]


def test_meaning_weighs_as_much_as_words_and_no_more() -> None:
    ranked = fused([hit(1, 0.8), hit(2, 0.4), hit(3, 0.2)], [0.1, 0.9, 0.5])
    assert [each.told.id for each in ranked] == ["msg_2", "msg_1", "msg_3"]
    assert [round(each.score, 3) for each in ranked] == [0.8, 0.533, 0.4]
    ranked = fused([hit(1, 0.8), hit(2, 0.0)], [0.1, 0.9])
    assert [each.told.id for each in ranked] == ["msg_1", "msg_2"]
