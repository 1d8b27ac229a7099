"""Which turns before what was read are never sent? They come as figures."""

from __future__ import annotations

import pytest

from multiturn.conversations import TurnState
from multiturn.messages import Trait
from multiturn.path import Path
from multiturn.storage import Reach, Start, Store
from multiturn.storage.sqlite_withheld import MOST

from .talk import ALICE, answer, ask, assistant, begin, call, finish, result, texts, user

NEWEST = Reach(turns=0)


def numbers(path: Path) -> list[int]:
    return [each.turn.number for each in path.withheld]


def places(path: Path) -> list[int]:
    return [each.at for each in path.withheld]


async def gathered(store: Store, branch: int | None = None) -> Path:
    return await store.gather(ALICE, "c", NEWEST, branch)


async def test_ordinary_turns_are_not_named(store: Store) -> None:
    await answer(store, 1, 2, 3)
    stopped = await begin(store, "u4")
    await finish(store, stopped, assistant("a"), state=TurnState.INCOMPLETE, traits=int(Trait.STOPPED))
    await store.mark(ALICE, "c", 2, set=int(Trait.PINNED))
    await answer(store, 5)
    path = await gathered(store)
    assert (list(path.withheld), path.told_from) == ([], 1)


@pytest.mark.parametrize("mark", [Trait.RETRACTED, Trait.MODERATED])
async def test_a_turn_that_was_taken_back_is_named_until_that_is_undone(store: Store, mark: int) -> None:
    await answer(store, 1, 2, 3, 4)
    await store.mark(ALICE, "c", 2, set=int(mark))
    path = await gathered(store)
    assert [tuple(each.turn) for each in path.withheld] == [(2, 3, mark, 6, 0, 2)]
    assert (places(path), path.rows, path.earlier_turns) == ([2], None, 3)
    await store.mark(ALICE, "c", 2, clear=int(mark))
    assert numbers(await gathered(store)) == []


async def test_a_turn_that_ended_badly_is_named(store: Store) -> None:
    await finish(store, await begin(store, "u1"), state=TurnState.FAILED)
    await finish(store, await begin(store, "u2"), assistant("a2"), state=TurnState.INCOMPLETE)
    moderated = int(Trait.MODERATED)
    await finish(store, await begin(store, "u3"), state=TurnState.FAILED, traits=moderated)
    await begin(store, "u4", hold=0.01)  # its holder dies
    await answer(store, 5, 6)
    path = await gathered(store)
    assert [(each.turn.number, each.turn.state, each.at) for each in path.withheld] == [
        (1, TurnState.FAILED, 0),
        (2, TurnState.INCOMPLETE, 1),
        (3, TurnState.FAILED, 3),
        (4, TurnState.INCOMPLETE, 4),
    ]
    assert path.withheld[2].turn.traits & Trait.MODERATED


async def test_one_failure_alone_is_enough(store: Store) -> None:
    """Where nothing ever went wrong nobody looks for it."""
    await finish(store, await begin(store, "u1"), state=TurnState.FAILED)
    await answer(store, 2)
    assert numbers(await gathered(store)) == [1]


async def test_one_holder_who_died_is_enough(store: Store) -> None:
    await begin(store, "u1", hold=0.01)
    await answer(store, 2)
    assert numbers(await gathered(store)) == [1]


async def test_a_turn_that_was_repeated_and_done_is_not_named(store: Store) -> None:
    await finish(store, await begin(store, "u1"), state=TurnState.FAILED)
    begun = await store.begin(ALICE, "c", Start(again=True))
    assert begun.lease is not None
    await finish(store, begun.lease, assistant("a1"))
    await answer(store, 2)
    assert numbers(await gathered(store)) == []


async def test_of_a_turn_that_was_left_out_by_hand_the_messages_come_without_words(store: Store) -> None:
    await store.add(ALICE, "c", [[user("u1"), call("x"), result("x", "r"), assistant("a1")]])
    await answer(store, 2, 3)
    await store.mark(ALICE, "c", 1, place=1, set=int(Trait.EXCLUDED))
    (each,) = (await gathered(store)).withheld
    assert [(row.turn, row.place, row.role) for row in each.rows] == [
        (1, 0, "user"),
        (1, 1, "assistant"),
        (1, 2, "tool"),
        (1, 3, "assistant"),
    ]
    assert [bool(row.traits & Trait.EXCLUDED) for row in each.rows] == [False, True, False, False]
    assert {row.body for row in each.rows} == {b""}
    await store.mark(ALICE, "c", 1, place=1, clear=int(Trait.EXCLUDED))
    assert numbers(await gathered(store)) == []


async def test_a_message_whose_words_were_deleted_is_named(store: Store) -> None:
    await answer(store, 1, 2)
    gone = user("")._replace(traits=int(Trait.EXCLUDED | Trait.DELETED | Trait.BARE))
    await store.rewrite(ALICE, "c", 1, {0: gone})
    assert numbers(await gathered(store)) == [1]


async def test_only_turns_before_what_was_read_are_named(store: Store) -> None:
    await answer(store, 1, 2, 3, 4)
    for turn in (1, 3):
        await store.mark(ALICE, "c", turn, set=int(Trait.RETRACTED))
    assert numbers(await gathered(store)) == [1, 3]
    assert numbers(await store.gather(ALICE, "c", Reach(turns=1))) == [1]
    assert numbers(await store.gather(ALICE, "c", Reach())) == []
    assert numbers(await store.gather(ALICE, "c", Reach(turns=0, before=3))) == [1]
    assert numbers(await store.gather(ALICE, "c", Reach(turns=0, before=1))) == []


async def test_they_stand_beside_pins(store: Store) -> None:
    await answer(store, 1, 2, 3, 4)
    await store.mark(ALICE, "c", 1, set=int(Trait.PINNED))
    await store.mark(ALICE, "c", 2, set=int(Trait.RETRACTED))
    path = await gathered(store)
    assert (texts(path.standing), numbers(path), places(path)) == (["u1", "a1"], [2], [2])
    await store.mark(ALICE, "c", 1, set=int(Trait.RETRACTED))
    path = await gathered(store)
    assert (list(path.standing), numbers(path), places(path)) == ([], [1, 2], [0, 2])


async def test_a_branch_names_those_it_shares_and_its_own(store: Store) -> None:
    await answer(store, 1, 2, 3)
    await store.mark(ALICE, "c", 1, set=int(Trait.RETRACTED))
    await store.mark(ALICE, "c", 3, set=int(Trait.RETRACTED))
    await ask(store, "other", "a", after=2)
    await finish(store, await begin(store, "u4"), state=TurnState.FAILED)
    await answer(store, 5, 6)
    path = await gathered(store)
    assert (numbers(path), places(path)) == ([1, 4], [0, 6])
    path = await gathered(store, 0)
    assert (numbers(path), places(path)) == ([1], [0])


async def failing(store: Store, turns: int) -> None:
    """Turns of which every other one is taken back."""
    await answer(store, *range(1, 2 * turns + 2))
    for turn in range(1, 2 * turns, 2):
        await store.mark(ALICE, "c", turn, set=int(Trait.RETRACTED))


async def test_of_very_many_the_newest_are_named_and_from_where_on_is_told(store: Store) -> None:
    await failing(store, MOST)
    path = await gathered(store)
    assert (len(path.withheld), path.told_from) == (MOST, 1)
    await answer(store, 1, 2)
    await store.mark(ALICE, "c", 2 * MOST + 1, set=int(Trait.RETRACTED))
    path = await gathered(store)
    assert (len(path.withheld), path.told_from) == (MOST, 3)
    assert numbers(path)[0] == 3
    assert numbers(path) == sorted(numbers(path))


async def test_a_conversation_of_somebody_else_names_nothing(store: Store) -> None:
    await answer(store, 1, 2)
    await store.mark(ALICE, "c", 1, set=int(Trait.RETRACTED))
    await answer(store, 1, 2, conversation="d")
    assert numbers(await store.gather(ALICE, "d", NEWEST)) == []
