"""Conversations come, are listed, change their settings, cost money, and go."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from multiturn.conversations import Declared, Owner, Settings, Step, TurnState
from multiturn.errors import ConversationNotFound, InputInvalid, ToolCallUnknown, TurnNotFound
from multiturn.messages import Trait
from multiturn.storage import Reach, Start, Store, UsageRow
from multiturn.usage import Cost, Usage

from .talk import ALICE, answer, ask, assistant, begin, finish, held, result, said, user

BOB = Owner("shop", "bob")
EVERYBODY = Owner("shop", None)
STRANGER = Owner("other", "alice")


# ---------------------------------------------------------------------------------------- settings


async def test_settings_are_versioned(store: Store) -> None:
    first = await store.declare(ALICE, "c", Declared(model="a", instructions=(b'"x"',)))
    assert first == Settings(model="a", instructions=(b'"x"',), version=1)
    assert await store.declare(ALICE, "c", Declared(model="a")) == first
    assert await store.declare(ALICE, "c", Declared()) == first
    second = await store.declare(ALICE, "c", Declared(opening="Hi", policy={"budget": 1, "low": 0.5}))
    assert second == Settings((b'"x"',), "Hi", {"budget": 1, "low": 0.5}, "a", None, 2)
    assert await store.declare(ALICE, "c", Declared(policy={"low": 0.5, "budget": 1})) == second
    assert await store.declare(ALICE, "c", Declared(policy={"low": 5e-1, "budget": 1})) == second
    listed = await store.declare(ALICE, "d", Declared(policy={"images": (1, 2)}))
    assert await store.declare(ALICE, "d", Declared(policy={"images": (1, 2)})) == listed
    third = await store.declare(ALICE, "c", Declared(instructions=()))
    assert (third.instructions, third.version) == ((), 3)
    assert (await store.conversation(ALICE, "c")).settings == third
    assert await store.settings(ALICE, "c") == [first, second, third]


async def test_settings_of_others_are_not_there(store: Store) -> None:
    await store.declare(ALICE, "c", Declared(model="a"))
    await store.add(ALICE, "bare", [[user("hi")]])
    assert await store.settings(ALICE, "bare") == []
    for owner in (STRANGER, BOB):
        with pytest.raises(ConversationNotFound):
            await store.settings(owner, "c")


async def test_a_turn_declares_settings_that_hold_for_it(store: Store) -> None:
    begun = await store.begin(ALICE, "c", Start(entries=[user("a")], declared=Declared(model="m")))
    assert begun.settings == Settings(model="m", version=1)
    await finish(store, held(begun), assistant("b"))
    begun = await store.begin(ALICE, "c", Start(entries=[user("a")]))
    assert begun.settings == Settings(model="m", version=1)


async def test_a_refused_turn_changes_no_settings(store: Store) -> None:
    start = Start(entries=[result("x", "1")], results=("x",), declared=Declared(model="m"))
    with pytest.raises(ToolCallUnknown):
        await store.begin(ALICE, "c", start)
    with pytest.raises(ConversationNotFound):
        await store.conversation(ALICE, "c")


# ------------------------------------------------------------------------------------------- lists


async def test_a_conversation_in_figures(store: Store) -> None:
    await ask(store, "  Hello\n there,\tyou " + "x" * 100, "b")
    await ask(store, "second", "d")
    conversation = await store.conversation(ALICE, "c")
    assert conversation.id == "c"
    assert len(conversation.ulid) == 26
    assert conversation.user == "alice"
    assert (conversation.turns, conversation.messages, conversation.branch) == (2, 4, 0)
    assert conversation.title.startswith("Hello there, you xxx")
    assert len(conversation.title) <= 100
    assert conversation.created_at <= conversation.updated_at
    assert conversation.settings == Settings()


async def test_the_title_is_what_the_user_said_first(store: Store) -> None:
    await store.add(ALICE, "c", [[assistant("Welcome!")], [user("hi"), assistant("x")], [user("later")]])
    assert (await store.conversation(ALICE, "c")).title == "hi"
    parts = user("")._replace(
        body=b'{"role":"user","content":[{"type":"text","text":"look"},{"type":"image_url"}]}'
    )
    await store.add(ALICE, "d", [[parts]])
    assert (await store.conversation(ALICE, "d")).title == "look"
    await store.add(ALICE, "e", [[user("")._replace(body=b'{"role":"user","content":[null]}')]])
    assert (await store.conversation(ALICE, "e")).title == ""


async def test_most_recently_used_first(store: Store) -> None:
    for name in ("a", "b", "c", "d"):
        await answer(store, 1, conversation=name)
        await asyncio.sleep(0.002)
    await ask(store, "again", "ok", "b")
    await asyncio.sleep(0.002)
    await ask(store, "x", "y", "foreign", BOB)

    async def names(owner: Owner = ALICE, **which: Any) -> list[str]:
        return [c.id for c in await store.conversations(owner, **which)]

    assert await names() == ["b", "d", "c", "a"]
    assert await names(limit=2) == ["b", "d"]
    assert await names(limit=2, before="d") == ["c", "a"]
    assert await names(before="a") == []
    assert await names(EVERYBODY) == ["foreign", "b", "d", "c", "a"]
    assert await names(EVERYBODY, limit=2, before="foreign") == ["b", "d"]
    assert await names(STRANGER) == []
    for owner, before in ((ALICE, "foreign"), (ALICE, "missing"), (STRANGER, "a")):
        with pytest.raises(ConversationNotFound):
            await store.conversations(owner, before=before)


async def test_pages_hold_each_conversation_once(store: Store) -> None:
    await asyncio.gather(*(answer(store, 1, conversation=f"c{n}") for n in range(25)))
    seen: list[str] = []
    before = None
    while page := await store.conversations(ALICE, limit=4, before=before):
        seen += [c.id for c in page]
        before = seen[-1]
    assert sorted(seen) == sorted(f"c{n}" for n in range(25))


async def test_a_conversation_is_found_by_its_ulid(store: Store) -> None:
    await answer(store, 1)
    ulid = (await store.conversation(ALICE, "c")).ulid
    assert await store.lookup(ALICE, ulid) == "c"
    assert await store.lookup(EVERYBODY, ulid) == "c"
    for owner, wanted in ((BOB, ulid), (STRANGER, ulid), (ALICE, "0" * 26)):
        with pytest.raises(ConversationNotFound):
            await store.lookup(owner, wanted)


# --------------------------------------------------------------------------------------- isolation


async def test_another_users_conversation_is_as_good_as_none(store: Store) -> None:
    await answer(store, 1)
    await store.begin(ALICE, "c", Start(entries=[user("u2")], key="k"))
    ulid = (await store.conversation(ALICE, "c")).ulid

    async def refused(owner: Owner, name: str) -> list[tuple[type, str]]:
        calls = [
            store.begin(owner, name, Start(entries=[user("x")], key="k", make=name == "c")),
            store.begin(owner, name, Start(entries=[user("x")], interrupt=True, wait=0, make=name == "c")),
            store.cancel(owner, name),
            store.history(owner, name),
            store.turns(owner, name),
            store.steps(owner, name, 1),
            store.branches(owner, name),
            store.fork(owner, name, 1),
            store.switch(owner, name, 0),
            store.mark(owner, name, 1, set=1),
            store.conversation(owner, name),
            store.conversations(owner, before=name),
            store.search(owner, "u", conversation=name),
            store.usage(owner, conversation=name),
            store.locate(owner, name, "x"),
            store.delete(owner, name),
        ]
        errors = []
        for one in calls:
            with pytest.raises(ConversationNotFound) as caught:
                await one
            errors.append((type(caught.value), str(caught.value).replace(f"conversation {name} ", "")))
        return errors

    assert await refused(BOB, "c") == await refused(BOB, "missing")
    for call in (
        store.add(BOB, "c", [[user("x")]]),
        store.declare(BOB, "c", Declared(model="evil")),
        store.gather(BOB, "c", Reach()),
        store.lookup(BOB, ulid),
    ):
        with pytest.raises(ConversationNotFound):
            await call
    assert await said(store) == ["u1", "a1", "u2"]
    assert (await store.conversation(ALICE, "c")).settings == Settings()


async def test_tenants_may_use_the_same_ids(store: Store) -> None:
    await ask(store, "mine", "ok")
    await ask(store, "theirs", "ok", "c", STRANGER)
    assert await said(store) == ["mine", "ok"]
    await store.delete(STRANGER, "c")
    assert await said(store) == ["mine", "ok"]


@pytest.mark.parametrize(
    "name", ["", "x" * 1000, "'; DROP TABLE turns; --", "对话 👩‍👩‍👧", "a\nb", "%", "a/b"]
)
async def test_any_text_is_an_id(store: Store, name: str) -> None:
    owner = Owner(name, name)
    await ask(store, "u", "a", name, owner, key=name)
    assert (await store.conversation(owner, name)).id == name
    assert [hit.conversation for hit in await store.search(owner, "u", conversation=name)] == [name]
    begun = await store.begin(owner, name, Start(entries=[user("u")], key=name))
    assert begun.turn.key == name
    await store.delete(owner, name)


async def test_half_a_character_is_refused(store: Store) -> None:
    for call in (
        store.begin(ALICE, "\ud800", Start(entries=[user("x")])),
        store.gather(Owner("shop", "\ud800"), "\ud800", Reach()),
        store.search(ALICE, "\udfff"),
    ):
        with pytest.raises(InputInvalid):
            await call
    await answer(store, 1)


async def test_an_operator_sees_every_user(store: Store) -> None:
    await answer(store, 1)
    assert (await store.conversation(EVERYBODY, "c")).user == "alice"
    await ask(store, "u2", "a2", "c", EVERYBODY)
    assert await said(store) == ["u1", "a1", "u2", "a2"]
    await ask(store, "x", "y", "new", EVERYBODY)
    assert (await store.conversation(EVERYBODY, "new")).user == ""
    with pytest.raises(ConversationNotFound):
        await store.conversation(ALICE, "new")


# ----------------------------------------------------------------------------------------- deletion


async def test_what_is_deleted_is_gone(store: Store) -> None:
    await store.declare(ALICE, "c", Declared(model="m"))
    await answer(store, 1, 2)
    await store.add(ALICE, "c", [[user("u")._replace(facts=b'{"id":"own"}')]])
    await ask(store, "e", "x", after=1, key="k", digest=b"1")
    await store.delete(ALICE, "c")
    assert await store.gather(ALICE, "c", Reach()) == await store.gather(ALICE, "never", Reach())
    assert list(await store.search(ALICE, "u1")) == []
    assert list(await store.usage(ALICE)) == []
    assert list(await store.conversations(ALICE)) == []
    with pytest.raises(ConversationNotFound):
        await store.delete(ALICE, "c")
    turn = await ask(store, "new", "start", key="k", digest=b"2")
    assert (turn.number, turn.branch) == (1, 0)
    assert await said(store) == ["new", "start"]
    assert len(await store.branches(ALICE, "c")) == 1
    with pytest.raises(TurnNotFound):
        await store.locate(ALICE, "c", "own")


async def test_deleting_one_leaves_the_others(store: Store) -> None:
    for name in ("a", "b", "c"):
        await answer(store, 1, 2, conversation=name)
        await ask(store, "e", "x", name, after=1)
    await store.delete(ALICE, "b")
    for name in ("a", "c"):
        assert await said(store, name) == ["u1", "a1", "e", "x"]
        assert await said(store, name, branch=0) == ["u1", "a1", "u2", "a2"]
        assert len(await store.steps(ALICE, name, 2)) == 1


async def test_a_user_is_deleted_whole(store: Store) -> None:
    for name in ("a", "b"):
        await answer(store, 1, conversation=name)
    await ask(store, "x", "y", "c", BOB)
    await ask(store, "x", "y", "a", STRANGER)
    assert await store.delete_user(ALICE) == 2
    assert await store.delete_user(ALICE) == 0
    assert [c.id for c in await store.conversations(EVERYBODY)] == ["c"]
    assert len(await store.conversations(STRANGER)) == 1


# ------------------------------------------------------------------------------------------- usage


async def spend(
    store: Store, conversation: str, owner: Owner, model: str, usage: Usage | None, cost: Cost | None
) -> None:
    lease = await begin(store, "u", conversation, owner)
    await finish(store, lease, assistant("a"), step=Step(model, b"[]", usage, cost))


async def test_usage_is_added_up_by_group(store: Store) -> None:
    cny = Cost(Decimal("0.25"), "CNY")
    await spend(store, "a", ALICE, "m1", Usage(10, 1, cached=4), cny)
    await spend(store, "a", ALICE, "m1", Usage(20, 2, estimated=True), cny)
    await spend(store, "a", ALICE, "m2", Usage(5, 5, reasoning=3, cache_write=2), Cost(Decimal(1), "USD"))
    await spend(store, "b", ALICE, "m2", Usage(1, 1), None)
    await spend(store, "x", BOB, "m1", Usage(100, 100), cny)

    quarter = 250_000_000
    assert list(await store.usage(ALICE)) == [
        UsageRow("all", None, None, 1, 1, 1, 1, None, None, None, estimated=False),
        UsageRow("all", "CNY", 2 * quarter, 2, 2, 30, 3, 4, None, None, estimated=True),
        UsageRow("all", "USD", 4 * quarter, 1, 1, 5, 5, None, 2, 3, estimated=False),
    ]
    by_model = await store.usage(ALICE, by="model")
    assert [(r.group, r.currency, r.input) for r in by_model] == [
        ("m1", "CNY", 30),
        ("m2", None, 1),
        ("m2", "USD", 5),
    ]
    by_user = await store.usage(EVERYBODY, by="user")
    assert {(r.group, r.currency): r.amount for r in by_user} == {
        ("alice", None): None,
        ("alice", "CNY"): 2 * quarter,
        ("alice", "USD"): 4 * quarter,
        ("bob", "CNY"): quarter,
    }
    by_conversation = await store.usage(ALICE, by="conversation")
    assert {r.group: r.turns for r in by_conversation if r.currency != "USD"} == {"a": 2, "b": 1}
    (day,) = {r.group for r in await store.usage(ALICE, by="day")}
    assert len(day) == 10
    assert [r.input for r in await store.usage(ALICE, conversation="b")] == [1]
    by_two = await store.usage(EVERYBODY, by=("user", "model"))
    assert {r.group for r in by_two} == {'["alice","m1"]', '["alice","m2"]', '["bob","m1"]'}
    await store.describe(ALICE, "b", metadata={"tag": "trial", "order": "7"})
    by_tag = await store.usage(EVERYBODY, by="tag")
    assert {(r.group, r.currency): r.input for r in by_tag} == {
        ("", "CNY"): 130,
        ("", "USD"): 5,
        ("trial", None): 1,
    }
    assert list(await store.usage(STRANGER)) == []


async def test_a_turn_adds_up_its_steps(store: Store) -> None:
    lease = await begin(store, "u")
    cny = Cost(Decimal("0.1"), "CNY")
    waiting = {"state": TurnState.WAITING, "open_calls": ("x",)}
    await finish(store, lease, assistant("?"), step=Step("m", b"", Usage(10, 1), cny), **waiting)  # type: ignore[arg-type]  # named
    begun = await store.begin(ALICE, "c", Start(entries=[result("x", "r")], results=("x",)))
    step = Step(
        "m", b"", Usage(20, 2, cached=10, estimated=True), Cost(Decimal("0.2"), "CNY", estimated=True)
    )
    turn = await finish(store, held(begun), assistant("a"), step=step)
    assert turn.usage == Usage(30, 3, cached=10, estimated=True)
    assert turn.cost == Cost(Decimal("0.3"), "CNY", estimated=True)
    row = (await store.usage(ALICE))[0]
    assert (row.calls, row.turns) == (2, 1)


async def test_a_turn_paid_in_two_currencies_has_no_single_cost(store: Store) -> None:
    lease = await begin(store, "u")
    failed = Step("m", b"", Usage(1, 1), Cost(Decimal(1), "CNY"))
    await finish(store, lease, state=TurnState.FAILED, step=failed)
    begun = await store.begin(ALICE, "c", Start(again=True))
    turn = await finish(store, held(begun), step=Step("m", b"", Usage(1, 1), Cost(Decimal(1), "USD")))
    assert turn.cost is None
    assert turn.usage == Usage(2, 2)


async def test_steps_of_shared_turns_count_once(store: Store) -> None:
    await ask(store, "u1", "a1")
    await ask(store, "u2", "a2")
    await ask(store, "e2", "b2", after=1)
    (row,) = await store.usage(ALICE)
    assert row.calls == 3


async def test_a_mark_shows_that_nothing_else_changed(store: Store) -> None:
    await ask(store, "u1", "a1")
    before = (await store.turns(ALICE, "c"))[0]
    await store.mark(ALICE, "c", 1, set=int(Trait.PINNED))
    await store.mark(ALICE, "c", 1, clear=int(Trait.PINNED))
    assert (await store.turns(ALICE, "c"))[0] == before
