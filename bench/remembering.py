"""What does a window with a summary and quoted old turns cost, however long the conversation is?

The default policy with a budget of 8,000 tokens, in a conversation whose oldest turns are folded and
whose newest quote older ones. ``await chat.window()`` builds it without a search; with a question it
searches, too, and what ``await chat.recall(question)`` takes stands beside it.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from multiturn import AsyncConversation, AsyncMultiTurn, ContextPolicy, Delta, Usage

from .corpus import SYSTEM, Message
from .figures import Figure
from .recalling import timed
from .rounds import CLOCKS, Clock, Times
from .scale import Scale
from .stands import MODEL, NAME

__all__ = ["remembering"]

BATCH = 20_000
BUDGET = 8_000
SENT = 12
"""Turns that are sent, so that summaries are written and old turns quoted."""
FACT: Message = {"role": "user", "content": "我的护照号码是 X1234567，明年九月到期。"}
NOTED: Message = {"role": "assistant", "content": "好的，护照号码记下了。"}
QUESTION = "之前说过的护照号码是什么？（第 {number} 次问）"
ANSWER = "有的，黑色的还有三台。Shall I keep one for you until tomorrow evening?"
MOST = 10.0
"""Milliseconds in the middle, in the longest conversation, without the search."""
PATIENCE = 600


class Writer:
    """A provider that answers, and writes summaries, at once."""

    name = "writer"

    async def stream(self, request: object) -> AsyncIterator[Delta]:
        """The same words, whatever is asked."""
        del request
        yield Delta(text=ANSWER, finish_reason="stop", usage=Usage(input=30_000, output=20, estimated=True))

    async def close(self) -> None:
        """Nothing is open."""


async def remembering(
    folder: Path, messages: Callable[[int], Sequence[Message]], scale: Scale
) -> list[Figure]:
    """Windows with memory in conversations of different lengths."""
    figures: list[Figure] = []
    for size in scale.sizes[1:]:
        told = messages(size)
        store = f"sqlite:///{folder / f'remember-{size}.db'}"
        environment = {"HOME": str(folder)}
        async with AsyncMultiTurn(
            MODEL, store, ContextPolicy(budget=BUDGET), provider=Writer(), environment=environment
        ) as client:
            chat = client.conversation(NAME, system=SYSTEM)
            await chat.add([FACT, NOTED])
            for first in range(0, size, BATCH):
                await chat.add(told[first : first + BATCH])
            for number in range(SENT):
                await chat.send(QUESTION.format(number=number))
            await _summarised(chat)
            figures += await _windows(chat, size, scale)
    return figures


async def _summarised(chat: AsyncConversation) -> None:
    for _ in range(PATIENCE):
        if await chat.summary() is not None:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("no summary was written")


async def _windows(chat: AsyncConversation, size: int, scale: Scale) -> list[Figure]:
    built, whole, searched = Times(), Times(), Times()
    for number in range(scale.rounds):
        question = QUESTION.format(number=SENT + number)
        with timed(built):
            window = await chat.window()
        with timed(whole):
            await chat.window(question)
        with timed(searched):
            await chat.recall(question)
    if window.summary is None or not any("~~~" in str(m["content"]) for m in window.messages[2:]):
        raise AssertionError("the window holds no summary, or quotes nothing")
    figures: list[Figure] = []
    for clock in CLOCKS:
        figures += _figures(size, clock, built, whole, searched, judged=size == scale.longest)
    return figures


def _figures(
    size: int, clock: Clock, built: Times, whole: Times, searched: Times, *, judged: bool
) -> list[Figure]:
    data = f"{size:,} messages"
    middle = statistics.median(built.by(clock)) * 1e3
    with_search = statistics.median(whole.by(clock)) * 1e3
    search = statistics.median(searched.by(clock)) * 1e3
    goal = (MOST, middle / MOST, 1.0) if judged else (None, None, None)
    return [
        Figure(
            "window with summary and quotations, p50",
            data,
            clock,
            "ms",
            middle,
            "limit" if judged else "",
            *goal,
        ),
        Figure("the same with a search, p50", data, clock, "ms", with_search, "search alone", search),
    ]
