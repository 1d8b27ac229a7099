"""Whatever is added and deleted, in whatever order: every window is valid, and says what the list of items
says."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
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
