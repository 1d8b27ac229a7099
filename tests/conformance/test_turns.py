"""A turn begins, goes on and ends."""

from __future__ import annotations

from decimal import Decimal

import pytest

from multiturn.conversations import Address, Declared, Owner, Step, TurnState
from multiturn.errors import (
    ConversationError,
    ConversationNotFound,
    KeyReused,
    MessageEmpty,
    ToolCallUnknown,
    ToolResultsIncomplete,
    TurnClosed,
    TurnExpired,
    TurnNotFound,
)
from multiturn.messages import Trait
from multiturn.storage import Begun, Lease, Partial, Reach, Start, Store
from multiturn.usage import Cost, Usage

from .talk import ALICE, answer, ask, assistant, begin, call, entry, finish, held, result, said, system, user


async def test_a_turn_from_input_to_answer(store: Store) -> None:
    begun = await store.begin(ALICE, "c", Start(entries=[user("你好")]))
    assert begun.turn.state is TurnState.ACCEPTED
    assert begun.turn.number == 1
    assert await said(store) == ["你好"]

    lease = held(begun)
    assert await store.append(lease, Partial("好"))
    assert [turn.state for turn in await store.turns(ALICE, "c")] == [TurnState.STREAMING]
    assert await said(store) == ["你好"]

    turn = await finish(store, lease, assistant("好的"))
    assert turn.state is TurnState.COMPLETED
    assert turn.messages == 2
    assert turn.tokens == 3 + 3
    assert turn.traits == 0
    assert turn.model == "demo"
    assert turn.branch == 0
    assert Address.parse(turn.id) == Address(lease.ulid, 0, 1)
    assert [turn] == list(await store.turns(ALICE, "c"))
    assert await said(store) == ["你好", "好的"]


async def test_only_a_turn_that_changes_nothing_before_it_is_told_ahead(store: Store) -> None:
    async def told(start: Start, expected: bool) -> Lease:
        early: list[Begun] = []
        begun = await store.begin(ALICE, "c", start, Reach(), early.append)
        assert early == ([begun] if expected else [])
        return held(begun)

    asked = Start(entries=[user("?")])
    await finish(store, await told(asked, expected=False), assistant("made by the first turn"))
    await finish(store, await told(asked, expected=True), assistant("a2"))
    lease = await told(asked, expected=True)
    await finish(store, lease, call("x"), state=TurnState.WAITING, open_calls=("x",))
    lease = await told(Start(entries=[result("x", "r")], results=("x",)), expected=False)
    await finish(store, lease, call("y"), state=TurnState.WAITING, open_calls=("y",))
    lease = await told(asked, expected=False)  # the waiting turn is closed
    await finish(store, lease, state=TurnState.FAILED)
    await finish(store, await told(Start(again=True), expected=False), assistant("a4"))
    await finish(store, await told(Start(entries=[user("?")], after=1), expected=False), assistant("b2"))
    declared = Declared(memory="shared")
    await finish(store, await told(Start(entries=[user("?")], declared=declared), expected=False))
    earlier = [[user("u"), assistant("a")]]
    await finish(store, await told(Start(entries=[user("?")], earlier=earlier), expected=False))
    await store.renew(await told(asked, expected=True), 0.0)  # its holder is gone
    await finish(store, await told(asked, expected=False))


@pytest.mark.parametrize("reach", [Reach(), Reach(turns=1), Reach(tokens=20, summary=False)])
async def test_what_its_window_needs_is_read_with_the_turn(store: Store, reach: Reach) -> None:
    await answer(store, 1, 2, 3)
    begun = await store.begin(ALICE, "c", Start(entries=[user("u4")]), reach)
    lease = held(begun)
    assert begun.path == await store.gather(ALICE, "c", reach.held(lease), lease.branch)
    assert begun.path is not None
    assert begun.path.turns[0].number == 3
    await finish(store, lease, call("x"), state=TurnState.WAITING, open_calls=("x",))

    begun = await store.begin(ALICE, "c", Start(entries=[result("x", "1")], results=("x",)), reach)
    lease = held(begun)
    assert begun.path == await store.gather(ALICE, "c", reach.held(lease), lease.branch)
    assert begun.path is not None
    assert [row.role for row in begun.path.current] == ["user", "assistant", "tool"]


async def test_the_path_is_read_only_for_a_turn_that_is_begun_and_where_it_is_wanted(store: Store) -> None:
    await ask(store, "a", "b", key="k")
    retold = await store.begin(ALICE, "c", Start(entries=[user("a")], key="k"), Reach())
    assert (retold.lease, retold.path) == (None, None)
    assert (await store.begin(ALICE, "c", Start(entries=[user("c")]))).path is None


async def test_the_answer_of_a_turn_remembers_its_model(store: Store) -> None:
    await finish(store, await begin(store, "a"), assistant("b"), step=Step("qwen/qwen-plus", b"[]"))
    rows = [told.row for told in await store.history(ALICE, "c")]
    assert [row.model for row in rows] == [None, "qwen/qwen-plus"]


async def test_times_are_those_of_the_turns(store: Store) -> None:
    first = await ask(store, "a", "b")
    second = await ask(store, "c", "d")
    times = [told.created_at for told in await store.history(ALICE, "c")]
    assert times == [first.created_at, first.created_at, second.created_at, second.created_at]
    assert 1_600_000_000 < first.created_at <= second.created_at < 5_000_000_000


async def test_a_turn_without_a_message_is_refused(store: Store) -> None:
    with pytest.raises(MessageEmpty):
        await store.begin(ALICE, "c", Start())
    with pytest.raises(ConversationNotFound):
        await store.conversation(ALICE, "c")


async def test_a_conversation_is_only_made_where_that_is_wanted(store: Store) -> None:
    with pytest.raises(ConversationNotFound):
        await store.begin(ALICE, "c", Start(entries=[user("a")], make=False))
    await begin(store, "a")


async def test_an_ended_turn_is_not_ended_twice(store: Store) -> None:
    lease = await begin(store, "a")
    await finish(store, lease, assistant("b"))
    with pytest.raises(TurnExpired):
        await finish(store, lease, assistant("c"))
    with pytest.raises(TurnExpired):
        await store.append(lease, Partial("c"))
    with pytest.raises(TurnExpired):
        await store.renew(lease, 10)
    assert await said(store) == ["a", "b"]


async def test_what_ends_a_turn_is_kept(store: Store) -> None:
    lease = await begin(store, "a")
    turn = await finish(
        store,
        lease,
        state=TurnState.FAILED,
        error="rate_limited",
        traits=int(Trait.MODERATED),
        step=Step("qwen/x", b"", error="rate_limited"),
    )
    assert turn.state is TurnState.FAILED
    assert turn.error == "rate_limited"
    assert turn.traits & Trait.MODERATED
    assert turn.messages == 1


async def test_steps_keep_all_their_figures(store: Store) -> None:
    step = Step(
        model="qwen/qwen-plus",
        ledger=b'[["recent",1,2,[1,1],null]]',
        usage=Usage(100, 20, 60, 5, 7, estimated=True, raw={"prompt_tokens": 100, "x": [1.5, None]}),
        cost=Cost(Decimal("0.001234567"), "CNY"),
        finish_reason="stop",
        response_id="chatcmpl-1",
        error="stream_cut",
        seconds=1.25,
        number=1,
        turn=1,
        branch=0,
    )
    turn = await finish(store, await begin(store, "a"), assistant("b"), step=step)
    assert list(await store.steps(ALICE, "c", 1)) == [step]
    assert turn.cost == step.cost
    assert turn.usage is not None
    assert turn.usage.raw is None
    assert (turn.usage.input, turn.usage.output, turn.usage.reasoning) == (100, 20, 7)
    assert turn.usage.estimated
    with pytest.raises(TurnNotFound):
        await store.steps(ALICE, "c", 2)


async def test_an_empty_ledger_and_no_usage_are_a_step_too(store: Store) -> None:
    turn = await finish(store, await begin(store, "a"), state=TurnState.FAILED, step=Step("", b""))
    assert turn.usage is None
    assert turn.cost is None
    step = (await store.steps(ALICE, "c", 1))[0]
    assert (step.model, step.ledger, step.usage, step.cost) == ("", b"", None, None)


# --------------------------------------------------------------------------------------- tool calls


async def waiting(store: Store, *calls: str) -> None:
    turn = await finish(
        store, await begin(store, "weather?"), call(*calls), state=TurnState.WAITING, open_calls=calls
    )
    assert turn.state is TurnState.WAITING
    assert turn.open_calls == calls
    assert turn.traits & Trait.OPEN


async def test_a_waiting_turn_goes_on_with_its_results(store: Store) -> None:
    await waiting(store, "x", "y")
    begun = await store.begin(
        ALICE, "c", Start(entries=[result("y", "2"), result("x", "1")], results=("y", "x"))
    )
    lease = held(begun)
    assert (lease.turn, lease.step) == (1, 2)
    assert begun.turn.state is TurnState.STREAMING
    assert begun.turn.open_calls == ()
    assert not begun.turn.traits & Trait.OPEN
    usage = Usage(5, 1)
    turn = await finish(store, lease, assistant("sunny"), step=Step("demo", b"[]", usage))
    assert turn.state is TurnState.COMPLETED
    assert turn.messages == 5
    assert turn.traits == Trait.TOOL_CALL | Trait.BARE | Trait.TOOL_RESULT | Trait.IRREGULAR
    assert await said(store) == ["weather?", None, "2", "1", "sunny"]
    assert [step.number for step in await store.steps(ALICE, "c", 1)] == [1, 2]


async def test_results_must_be_exactly_those_of_the_open_calls(store: Store) -> None:
    with pytest.raises(ToolCallUnknown):
        await store.begin(ALICE, "c", Start(entries=[result("x", "1")], results=("x",)))
    await waiting(store, "x", "y")
    with pytest.raises(ToolResultsIncomplete, match="y"):
        await store.begin(ALICE, "c", Start(entries=[result("x", "1")], results=("x",)))
    with pytest.raises(ToolCallUnknown, match="z"):
        await store.begin(ALICE, "c", Start(entries=[result("z", "1")], results=("x", "y", "z")))
    with pytest.raises(ToolCallUnknown, match="x"):
        await store.begin(ALICE, "c", Start(entries=[result("x", "1")], results=("x", "y", "x")))
    assert await said(store) == ["weather?", None]
    await store.begin(ALICE, "c", Start(entries=[result("x", "1"), result("y", "1")], results=("x", "y")))


async def test_no_results_for_a_turn_that_does_not_wait(store: Store) -> None:
    await ask(store, "a", "b")
    with pytest.raises(ToolCallUnknown, match="none"):
        await store.begin(ALICE, "c", Start(entries=[result("x", "1")], results=("x",)))
    with pytest.raises(TurnClosed):
        await store.begin(ALICE, "c", Start(results=()))


async def test_a_new_turn_closes_one_that_waits(store: Store) -> None:
    await waiting(store, "x")
    await ask(store, "never mind", "fine")
    first, second = await store.turns(ALICE, "c")
    assert first.state is TurnState.INCOMPLETE
    assert first.traits & Trait.STOPPED
    assert first.traits & Trait.OPEN
    assert first.open_calls == ()
    assert second.state is TurnState.COMPLETED
    with pytest.raises(ToolCallUnknown):
        await store.begin(ALICE, "c", Start(entries=[result("x", "1")], results=("x",)))


# -------------------------------------------------------------------------------------------- again


async def test_a_failed_turn_is_repeated_from_its_input(store: Store) -> None:
    await ask(store, "a", "b")
    lease = await begin(store, "c")
    await finish(
        store,
        lease,
        assistant("half an ans"),
        state=TurnState.INCOMPLETE,
        traits=int(Trait.STOPPED | Trait.MODERATED),
        error="stream_cut",
    )
    begun = await store.begin(ALICE, "c", Start(again=True))
    assert begun.turn.state is TurnState.ACCEPTED
    assert begun.turn.error is None
    assert begun.turn.traits == Trait.IRREGULAR
    assert begun.turn.tokens == 2
    assert (held(begun).turn, held(begun).step) == (2, 2)
    assert await said(store) == ["a", "b", "c"]
    turn = await finish(store, held(begun), assistant("d"))
    assert turn.traits == 0
    assert await said(store) == ["a", "b", "c", "d"]
    assert len(await store.steps(ALICE, "c", 2)) == 2
    assert (await store.conversation(ALICE, "c")).messages == 4


async def test_only_a_turn_that_ended_badly_is_repeated(store: Store) -> None:
    with pytest.raises((TurnNotFound, ConversationNotFound)):
        await store.begin(ALICE, "c", Start(again=True))
    await ask(store, "a", "b")
    with pytest.raises(TurnClosed):
        await store.begin(ALICE, "c", Start(again=True))
    await waiting(store, "x")
    with pytest.raises(TurnClosed):
        await store.begin(ALICE, "c", Start(again=True))


# ------------------------------------------------------------------------------------- request keys


async def test_a_completed_request_is_not_repeated(store: Store) -> None:
    turn = await ask(store, "a", "b", key="k1", digest=b"1")
    assert turn.key == "k1"
    begun = await store.begin(ALICE, "c", Start(entries=[user("a")], key="k1", digest=b"1"))
    assert begun.lease is None
    assert begun.turn == turn
    assert await said(store) == ["a", "b"]
    with pytest.raises(KeyReused):
        await store.begin(ALICE, "c", Start(entries=[user("z")], key="k1", digest=b"2"))


async def test_it_is_known_beforehand_whether_a_request_will_be_repeated(store: Store) -> None:
    assert not await store.was_made(ALICE, "c", "k1")
    lease = await begin(store, "a", key="k1")
    assert not await store.was_made(ALICE, "c", "k1")
    await finish(store, lease, assistant("b"))
    assert await store.was_made(ALICE, "c", "k1")
    assert not await store.was_made(ALICE, "c", "k2")
    await finish(
        store, await begin(store, "c", key="k2"), call("x"), state=TurnState.WAITING, open_calls=("x",)
    )
    assert await store.was_made(ALICE, "c", "k2")
    await finish(store, await begin(store, "d", key="k3"), state=TurnState.FAILED)
    assert not await store.was_made(ALICE, "c", "k3")
    with pytest.raises(ConversationNotFound):
        await store.was_made(Owner("shop", "bob"), "c", "k1")


async def test_a_waiting_request_is_not_repeated_either(store: Store) -> None:
    lease = await begin(store, "a", key="k1")
    turn = await finish(store, lease, call("x"), state=TurnState.WAITING, open_calls=("x",))
    begun = await store.begin(ALICE, "c", Start(entries=[user("a")], key="k1"))
    assert begun.lease is None
    assert begun.turn == turn


async def test_a_completed_request_is_given_back_while_another_turn_runs(store: Store) -> None:
    turn = await ask(store, "a", "b", key="k1")
    await begin(store, "c")
    begun = await store.begin(ALICE, "c", Start(entries=[user("a")], key="k1", wait=0))
    assert begun.turn == turn


@pytest.mark.parametrize("state", [TurnState.FAILED, TurnState.INCOMPLETE])
async def test_a_request_that_ended_badly_is_repeated_as_a_new_turn(store: Store, state: TurnState) -> None:
    await finish(store, await begin(store, "a", key="k1"), state=state)
    turn = await ask(store, "a", "b", key="k1")
    assert turn.number == 2
    assert [turn.key for turn in await store.turns(ALICE, "c")] == [None, "k1"]
    again = await store.begin(ALICE, "c", Start(entries=[user("a")], key="k1"))
    assert again.turn == turn


async def test_keys_belong_to_their_conversation(store: Store) -> None:
    await ask(store, "a", "b", "c1", key="k", digest=b"1")
    turn = await ask(store, "x", "y", "c2", key="k", digest=b"2")
    assert turn.key == "k"


# ---------------------------------------------------------------------------- what is refused whole


async def test_what_is_refused_leaves_nothing_behind(store: Store) -> None:
    await answer(store, 1)
    declared = Declared(model="other")
    with pytest.raises(ToolCallUnknown):
        await store.begin(
            ALICE, "c", Start(entries=[result("x", "1")], results=("x",), declared=declared, key="k")
        )
    with pytest.raises(TurnNotFound):
        await store.begin(ALICE, "c", Start(entries=[user("a")], after=7, declared=declared, key="k"))
    with pytest.raises(ConversationError):
        await store.begin(ALICE, "c", Start(entries=[user("a")], branch=3, declared=declared, key="k"))
    assert (await store.conversation(ALICE, "c")).settings.model is None
    assert len(await store.branches(ALICE, "c")) == 1
    await ask(store, "a", "b", key="k", digest=b"other")


async def test_a_turn_may_hold_instructions_and_more(store: Store) -> None:
    await store.begin(ALICE, "c", Start(entries=[system("be brief"), user("a")]))
    (turn,) = await store.turns(ALICE, "c")
    assert turn.traits == Trait.INSTRUCTION | Trait.IRREGULAR
    assert await said(store) == ["be brief", "a"]


@pytest.mark.parametrize(
    ("entries", "regular"),
    [
        ([user("a"), assistant("b")], True),
        ([user("a")], False),
        ([assistant("b")], False),
        ([user("a"), user("b"), assistant("c")], False),
        ([user("a"), assistant("b"), assistant("c")], False),
        ([user("a"), entry("assistant", "b", int(Trait.EXTRA))], True),
    ],
)
async def test_a_regular_turn_is_one_question_and_one_answer(
    store: Store, entries: list[object], regular: bool
) -> None:
    await store.add(ALICE, "c", [entries])  # type: ignore[list-item]  # entries, named so for the ids
    (turn,) = await store.turns(ALICE, "c")
    assert bool(turn.traits & Trait.IRREGULAR) is not regular


async def test_a_turn_without_input_cannot_be_repeated(store: Store) -> None:
    lease = held(await store.begin(ALICE, "c", Start(entries=[assistant("I begin")])))
    await finish(store, lease, state=TurnState.FAILED)
    with pytest.raises(TurnClosed):
        await store.begin(ALICE, "c", Start(again=True))
    assert await said(store) == ["I begin"]


async def test_what_becomes_of_a_turn_says_nothing_of_those_of_other_conversations(store: Store) -> None:
    lease, other = await begin(store, "a", key="k"), await begin(store, "b", "d", key="k")
    await store.append(lease, Partial("x"))
    await finish(store, lease, state=TurnState.FAILED)
    again = held(await store.begin(ALICE, "c", Start(entries=[user("a")], key="k")))
    told = [*await store.turns(ALICE, "c"), *await store.turns(ALICE, "d")]
    assert [(turn.key, turn.state) for turn in told] == [
        (None, TurnState.FAILED),
        ("k", TurnState.ACCEPTED),
        ("k", TurnState.ACCEPTED),
    ]
    for each in (again, other):
        await finish(store, each, assistant("y"))
