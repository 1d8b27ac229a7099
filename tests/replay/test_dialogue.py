"""Does a path in memory read like one in a store?"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.scene import TOOLS, Make, call_of, calls

from multiturn import ContextPolicy
from multiturn.conversations import Owner, Summary
from multiturn.path import Cut, Path
from multiturn.replay.dialogue import Spoken, read, spoken
from multiturn.storage import Reach, Store
from multiturn.tokens import count_tools

OWNER = Owner()


async def awkward(scene: Make) -> tuple[Store, Spoken]:
    """A conversation with tools, thinking, pins, late instructions, a withdrawn and a failed turn."""
    it = scene("A1.", calls("c1"), "Sunny.", TimeoutError("gone"), "A4.", *(f"B{n}." for n in range(6)))
    chat = it.client.conversation("c", system="Be brief.")
    await chat.send("Q1?")
    await chat.send("Weather?", tools=TOOLS)
    await chat.send(tool_results={"c1": "sun"})
    with pytest.raises(TimeoutError):
        await chat.send("Q3?")
    await chat.send("Q4?")
    await chat.add(
        [
            {"role": "system", "content": "Now in French."},
            {"role": "user", "content": "Q5?"},
            {"role": "assistant", "content": "A5.", "reasoning_content": "Hm."},
            {"role": "user", "content": "Q6?"},
            {"role": "assistant", "content": None, "tool_calls": [call_of("c9")]},
            {"role": "tool", "tool_call_id": "c9", "content": "rain"},
            {"role": "assistant", "content": "A6."},
        ]
    )
    await chat.pin(1)
    await chat.pin(2)
    await chat.exclude(2)
    await chat.retract(5, "wrong")
    for number in range(6):
        await chat.send(f"Q{number + 7}?")
    store = it.client._store
    return store, spoken((await read(store, await store.conversation(OWNER, "c"))).turns)


def plain(path: Path) -> tuple[object, ...]:
    """What of a path must be equal: not where it was read from."""
    return (
        list(path.turns),
        list(path.bodies),
        None if path.rows is None else list(path.rows),
        list(path.standing),
        list(path.standing_at),
        path.earlier_turns,
        path.earlier_messages,
    )


REACHES = [
    Reach(),
    *(Reach(turns=number) for number in range(8)),
    *(Reach(messages=number) for number in range(0, 20, 3)),
    *(Reach(tokens=number) for number in range(0, 160, 9)),
    Reach(tokens=60, turns=3, messages=7),
]


async def test_a_path_is_read_as_a_store_reads_it(scene: Make) -> None:
    store, past = await awkward(scene)
    for reach in REACHES:
        stored = await store.gather(OWNER, "c", reach)
        assert plain(past.path(reach, stored.cut)) == plain(stored), reach


async def test_a_cut_that_holds_ends_the_reading(scene: Make) -> None:
    _, past = await awkward(scene)
    held, stale = Cut(9, "k"), Cut(9, "other")
    assert [turn.number for turn in past.path(Reach(key="k"), held).turns] == [12, 11, 10, 9]
    assert len(past.path(Reach(key="k"), stale).turns) == 12


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(0, 30), tokens=st.integers(0, 300))
def test_no_more_is_read_than_the_reach_asks_for(count: int, tokens: int) -> None:
    from tests.replay.told import dialogue

    past = spoken(dialogue(*[("Question?", "Answer.")] * count).turns)
    path = past.path(Reach(tokens=tokens), None)
    sizes = [turn.tokens for turn in path.turns]
    assert sum(sizes[:-1]) <= tokens
    assert path.earlier_turns + len(sizes) == count


async def test_what_was_billed_is_read_with_its_turn(scene: Make) -> None:
    it = scene("One.", policy=ContextPolicy.full())
    await it.client.conversation("c").send("Q?")
    found = await read(it.client._store, await it.client._store.conversation(OWNER, "c"))
    (turn,) = found.turns
    assert turn.billed is not None
    assert turn.billed.output == 4
    assert turn.model == "qwen/qwen-plus"
    assert found.model == "qwen/qwen-plus"
    assert [row.role for row in turn.rows] == ["user", "assistant"]


async def test_tools_that_were_offered_then_are_counted(scene: Make) -> None:
    it = scene("One.", calls("c1"), "Sunny.", "Bye.")
    chat = it.client.conversation("c")
    await chat.send("Q?")
    await chat.send("Weather?", tools=TOOLS)
    await chat.send(tool_results={"c1": "sun"})
    await chat.send("Thanks.", context=["It is noon, " + "and the sun shines. " * 9])
    found = await read(it.client._store, await it.client._store.conversation(OWNER, "c"))
    plain, looped, informed = (turn.besides for turn in found.turns)
    assert plain[0] < 6
    assert len(looped) == 2
    assert looped[0] == pytest.approx(1.15 * (count_tools(TOOLS) + 3), abs=4)
    assert informed[0] > 40


async def test_what_a_summary_covers_is_not_read(scene: Make) -> None:
    _, past = await awkward(scene)
    path = past.path(Reach(), None, Summary(1, 8, "Earlier.", 3))
    assert [turn.number for turn in path.turns] == [12, 11, 10, 9]
    assert path.summary is not None
    assert path.earlier_turns == 8


async def test_imported_messages_bring_their_times_along(scene: Make) -> None:
    chat = scene().client.conversation("c")
    await chat.add(
        [
            {"role": "user", "content": "Q?", "created_at": "2023-05-08T13:56:00Z"},
            {"role": "assistant", "content": "A.", "created_at": "2023-05-08T13:57:00Z"},
        ]
    )
    (turn,) = (await read(chat._store, await chat._store.conversation(OWNER, "c"))).turns
    assert turn.times == [1683554160.0, 1683554220.0]
    assert turn.at == 1683554160.0
