"""Recall by meaning, counts and limits, through the client and real HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.simulators import Fault, Script, counting, simulate
from tests.simulators.embeddings import Embeds

from multiturn import (
    AsyncMultiTurn,
    ContextPolicy,
    CountingUnavailable,
    KeyMissing,
    ModelUnknown,
    ProviderOverflow,
    Recall,
    SettingInvalid,
)
from multiturn.conversations import Owner, Step
from multiturn.phrases import phrase
from multiturn.settings import load
from multiturn.storage.sqlite import SQLiteStore
from multiturn.vocabulary import counter

from .world import client_of, environment_of, world

EMBEDDING = "qwen/text-embedding-v4"
FACTS = ["我家的猫叫小白。", "明天北京会下雨吗？", "推荐一本科幻小说。", "今天晚饭吃什么好？"]


def policy(budget: int = 600, embedding: str | None = EMBEDDING) -> ContextPolicy:
    recall = Recall(max_tokens=200, embedding=embedding)
    return ContextPolicy(budget=budget, reserve_output=100, summarize=None, recall=recall)


async def vectors(path: Path) -> int:
    store = SQLiteStore(str(path / "chats.db"))
    found = sum(each.vectors for each in await store.vectors.models())
    await store.close()
    return found


async def test_turns_get_their_vectors_before_the_client_is_closed(tmp_path: Path) -> None:
    async with world(tmp_path, policy=policy()) as one:
        chat = one.client.conversation("talk", user="ada")
        for text in FACTS:
            await chat.send(text)
        await one.client.close()
        assert await vectors(tmp_path) == 2 * len(FACTS)
        again = one.make()
        await again.conversation("talk", user="ada").send("再见")
        await again.close()
        assert await vectors(tmp_path) == 2 * len(FACTS) + 2
        spent = await one.make().usage(by="model")
        embedded = next(each for each in spent if each.group == EMBEDDING)
        assert embedded.usage.input > 0
        assert embedded.turns == 0


async def test_without_an_embedding_model_nobody_is_asked(tmp_path: Path) -> None:
    async with world(tmp_path, policy=policy(embedding=None)) as one:
        await one.client.conversation("talk").send("你好")
        await one.client.close()
        assert not [each for each in one.simulator.requests if "embeddings" in each.path]
        assert await vectors(tmp_path) == 0


async def test_what_was_recalled_is_ranked_by_meaning_and_a_failing_endpoint_costs_no_turn(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, policy=policy()) as one:
        server = one.simulator
        assert isinstance(server, Embeds)
        chat = one.client.conversation("talk", user="ada")
        await chat.send(FACTS[0])
        for number in range(30):
            await chat.send(f"第{number}个话题：{FACTS[1 + number % 3]}")
        while await vectors(tmp_path) < 2 * 31:  # noqa: ASYNC110  (it happens in the background)
            await asyncio.sleep(0.05)
        window = await chat.window("你还记得我家的猫叫什么吗？")
        assert window.recalled is not None
        assert "小白" in window.recalled.text.decode()
        assert not [note for note in window.notes if note.startswith("embedding")]
        by_words = await chat.window("你还记得我家的猫叫什么吗？", policy=policy(embedding=None))
        assert by_words.recalled is not None
        assert window.recalled.sources[0] == by_words.recalled.sources[0]
        assert window.recalled.sources != by_words.recalled.sources
        server.embeds("text-embedding-v4", stall=30)
        reply = await chat.send("你还记得我家的猫叫什么名字吗？")
        assert "embedding_failed" in reply.window.notes
        assert reply.window.recalled is not None
        assert "小白" in reply.window.recalled.text.decode()
        assert "embedding_failed" in (await chat.ledger()).notes
        server.embeds("text-embedding-v4", stall=0)
        hits = await chat.recall("猫叫什么名字", k=3)
        assert len(hits) == 3
        assert any("小白" in hit.message.text for hit in hits)
        await one.client._store.record(Owner("", "ada"), "talk", Step("qwen/qwen-plus", b"", error="timeout"))
        await chat.send("再见")
        await one.client.close()
        assert await one.make().conversation("talk", user="ada").summary_error() == "timeout"


async def test_nobody_is_asked_about_a_question_that_quotes_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, policy=policy()) as one:
        chat = one.client.conversation("talk", user="ada")
        for number in range(30):
            await chat.send(f"第{number}个话题：{FACTS[number % 4]}")
        await one.client.close()
        server = one.simulator
        assert isinstance(server, Embeds)
        asked = len(server.texts)
        window = await one.make().conversation("talk", user="ada").window("我家的猫喜欢看小说吗？")
        assert "below_threshold" in {decision.code.value for decision in window.decisions}
        assert window.recalled is None
        assert len(server.texts) == asked


async def test_a_model_that_gives_other_vectors_leaves_a_note(tmp_path: Path) -> None:
    async with world(tmp_path, policy=policy()) as one:
        server = one.simulator
        assert isinstance(server, Embeds)
        chat = one.client.conversation("talk", user="ada")
        await chat.send(FACTS[0])
        for number in range(30):
            await chat.send(f"第{number}个话题：{FACTS[1 + number % 3]}")
        while await vectors(tmp_path) < 2 * 31:  # noqa: ASYNC110  (it happens in the background)
            await asyncio.sleep(0.01)
        server.embeds("text-embedding-v4", gives=64)
        reply = await chat.send("你还记得我家的猫叫什么吗？")
        assert "embedding_changed" in reply.window.notes
        assert "multiturn db reembed" in phrase("note.embedding_changed")


async def test_what_cannot_embed_is_refused_before_anything_is_stored(tmp_path: Path) -> None:
    async with world(tmp_path) as one:
        for name, error in (("nobody", ModelUnknown), ("openai/text-embedding-3-small", KeyMissing)):
            chat = one.client.conversation(name, policy=policy(embedding=name))
            with pytest.raises(error):
                await chat.send("你好")
        assert await one.client.conversations(everybody=True) == []


# ----------------------------------------------------------------------------------------- counts


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("kimi", "kimi/kimi-k2.6"),
        ("stepfun", "stepfun/step-3.7-flash"),
        ("glm", "glm/glm-4.7"),
        ("qwen", "qwen/qwen-plus"),
        ("dashscope", "dashscope/qwen-plus"),
    ],
)
async def test_the_provider_counts_what_would_be_sent(tmp_path: Path, name: str, model: str) -> None:
    async with world(tmp_path, name, model=model) as one:
        chat = one.client.conversation("talk", system="简短回答。")
        await chat.send("你好")
        asked = len(one.simulator.requests)
        window = await chat.window("现在几点？")
        assert await chat.count("现在几点？") == len(counting.prompt(window.messages))
        assert await chat.count("现在几点？") == len(counting.prompt(window.messages))
        assert len(one.simulator.requests) == asked + 1
        assert await chat.count() == len(counting.prompt((await chat.window()).messages))
        assert len(await chat.turns()) == 1


async def test_nothing_to_send_is_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, "kimi", model="kimi/kimi-k2.6") as one:
        assert await one.client.conversation("new").count() == 0
        assert one.simulator.requests == []


async def test_a_provider_that_does_not_count_says_so(tmp_path: Path) -> None:
    async with world(tmp_path, "deepseek", model="deepseek/deepseek-v4-flash") as one:
        with pytest.raises(CountingUnavailable, match="kimi"):
            await one.client.conversation("talk").count("你好")


async def test_windows_are_counted_by_vocabulary_and_stored_counts_stay_estimates(tmp_path: Path) -> None:
    exact = counter("qwen/qwen-plus", environment={})
    assert exact is not None
    async with simulate("qwen") as server:
        config = load({"model": "qwen/qwen-plus", "tokenizer": "exact"}, {})
        store = f"sqlite:///{tmp_path / 'chats.db'}"
        wanted = ContextPolicy(budget=600, reserve_output=100, summarize=None, recall=None)
        client = AsyncMultiTurn(store=store, config=config, environment=environment_of(server), policy=wanted)
        chat = client.conversation("talk", system="简短回答。")
        for number in range(3):
            reply = await chat.send(f"第 {number} 句：请记住这一句话，谢谢。")
        messages = reply.window.messages
        expected = (sum(map(exact, messages)) + 3) * 1.15
        assert reply.window.tokens == pytest.approx(expected, abs=1)
        for number in range(30):
            reply = await chat.send(f"再说第 {number} 句：请记住这一句话，谢谢。")
            assert reply.window.tokens <= 600
        assert any(decision.code.value == "over_budget" for decision in reply.window.decisions)
        assert reply.window.cut is not None
        assert "by qwen" in reply.window.cut.key  # a cut by estimates is another one
        stored = [turn.tokens for turn in await chat.turns()]
        facts = await client._store.model_facts()
        await client.close()
        assert facts == []
        other = client_of(tmp_path / "other", "qwen/qwen-plus", server, policy=wanted)
        twin = other.conversation("talk", system="简短回答。")
        for number in range(3):
            await twin.send(f"第 {number} 句：请记住这一句话，谢谢。")
        assert [turn.tokens for turn in await twin.turns()] == stored[:3]
        await other.close()
        shared = client_of(tmp_path, "qwen/qwen-plus", server, policy=wanted)
        assert (await shared.conversation("talk").window("好")).tokens <= 600
        await shared.close()


async def test_exact_counts_without_a_vocabulary_store_nothing(tmp_path: Path) -> None:
    async with simulate("openai") as server:
        config = load({"model": "openai/gpt-4o", "tokenizer": "exact"}, {})
        client = AsyncMultiTurn(
            store=f"sqlite:///{tmp_path / 'chats.db'}", config=config, environment=environment_of(server)
        )
        with pytest.raises(SettingInvalid, match="tokenizers"):
            await client.conversation("talk").send("hello")
        assert await client.conversations(everybody=True) == []
        await client.close()


# ------------------------------------------------------------------------------ ratios and limits


async def test_reported_usage_calibrates_later_windows_and_the_next_program(tmp_path: Path) -> None:
    async with world(tmp_path, policy=policy(4000, None)) as one:
        chat = one.client.conversation("talk")
        scales = [(await chat.send("请记住这一句话。" * 60)).window.limits.scale for _ in range(5)]
        assert scales[0] == 1.15
        assert scales[1] > 1.15  # this model costs more than we count: believed at once, with the margin
        assert scales[-1] == pytest.approx(scales[1] / 1.15 * 1.05, rel=0.05)
        expected = (await chat.window("好")).limits.scale
        await one.client.close()
        again = one.make().conversation("talk")
        assert (await again.window("好")).limits.scale == pytest.approx(expected, abs=0.01)


async def test_an_overflow_teaches_the_limit_once_and_the_turn_goes_on(tmp_path: Path) -> None:
    async with world(
        tmp_path, policy=ContextPolicy(budget=3000, reserve_output=10, summarize=None, recall=None)
    ) as one:
        chat = one.client.conversation("talk")
        for number in range(12):
            await chat.send(f"第 {number} 句：" + "请记住这一句话。" * 24)
        one.simulator.limited("qwen-plus", max_input=1200)
        asked = len(one.simulator.requests)
        reply = await chat.send("还记得吗？")
        assert reply.text
        assert len(one.simulator.requests) == asked + 2
        assert reply.window.tokens <= 1200
        await chat.send("好的")
        assert len(one.simulator.requests) == asked + 3
        await one.client.close()
        later = one.make().conversation("talk")
        await later.send("再见")
        assert len(one.simulator.requests) == asked + 4


async def test_an_overflow_is_answered_once_and_then_told(tmp_path: Path) -> None:
    fault = Fault(400, message="Range of input length should be [1, 1200]")
    async with world(tmp_path, script=Script(faults={13: fault, 14: fault})) as one:
        chat = one.client.conversation("talk", policy=ContextPolicy.full())
        for number in range(12):
            await chat.send(f"第 {number} 句：" + "请记住这一句话。" * 24)
        with pytest.raises(ProviderOverflow):
            await chat.send("还记得吗？")
        assert len(one.simulator.requests) == 14
        assert (await chat.retry()).text
