"""Do summaries come beside the turns, whatever becomes of them, and is nothing ever lost by one?"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import chain, count, repeat
from pathlib import Path
from typing import Any

import orjson
import pytest
from bench.corpus import invented
from tests.simulators import Answer, Fault, Received, simulate

from multiturn import (
    AsyncConversation,
    AsyncMultiTurn,
    ContextPolicy,
    ConversationError,
    ConversationNotFound,
    Delta,
    ModelUnknown,
    MultiTurn,
    ParameterInvalid,
    RateLimited,
    Summarize,
    Usage,
)
from multiturn.conversations import Owner
from multiturn.decision import Code
from multiturn.prompts import Asked, read
from multiturn.providers import Retry
from multiturn.providers.scripted import Line, ScriptedProvider
from multiturn.storage import Due
from multiturn.summary import compaction
from multiturn.summary.compaction import Compactor, compact, pause
from multiturn.summary.summariser import Flaw
from multiturn.window import Request, Window

POLICY = ContextPolicy(budget=1000, recall=None)
ALICE = Owner("", "")
FILLER = (
    "I watered the tomatoes, weeded the beds, swept the path, cut the hedge, fed the birds, cleaned up, and"
    " then sat down in the shade with a cup of tea."
)
SUMMARY = "The user works in a garden."


def numbered() -> Iterable[str]:
    """Summaries that say which they are."""
    return (f"Summary {number}: the user works in a garden." for number in count(1))


class Clerk(ScriptedProvider):
    """Says the same to every turn, and what it is told to the requests for summaries; those wait at a gate
    that a test may close. ``busiest`` is how many it wrote at once."""

    def __init__(self, summaries: Iterable[Line]) -> None:
        super().__init__(repeat("Noted."), summaries=summaries)
        self.asked, self.gate = asyncio.Event(), asyncio.Event()
        self.gate.set()
        self.running = self.busiest = 0

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        if read(orjson.loads(request.body)) is None:
            async for delta in super().stream(request):
                yield delta
            return
        self.running += 1
        self.busiest = max(self.busiest, self.running)
        self.asked.set()
        try:
            await asyncio.sleep(0)
            await self.gate.wait()
            async for delta in super().stream(request):
                yield delta
        finally:
            self.running -= 1


class World:
    """A client with a clerk for its model."""

    def __init__(self, summaries: Iterable[Line] = (), **given: Any) -> None:
        self.provider = Clerk(summaries)
        arguments = {
            "model": "qwen/qwen-plus",
            "store": ":memory:",
            "policy": POLICY,
            "environment": {},
            **given,
        }
        self.client = AsyncMultiTurn(**arguments, provider=self.provider)
        self.chat = self.client.conversation("c")
        self.said = 0

    @property
    def asked(self) -> list[Asked]:
        """What was asked to be summarised."""
        found = [read(orjson.loads(request.body)) for request in self.provider.summary_requests]
        return [each for each in found if each]

    @property
    def asks(self) -> int:
        """How often a summary was asked for."""
        return len(self.provider.summary_requests)

    async def idle(self) -> None:
        """Nothing is written in the background any more."""
        compactor = self.client._compactor
        if compactor and compactor._task:
            await asyncio.wait((compactor._task,))

    async def grow(self, turns: int) -> Window:
        """So many turns, each with words of its own; the last window."""
        for _ in range(turns):
            self.said += 1
            window = (await self.chat.send(f"Day {self.said}: {FILLER}")).window
            await self.idle()
        return window

    async def import_turns(self, turns: int) -> None:
        """Turns that were spoken elsewhere."""
        said = []
        for _ in range(turns):
            self.said += 1
            said += [
                {"role": "user", "content": f"Day {self.said}: {FILLER}"},
                {"role": "assistant", "content": "Noted."},
            ]
        await self.chat.add(said)

    async def compacted(self) -> Any:
        """What one attempt gives, made now."""
        return await compact(self.client._engine, Due(ALICE, "c", 0))


@pytest.fixture
async def world() -> AsyncIterator[Callable[..., World]]:
    worlds: list[World] = []

    def make(summaries: Iterable[Line] = (), **given: Any) -> World:
        worlds.append(World(summaries, **given))
        return worlds[-1]

    yield make
    for one in worlds:
        await one.client.close()


Make = Callable[..., World]


def codes(window: Window) -> list[Code]:
    return [span.code for span in window.spans]


def sent(window: Window) -> str:
    return window.body.decode()


# ---------------------------------------------------------------------------------------- the ordinary way


async def test_old_turns_become_a_summary_that_is_sent_in_their_place(world: Make) -> None:
    it = world([SUMMARY])
    before = await it.grow(13)
    summary = await it.chat.summary()
    assert summary is not None
    assert (summary.version, summary.text, summary.model, summary.edited) == (
        1,
        SUMMARY,
        "qwen/qwen-plus",
        False,
    )
    assert Code.SUMMARY not in codes(before)
    window = await it.chat.window("And now?")
    assert codes(window)[:2] == [Code.SUMMARY, Code.SUMMARISED]
    assert window.spans[0].turns == (1, summary.upto)
    assert window.messages[0]["role"] == "user"
    assert SUMMARY in window.messages[0]["content"]
    assert f"Day {summary.upto}:" not in sent(window)
    assert f"Day {summary.upto + 1}:" in sent(window)
    assert window.tokens < before.tokens


async def test_exactly_the_folded_turns_are_read(world: Make) -> None:
    it = world([SUMMARY], policy=POLICY)
    chat = it.chat = it.client.conversation("c", system="Be brief.")
    await it.grow(15)
    summary = await chat.summary()
    assert summary is not None
    (asked,) = it.asked
    assert asked.so_far == ""
    assert asked.language == "en"
    days = [number for number in range(1, 16) if f"Day {number}:" in asked.turns]
    assert days == list(range(1, summary.upto + 1))
    assert "Be brief." not in asked.turns
    (request,) = it.provider.summary_requests
    assert request.params["max_tokens"] == 250
    assert request.tools == ()


async def test_the_next_summary_goes_on_from_the_last(world: Make) -> None:
    it = world(numbered())
    await it.grow(40)
    newest, *older = await it.chat.summaries()
    assert it.asks == newest.version > 2
    assert [each.version for each in older] == list(range(newest.version - 1, 0, -1))
    reached = 0
    for number, (asked, summary) in enumerate(zip(it.asked, [*reversed(older), newest], strict=True), 1):
        assert asked.so_far == (f"Summary {number - 1}: the user works in a garden." if number > 1 else "")
        days = [day for day in range(1, 41) if f"Day {day}:" in asked.turns]
        assert days == list(range(reached + 1, summary.upto + 1))
        reached = summary.upto


async def test_every_window_is_within_its_budget_and_leaves_no_turn_unspoken_for(world: Make) -> None:
    it = world(numbered())
    for _ in range(60):
        window = await it.grow(1)
        assert window.tokens <= 1000
        assert window.waiting == 0


async def test_what_it_cost_is_counted_but_in_no_turn(world: Make) -> None:
    paid = [Delta(SUMMARY), Delta(finish_reason="stop", usage=Usage(700, 30))]
    it = world([paid])
    await it.grow(15)
    spent = await it.chat.usage()
    assert (spent.calls, spent.turns) == (16, 15)
    turns = [turn.usage.input for turn in await it.chat.turns() if turn.usage]
    assert spent.usage.input == sum(turns) + 700
    assert spent.costs[0].amount > sum(turn.cost.amount for turn in await it.chat.turns() if turn.cost)
    (step,) = await it.client._store.steps(ALICE, "c", 0)
    assert step.usage == Usage(700, 30)


async def test_a_policy_without_summary_never_asks(world: Make) -> None:
    it = world(numbered(), policy=ContextPolicy(budget=1000, summarize=None, recall=None))
    await it.grow(20)
    assert it.asks == 0
    assert it.client._compactor is None


async def test_a_policy_without_summary_sends_the_turns_that_were_folded_before(world: Make) -> None:
    it = world(numbered())
    await it.grow(15)
    assert await it.chat.summary() is not None
    window = await it.chat.window("And now?", policy=ContextPolicy.full())
    assert (window.summary, len(window.messages)) == (None, 31)
    assert "Day 1:" in sent(window)


async def test_a_short_conversation_starts_nothing(world: Make) -> None:
    it = world(numbered())
    await it.grow(3)
    assert it.client._compactor is None
    assert await it.chat.summary() is None
    assert await it.chat.summaries() == []
    assert await it.chat.summary_error() is None


@pytest.mark.parametrize(
    ("budget", "summarize", "tokens"),
    [(399, Summarize(), 0), (400, Summarize(), 100), (399, Summarize(max_tokens=60), 60), (400, None, 0)],
)
async def test_where_there_is_hardly_any_room_a_summary_is_written_only_for_who_wants_it(
    world: Make, budget: int, summarize: Summarize | None, tokens: int
) -> None:
    it = world(numbered(), policy=ContextPolicy(budget=budget, recall=None, summarize=summarize))
    bounds = (await it.grow(12)).limits
    assert (bounds.summary_tokens, bounds.fold is None) == (tokens, not tokens)
    assert bool(it.asks) == bool(tokens)


async def test_a_turn_that_failed_asks_for_nothing(world: Make) -> None:
    it = world(numbered())
    await it.grow(12)
    it.provider._lines = iter([RateLimited("slow down", provider="qwen"), "Noted."])
    with pytest.raises(RateLimited):
        await it.grow(1)
    assert it.client._compactor is None
    await it.grow(1)
    assert it.asks == 1


async def test_another_model_may_write(world: Make) -> None:
    policy = ContextPolicy(budget=1000, recall=None, summarize=Summarize("qwen/qwen-flash", 200))
    it = world([SUMMARY], policy=policy)
    await it.grow(15)
    summary = await it.chat.summary()
    assert summary is not None
    assert summary.model == "qwen/qwen-flash"
    (request,) = it.provider.summary_requests
    assert (request.model, request.params["max_tokens"]) == ("qwen-flash", 200)


async def test_a_model_that_cannot_write_is_not_asked(world: Make) -> None:
    unable = {"qwen/qwen-plus": {"can_summarise": False}}
    it = world(numbered(), environment={}, config=configured(unable))
    window = await it.grow(20)
    assert it.asks == 0
    assert Code.OVER_BUDGET in codes(window)


def configured(models: dict[str, Any]) -> Any:
    from multiturn.settings import load

    return load({"models": models, "store": ":memory:"}, {}, Path("/nowhere"))


async def test_a_model_that_cannot_read_a_turn_is_not_asked(world: Make) -> None:
    policy = ContextPolicy(budget=1000, recall=None, summarize=Summarize("compatible/tiny", 100))
    it = world(numbered(), policy=policy, config=configured({"compatible/tiny": {"window": 400}}))
    window = await it.grow(20)
    assert it.asks == 0
    assert await it.chat.summary_error() == Flaw.NO_ROOM
    assert Code.OVER_BUDGET in codes(window)


async def test_an_unknown_model_for_summaries_is_refused_before_anything_is_stored(world: Make) -> None:
    it = world(policy=ContextPolicy(budget=1000, summarize=Summarize("nobody-makes-this")))
    with pytest.raises(ModelUnknown):
        await it.chat.send("Hello.")
    with pytest.raises(ConversationNotFound):
        await it.chat.history()


@pytest.mark.parametrize("place", [0, 100])
async def test_a_fact_under_two_hundred_turns_survives_in_the_summary(place: int) -> None:
    said = [message["content"] for message in invented(200)]
    said[place] = "你好，我今年 27 岁。"
    async with AsyncMultiTurn("demo", ":memory:", POLICY, environment={}) as client:
        chat = client.conversation("c")
        for text in said:
            await chat.send(text)
        assert client._compactor is not None
        await client._compactor.drain()
        summary = await chat.summary()
        assert summary is not None
        assert summary.upto > place
        assert "27 岁" in summary.text
        reply = await chat.send("你知道我今年几岁吗？")
        assert "我今年 27 岁" in reply.text
        assert reply.window.tokens <= 1000


# ------------------------------------------------------------------------------------------ what goes wrong

FLAWED: list[tuple[Line, str]] = [
    ("", Flaw.EMPTY),
    ("I'm sorry, but I can't help with that.", Flaw.REFUSED),
    ("word " * 400, Flaw.TOO_LONG),
    ([Delta(SUMMARY), Delta(finish_reason="length")], Flaw.CUT),
    ([Delta(SUMMARY), Delta(finish_reason="content_filter")], Flaw.FILTERED),
    (RuntimeError("a bug"), "error"),
]


@pytest.mark.parametrize(("line", "flaw"), FLAWED, ids=[flaw for _, flaw in FLAWED])
async def test_what_is_no_summary_is_not_used_and_the_conversation_goes_on(
    world: Make, line: Line, flaw: str
) -> None:
    it = world(chain([line], numbered()))
    await it.grow(14)
    assert await it.chat.summary() is None
    assert await it.chat.summary_error() == flaw
    for _ in range(10):
        window = await it.grow(1)
        assert window.tokens <= 1000
        assert window.messages[-1]["content"].startswith(f"Day {it.said}:")
    assert it.asks == 1, "it is tried again after a pause, not with every turn"
    assert Code.OVER_BUDGET in codes(window)
    assert window.waiting > 0
    assert len(await it.chat.history()) == 2 * it.said


async def test_after_the_pause_the_next_turn_tries_again(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "FIRST_PAUSE", 0.05)
    it = world(["", "", SUMMARY])
    while it.asks < 3:
        await it.grow(1)
        await asyncio.sleep(0.02)
    summary = await it.chat.summary()
    assert summary is not None
    assert await it.chat.summary_error() is None
    window = await it.chat.window("And now?")
    assert window.waiting == 0
    assert [step.error for step in await it.client._store.steps(ALICE, "c", 0)] == [
        Flaw.EMPTY,
        Flaw.EMPTY,
        None,
    ]


def test_pauses_double_up_to_an_hour() -> None:
    assert [pause(failures) for failures in range(9)] == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert pause(10_000) == 3600


async def test_less_is_read_at_once_after_failures(world: Make) -> None:
    it = world(numbered(), model="compatible/small")
    await it.import_turns(40)
    await compact(it.client._engine, Due(ALICE, "c", 0, failures=2))
    first = len(it.asked[0].turns)
    other = world(numbered(), model="compatible/small")
    await other.import_turns(40)
    await compact(other.client._engine, Due(ALICE, "c", 0))
    assert first < len(other.asked[0].turns) / 2 or it.asks > other.asks


async def test_a_missing_key_is_told_once_and_costs_nothing(tmp_path: Path) -> None:
    policy = ContextPolicy(budget=1000, recall=None, summarize=Summarize("qwen/qwen-plus", 200))
    async with AsyncMultiTurn("demo", f"sqlite:///{tmp_path}/c.db", policy, environment={}) as client:
        chat = client.conversation("c")
        for day in range(25):
            reply = await chat.send(f"Day {day}: {FILLER}")
        assert client._compactor is not None
        await client._compactor.drain()
        assert await chat.summary_error() == "key_missing"
        assert len(await client._store.steps(ALICE, "c", 0)) == 1
        assert reply.window.tokens <= 1000


async def test_a_conversation_deleted_meanwhile_is_no_trouble(world: Make) -> None:
    it = world([lambda _: SUMMARY])
    await it.grow(14)
    await it.chat.delete()
    assert await it.compacted() is None
    it.chat = it.client.conversation("c")
    assert (await it.chat.send("Hello again.")).text == "Noted."


# ----------------------------------------------------------------------------------------- long imports


async def test_a_long_import_is_folded_oldest_first_in_few_requests_at_a_time(world: Make) -> None:
    it = world(numbered(), model="compatible/small", policy=ContextPolicy(budget=1000, recall=None))
    await it.import_turns(900)
    window = await it.grow(1)
    assert Code.OVER_BUDGET in codes(window)
    assert it.asks == compaction.CHUNKS
    first = await it.chat.summary()
    assert first is not None
    assert 0 < first.upto < 890
    assert (first.version, first.text) == (1, "Summary 4: the user works in a garden.")
    due = await it.client._store.claim_due()
    assert due == Due(ALICE, "c", 0), "the rest is still to be folded, by whoever comes next"
    await it.client._store.settle_due(due, done=False)
    while (await it.chat.window("?")).waiting:
        await it.grow(1)
    days = [
        int(line.split("Day ")[1].split(":")[0])
        for a in it.asked
        for line in a.turns.splitlines()
        if "Day" in line
    ]
    assert days == list(range(1, days[-1] + 1)), "each turn is read once, in order"


async def test_of_a_run_that_breaks_off_what_was_folded_is_kept(world: Make) -> None:
    it = world([SUMMARY, ""], model="compatible/small")
    await it.import_turns(900)
    summary = await it.compacted()
    assert summary is not None
    assert summary.text == SUMMARY
    assert it.asks == 2
    assert await it.chat.summary_error() == Flaw.EMPTY
    assert await it.chat.summary() == summary


async def test_turns_that_are_never_sent_need_no_model(world: Make) -> None:
    it = world([])
    await it.import_turns(30)
    for number in range(1, 31):
        await it.chat.retract(number)
    assert await it.compacted() is None
    assert it.asks == 0


async def test_a_summary_reaches_over_turns_that_are_never_sent(world: Make) -> None:
    it = world([SUMMARY])
    await it.grow(14)
    before = await it.chat.summary()
    assert before is not None
    await it.import_turns(60)
    for number in range(before.upto + 1, 75):
        await it.chat.retract(number)
    await it.compacted()
    after = await it.chat.summary()
    assert after is not None
    assert (after.text, after.model) == (SUMMARY, "qwen/qwen-plus")
    assert it.asks == 1


# ---------------------------------------------------------------------------------- beside, never inside


async def sends(it: World, turns: int) -> Window:
    """Turns that wait for nothing in the background."""
    for _ in range(turns):
        it.said += 1
        window = (await it.chat.send(f"Day {it.said}: {FILLER}")).window
    return window


async def test_no_turn_waits_for_a_summary(world: Make) -> None:
    it = world(numbered())
    it.provider.gate.clear()
    window = await sends(it, 30)
    assert it.provider.asked.is_set()
    assert window.tokens <= 1000
    assert Code.OVER_BUDGET in codes(window)
    assert await it.chat.summary() is None
    it.provider.gate.set()
    await it.idle()
    assert await it.chat.summary() is not None
    while (await it.chat.window("?")).waiting:
        await it.grow(1)


async def test_closing_waits_for_the_summary(tmp_path: Path) -> None:
    it = World([SUMMARY], store=f"sqlite:///{tmp_path}/c.db")
    it.provider.gate.clear()
    await sends(it, 14)
    await it.provider.asked.wait()
    closing = asyncio.create_task(it.client.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    it.provider.gate.set()
    await closing
    again = World(store=f"sqlite:///{tmp_path}/c.db")
    summary = await again.chat.summary()
    assert summary is not None
    assert summary.text == SUMMARY
    await again.client.close()


async def test_what_is_not_ready_in_time_is_given_back_for_the_next_process(tmp_path: Path) -> None:
    it = World([SUMMARY], store=f"sqlite:///{tmp_path}/c.db")
    it.provider.gate.clear()
    await sends(it, 14)
    await it.provider.asked.wait()
    assert it.client._compactor is not None
    await it.client._compactor.drain(0.05)
    assert await it.chat.summary_error() == Flaw.BROKEN_OFF
    await it.client.close()
    again = World([SUMMARY], store=f"sqlite:///{tmp_path}/c.db")
    due = await again.client._store.claim_due()
    assert due == Due(ALICE, "c", 0)
    assert await compact(again.client._engine, due) is not None
    assert await again.client._store.claim_due() is None
    await again.client.close()


async def test_at_first_use_what_others_left_is_written_too(tmp_path: Path) -> None:
    left = World([SUMMARY], store=f"sqlite:///{tmp_path}/c.db")
    left.provider.gate.clear()
    await sends(left, 14)
    await left.provider.asked.wait()
    assert left.client._compactor is not None
    await left.client._compactor.drain(0.0)
    await left.client.close()
    it = World(numbered(), store=f"sqlite:///{tmp_path}/c.db")
    it.chat = it.client.conversation("another")
    await it.grow(14)
    assert await it.client.conversation("c").summary() is not None
    assert await it.chat.summary() is not None
    await it.client.close()


async def test_other_tenants_summaries_are_left_to_them(tmp_path: Path) -> None:
    left = World([SUMMARY], store=f"sqlite:///{tmp_path}/c.db")
    left.provider.gate.clear()
    await sends(left, 14)
    await left.provider.asked.wait()
    assert left.client._compactor is not None
    await left.client._compactor.drain(0.0)
    it = World(numbered(), store=f"sqlite:///{tmp_path}/c.db", tenant="other")
    it.chat = it.client.conversation("another")
    await it.grow(14)
    assert await it.chat.summary() is not None
    assert await left.chat.summary() is None
    await it.client.close()
    await left.client.close()


async def test_summaries_of_every_tenant_that_comes_by_are_written(tmp_path: Path) -> None:
    left = World([SUMMARY], store=f"sqlite:///{tmp_path}/c.db", tenant="other")
    left.provider.gate.clear()
    await sends(left, 14)
    await left.provider.asked.wait()
    assert left.client._compactor is not None
    await left.client._compactor.drain(0.0)
    it = World(numbered(), store=f"sqlite:///{tmp_path}/c.db")
    await it.grow(14)
    assert await it.chat.summary() is not None
    assert await left.chat.summary() is None
    it.chat = it.client.within("other").conversation("another")
    await it.grow(14)
    assert await it.chat.summary() is not None
    assert await left.chat.summary() is not None
    await it.client.close()
    await left.client.close()


async def test_one_at_a_time(world: Make) -> None:
    it = world(numbered())
    chats = [it.client.conversation(f"c{number}") for number in range(5)]
    for day in range(16):
        await asyncio.gather(*(chat.send(f"Day {day}: {FILLER}") for chat in chats))
    await it.idle()
    assert it.provider.busiest == 1
    assert all([await chat.summary() for chat in chats])


async def test_a_closed_compactor_takes_up_nothing(world: Make) -> None:
    it = world(numbered())
    compactor = Compactor(it.client._engine)
    await compactor.drain()
    compactor.wake(ALICE, "c")
    assert compactor._task is None


# ------------------------------------------------------------------------------------------- processes

CHILD = """
import asyncio, os, sys
sys.path[:0] = {paths!r}
from tests.summary.test_compaction import World, sends
from multiturn.summary import compaction
compaction.HOLD = {hold}

async def main():
    it = World(store={store!r})
    if {early}:
        it.client._engine.store.claim_due = lambda **_: os._exit(9)
    else:
        async def stream(request):
            if request.params.get("max_tokens"):
                os._exit(9)
            from multiturn import Delta
            yield Delta("Noted.", finish_reason="stop")
        it.provider.stream = stream
    await sends(it, 30)

asyncio.run(main())
"""


@pytest.mark.parametrize("early", [True, False], ids=["before it asked", "while the model writes"])
async def test_the_next_process_writes_what_a_crash_left(tmp_path: Path, early: bool) -> None:
    store = f"sqlite:///{tmp_path}/c.db"
    code = CHILD.format(paths=sys.path, hold=0.2, store=store, early=early)
    ended = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], check=False)
    assert ended.returncode == 9
    it = World([SUMMARY], store=store)
    assert await it.chat.summary() is None
    await asyncio.sleep(0.25)
    due = await it.client._store.claim_due()
    assert due == Due(ALICE, "c", 0)
    summary = await compact(it.client._engine, due)
    assert summary is not None
    window = await it.chat.window("?")
    assert window.waiting == 0
    await it.client.close()


async def test_two_processes_write_one_summary(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/c.db"
    one, other = World(numbered(), store=store), World(numbered(), store=store)
    await sends(one, 13)
    await asyncio.gather(sends(one, 1), sends(other, 1))
    await one.idle()
    await other.idle()
    assert one.asks + other.asks == 1
    assert len(await one.chat.summaries()) == 1
    await one.client.close()
    await other.client.close()


async def test_of_two_that_write_all_the_same_one_is_used(world: Make) -> None:
    it = world(numbered())
    await it.import_turns(30)
    first, second = await asyncio.gather(it.compacted(), it.compacted())
    assert [bool(first), bool(second)].count(True) == 1
    assert len(await it.chat.summaries()) == 1
    assert await it.chat.summary_error() == Flaw.OVERTAKEN


# --------------------------------------------------------------------------------------------- branches


async def test_a_branch_made_before_the_fold_sees_its_own_history(world: Make) -> None:
    it = world(numbered())
    await it.grow(4)
    aside = await it.chat.branch(3)
    await it.grow(16)
    summary = await it.chat.summary()
    assert summary is not None
    assert summary.upto > 3
    assert await aside.summary() is None
    window = await aside.window("And now?")
    assert [message["content"][:6] for message in window.messages if message["role"] == "user"] == [
        "Day 1:",
        "Day 2:",
        "Day 3:",
        "And no",
    ]
    assert Code.SUMMARY not in codes(window)


async def test_a_branch_made_after_the_fold_shares_the_summary_as_far_as_it_holds(world: Make) -> None:
    it = world(numbered())
    await it.grow(40)
    newest, middle, *_ = await it.chat.summaries()
    shared = await it.chat.branch(newest.upto)
    assert await shared.summary() == newest
    earlier = await it.chat.branch(newest.upto - 1)
    assert await earlier.summary() == middle
    window = await earlier.window("And now?")
    assert f"Day {newest.upto}:" not in sent(window)
    assert f"Day {newest.upto - 1}:" in sent(window)


async def test_each_branch_goes_on_with_a_summary_of_its_own(world: Make) -> None:
    it = world(numbered())
    await it.grow(16)
    aside = await it.chat.branch(14)
    before = await it.chat.summary()
    for day in range(20):
        await aside.send(f"Aside {day}: {FILLER}")
        await it.idle()
    after = await aside.summary()
    assert after is not None
    assert before is not None
    assert after.version > before.version
    assert await it.chat.summary() == before
    assert "Aside 0:" in "".join(asked.turns for asked in it.asked)


# ------------------------------------------------------------------------------------- reading and editing


async def test_a_person_may_edit_the_summary_and_the_next_one_goes_on_from_it(world: Make) -> None:
    it = world(numbered())
    await it.grow(14)
    first = await it.chat.summary()
    assert first is not None
    edited = await it.chat.edit_summary("  The user is 27 and gardens.\n")
    assert (edited.text, edited.upto, edited.version) == ("The user is 27 and gardens.", first.upto, 2)
    assert edited.edited
    assert await it.chat.summary() == edited
    assert "The user is 27 and gardens." in sent(await it.chat.window("?"))
    await it.grow(10)
    assert it.asked[1].so_far == "The user is 27 and gardens."


async def test_undoing_goes_back_and_what_is_no_longer_told_is_folded_again(world: Make) -> None:
    it = world(numbered())
    await it.grow(24)
    newest, older, *_ = await it.chat.summaries()
    assert await it.chat.undo_summary() == older
    assert await it.chat.summary() == older
    assert len(await it.chat.summaries()) == older.version
    window = await it.chat.window("?")
    assert f"Day {newest.upto}:" in sent(window)
    assert window.tokens <= 1000
    while await it.chat.summary():
        await it.chat.undo_summary()
    assert await it.chat.undo_summary() is None
    assert (await it.chat.window("?")).tokens <= 1000
    await it.grow(1)
    again = await it.chat.summary()
    assert again is not None
    assert again.version > newest.version
    assert it.asked[-1].so_far == ""


async def test_an_edit_wins_over_a_summary_that_is_being_written(world: Make) -> None:
    it = world(numbered())
    await it.grow(14)
    it.provider.asked.clear()
    it.provider.gate.clear()
    while not it.provider.asked.is_set():
        await sends(it, 1)
        await asyncio.sleep(0.05)
    edited = await it.chat.edit_summary("The user is 27.")
    assert it.client._compactor is not None
    it.client._compactor._waiting.clear()
    it.provider.gate.set()
    await it.idle()
    assert await it.chat.summary() == edited
    assert await it.chat.summary_error() == Flaw.OVERTAKEN
    due = await it.client._store.claim_due()
    assert due == Due(ALICE, "c", 0), "it is due at once, and no failure"
    await compact(it.client._engine, due)
    assert it.asked[-1].so_far == "The user is 27."


@pytest.mark.parametrize("written", [0, 1])
async def test_a_turn_that_is_taken_back_while_it_is_folded_stands_in_no_summary(
    world: Make, written: int
) -> None:
    it = world(numbered())
    if written:
        await it.grow(14)
    it.provider.asked.clear()
    it.provider.gate.clear()
    while not it.provider.asked.is_set():
        await sends(it, 1)
        await asyncio.sleep(0.05)
    before = await it.chat.summary()
    await it.chat.retract(before.upto + 1 if before else 1)
    assert it.client._compactor is not None
    it.client._compactor._waiting.clear()  # of turns that ended before the model was asked
    it.provider.gate.set()
    await it.idle()
    assert await it.chat.summary() == before
    assert await it.chat.summary_error() == Flaw.OVERTAKEN
    assert await it.client._store.claim_due() == Due(ALICE, "c", 0), "it is due at once, and no failure"


async def test_of_two_edits_at_once_none_is_lost(world: Make) -> None:
    it = world(numbered())
    await it.grow(14)
    one, other = await asyncio.gather(it.chat.edit_summary("One."), it.chat.edit_summary("Other."))
    assert {one.version, other.version} == {2, 3}
    assert {summary.text for summary in await it.chat.summaries()} >= {"One.", "Other."}


async def test_there_must_be_a_summary_to_edit(world: Make) -> None:
    it = world()
    await it.grow(2)
    with pytest.raises(ConversationError, match="no summary yet"):
        await it.chat.edit_summary("The user is 27.")
    assert await it.chat.undo_summary() is None


@pytest.mark.parametrize("text", ["", " \n", "half \ud800", None, 7, "word " * 400])
async def test_words_that_are_no_summary_are_refused(world: Make, text: Any) -> None:
    it = world(numbered())
    await it.grow(14)
    before = await it.chat.summary()
    with pytest.raises(ParameterInvalid):
        await it.client.conversation("c").edit_summary(text)
    assert await it.chat.summary() == before


async def test_nobody_sees_or_changes_the_summary_of_somebody_else(world: Make) -> None:
    it = world(numbered())
    await it.grow(14)
    bob = it.client.conversation("c", user="bob")
    for call in (bob.summary, bob.summaries, bob.undo_summary, bob.summary_error):
        with pytest.raises(ConversationNotFound):
            await call()
    with pytest.raises(ConversationNotFound):
        await bob.edit_summary("mine")


async def test_what_was_retracted_is_not_told_to_the_model(world: Make) -> None:
    it = world(numbered())
    await it.grow(5)
    await it.chat.send("My password is hunter2.")
    await it.chat.retract(6, "sent by mistake")
    await it.grow(20)
    assert it.asks > 1
    assert not any("hunter2" in asked.turns for asked in it.asked)


@pytest.mark.parametrize("how", ["retract", "exclude", "include"])
async def test_what_is_taken_back_later_leaves_the_summary_too(world: Make, how: str) -> None:
    it = world(numbered())
    await it.grow(5)
    await it.chat.send("My password is hunter2.")
    if how == "include":
        await it.chat.exclude(6)
    await it.grow(40)
    newest, *_, oldest = await it.chat.summaries()
    assert newest.upto > oldest.upto >= 6
    aside = await it.chat.branch(newest.upto)
    await getattr(it.chat, how)(6)
    assert await it.chat.summary() is None
    assert await aside.summary() is None
    before = it.asks
    while (await it.chat.window("?")).waiting or await it.chat.summary() is None:
        await it.grow(1)
    told = "".join(asked.turns + asked.so_far for asked in it.asked[before:])
    assert ("hunter2" in told) == (how == "include")


async def test_a_summary_that_does_not_stand_for_the_turn_stays(world: Make) -> None:
    it = world(numbered())
    await it.grow(30)
    newest, older, *_ = await it.chat.summaries()
    await it.chat.retract(newest.upto + 1)
    assert await it.chat.summary() == newest
    await it.chat.retract(newest.upto)
    assert await it.chat.summary() == older
    await it.chat.pin(1)
    assert await it.chat.summary() == older


def test_the_blocking_half_does_the_same(tmp_path: Path) -> None:
    given: Any = {"model": "demo", "store": f"sqlite:///{tmp_path}/c.db", "policy": POLICY, "environment": {}}
    with MultiTurn(**given) as client:
        chat = client.conversation("c")
        chat.send("I am 27.")
        assert (chat.summary(), chat.undo_summary()) == (None, None)
        for day in range(16):
            chat.send(f"Day {day}: {FILLER}")
    with MultiTurn(**given) as client:
        chat = client.conversation("c")
        summary = chat.summary()
        assert summary is not None, "closing waited for it"
        assert "I am 27." in summary.text
        assert chat.summary_error() is None
        assert chat.edit_summary("The user is 27.").edited
        assert [each.version for each in chat.summaries()] == [2, 1]
        assert chat.undo_summary() == summary


# -------------------------------------------------------------------------------------------- real HTTP


def replies(*summaries: Answer | Fault | str) -> Callable[[Received], Answer | Fault | str]:
    """Turns get a short answer, requests for summaries these, the last one for ever."""
    left = list(summaries)

    def reply(received: Received) -> Answer | Fault | str:
        if read(received.messages) is None:
            return "Noted."
        return left.pop(0) if len(left) > 1 else left[0]

    return reply


HTTP: list[tuple[Answer | Fault | str, set[str]]] = [
    (Fault(500), {"provider_failed"}),
    (Fault(400), {"request_refused", "history_refused", "provider_overflow"}),
    (Fault(400, "content_filter"), {"content_filtered"}),
    (Fault(200, html=True), {"provider_failed"}),
    (Answer(""), {Flaw.EMPTY}),
    (Answer("抱歉，我无法处理这段内容。"), {Flaw.REFUSED}),
    (Answer("", refusal="no"), {Flaw.REFUSED}),
    (Answer(SUMMARY, finish="length"), {Flaw.CUT}),
    (Answer(SUMMARY, cut="reset"), {"stream_cut"}),
    (Answer(SUMMARY, cut="end"), {"stream_cut"}),
    (Answer(SUMMARY, stall=30), {Flaw.SLOW, "provider_timeout"}),
]


@pytest.mark.parametrize(
    ("reply", "flaws"), HTTP, ids=[f"{min(flaws)}-{n}" for n, (_, flaws) in enumerate(HTTP)]
)
async def test_over_http_a_failed_summary_leaves_everything_as_it_was(
    reply: Answer | Fault | str, flaws: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if Flaw.SLOW in flaws:
        monkeypatch.setattr(compaction, "TOTAL", 0.5)
    monkeypatch.setattr(Retry, "pause", lambda *_: 0.0)
    async with (
        simulate("qwen", replies(reply)) as simulator,
        AsyncMultiTurn(
            "qwen/qwen-plus",
            ":memory:",
            POLICY,
            api_key=simulator.key,
            base_url=simulator.base_url,
            environment={},
        ) as client,
    ):
        chat = client.conversation("c")
        for day in range(15):
            reply_window = (await chat.send(f"Day {day}: {FILLER}")).window
        assert client._compactor is not None
        await client._compactor.drain()
        assert await chat.summary() is None
        assert await chat.summary_error() in flaws
        assert reply_window.tokens <= 1000
        assert len(await chat.turns()) == 15


async def test_over_http_a_summary_is_written_and_thinking_is_switched_off() -> None:
    async with (
        simulate("glm", replies(SUMMARY)) as simulator,
        AsyncMultiTurn(
            "glm/glm-4.7",
            ":memory:",
            POLICY,
            api_key=simulator.key,
            base_url=simulator.base_url,
            environment={},
        ) as client,
    ):
        chat: AsyncConversation = client.conversation("c")
        for day in range(15):
            await chat.send(f"Day {day}: {FILLER}")
        assert client._compactor is not None
        await client._compactor.drain()
        summary = await chat.summary()
        assert summary is not None
        assert summary.text == SUMMARY
        (asked,) = [each.body for each in simulator.requests if read(each.messages)]
        assert asked["thinking"] == {"type": "disabled"}
        assert asked["max_tokens"] == 250
        assert "tools" not in asked
        (step,) = await client._store.steps(ALICE, "c", 0)
        assert step.usage is not None
        assert not step.usage.estimated
