"""Are the windows of a replay those that would have been sent?"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.replay.told import dialogue, said, terms
from tests.scene import TOOLS, Make, calls

from multiturn import AsyncMultiTurn, ContextPolicy, Delta, Recall, Usage
from multiturn.conversations import Owner
from multiturn.replay import Dialogue, read
from multiturn.replay.fates import Fates, fates
from multiturn.replay.windows import windows
from multiturn.terms import Input, terms_of

POLICIES = {
    "everything": ContextPolicy.full(),
    "turns": ContextPolicy.last_turns(3),
    "messages": ContextPolicy.last_messages(6),
    "sliding": ContextPolicy(budget=150, high=1.0, low=1.0, summarize=None, recall=None),
    "steps": ContextPolicy(budget=150, high=1.0, low=0.55, summarize=None, recall=None),
}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
async def test_every_request_is_rebuilt_byte_by_byte(scene: Make, policy: ContextPolicy) -> None:
    """As sent then: rounds of words, a loop of tools, thinking."""
    thought = Delta("Aha.", reasoning="Hm.", finish_reason="stop", usage=Usage(9, 9, estimated=True))
    it = scene(
        *(f"Answer {n}." for n in range(8)),
        calls("c1"),
        calls("c2"),
        "Sunny.",
        thought,
        "a",
        "b",
        policy=policy,
    )
    chat = it.client.conversation("c", system="Be brief.", opening="Hello!")
    for number in range(8):
        await chat.send(f"Question {number}, what is it?")
    await chat.send("Weather?", tools=TOOLS)
    await chat.send(tool_results={"c1": "sun " * 8})
    await chat.send(tool_results={"c2": "rain"})
    for text in ("Think!", "And?", "So?"):
        await chat.send(text)
    engine = it.client._engine
    stored = await read(engine.store, await engine.store.conversation(Owner(), "c"))
    again = [each.window for each in windows(stored, terms_of(engine, stored.settings, Input()))]
    assert [window.body for window in again if window] == [request.body for request in it.requests]
    assert len(again) == 14


def test_a_turn_without_an_answer_or_a_question_asks_nobody() -> None:
    told = Dialogue(
        "c",
        turns=[
            said(1, {"role": "assistant", "content": "Welcome."}),
            said(2, {"role": "user", "content": "Anyone?"}),
            said(3, {"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Yes."}),
        ],
    )
    assert [each.said.turn.number for each in windows(told, terms())] == [3]


def test_a_turn_that_does_not_fit_is_refused_and_the_next_goes_on() -> None:
    told = dialogue(("short", "one"), ("long " * 200, "two"), ("short again", "three"))
    policy = ContextPolicy(budget=100, summarize=None, recall=None)
    first, second, third = windows(told, terms(policy))
    assert first.refused is third.refused is None
    assert second.window is None
    assert second.refused == "context_overflow"


def test_a_picture_is_refused_by_a_model_that_cannot_see() -> None:
    picture = [
        {"type": "text", "text": "See?"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
    ]
    told = Dialogue(
        "c", turns=[said(1, {"role": "user", "content": picture}, {"role": "assistant", "content": "A cat."})]
    )
    assert [each.refused for each in windows(told, terms(model="deepseek/deepseek-chat"))] == [
        "message_invalid"
    ]
    assert [each.refused for each in windows(told, terms(model="qwen/qwen3.7-plus"))] == [None]


def test_the_reading_stays_linear_in_what_is_sent() -> None:
    """A walk reads what its windows hold, not the whole past again at every turn."""
    policy = ContextPolicy(budget=300, summarize=None, recall=None)
    read = [
        sum(
            len(each.window.messages)
            for each in windows(dialogue(*[("A question?", "An answer.")] * size), terms(policy))
            if each.window
        )
        for size in (200, 400)
    ]
    assert read[1] < 2.2 * read[0]


def test_what_became_of_old_turns_is_read_from_the_ledger() -> None:
    told = dialogue(*[(f"Question {n}?", f"Answer {n}.") for n in range(30)])
    policy = ContextPolicy(max_turns=4, summarize=None, recall=None)
    window = list(windows(told, terms(policy)))[-1].window
    assert window is not None
    assert fates(window, (3, 25, 26, 29), {}) == Fates(sent=(26, 29), gone=(3, 25))
    assert fates(window, (3, 4, 25), {28: [3], 20: [4]}) == Fates(quoted=(3,), gone=(4, 25))


def test_a_summary_that_found_no_place_keeps_nothing() -> None:
    told = dialogue(*[(f"Question {n}, what is it?", f"Answer {n}, at length.") for n in range(60)])
    last = list(windows(told, terms(ContextPolicy(budget=400, recall=None))))[-1].window
    assert last is not None
    assert last.summary is not None
    assert fates(last, (1, 60 - 1), {}) == Fates(sent=(59,), folded=(1,))
    assert fates(replace(last, summary=None), (1,), {}) == Fates(gone=(1,))


async def test_recalled_turns_are_quoted_byte_by_byte(scene: Make) -> None:
    policy = ContextPolicy(budget=400, summarize=None, recall=Recall(max_tokens=120))
    it = scene(*(f"Answer {n}." for n in range(34)), policy=policy)
    chat = it.client.conversation("c", system="Be brief.")
    await chat.send("My dog is called Rex and he is allergic to peanuts.")
    for number in range(30):
        await chat.send(f"Now tell me something about subject {number}, what is it?")
    for text in (
        "Do you remember what Rex is allergic to?",
        "What did I tell you about my dog earlier?",
        "Thanks.",
    ):
        await chat.send(text)
    engine = it.client._engine
    stored = await read(engine.store, await engine.store.conversation(Owner(), "c"))
    again = list(windows(stored, terms_of(engine, stored.settings, Input())))
    assert [each.window.body for each in again if each.window] == [request.body for request in it.requests]
    window = again[31].window
    assert window is not None
    assert b"peanuts" in window.body
    assert fates(window, (1, 10, 30), {}) == Fates(sent=(30,), quoted=(1,), gone=(10,))
    assert fates(again[-1].window or window, (1,), again[-1].quotes).quoted == (1,)


async def test_summaries_cover_what_they_would_have_covered() -> None:
    """The demo model writes them in truth, and each is awaited; what the replay folds is the same."""
    policy = ContextPolicy(budget=600, recall=None)
    async with AsyncMultiTurn("demo", ":memory:", policy, environment={}) as client:
        chat = client.conversation("c")
        for number in range(40):
            await chat.send(f"My number {number} is a long and winding story, my friend, and so on.")
            if client._compactor and client._compactor._task:
                await asyncio.wait((client._compactor._task,))
        store = client._store
        told = await read(store, await store.conversation(Owner(), "c"))
        written = [each.upto for each in await store.summaries(Owner(), "c")][::-1]
        again = [each.fold for each in windows(told, terms_of(client._engine, told.settings, Input()))]
    folds = [fold for fold in again if fold]
    assert len(written) > 1
    assert folds[0][0].upto == pytest.approx(written[0], abs=1)  # the counts were calibrated meanwhile
    assert len(folds) == pytest.approx(len(written), abs=1)
    assert [fold[0].version for fold in folds] == [*range(1, len(folds) + 1)]
    assert all(fold[0].tokens <= 150 < fold[1].input for fold in folds)
