"""Does a replay foretell what a provider bills? Against simulated providers with caches of their own."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from tests.simulators import Received

from multiturn import ContextPolicy, Summarize
from multiturn.conversations import Owner
from multiturn.replay import Case, Dialogue, billed, read, replay, total, uses
from multiturn.terms import Input, terms_of

from .world import world

MODELS = {
    "qwen": "qwen/qwen-plus",
    "dashscope": "dashscope/qwen-plus",
    "stepfun": "stepfun/step-3.7-flash",
    "deepseek": "deepseek/deepseek-chat",
    "openai, prefix": "openai/gpt-5.4-mini",
    "openai, breakpoint": "openai/gpt-6-luna",
}
POLICIES = {
    "steps": ContextPolicy(budget=2400, high=1.0, low=0.55, summarize=None, recall=None),
    "sliding": ContextPolicy(budget=2400, high=1.0, low=1.0, summarize=None, recall=None),
    "recall": ContextPolicy(budget=2400, high=1.0, low=0.55, summarize=None),
    "summary": ContextPolicy(budget=2400, summarize=Summarize(max_tokens=90), recall=None),
}
INSTRUCTIONS = "You are a clerk in a shop for telephones. Be brief, be kind, and never invent a price. " * 4


def clerk(received: Received) -> str:
    return (
        f"Matter {len(received.messages)} is settled: the shop is open from nine to six, as it always was. "
        * 2
    )


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
async def test_predictions_come_near_the_bill(tmp_path: Path, model: str, policy: ContextPolicy) -> None:
    async with world(tmp_path, model.split("/", maxsplit=1)[0], clerk, model=model, policy=policy) as it:
        chat = it.client.conversation("c", system=INSTRUCTIONS)
        for number in range(60):
            question = f"Question {number}: is the telephone {7 * number} still to be had, and for how much?"
            await chat.send(question)
            if it.client._compactor and it.client._compactor._task:
                await asyncio.wait((it.client._compactor._task,))
        store, engine = it.client._store, it.client._engine
        told: Dialogue = await read(store, await store.conversation(Owner(), "c"))
        terms = terms_of(engine, told.settings, Input())
        ratio = engine.calibration.of(terms.card.name).ratio
        outcome = replay(told, Case("as stored", terms, ratio=ratio), uses(told.turns))
    errors = billed([outcome], {("c", said.turn.number): said for said in told.turns})
    assert errors.turns == errors.cost.count == 60
    predicted = total("as stored", [outcome])
    real = [said.billed.input for said in told.turns if said.billed]
    assert predicted.input == pytest.approx(sum(real), rel=0.06)
    if policy.summarize is None:  # a filler is longer than a summary: turns are folded a little earlier
        assert (errors.input.median or 0) <= 0.05
        assert (errors.input.p90 or 0) <= 0.15
        assert (errors.cached.median or 0) <= 0.05
        assert (errors.cost.median or 0) <= 0.07
    costs = [float(said.cost.amount) for said in told.turns if said.cost]
    written = sum((each.amount for each in predicted.summaries), Decimal(0))
    near = 0.05 if policy.summarize is None else 0.15
    assert float(predicted.costs[0].amount - written) == pytest.approx(sum(costs), rel=near)
