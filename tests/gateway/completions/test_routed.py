"""Is somebody else asked as long as nothing was sent, and is what happened told to the circuits?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from tests.gateway.serving import gate
from tests.simulators import serve

from multiturn.catalog import Card, Catalog
from multiturn.errors import RateLimited, RequestRefused
from multiturn.gateway.app import CHAT
from multiturn.gateway.completions.routed import one_after_another
from multiturn.gateway.dashscope.generation import TEXT
from multiturn.gateway.http.sse import Beside
from multiturn.routing import Routing


class Stage:
    """Two targets, of which those in ``failing`` complain."""

    def __init__(self) -> None:
        self.now = 0.0
        catalog = Catalog({"routes": {"fast": {"targets": ["qwen/qwen-plus", "kimi/kimi-k2.6"]}}})
        self.routing = Routing(catalog, lambda _: ("",), now=lambda: self.now)
        self.failing: dict[str, BaseException] = {}
        self.asked: list[str] = []
        self.told: list[Mapping[str, str]] = []

    async def ask(self, card: Card, key: str, beside: Beside) -> None:
        self.asked.append(card.name)
        if card.name in self.failing:
            raise self.failing[card.name]
        self.told.append(beside())

    async def run(self) -> list[str]:
        self.asked.clear()
        await one_after_another(self.routing.attempts("fast"), self.ask, lambda: {"x-more": "1"})
        return list(self.asked)


async def test_the_next_one_is_asked_and_the_headers_name_who_answered() -> None:
    stage = Stage()
    stage.failing = {"qwen/qwen-plus": RateLimited(retry_after=7.0)}
    assert await stage.run() == ["qwen/qwen-plus", "kimi/kimi-k2.6"]
    named = {"x-multiturn-route": "fast", "x-multiturn-model": "kimi/kimi-k2.6"}
    assert stage.told == [{"x-more": "1", **named}]
    stage.now = 6.9
    assert await stage.run() == ["kimi/kimi-k2.6"]
    stage.now, stage.failing = 7.0, {}
    assert await stage.run() == ["qwen/qwen-plus"]
    assert await stage.run() == ["qwen/qwen-plus"]


async def test_while_one_tries_the_others_go_elsewhere_and_who_leaves_gives_the_trial_back() -> None:
    stage = Stage()
    stage.failing = {"qwen/qwen-plus": RateLimited()}
    await stage.run()
    stage.now, stage.failing = 5.0, {"qwen/qwen-plus": asyncio.CancelledError()}
    held = stage.routing.attempts("fast")
    held.enter()
    assert await stage.run() == ["kimi/kimi-k2.6"]
    held.leave()
    with pytest.raises(asyncio.CancelledError):
        await stage.run()
    stage.failing = {}
    assert await stage.run() == ["qwen/qwen-plus"]


async def test_only_one_of_two_at_once_tries() -> None:
    stage = Stage()
    stage.failing = {"qwen/qwen-plus": RateLimited()}
    await stage.run()
    stage.now, stage.failing = 5.0, {}
    both: list[list[str]] = []

    async def ask(card: Card, key: str, beside: Beside) -> None:
        both.append([stage.routing.attempts("fast").current.card.name, card.name])
        beside()

    await one_after_another(stage.routing.attempts("fast"), ask)
    assert both == [["kimi/kimi-k2.6", "qwen/qwen-plus"]]


async def test_what_the_client_did_wrong_is_raised_at_once() -> None:
    stage = Stage()
    stage.failing = {"qwen/qwen-plus": RequestRefused("HTTP 400")}
    with pytest.raises(RequestRefused):
        await stage.run()
    assert stage.asked == ["qwen/qwen-plus"]


KEYS = ("sk-1", "sk-2", "sk-3")


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


@pytest.mark.parametrize("path", [CHAT, TEXT], ids=["chat completions", "native"])
def test_the_requests_of_one_dialogue_go_to_one_key(path: str) -> None:
    with serve("qwen", "ok", more_keys=KEYS) as sim:
        with gate(sim, variables={"DASHSCOPE_API_KEYS": ",".join(KEYS)}) as one:
            used: list[set[str]] = []
            for number in range(6):
                head = [{"role": "system", "content": "Be brief."}, user(f"question {number}")]
                for said in (head, [*head, {"role": "assistant", "content": "ok"}, user("more")]):
                    more = {"messages": said} if path == CHAT else {"input": {"messages": said}}
                    assert one.post({"model": "qwen/qwen-plus", **more}, path)[0] == 200
                used.append({each.headers["authorization"] for each in sim.requests[-2:]})
    assert [len(each) for each in used] == [1] * 6
    assert len(set.union(*used)) > 1


@pytest.mark.parametrize("messages", [None, 7, ["a"], []])
def test_what_are_no_messages_has_a_key_too_and_is_refused(messages: object) -> None:
    with serve("qwen", "ok", more_keys=KEYS) as sim:
        with gate(sim, variables={"DASHSCOPE_API_KEYS": ",".join(KEYS)}) as one:
            assert one.post({"model": "qwen/qwen-plus", "messages": messages})[0] == 400
