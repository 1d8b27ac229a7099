"""Paths that share their beginning."""

from __future__ import annotations

import asyncio

import pytest

from multiturn.conversations import Address, Declared, TurnState
from multiturn.errors import (
    ConversationBusy,
    ConversationError,
    ConversationNotFound,
    ToolCallUnknown,
    TurnNotFound,
)
from multiturn.messages import Trait
from multiturn.path import Cut
from multiturn.storage import Extent, Partial, Reach, Start, Store

from .talk import ALICE, answer, ask, assistant, begin, call, finish, held, result, said, user


async def test_editing_makes_a_branch_and_goes_on_with_it(store: Store) -> None:
    await answer(store, 1, 2, 3)
    turn = await ask(store, "edited", "new", after=1)
    assert (turn.number, turn.branch) == (2, 1)
    assert Address.parse(turn.id) == Address((await store.conversation(ALICE, "c")).ulid, 1, 2)
    assert await said(store) == ["u1", "a1", "edited", "new"]
    assert await said(store, branch=0) == ["u1", "a1", "u2", "a2", "u3", "a3"]
    await answer(store, 4)
    assert await said(store) == ["u1", "a1", "edited", "new", "u4", "a4"]
    first, second = await store.branches(ALICE, "c")
    assert (first.number, first.parent, first.fork, first.turns, first.in_use) == (0, None, 0, 3, False)
    assert (second.number, second.parent, second.fork, second.turns, second.in_use) == (1, 0, 1, 3, True)


async def test_turns_know_the_branch_that_holds_them(store: Store) -> None:
    await answer(store, 1, 2)
    await ask(store, "edited", "new", after=1)
    assert [(turn.branch, turn.number) for turn in await store.turns(ALICE, "c")] == [(0, 1), (1, 2)]
    ids = [Address.parse(told.id) for told in await store.history(ALICE, "c")]
    assert [(i.branch, i.turn, i.place) for i in ids if i] == [(0, 1, 0), (0, 1, 1), (1, 2, 0), (1, 2, 1)]


async def test_editing_the_very_first_turn(store: Store) -> None:
    await answer(store, 1, 2)
    await ask(store, "other", "start", after=0)
    assert await said(store) == ["other", "start"]
    assert (await store.turns(ALICE, "c"))[0].number == 1
    assert (await store.conversation(ALICE, "c")).turns == 1


async def test_branches_of_branches(store: Store) -> None:
    """Every turn is edited on the branch made before: the path goes through all of them."""
    await answer(store, *range(1, 13))
    for number in range(1, 13):
        await ask(store, f"e{number}", "ok", after=number - 1)
        await answer(store, *range(number + 1, 13))
    assert (await said(store))[::2] == [f"e{number}" for number in range(1, 13)]
    assert (await said(store, branch=7))[::2] == [
        *(f"e{number}" for number in range(1, 8)),
        *(f"u{number}" for number in range(8, 13)),
    ]
    for branch in range(13):
        whole = await said(store, branch=branch)
        for turns in range(12):
            path = await store.gather(ALICE, "c", Reach(turns=turns), branch)
            assert [turn.number for turn in path.turns] == list(range(12, 11 - turns, -1))
            assert path.earlier_messages == 24 - 2 * (turns + 1)
            assert len(path.bodies) == 2 * (turns + 1)
        assert len(whole) == 24


async def test_the_parent_is_whoever_holds_the_last_shared_turn(store: Store) -> None:
    await answer(store, 1, 2, 3)
    await ask(store, "e3", "ok", after=2)
    await ask(store, "e2", "ok", after=1)
    branches = await store.branches(ALICE, "c")
    assert [(b.parent, b.fork) for b in branches] == [(None, 0), (0, 2), (0, 1)]


async def test_forking_leaves_the_branch_in_use(store: Store) -> None:
    await answer(store, 1, 2)
    assert await store.fork(ALICE, "c", 1) == 1
    assert await said(store) == ["u1", "a1", "u2", "a2"]
    assert await said(store, branch=1) == ["u1", "a1"]
    await ask(store, "x", "y", branch=1)
    assert await said(store, branch=1) == ["u1", "a1", "x", "y"]
    assert (await store.conversation(ALICE, "c")).branch == 0
    assert await store.fork(ALICE, "c", 2, branch=1) == 2
    assert await said(store, branch=2) == ["u1", "a1", "x", "y"]


async def test_switching_back_and_forth(store: Store) -> None:
    await answer(store, 1, 2)
    await ask(store, "x", "y", after=1)
    await store.switch(ALICE, "c", 0)
    conversation = await store.conversation(ALICE, "c")
    assert (conversation.branch, conversation.turns, conversation.messages) == (0, 2, 4)
    await answer(store, 3)
    assert await said(store) == ["u1", "a1", "u2", "a2", "u3", "a3"]
    await store.switch(ALICE, "c", 1)
    assert await said(store) == ["u1", "a1", "x", "y"]


async def test_branches_and_turns_that_are_not_there(store: Store) -> None:
    await answer(store, 1)
    for after in (2, -1):
        with pytest.raises(TurnNotFound):
            await store.fork(ALICE, "c", after)
        with pytest.raises(TurnNotFound):
            await store.begin(ALICE, "c", Start(entries=[user("x")], after=after))
    with pytest.raises(ConversationError):
        await store.switch(ALICE, "c", 1)
    with pytest.raises(ConversationError):
        await store.history(ALICE, "c", branch=1)
    with pytest.raises(ConversationNotFound):
        await store.fork(ALICE, "other", 0)
    assert len(await store.branches(ALICE, "c")) == 1


async def test_a_shared_turn_that_failed_is_repeated_on_one_branch_only(store: Store) -> None:
    await answer(store, 1)
    await finish(store, await begin(store, "u2"), assistant("half"), state=TurnState.INCOMPLETE)
    await store.fork(ALICE, "c", 2)
    await answer(store, 3)
    begun = await store.begin(ALICE, "c", Start(again=True, branch=1))
    assert (held(begun).branch, held(begun).turn) == (1, 2)
    await finish(store, held(begun), assistant("whole"))
    assert await said(store, branch=1) == ["u1", "a1", "u2", "whole"]
    assert await said(store, branch=0) == ["u1", "a1", "u2", "half", "u3", "a3"]
    assert (await store.branches(ALICE, "c"))[1].fork == 1


async def test_a_shared_first_turn_that_failed_is_repeated(store: Store) -> None:
    await finish(store, await begin(store, "u1"), state=TurnState.FAILED)
    await store.fork(ALICE, "c", 1)
    begun = await store.begin(ALICE, "c", Start(again=True, branch=1))
    await finish(store, held(begun), assistant("a1"))
    assert await said(store, branch=1) == ["u1", "a1"]
    assert await said(store, branch=0) == ["u1"]


async def test_a_shared_turn_that_waits_goes_on_where_its_results_come(store: Store) -> None:
    await answer(store, 1)
    await finish(store, await begin(store, "u2"), call("x"), state=TurnState.WAITING, open_calls=("x",))
    await store.fork(ALICE, "c", 2)
    begun = await store.begin(ALICE, "c", Start(entries=[result("x", "r")], results=("x",), branch=1))
    await finish(store, held(begun), assistant("done"))
    assert await said(store, branch=1) == ["u1", "a1", "u2", None, "r", "done"]
    assert await said(store, branch=0) == ["u1", "a1", "u2", None]
    again = await store.begin(ALICE, "c", Start(entries=[result("x", "q")], results=("x",), branch=0))
    await finish(store, held(again), assistant("other"))
    assert await said(store, branch=0) == ["u1", "a1", "u2", None, "q", "other"]


async def test_going_on_from_a_shared_turn_that_waits_closes_it(store: Store) -> None:
    await finish(store, await begin(store, "u1"), call("x"), state=TurnState.WAITING, open_calls=("x",))
    await ask(store, "u2", "a2", after=1)
    assert (await store.turns(ALICE, "c", branch=0))[0].state is TurnState.INCOMPLETE
    with pytest.raises(ToolCallUnknown):
        await store.begin(ALICE, "c", Start(entries=[result("x", "r")], results=("x",), branch=0))


async def test_editing_before_a_turn_that_waits_leaves_it_waiting(store: Store) -> None:
    await answer(store, 1)
    await finish(store, await begin(store, "u2"), call("x"), state=TurnState.WAITING, open_calls=("x",))
    await ask(store, "edited", "ok", after=1)
    begun = await store.begin(ALICE, "c", Start(entries=[result("x", "r")], results=("x",), branch=0))
    assert held(begun).turn == 2


async def test_a_running_turn_that_is_shared_grows_on_all_paths(store: Store) -> None:
    """A branch is made while its last shared turn still runs; branches of that branch count right too."""
    await answer(store, 1)
    lease = await begin(store, "u2")
    await store.fork(ALICE, "c", 2)
    await store.fork(ALICE, "c", 1)
    await finish(store, lease, assistant("a2"))
    await ask(store, "u3", "a3", branch=1)
    for branch, messages in ((0, 4), (1, 6), (2, 2)):
        assert len(await said(store, branch=branch)) == messages
        path = await store.gather(ALICE, "c", Reach(turns=0), branch)
        assert path.earlier_messages == messages - 2
        await store.switch(ALICE, "c", branch)
        assert (await store.conversation(ALICE, "c")).messages == messages


async def test_growth_reaches_the_heirs_of_heirs(store: Store) -> None:
    lease = await begin(store, "u1")
    await store.append(lease, Partial("half"))
    await store.fork(ALICE, "c", 1)
    await store.renew(lease, 0.03)
    await asyncio.sleep(0.06)
    await ask(store, "u2", "a2", branch=1)
    await ask(store, "u3", "a3", after=2, branch=1)
    assert await said(store) == ["u1", "half", "u2", "a2", "u3", "a3"]
    assert (await store.conversation(ALICE, "c")).messages == 6
    begun = await store.begin(ALICE, "c", Start(again=True, branch=0))
    await finish(store, held(begun), call("x"), state=TurnState.WAITING, open_calls=("x",))
    begun = await store.begin(ALICE, "c", Start(entries=[result("x", "r")], results=("x",), branch=0))
    await finish(store, held(begun), assistant("whole"))
    assert (await store.conversation(ALICE, "c")).messages == 8
    assert await said(store) == ["u1", None, "r", "whole", "u2", "a2", "u3", "a3"]
    assert (await store.gather(ALICE, "c", Reach(turns=0))).earlier_messages == 6


async def test_marks_on_a_shared_turn_hold_on_every_path(store: Store) -> None:
    await answer(store, 1, 2)
    await ask(store, "x", "y", after=1)
    await store.mark(ALICE, "c", 1, set=int(Trait.PINNED))
    for branch in (0, 1):
        assert (await store.turns(ALICE, "c", branch=branch))[0].traits == Trait.PINNED
    await store.mark(ALICE, "c", 2, set=int(Trait.PINNED))
    assert (await store.turns(ALICE, "c", branch=0))[1].traits == 0


async def test_importing_goes_where_it_is_wanted(store: Store) -> None:
    await answer(store, 1, 2)
    await store.fork(ALICE, "c", 1)
    await store.add(ALICE, "c", [[user("u3"), assistant("a3")]], branch=1)
    assert await said(store) == ["u1", "a1", "u2", "a2"]
    assert await said(store, branch=1) == ["u1", "a1", "u3", "a3"]
    with pytest.raises(ConversationError):
        await store.add(ALICE, "c", [[user("x")]], branch=7)


async def test_importing_goes_on_with_a_shared_turn_on_its_own_branch(store: Store) -> None:
    await store.add(ALICE, "c", [[user("u1")]])
    await store.fork(ALICE, "c", 1)
    await answer(store, 2)
    await store.switch(ALICE, "c", 1)
    await store.add(ALICE, "c", [[assistant("late")], [user("u3"), assistant("a3")]])
    assert await said(store) == ["u1", "late", "u3", "a3"]
    assert await said(store, branch=0) == ["u1", "u2", "a2"]


# --------------------------------------------------------------------------- what is kept with a branch


async def test_the_last_request_and_the_scale_of_the_cut_are_kept(store: Store) -> None:
    await answer(store, 1)
    path = await store.gather(ALICE, "c", Reach())
    assert (path.request, path.cut) == (None, None)
    lease = await begin(store, "u2")
    await finish(store, lease, assistant("a2"), request=b"\0first", cut=Cut(1, "k", 1.25))
    path = await store.gather(ALICE, "c", Reach())
    assert (path.request, path.cut) == (b"\0first", Cut(1, "k", 1.25))
    await ask(store, "u3", "a3")
    path = await store.gather(ALICE, "c", Reach())
    assert (path.request, path.cut) == (b"\0first", Cut(1, "k", 1.25))
    await finish(store, await begin(store, "u4"), assistant("a4"), request=b"second", cut=Cut(2, "k"))
    path = await store.gather(ALICE, "c", Reach())
    assert (path.request, path.cut) == (b"second", Cut(2, "k", 0.0))


async def test_a_fork_begins_with_the_request_and_the_cut_of_its_parent(store: Store) -> None:
    await answer(store, 1, 2)
    await finish(store, await begin(store, "u3"), assistant("a3"), request=b"first", cut=Cut(2, "k", 0.75))
    branch = await store.fork(ALICE, "c", 2)
    path = await store.gather(ALICE, "c", Reach(), branch)
    assert (path.request, path.cut) == (b"first", Cut(2, "k", 0.75))
    lease = await begin(store, "edited", branch=branch)
    await finish(store, lease, assistant("ok"), request=b"second", cut=Cut(1, "k", 2.0))
    path = await store.gather(ALICE, "c", Reach(), 0)
    assert (path.request, path.cut) == (b"first", Cut(2, "k", 0.75))
    path = await store.gather(ALICE, "c", Reach(), await store.fork(ALICE, "c", 1, 0))
    assert (path.request, path.cut) == (b"first", Cut(2, "k", 0.75)), "what comes next is still all it sends"
    path = await store.gather(ALICE, "c", Reach(), await store.fork(ALICE, "c", 0))
    assert (path.request, path.cut) == (b"first", None)


# -------------------------------------------------------------------------------- taken in from elsewhere


async def test_what_is_taken_in_fits_what_was_found(store: Store) -> None:
    two = [[user("a"), assistant("b")], [user("c"), assistant("d")]]
    assert await store.take_in(ALICE, "c", two, Declared(), Extent()) == 0
    for wrong in (Extent(), Extent(3), Extent(4, 2)):
        assert await store.take_in(ALICE, "c", two, Declared(), wrong) is None
        assert await store.take_in(ALICE, "c", two, Declared(), wrong, fork=(1, None)) is None
    assert await said(store) == ["a", "b", "c", "d"]
    assert await store.take_in(ALICE, "c", [[user("e")]], Declared(), Extent(4), fork=(1, None)) == 1
    assert await store.take_in(ALICE, "c", [[user("f")]], Declared(), Extent(4, 2), fork=(2, 1)) == 2
    assert await store.take_in(ALICE, "c", [[user("g")]], Declared(), Extent(4, 3)) == 0
    assert await said(store) == ["a", "b", "c", "d", "g"]
    assert await said(store, branch=2) == ["a", "b", "e", "f"]
    assert len(await store.branches(ALICE, "c")) == 3


async def test_nothing_is_taken_in_while_a_turn_runs(store: Store) -> None:
    await begin(store, "u1")
    with pytest.raises(ConversationBusy):
        await store.take_in(ALICE, "c", [[user("a")]], Declared(), Extent(1), wait=0)
    assert await said(store) == ["u1"]
