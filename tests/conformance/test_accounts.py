"""What each tenant consumed today: steps by themselves, other calls added."""

from __future__ import annotations

from decimal import Decimal

from multiturn.conversations import Owner, Step
from multiturn.storage import Store
from multiturn.storage.account_store import AccountStore
from multiturn.usage import Cost, Spending, Usage

from .talk import ALICE, assistant, begin, finish

BOB = Owner("shop", "bob")
BANK = Owner("bank", "alice")


def accounts(store: Store) -> AccountStore:
    found: AccountStore = store.accounts  # type: ignore[attr-defined]  # offered beside the contract
    return found


async def turn(store: Store, owner: Owner, conversation: str, step: Step) -> None:
    await finish(store, await begin(store, "u", conversation, owner), assistant("a"), step=step)


def step(given: int, made: int, amount: str | None = None, currency: str = "CNY") -> Step:
    cost = None if amount is None else Cost(Decimal(amount), currency)
    return Step("m", b"[]", usage=Usage(given, made), cost=cost)


async def test_nothing_was_consumed_at_first(store: Store) -> None:
    nothing = await accounts(store).today("shop")
    assert (nothing.usage, nothing.costs, nothing.calls) == (Usage(), (), 0)
    assert nothing.group[:2] == "20"


async def test_steps_are_added_up_by_tenant_and_currency(store: Store) -> None:
    await turn(store, ALICE, "a", step(100, 10, "0.25"))
    await turn(store, BOB, "b", step(200, 20, "0.5"))
    await turn(store, BOB, "b", step(1, 2, "3", "USD"))
    await turn(store, BOB, "b", step(4, 5))
    await turn(store, BOB, "b", Step("m", b"[]", error="broken"))
    await turn(store, BANK, "c", step(7, 7, "7"))
    spent = await accounts(store).today("shop")
    assert (spent.usage, spent.calls) == (Usage(305, 37), 4)
    assert {each.currency: each.amount for each in spent.costs} == {
        "CNY": Decimal("0.75"),
        "USD": Decimal(3),
    }
    assert (await accounts(store).today("bank")).usage == Usage(7, 7)


async def test_calls_beside_turns_count_too(store: Store) -> None:
    await turn(store, ALICE, "a", step(100, 10, "0.25"))
    await store.record(ALICE, "a", step(1000, 1, "0.5"))
    more = Spending("", Usage(10, 1), (Cost(Decimal("0.125"), "CNY"), Cost(Decimal(1), "USD")), calls=2)
    await accounts(store).add({"shop": more, "bank": Spending("", Usage(5, 5), (), 1)})
    spent = await accounts(store).today("shop")
    assert (spent.usage, spent.calls) == (Usage(1110, 12), 4)
    assert {each.currency: each.amount for each in spent.costs} == {
        "CNY": Decimal("0.875"),
        "USD": Decimal(1),
    }
    assert (await accounts(store).today("bank")).usage == Usage(5, 5)


async def test_deleting_gives_nothing_back(store: Store) -> None:
    await turn(store, ALICE, "a", step(100, 10, "0.25"))
    before = await accounts(store).today("shop")
    await store.delete(ALICE, "a")
    assert await accounts(store).today("shop") == before
