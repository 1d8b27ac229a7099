"""What may a tenant consume, and what happens when it is used up?"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.access.tenants import MODEL, config
from tests.gateway.keyed import bearer, made
from tests.gateway.responding import until
from tests.gateway.serving import gate
from tests.simulators import Fault, Script, Wire, serve

from multiturn import SettingInvalid
from multiturn.allowance import Allowance, allowance_of
from multiturn.catalog import Catalog
from multiturn.errors import StoreBusy
from multiturn.gateway.access.consumption import Consumption, estimated
from multiturn.settings import load
from multiturn.storage.sqlite import SQLiteStore
from multiturn.usage import Cost, Price, Spending, Tier, Usage

CURRENCY = Catalog().card(MODEL).price.currency  # type: ignore[union-attr]  # it has one
DAY = 86_400


def asks(**more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], **more}


def refused(answer: tuple[int, bytes, Any]) -> Any:
    """The refusal for a day that is used up; gives the headers."""
    status, body, headers = answer
    error = json.loads(body)["error"]
    assert (status, error["code"], error["type"]) == (429, "insufficient_quota", "insufficient_quota")
    assert headers["x-should-retry"] == "false"
    return headers


# ------------------------------------------------------------------------------------ a day's budget


KINDS: list[dict[str, Any]] = [
    {},
    {"stream": True},
    {"conversation": "c"},
    {"conversation": "c", "store": False},
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize(
    "budget", [{"tokens_per_day": 1}, {"cost_per_day": 1e-9, "currency": CURRENCY}], ids=["tokens", "money"]
)
def test_what_is_used_up_is_refused_until_the_day_turns(
    store: Path, tmp_path: Path, kind: dict[str, Any], budget: dict[str, object]
) -> None:
    shop, bank = made(store, "shop"), made(store, "bank")
    with serve("qwen") as sim, gate(sim, **config(store, tmp_path, shop=budget)) as one:
        first = asks(**{**kind, "store": None})
        assert one.post(first, **bearer(shop))[0] == 200
        before = len(sim.requests)
        wait = int(refused(one.post(asks(**kind), **bearer(shop)))["retry-after"])
        assert abs(wait - (DAY - time.time() % DAY)) < 60
        assert len(sim.requests) == before
        assert one.post(asks(), **bearer(bank))[0] == 200
        assert one.get("/v1/conversations", **bearer(shop))[0] == 200


@pytest.mark.parametrize("kind", KINDS[:3], ids=str)
def test_what_was_consumed_is_known_after_a_restart(
    store: Path, tmp_path: Path, kind: dict[str, Any]
) -> None:
    shop = made(store, "shop")
    arguments = config(store, tmp_path, shop={"tokens_per_day": 1})
    with serve("qwen") as sim:
        with gate(sim, **arguments) as one:
            assert one.post(asks(**kind), **bearer(shop))[0] == 200
        with gate(sim, **arguments) as one:
            refused(one.post(asks(), **bearer(shop)))


def test_deleting_gives_nothing_back_and_is_never_refused(store: Path, tmp_path: Path) -> None:
    shop = made(store, "shop")
    with serve("qwen") as sim, gate(sim, **config(store, tmp_path, shop={"tokens_per_day": 1})) as one:
        one.post(asks(conversation="c"), **bearer(shop))
        assert one.get("/v1/conversations/c", "DELETE", **bearer(shop))[0] == 200
        refused(one.post(asks(), **bearer(shop)))


def test_money_of_another_currency_is_another_matter(store: Path, tmp_path: Path) -> None:
    shop = made(store, "shop")
    arguments = config(store, tmp_path, shop={"cost_per_day": 1e-9, "currency": "EUR"})
    with serve("qwen") as sim, gate(sim, **arguments) as one:
        assert [one.post(asks(), **bearer(shop))[0] for _ in range(3)] == [200, 200, 200]


def test_without_keys_the_default_tenant_can_have_a_budget(store: Path, tmp_path: Path) -> None:
    with serve("qwen") as sim, gate(sim, **config(store, tmp_path, **{"": {"tokens_per_day": 1}})) as one:
        assert one.post(asks())[0] == 200
        refused(one.post(asks()))


def test_dashscopes_clients_have_the_same_budget(store: Path, tmp_path: Path) -> None:
    shop = made(store, "shop")
    path = "/api/v1/services/aigc/text-generation/generation"
    body = {"model": MODEL, "input": {"messages": [{"role": "user", "content": "hi"}]}}
    with serve("qwen") as sim, gate(sim, **config(store, tmp_path, shop={"tokens_per_day": 1})) as one:
        assert one.post(body, path, **bearer(shop))[0] == 200
        status, told, headers = one.post(body, path, **bearer(shop))
        assert (status, json.loads(told)["code"]) == (429, "Throttling.AllocationQuota")
        assert headers["x-should-retry"] == "false"


# ------------------------------------------------------------------------------------ how it is counted


def counted(store: Path, tenant: str = "shop") -> Spending:
    """What the store says of today."""

    async def look() -> Spending:
        opened = SQLiteStore(str(store))
        found = await opened.accounts.today(tenant)
        await opened.close()
        return found

    return asyncio.run(look())


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"stream": True},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"conversation": "c"},
        {"conversation": "c", "stream": True},
    ],
    ids=str,
)
def test_every_kind_of_request_counts_what_the_provider_reported(store: Path, kind: dict[str, Any]) -> None:
    shop = made(store, "shop")
    with serve("qwen", "a few words") as sim, gate(sim, store=store) as one:
        for _ in range(2):
            assert one.post(asks(**kind), **bearer(shop))[0] == 200
            if "conversation" in kind:
                one.get("/v1/conversations/c", "DELETE", **bearer(shop))
    with serve("qwen", "a few words") as sim, gate(sim) as one:
        usage = json.loads(one.post(asks())[1])["usage"]
    found = counted(store)
    assert found.calls == 2
    assert found.usage == Usage(2 * usage["prompt_tokens"], 2 * usage["completion_tokens"])
    price = Catalog().card(MODEL).price
    assert price is not None
    one_call = price.cost(Usage(usage["prompt_tokens"], usage["completion_tokens"], cached=0))
    assert [(each.amount, each.currency) for each in found.costs] == [
        (2 * one_call.amount, one_call.currency)
    ]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/responses", {}),
        ("/v1/responses", {"stream": True}),
        ("/v1/responses", {"store": False}),
        ("/v1/responses", {"background": True}),
        ("/v1/responses/compact", {}),
    ],
    ids=str,
)
def test_responses_count_too(store: Path, path: str, kind: dict[str, Any]) -> None:
    shop = made(store, "shop")
    with serve("qwen", "a few words") as sim, gate(sim, store=store) as one:
        assert one.post({"model": MODEL, "input": "hi", **kind}, path, **bearer(shop))[0] == 200
    found = counted(store)
    assert found.calls == 1
    assert min(found.usage.input, found.usage.output) > 0


def test_a_client_that_leaves_has_consumed_something_all_the_same(store: Path) -> None:
    shop = made(store, "shop")
    slow = Script("word " * 400, wire=Wire(piece=5, between=0.1))
    with serve("qwen", slow) as sim, gate(sim, store=store) as one:
        with one.socket(asks(stream=True), f"authorization: Bearer {shop}") as sock:
            assert b"word" in heard_until(sock, b"word")
        until(lambda: sim.requests[0].left)
    found = counted(store)
    assert found.calls == 1
    assert found.usage.input > 0
    assert found.usage.output > 0


def heard_until(sock: socket.socket, words: bytes) -> bytes:
    heard = b""
    while words not in heard:
        heard += sock.recv(4096)
    return heard


def test_what_the_provider_refused_consumed_nothing(store: Path) -> None:
    shop = made(store, "shop")
    with serve("qwen", Script(faults=Fault(400, message="no"))) as sim, gate(sim, store=store) as one:
        assert one.post(asks(), **bearer(shop))[0] == 400
        assert one.post(asks(stream=True), **bearer(shop))[0] == 400
    assert counted(store).calls == 0


def test_where_nobody_has_a_key_or_a_budget_nothing_is_counted(store: Path) -> None:
    with serve("qwen") as sim, gate(sim, store=store) as one:
        assert one.post(asks())[0] == 200
    assert counted(store, "").calls == 0


class Busy:
    """A store whose accounts cannot be written at first."""

    def __init__(self) -> None:
        self.accounts = self
        self.busy = True
        self.written: list[Mapping[str, Spending]] = []
        self.taken = asyncio.Event()

    async def add(self, spent: Mapping[str, Spending]) -> None:
        if self.busy:
            raise StoreBusy(path="chats.db")
        self.written.append(spent)
        self.taken.set()

    async def today(self, tenant: str) -> Spending:
        del tenant
        return Spending("", Usage())


async def test_what_could_not_be_written_is_kept_for_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiturn.gateway.access.consumption.FLUSHED", 0.01)
    store, card = Busy(), Catalog().card(MODEL)
    consumption = Consumption(store, asyncio.ensure_future)  # type: ignore[arg-type]  # only its accounts are used
    consumption.add("shop", card, Usage(10, 1))
    consumption.add("shop", card, Usage(10, 1, cached=5))
    await consumption.write()
    assert (await consumption.today("shop")).usage == Usage(20, 2)
    store.busy = False
    await asyncio.wait_for(store.taken.wait(), 20)  # without anything being added
    await consumption.write()
    (written,) = store.written
    assert (written["shop"].usage, written["shop"].calls) == (Usage(20, 2), 2)


async def test_whoever_goes_on_does_not_put_off_that_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiturn.gateway.access.consumption.FLUSHED", 0.3)
    store, card = Busy(), Catalog().card(MODEL)
    store.busy = False
    consumption = Consumption(store, asyncio.ensure_future)  # type: ignore[arg-type]  # only its accounts are used
    async with asyncio.timeout(10):
        while not store.taken.is_set():
            consumption.add("shop", card, Usage(10, 1))
            await asyncio.sleep(0)
    await consumption.write()


def test_what_told_nobody_is_estimated_by_its_bytes() -> None:
    assert estimated(4000, received=400) == Usage(1000, 100, estimated=True)
    assert estimated(0, events=2000) == Usage(0, 10, estimated=True)


class Slow:
    """A store whose readers look at what was there when they began, and tell it late."""

    def __init__(self) -> None:
        self.accounts = self
        self.stored = Spending("", Usage())
        self.asked, self.told = asyncio.Event(), asyncio.Event()

    async def add(self, spent: Mapping[str, Spending]) -> None:
        self.stored = Spending.total("", (self.stored, spent["shop"]))

    async def today(self, tenant: str) -> Spending:
        del tenant
        found = self.stored
        self.asked.set()
        await self.told.wait()
        return found


async def test_what_is_written_while_somebody_looks_is_seen_once() -> None:
    store, card = Slow(), Catalog().card(MODEL)
    consumption = Consumption(store, asyncio.ensure_future)  # type: ignore[arg-type]  # only its accounts are used
    consumption.add("shop", card, Usage(10, 1))
    looking = asyncio.create_task(consumption.today("shop"))
    await store.asked.wait()
    writing = asyncio.create_task(consumption.write())
    for _ in range(9):
        await asyncio.sleep(0)
    store.told.set()
    assert (await looking).usage == Usage(10, 1)
    await writing
    assert (await consumption.today("shop")).usage == store.stored.usage == Usage(10, 1)


SHARES = st.floats(0, 0.5) | st.none()


def share(of: int, part: float | None) -> int | None:
    return None if part is None else int(of * part)


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(0, 10**5), SHARES, SHARES, SHARES),
        min_size=1,
        max_size=9,
    )
)
def test_calls_added_up_cost_what_each_of_them_costs(calls: list[tuple[int, int, Any, Any, Any]]) -> None:
    dear = Tier(Decimal(3), Decimal(4), None, *map(Decimal, ("0.5", "6", "8", "0.25")))
    price = Price("CNY", (Tier(Decimal(1), Decimal(2), 1000), dear))
    card = replace(Catalog().card(MODEL), price=price)
    usages = [
        Usage(given, made, share(given, cached), share(given, written), share(made, thought))
        for given, made, cached, written, thought in calls
    ]

    async def total() -> Spending:
        consumption = Consumption(Busy(), asyncio.ensure_future)  # type: ignore[arg-type]  # see above
        for usage in usages:
            consumption.add("shop", card, usage)
        found = await consumption.today("shop")
        await consumption.write()
        return found

    found = asyncio.run(total())
    assert found.calls == len(calls)
    assert sum(each.amount for each in found.costs) == sum(price.cost(usage).amount for usage in usages)


# ------------------------------------------------------------------------------------ answers at once


def test_one_answer_too_many_is_refused_until_another_has_ended(store: Path, tmp_path: Path) -> None:
    shop, bank = made(store, "shop"), made(store, "bank")
    slow = Script("word " * 20, wire=Wire(piece=5, between=0.1))
    arguments = config(store, tmp_path, shop={"streams": 1})
    with serve("qwen", slow) as sim, gate(sim, **arguments) as one:
        with one.socket(asks(stream=True), f"authorization: Bearer {shop}") as sock:
            heard_until(sock, b"word")
            status, body, headers = one.post(asks(), **bearer(shop))
            assert (status, json.loads(body)["error"]["code"]) == (429, "rate_limit_exceeded")
            assert headers["retry-after"] == "1"
            assert one.get("/v1/conversations", **bearer(shop))[0] == 200
            assert one.post(asks(), **bearer(bank))[0] == 200
            heard_until(sock, b"[DONE]")
        until(lambda: one.post(asks(), **bearer(shop))[0] == 200)


def test_what_was_refused_leaves_room_for_others(store: Path, tmp_path: Path) -> None:
    shop = made(store, "shop")
    with serve("qwen") as sim, gate(sim, **config(store, tmp_path, shop={"streams": 1})) as one:
        assert [one.post(b"{", **bearer(shop))[0] for _ in range(3)] == [400, 400, 400]
        assert one.post(asks(), **bearer(shop))[0] == 200


# ------------------------------------------------------------------------------------ as it is stated


def test_an_allowance_is_read_from_the_settings(tmp_path: Path) -> None:
    (tmp_path / "multiturn.toml").write_text(
        "[tenants.shop]\ntokens_per_day = 5\ncost_per_day = 0.1\ncurrency = 'CNY'\nstreams = 2\n"
        "[tenants.'']\nstreams = 3\n"
    )
    tenants = load({}, {"HOME": "/nowhere"}, tmp_path).tenants
    assert allowance_of("shop", tenants["shop"]) == Allowance(5, Cost(Decimal("0.1"), "CNY"), 2)
    assert allowance_of("", tenants[""]) == Allowance(None, None, 3)


def test_a_tenant_says_how_long_its_conversations_are_kept(store: Path, tmp_path: Path) -> None:
    tenants = {"shop": {"expires_after": 60}, "desk": {"streams": 2}}
    arguments = config(store, tmp_path, **tenants)
    arguments["config"] = replace(arguments["config"], expires_after=3600)
    with gate(**arguments) as one:
        for tenant, seconds in (("shop", 60), ("desk", 3600)):
            key = made(store, tenant)
            status, body, _ = one.post({}, "/v1/conversations", **bearer(key))
            assert (status, json.loads(body)["expires_after"]) == (200, seconds)
            status, body, _ = one.post({"expires_after": 5}, "/v1/conversations", **bearer(key))
            assert json.loads(body)["expires_after"] == 5


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"tokens": 5}, "tenants.shop.tokens"),
        ({"tokens_per_day": 0}, "tenants.shop.tokens_per_day"),
        ({"tokens_per_day": True}, "tenants.shop.tokens_per_day"),
        ({"streams": "many"}, "tenants.shop.streams"),
        ({"expires_after": -1}, "tenants.shop.expires_after"),
        ({"expires_after": "soon"}, "tenants.shop.expires_after"),
        ({"cost_per_day": 5}, "tenants.shop.currency"),
        ({"cost_per_day": float("inf"), "currency": "CNY"}, "tenants.shop.cost_per_day"),
        ({"cost_per_day": "5", "currency": "CNY"}, "tenants.shop.cost_per_day"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_with_its_name(values: dict[str, object], wrong: str) -> None:
    with pytest.raises(SettingInvalid) as refused:
        allowance_of("shop", values)
    assert refused.value.figures["name"] == wrong
