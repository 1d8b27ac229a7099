"""Does a day's budget hold for what runs at once, too?"""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.access.tenants import MODEL, config
from tests.gateway.keyed import bearer, made
from tests.gateway.responding import until
from tests.gateway.serving import gate
from tests.simulators import Answer, Fault, Script, serve

from multiturn import AsyncMultiTurn
from multiturn.catalog import Catalog
from multiturn.gateway.access.foresight import embedding_foreseen, foreseen
from multiturn.gateway.responses.request import foresight_of, wanted_of
from multiturn.storage.sqlite import SQLiteStore
from multiturn.usage import Spending, Usage

CURRENCY = Catalog().card(MODEL).price.currency  # type: ignore[union-attr]  # it has one
CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
NATIVE = "/api/v1/services/aigc/text-generation/generation"
MESSAGES = [{"role": "user", "content": "hi"}]
DOORS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": (CHAT, {"messages": MESSAGES}),
    "stream": (CHAT, {"messages": MESSAGES, "stream": True}),
    "turn": (CHAT, {"messages": MESSAGES, "conversation": "c"}),
    "turn aside": (CHAT, {"messages": MESSAGES, "conversation": "c", "store": False}),
    "response": (RESPONSES, {"input": "hi"}),
    "background": (RESPONSES, {"input": "hi", "background": True}),
    "response aside": (RESPONSES, {"input": "hi", "store": False}),
    "compaction": (f"{RESPONSES}/compact", {"input": "hi"}),
    "native": (NATIVE, {"input": {"messages": MESSAGES}}),
}


def until_told(enough: threading.Event) -> Answer:
    """An answer that takes its time."""
    return Answer("word " * 5, stall=enough, stall_after=2)


def held(answer: tuple[int, bytes, Any], code: str = "budget_held") -> None:
    """It was refused because of what runs."""
    status, body, headers = answer
    told = json.loads(body)
    assert (status, told.get("code") or told["error"]["code"]) == (429, code)
    assert (headers["retry-after"], headers["x-should-retry"]) == ("1", "true")


def today(store: Path) -> Spending:
    async def look() -> Spending:
        opened = SQLiteStore(str(store))
        found = await opened.accounts.today("shop")
        await opened.close()
        return found

    return asyncio.run(look())


@pytest.mark.parametrize(
    "budget", [{"tokens_per_day": 1}, {"cost_per_day": 1e-9, "currency": CURRENCY}], ids=str
)
@pytest.mark.parametrize("running", DOORS, ids=str)
def test_what_runs_may_need_all_that_is_left(
    store: Path, tmp_path: Path, running: str, budget: dict[str, object]
) -> None:
    shop = made(store, "shop")
    (path, body), key, enough = DOORS[running], bearer(shop), threading.Event()
    with (
        serve("qwen", Script([until_told(enough), "short"])) as sim,
        gate(sim, **config(store, tmp_path, shop=budget)) as one,
    ):
        lines = (f"authorization: Bearer {shop}",)
        with one.socket({"model": MODEL, **body}, *lines, path=path) as sock:
            until(lambda: sim.requests)
            for door, (other, more) in DOORS.items():
                code = "Throttling.RateQuota" if door == "native" else "budget_held"
                held(one.post({"model": MODEL, **more}, other, **key), code)
            assert len(sim.requests) == 1
            enough.set()
            assert sock.recv(1 << 16)
            until(lambda: one.post({"model": MODEL, **DOORS["plain"][1]}, **key)[2]["retry-after"] != "1")
        status, told, headers = one.post({"model": MODEL, **DOORS["plain"][1]}, **key)
        assert (status, json.loads(told)["error"]["code"]) == (429, "insufficient_quota")
        assert headers["x-should-retry"] == "false"
        assert len(sim.requests) == 1


@pytest.mark.parametrize("door", ["plain", "turn", "response"])
def test_at_once_no_more_is_taken_on_than_the_budget_holds(store: Path, tmp_path: Path, door: str) -> None:
    shop = made(store, "shop")
    path, body = DOORS[door]
    refused: list[int] = []
    enough = threading.Event()

    def ask(number: int) -> int:
        more = {"conversation": f"c{number}"} if door == "turn" else {}
        status = one.post(
            {"model": MODEL, "max_tokens" if path == CHAT else "max_output_tokens": 100, **body, **more},
            path,
            **bearer(shop),
        )[0]
        refused.extend([number] if status == 429 else [])
        return status

    budget = {"tokens_per_day": 350}
    with (
        serve("qwen", Answer("word", stall=enough)) as sim,
        gate(sim, **config(store, tmp_path, shop=budget)) as one,
    ):
        with ThreadPoolExecutor(16) as pool:
            asked = pool.map(ask, range(16))
            until(lambda: len(refused) + len(sim.requests) == 16)
            enough.set()
            answers = list(asked)
        assert sorted(set(answers)) == [200, 429]
        assert answers.count(200) == len(sim.requests) in (3, 4)
        assert today(store).usage.total < 350


def test_one_after_the_other_is_refused_for_nothing_it_has_not_taken(store: Path, tmp_path: Path) -> None:
    shop = made(store, "shop")
    budget = {"tokens_per_day": 1000}
    with serve("qwen", "a word") as sim, gate(sim, **config(store, tmp_path, shop=budget)) as one:
        waited_for = [door for name, door in DOORS.items() if name != "background"]
        for path, body in (*waited_for, *waited_for):
            assert one.post({"model": MODEL, **body}, path, **bearer(shop))[0] == 200
        assert len(sim.requests) == 2 * len(waited_for)


@pytest.mark.parametrize("door", ["plain", "turn", "background", "native"])
def test_what_failed_keeps_nothing_back(store: Path, tmp_path: Path, door: str) -> None:
    shop = made(store, "shop")
    (path, body), budget, enough = DOORS[door], {"tokens_per_day": 1000}, threading.Event()
    script = Script([Fault(400, message="no", delay=enough), "short"])
    with serve("qwen", script) as sim, gate(sim, **config(store, tmp_path, shop=budget)) as one:
        with one.socket({"model": MODEL, **body}, f"authorization: Bearer {shop}", path=path) as sock:
            until(lambda: sim.requests)
            held(one.post({"model": MODEL, **DOORS["plain"][1]}, **bearer(shop)))
            enough.set()
            assert sock.recv(1 << 16)
        until(lambda: one.post({"model": MODEL, **DOORS["plain"][1]}, **bearer(shop))[0] == 200)
    assert today(store).usage.total < 100


def test_a_client_that_leaves_keeps_nothing_back(store: Path, tmp_path: Path) -> None:
    shop = made(store, "shop")
    budget = {"tokens_per_day": 1000}
    with (
        serve("qwen", Script([until_told(threading.Event()), "short"])) as sim,
        gate(sim, **config(store, tmp_path, shop=budget)) as one,
    ):
        with one.socket({"model": MODEL, **DOORS["turn"][1]}, f"authorization: Bearer {shop}"):
            until(lambda: sim.requests)
        until(lambda: one.post({"model": MODEL, **DOORS["plain"][1]}, **bearer(shop))[0] == 200)


def test_saying_a_turn_anew_keeps_something_back_too(store: Path, tmp_path: Path) -> None:
    shop = made(store, "shop")
    (path, body), key, enough = DOORS["turn"], bearer(shop), threading.Event()
    script = Script(["first", until_told(enough)])
    with (
        serve("qwen", script) as sim,
        gate(sim, **config(store, tmp_path, shop={"tokens_per_day": 1000})) as one,
    ):
        assert one.post({"model": MODEL, **body}, path, **key)[0] == 200
        again = "/v1/conversations/c/turns/1/regenerate"
        with one.socket({}, f"authorization: Bearer {shop}", path=again) as sock:
            until(lambda: len(sim.requests) == 2)
            for where in (again, again.replace("regenerate", "edit")):
                held(one.post({"text": "x"} if where.endswith("edit") else {}, where, **key))
            enough.set()
            assert sock.recv(1 << 16)


@pytest.mark.parametrize("door", ["turn", "response", "anew"])
def test_who_asks_once_more_for_what_runs_is_not_refused_for_it(
    store: Path, tmp_path: Path, door: str
) -> None:
    shop = made(store, "shop")
    (path, body), key = DOORS["turn" if door == "anew" else door], bearer(shop)
    again = {"idempotency_key": "k", "x_multiturn_detached": "true", **key}
    slow = Answer("word " * 5, stall=1.5, stall_after=2)
    script = Script([*(["first"] if door == "anew" else []), slow])
    with (
        serve("qwen", script) as sim,
        gate(sim, **config(store, tmp_path, shop={"tokens_per_day": 1000})) as one,
    ):
        if door == "anew":
            assert one.post({"model": MODEL, **body}, path, **key)[0] == 200
            path, body = "/v1/conversations/c/turns/1/edit", {"text": "hello"}
        before, lines = len(sim.requests), [f"{n.replace('_', '-')}: {v}" for n, v in again.items()]
        with one.socket({"model": MODEL, **body}, *lines, path=path):
            until(lambda: len(sim.requests) == before + 1)
        assert one.post({"model": MODEL, **body}, path, **again)[0] == 200
        assert len(sim.requests) == before + 1


@pytest.mark.parametrize("door", ["turn", "response", "native", "anew"])
def test_what_is_told_again_needs_no_room(store: Path, tmp_path: Path, door: str) -> None:
    shop = made(store, "shop")
    (path, body), key = DOORS["turn" if door == "anew" else door], bearer(shop)
    if door == "native":
        body = {**body, "parameters": {"conversation": "c", "result_format": "message"}}
    first, enough = ["first"] if door == "anew" else [], threading.Event()
    budget = {"tokens_per_day": 18}  # more than the first takes, less than both
    with (
        serve("qwen", Script([*first, "word " * 6, until_told(enough)])) as sim,
        gate(sim, **config(store, tmp_path, shop=budget)) as one,
    ):
        if door == "anew":
            assert one.post({"model": MODEL, **body}, path, **key)[0] == 200
            path, body = "/v1/conversations/c/turns/1/edit", {"text": "hello"}
        told = one.post({"model": MODEL, **body}, path, idempotency_key="k", **key)
        assert told[0] == 200
        asked = len(sim.requests)
        with one.socket(
            {"model": MODEL, **DOORS["plain"][1]}, f"authorization: Bearer {shop}", path=CHAT
        ) as sock:
            until(lambda: len(sim.requests) == asked + 1)
            again = one.post({"model": MODEL, **body}, path, idempotency_key="k", **key)
            assert again[0] == 200
            other = one.post({"model": MODEL, **body}, path, idempotency_key="k2", **key)
            assert other[0] == 429
            enough.set()
            assert sock.recv(1 << 16)
        until(lambda: today(store).usage.total >= 18)
        assert one.post({"model": MODEL, **body}, path, idempotency_key="k2", **key)[0] == 429
        again = one.post({"model": MODEL, **body}, path, idempotency_key="k", **key)
        assert again[0] == 200
        if door != "native":  # its frames tell the request
            assert again[1] == told[1]
        assert len(sim.requests) == asked + 1


def test_what_failed_before_needs_room_again(store: Path, tmp_path: Path) -> None:
    shop = made(store, "shop")
    (path, body), key = DOORS["turn"], {"idempotency_key": "k", **bearer(shop)}
    enough = threading.Event()
    script = Script([Fault(400, message="no"), until_told(enough), "fine"])
    with (
        serve("qwen", script) as sim,
        gate(sim, **config(store, tmp_path, shop={"tokens_per_day": 1000})) as one,
    ):
        assert one.post({"model": MODEL, **body}, path, **key)[0] == 400
        with one.socket({"model": MODEL, **DOORS["plain"][1]}, f"authorization: Bearer {shop}") as sock:
            until(lambda: len(sim.requests) == 2)
            held(one.post({"model": MODEL, **body}, path, **key))
            enough.set()
            assert sock.recv(1 << 16)


def test_another_tenants_budget_is_its_own(store: Path, tmp_path: Path) -> None:
    shop, bank = made(store, "shop"), made(store, "bank")
    arguments = config(store, tmp_path, shop={"tokens_per_day": 10}, bank={"tokens_per_day": 10})
    enough = threading.Event()
    with serve("qwen", Script([until_told(enough), "short"])) as sim, gate(sim, **arguments) as one:
        with one.socket({"model": MODEL, **DOORS["plain"][1]}, f"authorization: Bearer {shop}") as sock:
            until(lambda: sim.requests)
            assert one.post({"model": MODEL, **DOORS["plain"][1]}, **bearer(bank))[0] == 200
            enough.set()
            assert sock.recv(1 << 16)


@pytest.mark.parametrize("door", ["plain", "stream", "turn aside", "native"])
def test_what_counts_against_a_budget_is_written_at_once(
    store: Path, tmp_path: Path, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multiturn.gateway.access.consumption.FLUSHED", 3600)
    shop = made(store, "shop")
    (path, body), budget = DOORS[door], {"tokens_per_day": 10**6}
    with serve("qwen") as sim, gate(sim, **config(store, tmp_path, shop=budget)) as one:
        if door == "turn aside":
            assert one.post({**body, "store": None, "model": MODEL}, path, **bearer(shop))[0] == 200
        before = today(store).calls
        assert one.post({"model": MODEL, **body}, path, **bearer(shop))[0] == 200
        until(lambda: today(store).calls == before + 1)


# ------------------------------------------------------------------------------- what may an answer take?


async def test_the_longest_answer_that_was_asked_for_counts() -> None:
    async with AsyncMultiTurn(model=MODEL, store=":memory:", environment={}) as client:
        for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
            assert (await foreseen(client, MODEL, {name: 7}, 400)).usage == Usage(100, 7, estimated=True)
        assert (await foreseen(client, MODEL, {"max_tokens": 7, "n": 3}, 0)).usage.output == 21
        assert (await foreseen(client, MODEL, {"max_tokens": 7, "n": 10**9}, 0)).usage.output == 7 * 128
        assert (await foreseen(client, MODEL, {}, 0)).usage.output == 4096
        assert (await foreseen(client, MODEL, {"enable_thinking": True}, 0)).usage.output == 16_384
        for wrong in (True, "7", -7, 0, None):
            assert (await foreseen(client, MODEL, {"max_tokens": wrong, "n": wrong}, 0)).usage.output == 4096


@pytest.mark.parametrize(
    ("model", "effort", "most"),
    [
        (MODEL, "high", 16_384),
        (MODEL, "none", 4096),
        (MODEL, None, 4096),
        ("kimi/kimi-k2.6", "none", 4096),
        ("kimi/kimi-k2.6", "medium", 16_384),
    ],
)
async def test_how_much_a_response_is_to_be_thought_over_counts(
    model: str, effort: str | None, most: int
) -> None:
    reasoning = {} if effort is None else {"reasoning": {"effort": effort}}
    wanted = wanted_of({"model": model, "input": "Hi", **reasoning})
    async with AsyncMultiTurn(model=MODEL, store=":memory:", environment={}) as client:
        assert (await foresight_of(client, wanted, 0)()).usage.output == most


async def test_no_more_counts_than_the_model_takes() -> None:
    async with AsyncMultiTurn(model=MODEL, store=":memory:", environment={}) as client:
        card = client.catalog.card(MODEL)
        usage = (await foreseen(client, MODEL, {"max_tokens": 10**9}, 1 << 30)).usage
        assert usage == Usage(card.max_input, card.max_output or 0, estimated=True)


async def test_of_a_model_that_nobody_knows_its_window_is_the_most() -> None:
    async with AsyncMultiTurn(model=MODEL, store=":memory:", environment={}) as client:
        card = client.catalog.card("qwen/no-such-model")
        assert card.max_output is None
        assert (await foreseen(client, card.name, {"max_tokens": 10**9}, 0)).usage.output == card.window


async def test_where_no_model_is_named_that_of_the_conversation_counts() -> None:
    async with AsyncMultiTurn(model=MODEL, store=":memory:", environment={}) as client:
        await client.conversation("c", model="demo").send("hi")
        assert (await foreseen(client, None, {}, 0, "c")).costs == ()
        assert [each.currency for each in (await foreseen(client, None, {}, 0, "new")).costs] == [CURRENCY]


async def test_what_the_conversation_was_sent_last_counts() -> None:
    async with AsyncMultiTurn(model="demo", store=":memory:", environment={}) as client:
        chat = client.conversation("c")
        reply = await chat.send("How tall is the tower of this town? " * 20)
        before = (await foreseen(client, "demo", {}, 40)).usage
        usage = (await foreseen(client, "demo", {}, 40, "c")).usage
        assert usage.input - before.input == reply.usage.total  # type: ignore[union-attr]  # it has one
        assert (await foreseen(client, "demo", {}, 40, "nobody's")).usage == before
        assert (await foreseen(client, "demo", {}, 40, "resp_no_response")).usage == before


async def test_it_is_worth_what_the_price_list_says() -> None:
    async with AsyncMultiTurn(model=MODEL, store=":memory:", environment={}) as client:
        price = client.catalog.card(MODEL).price
        found = await foreseen(client, MODEL, {"max_tokens": 10}, 400)
        assert price is not None
        assert found.costs == (price.cost(Usage(100, 10, estimated=True)),)
        assert (await foreseen(client, "qwen/no-such-model", {}, 400)).costs == ()
        card = client.catalog.embedding("text-embedding-v4")
        vectors = await embedding_foreseen(card, 4000)
        assert vectors.usage == Usage(1000, estimated=True)
        assert [each.currency for each in vectors.costs] == [CURRENCY]
