"""What stands for the oldest turns: which summary is in force, for which branch, and what it replaced."""

from __future__ import annotations

import asyncio

import pytest

from multiturn.conversations import Declared, Owner, Summary, TurnState
from multiturn.errors import ConversationError, ConversationNotFound, TurnNotFound
from multiturn.messages import Trait
from multiturn.path import Cut
from multiturn.storage import Reach, Start, Store

from .talk import (
    ALICE,
    answer,
    ask,
    assistant,
    begin,
    bodies,
    call,
    finish,
    held,
    result,
    system,
    texts,
    user,
)

BOB = Owner("shop", "bob")


async def write(
    store: Store,
    upto: int,
    text: str = "they spoke",
    expected: int | None = None,
    branch: int | None = None,
    model: str | None = "m",
) -> Summary | None:
    return await store.write_summary(ALICE, "c", Summary(0, upto, text, 5, model), expected, branch)


async def in_force(store: Store, branch: int | None = None) -> tuple[int, int] | None:
    """Version and last turn of the summary in force, which every way of reading agrees about."""
    told = await store.summaries(ALICE, "c", branch)
    path = await store.gather(ALICE, "c", Reach(), branch)
    assert path.summary == (told[0] if told else None)
    return None if path.summary is None else (path.summary.version, path.summary.upto)


async def versions(store: Store, branch: int | None = None) -> list[int]:
    return [summary.version for summary in await store.summaries(ALICE, "c", branch)]


# ------------------------------------------------------------------------------------------ writing


async def test_a_summary_is_given_back_as_it_was_written(store: Store) -> None:
    await answer(store, 1, 2, 3)
    text = '她叫 Alice。\0 \U0001f600 "quoted"\n'
    written = await write(store, 2, text, model="qwen/qwen-plus")
    assert written is not None
    assert (written.version, written.upto, written.text, written.tokens) == (1, 2, text, 5)
    assert (written.model, written.edited) == ("qwen/qwen-plus", False)
    turn = (await store.turns(ALICE, "c"))[-1]
    assert turn.created_at <= written.created_at < turn.created_at + 60
    assert await store.summaries(ALICE, "c") == [written]
    assert (await store.gather(ALICE, "c", Reach())).summary == written


async def test_without_one_there_is_none(store: Store) -> None:
    await answer(store, 1, 2)
    assert await in_force(store) is None
    assert await store.undo_summary(ALICE, "c") is None


async def test_it_is_put_in_force_only_over_the_one_that_was_known(store: Store) -> None:
    await answer(store, 1, 2, 3, 4)
    assert await write(store, 1, expected=1) is None
    assert await write(store, 1)
    assert await write(store, 2) is None
    assert await write(store, 2, expected=2) is None
    assert await in_force(store) == (1, 1)
    assert await write(store, 2, expected=1)
    assert await in_force(store) == (2, 2)


async def test_of_many_at_once_one_is_put_in_force(store: Store) -> None:
    await answer(store, 1, 2, 3)
    written = await asyncio.gather(*(write(store, 2, f"by {n}") for n in range(8)))
    (winner,) = [one for one in written if one is not None]
    assert winner.version == 1
    assert await store.summaries(ALICE, "c") == [winner]


@pytest.mark.parametrize("upto", [-1, 0, 4])
async def test_it_stands_for_turns_that_are_there(store: Store, upto: int) -> None:
    await answer(store, 1, 2, 3)
    with pytest.raises(TurnNotFound):
        await write(store, upto)
    assert await in_force(store) is None


async def test_one_by_hand_is_a_version_too(store: Store) -> None:
    await answer(store, 1, 2, 3)
    await write(store, 2)
    edited = await write(store, 2, "mine", expected=1, model=None)
    assert edited is not None
    assert (edited.version, edited.edited) == (2, True)
    assert [(one.version, one.edited) for one in await store.summaries(ALICE, "c")] == [(2, True), (1, False)]


async def test_a_change_of_model_and_policy_leaves_it_in_force(store: Store) -> None:
    await answer(store, 1, 2, 3)
    await write(store, 2)
    await store.declare(ALICE, "c", Declared(model="other", policy={"budget": 1}))
    path = await store.gather(ALICE, "c", Reach(key="another key"))
    assert path.summary is not None
    assert [turn.number for turn in path.turns] == [3]


async def test_nobody_else_sees_or_writes_it(store: Store) -> None:
    await answer(store, 1, 2, 3)
    await write(store, 2)
    with pytest.raises(ConversationNotFound):
        await store.summaries(BOB, "c")
    with pytest.raises(ConversationNotFound):
        await store.write_summary(BOB, "c", Summary(0, 1, "x", 1), 1)
    with pytest.raises(ConversationNotFound):
        await store.undo_summary(BOB, "c")
    with pytest.raises(ConversationNotFound):
        await store.summaries(ALICE, "none")
    with pytest.raises(ConversationError, match="branch 7"):
        await store.summaries(ALICE, "c", 7)
    assert await in_force(store) == (1, 2)


# ------------------------------------------------------------------------------------------ undoing


async def test_undoing_walks_back_to_what_was_replaced(store: Store) -> None:
    await answer(store, 1, 2, 3, 4)
    first = await write(store, 1)
    second = await write(store, 2, expected=1)
    await write(store, 3, expected=2)
    assert await versions(store) == [3, 2, 1]
    assert await store.undo_summary(ALICE, "c") == second
    assert await versions(store) == [2, 1]
    assert await store.undo_summary(ALICE, "c") == first
    assert await in_force(store) == (1, 1)
    assert await store.undo_summary(ALICE, "c") is None
    assert await in_force(store) is None
    assert await store.undo_summary(ALICE, "c") is None


async def test_no_version_is_used_twice(store: Store) -> None:
    await answer(store, 1, 2, 3)
    await write(store, 1)
    await write(store, 2, expected=1)
    await store.undo_summary(ALICE, "c")
    again = await write(store, 2, "better", expected=1)
    assert again is not None
    assert again.version == 3
    assert await versions(store) == [3, 1]
    assert await store.undo_summary(ALICE, "c") is not None
    assert await in_force(store) == (1, 1)


# ------------------------------------------------------------------------------------------ reading


async def test_what_it_stands_for_is_not_read(store: Store) -> None:
    await answer(store, 1, 2, 3, 4)
    await write(store, 2)
    path = await store.gather(ALICE, "c", Reach())
    assert bodies(path.bodies) == ["u3", "a3", "u4", "a4"]
    assert [turn.number for turn in path.turns] == [4, 3]
    assert (path.earlier_turns, path.earlier_messages) == (2, 4)
    assert len(await store.history(ALICE, "c")) == 8


async def test_nothing_but_the_summary_may_be_left(store: Store) -> None:
    await answer(store, 1, 2)
    await write(store, 2)
    path = await store.gather(ALICE, "c", Reach())
    assert (len(path.turns), len(path.bodies)) == (0, 0)
    assert (path.earlier_turns, path.earlier_messages) == (2, 4)


@pytest.mark.parametrize(
    ("cut", "read"), [(Cut(2, "k"), [5, 4]), (Cut(5, "k"), [5]), (Cut(5, "old"), [5, 4])]
)
async def test_the_later_of_cut_and_summary_bounds_the_reading(
    store: Store, cut: Cut, read: list[int]
) -> None:
    await answer(store, 1, 2, 3, 4)
    await finish(store, await begin(store, "u5"), assistant("a5"), cut=cut)
    await write(store, 3)
    path = await store.gather(ALICE, "c", Reach(key="k"))
    assert [turn.number for turn in path.turns] == read
    assert path.earlier_messages == 2 * (read[-1] - 1)


async def test_pinned_turns_and_instructions_are_read_all_the_same(store: Store) -> None:
    await store.add(ALICE, "c", [[system("be brief"), user("u1"), assistant("a1")]])
    await answer(store, 2, 3, 4)
    await store.mark(ALICE, "c", 2, set=int(Trait.PINNED))
    await write(store, 3)
    path = await store.gather(ALICE, "c", Reach())
    assert texts(path.standing) == ["be brief", "u2", "a2"]
    assert list(path.standing_at) == [0, 3, 4]
    assert bodies(path.bodies) == ["u4", "a4"]
    assert (path.earlier_turns, path.earlier_messages) == (3, 7)


async def test_the_turn_being_answered_is_read_beside_it(store: Store) -> None:
    await answer(store, 1, 2)
    await write(store, 1)
    lease = await begin(store, "u3")
    path = await store.gather(ALICE, "c", Reach(before=3, current=3))
    assert texts(path.current) == ["u3"]
    assert path.summary is not None
    assert [turn.number for turn in path.turns] == [2]
    await finish(store, lease, assistant("a3"))


async def test_one_that_tells_of_later_turns_is_not_read(store: Store) -> None:
    """A look back at an old turn: its window knew nothing of what came after."""
    await answer(store, 1, 2, 3, 4)
    await write(store, 3)
    path = await store.gather(ALICE, "c", Reach(before=3))
    assert path.summary is None
    assert [turn.number for turn in path.turns] == [2, 1]
    path = await store.gather(ALICE, "c", Reach(before=4))
    assert path.summary is not None
    assert path.turns == []


# ----------------------------------------------------------------------------------------- branches


async def test_a_fork_takes_the_newest_that_covers_only_what_it_shares(store: Store) -> None:
    await answer(store, 1, 2, 3, 4, 5)
    await write(store, 1)
    await write(store, 3, expected=1)
    await write(store, 4, expected=2)
    for after, expected in [(5, (3, 4)), (4, (3, 4)), (3, (2, 3)), (2, (1, 1)), (1, (1, 1)), (0, None)]:
        branch = await store.fork(ALICE, "c", after)
        assert await in_force(store, branch) == expected, after
    assert await in_force(store) == (3, 4)


async def test_an_edited_turn_is_not_in_the_summary_of_its_branch(store: Store) -> None:
    await answer(store, 1, 2, 3, 4)
    await write(store, 1)
    await write(store, 3, expected=1)
    await ask(store, "edited", "ok", after=1)
    assert await in_force(store) == (1, 1)
    assert await in_force(store, 0) == (2, 3)
    await ask(store, "from the start", "ok", after=0)
    assert await in_force(store) is None


async def test_a_branch_made_before_does_not_see_it(store: Store) -> None:
    await answer(store, 1, 2, 3)
    older = await store.fork(ALICE, "c", 2)
    await write(store, 2)
    assert await in_force(store, older) is None
    assert [t.number for t in (await store.gather(ALICE, "c", Reach(), older)).turns] == [2, 1]


async def test_branches_have_summaries_of_their_own(store: Store) -> None:
    await answer(store, 1, 2, 3)
    await write(store, 1, "shared")
    await ask(store, "edited", "ok", after=2)
    await write(store, 2, "of the branch", expected=1)
    await write(store, 2, "of the first", expected=1, branch=0)
    assert [one.text for one in await store.summaries(ALICE, "c", 1)] == ["of the branch", "shared"]
    assert [one.text for one in await store.summaries(ALICE, "c", 0)] == ["of the first", "shared"]
    assert (await versions(store, 1), await versions(store, 0)) == ([2, 1], [3, 1])
    await store.undo_summary(ALICE, "c", 1)
    assert await in_force(store, 1) == (1, 1)
    assert await in_force(store, 0) == (3, 2)


async def test_a_fork_undoes_only_to_what_covers_shared_turns(store: Store) -> None:
    """A summary that reaches less far replaced one that reached further."""
    await answer(store, 1, 2, 3, 4)
    await write(store, 4)
    await write(store, 1, expected=1)
    branch = await store.fork(ALICE, "c", 2)
    assert await versions(store, branch) == [2]
    assert await store.undo_summary(ALICE, "c", branch) is None
    assert await versions(store) == [2, 1]


async def test_a_fork_of_a_fork_undoes_no_further_than_its_parent(store: Store) -> None:
    """Turn 4 of the first branch is in the oldest summary, and on no other path."""
    await answer(store, 1, 2, 3, 4)
    await write(store, 4)
    await write(store, 1, expected=1)
    await ask(store, "e3", "ok", after=2)
    await answer(store, 4, 5)
    assert await versions(store, await store.fork(ALICE, "c", 4, 1)) == [2]


async def test_a_fork_of_a_fork_takes_what_its_parent_wrote(store: Store) -> None:
    await answer(store, 1, 2)
    await ask(store, "e2", "ok", after=1)
    await answer(store, 3, 4)
    await write(store, 3, branch=1)
    branch = await store.fork(ALICE, "c", 3, 1)
    assert await in_force(store, branch) == (1, 3)
    assert await in_force(store, 0) is None


async def test_a_turn_that_changes_is_no_longer_summarised(store: Store) -> None:
    """Tool results arrive, or a failed turn is repeated: what was written of it is of another turn."""
    await answer(store, 1)
    lease = await begin(store, "u2")
    await finish(store, lease, call("x"), state=TurnState.WAITING, open_calls=("x",))
    await write(store, 1)
    await write(store, 2, expected=1)
    sharing = await store.fork(ALICE, "c", 2)
    copying = await store.fork(ALICE, "c", 2)
    start = Start(entries=[result("x", "ok")], results=("x",), branch=copying)
    await finish(store, held(await store.begin(ALICE, "c", start)), assistant("a2"))
    assert await in_force(store, copying) == (1, 1)
    assert await in_force(store) == (2, 2)
    assert await in_force(store, sharing) == (2, 2)
    start = Start(entries=[result("x", "ok")], results=("x",))
    await finish(store, held(await store.begin(ALICE, "c", start)), assistant("a2"))
    assert await in_force(store) == (1, 1)
    assert await in_force(store, sharing) == (1, 1)


async def test_a_turn_that_is_repeated_is_no_longer_summarised(store: Store) -> None:
    await answer(store, 1)
    await finish(store, await begin(store, "u2"), state=TurnState.FAILED)
    await write(store, 2)
    await finish(store, held(await store.begin(ALICE, "c", Start(again=True))), assistant("a2"))
    assert await in_force(store) is None
    assert [turn.number for turn in (await store.gather(ALICE, "c", Reach())).turns] == [2, 1]


# ----------------------------------------------------------------------------------------- deletion


async def test_deleting_takes_them_along(store: Store) -> None:
    await answer(store, 1, 2)
    await write(store, 1)
    await store.delete(ALICE, "c")
    await answer(store, 1, 2)
    assert await in_force(store) is None
    written = await write(store, 1)
    assert written is not None
    assert written.version == 1
    await store.delete_user(ALICE)
    await answer(store, 1, 2)
    assert await in_force(store) is None


# ------------------------------------------------------------------------------------------ reading


async def test_whoever_wants_the_turns_themselves_reads_them_as_if_none_stood_for_them(store: Store) -> None:
    await answer(store, 1, 2, 3, 4)
    await write(store, 2)
    assert [turn.number for turn in (await store.gather(ALICE, "c", Reach())).turns] == [4, 3]
    path = await store.gather(ALICE, "c", Reach(summary=False))
    assert [turn.number for turn in path.turns] == [4, 3, 2, 1]
    assert path.summary is None


async def test_how_many_messages_a_summary_stands_for_is_told_where_more_was_left_unread(
    store: Store,
) -> None:
    await store.add(ALICE, "c", [[user("one"), assistant("two"), assistant("three")]])
    await answer(store, 2, 3, 4, 5)
    await write(store, 1)
    for reach in (Reach(turns=1), Reach(turns=0), Reach(turns=1, before=5)):
        path = await store.gather(ALICE, "c", reach)
        assert path.earlier_turns > 1
        assert path.summarised == 3
    assert (await store.gather(ALICE, "c", Reach())).summarised is None
    await ask(store, "odd", "reply", after=2)
    assert (await store.gather(ALICE, "c", Reach(turns=0))).summarised == 3


async def test_a_branch_that_repeats_the_turn_of_another_still_shares_what_lies_before(store: Store) -> None:
    await answer(store, 1)
    first = await store.fork(ALICE, "c", 1)
    await ask(store, "u2", "a2", branch=first)
    second = await store.fork(ALICE, "c", 2, first)
    await store.switch(ALICE, "c", second)
    await store.add(ALICE, "c", [[assistant("late")]])
    assert await write(store, 1, branch=second)
    await store.mark(ALICE, "c", 1, set=Trait.RETRACTED, branch=0)
    assert await in_force(store, second) is None
