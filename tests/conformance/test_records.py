"""Are calls outside any turn kept, counted, and told apart from those of turns?"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from multiturn.conversations import Owner, Step, TurnState
from multiturn.errors import ConversationNotFound
from multiturn.storage import Store
from multiturn.usage import Cost, Usage

from .talk import ALICE, ask, assistant, begin, finish

SPENT = Step(
    "writer", b"", Usage(100, 20, cached=5), Cost(Decimal("0.25"), "CNY"), "stop", "resp-1", seconds=1.5
)


async def test_a_call_outside_any_turn_is_kept_in_order(store: Store) -> None:
    await ask(store, "a", "b")
    await store.record(ALICE, "c", SPENT)
    await store.record(ALICE, "c", replace(SPENT, usage=None, cost=None, error="summary_empty"))
    first, second = await store.steps(ALICE, "c", 0)
    assert first == replace(SPENT, number=1)
    assert (second.number, second.error, second.usage) == (2, "summary_empty", None)
    assert [step.model for step in await store.steps(ALICE, "c", 1)] == ["demo"]


async def test_it_counts_as_a_call_and_as_money_but_as_no_turn(store: Store) -> None:
    lease = await begin(store, "a")
    await finish(
        store, lease, assistant("b"), step=Step("writer", b"[]", Usage(10, 1), Cost(Decimal(1), "CNY"))
    )
    await store.record(ALICE, "c", SPENT)
    (row,) = await store.usage(ALICE, conversation="c")
    assert (row.calls, row.turns, row.input, row.output, row.cached) == (2, 1, 110, 21, 5)
    assert row.amount == 1_250_000_000
    (turn,) = await store.turns(ALICE, "c")
    assert turn.usage == Usage(10, 1)
    assert turn.cost == Cost(Decimal(1), "CNY")


async def test_why_nobody_was_asked_is_no_call(store: Store) -> None:
    await ask(store, "a", "b")
    before = await store.usage(ALICE, by="model")
    await store.record(ALICE, "c", Step("", b"", error="key_missing"))
    assert [step.error for step in await store.steps(ALICE, "c", 0)] == ["key_missing"]
    assert await store.usage(ALICE, by="model") == before
    await finish(store, await begin(store, "c"), state=TurnState.FAILED, step=Step("", b"", error="error"))
    assert sum(row.calls for row in await store.usage(ALICE)) == 2, "a turn counts, whatever became of it"


async def test_each_branch_has_its_own(store: Store) -> None:
    await ask(store, "a", "b")
    branch = await store.fork(ALICE, "c", 1)
    await store.record(ALICE, "c", SPENT, branch)
    assert await store.steps(ALICE, "c", 0) == []
    (step,) = await store.steps(ALICE, "c", 0, branch)
    assert step == replace(SPENT, number=1, branch=branch)
    await store.delete(ALICE, "c")
    await ask(store, "a", "b")
    assert await store.steps(ALICE, "c", 0) == []
    assert [row.calls for row in await store.usage(ALICE, conversation="c")] == [1]


async def test_nobody_records_for_a_conversation_that_is_not_theirs(store: Store) -> None:
    await ask(store, "a", "b")
    for owner, name in ((Owner("shop", "bob"), "c"), (ALICE, "missing")):
        with pytest.raises(ConversationNotFound):
            await store.record(owner, name, SPENT)
        with pytest.raises(ConversationNotFound):
            await store.steps(owner, name, 0)
