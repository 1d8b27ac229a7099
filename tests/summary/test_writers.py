"""Is a summary written by whoever can, and do circuits learn from it? Over real HTTP, with two providers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.simulators import Answer, Fault, Received, Reply, Script, Simulator, simulate

from multiturn import AsyncConversation, AsyncMultiTurn, ContextPolicy, Summarize
from multiturn.conversations import Owner
from multiturn.prompts import Asked, read
from multiturn.providers import Retry
from multiturn.settings import load
from multiturn.summary import Writers

QWEN, KIMI = "qwen/qwen-plus", "kimi/kimi-k2.6"
ALICE = Owner("", "")
FILLER = (
    "I watered the tomatoes, weeded the beds, swept the path, cut the hedge, fed the birds, cleaned up, and"
    " then sat down in the shade with a cup of tea."
)
SUMMARY = "The user works in a garden."


class Office:
    """A client of two providers; each says the same to every turn, and something of its own to whoever asks
    for a summary."""

    def __init__(self, client: AsyncMultiTurn, qwen: Simulator, kimi: Simulator) -> None:
        self.client, self.qwen, self.kimi = client, qwen, kimi
        self.chat: AsyncConversation = client.conversation("c")

    async def grow(self, turns: int = 15) -> None:
        for day in range(turns):
            await self.chat.send(f"Day {day}: {FILLER}")

    async def due(self) -> None:
        """Talk until a summary is asked for; whatever became of it, it has ended."""
        while not self.asked(self.qwen):
            await self.grow(1)
            compactor = self.client._compactor
            if compactor is not None and compactor._task is not None:
                await asyncio.wait((compactor._task,))

    async def drained(self) -> None:
        """The summary that was due is written, or cannot be."""
        assert self.client._compactor is not None
        await self.client._compactor.drain()

    def asked(self, one: Simulator) -> int:
        """How often a provider was asked for a summary."""
        return sum(read(each.messages) is not None for each in one.requests)

    def opened(self, model: str) -> bool:
        """Whether the circuit of a model is open."""
        return self.client.endpoints.routing.breaker.opened((model, "")) > float("-inf")

    async def errors(self) -> list[str | None]:
        """How each request for a summary ended."""
        return [step.error for step in await self.client.engine.store.steps(ALICE, "c", 0)]


def says(summary: Reply) -> Script:
    def reply(received: Received) -> Reply:
        return "Noted." if read(received.messages) is None else summary

    return Script(reply)


@asynccontextmanager
async def office(qwen: Reply, kimi: Reply = SUMMARY, **given: Any) -> AsyncIterator[Office]:
    """What each provider answers to whoever wants a summary."""
    routes = {"desk": {"targets": [QWEN, KIMI]}}
    arguments = {
        "model": "desk",
        "policy": ContextPolicy(budget=1000, recall=None),
        "routes": routes,
        **given,
    }
    async with simulate("qwen", says(qwen)) as first, simulate("kimi", says(kimi)) as second:
        environment = {
            "HOME": "/nowhere",
            "DASHSCOPE_API_KEY": first.key,
            "DASHSCOPE_COMPATIBLE_BASE_URL": first.base_url,
            "MOONSHOT_API_KEY": second.key,
            "MOONSHOT_BASE_URL": second.base_url,
        }
        config = load({"store": ":memory:", **arguments}, environment)
        async with AsyncMultiTurn(config=config, environment=environment) as client:
            yield Office(client, first, second)


@pytest.mark.parametrize(
    "fault",
    [Fault(500), Fault(429), Fault(503), Fault(402, kind="billing"), Fault(drop=True)],
    ids=lambda fault: fault.kind or str(fault.status),
)
async def test_where_one_does_not_answer_the_next_one_writes_it(fault: Fault) -> None:
    async with office(fault) as it:
        await it.grow()
        await it.drained()
        summary = await it.chat.summary()
        assert summary is not None
        assert (summary.text, summary.model) == (SUMMARY, KIMI)
        assert it.asked(it.qwen) == 1, "somebody else is asked at once"
        first, *others = await it.errors()
        assert first is not None
        assert others[-1] is None


async def test_a_limit_that_a_summary_meets_is_known_to_the_next_turn() -> None:
    async with office(Fault(429).after(600)) as it:
        await it.due()
        assert {turn.model for turn in await it.chat.turns()} == {QWEN}
        assert it.opened(QWEN)
        assert (await it.chat.send("And now?")).model == KIMI


async def test_a_circuit_learns_from_a_summary_without_a_route_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Retry, "pause", lambda *_: 0.0)
    async with office(Fault(429), model=QWEN) as it:
        await it.due()
        assert await it.chat.summary() is None
        assert it.opened(QWEN)
        assert it.asked(it.kimi) == 0


async def test_the_policy_may_name_a_route() -> None:
    routes = {"scribes": {"targets": [KIMI, QWEN]}}
    policy = ContextPolicy(budget=1000, recall=None, summarize=Summarize(model="scribes"))
    async with office(SUMMARY, Fault(500), model=QWEN, routes=routes, policy=policy) as it:
        await it.grow()
        await it.drained()
        summary = await it.chat.summary()
        assert summary is not None
        assert summary.model == QWEN
        assert it.asked(it.kimi) == 1


async def test_an_answer_that_has_begun_is_not_asked_for_elsewhere() -> None:
    async with office(Answer(SUMMARY, cut="close", cut_after=2)) as it:
        await it.grow()
        await it.drained()
        assert await it.chat.summary() is None
        assert it.asked(it.kimi) == 0
        assert not it.opened(QWEN)


async def test_what_a_summary_says_wrong_moves_nothing() -> None:
    async with office("I am sorry, but I cannot help with that.") as it:
        await it.grow()
        await it.drained()
        assert it.asked(it.kimi) == 0


async def test_where_nobody_answers_the_next_window_goes_on_without() -> None:
    async with office(Fault(500), Fault(500)) as it:
        await it.grow()
        await it.drained()
        assert await it.chat.summary() is None
        assert await it.chat.summary_error() == "provider_failed"
        assert len(await it.chat.turns()) == 15
        assert (it.asked(it.qwen), await it.errors()) >= (1, ["provider_failed"] * 2)


async def test_one_that_cannot_summarise_is_passed_over() -> None:
    models = {KIMI: {"can_summarise": False}}
    async with office(Fault(500), models=models) as it:
        await it.grow()
        await it.drained()
        assert it.asked(it.kimi) == 0
        assert await it.chat.summary() is None


async def test_an_answered_summary_closes_the_circuit() -> None:
    async with office(SUMMARY, model=QWEN) as it:
        await it.grow(4)
        writers = Writers.of(it.client.engine, QWEN, None, ALICE, "c", 200)
        it.client.endpoints.routing.breaker.fail((QWEN, ""), 0.0, wait=1.0)
        assert it.opened(QWEN)
        writing = writers.writer.writing(Asked("", f"User: {FILLER}", "en"), 0)
        assert await writers.ask(writing, asyncio.get_running_loop().time() + 20) == SUMMARY
        assert not it.opened(QWEN)
