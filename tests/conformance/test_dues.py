"""Marks of branches whose summary is due: durable, claimed by one, and given back."""

from __future__ import annotations

import asyncio

import pytest

from multiturn.conversations import Owner, Summary
from multiturn.messages import Trait
from multiturn.storage import Due, Store

from .talk import ALICE, answer, ask, assistant, begin, finish, user

BOB = Owner("shop", "bob")
OTHER = Owner("other", "alice")


async def fall_due(store: Store, conversation: str = "c", owner: Owner = ALICE, **start: object) -> None:
    lease = await begin(store, "u", conversation, owner, **start)
    await finish(store, lease, assistant("a"), due=True)


async def claim(store: Store, hold: float = 60.0) -> Due:
    due = await store.claim_due(hold=hold)
    assert due is not None
    return due


async def test_nothing_is_due_until_a_turn_says_so(store: Store) -> None:
    assert await store.claim_due() is None
    await answer(store, 1)
    await finish(store, await begin(store, "u"), assistant("a"))
    assert await store.claim_due() is None
    await fall_due(store)
    assert await store.claim_due() == Due(ALICE, "c", 0, 0)


async def test_a_claim_is_of_one_until_it_is_given_back(store: Store) -> None:
    await fall_due(store)
    due = await claim(store)
    assert await store.claim_due() is None
    await store.settle_due(due, done=True)
    assert await store.claim_due() is None


async def test_of_many_at_once_each_claims_another(store: Store) -> None:
    for number in range(5):
        await fall_due(store, f"c{number}")
    claims = await asyncio.gather(*(store.claim_due() for _ in range(9)))
    assert sorted(due.conversation for due in claims if due) == [f"c{number}" for number in range(5)]


async def test_the_oldest_is_claimed_first(store: Store) -> None:
    """A mark that is made again keeps its age."""
    for name in ("x", "y", "z"):
        await fall_due(store, name)
        await asyncio.sleep(0.002)
    await fall_due(store, "x")
    claimed = []
    while due := await store.claim_due():
        claimed.append(due.conversation)
    assert claimed == ["x", "y", "z"]


async def test_a_claim_lapses_with_its_holder(store: Store) -> None:
    await fall_due(store, "held")
    await claim(store, hold=60)
    await fall_due(store)
    await claim(store, hold=0.01)
    await asyncio.sleep(0.02)
    assert await store.claim_due() == Due(ALICE, "c", 0, 0)
    assert await store.claim_due() is None


async def test_a_failure_backs_off_and_is_counted(store: Store) -> None:
    await fall_due(store, "later")
    await store.settle_due(await claim(store), done=False, wait=60)
    assert await store.claim_due() is None
    await fall_due(store)
    await store.settle_due(await claim(store), done=False, wait=0.01)
    await asyncio.sleep(0.02)
    due = await claim(store)
    assert due.failures == 1
    await store.settle_due(due, done=False, wait=0.01)
    await asyncio.sleep(0.02)
    due = await claim(store)
    assert due.failures == 2
    await store.settle_due(due, done=True)
    await fall_due(store)
    assert (await claim(store)).failures == 0


async def test_given_back_at_once_is_no_failure(store: Store) -> None:
    await fall_due(store)
    await store.settle_due(await claim(store), done=False)
    assert await store.claim_due() == Due(ALICE, "c", 0, 0)


async def test_while_one_backs_off_others_are_claimed(store: Store) -> None:
    await fall_due(store, "x")
    await store.settle_due(await claim(store), done=False, wait=60)
    await fall_due(store, "y")
    assert (await claim(store)).conversation == "y"
    await fall_due(store, "x")
    assert await store.claim_due() is None, "another turn does not make it less of a failure"


async def test_what_falls_due_during_the_work_is_due_afterwards(store: Store) -> None:
    """Whoever writes has read the path already: the turn that ended since is not in it."""
    await fall_due(store)
    due = await claim(store)
    await fall_due(store)
    assert await store.claim_due() is None
    await store.settle_due(due, done=True)
    await store.settle_due(await claim(store), done=True)
    assert await store.claim_due() is None


async def test_a_claim_that_lapsed_settles_nothing_of_others(store: Store) -> None:
    await fall_due(store)
    late = await claim(store, hold=0.01)
    await asyncio.sleep(0.02)
    await store.settle_due(await claim(store), done=True)
    await fall_due(store)
    await store.settle_due(late, done=True)
    await store.settle_due(late, done=False, wait=60)
    assert await store.claim_due() == Due(ALICE, "c", 0, 0)


async def test_of_one_conversation_or_user_or_all(store: Store) -> None:
    await fall_due(store, "a")
    await fall_due(store, "b", BOB)
    await fall_due(store, "c", OTHER)
    assert await store.claim_due(owner=ALICE, conversation="b") is None
    assert await store.claim_due(owner=ALICE, conversation="nothing") is None
    assert await store.claim_due(owner=Owner("shop", "carol")) is None
    assert await store.claim_due(owner=OTHER) == Due(OTHER, "c", 0)
    assert await store.claim_due(owner=BOB, conversation="b") == Due(BOB, "b", 0)
    assert await store.claim_due(owner=Owner("shop", None)) == Due(ALICE, "a", 0)


async def test_each_branch_has_its_own(store: Store) -> None:
    await fall_due(store)
    await fall_due(store)
    fork = await store.fork(ALICE, "c", 1)
    assert await claim(store) == Due(ALICE, "c", 0)
    assert await store.claim_due() is None, "a fork is not due because its parent is"
    await fall_due(store, branch=fork)
    assert await store.claim_due() == Due(ALICE, "c", fork)


async def test_writing_the_summary_leaves_the_mark(store: Store) -> None:
    await fall_due(store)
    due = await claim(store)
    assert await store.write_summary(ALICE, "c", Summary(0, 1, "x", 1, "m"), None)
    await store.settle_due(due, done=False)
    assert await store.claim_due() == due


@pytest.mark.parametrize("whole_user", [False, True])
async def test_deleting_takes_the_mark_along(store: Store, whole_user: bool) -> None:
    await fall_due(store)
    due = await claim(store)
    if whole_user:
        await store.delete_user(ALICE)
    else:
        await store.delete(ALICE, "c")
    await store.settle_due(due, done=False)
    assert await store.claim_due() is None
    await answer(store, 1)
    assert await store.claim_due() is None


# ------------------------------------------------------------------------- what the writer cannot know


@pytest.mark.parametrize(
    ("trait", "place", "back"),
    [(Trait.RETRACTED, None, False), (Trait.EXCLUDED, 0, False), (Trait.EXCLUDED, 0, True)],
)
async def test_a_turn_that_is_taken_back_ends_the_claim(
    store: Store, trait: int, place: int | None, back: bool
) -> None:
    """Whoever writes has read the turn already: nothing it says may stand in a summary."""
    await fall_due(store)
    await fall_due(store)
    if back:
        await store.mark(ALICE, "c", 1, place=place, set=trait)
    late = await claim(store)
    await store.mark(ALICE, "c", 1, place=place, set=0 if back else trait, clear=trait if back else 0)
    summary = Summary(0, 2, "x", 1, "m")
    assert await store.write_summary(ALICE, "c", summary, None, late.branch, late) is None
    due = await claim(store)
    await store.settle_due(late, done=True)
    await store.settle_due(late, done=False, wait=60)
    assert await store.claim_due() is None, "the other's claim holds"
    written = await store.write_summary(ALICE, "c", summary, None, due.branch, due)
    assert written is not None
    await store.settle_due(due, done=True)
    assert await store.claim_due() is None


async def test_a_turn_that_is_taken_back_ends_the_claims_of_all_who_share_it(store: Store) -> None:
    await fall_due(store)
    await fall_due(store)
    fork = await store.fork(ALICE, "c", 1)
    await fall_due(store, branch=fork)
    dues = [await claim(store), await claim(store)]
    await store.mark(ALICE, "c", 1, set=Trait.RETRACTED)
    for due in dues:
        summary = Summary(0, 1, "x", 1, "m")
        assert await store.write_summary(ALICE, "c", summary, None, due.branch, due) is None


async def test_a_turn_that_is_rewritten_ends_the_claims_of_all_who_share_it(store: Store) -> None:
    """What was deleted is in no summary that was begun before."""
    await fall_due(store)
    await fall_due(store)
    fork = await store.fork(ALICE, "c", 1)
    await fall_due(store, branch=fork)
    dues = [await claim(store), await claim(store)]
    await store.rewrite(ALICE, "c", 1, {0: user("other")}, fork)
    for due in dues:
        summary = Summary(0, 1, "x", 1, "m")
        assert await store.write_summary(ALICE, "c", summary, None, due.branch, due) is None


async def test_a_claim_holds_while_turns_are_pinned_and_others_go_elsewhere(store: Store) -> None:
    await fall_due(store)
    await fall_due(store)
    fork = await store.fork(ALICE, "c", 1)
    await ask(store, "aside", "aside", branch=fork)
    due = await claim(store)
    await store.mark(ALICE, "c", 1, set=Trait.PINNED)
    await store.mark(ALICE, "c", 2, set=Trait.RETRACTED, branch=fork)
    assert await store.write_summary(ALICE, "c", Summary(0, 1, "x", 1, "m"), None, due.branch, due)


async def test_the_summary_of_what_was_deleted_is_not_another_ones(store: Store) -> None:
    await fall_due(store)
    late = await claim(store)
    await store.delete(ALICE, "c")
    await asyncio.sleep(0.002)
    await fall_due(store)
    summary = Summary(0, 1, "x", 1, "m")
    assert await store.write_summary(ALICE, "c", summary, None, late.branch, late) is None
    again = await claim(store)
    assert await store.write_summary(ALICE, "c", summary, None, late.branch, late) is None
    assert await store.write_summary(ALICE, "c", summary, None, again.branch, again)
