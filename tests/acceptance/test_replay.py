"""Real dialogues, said again turn by turn: every window is looked at by an independent checker.

``MULTITURN_DATA`` names a file of CrossWOZ dialogues; without it an invented one is used."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.checker import check, rules_for
from tests.simulators import Script, serve

from multiturn import AsyncMultiTurn, ContextPolicy
from multiturn.tokens import count_message

from .world import environment_of

INSTRUCTIONS = "你是北京旅游的客服，回答要简短。"
INVENTED = [
    [
        "你好，我想找一家人均 50 到 100 元的餐馆。",
        "为您推荐莲泽舫素食餐厅，人均 86 元。",
        "它几点开门？",
        "9:30 到 22:00。",
    ],
    [
        "Hi, which sights are free?",
        "童话树屋 and 云峰山.",
        "谢谢 👍",
        "不客气！",
        "酒店呢？",
        "北京世纪金源香山商旅酒店，4.6 分。",
    ]
    * 6,
    ["附近有地铁吗？\n我不会开车。", "有，400 米。"] * 20,
]
POLICIES = [
    ContextPolicy.full(),
    ContextPolicy.last_turns(3),
    ContextPolicy.last_messages(6),
    ContextPolicy(budget=400, summarize=None, recall=None),
    ContextPolicy(budget=300, high=0.8, low=0.4, summarize=None, recall=None),
]


def dialogues() -> list[list[str]]:
    path = os.environ.get("MULTITURN_DATA")
    if not path:
        return INVENTED
    told = orjson.loads(Path(path).read_bytes())
    return [[message["content"] for message in each["messages"]] for each in told]


def calibrated(scale: float, message: dict[str, Any]) -> int:
    """Tokens by the counter in use: what the provider reports moves it."""
    return int(count_message(message) * scale)


def rounds(said: list[str]) -> Iterator[tuple[str, str]]:
    yield from zip(said[::2], said[1::2], strict=False)


@pytest.mark.parametrize("policy", POLICIES, ids=["full", "turns", "messages", "budget", "marks"])
async def test_every_window_of_a_real_dialogue_is_right(policy: ContextPolicy, tmp_path: Path) -> None:
    answers: list[str] = []
    with serve("qwen", Script(lambda _: answers.pop(0))) as simulator:
        store, environment = f"sqlite:///{tmp_path / 'chats.db'}", environment_of(simulator)
        async with AsyncMultiTurn("qwen/qwen-plus", store, policy, environment=environment) as client:
            for number, said in enumerate(dialogues()):
                chat = client.conversation(f"c{number}", system=INSTRUCTIONS)
                history: list[dict[str, Any]] = [{"role": "system", "content": INSTRUCTIONS}]
                for question, answer in rounds(said):
                    answers.append(answer)
                    reply = await chat.send(question)
                    history.append({"role": "user", "content": question})
                    assert reply.text == answer
                    assert simulator.requests[-1].messages == reply.window.messages
                    found = check(
                        history,
                        reply.window.messages,
                        policy=policy,
                        rules=rules_for("qwen/qwen-plus"),
                        count=partial(calibrated, reply.window.limits.scale),
                        budget=reply.window.limits.budget,
                        decisions=reply.window.decisions,
                        standing_cut=True,
                    )
                    assert not found, found
                    history.append({"role": "assistant", "content": answer})
                assert [m.text for m in await chat.history()] == [m["content"] for m in history[1:]]
    assert {request.status for request in simulator.requests} == {200}
