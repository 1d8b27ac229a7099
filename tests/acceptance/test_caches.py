"""The prompt caches of the simulated providers: what is predicted before a request is what they report
after it, through cuts, restarts and changes; every miss has its cause."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from tests.simulators import Clock, Received, simulate

from multiturn import AsyncMultiTurn, ContextPolicy, Reply

SENDS = ContextPolicy(budget=3_000, high=1.0, low=0.55, summarize=None, recall=None)
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
HEAD = "你是手机商店的店员，说话客气，不知道的事不乱说。" * 14


def chatter(seed: int = 3) -> Callable[[], str]:
    dice = random.Random(seed)
    return lambda: "".join(chr(0x4E00 + dice.randrange(3_000)) for _ in range(60))


def client(model: str, key: str, url: str, store: str = ":memory:") -> AsyncMultiTurn:
    return AsyncMultiTurn(model, store, SENDS, api_key=key, base_url=url, environment={})


def told(reply: Reply) -> tuple[int | None, int | None, str | None]:
    """Predicted tokens, reported tokens, and why not more."""
    assert reply.usage
    assert reply.window.forecast
    return reply.window.cached_prefix, reply.usage.cached, reply.window.forecast.miss


@pytest.mark.parametrize(
    ("model", "off"),
    [
        ("stepfun/step-3.7-flash", 0),
        ("qwen/qwen-plus", 0),
        ("dashscope/qwen-plus", 0),
        ("openai/gpt-4o", 0),
        ("openai/gpt-5.6", 0),
        ("deepseek/deepseek-chat", 1),  # the token that ends a reply is not reported with it
    ],
)
async def test_what_is_predicted_is_what_is_reported(model: str, off: int, tmp_path: Path) -> None:
    words = chatter()
    store = f"sqlite:///{tmp_path / 'chats.db'}"
    async with simulate(model.partition("/")[0], lambda _: words()) as simulator:
        cuts, hits = 0, 0
        for _ in range(3):  # a fresh client knows what the last one sent
            async with client(model, simulator.key, simulator.base_url, store) as door:
                chat = door.conversation("c", system=HEAD)
                for _ in range(11):
                    predicted, reported, miss = told(await chat.send(words()))
                    assert predicted is not None
                    assert reported is not None
                    if miss == "context_compacted":
                        cuts += 1
                        assert reported >= predicted * 0.9
                        assert reported - predicted < 120
                    else:
                        assert miss is None
                        assert reported - predicted in (0, off)
                        hits += reported > 0
        assert cuts >= 1
        assert hits >= 20


async def test_unknown_rules_predict_nothing_and_name_the_cause_all_the_same() -> None:
    async with simulate("kimi") as simulator:
        async with client("kimi/kimi-k2.6", simulator.key, simulator.base_url) as door:
            chat = door.conversation("c", system=HEAD)
            await chat.send("你好")
            assert told(await chat.send("还有货吗？"))[0] is None
            changed = door.conversation("c", system=HEAD + "现在是中午。")
            reply = await changed.send("几点开门？")
            assert told(reply)[::2] == (None, "input_changed")


async def test_every_change_is_a_named_miss() -> None:
    async with simulate("stepfun") as simulator:
        async with client("stepfun/step-3.7-flash", simulator.key, simulator.base_url) as door:
            chat = door.conversation("c", system=HEAD)
            assert told(await chat.send("你好"))[2] is None
            assert told(await chat.send("还有货吗？", tools=TOOLS)) == (0, 0, "tools_changed")
            hit = await chat.send("有黑色的吗？", tools=TOOLS)
            assert hit.window.forecast
            assert hit.window.forecast.miss is None
            other = door.conversation("c", model="stepfun/step-3.5-flash")
            assert told(await other.send("多少钱？", tools=TOOLS))[2] == "model_changed"


async def test_a_report_below_the_forecast_is_kept_with_the_step() -> None:
    async with simulate("stepfun") as simulator:
        async with client("stepfun/step-3.7-flash", simulator.key, simulator.base_url) as door:
            chat = door.conversation("c", system=HEAD)
            await chat.send("你好", key="one")
            simulator.cache = simulator.make_cache()  # type: ignore[attr-defined]  # it was restarted
            reply = await chat.send("还有货吗？", key="two")
            stored = await chat.send("还有货吗？", key="two")
    predicted = reply.window.cached_prefix
    assert predicted
    told = stored.window.explain()
    assert f"nothing was read from it, {predicted} tokens predicted" in told
    assert "the provider has forgotten it" in told
    assert "没有命中" in stored.window.explain("zh")


async def test_markers_are_sent_when_they_pay_and_save_what_was_predicted() -> None:
    words, clock = chatter(), Clock()
    async with simulate("qwen", lambda _: words(), clock=clock) as simulator:
        simulator.cache = Forgetful()  # type: ignore[attr-defined]  # the automatic cache is best effort
        async with client("qwen/qwen-plus", simulator.key, simulator.base_url) as door:
            chat = door.conversation("c", system=HEAD)
            replies = [await chat.send(words()) for _ in range(20)]
    marked = [reply for reply in replies if reply.window.markers]
    assert len(marked) >= 8
    for reply in marked:
        predicted, reported, _ = told(reply)
        assert predicted == reported
    assert marked[-1].usage
    assert marked[-1].usage.cached
    plain = simulator.requests[0].body["messages"]
    assert all(isinstance(message["content"], str) for message in plain)
    last = simulator.requests[-1].body["messages"]
    assert [type(message["content"]) for message in last].count(list) == len(marked[-1].window.markers)
    assert last[-1]["content"][-1]["cache_control"] == {"type": "ephemeral"}
    assert replies[-1].cost
    assert replies[-1].cost.amount < Decimal("0.0004")


class Forgetful:
    """An automatic cache that holds nothing."""

    def look(self, tokens: object) -> int:
        del tokens
        return 0

    def keep(self, tokens: object, reply: object) -> None:
        del tokens, reply


@pytest.mark.parametrize(("provider", "model"), [("kimi", "kimi/kimi-k2.6"), ("openai", "openai/gpt-4o")])
async def test_one_conversation_has_one_cache_key(provider: str, model: str) -> None:
    def keys(simulator: object) -> list[object]:
        requests: list[Received] = simulator.requests  # type: ignore[attr-defined]  # every simulator has them
        return [request.body.get("prompt_cache_key") for request in requests]

    async with simulate(provider) as simulator:
        async with client(model, simulator.key, simulator.base_url) as door:
            one, other = door.conversation("one"), door.conversation("other")
            await one.send("你好")
            await one.send("再说一次")
            await other.send("你好")
            await one.send("用我的", params={"prompt_cache_key": "mine"})
            first, second, third, own = keys(simulator)
    assert first == second
    assert len({first, third}) == 2
    assert own == "mine"
    assert first


async def test_no_key_where_nobody_asks_for_one() -> None:
    async with simulate("stepfun") as simulator:
        async with client("stepfun/step-3.7-flash", simulator.key, simulator.base_url) as door:
            await door.conversation("c").send("你好")
        assert "prompt_cache_key" not in simulator.requests[0].body


async def test_what_stands_before_material_for_one_step_is_still_found() -> None:
    words = chatter()
    async with simulate("stepfun", lambda _: words()) as simulator:
        async with client("stepfun/step-3.7-flash", simulator.key, simulator.base_url) as door:
            chat = door.conversation("c", system=HEAD)
            for _ in range(6):
                await chat.send(words())
            await chat.send(words(), context=["现在是中午。" * 10])
            reply = await chat.send(words())
    predicted, reported, miss = told(reply)
    assert predicted
    assert reported
    assert miss == "input_changed"
    assert predicted > 900
    assert abs(predicted - reported) < reported * 0.1
