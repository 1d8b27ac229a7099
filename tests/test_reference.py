"""Is the turn or message found that is meant, and no other?"""

from __future__ import annotations

import pytest
from tests.scene import Make, said

from multiturn import (
    TurnNotFound,
)


@pytest.mark.parametrize("wanted", [0, 3, -1, "turn_x", "turn_01JCXV3Q8Z0000000000000000_0_1"])
async def test_a_turn_that_is_not_there_is_named(scene: Make, wanted: int | str) -> None:
    it = scene("A", "B")
    chat = it.client.conversation("c")
    await chat.send("a")
    await chat.send("b")
    for attempt in (
        lambda: chat.edit(wanted, "x"),
        lambda: chat.regenerate(wanted),
        lambda: chat.pin(wanted),
        lambda: chat.ledger(wanted),
        lambda: chat.retract(wanted, "why"),
    ):
        with pytest.raises(TurnNotFound) as raised:
            await attempt()
        assert str(wanted) in str(raised.value)
    assert len(await chat.branches()) == 1
    assert len(it.requests) == 2
    assert not any(turn.traits for turn in await chat.turns())


async def test_an_id_means_its_own_branch_and_conversation(scene: Make) -> None:
    it = scene("A", "B", "B2", "B3", "other", "next")
    chat = it.client.conversation("c")
    await chat.send("a")
    first = await chat.send("b")
    second = await chat.edit(2, "b2")
    await chat.pin(first.turn.id)
    assert not any(turn.traits for turn in await chat.turns()), "the turn with its number here is another one"
    assert (await chat.ledger(first.turn)) == first.window.ledger
    assert (await chat.ledger(second.turn)) == second.window.ledger
    await chat.regenerate(first.turn)
    assert said(it.requests[3]) == ["a", "A", "b"]
    elsewhere = it.client.conversation("d")
    strange = await elsewhere.send("x")
    with pytest.raises(TurnNotFound):
        await chat.pin(strange.turn)
    with pytest.raises(TurnNotFound):
        await chat.switch(strange.turn)
    with pytest.raises(TurnNotFound):
        await chat.exclude((await elsewhere.history())[0])
