"""Is the reason the true one where a turn that is never sent lies before everything that is read?"""

from __future__ import annotations

import asyncio

import pytest
from tests.scene import TOOLS, Make, Scene, calls

from multiturn import (
    AsyncConversation,
    ContentFiltered,
    ContextPolicy,
    Delta,
    Message,
    RateLimited,
    StreamCut,
    Summarize,
)
from multiturn.conversations import Summary
from multiturn.decision import Code
from multiturn.ledger import Ledger

NEWEST = ContextPolicy.last_turns(1)


async def talk(it: Scene, chat: AsyncConversation, turns: int) -> None:
    for _ in range(turns):
        await chat.send("hello")


async def reasons(chat: AsyncConversation, policy: ContextPolicy | None = None) -> list[str]:
    return [decision.code.value for decision in (await chat.window("next", policy)).decisions]


async def lines(chat: AsyncConversation) -> list[tuple[str, int, tuple[int, int] | None]]:
    return [(span.code.value, span.messages, span.turns) for span in (await chat.window("next")).spans]


async def answers(chat: AsyncConversation) -> list[Message]:
    return [message for message in await chat.history() if message.role == "assistant"]


async def test_turns_that_are_never_sent_say_so_wherever_they_lie(scene: Make) -> None:
    half = [Delta("half")]
    refused = ContentFiltered("no", provider="scripted")
    it = scene("1", "2", RateLimited("later", provider="x"), half, refused, "6", "7", "8")
    chat = it.client.conversation("c", policy=NEWEST)
    await talk(it, chat, 2)
    for error in (RateLimited, StreamCut, ContentFiltered):
        with pytest.raises(error):
            await chat.send("hello")
    await talk(it, chat, 3)
    await chat.retract(1, "wrong")
    await chat.exclude(2)
    assert await lines(chat) == [
        ("retracted", 2, (1, 1)),
        ("excluded_by_user", 2, (2, 2)),
        ("failed", 1, (3, 3)),
        ("incomplete", 2, (4, 4)),
        ("moderated", 1, (5, 5)),
        ("outside_window", 4, (6, 7)),
        ("recent", 2, (8, 8)),
        ("new", 1, (9, 9)),
    ]


async def test_the_reason_is_stored_with_the_turn(scene: Make) -> None:
    it = scene(*"12345")
    chat = it.client.conversation("c", policy=NEWEST)
    await talk(it, chat, 4)
    await chat.retract(2)
    await chat.retract(1)
    await chat.send("hello")
    ledger = await chat.ledger()
    assert [(span.code, span.turns) for span in ledger.spans] == [
        (Code.RETRACTED, (1, 2)),
        (Code.OUTSIDE_WINDOW, (3, 3)),
        (Code.RECENT, (4, 4)),
        (Code.NEW, (5, 5)),
    ]
    assert Ledger.from_json(ledger.to_json()) == ledger


async def test_where_nothing_is_read_before_the_summary_the_reason_is_still_true(scene: Make) -> None:
    it = scene(*"123456")
    summarising = ContextPolicy(summarize=Summarize(), recall=None)
    chat = it.client.conversation("c", policy=summarising)
    await talk(it, chat, 5)
    await chat.retract(2)
    written = await it.client._store.write_summary(*chat.at, Summary(0, 3, "Much.", 5), None)
    assert written is not None
    assert await reasons(chat) == ["summarised"] * 2 + ["retracted"] * 2 + ["summarised"] * 2 + [
        "recent"
    ] * 4 + ["new"]


async def test_a_message_left_out_by_hand_takes_its_results_along_and_no_more(scene: Make) -> None:
    it = scene(calls("a", "b"), "Sunny.", "2", "3", "4")
    chat = it.client.conversation("c", policy=NEWEST)
    await chat.send("Weather?", tools=TOOLS)
    await chat.send(tool_results={"a": "sun", "b": "rain"})
    await talk(it, chat, 2)
    await chat.exclude((await answers(chat))[0])
    expected = ["outside_window"] + ["excluded_by_user"] * 3 + ["outside_window"]
    assert (await reasons(chat))[:5] == expected
    whole = await chat.window("next", ContextPolicy.full())
    assert [d.code.value for d in whole.decisions][:5] == ["recent", *expected[1:4], "recent"]
    await chat.include((await answers(chat))[0])
    assert (await reasons(chat))[:5] == ["outside_window"] * 5


async def test_what_was_read_and_did_not_fit_says_the_same(scene: Make) -> None:
    """The turn that passes the limit is still read."""
    it = scene(*"123")
    chat = it.client.conversation("c", policy=ContextPolicy.last_turns(2))
    await talk(it, chat, 3)
    await chat.exclude((await answers(chat))[0])
    assert (await reasons(chat))[:2] == ["outside_window", "excluded_by_user"]


async def test_instructions_in_a_turn_that_was_taken_back_stay_in_force(scene: Make) -> None:
    it = scene(*"1234")
    chat = it.client.conversation("c", policy=NEWEST)
    await talk(it, chat, 1)
    said = [("user", "a"), ("system", "be brief"), ("assistant", "b")]
    await chat.add([{"role": role, "content": words} for role, words in said])
    await talk(it, chat, 2)
    await chat.retract(2)
    assert await reasons(chat) == [
        *["outside_window"] * 2,
        *["retracted", "system", "retracted"],
        *["outside_window"] * 2,
        *["recent"] * 2,
        "new",
    ]


async def test_many_that_cannot_be_named_are_not_kept_silent(
    scene: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multiturn.storage.sqlite_withheld.MOST", 2)
    it = scene(*"123456")
    chat = it.client.conversation("c", policy=NEWEST)
    await talk(it, chat, 5)
    await asyncio.gather(*(chat.retract(turn) for turn in (1, 3)))
    window = await chat.window("next")
    assert (window.notes, window.explain().count("withdrawn")) == ((), 0)
    await chat.retract(2)
    window = await chat.window("next")
    assert window.notes == ("oldest_told_together",)
    assert window.explain().splitlines()[-1].startswith("some of the oldest turns were withdrawn")
    assert "撤回" in window.explain("zh").splitlines()[-1]
    assert [d.code.value for d in window.decisions][:6] == ["outside_window"] * 2 + ["retracted"] * 4
