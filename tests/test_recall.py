"""Is what was said long ago quoted where the window does not hold it, and only there?"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import repeat
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scene import TOOLS, Make, Scene, calls

from multiturn import AsyncConversation, ContextPolicy, ConversationNotFound, Error, recall
from multiturn.conversations import Owner
from multiturn.messages import Trait
from multiturn.path import MessageRow, Path, TurnRow, sealed
from multiturn.recall import Present, better
from multiturn.sealing import seal_input
from multiturn.storage import Found, Scope
from multiturn.storage.sqlite import SQLiteStore
from multiturn.tokens import count_message
from multiturn.window import Limits, Window

POLICY = ContextPolicy(budget=700, summarize=None)
CODE = "The locker code is 48213."
QUESTION = "What was the locker code?"


@pytest.fixture
async def it(scene: Make) -> Scene:
    return scene(*repeat("Noted.", 60), policy=POLICY)


def told_at(*said: tuple[str, float]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": words, "created_at": at} for words, at in said]


async def talk(chat: AsyncConversation, turns: int = 12) -> None:
    for day in range(turns):
        await chat.send(f"Day {day}: " + "water garden tree " * 14)


def quoted(window: Window) -> str:
    return window.recalled.text.decode() if window.recalled else ""


async def test_what_a_kept_turn_quotes_is_not_quoted_again(it: Scene) -> None:
    chat = it.client.conversation("c")
    await chat.send("Keep this in mind.\nThe locker code is 48213.\n\nIt opens at noon.")
    await talk(chat)
    assert "48213" in quoted((await chat.send(QUESTION)).window)
    first = (await chat.ledger()).decisions[0]
    again = (await chat.send(QUESTION)).window
    assert "48213" not in quoted(again)
    assert again.body.count(b"48213") == 1
    assert (first.code, again.decisions[0].code) == ("recalled", "duplicate")
    assert again.decisions[0].reason() == "already in the window"
    assert (await chat.ledger()).decisions[0] == again.decisions[0]


async def test_a_day_that_is_named_decides_and_not_who_said_its_number(it: Scene) -> None:
    chat = it.client.conversation("c")
    noon, day = 1_698_840_000.0, 86_400.0  # 1 November 2023
    await chat.add(
        told_at(*((f"I bought item number {number}", noon + number * day) for number in range(40)))
    )
    for question, turn in (
        ("What did I buy on 2023-11-20?", 20),
        ("What item did I buy on November 8, 2023?", 8),
        ("我2023年11月30日买了什么？", 30),
        ("What about number 12?", 13),
    ):
        assert (await chat.recall(question, k=1))[0].turn == turn


async def test_a_date_on_which_nothing_was_said_is_found_where_it_is_spoken_of(it: Scene) -> None:
    chat = it.client.conversation("c")
    words = ("The concert was on 2019-04-07.", *(f"I bought item number {number}" for number in range(9)))
    await chat.add(told_at(*((each, 1.7e9 + number) for number, each in enumerate(words))))
    assert (await chat.recall("What was on 2019-04-07?", k=1))[0].turn == 1


@pytest.mark.parametrize("before", [0, 2])
async def test_a_long_text_that_has_left_the_window_is_quoted_from(scene: Make, before: int) -> None:
    it = scene(*repeat("Noted.", 9), policy=ContextPolicy(budget=4_000, summarize=None))
    chat = it.client.conversation("c")
    for number in range(before):
        await chat.send(f"Hello number {number}, how are you?")
    long = {"role": "user", "content": CODE + " water garden tree" * 2_600}
    await chat.add([long, {"role": "assistant", "content": "Noted."}])
    assert "48213" in quoted(await chat.window(QUESTION))
    assert not quoted(await chat.window("Please write a poem about the sea."))


@pytest.mark.parametrize("budget", [320, 450])
async def test_a_small_budget_holds_one_short_quotation(scene: Make, budget: int) -> None:
    it = scene(*repeat("Noted.", 30), policy=ContextPolicy(budget=budget, summarize=None))
    chat = it.client.conversation("c")
    await chat.send(CODE)
    await talk(chat)
    assert "48213" in quoted(await chat.window(QUESTION))


@pytest.mark.parametrize(
    ("early", "question", "fits"),
    [
        (
            "My gym bag is red.\nIt lies near the locker, beside the blue umbrella and two old coats.",
            QUESTION,
            False,
        ),
        ("The locker code was 11111, before somebody changed it.", QUESTION, True),
        ("My gym bag is red.\nIt lies near the locker.", "What did I say lies near the gym locker?", True),
    ],
)
async def test_beside_the_best_in_the_window_only_what_fits_nearly_as_well_is_quoted(
    it: Scene, early: str, question: str, fits: bool
) -> None:
    chat = it.client.conversation("c")
    await chat.send(early)
    await talk(chat)
    before = quoted(await chat.window(question))
    assert early.splitlines()[0] in before
    await chat.send(CODE)
    window = await chat.window(question)
    assert CODE.encode() in window.body
    assert (early.splitlines()[0] in quoted(window)) is fits


async def test_what_a_turn_quotes_that_is_not_sent_is_quoted_again(it: Scene) -> None:
    chat = it.client.conversation("c")
    await chat.send(CODE)
    await talk(chat)
    async with chat.prepare(QUESTION) as turn:
        assert "48213" in str(turn.messages)
    assert "48213" in quoted((await chat.send(QUESTION)).window), "nobody answered the turn that quoted it"
    await talk(chat, 20)
    assert "48213" in quoted((await chat.send(QUESTION)).window), "the turn that quoted it is long gone"


async def test_a_pinned_turn_is_not_quoted_nor_what_it_quotes(it: Scene) -> None:
    chat = it.client.conversation("c")
    await chat.send(CODE)
    await talk(chat)
    asked = await chat.send(QUESTION)
    assert "48213" in quoted(asked.window)
    await chat.pin(asked.turn)
    await talk(chat, 20)
    window = (await chat.send(QUESTION)).window
    assert window.body.count(b"48213") == 1
    assert "48213" not in quoted(window)
    assert window.decisions[0].code == "duplicate"
    await chat.pin(1)
    assert (await chat.window(QUESTION)).decisions[0].code == "pinned"


@pytest.mark.parametrize(("turn", "traits", "held"), [(3, 0, True), (2, 0, False), (2, Trait.PINNED, True)])
def test_only_what_is_sent_is_held(turn: int, traits: int, held: bool) -> None:
    """The path is read farther back than the window that begins with turn 3."""
    row = MessageRow(turn, 0, "user", Trait.QUOTED, 9, 0, b"{}", None, None, b"Turn 1\nuser: 48213\n~~~")
    present = Present.of(Path(turns=[TurnRow(turn, 3, Trait.QUOTED | traits, 9, 0, 2)], rows=[row]), 3)
    assert present.holds(1, "48213") is held
    assert not present.holds(1, "4821")
    assert present.holds(turn, "other words") is bool(traits)


async def test_a_conversation_that_vanishes_meanwhile_costs_nobody_their_turn(
    it: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = it.client.conversation("other", memory="m")
    await other.send(CODE)
    await talk(other)
    assert "48213" in quoted(await it.client.conversation("c", memory="m").window(QUESTION))
    store = it.client._store
    search = store.recall

    async def then_gone(*args: Any, **where: Any) -> Sequence[Found]:
        found = await search(*args, **where)
        with suppress(ConversationNotFound):
            await other.delete()
        return found

    monkeypatch.setattr(store, "recall", then_gone)
    reply = await it.client.conversation("c", memory="m").send(QUESTION)
    assert reply.text == "Noted."


async def test_the_question_of_an_answer_is_not_quoted_again(it: Scene) -> None:
    chat = it.client.conversation("c")
    await chat.add([{"role": "user", "content": "Where is the zebra kept?"}])
    await chat.add([{"role": "assistant", "content": "The zebra is in paddock seven, near the gate."}])
    await talk(chat)
    block = "[…]\n~~~\nTurn 1\nuser: Where is the zebra kept?\n~~~"
    row = MessageRow(5, 0, "user", Trait.QUOTED, 9, 0, b"{}", None, None, block.encode())
    bounds = Limits(700, 700, 300, recall_tokens=120, recall_turns=6)
    found = {
        held: await recall.quoted(
            it.client._store,
            Scope(Owner(), "c", before=10),
            Path(rows=[row] if held else []),
            sealed([seal_input("Where is the zebra kept, and which paddock?", count_message)], 14),
            bounds,
        )
        for held in (False, True)
    }
    words = {held: each.text.decode() if each else "" for held, each in found.items()}
    assert "paddock seven" in words[False]
    assert "Where is" in words[False]
    assert "paddock seven" in words[True]
    assert "Where is" not in words[True]


def test_only_what_stands_in_the_window_outdoes_the_rest() -> None:
    around = [("a", 0.5), ("b", 0.3), ("c", 0.1)]
    assert better(around, {"a"}) == {"a", "b"}
    assert better(around, {"b", "c"}) is None
    assert better([], {"a"}) is None


async def test_later_steps_of_a_turn_say_what_its_first_one_recalled(scene: Make) -> None:
    policy = replace(POLICY, budget=1_000)
    it = scene(*repeat("Noted.", 32), calls("a"), calls("b"), "48213.", policy=policy)
    other = it.client.conversation("other", memory="m")
    await other.send("My old locker code was 11111.")
    chat = it.client.conversation("c", memory="m")
    await chat.send(CODE)
    await talk(chat, 30)
    first = await chat.send(QUESTION, tools=TOOLS)
    again = await chat.send(tool_results={"a": "sun"})
    last = await chat.send(tool_results={"b": "rain"})
    steps = [step.window for step in (first, again, last)]
    assert [window.body.count(b"48213") for window in steps] == [1, 1, 1]
    told = [[span for span in window.spans if span.code == "recalled"] for window in steps]
    assert [(span.turns, span.place, span.messages) for span in told[0]] == [
        ((1, 1), 0, 1),
        ((1, 1), 1, 1),
        (None, None, 0),
    ]
    assert told[0][0].figures["score"]
    assert told[1:] == [told[0]] * 2
    assert (await chat.ledger()).spans == tuple(last.window.spans)
    assert [window.recalled is None for window in steps] == [False, True, True], "it is stored once"


async def test_a_step_whose_quotation_was_withdrawn_does_not_say_so(scene: Make) -> None:
    it = scene(*repeat("Noted.", 13), calls("a"), "What code?", policy=POLICY)
    chat = it.client.conversation("c")
    await chat.send(CODE)
    await talk(chat)
    asked = await chat.send(QUESTION, tools=TOOLS)
    assert asked.window.decisions[0].code == "recalled"
    await chat.retract(1)
    window = (await chat.send(tool_results={"a": "sun"})).window
    assert b"48213" not in window.body
    assert window.decisions[0].code == "retracted"


class Generous(SQLiteStore):
    """Gives all it has found, however little is wanted."""

    async def recall(self, *given: Any, least: float = 0.0, **named: Any) -> Sequence[Found]:
        return await super().recall(*given, **named)


WORDS = st.lists(
    st.sampled_from(("tea", "milk", "garden", "code 48213", "我喜欢花园", "Rex", "what was", "记得")),
    min_size=1,
    max_size=3,
).map(" ".join)
DEEDS = st.lists(
    st.tuples(st.sampled_from(("c", "d")), st.sampled_from(("add", "send", "retract")), WORDS),
    min_size=6,
    max_size=14,
)


@given(DEEDS, st.lists(WORDS, min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_what_is_told_of_few_finds_is_what_is_told_of_all(
    deeds: list[tuple[str, str, str]], questions: list[str]
) -> None:
    async def tried(folder: str) -> None:
        policy = ContextPolicy(max_messages=4, summarize=None)
        stores = [kind(f"{folder}/store.db") for kind in (SQLiteStore, Generous)]
        scenes = [Scene(*repeat("Noted.", 20), store=store, policy=policy) for store in stores]
        chats = [{n: scene.client.conversation(n, memory="m") for n in ("c", "d")} for scene in scenes]
        for name, deed, words in deeds:
            with suppress(Error):
                if deed == "retract":
                    await chats[0][name].retract(len(words) % 5 + 1)
                elif deed == "add":
                    await chats[0][name].add([{"role": "user", "content": words}])
                else:
                    await chats[0][name].send(words)
        for name in ("c", "d"):
            for question in questions:
                one, other = [await chat[name].window(question) for chat in chats]
                assert (one.body, one.recalled, list(one.spans)) == (
                    other.body,
                    other.recalled,
                    list(other.spans),
                )
        for scene, store in zip(scenes, stores, strict=True):
            await scene.client.close()
            await store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(tried(folder))
