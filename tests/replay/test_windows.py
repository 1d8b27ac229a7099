"""Are the windows of a replay those that would have been sent?"""

from __future__ import annotations

import pytest
from tests.replay.told import dialogue, said, terms
from tests.scene import TOOLS, Make, calls

from multiturn import ContextPolicy, Delta, Usage
from multiturn.conversations import Owner
from multiturn.replay import Dialogue, read
from multiturn.replay.fates import Fates, fates
from multiturn.replay.windows import windows
from multiturn.step import Input, terms_of

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
