"""Who is asked, one after the other? Of routes and keys, over real HTTP with simulated providers."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.simulators import Answer, Call, Fault, Received, Reply, Script, Simulator, simulate

from multiturn import (
    AsyncMultiTurn,
    ContextOverflow,
    ContextPolicy,
    KeyMissing,
    ModelNotFound,
    ProviderFailed,
    RateLimited,
    StreamCut,
    Summarize,
)
from multiturn.catalog import Catalog
from multiturn.conversations import Owner
from multiturn.errors import KeyRefused, ProviderOverloaded, ProviderTimeout, RequestRefused
from multiturn.ledger import Ledger
from multiturn.routing import Attempts, Routing
from multiturn.settings import load

FAST = {"chat-fast": {"targets": ["qwen/qwen-plus", "kimi/kimi-k2.6"]}}
BUSY = Fault(429)
DOWN = Fault(503)


# --------------------------------------------------------------------------------- the order


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def routing(clock: Clock | None = None, *, keys: Any = ("",), **routes: list[str]) -> Routing:
    named = {name: {"targets": targets} for name, targets in routes.items()}
    overrides = {"routes": named, "models": {"qwen/qwen-old": {"status": "retired"}}}
    given = keys if callable(keys) else lambda _: keys
    return Routing(Catalog(overrides), given, now=clock or Clock())


def names(attempts: Attempts) -> list[str]:
    return [candidate.card.name for candidate in attempts.line]


def test_targets_are_asked_in_their_order_and_the_last_one_that_answered_first() -> None:
    it = routing(fast=["qwen/qwen-plus", "kimi/kimi-k2.6"])
    assert names(it.attempts("fast")) == ["qwen/qwen-plus", "kimi/kimi-k2.6"]
    assert names(it.attempts("fast", last="kimi/kimi-k2.6")) == ["kimi/kimi-k2.6", "qwen/qwen-plus"]
    assert names(it.attempts("fast", last="glm/glm-4.7")) == ["qwen/qwen-plus", "kimi/kimi-k2.6"]
    assert it.first("fast", "kimi/kimi-k2.6").name == "kimi/kimi-k2.6"
    assert names(it.attempts("qwen/qwen-plus")) == ["qwen/qwen-plus"]
    assert it.attempts("fast").route == "fast"
    assert it.attempts("qwen/qwen-plus").route is None


def test_a_target_without_a_key_is_passed_over_unless_none_has_one() -> None:
    it = routing(keys=lambda provider: ("",) if provider == "kimi" else (), fast=["qwen/qwen-plus", "kimi/k"])
    assert names(it.attempts("fast")) == ["kimi/k"]
    assert names(routing(keys=(), fast=["qwen/qwen-plus", "kimi/k"]).attempts("fast")) == ["qwen/qwen-plus"]


def test_a_retired_model_goes_on_in_its_route() -> None:
    it = routing(fast=["qwen/qwen-old", "kimi/kimi-k2.6"], gone=["qwen/qwen-old"])
    assert names(it.attempts("fast")) == ["kimi/kimi-k2.6"]
    again = it.attempts("qwen/qwen-old")
    assert (names(again), again.route) == (["kimi/kimi-k2.6"], "fast")
    assert names(it.attempts("gone")) == ["qwen/qwen-old"]
    assert names(routing().attempts("qwen/qwen-old")) == ["qwen/qwen-old"]


def test_what_failed_is_passed_over_and_tried_again_in_time() -> None:
    clock = Clock()
    it = routing(clock, fast=["qwen/qwen-plus", "kimi/kimi-k2.6"])
    for _ in range(3):
        attempts = it.attempts("fast")
        assert names(attempts)[0] == "qwen/qwen-plus"
        attempts.enter()
        assert attempts.failed(ProviderFailed("HTTP 500"))
        assert attempts.tried == [("qwen/qwen-plus", "provider_failed")]
        attempts.answered()
    assert names(it.attempts("fast", last="qwen/qwen-plus")) == ["kimi/kimi-k2.6"]
    clock.now = 5.0
    one, other = it.attempts("fast"), it.attempts("fast")
    assert names(one)[0] == names(other)[0] == "qwen/qwen-plus"
    one.enter()
    assert names(it.attempts("fast")) == ["kimi/kimi-k2.6"]
    one.answered()
    assert names(it.attempts("fast"))[0] == "qwen/qwen-plus"


def test_where_all_have_failed_the_one_that_failed_longest_ago_is_tried() -> None:
    clock = Clock()
    it = routing(clock, fast=["qwen/qwen-plus", "kimi/kimi-k2.6"])
    attempts = it.attempts("fast")
    assert attempts.failed(RateLimited())
    clock.now = 1.0
    assert not attempts.failed(RateLimited())
    assert names(it.attempts("fast")) == ["qwen/qwen-plus"]
    clock.now = 2.0
    it.attempts("fast").failed(RateLimited())
    assert names(it.attempts("fast"))[0] in ("qwen/qwen-plus", "kimi/kimi-k2.6")


def test_a_limit_rests_the_key_as_long_as_it_says() -> None:
    clock = Clock()
    it = routing(clock, keys=("a", "b"))
    attempts = it.attempts("qwen/qwen-plus", seed="s")
    first, second = [candidate.key for candidate in attempts.line]
    assert attempts.elsewhere
    assert attempts.failed(RateLimited(retry_after=30.0))
    assert attempts.current.key == second
    assert attempts.elsewhere == ()
    clock.now = 29.0
    assert [c.key for c in it.attempts("qwen/qwen-plus", seed="s").line] == [second]
    assert [c.key for c in it.attempts("qwen/qwen-max", seed="s").line] == [first, second]
    clock.now = 30.0
    assert [c.key for c in it.attempts("qwen/qwen-plus", seed="s").line] == [first, second]


def test_what_every_key_would_meet_is_not_tried_with_every_key() -> None:
    it = routing(keys=("a", "b"), fast=["qwen/qwen-plus", "kimi/kimi-k2.6"])
    attempts = it.attempts("fast")
    assert names(attempts) == ["qwen/qwen-plus"] * 2 + ["kimi/kimi-k2.6"] * 2
    assert attempts.failed(ProviderTimeout())
    assert names(attempts) == ["kimi/kimi-k2.6"] * 2
    assert not attempts.failed(ProviderTimeout())


def test_of_several_requests_only_one_tries_who_failed_and_the_others_do_not_follow_it() -> None:
    clock = Clock()
    it = routing(clock, fast=["qwen/qwen-plus", "kimi/kimi-k2.6"])
    it.attempts("kimi/kimi-k2.6").failed(RateLimited())
    clock.now = 5.0
    one, other = it.attempts("fast"), it.attempts("fast")
    assert one.failed(RateLimited())  # and tries the other target now
    assert names(it.attempts("fast")) == ["kimi/kimi-k2.6"]  # all rest: what failed longest ago
    assert not other.failed(RateLimited())
    assert other.tried == []


def test_a_request_that_told_nothing_leaves_the_trial_to_the_next() -> None:
    clock = Clock()
    it = routing(clock, fast=["qwen/qwen-plus", "kimi/kimi-k2.6"])
    it.attempts("fast").failed(RateLimited())
    clock.now = 5.0
    one = it.attempts("fast")
    one.enter()
    one.leave()
    other = it.attempts("fast")
    assert names(other)[0] == "qwen/qwen-plus"
    other.enter()
    assert other.pass_over()
    assert names(it.attempts("fast"))[0] == "qwen/qwen-plus"


def test_who_says_what_is_wrong_with_a_request_is_there_again() -> None:
    clock = Clock()
    it = routing(clock, fast=["qwen/qwen-plus", "kimi/kimi-k2.6"])
    it.attempts("fast").failed(RateLimited())
    clock.now = 5.0
    one = it.attempts("fast")
    one.enter()
    assert not one.failed(RequestRefused())
    for _ in range(2):
        it.attempts("fast").enter()
    assert names(it.attempts("fast"))[0] == "qwen/qwen-plus"


def test_a_key_that_is_refused_is_a_mistake_to_be_seen_where_it_is_the_only_one() -> None:
    it = routing(fast=["qwen/qwen-plus", "kimi/kimi-k2.6"])
    for _ in range(3):
        attempts = it.attempts("fast")
        assert names(attempts)[0] == "qwen/qwen-plus"
        assert not attempts.failed(KeyRefused())
    assert routing(keys=("a", "b")).attempts("qwen/qwen-plus").failed(KeyRefused())


def test_what_is_wrong_with_the_request_is_wrong_everywhere() -> None:
    it = routing(fast=["qwen/qwen-plus", "kimi/kimi-k2.6"])
    for _ in range(5):
        attempts = it.attempts("fast")
        assert not attempts.failed(RequestRefused())
    assert names(it.attempts("fast"))[0] == "qwen/qwen-plus"


@given(st.text(), st.sets(st.text(min_size=1, max_size=4), min_size=2, max_size=6), st.data())
def test_a_key_that_goes_moves_only_its_own_conversations(seed: str, keys: set[str], data: Any) -> None:
    def first(keys: set[str]) -> str:
        return routing(keys=sorted(keys)).attempts("qwen/qwen-plus", seed=seed).current.key

    gone = data.draw(st.sampled_from(sorted(keys)))
    if first(keys) != gone:
        assert first(keys - {gone}) == first(keys)
    assert first(keys) == first(keys)


def test_conversations_are_spread_over_the_keys() -> None:
    it = routing(keys=("a", "b", "c"))
    seen = Counter(it.attempts("qwen/qwen-plus", seed=str(n)).current.key for n in range(300))
    assert min(seen.values()) > 60


# -------------------------------------------------------------------------------- over the wire


@asynccontextmanager
async def world(
    qwen: Any = None, kimi: Any = None, *, keys: tuple[str, ...] = (), store: str = ":memory:", **given: Any
) -> AsyncIterator[tuple[AsyncMultiTurn, Simulator, Simulator]]:
    """A client with a route over two providers; the first has more ``keys``."""
    async with simulate("qwen", qwen, more_keys=keys) as one, simulate("kimi", kimi) as other:
        environment = {
            "HOME": "/nowhere",
            "DASHSCOPE_API_KEY": one.key,
            "DASHSCOPE_API_KEYS": ",".join(keys),
            "DASHSCOPE_COMPATIBLE_BASE_URL": one.base_url,
            "MOONSHOT_API_KEY": other.key,
            "MOONSHOT_BASE_URL": other.base_url,
        }
        config = load({"routes": FAST, **given.pop("settings", {})}, environment, Path("/nowhere"))
        model = given.pop("model", "chat-fast")
        async with AsyncMultiTurn(
            model, store=store, config=config, environment=environment, **given
        ) as client:
            yield client, one, other


def key_of(received: Received) -> str:
    return received.headers["authorization"].removeprefix("Bearer ")


@pytest.mark.parametrize("fault", [BUSY, DOWN, Fault(500), Fault(drop=True), Fault(404, kind="model")])
async def test_the_next_target_answers_and_the_step_says_who_was_tried(fault: Fault) -> None:
    async with world(Script(faults={2: fault})) as (client, qwen, kimi):
        chat = client.conversation("c")
        assert (await chat.send("我今年 27 岁。")).model == "qwen/qwen-plus"
        reply = await chat.send("我几岁？")
        assert "27" in reply.text
        assert reply.model == reply.turn.model == "kimi/kimi-k2.6"
        assert (len(qwen.requests), len(kimi.requests)) == (2, 1)
        assert (await chat.send("再说一遍")).model == "kimi/kimi-k2.6"
        (step,) = await client.endpoints.store.steps(Owner(), "c", 2)
        ledger = Ledger.from_json(step.ledger)
        assert (step.model, step.error, ledger.route) == ("kimi/kimi-k2.6", None, "chat-fast")
        assert [model for model, _ in ledger.tried] == ["qwen/qwen-plus"]
        assert "qwen/qwen-plus" in reply.window.explain()
        assert "此前询问未成功" in reply.window.explain("zh")


async def test_a_conversation_stays_with_who_holds_its_cache(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'chats.db'}"
    async with world(Script(faults={1: DOWN}), store=store) as (client, _, _):
        assert (await client.conversation("c").send("你好")).model == "kimi/kimi-k2.6"
        assert (await client.conversation("d").send("你好")).model == "qwen/qwen-plus"
        assert (await client.conversation("c").send("再说")).model == "kimi/kimi-k2.6"
    async with world(store=store) as (client, qwen, kimi):
        chat = client.conversation("c")
        assert (await chat.window("还在吗")).target.model == "kimi/kimi-k2.6"
        assert (await chat.send("还在吗")).model == "kimi/kimi-k2.6"
        assert (len(qwen.requests), len(kimi.requests)) == (0, 1)
        assert (await chat.info()).settings.model == "chat-fast"


async def test_nobody_else_is_asked_once_something_was_said() -> None:
    broken = Script(Answer("I was about to say something", cut="reset", cut_after=3))
    async with world(broken) as (client, qwen, kimi):
        stream = client.conversation("c").stream("你好")
        assert (await anext(stream)).text
        with pytest.raises(StreamCut):
            _ = [delta async for delta in stream]
        assert (len(qwen.requests), len(kimi.requests)) == (1, 0)


async def test_a_stream_that_breaks_before_its_first_word_is_begun_elsewhere() -> None:
    broken = Script(Answer("I was about to say something", cut="reset"))
    async with world(broken, "好") as (client, qwen, kimi):
        async with client.conversation("c").stream("你好") as stream:
            assert [delta.text async for delta in stream if delta.text] == ["好"]
        assert stream.reply.model == stream.window.target.model == "kimi/kimi-k2.6"
        assert (len(qwen.requests), len(kimi.requests)) == (1, 1)


async def test_the_last_one_is_asked_again_and_its_error_is_told() -> None:
    async with world(Script(faults=DOWN), Script(faults=Fault(500))) as (client, qwen, kimi):
        chat = client.conversation("c")
        with pytest.raises(ProviderFailed) as failed:
            await chat.send("你好")
        assert failed.value.final
        assert (len(qwen.requests), len(kimi.requests)) == (1, 3)
        (turn,) = await chat.turns()
        assert (turn.state.name, turn.error, turn.model) == ("FAILED", "provider_failed", "kimi/kimi-k2.6")


async def test_a_provider_that_is_down_is_soon_left_alone() -> None:
    async with world(Script(faults=DOWN)) as (client, qwen, kimi):
        for number in range(8):
            assert (await client.conversation(f"c{number}").send("你好")).model == "kimi/kimi-k2.6"
        assert (len(qwen.requests), len(kimi.requests)) == (3, 8)


def limited(*spent: str) -> Callable[[Received], Reply]:
    def reply(received: Received) -> Reply:
        return BUSY.after(3000) if key_of(received) in spent else "好"

    return reply


async def test_a_limit_of_one_key_rests_it_and_the_next_one_is_used() -> None:
    async with world(limited("sk-simulated"), keys=("sk-b",), model="qwen/qwen-plus") as (client, qwen, kimi):
        for number in range(6):
            assert (await client.conversation(f"c{number}").send("你好")).text == "好"
        assert kimi.requests == []
        used = Counter(key_of(each) for each in qwen.requests)
        assert used["sk-simulated"] == 1  # found out once
        assert used["sk-b"] == 6


async def test_where_every_key_is_spent_the_route_goes_on_elsewhere() -> None:
    async with world(limited("sk-simulated", "sk-b"), keys=("sk-b",)) as (client, qwen, kimi):
        for number in range(3):
            assert (await client.conversation(f"c{number}").send("你好")).model == "kimi/kimi-k2.6"
        assert (len(qwen.requests), len(kimi.requests)) == (2, 3)


async def test_a_conversation_stays_with_its_key() -> None:
    async with world("好", keys=("sk-b", "sk-c"), model="qwen/qwen-plus") as (client, qwen, _):
        for number in range(4):
            for turn in range(3):
                await client.conversation(f"c{number}").send(f"第 {turn} 句")
        used = [key_of(each) for each in qwen.requests]
        assert all(len(set(used[at : at + 3])) == 1 for at in range(0, 12, 3))
        assert len(set(used)) > 1


async def test_a_conversation_with_a_retired_model_goes_on_in_its_route(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'chats.db'}"
    async with world(model="qwen/qwen-plus", store=store) as (client, _, _):
        await client.conversation("c").send("我今年 27 岁。")
    gone = {"models": {"qwen/qwen-plus": {"status": "retired"}}}
    async with world(model="demo", store=store, settings=gone) as (client, qwen, kimi):
        chat = client.conversation("c", model="qwen/qwen-plus")
        reply = await chat.send("我几岁？")
        assert ("27" in reply.text, reply.model, reply.window.route) == (True, "kimi/kimi-k2.6", "chat-fast")
        assert (len(qwen.requests), len(kimi.requests)) == (0, 1)


async def test_a_model_that_its_provider_no_longer_knows_is_left_for_its_route() -> None:
    async with world(Script(faults={2: Fault(404, kind="model")}), model="qwen/qwen-plus") as (
        client,
        qwen,
        _,
    ):
        chat = client.conversation("c")
        assert (await chat.send("我今年 27 岁。")).window.route is None
        reply = await chat.send("我几岁？")
        assert ("27" in reply.text, reply.model, reply.window.route) == (True, "kimi/kimi-k2.6", "chat-fast")
        assert len(qwen.requests) == 2


async def test_there_too_it_stays_with_who_answered_last() -> None:
    routes = {"routes": {"fast": {"targets": ["kimi/kimi-k2.6", "qwen/qwen-flash", "qwen/qwen-plus"]}}}
    gone = Script("好", faults=dict.fromkeys((1, 3), Fault(404, kind="model")))
    down = Script("好", faults={1: DOWN})
    async with world(gone, down, settings=routes, model="qwen/qwen-plus") as (client, qwen, kimi):
        for _ in range(2):
            assert (await client.conversation("c").send("你好")).model == "qwen/qwen-flash"
        assert (len(qwen.requests), len(kimi.requests)) == (4, 1)


async def test_without_a_route_it_is_an_error_as_before() -> None:
    async with world(Script(faults=Fault(404, kind="model")), model="qwen/qwen-max") as (client, _, kimi):
        with pytest.raises(ModelNotFound):
            await client.conversation("c").send("你好")
        assert kimi.requests == []


async def test_the_window_is_built_anew_for_who_is_asked_next() -> None:
    tools = [{"type": "function", "function": {"name": "stock", "parameters": {"type": "object"}}}]
    asks = [Answer(calls=[Call("stock", {"item": "phone"})]), DOWN]
    small = {"models": {"kimi/kimi-k2.6": {"window": 3000, "max_input": 3000}}}
    policy = ContextPolicy(reserve_output=500, summarize=None, recall=None)
    async with world(asks, "有货", settings=small, policy=policy) as (client, qwen, kimi):
        chat = client.conversation("c", system="你是店员。")
        await chat.add([{"role": "user", "content": "旧" * 9000}, {"role": "assistant", "content": "好。"}])
        reply = await chat.send("还有货吗？", tools=tools)
        (call,) = reply.tool_calls
        reply = await chat.send(tool_results={call.id: "3"})
        assert (reply.text, reply.model) == ("有货", "kimi/kimi-k2.6")
        assert len(qwen.requests[-1].raw) > 3000
        (received,) = kimi.requests
        assert "旧旧" not in received.raw.decode()
        assert [message["role"] for message in received.messages] == ["system", "user", "assistant", "tool"]


async def test_who_cannot_be_sent_the_conversation_is_passed_over() -> None:
    small = {"models": {"kimi/kimi-k2.6": {"window": 600, "max_input": 600}}}
    async with world(Script(faults=DOWN), settings=small) as (client, qwen, kimi):
        with pytest.raises(Exception, match="overloaded"):
            await client.conversation("c").send("旧" * 2000)
        assert (len(qwen.requests), len(kimi.requests)) == (1, 0)


async def test_who_comes_behind_it_is_asked_instead() -> None:
    routes = {"routes": {"chat-fast": {"targets": ["qwen/qwen-plus", "kimi/kimi-k2.6", "qwen/qwen-flash"]}}}
    small = routes | {"models": {"kimi/kimi-k2.6": {"window": 600, "max_input": 600}}}
    async with world(Script(faults={1: DOWN}), settings=small) as (client, qwen, kimi):
        assert (await client.conversation("c").send("旧" * 2000)).model == "qwen/qwen-flash"
        assert (len(qwen.requests), len(kimi.requests)) == (2, 0)


async def test_a_target_whose_address_is_not_set_is_passed_over() -> None:
    routes = {"routes": {"chat-fast": {"targets": ["qwen/qwen-plus", "compatible/x", "kimi/kimi-k2.6"]}}}
    async with world(Script(faults=DOWN), settings=routes) as (client, _, _):
        assert (await client.conversation("c").send("你好")).model == "kimi/kimi-k2.6"


async def test_a_picture_is_not_sent_to_who_cannot_see_it() -> None:
    blind: dict[str, Any] = {"models": {"kimi/kimi-k2.6": {"media": []}}}
    routes = {"routes": {"chat-fast": {"targets": ["qwen/qwen3-vl-plus", "kimi/kimi-k2.6"]}}}
    async with world(Script(faults=DOWN), settings=blind | routes) as (client, qwen, kimi):
        picture = {"type": "image_url", "image_url": {"url": "https://host/cat.png"}}
        with pytest.raises(ProviderOverloaded):
            await client.conversation("c").send([{"type": "text", "text": "什么？"}, picture])
        assert (len(qwen.requests), len(kimi.requests)) == (1, 0)


async def test_each_target_may_turn_out_to_take_less() -> None:
    overflow = Fault(400, kind="overflow")
    policy = ContextPolicy(summarize=None, recall=None)
    told = Script(faults={1: overflow, 2: DOWN}), Script("好", faults={1: overflow})
    async with world(*told, policy=policy) as (client, qwen, kimi):
        chat = client.conversation("c")
        for _ in range(8):
            await chat.add(
                [{"role": "user", "content": "旧" * 500}, {"role": "assistant", "content": "好。"}]
            )
        assert (await chat.send("还在吗")).text == "好"
        assert (len(qwen.requests), len(kimi.requests)) == (2, 2)
        assert len(kimi.requests[1].raw) < len(kimi.requests[0].raw)


class Rested:
    """A client whose first target has failed, and may be tried again."""

    def __init__(self, client: AsyncMultiTurn) -> None:
        self.clock = Clock()
        self.routing = client.endpoints.routing
        self.routing.now = self.clock
        self.fail()
        self.clock.now = 5.0

    def fail(self) -> None:
        circuit = ("qwen/qwen-plus", "")
        self.routing.breaker.enter(circuit, self.clock.now)
        self.routing.breaker.fail(circuit, self.clock.now, at_once=True)


async def reached(simulator: Simulator) -> None:
    """Wait until somebody asks."""
    while not simulator.requests:  # noqa: ASYNC110  (the simulator has no event for that)
        await asyncio.sleep(0.01)


async def test_only_one_conversation_tries_who_has_failed() -> None:
    enough = threading.Event()
    async with world(Answer("好", stall=enough)) as (client, qwen, kimi):
        Rested(client)
        turns = asyncio.gather(*(client.conversation(f"c{n}").send("你好") for n in range(4)))
        while len(qwen.requests) + len(kimi.requests) < 4:  # noqa: ASYNC110  (as above)
            await asyncio.sleep(0.01)
        enough.set()
        replies = await turns
        assert sorted(reply.model for reply in replies).count("qwen/qwen-plus") == 1
        assert (len(qwen.requests), len(kimi.requests)) == (1, 3)
        assert (await client.conversation("d").send("你好")).model == "qwen/qwen-plus"


async def test_who_is_cancelled_while_trying_leaves_the_trial_to_the_next() -> None:
    never = Answer("好", stall=threading.Event())
    async with world([never, "好"]) as (client, qwen, _):
        Rested(client)
        turn = asyncio.create_task(client.conversation("c").send("你好"))
        await reached(qwen)
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn
        assert (await client.conversation("d").send("你好")).model == "qwen/qwen-plus"


async def test_a_turn_that_cannot_be_built_leaves_the_trial_to_the_next() -> None:
    async with world(Script("好", faults={1: Fault(400)})) as (client, _, _):
        chat = client.conversation("c")
        with pytest.raises(RequestRefused):
            await chat.send("旧" * 2000)
        Rested(client)
        with pytest.raises(ContextOverflow):
            await client.conversation("c", policy=ContextPolicy(budget=100, reserve_output=50)).retry()
        assert (await client.conversation("d").send("你好")).model == "qwen/qwen-plus"


async def test_what_happened_while_a_turn_waited_counts() -> None:
    async with world("好") as (client, _, _):
        rested, chat = Rested(client), client.conversation("c")
        assert (await chat.send("你好")).model == "qwen/qwen-plus"
        async with chat.prepare("等一下"):
            turn = asyncio.create_task(chat.send("再说"))
            await asyncio.sleep(0.05)
            rested.fail()
        assert (await turn).model == "kimi/kimi-k2.6"


async def test_a_dry_run_shows_who_would_be_asked() -> None:
    async with world("好") as (client, _, _):
        chat = client.conversation("c")
        await chat.send("你好")
        assert (await chat.window("还在吗")).target.model == "qwen/qwen-plus"
        Rested(client).fail()
        assert (await chat.window("还在吗")).target.model == "kimi/kimi-k2.6"


async def test_the_summary_is_written_by_who_holds_the_conversation() -> None:
    words = "The user counts days, and every day is like the one before it."
    policy = ContextPolicy(budget=1000, summarize=Summarize(max_tokens=100))
    async with world(Script(faults={1: DOWN}), words, policy=policy) as (client, qwen, _):
        chat = client.conversation("c")
        for day in range(12):
            await chat.send(f"Day {day}: " + "the weather is fine and nothing much has happened. " * 5)
        assert client._compactor is not None
        await client._compactor.drain()
        assert len(qwen.requests) == 1
        summary = await chat.summary()
        assert summary is not None
        assert summary.model == "kimi/kimi-k2.6"


async def test_a_stored_reply_names_who_gave_it(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'chats.db'}"
    async with world("好", store=store) as (client, _, _):
        await client.conversation("c").send("你好", key="m-1")
    gone = {"models": {"qwen/qwen-plus": {"status": "retired"}}}
    async with world(store=store, settings=gone) as (client, qwen, kimi):
        reply = await client.conversation("c").send("你好", key="m-1")
        assert reply.model == reply.window.target.model == "qwen/qwen-plus"
        assert reply.window.route == "chat-fast"
        assert (qwen.requests, kimi.requests) == ([], [])


async def test_targets_without_a_key_are_no_targets() -> None:
    async with simulate("kimi") as kimi:
        environment = {"HOME": "/nowhere", "MOONSHOT_API_KEY": kimi.key, "MOONSHOT_BASE_URL": kimi.base_url}
        config = load({"routes": FAST}, environment, Path("/nowhere"))
        async with AsyncMultiTurn("chat-fast", ":memory:", config=config, environment=environment) as client:
            assert (await client.conversation().send("你好")).model == "kimi/kimi-k2.6"
        async with AsyncMultiTurn(
            "chat-fast", ":memory:", config=config, environment={"HOME": "/nowhere"}
        ) as client:
            with pytest.raises(KeyMissing, match="DASHSCOPE_API_KEY"):
                await client.conversation().send("你好")
            assert await client.conversations() == []


async def test_repetitions_towards_all_providers_share_one_budget() -> None:
    async with world(Script(faults=DOWN), Script(faults=DOWN), model="demo") as (client, qwen, kimi):
        for model in ("qwen/qwen-max", "kimi/kimi-k2.6", "qwen/qwen-flash"):
            with pytest.raises(Exception, match="overloaded"):
                await client.conversation(model=model).send("你好")
        assert len(qwen.requests) + len(kimi.requests) == 3 + 3
