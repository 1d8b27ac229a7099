"""How much of each request does the provider's prompt cache hold already, and how full is the window?

A chat of 150 turns: instructions of 200 tokens, about 92 tokens a turn, a budget of 2,000, all by the
counter in use. Over the second half: the tokens of leading messages that the request before had, too, by
all tokens sent; and the tokens sent by the budget. A cut at a low-water mark is compared with a window
that slides, and with the default policy, whose summary and recall have a price: their tokens, and what
they take from the repeated prefix. Every fifth turn of the second half asks for something told long ago.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

from multiturn import AsyncMultiTurn, ContextPolicy, Recall, Summarize, Window
from multiturn.providers.scripted import ScriptedProvider
from multiturn.tokens import count_message, count_text

from .corpus import invented
from .figures import Figure
from .scale import Scale

__all__ = ["POLICIES", "Sent", "prefixes"]

BUDGET = 2_000
TURNS = 150
SUMMARY = 400
"""Tokens of a summary."""
HEAD, TURN = 170, 80
"""Tokens before the margin of 1.15: 200 and 92 with it."""
WANTED, FULL = 0.88, 0.75
"""The least share of repeated tokens, and the least mean fill. The arithmetic limit is 0.883 at 0.756."""
POLICIES = {
    "low-water mark": ContextPolicy(budget=BUDGET, high=1.0, low=0.55, summarize=None, recall=None),
    "sliding": ContextPolicy(budget=BUDGET, high=1.0, low=1.0, summarize=None, recall=None),
    "default, no recall": ContextPolicy(budget=BUDGET, recall=None),
    "default, no summary": ContextPolicy(budget=BUDGET, summarize=None),
    "default": ContextPolicy(budget=BUDGET, summarize=Summarize(), recall=Recall()),
}


@dataclass
class Sent:
    """What was sent: the lists of messages in turn, and what they were counted to cost."""

    requests: list[list[dict[str, Any]]] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    quoted: int = 0
    """Tokens of old turns that were quoted, sent again with their turns or not."""
    asked: int = 0
    """Tokens of the requests for summaries, with their answers."""

    def add(self, window: Window) -> None:
        self.requests.append(window.messages)
        self.tokens.append(window.tokens)
        self.quoted += window.recalled.tokens if window.recalled else 0

    @property
    def half(self) -> range:
        """The second half of the requests."""
        return range(len(self.requests) // 2, len(self.requests))

    @property
    def repeated(self) -> float:
        """The share of tokens that repeat the beginning of the request before."""
        again = sum(_common(self.requests[at - 1], self.requests[at]) for at in self.half)
        return again / sum(_count(self.requests[at]) for at in self.half)

    @property
    def fill(self) -> float:
        """How full the budget was on average."""
        return sum(self.tokens[at] for at in self.half) / len(self.half) / BUDGET

    @property
    def anew(self) -> float:
        """Tokens of a request that no cache can hold, on average."""
        whole = sum(_count(self.requests[at]) for at in self.half)
        return whole * (1 - self.repeated) / len(self.half)


def _count(messages: Sequence[dict[str, Any]]) -> int:
    return sum(map(count_message, messages))


def _common(before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> int:
    same = 0
    for one, other in zip(before, after, strict=False):
        if one != other:
            break
        same += count_message(one)
    return same


def _of(tokens: int, words: str) -> str:
    """The beginning of ``words`` that has about so many tokens."""
    end = len(words)
    while count_text(words[:end]) > tokens:
        end -= 1
    return words[:end]


def _turns() -> tuple[str, list[tuple[str, str]]]:
    """Instructions and turns of the length that is measured."""
    told = iter([message["content"] for message in invented(40 * TURNS)])

    def words(tokens: int, text: str = "") -> str:
        while count_text(text) < tokens:
            text += next(told) + "。"
        return _of(tokens, text)

    each = TURN // 2 - 4
    return words(HEAD - 4), [(words(each, _said(turn)), words(each)) for turn in range(TURNS)]


def _said(turn: int) -> str:
    """Every fifth turn tells something, and one in the second half asks for what was told 57 turns ago."""
    if turn % 5 == 0:
        return f"记一下：{turn} 号储物柜的密码是 {turn * 37}。"
    if turn % 5 == 2 and turn > TURNS // 2:
        return f"之前说过的 {turn - 57} 号储物柜，密码是多少？"
    return ""


async def chatted(policy: ContextPolicy, turns: int = TURNS) -> Sent:
    """What a chat under this policy sends."""
    system, said = _turns()
    sent = Sent()
    provider = ScriptedProvider([answer for _, answer in said], summaries=repeat(_of(SUMMARY, system * 3)))
    async with AsyncMultiTurn(
        "qwen/qwen-plus", ":memory:", policy, provider=provider, environment={}
    ) as client:
        chat = client.conversation("c", system=system)
        for question, _ in said[:turns]:
            sent.add((await chat.send(question)).window)
    for request in provider.summary_requests:
        sent.asked += _count(json.loads(request.body)) + SUMMARY
    return sent


async def prefixes(folder: Path, messages: Callable[[int], object], scale: Scale) -> list[Figure]:
    """The share of repeated tokens and the fill, under each policy."""
    del folder, messages
    turns = min(TURNS, scale.turns)
    figures: list[Figure] = []
    for name, policy in POLICIES.items():
        sent = await chatted(policy, turns)
        judged = name == "low-water mark"
        for what, share, least in (("repeated ÷ sent", sent.repeated, WANTED), ("fill", sent.fill, FULL)):
            figures.append(
                Figure(
                    f"prefix: {what}",
                    f"{turns} turns, {name}",
                    "count",
                    "%",
                    share * 100,
                    "wanted" if judged else "",
                    least * 100 if judged else None,
                    least / share if judged and share else None,
                    1.0 if judged else None,
                )
            )
        costs = {"sent anew": sent.anew, "quoted": sent.quoted / turns, "for summaries": sent.asked / turns}
        figures += [
            Figure(f"prefix: {what}", f"{turns} turns, {name}", "count", "tokens a turn", cost)
            for what, cost in costs.items()
            if cost or what == "sent anew"
        ]
    return figures
