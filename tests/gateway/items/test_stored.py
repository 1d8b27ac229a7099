"""Whatever is added and deleted, in whatever order: every window is valid, and says what the list of items
says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multiturn import AsyncMultiTurn
from multiturn.gateway.conversations.items import added
from multiturn.gateway.http.refusal import Refusal
from multiturn.gateway.items.items import Item
from multiturn.gateway.items.posted import posted_items
from multiturn.gateway.items.stored import Items
from multiturn.providers.scripted import ScriptedProvider

KINDS = ("user", "assistant", "reasoning", "call", "result", "unknown", "developer")
STEP = st.one_of(
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=6),
    st.integers(0, 30),
)
"""A batch to be added, or which item is to be deleted."""


class Talk:
    """What the batches say: every word stands once, and results answer the calls before them."""

    def __init__(self) -> None:
        self.said = 0
        self.open: list[str] = []

    def items(self, kinds: list[str]) -> list[Item]:
        return [item for kind in kinds if (item := self.item(kind)) is not None]

    def item(self, kind: str) -> Item | None:
        self.said += 1
        word = f"w{self.said}w"
        if kind == "result" and not self.open:
            return None
        match kind:
            case "reasoning":
                return {"type": "reasoning", "summary": [{"type": "summary_text", "text": word}]}
            case "call":
                self.open.append(word)
                return {"type": "function_call", "call_id": word, "name": "f", "arguments": "{}"}
            case "result":
                return {"type": "function_call_output", "call_id": self.open.pop(0), "output": word}
            case "unknown":
                return {"type": "web_search_call", "query": word}
            case _:
                if kind == "user":
                    self.open.clear()
                return {"type": "message", "role": kind, "content": word}


def check(messages: list[dict[str, Any]]) -> None:
    """What providers demand of a list of messages: results right behind their calls, all of them; nothing
    blank; the user begins."""
    open_calls: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            assert message["tool_call_id"] in open_calls
            open_calls.remove(message["tool_call_id"])
            continue
        assert not open_calls
        open_calls = [call["id"] for call in message.get("tool_calls") or ()]
        assert message.get("content") or open_calls
    assert not open_calls
    spoken = [message["role"] for message in messages if message["role"] not in ("system", "developer")]
    assert spoken[:1] in (["user"], ["assistant"])


async def play(steps: list[Any]) -> None:
    provider = ScriptedProvider(["answer"])
    given: Any = {"model": "openai/gpt-4o", "store": ":memory:", "environment": {}, "provider": provider}
    async with AsyncMultiTurn(**given) as client:
        chat, talk = client.conversation("c"), Talk()
        await chat.add([])
        items, deleted = Items(client.engine.store, *chat.at), set()
        for step in steps:
            if isinstance(step, list):
                with suppress(Refusal):  # a result whose call is of another turn
                    await added(client, chat, posted_items(talk.items(step)), make=False)
                continue
            there, _ = await items.page(100, None, newest=False)
            if step < len(there):
                await items.delete(there[step]["id"])
                left, _ = await items.page(100, None, newest=False)
                deleted |= {each["id"] for each in there} - {each["id"] for each in left}
                assert there[step]["id"] in deleted
                assert left == [each for each in there if each["id"] not in deleted]
        there, _ = await items.page(100, None, newest=False)
        await chat.send("last")
        messages = orjson.loads(provider.requests[-1].body)
        check(messages)
        told = str(there)
        for message in messages[:-1]:
            words = str(message.get("content") or "").replace("\n\n", " ").split()
            assert all(word in told for word in words if word.endswith("w"))
        assert "web_search" not in str(messages)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=8))
async def test_every_window_is_valid_and_says_what_the_items_say(steps: list[Any]) -> None:
    await play(steps)


# --------------------------------------------------------------------------------- what is deleted

CALLS = [{"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}} for name in "ab"]
TALK: Any = [
    {"role": "user", "content": "hi", "created_at": 1000},
    {"role": "assistant", "reasoning_content": "hm", "content": "I look.", "created_at": 2000},
    {"role": "assistant", "content": None, "tool_calls": CALLS[:1]},
    {"role": "tool", "tool_call_id": "a", "content": "sunny"},
    {"role": "assistant", "content": None, "tool_calls": CALLS[1:]},
    {"role": "tool", "tool_call_id": "b", "content": "rain"},
    {"role": "assistant", "content": "Both."},
]


@asynccontextmanager
async def talked() -> AsyncIterator[tuple[Any, Items]]:
    """A conversation of one turn with everything in it, and its items."""
    given: Any = {"model": "openai/gpt-4o", "store": ":memory:", "environment": {}}
    async with AsyncMultiTurn(**given, provider=ScriptedProvider(["answer"])) as client:
        chat = client.conversation("c")
        await chat.add(TALK)
        yield chat, Items(client.engine.store, *chat.at)


async def told(items: Items) -> list[tuple[str, str]]:
    """The type of each item and its id."""
    page, _ = await items.page(100, None, newest=False)
    return [(each["type"], each["id"]) for each in page]


async def test_what_is_beside_what_was_deleted_stays() -> None:
    async with talked() as (_, items):
        before = await told(items)
        kinds = [kind for kind, _ in before]
        call, result = "function_call", "function_call_output"
        assert kinds == ["message", "reasoning", "message", call, result, call, result, "message"]
        await items.delete(before[2][1])
        assert await told(items) == [*before[:2], *before[3:]]
        await items.delete(before[3][1])
        assert await told(items) == [*before[:2], *before[5:]]


async def test_what_is_left_of_a_message_was_said_when_it_was_said() -> None:
    async with talked() as (chat, items):
        await items.delete((await told(items))[1][1])
        assert [each.created_at for each in (await chat.history())[:2]] == [1000, 2000]


@pytest.mark.parametrize("newest", [False, True])
async def test_a_page_behind_what_was_deleted_begins_where_that_was(*, newest: bool) -> None:
    async with talked() as (_, items):
        all_of_them = (await items.page(100, None, newest=newest))[0]
        for place in (2, 4):
            behind, _ = await items.page(100, all_of_them[place]["id"], newest=newest)
            assert behind == all_of_them[place + 1 :]
        gone = all_of_them[3]["id"]
        await items.delete(gone)
        left = [kind for kind in await told(items) if kind[1] in [each["id"] for each in all_of_them[4:]]]
        page, more = await items.page(2, gone, newest=newest)
        assert [(each["type"], each["id"]) for each in page] == left[:: -1 if newest else 1][:2]
        assert more


@pytest.mark.parametrize("name", ["{}_7_1_0", "{}_0_9_0", "{}_0_1_9", "{}_0_1", "{}_99999999999_1_0"])
async def test_places_that_are_not_there_hold_nothing(name: str) -> None:
    async with talked() as (_, items):
        ulid = (await items.page(1, None, newest=False))[0][0]["id"].split("_")[1]
        with pytest.raises(Refusal) as refused:
            await items.find("msg_" + name.format(ulid))
        assert (refused.value.status, refused.value.param) == (404, "item_id")
