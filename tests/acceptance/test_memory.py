"""A fact that was said long ago: recalled, carried by the summary, or honestly reported as left out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from multiturn import AsyncConversation, AsyncMultiTurn, ContextPolicy, Recall, Summarize
from multiturn.decision import Code

FACT = "你好，我今年 27 岁，住在杭州。"
QUESTION = "你还记得我今年几岁吗？"
TOPICS = ("餐馆", "酒店", "地铁", "景点", "门票", "天气", "航班", "行李", "电影", "音乐")
BOTH_OFF = ContextPolicy(budget=1000, summarize=None, recall=None)
RECALL_ONLY = ContextPolicy(budget=1000, summarize=None, recall=Recall())
SUMMARY_ONLY = ContextPolicy(budget=1000, summarize=Summarize(max_tokens=200), recall=None)

Chat = Callable[[ContextPolicy], AsyncConversation]


@pytest.fixture
async def chat() -> AsyncIterator[Chat]:
    """Conversations with the demo model, which knows nothing but what it was sent."""
    async with AsyncExitStack() as stack:
        clients: list[AsyncMultiTurn] = []

        def make(policy: ContextPolicy) -> AsyncConversation:
            client = AsyncMultiTurn(model="demo", store=":memory:", policy=policy, environment={})
            stack.push_async_callback(client.close)
            clients.append(client)
            return client.conversation("alice")

        yield make


def small_talk(turns: int) -> list[dict[str, Any]]:
    """Turns about other things, each with words of its own."""
    said: list[dict[str, Any]] = []
    for number in range(turns):
        topic = TOPICS[number % len(TOPICS)]
        said.append({"role": "user", "content": f"第 {number} 件事：附近的{topic}怎么样？请说说看。"})
        said.append(
            {"role": "assistant", "content": f"关于{topic}，第 {number} 个回答：很方便，评价也不错。"}
        )
    return said


async def buried(chat: AsyncConversation) -> None:
    await chat.send(FACT)
    await chat.add(small_talk(200))


async def test_recall_finds_a_fact_under_two_hundred_turns(chat: Chat) -> None:
    conversation = chat(RECALL_ONLY)
    await buried(conversation)
    reply = await conversation.send(QUESTION)
    assert "27" in reply.text
    first = next(decision for decision in reply.window.decisions if decision.turn == 1)
    assert first.code is Code.RECALLED
    assert FACT in str(reply.window.messages[-1]["content"])
    assert reply.window.tokens <= 1000


async def test_what_was_recalled_is_sent_again_word_for_word(chat: Chat) -> None:
    conversation = chat(RECALL_ONLY)
    await buried(conversation)
    first = (await conversation.send(QUESTION)).window.messages
    second = (await conversation.send("好的，谢谢你！")).window.messages
    assert first[-1] in second
    history = await conversation.history()
    assert [message.text for message in history if message.role == "user"][-2] == QUESTION


async def test_the_summary_carries_the_fact(chat: Chat) -> None:
    conversation = chat(SUMMARY_ONLY)
    await conversation.send(FACT)
    for line in small_talk(40)[::2]:
        await conversation.send(line["content"])
    reply = await conversation.send(QUESTION)
    assert reply.window.summary is not None
    assert "27" in reply.window.summary.text
    assert "27" in reply.text
    first = next(decision for decision in reply.window.decisions if decision.turn == 1 or decision.index == 0)
    assert first.code is Code.SUMMARISED


async def test_without_both_the_ledger_says_that_it_was_left_out(chat: Chat) -> None:
    conversation = chat(BOTH_OFF)
    await buried(conversation)
    reply = await conversation.send(QUESTION)
    assert "27" not in reply.text
    assert not any("27" in str(message["content"]) for message in reply.window.messages)
    assert reply.window.decisions[0].code is Code.OVER_BUDGET
