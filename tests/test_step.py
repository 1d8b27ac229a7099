"""Steps: loops of tools, what is in force for them, what they would send."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scene import TOOLS, Make, calls, said, sent, states, stored

from multiturn import (
    ContextOverflow,
    ContextPolicy,
    Delta,
    MessageEmpty,
    RateLimited,
    ToolCallUnknown,
    ToolResultsIncomplete,
    TurnClosed,
    TurnState,
)
from multiturn.catalog import Catalog
from multiturn.context import enough
from multiturn.conversations import Declared
from multiturn.known import Known
from multiturn.path import sealed
from multiturn.providers.demo import DemoProvider
from multiturn.sealing import seal
from multiturn.step import refuse_early
from multiturn.storage import open_store
from multiturn.terms import Engine, Input
from multiturn.tokens import count_message
from multiturn.window import Material

# ------------------------------------------------------------------------------------------ tools


async def test_a_loop_of_tools_is_one_turn_with_steps(scene: Make) -> None:
    it = scene(calls("c1", "c2"), calls("c3"), "Sunny.", "Bye.")
    chat = it.client.conversation("c")
    reply = await chat.send("Weather?", tools=TOOLS)
    assert reply.turn.state is TurnState.WAITING
    assert reply.turn.open_calls == ("c1", "c2")
    reply = await chat.send(tool_results={"c2": {"rain": False}, "c1": "sun"})
    assert [c.id for c in reply.tool_calls] == ["c3"]
    reply = await chat.send(tool_results={"c3": ""})
    assert reply.text == "Sunny."
    assert reply.turn.state is TurnState.COMPLETED
    assert reply.turn.number == 1
    assert all(request.tools == TOOLS for request in it.requests[:3])
    roles = [message["role"] for message in sent(it.requests[2])]
    assert roles == ["user", "assistant", "tool", "tool", "assistant", "tool"]
    results = {m["tool_call_id"]: m["content"] for m in sent(it.requests[2]) if m["role"] == "tool"}
    assert results["c2"] == '{"rain":false}'
    assert results["c1"] == "sun"
    assert results["c3"]
    assert await states(chat) == ["COMPLETED"]
    assert (await chat.ledger(1, step=1)).tokens < (await chat.ledger(1)).tokens
    await chat.send("Thanks.")
    assert not it.requests[3].tools, "the tools of an earlier turn are not sent with a later one"


async def test_missing_and_unknown_results_are_named_and_nothing_is_stored(scene: Make) -> None:
    it = scene(calls("c1", "c2"), "done")
    chat = it.client.conversation("c")
    await chat.send("Weather?", tools=TOOLS)
    with pytest.raises(ToolResultsIncomplete, match="c2") as missing:
        await chat.send(tool_results={"c1": "sun"})
    with pytest.raises(ToolResultsIncomplete, match="c1, c2"):
        await chat.send(tool_results={})
    with pytest.raises(ToolCallUnknown, match="c9") as unknown:
        await chat.send(tool_results={"c9": "sun"})
    assert "c1, c2" in str(unknown.value)
    assert missing.value.turn is None
    assert unknown.value.turn is None
    assert await states(chat) == ["WAITING"]
    assert len(await chat.history()) == 2
    assert (await chat.send(tool_results={"c1": "sun", "c2": "rain"})).text == "done"
    with pytest.raises((ToolCallUnknown, TurnClosed)):
        await chat.send(tool_results={"c1": "sun"})


async def test_results_without_any_call_are_refused(scene: Make) -> None:
    it = scene("fine")
    chat = it.client.conversation("c")
    with pytest.raises(ToolCallUnknown):
        await chat.send(tool_results={"c1": "sun"})
    with pytest.raises(TurnClosed):
        await chat.send(tool_results={})
    assert await stored(chat) == 0
    assert (await chat.send("a")).text == "fine"


async def test_text_instead_of_results_closes_the_calls(scene: Make) -> None:
    it = scene(calls("c1", text="Let me look."), "Fine.")
    chat = it.client.conversation("c")
    await chat.send("Weather?", tools=TOOLS)
    await chat.send("Never mind.")
    messages = sent(it.requests[1])
    assert [m["role"] for m in messages] == ["user", "assistant", "tool", "user"]
    assert messages[2]["tool_call_id"] == "c1"
    assert "interrupted" in messages[2]["content"]
    assert await states(chat) == ["INCOMPLETE", "COMPLETED"]
    assert [m.role for m in await chat.history()] == ["user", "assistant", "user", "assistant"]


async def test_a_retry_uses_the_tools_again(scene: Make) -> None:
    it = scene(RateLimited("wait", provider="qwen"), calls("c1"), "Sunny.")
    chat = it.client.conversation("c")
    with pytest.raises(RateLimited):
        await chat.send("Weather?", tools=TOOLS)
    assert (await chat.retry()).tool_calls
    assert it.requests[1].tools == TOOLS
    assert (await chat.send(tool_results={"c1": "sun"})).text == "Sunny."
    assert await states(chat) == ["COMPLETED"]


# ------------------------------------------------------------------------------- what is in force


async def test_what_is_stated_later_applies_from_the_next_turn(scene: Make) -> None:
    it = scene("A", "B", "C")
    await it.client.conversation("c", system="Be brief.", opening="Hello!").send("a")
    changed = it.client.conversation(
        "c", system="Be verbose.", model="kimi/kimi-k2.6", policy=ContextPolicy.last_turns(1)
    )
    reply = await changed.send("b")
    assert said(it.requests[0]) == ["Be brief.", "Hello!", "a"]
    assert said(it.requests[1]) == ["Be verbose.", "Hello!", "a", "A", "b"]
    assert reply.model == "kimi/kimi-k2.6"
    assert it.requests[1].model == "kimi-k2.6"
    settings = (await changed.info()).settings
    assert settings.version == 2
    assert settings.model == "kimi/kimi-k2.6"
    assert settings.opening == "Hello!"
    plain = it.client.conversation("c")
    await plain.send("c")
    assert said(it.requests[2])[0] == "Be verbose."
    assert (await plain.info()).settings.version >= 2


async def test_the_opening_stands_first_in_window_and_history(scene: Make) -> None:
    it = scene("A")
    chat = it.client.conversation("c", opening="Welcome.")
    await chat.send("a")
    assert said(it.requests[0]) == ["Welcome.", "a"]
    history = await chat.history()
    assert [(m.role, m.text) for m in history] == [
        ("assistant", "Welcome."),
        ("user", "a"),
        ("assistant", "A"),
    ]
    assert [m.text for m in await chat.history(after=0, limit=1)] == ["Welcome.", "a", "A"]
    assert await chat.history(after=1) == []


async def test_a_dry_run_calls_nobody_and_stores_nothing(scene: Make) -> None:
    it = scene("A")
    chat = it.client.conversation("c", system="Be brief.")
    assert [m["content"] for m in (await chat.window("a")).messages] == ["Be brief.", "a"]
    assert await stored(chat) == 0
    await chat.send("a")
    window = await chat.window("b", policy=ContextPolicy(max_turns=0), model="openai/gpt-5.4-mini")
    assert [m["content"] for m in window.messages] == ["Be brief.", "b"]
    assert [m["content"] for m in (await chat.window()).messages] == ["Be brief.", "a", "A"]
    assert len(it.requests) == 1
    assert await states(chat) == ["COMPLETED"]
    with pytest.raises(MessageEmpty):
        await chat.window("")


async def test_reasoning_is_stored_and_left_in_the_store(scene: Make) -> None:
    thought = Delta("391", "17 times 23 is 391", finish_reason="stop")
    it = scene(thought, "again")
    chat = it.client.conversation("c")
    await chat.send("17*23?")
    assert (await chat.history())[1].reasoning == "17 times 23 is 391"
    await chat.send("Sure?")
    assert "reasoning" not in it.requests[1].body.decode()


async def test_reasoning_is_not_kept_where_nobody_wants_it(scene: Make) -> None:
    thought = Delta("391", "17 times 23 is 391", finish_reason="stop")
    it = scene(thought, environment={"MULTITURN_KEEP_REASONING": "false"})
    chat = it.client.conversation("c")
    assert (await chat.send("17*23?")).reasoning == "17 times 23 is 391"
    assert (await chat.history())[1].reasoning is None


async def test_many_turns_that_are_never_sent_are_looked_past(scene: Make) -> None:
    """They use up what is read; then it is read farther back, for a window and for a dry run alike."""
    it = scene(*["x"] * 40)
    chat = it.client.conversation("c", policy=ContextPolicy(max_turns=2, budget=1000))
    await chat.send("I am 27.")
    for number in range(30):
        await chat.send(f"wrong {number} " + "word " * 20)
        await chat.retract(number + 2)
    window = await chat.window("How old am I?")
    assert [m["content"] for m in window.messages] == ["I am 27.", "x", "How old am I?"]
    await chat.send("How old am I?")
    assert said(it.requests[-1]) == ["I am 27.", "x", "How old am I?"]


async def test_a_fresh_handle_looks_with_what_is_stored(scene: Make) -> None:
    it = scene("A", "B")
    chat = it.client.conversation("c", system="Be brief.", policy=ContextPolicy.last_turns(0))
    await chat.send("a")
    fresh = it.client.conversation("c")
    assert [m["content"] for m in (await fresh.window("b")).messages] == ["Be brief.", "b"]
    await it.client.conversation("c", system="Be verbose.").send("b")
    assert [m["content"] for m in (await fresh.window("c")).messages] == ["Be verbose.", "c"]


@pytest.mark.parametrize("instructions", [["Be kind."], ["", "Be kind."], ["Be", "Kind."]])
async def test_instructions_edited_at_equal_length_are_a_difference(
    scene: Make, instructions: list[str]
) -> None:
    it = scene("a", "b", "c")
    before = [{"role": "system", "content": words} for words in instructions]
    after = [*before[:-1], {"role": "system", "content": instructions[-1].replace("ind", "een")}]
    for each in (before, before, after):
        await it.client.conversation("c", system=each).send("hello")
    chat = it.client.conversation("c")
    first, same, edited = [await chat.ledger(turn) for turn in (1, 2, 3)]
    assert [change.code for change in same.diff(first)] == ["tokens"]
    assert [change.code for change in edited.diff(same)] == ["instructions", "tokens"]
    assert "The instructions are different." in edited.difference(same)
    now = (await chat.window("next")).ledger
    assert "instructions" not in [change.code for change in now.diff(edited)]


async def test_material_for_one_step_is_no_difference_of_the_instructions(scene: Make) -> None:
    it = scene("a", "b")  # a model that takes one system message, the first
    chat = it.client.conversation("c", system="Be kind.")
    for hour in ("8:00", "9:00"):
        await chat.send("hello", context=[{"role": "system", "content": f"It is {hour}."}])
    assert "instructions" not in [c.code for c in (await chat.ledger(2)).diff(await chat.ledger(1))]


# ---------------------------------------------------------------------------------- what is refused


@given(st.integers(1, 60), st.lists(st.integers(1, 20), min_size=1, max_size=3), st.booleans())
def test_an_input_is_refused_early_where_no_window_would_hold_it(
    budget: int, lengths: list[int], instructed: bool
) -> None:
    declared = Declared(
        policy=ContextPolicy(budget=budget, summarize=None, recall=None).to_dict(),
        instructions=(b'{"role":"system","content":"Be brief."}',) if instructed else (),
    )
    engine = Engine(open_store(":memory:"), Catalog(), lambda card, name: DemoProvider(), "demo")
    entries = [seal({"role": "user", "content": "word " * each}, count_message) for each in lengths]
    terms = Known(declared).terms_of(engine, Input(entries))
    needed = terms.head_tokens + sum(entry.tokens for entry in entries)
    refused = needed > int(terms.limits.budget / terms.limits.scale)
    with pytest.raises(ContextOverflow) if refused else nullcontext():
        refuse_early(terms, Input(entries))
    material = Material(instructions=terms.instructions, current=sealed(entries, 1), overhead=terms.overhead)
    with pytest.raises(ContextOverflow) if refused else nullcontext():
        enough(material, terms.limits, terms.target)
