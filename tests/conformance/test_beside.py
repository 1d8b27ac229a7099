"""Turns that follow a step run beside each other, each on its branch; all others one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from multiturn.conversations import TurnState
from multiturn.errors import ConversationBusy, TurnExpired
from multiturn.messages import Trait
from multiturn.storage import Lease, Partial, Start, Store, Upon

from .talk import ALICE, ask, assistant, begin, call, finish, held, result, said, user
from .test_exchanges import ASKED, at

SHORT = 0.03
ROOT = Upon(1, 1)


async def follow(store: Store, text: str, upon: Upon = ROOT, branch: int = 0, **start: Any) -> Lease:
    """A turn behind a step, which is not waited for unless that is asked for."""
    given = {"wait": 0.0, "asked": ASKED, **start}
    return await begin(store, text, upon=upon, branch=branch, **given)


async def three(store: Store, **start: Any) -> Sequence[Lease]:
    """Turns that follow the same step at the same time."""
    await ask(store, "root", "ok", asked=ASKED)
    return [await follow(store, text, **start) for text in ("a", "b", "c")]


async def test_those_that_follow_the_same_step_do_not_wait_for_each_other(store: Store) -> None:
    leases = await three(store)
    assert [lease.branch for lease in leases] == [0, 1, 2]
    for lease in reversed(leases):
        assert await store.append(lease, Partial("some"))
        assert await store.renew(lease, 10.0)
    for lease, text in zip(leases, "abc", strict=True):
        turn = await finish(store, lease, assistant(text * 2))
        assert (turn.number, turn.branch, turn.state) == (2, lease.branch, TurnState.COMPLETED)
    for branch, text in enumerate("abc"):
        assert await said(store, branch=branch) == ["root", "ok", text, text * 2]


async def test_nothing_of_one_is_fenced_by_another(store: Store) -> None:
    first, second, third = await three(store)
    await finish(store, second, assistant("bb"))
    with pytest.raises(TurnExpired):
        await finish(store, second, assistant("twice"))
    assert await store.append(first, Partial("x"))
    assert await store.append(third, Partial("y"))
    await finish(store, third, assistant("cc"))
    await finish(store, first, assistant("aa"))
    assert await said(store, branch=1) == ["root", "ok", "b", "bb"]


async def test_results_are_given_twice_at_once(store: Store) -> None:
    lease = await begin(store, "weather?", asked=ASKED)
    await finish(store, lease, call("x"), state=TurnState.WAITING, open_calls=("x",))
    start = Start([result("x", "sunny")], ("x",), upon=ROOT, branch=0, wait=0.0, asked=ASKED)
    one, two = [held(await store.begin(ALICE, "c", start)) for _ in range(2)]
    assert [(each.branch, each.turn, each.step) for each in (one, two)] == [(0, 1, 2), (1, 1, 2)]
    await finish(store, two, assistant("two"))
    await finish(store, one, assistant("one"))
    assert await said(store, branch=0) == ["weather?", None, "sunny", "one"]
    assert await said(store, branch=1) == ["weather?", None, "sunny", "two"]


async def test_who_follows_a_step_that_runs_waits_for_it_alone(store: Store) -> None:
    first, second, _ = await three(store, hold=100.0)
    with pytest.raises(ConversationBusy):
        await follow(store, "d", Upon(2, 1), 1)
    behind = asyncio.create_task(ask(store, "last", "ok", wait=20.0))
    await asyncio.sleep(0.1)
    waiting = asyncio.create_task(follow(store, "d", Upon(2, 1), 1, wait=20.0))
    await asyncio.sleep(0.1)
    await finish(store, first, assistant("aa"))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await finish(store, second, assistant("bb"))
    lease = await waiting
    assert (lease.branch, lease.turn) == (1, 3)
    await finish(store, lease, assistant("dd"))
    assert await said(store, branch=1) == ["root", "ok", "b", "bb", "d", "dd"]
    behind.cancel()
    with pytest.raises(asyncio.CancelledError):
        await behind


async def test_who_follows_a_step_that_is_made_anew_waits_for_that(store: Store) -> None:
    failed = await begin(store, "root", asked=ASKED)
    await finish(store, failed, state=TurnState.FAILED)
    again = held(await store.begin(ALICE, "c", Start((), again=True, branch=0, wait=0.0, asked=ASKED)))
    with pytest.raises(ConversationBusy):
        await follow(store, "d")
    await finish(store, again, assistant("good"))
    lease = await follow(store, "d")
    await finish(store, lease, assistant("dd"))
    assert await said(store, branch=lease.branch) == ["root", "good", "d", "dd"]


async def test_a_step_that_runs_is_waited_for_also_where_its_response_was_deleted(store: Store) -> None:
    second = (await three(store))[1]
    await store.forget_exchange(ALICE, at(second))
    with pytest.raises(ConversationBusy):
        await follow(store, "d", Upon(2, 1), 1)


async def test_those_who_wait_for_the_conversation_stand_in_nobodys_way(store: Store) -> None:
    await three(store)
    waiting = asyncio.create_task(ask(store, "last", "ok", wait=20.0))
    await asyncio.sleep(0.1)
    assert (await follow(store, "d")).branch == 3
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_key_whose_turn_runs_is_waited_for(store: Store) -> None:
    await ask(store, "root", "ok", asked=ASKED)
    key: dict[str, Any] = {"key": "k", "digest": b"d"}
    await follow(store, "other")
    lease = await follow(store, "a", **key)
    with pytest.raises(ConversationBusy):
        await follow(store, "a", **key)
    start = Start([user("a")], upon=ROOT, branch=0, wait=20.0, asked=ASKED, key="k", digest=b"d")
    again = asyncio.create_task(store.begin(ALICE, "c", start))
    await asyncio.sleep(0.1)
    assert not again.done()
    ended = await finish(store, lease, assistant("aa"))
    begun = await again
    assert (begun.lease, begun.turn.id) == (None, ended.id)


async def test_a_key_whose_holder_is_gone_is_taken_over(store: Store) -> None:
    await ask(store, "root", "ok", asked=ASKED)
    key: dict[str, Any] = {"key": "k", "digest": b"d"}
    lost = await follow(store, "a", hold=SHORT, **key)
    await asyncio.sleep(2 * SHORT)
    lease = await follow(store, "a", **key)
    assert (lease.branch, lease.turn) == (1, 2)
    with pytest.raises(TurnExpired):
        await finish(store, lost, assistant("late"))
    await finish(store, lease, assistant("aa"))
    assert await said(store, branch=1) == ["root", "ok", "a", "aa"]


@pytest.mark.parametrize("switch", [False, True])
async def test_a_turn_of_the_conversation_waits_for_all(store: Store, switch: bool) -> None:
    leases = await three(store)
    behind: dict[str, Any] = {"upon": ROOT, "branch": 0, "switch": True} if switch else {}
    for lease in leases:
        with pytest.raises(ConversationBusy):
            await begin(store, "d", wait=0.0, **behind)
        with pytest.raises(ConversationBusy):
            await store.add(ALICE, "c", [[user("d")]], wait=0.0)
        await finish(store, lease, assistant("ok"))
    await finish(store, await begin(store, "d", wait=0.0, **behind), assistant("dd"))
    assert (await said(store))[-2:] == ["d", "dd"]


async def test_one_is_told_to_stop_or_all(store: Store) -> None:
    first, second, third = await three(store)
    assert await store.cancel(ALICE, "c", 2, 1)
    assert not await store.cancel(ALICE, "c", 1, 0)
    assert [await store.renew(each, 10.0) for each in (first, second, third)] == [True, False, True]
    assert await store.cancel(ALICE, "c")
    assert [await store.append(each, Partial()) for each in (first, third)] == [False, False]
    await finish(store, second)
    again = await follow(store, "d", Upon(2, 1), 1)
    assert await store.renew(again, 10.0), "whoever comes next is not told"


async def test_whoever_interrupts_stops_what_is_in_the_way(store: Store) -> None:
    first, second, third = await three(store)
    with pytest.raises(ConversationBusy):
        await follow(store, "d", Upon(2, 1), 1, interrupt=True)
    assert [await store.renew(each, 10.0) for each in (first, second, third)] == [True, False, True]
    with pytest.raises(ConversationBusy):
        await begin(store, "d", wait=0.0, interrupt=True)
    assert [await store.renew(each, 10.0) for each in (first, third)] == [False, False]


async def test_what_had_arrived_of_each_stays_with_it(store: Store) -> None:
    first, second, third = await three(store)
    for lease, text in ((first, "one "), (second, "two "), (first, "more"), (third, "three")):
        await store.append(lease, Partial(text))
    await store.cancel(ALICE, "c", 2, 1)
    for lease in (first, second):
        await store.renew(lease, SHORT)
    await asyncio.sleep(2 * SHORT)
    assert [(await store.exchange(ALICE, at(each))).running for each in (first, second, third)] == [
        False,
        False,
        True,
    ]
    await store.settle(ALICE, "c")
    assert await said(store, branch=0) == ["root", "ok", "a", "one more"]
    assert await said(store, branch=1) == ["root", "ok", "b", "two "]
    for lease in (first, second):
        with pytest.raises(TurnExpired):
            await store.append(lease, Partial("late"))
    traits = [(await store.turns(ALICE, "c", after=1, branch=number))[0].traits for number in (0, 1)]
    assert [bool(each & Trait.STOPPED) for each in traits] == [False, True]
    await finish(store, third, assistant("three and more"))
    assert await said(store, branch=2) == ["root", "ok", "c", "three and more"]
    again = await follow(store, "d", Upon(2, 1), 0)
    await store.append(again, Partial("four"))
    await store.renew(again, SHORT)
    await asyncio.sleep(2 * SHORT)
    await store.settle(ALICE, "c")
    assert await said(store, branch=0) == ["root", "ok", "a", "one more", "d", "four"]


async def test_whoever_goes_beside_takes_over_nothing(store: Store) -> None:
    first, second, _ = await three(store, hold=SHORT)
    await asyncio.sleep(2 * SHORT)
    await finish(store, await follow(store, "d"), assistant("dd"))
    await finish(store, second, assistant("bb"))
    await finish(store, await follow(store, "e", Upon(2, 1), 0), assistant("ee"))
    with pytest.raises(TurnExpired):
        await finish(store, first, assistant("aa"))
    assert await said(store, branch=1) == ["root", "ok", "b", "bb"]
    assert await said(store, branch=0) == ["root", "ok", "a", "e", "ee"]


async def test_a_conversation_lasts_as_long_as_any_of_its_turns(store: Store) -> None:
    first, second, third = await three(store, hold=100.0)
    await store.describe(ALICE, "c", expires_after=SHORT)
    before = (await store.conversation(ALICE, "c")).held_until
    await store.renew(second, 500.0)
    after = (await store.conversation(ALICE, "c")).held_until
    assert before is not None
    assert after is not None
    assert after > before
    await finish(store, first, assistant("aa"))
    await finish(store, third, assistant("cc"))
    await asyncio.sleep(2 * SHORT)
    assert await store.sweep() == 0
    assert (await said(store, branch=1))[-1] == "b"
    await finish(store, second, assistant("bb"))
    await begin(store, "what runs elsewhere keeps nothing here", "other")
    await asyncio.sleep(2 * SHORT)
    assert await store.sweep() == 1


async def test_a_turn_that_was_left_does_not_run_because_a_later_one_does(store: Store) -> None:
    left = await begin(store, "a", hold=SHORT, asked=ASKED)
    await asyncio.sleep(2 * SHORT)
    later = await begin(store, "b", asked=ASKED)
    assert [(await store.exchange(ALICE, at(each))).running for each in (left, later)] == [False, True]


async def test_a_lease_does_not_fit_what_comes_after_its_conversation(store: Store) -> None:
    stale = await begin(store, "a")
    await store.delete(ALICE, "c")
    lease = await begin(store, "b")
    for late in (
        finish(store, stale, assistant("late")),
        store.append(stale, Partial("late")),
        store.renew(stale, 9.0),
    ):
        with pytest.raises(TurnExpired):
            await late
    await finish(store, lease, assistant("bb"))
    assert await said(store) == ["b", "bb"]
