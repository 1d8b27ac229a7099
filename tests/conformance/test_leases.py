"""One turn at a time: leases, fences, the queue, and what becomes of a holder that is gone."""

from __future__ import annotations

import asyncio
import time

import pytest

from multiturn.conversations import Owner, TurnState
from multiturn.errors import ConversationBusy, ConversationNotFound, KeyReused, TurnExpired
from multiturn.messages import Trait
from multiturn.storage import Lease, Partial, Reach, Start, Store

from .talk import ALICE, answer, ask, assistant, begin, call, finish, held, result, said, user

SHORT = 0.03
LONG = 30.0
"""What hangs is found after so many seconds; a busy machine needs less."""


async def lapse(store: Store, lease: Lease) -> None:
    """Its holder is gone: however long the writes before took, the time runs out only now."""
    await store.renew(lease, SHORT)
    await asyncio.sleep(2 * SHORT)


async def lapsed(store: Store, text: str = "a", *partials: Partial, limited: bool = False) -> Lease:
    """A turn whose holder is gone."""
    lease = await begin(store, text, hold=LONG if partials else SHORT, limited=limited)
    for partial in partials:
        await store.append(lease, partial)
    if partials:
        await lapse(store, lease)
    else:
        await asyncio.sleep(2 * SHORT)
    return lease


async def write_all(store: Store, lease: Lease) -> None:
    """Every write a lease allows must be refused."""
    with pytest.raises(TurnExpired):
        await store.append(lease, Partial("stale"))
    with pytest.raises(TurnExpired):
        await store.renew(lease, 10)
    for state in (TurnState.COMPLETED, TurnState.WAITING, TurnState.FAILED):
        with pytest.raises(TurnExpired):
            await finish(store, lease, assistant("stale"), state=state)


# ----------------------------------------------------------------------------------------- fencing


async def test_a_second_turn_waits_for_the_first(store: Store) -> None:
    lease = await begin(store, "a")
    second = asyncio.create_task(ask(store, "c", "d"))
    await asyncio.sleep(0.1)
    assert not second.done()
    assert await said(store) == ["a"]
    await finish(store, lease, assistant("b"))
    assert (await second).number == 2
    assert await said(store) == ["a", "b", "c", "d"]


async def test_who_does_not_want_to_wait_is_told_so(store: Store) -> None:
    await begin(store, "a")
    with pytest.raises(ConversationBusy):
        await store.begin(ALICE, "c", Start(entries=[user("b")], wait=0))
    with pytest.raises(ConversationBusy):
        await store.begin(ALICE, "c", Start(entries=[user("b")], wait=0.05))
    with pytest.raises(ConversationBusy):
        await store.add(ALICE, "c", [[user("b")]], wait=0.05)
    assert await said(store) == ["a"]


async def test_who_gave_up_waiting_does_not_stand_in_the_way(store: Store) -> None:
    lease = await begin(store, "a")
    with pytest.raises(ConversationBusy):
        await store.begin(ALICE, "c", Start(entries=[user("b")], wait=0.05))
    await finish(store, lease, assistant("b"))
    await asyncio.wait_for(ask(store, "c", "d", wait=0), LONG)


async def test_other_conversations_do_not_wait(store: Store) -> None:
    await begin(store, "a", "one")
    await ask(store, "a", "b", "two", wait=0)


async def test_a_stale_holder_writes_nothing(store: Store) -> None:
    lease = await lapsed(store)
    await ask(store, "c", "d")
    await write_all(store, lease)
    assert await said(store) == ["a", "c", "d"]
    assert [turn.state for turn in await store.turns(ALICE, "c")] == [
        TurnState.INCOMPLETE,
        TurnState.COMPLETED,
    ]
    assert len(await store.steps(ALICE, "c", 1)) == 0


async def test_a_holder_that_slept_while_nobody_came_goes_on(store: Store) -> None:
    lease = await lapsed(store, "a", Partial("half"))
    assert await store.append(lease, Partial(" more"))
    turn = await finish(store, lease, assistant("whole"))
    assert turn.state is TurnState.COMPLETED
    assert await said(store) == ["a", "whole"]
    await write_all(store, lease)


async def test_a_holder_that_slept_holds_again_once_it_gives_a_sign(store: Store) -> None:
    lease = await lapsed(store)
    assert await store.renew(lease, 10)
    with pytest.raises(ConversationBusy):
        await store.begin(ALICE, "c", Start(entries=[user("b")], wait=0))
    await finish(store, lease, assistant("b"))


async def test_a_limited_holder_writes_nothing_once_its_time_is_over(store: Store) -> None:
    lease = await lapsed(store, limited=True)
    await write_all(store, lease)
    await ask(store, "c", "d")
    await write_all(store, lease)
    assert await said(store) == ["a", "c", "d"]
    assert (await store.turns(ALICE, "c"))[0].state is TurnState.INCOMPLETE


async def test_a_stale_holder_cannot_write_into_the_turn_of_the_next(store: Store) -> None:
    stale = await lapsed(store)
    fresh = await begin(store, "b")
    await write_all(store, stale)
    assert await store.append(fresh, Partial("x"))
    await finish(store, fresh, assistant("c"))
    assert await said(store) == ["a", "b", "c"]


async def test_a_lease_does_not_survive_its_conversation(store: Store) -> None:
    lease = await begin(store, "a")
    await store.delete(ALICE, "c")
    await write_all(store, lease)
    fresh = await begin(store, "b")
    await write_all(store, lease)
    await finish(store, fresh, assistant("c"))
    assert await said(store) == ["b", "c"]


async def test_a_conversation_says_until_when_it_is_held(store: Store) -> None:
    now = time.time()
    lease = await begin(store, "a", hold=100)
    held_until = (await store.conversation(ALICE, "c")).held_until
    assert held_until is not None
    assert now + 99 < held_until < now + 110
    assert [one.held_until for one in await store.conversations(ALICE)] == [held_until]
    await finish(store, lease, assistant("b"))
    assert (await store.conversation(ALICE, "c")).held_until is None
    await lapsed(store)
    assert (await store.conversation(ALICE, "c")).held_until is None


async def test_renewing_holds_on(store: Store) -> None:
    lease = await begin(store, "a", hold=1)
    for _ in range(3):
        await asyncio.sleep(0.4)
        assert await store.renew(lease, 1)
    await finish(store, lease, assistant("b"))
    assert await said(store) == ["a", "b"]


# ---------------------------------------------------------------------------------------- recovery


async def test_what_had_arrived_is_kept(store: Store) -> None:
    await lapsed(store, "a", Partial("Hel", "I think"), Partial("lo \0 😀"), Partial("", " more"))
    await ask(store, "c", "d")
    rows = [told.row for told in await store.history(ALICE, "c")]
    assert await said(store) == ["a", "Hel" + "lo \0 😀", "c", "d"]
    assert rows[1].role == "assistant"
    assert rows[1].reasoning == b"I think more"
    assert rows[1].traits & Trait.REASONING
    assert rows[1].tokens > 0
    assert rows[1].reasoning_tokens > 0
    first = (await store.turns(ALICE, "c"))[0]
    assert first.state is TurnState.INCOMPLETE
    assert first.messages == 2
    assert first.tokens == rows[0].tokens + rows[1].tokens


@pytest.mark.parametrize("partials", [(), (Partial("", "only thoughts"),), (Partial(" \n"),)])
async def test_there_is_never_an_empty_answer(store: Store, partials: tuple[Partial, ...]) -> None:
    await lapsed(store, "a", *partials)
    await ask(store, "c", "d")
    assert await said(store) == ["a", "c", "d"]
    assert (await store.turns(ALICE, "c"))[0].messages == 1


async def test_partials_of_an_ended_step_are_forgotten(store: Store) -> None:
    lease = await begin(store, "a")
    await store.append(lease, Partial("old"))
    await finish(store, lease, call("x"), state=TurnState.WAITING, open_calls=("x",))
    await store.begin(ALICE, "c", Start(entries=[result("x", "1")], results=("x",), hold=SHORT))
    await asyncio.sleep(2 * SHORT)
    await ask(store, "c", "d")
    assert await said(store) == ["a", None, "1", "c", "d"]


async def test_a_turn_that_was_asked_to_stop_and_died_counts_as_stopped(store: Store) -> None:
    lease = await begin(store, "a")
    await store.append(lease, Partial("half"))
    await store.cancel(ALICE, "c")
    await lapse(store, lease)
    await ask(store, "c", "d")
    assert (await store.turns(ALICE, "c"))[0].traits & Trait.STOPPED


async def test_a_dead_turn_on_another_branch_is_closed_too(store: Store) -> None:
    await answer(store, 1, 2)
    lease = await begin(store, "edited", after=1)
    await store.append(lease, Partial("half"))
    await lapse(store, lease)
    await ask(store, "on", "the first", branch=0)
    assert await said(store, branch=0) == ["u1", "a1", "u2", "a2", "on", "the first"]
    assert await said(store, branch=1) == ["u1", "a1", "edited", "half"]
    await write_all(store, lease)


async def test_a_dead_turn_can_be_repeated(store: Store) -> None:
    await lapsed(store, "a", Partial("half"))
    begun = await store.begin(ALICE, "c", Start(again=True))
    assert held(begun).step == 2
    await finish(store, held(begun), assistant("b"))
    assert await said(store) == ["a", "b"]


async def test_importing_closes_a_dead_turn(store: Store) -> None:
    await lapsed(store)
    await answer(store, 1)
    assert await said(store) == ["a", "u1", "a1"]
    assert (await store.turns(ALICE, "c"))[0].state is TurnState.INCOMPLETE


async def test_waiting_ends_when_the_holder_is_gone(store: Store) -> None:
    await begin(store, "a", hold=0.2)
    turn = await asyncio.wait_for(ask(store, "b", "c", wait=LONG), LONG)
    assert turn.number == 2


# ------------------------------------------------------------------------------------------- queue


async def test_first_come_first_served(store: Store) -> None:
    lease = await begin(store, "0")
    tasks = []
    for number in range(1, 8):
        tasks.append(asyncio.create_task(ask(store, str(number), "ok")))
        await asyncio.sleep(0.02)
    await finish(store, lease, assistant("ok"))
    await asyncio.gather(*tasks)
    assert (await said(store))[::2] == [str(number) for number in range(8)]


async def test_whoever_comes_later_does_not_push_in(store: Store) -> None:
    lease = await begin(store, "0")
    first = asyncio.create_task(ask(store, "1", "ok"))
    await asyncio.sleep(0.05)
    await finish(store, lease, assistant("ok"))
    second = asyncio.create_task(ask(store, "2", "ok"))
    await asyncio.gather(first, second)
    assert (await said(store))[::2] == ["0", "1", "2"]


async def test_whoever_leaves_the_queue_lets_the_next_pass(store: Store) -> None:
    lease = await begin(store, "0")
    leaver = asyncio.create_task(ask(store, "leaver", "ok"))
    await asyncio.sleep(0.05)
    stayer = asyncio.create_task(ask(store, "stayer", "ok"))
    await asyncio.sleep(0.05)
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    await finish(store, lease, assistant("ok"))
    await asyncio.wait_for(stayer, LONG)
    assert await said(store) == ["0", "ok", "stayer", "ok"]


async def test_importing_stands_in_the_same_queue(store: Store) -> None:
    lease = await begin(store, "0")
    first = asyncio.create_task(store.add(ALICE, "c", [[user("1"), assistant("ok")]]))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(ask(store, "2", "ok"))
    await asyncio.sleep(0.05)
    assert not first.done()
    await finish(store, lease, assistant("ok"))
    await asyncio.gather(first, second)
    assert (await said(store))[::2] == ["0", "1", "2"]


async def test_many_at_once_lose_nothing(store: Store) -> None:
    await asyncio.gather(*(ask(store, f"u{n}", f"a{n}") for n in range(20)))
    words = [str(word) for word in await said(store)]
    assert sorted(words[::2]) == sorted(f"u{n}" for n in range(20))
    assert [word[1:] for word in words[::2]] == [word[1:] for word in words[1::2]]
    assert [turn.state for turn in await store.turns(ALICE, "c")] == [TurnState.COMPLETED] * 20


async def test_the_same_request_waits_for_its_own_answer(store: Store) -> None:
    lease = await begin(store, "a", key="k", digest=b"1")
    twin = asyncio.create_task(store.begin(ALICE, "c", Start(entries=[user("a")], key="k", digest=b"1")))
    await asyncio.sleep(0.05)
    assert not twin.done()
    with pytest.raises(KeyReused):
        await store.begin(ALICE, "c", Start(entries=[user("x")], key="k", digest=b"2"))
    turn = await finish(store, lease, assistant("b"))
    begun = await asyncio.wait_for(twin, LONG)
    assert begun.lease is None
    assert begun.turn == turn
    assert await said(store) == ["a", "b"]


async def test_an_answered_request_does_not_wait_behind_others(store: Store) -> None:
    lease = await begin(store, "a", key="k")
    other = asyncio.create_task(store.begin(ALICE, "c", Start(entries=[user("slow")], hold=600)))
    await asyncio.sleep(0.05)
    twin = asyncio.create_task(store.begin(ALICE, "c", Start(entries=[user("a")], key="k")))
    await asyncio.sleep(0.05)
    await finish(store, lease, assistant("b"))
    await asyncio.wait_for(other, LONG)
    assert (await asyncio.wait_for(twin, LONG)).turn.number == 1


async def test_the_same_request_is_made_again_when_its_turn_failed(store: Store) -> None:
    lease = await begin(store, "a", key="k")
    twin = asyncio.create_task(store.begin(ALICE, "c", Start(entries=[user("a")], key="k")))
    await asyncio.sleep(0.05)
    await finish(store, lease, state=TurnState.FAILED)
    begun = await asyncio.wait_for(twin, LONG)
    assert held(begun).turn == 2


async def test_waiting_for_a_conversation_that_is_deleted(store: Store) -> None:
    await begin(store, "a")
    waiter = asyncio.create_task(ask(store, "b", "c"))
    await asyncio.sleep(0.05)
    await store.delete(ALICE, "c")
    assert (await asyncio.wait_for(waiter, LONG)).number == 1
    assert await said(store) == ["b", "c"]


# --------------------------------------------------------------------------------- being asked to stop


async def test_no_other_turn_than_the_named_one_is_asked_to_stop(store: Store) -> None:
    await ask(store, "a", "one")
    await store.fork(ALICE, "c", 1)
    lease = await begin(store, "b")
    for turn, branch in ((1, 0), (3, 0), (2, 1), (9, 0)):
        assert not await store.cancel(ALICE, "c", turn, branch)
    assert await store.append(lease, Partial("x"))
    assert await store.cancel(ALICE, "c", 2, 0)
    assert await store.cancel(ALICE, "c", 2, 0), "asked twice it is the same"
    assert not await store.append(lease, Partial("y"))
    await finish(store, lease, assistant("xy"), state=TurnState.INCOMPLETE, traits=int(Trait.STOPPED))
    assert not await store.cancel(ALICE, "c", 2, 0)


async def test_a_running_turn_is_asked_to_stop(store: Store) -> None:
    with pytest.raises(ConversationNotFound):
        await store.cancel(ALICE, "c")
    lease = await begin(store, "a")
    assert await store.append(lease, Partial("x"))
    assert await store.cancel(ALICE, "c")
    assert not await store.append(lease, Partial("y"))
    assert not await store.renew(lease, 10)
    await finish(store, lease, assistant("xy"), state=TurnState.INCOMPLETE, traits=int(Trait.STOPPED))
    assert not await store.cancel(ALICE, "c")
    lease = await begin(store, "b")
    assert await store.append(lease, Partial("x")), "the next turn was not asked"


async def test_interrupting_asks_the_running_turn_to_stop(store: Store) -> None:
    lease = await begin(store, "a")
    second = asyncio.create_task(ask(store, "b", "c", interrupt=True))
    await asyncio.sleep(0.05)
    assert not await store.renew(lease, 10)
    await finish(store, lease, state=TurnState.INCOMPLETE, traits=int(Trait.STOPPED))
    assert (await second).number == 2


async def test_interrupting_asks_even_when_it_does_not_wait(store: Store) -> None:
    lease = await begin(store, "a")
    with pytest.raises(ConversationBusy):
        await store.begin(ALICE, "c", Start(entries=[user("b")], interrupt=True, wait=0))
    assert not await store.renew(lease, 10)


async def test_whoever_interrupts_does_not_stop_those_before_it(store: Store) -> None:
    lease = await begin(store, "a")
    patient = asyncio.create_task(store.begin(ALICE, "c", Start(entries=[user("b")])))
    await asyncio.sleep(0.05)
    hasty = asyncio.create_task(ask(store, "c", "d", interrupt=True))
    await asyncio.sleep(0.05)
    await finish(store, lease, state=TurnState.INCOMPLETE)
    second = held(await asyncio.wait_for(patient, LONG))
    await asyncio.sleep(0.2)
    assert await store.renew(second, 10)
    await finish(store, second, assistant("x"))
    await asyncio.wait_for(hasty, LONG)


# -------------------------------------------------------------------------------------- cancelled waits


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4, 5, 8, 13])
async def test_a_beginning_that_nobody_waits_for_does_not_hold_the_conversation(
    store: Store, steps: int
) -> None:
    """Cancelled at any moment: either nothing was stored, or the turn is closed at once."""
    await store.open()
    lease = None
    for _ in range(10):
        task = asyncio.create_task(begin(store, "left", hold=600))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        try:
            lease = await task
        except asyncio.CancelledError:
            lease = None
        else:
            await finish(store, lease, assistant("ok"))
        turn = await asyncio.wait_for(ask(store, "next", "ok", wait=LONG), LONG)
        assert turn.state is TurnState.COMPLETED
    states = {turn.state for turn in await store.turns(ALICE, "c")}
    assert states <= {TurnState.COMPLETED, TurnState.INCOMPLETE}


async def test_cancelled_work_leaves_a_store_that_works(store: Store) -> None:
    await answer(store, 1)
    tasks = [asyncio.create_task(store.gather(ALICE, "c", Reach())) for _ in range(50)]
    tasks += [asyncio.create_task(store.add(ALICE, "c", [[user("x"), assistant("y")]])) for _ in range(50)]  # type: ignore[arg-type]  # a list of both kinds
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await answer(store, 2)
    words = await said(store)
    assert words[:2] == ["u1", "a1"]
    assert words[-2:] == ["u2", "a2"]
    assert set(words[2:-2]) <= {"x", "y"}


async def test_what_is_written_at_once_is_all_there(store: Store) -> None:
    """Operations share a commit; one that is refused takes nothing with it."""

    async def one(number: int) -> str:
        try:
            if number % 3 == 0:
                await store.begin(Owner("shop", "mallory"), "mine", Start(entries=[user("x")]))
            await store.add(ALICE, f"c{number}", [[user(str(number)), assistant("ok")]])
        except ConversationNotFound:
            return "refused"
        return "stored"

    await begin(store, "a", "mine")
    outcomes = await asyncio.gather(*(one(number) for number in range(60)))
    assert outcomes == ["refused" if number % 3 == 0 else "stored" for number in range(60)]
    assert len(await store.conversations(ALICE)) == 41
