"""What doors keep beside steps, and turns that follow a step."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from multiturn.conversations import Address, Owner, Step, TurnState
from multiturn.errors import ConversationNotFound, ToolCallUnknown, ToolResultsIncomplete, TurnNotFound
from multiturn.storage import DELTAS, Asked, Ending, Lease, Partial, Reach, Start, Store, Upon

from .talk import ALICE, answer, ask, assistant, begin, call, finish, held, result, said, texts, user

ASKED = Asked(b'{"model":"demo"}', b'{"m":{"a":"b"}}')


def at(lease: Lease) -> Address:
    return Address(lease.ulid, lease.branch, lease.turn, lease.step)


async def asked(store: Store, text: str, reply: str | None = "ok", **start: Any) -> Address:
    """A step that was asked for through a door."""
    lease = await begin(store, text, asked=ASKED, **start)
    if reply is not None:
        await finish(store, lease, assistant(reply), course=b"\x10")
    return at(lease)


async def called(store: Store, *ids: str, **start: Any) -> Address:
    """A step that ends with calls."""
    lease = await begin(store, "weather?", asked=ASKED, **start)
    await finish(store, lease, call(*ids), state=TurnState.WAITING, open_calls=ids, course=b"\x10")
    return at(lease)


async def results(store: Store, *ids: str, upon: Address, **start: Any) -> Address:
    entries = [result(each, "sunny") for each in ids]
    begun = await store.begin(
        ALICE,
        "c",
        Start(entries=entries, results=ids, asked=ASKED, branch=upon.branch, upon=step_of(upon), **start),
    )
    await finish(store, held(begun), assistant("It is sunny."))
    return at(held(begun))


def step_of(address: Address) -> Upon:
    return Upon(address.turn, address.place or 0)


# ----------------------------------------------------------------------------------------- exchanges


async def test_an_exchange_tells_what_went_in_and_what_came_out(store: Store) -> None:
    place = await asked(store, "hi")
    found = await store.exchange(ALICE, place)
    assert (found.asked, found.course, found.address) == (ASKED, b"\x10", place)
    assert (found.conversation, found.user, found.state) == ("c", "alice", TurnState.COMPLETED)
    assert texts([told.row for told in found.input]) == ["hi"]
    assert found.output is not None
    assert texts([found.output.row]) == ["ok"]
    assert found.step is not None
    assert found.ended_at is not None
    assert found.ended_at >= found.created_at > 0
    assert (found.last, found.running) == (True, False)


async def test_what_is_deleted_is_gone_from_how_its_answer_was_told(store: Store) -> None:
    lease = await begin(store, "hi", asked=DELTAS)
    await finish(store, lease, assistant("ok"), course=b"private")
    other = await asked(store, "more")
    for turn in (1, 2):
        await store.rewrite(ALICE, "c", turn, {1: assistant("")})
    assert (await store.exchange(ALICE, at(lease))).course == b""
    assert (await store.exchange(ALICE, other)).course == b"\x10"


async def test_an_answer_that_was_dropped_is_no_more_that_of_its_step(store: Store) -> None:
    """Also where whoever asks again keeps nothing himself."""
    place = await called(store, "c1")
    lease = held(await store.begin(ALICE, "c", Start(entries=[result("c1", "sun")], results=("c1",))))
    await finish(store, lease, state=TurnState.FAILED)
    again = held(await store.begin(ALICE, "c", Start(again=True)))
    await finish(store, again, assistant("another"))
    assert (await store.exchange(ALICE, place)).output is None


async def test_begin_tells_when_it_was_kept(store: Store) -> None:
    begun = await store.begin(ALICE, "c", Start(entries=[user("hi")], asked=ASKED))
    found = await store.exchange(ALICE, at(held(begun)))
    assert found.created_at == begun.asked_at
    assert (found.running, found.step, found.output, found.ended_at) == (True, None, None, None)


async def test_a_step_that_nobody_asked_for_so_has_none(store: Store) -> None:
    turn = await ask(store, "hi", "ok")
    address = Address.parse(turn.id)
    assert address is not None
    for step in (1, 2):
        with pytest.raises(TurnNotFound):
            await store.exchange(ALICE, Address(address.ulid, 0, 1, step))


async def test_another_owner_finds_nothing(store: Store) -> None:
    place = await asked(store, "hi")
    for owner in (Owner("shop", "bob"), Owner("other", "alice"), Owner("other", None)):
        with pytest.raises(TurnNotFound):
            await store.exchange(owner, place)
        with pytest.raises(TurnNotFound):
            await store.forget_exchange(owner, place)
    assert (await store.exchange(Owner("shop", None), place)).user == "alice"


async def test_steps_of_one_turn_are_exchanges_of_their_own(store: Store) -> None:
    first = await called(store, "a", "b")
    second = await results(store, "a", "b", upon=first)
    one, other = await store.exchange(ALICE, first), await store.exchange(ALICE, second)
    assert (first.turn, second.turn, second.place) == (1, 1, 2)
    assert (one.last, other.last) == (False, True)
    assert [told.row.role for told in one.input] == ["user"]
    assert [told.row.role for told in other.input] == ["tool", "tool"]
    assert [x.output.row.place for x in (one, other) if x.output] == [1, 4]


async def test_a_repeated_turn_takes_what_came_of_it_away(store: Store) -> None:
    lease = await begin(store, "hi", asked=ASKED)
    await store.finish(lease, Ending(TurnState.INCOMPLETE, Step("demo", b"", error="x"), [assistant("half")]))
    begun = await store.begin(ALICE, "c", Start(again=True, asked=ASKED))
    await finish(store, held(begun), assistant("whole"))
    old, new = await store.exchange(ALICE, at(lease)), await store.exchange(ALICE, at(held(begun)))
    assert old.output is None
    assert texts([told.row for told in new.input]) == ["hi"]
    assert new.output is not None
    assert texts([new.output.row]) == ["whole"]


async def test_what_is_forgotten_is_gone_and_its_messages_stay(store: Store) -> None:
    others = [await asked(store, "hi", conversation="d"), await asked(store, "hi")]
    place = await asked(store, "again")
    others.append(await asked(store, "more"))
    await store.forget_exchange(ALICE, place)
    with pytest.raises(TurnNotFound):
        await store.exchange(ALICE, place)
    assert [(await store.exchange(ALICE, other)).address for other in others] == others
    assert await said(store) == ["hi", "ok", "again", "ok", "more", "ok"]


async def test_what_is_forgotten_cannot_be_followed_into_its_turn(store: Store) -> None:
    first = await called(store, "a")
    await results(store, "a", upon=first)
    await store.forget_exchange(ALICE, first)
    with pytest.raises(TurnNotFound):
        await results(store, "a", upon=first)
    assert len(await store.branches(ALICE, "c")) == 1


async def test_exchanges_go_with_their_conversation(store: Store) -> None:
    place = await asked(store, "hi")
    await store.delete(ALICE, "c")
    with pytest.raises(TurnNotFound):
        await store.exchange(ALICE, place)


async def test_a_key_gives_the_step_it_made(store: Store) -> None:
    first = await called(store, "a", key="k1", digest=b"1")
    await results(store, "a", upon=first, key="k2", digest=b"2")
    for key, step in (("k1", 1), ("k2", 2)):
        start = Start(entries=[user("x")], key=key, digest=key[1:].encode(), asked=ASKED)
        begun = await store.begin(ALICE, "c", start)
        assert (begun.lease, begun.step) == (None, step)


async def test_what_arrived_is_told_with_its_pieces_after_a_crash(store: Store) -> None:
    lease = await begin(store, "hi", asked=ASKED, hold=0.05)
    await store.append(lease, Partial("one ", course=b"\x20"))
    await store.append(lease, Partial("two", course=b"\x18"))
    await asyncio.sleep(0.1)
    await store.settle(ALICE, "c")
    found = await store.exchange(ALICE, at(lease))
    assert (found.state, found.running, found.step) == (TurnState.INCOMPLETE, False, None)
    assert found.course == b"\x20\x18"
    assert found.output is not None
    assert texts([found.output.row]) == ["one two"]


async def test_a_step_that_crashed_does_not_run_while_its_turn_is_repeated(store: Store) -> None:
    lease = await begin(store, "hi", asked=ASKED, hold=0.05)
    await asyncio.sleep(0.1)
    await store.settle(ALICE, "c")
    again = held(await store.begin(ALICE, "c", Start(again=True, asked=ASKED)))
    old, new = await store.exchange(ALICE, at(lease)), await store.exchange(ALICE, at(again))
    assert [each.running for each in (old, new)] == [False, True]
    await finish(store, again, assistant("ok"))


async def test_a_turn_that_is_held_is_not_settled(store: Store) -> None:
    lease = await begin(store, "hi", asked=ASKED)
    await store.settle(ALICE, "c")
    assert (await store.exchange(ALICE, at(lease))).running
    await finish(store, lease, assistant("ok"))
    await store.settle(ALICE, "c")
    assert await said(store) == ["hi", "ok"]
    with pytest.raises(ConversationNotFound):
        await store.settle(ALICE, "never")


# ----------------------------------------------------------------------------------------- following


async def test_the_newest_step_is_followed_on_its_branch(store: Store) -> None:
    first = await asked(store, "one")
    second = await asked(store, "two", upon=step_of(first), branch=0)
    assert (second.branch, second.turn) == (0, 2)
    assert await said(store) == ["one", "ok", "two", "ok"]


async def test_an_older_step_is_followed_on_a_branch_beside(store: Store) -> None:
    first = await asked(store, "one")
    await asked(store, "two")
    beside = await asked(store, "other", upon=step_of(first), branch=0)
    assert (beside.branch, beside.turn) == (1, 2)
    assert await said(store, branch=1) == ["one", "ok", "other", "ok"]
    assert await said(store) == ["one", "ok", "two", "ok"]
    further = await asked(store, "more", upon=step_of(beside), branch=1)
    assert (further.branch, further.turn) == (1, 3)


async def test_a_branch_becomes_the_one_in_use_where_that_is_wanted(store: Store) -> None:
    first = await asked(store, "one")
    await asked(store, "two")
    await asked(store, "other", upon=step_of(first), branch=0, switch=True)
    assert await said(store) == ["one", "ok", "other", "ok"]


async def test_two_that_follow_the_same_step_at_once_part(store: Store) -> None:
    first = await asked(store, "one")
    places = await asyncio.gather(
        *[asked(store, f"n{n}", upon=step_of(first), branch=0, wait=10.0) for n in range(4)]
    )
    assert sorted(place.branch for place in places) == [0, 1, 2, 3]
    for place in places:
        assert len(await said(store, branch=place.branch)) == 4


async def test_a_step_inside_a_turn_is_followed_by_a_turn_like_it(store: Store) -> None:
    first = await called(store, "a")
    await results(store, "a", upon=first)
    other = await results(store, "a", upon=first)
    assert (other.branch, other.turn, other.place) == (1, 1, 2)
    assert await said(store, branch=1) == ["weather?", None, "sunny", "It is sunny."]
    assert await said(store) == ["weather?", None, "sunny", "It is sunny."]
    path = await store.gather(ALICE, "c", Reach(), 1)
    assert [turn.state for turn in path.turns] == [TurnState.COMPLETED]


async def test_results_that_come_late_find_their_calls(store: Store) -> None:
    first = await called(store, "a")
    await ask(store, "never mind", "ok")
    late = await results(store, "a", upon=first)
    assert (late.branch, late.turn) == (1, 1)
    assert await said(store, branch=1) == ["weather?", None, "sunny", "It is sunny."]


async def test_words_after_a_step_that_went_on_leave_its_calls_open(store: Store) -> None:
    first = await called(store, "a")
    await results(store, "a", upon=first)
    words = await asked(store, "never mind", upon=step_of(first), branch=0)
    assert (words.branch, words.turn) == (1, 2)
    assert await said(store, branch=1) == ["weather?", None, "never mind", "ok"]
    path = await store.gather(ALICE, "c", Reach(), 1)
    assert [turn.state for turn in path.turns] == [TurnState.COMPLETED, TurnState.INCOMPLETE]


async def test_results_must_fit_the_calls_that_are_followed(store: Store) -> None:
    first = await called(store, "a", "b")
    await ask(store, "never mind", "ok")
    with pytest.raises(ToolResultsIncomplete):
        await results(store, "a", upon=first)
    with pytest.raises(ToolCallUnknown):
        await results(store, "a", "b", "c", upon=first)
    assert len(await store.branches(ALICE, "c")) == 1


async def test_a_step_that_is_not_there_cannot_be_followed(store: Store) -> None:
    await asked(store, "one")
    for upon in (Upon(2, 1), Upon(9, 1)):
        with pytest.raises(TurnNotFound):
            await store.begin(ALICE, "c", Start(entries=[user("x")], upon=upon, branch=0))


async def test_turns_from_elsewhere_come_first_in_the_same_transaction(store: Store) -> None:
    earlier = [[user("one"), assistant("two")], [user("three"), assistant("four")]]
    place = await asked(store, "five", earlier=earlier)
    assert place.turn == 3
    assert await said(store) == ["one", "two", "three", "four", "five", "ok"]
    found = await store.exchange(ALICE, place)
    assert texts([told.row for told in found.input]) == ["five"]
    beside = await asked(store, "six", earlier=[[user("a"), assistant("b")]], upon=Upon(2, 1), branch=0)
    assert (beside.branch, beside.turn) == (1, 4)
    assert await said(store, branch=1) == ["one", "two", "three", "four", "a", "b", "six", "ok"]


async def test_a_store_that_is_long_follows_as_well(store: Store) -> None:
    await answer(store, *range(1, 60))
    first = await asked(store, "one")
    await answer(store, *range(60, 70))
    beside = await asked(store, "two", upon=step_of(first), branch=0)
    assert (beside.branch, beside.turn) == (1, 61)
