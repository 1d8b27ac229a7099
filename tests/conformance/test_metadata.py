"""What is noted on conversations, how they are listed by it, and how long they are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from multiturn.conversations import Declared, Owner, TurnState
from multiturn.errors import ConversationNotFound
from multiturn.search.terms import query
from multiturn.storage import Reach, Start, Store

from .talk import ALICE, ask, assistant, begin, finish, said, user

BOB = Owner("shop", "bob")
EVERYBODY = Owner("shop", None)
STRANGER = Owner("other", "alice")
SOON = 0.05
"""Seconds until a conversation of these tests is over."""


async def make(store: Store, name: str, owner: Owner = ALICE, **declared: object) -> None:
    await store.add(owner, name, [[user(f"in {name}"), assistant("ok")]], Declared(**declared))  # type: ignore[arg-type]  # by name


async def over(store: Store, name: str = "c") -> None:
    """A conversation whose time is over."""
    await make(store, name, expires_after=SOON)
    await asyncio.sleep(SOON * 2)


# ---------------------------------------------------------------------------------------- metadata


async def test_a_conversation_is_noted_with_what_it_is_made_with(store: Store) -> None:
    await make(store, "c", metadata={"order": "7", "城市": "上海"}, expires_after=60)
    one = await store.conversation(ALICE, "c")
    assert (one.metadata, one.expires_after) == ({"order": "7", "城市": "上海"}, 60)
    await make(store, "c", metadata={"order": "8"}, expires_after=5)
    assert await store.conversation(ALICE, "c") == (await store.conversations(ALICE))[0]
    assert (await store.conversation(ALICE, "c")).metadata == one.metadata
    assert (await store.conversation(ALICE, "c")).expires_after == 60
    begun = await store.begin(ALICE, "d", Start([user("a")], declared=Declared(metadata={"a": "b"})))
    assert begun.lease is not None
    assert (await store.conversation(ALICE, "d")).metadata == {"a": "b"}
    await store.declare(ALICE, "e", Declared(metadata={"e": ""}))
    assert (await store.conversation(ALICE, "e")).metadata == {"e": ""}
    await make(store, "f")
    assert ((await store.conversation(ALICE, "f")).metadata, one.settings.version) == ({}, 0)
    assert (await store.conversation(ALICE, "f")).expires_after is None


async def test_what_is_noted_changes_as_a_whole(store: Store) -> None:
    await make(store, "c", metadata={"a": "1", "b": "2"})
    before = await store.conversation(ALICE, "c")
    one = await store.describe(ALICE, "c", metadata={"b": "3"})
    assert one == await store.conversation(ALICE, "c")
    assert (one.metadata, one.updated_at) == ({"b": "3"}, before.updated_at)
    assert (await store.describe(ALICE, "c")).metadata == {"b": "3"}
    assert (await store.describe(ALICE, "c", expires_after=62.5)).expires_after == 62.5
    await asyncio.sleep(0.02)
    assert (await store.describe(ALICE, "c", expires_after=65)).updated_at > before.updated_at
    one = await store.describe(ALICE, "c", metadata={}, expires_after=0)
    assert (one.metadata, one.expires_after) == ({}, None)
    for owner in (BOB, STRANGER):
        with pytest.raises(ConversationNotFound):
            await store.describe(owner, "c", metadata={"x": "y"})
    with pytest.raises(ConversationNotFound):
        await store.describe(ALICE, "nowhere", metadata={"x": "y"})
    assert (await store.conversation(ALICE, "c")).metadata == {}


async def test_conversations_are_listed_by_what_is_noted(store: Store) -> None:
    await make(store, "a", metadata={"shop": "1", "vip": "yes"})
    await make(store, "b", metadata={"shop": "2"})
    await make(store, "c")
    await make(store, "d", metadata={"shop": "1"})
    await make(store, "e", BOB, metadata={"shop": "1"})

    async def found(owner: Owner = ALICE, **metadata: str) -> list[str]:
        return [one.id for one in await store.conversations(owner, metadata=metadata)]

    assert await found(shop="1") == ["d", "a"]
    assert await found(shop="1", vip="yes") == ["a"]
    assert await found(shop="3") == []
    assert await found(nothing="1") == []
    assert await found() == ["d", "c", "b", "a"]
    assert await found(EVERYBODY, shop="1") == ["e", "d", "a"]
    assert [
        one.id for one in await store.conversations(ALICE, limit=1, before="d", metadata={"shop": "1"})
    ] == ["a"]


async def test_conversations_are_listed_from_either_end(store: Store) -> None:
    for name in "abcd":
        await make(store, name)

    async def found(**page: object) -> str:
        return "".join([one.id for one in await store.conversations(ALICE, **page)])  # type: ignore[arg-type]  # by name

    assert await found(oldest=True) == "abcd"
    assert await found(oldest=True, limit=2) == "ab"
    assert await found(oldest=True, after="b") == "cd"
    assert await found(oldest=True, before="c") == "ab"
    assert await found(after="b") == "dc"
    assert await found(after="a", before="d") == "cb"
    assert await found(after="d") == ""
    for page in ({"after": "x"}, {"before": "x"}):
        with pytest.raises(ConversationNotFound):
            await found(**page)
    with pytest.raises(ConversationNotFound):
        await store.conversations(BOB, after="a")


# ------------------------------------------------------------------------------------ time to live


READS: dict[str, Callable[[Store], Awaitable[object]]] = {
    "conversation": lambda store: store.conversation(ALICE, "c"),
    "history": lambda store: store.history(ALICE, "c"),
    "turns": lambda store: store.turns(ALICE, "c"),
    "steps": lambda store: store.steps(ALICE, "c", 1),
    "branches": lambda store: store.branches(ALICE, "c"),
    "fork": lambda store: store.fork(ALICE, "c", 1),
    "describe": lambda store: store.describe(ALICE, "c", expires_after=60),
    "mark": lambda store: store.mark(ALICE, "c", 1, set=1),
    "summaries": lambda store: store.summaries(ALICE, "c"),
    "delete": lambda store: store.delete(ALICE, "c"),
    "cursor": lambda store: store.conversations(ALICE, before="c"),
    "usage": lambda store: store.usage(ALICE, conversation="c"),
    "begin": lambda store: store.begin(ALICE, "c", Start([user("a")], make=False)),
    "add": lambda store: store.add(ALICE, "c", [[user("a")]], make=False),
}


@pytest.mark.parametrize("read", list(READS))
async def test_one_whose_time_is_over_is_like_one_that_does_not_exist(store: Store, read: str) -> None:
    await over(store)
    with pytest.raises(ConversationNotFound):
        await READS[read](store)


async def test_nothing_of_it_is_listed_or_found(store: Store) -> None:
    await make(store, "c", expires_after=60)
    ulid = (await store.conversation(ALICE, "c")).ulid
    assert await store.lookup(ALICE, ulid) == "c"
    assert len(await store.search(ALICE, "in c")) == 1
    await store.describe(ALICE, "c", expires_after=SOON)
    await asyncio.sleep(SOON * 2)
    assert await store.conversations(ALICE) == []
    assert await store.search(ALICE, "in c") == []
    assert (await store.gather(ALICE, "c", Reach())).turns == ()
    with pytest.raises(ConversationNotFound):
        await store.lookup(ALICE, ulid)


async def test_no_other_conversation_remembers_it(store: Store) -> None:
    await store.add(ALICE, "c", [[user("strawberry")]], Declared(memory="garden", expires_after=60))
    await store.add(ALICE, "d", [[user("tea")]], Declared(memory="garden"))
    asked = query("strawberry", now=0)
    found = await store.recall(ALICE, "d", asked, memory="garden")
    assert [one.conversation for one in found] == ["c"]
    await store.describe(ALICE, "c", expires_after=SOON)
    await asyncio.sleep(SOON * 2)
    assert await store.recall(ALICE, "d", asked, memory="garden") == []


async def test_its_summary_is_not_due_any_more(store: Store) -> None:
    lease = await begin(store, "a", declared=Declared(expires_after=60))
    await finish(store, lease, assistant("b"), due=True)
    due = await store.claim_due()
    assert due is not None
    await store.settle_due(due, done=False)
    await store.describe(ALICE, "c", expires_after=SOON)
    await asyncio.sleep(SOON * 2)
    assert await store.claim_due() is None


async def test_its_id_is_free_for_a_new_one(store: Store) -> None:
    await over(store)
    await ask(store, "again", "ok")
    assert await said(store, "c") == ["again", "ok"]
    assert (await store.conversation(ALICE, "c")).expires_after is None
    await over(store, "d")
    await store.add(BOB, "d", [[user("mine")]])
    assert (await store.conversation(BOB, "d")).user == "bob"


async def test_use_keeps_it(store: Store) -> None:
    await make(store, "c", expires_after=3)
    for _ in range(4):
        await asyncio.sleep(0.8)
        await store.add(ALICE, "c", [[user("more")]])
    assert len(await store.turns(ALICE, "c")) == 5


async def test_a_turn_that_runs_keeps_it(store: Store) -> None:
    lease = await begin(store, "a", declared=Declared(expires_after=SOON), hold=60)
    await asyncio.sleep(SOON * 2)
    assert await store.sweep() == 0
    assert await said(store, "c") == ["a"]
    turn = await finish(store, lease, assistant("b"))
    assert (turn.state, turn.messages) == (TurnState.COMPLETED, 2)
    await asyncio.sleep(SOON * 2)
    assert await store.sweep() == 1


async def test_what_is_over_is_removed_for_all_tenants(store: Store) -> None:
    for owner, name in ((ALICE, "a"), (BOB, "b"), (STRANGER, "c")):
        await make(store, name, owner, expires_after=SOON)
    await make(store, "kept", expires_after=60)
    await make(store, "for ever")
    await asyncio.sleep(SOON * 2)
    assert await store.sweep(limit=2) == 2
    assert await store.sweep() == 1
    assert await store.sweep() == 0
    assert {one.id for one in await store.conversations(EVERYBODY)} == {"kept", "for ever"}


async def test_messages_are_added_to_what_is_there_only(store: Store) -> None:
    with pytest.raises(ConversationNotFound):
        await store.add(ALICE, "c", [[user("a")]], make=False)
    assert await store.conversations(ALICE) == []
    lease = await begin(store, "a")
    await finish(store, lease, assistant("b"))
    await store.add(ALICE, "c", [[user("c")]], make=False)
    assert await said(store, "c") == ["a", "b", "c"]
