"""Short ways to say things to a store, for its tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from multiturn.conversations import Owner, Step, Turn, TurnState
from multiturn.messages import Entry, Trait
from multiturn.path import MessageRow
from multiturn.storage import Begun, Ending, Lease, Reach, Start, Store

__all__ = [
    "ALICE",
    "answer",
    "ask",
    "assistant",
    "begin",
    "bodies",
    "call",
    "entry",
    "finish",
    "held",
    "result",
    "said",
    "system",
    "texts",
    "user",
]

ALICE = Owner("shop", "alice")


def entry(role: str, text: str | None, traits: int = 0, **fields: Any) -> Entry:
    body = orjson.dumps({"role": role, "content": text, **fields})
    return Entry(role, traits, len(text or "") + 1, body)


def user(text: str) -> Entry:
    return entry("user", text)


def assistant(text: str) -> Entry:
    return entry("assistant", text)


def system(text: str) -> Entry:
    return entry("system", text, int(Trait.INSTRUCTION))


def call(*ids: str) -> Entry:
    calls = [{"id": i, "type": "function", "function": {"name": "f", "arguments": "{}"}} for i in ids]
    return entry("assistant", None, int(Trait.TOOL_CALL | Trait.BARE), tool_calls=calls)


def result(call_id: str, text: str) -> Entry:
    return entry("tool", text, int(Trait.TOOL_RESULT), tool_call_id=call_id)


def texts(rows: Sequence[MessageRow]) -> list[str | None]:
    return [orjson.loads(row.body)["content"] for row in rows]


def bodies(pieces: Sequence[bytes]) -> list[str | None]:
    return [orjson.loads(piece)["content"] for piece in pieces]


def held(begun: Begun) -> Lease:
    assert begun.lease is not None
    return begun.lease


async def begin(
    store: Store, text: str, conversation: str = "c", owner: Owner = ALICE, **start: Any
) -> Lease:
    return held(await store.begin(owner, conversation, Start(entries=[user(text)], **start)))


async def finish(
    store: Store, lease: Lease, *entries: Entry, state: TurnState = TurnState.COMPLETED, **ending: Any
) -> Turn:
    step = ending.pop("step", Step("demo", b"[]"))
    return await store.finish(lease, Ending(state, step, entries, **ending))


async def ask(
    store: Store, text: str, reply: str, conversation: str = "c", owner: Owner = ALICE, **start: Any
) -> Turn:
    lease = await begin(store, text, conversation, owner, **start)
    return await finish(store, lease, assistant(reply))


async def answer(store: Store, *numbers: int, conversation: str = "c") -> None:
    """Turns that say which they are."""
    await store.add(ALICE, conversation, [[user(f"u{n}"), assistant(f"a{n}")] for n in numbers])


async def said(store: Store, conversation: str = "c", branch: int | None = None) -> list[str | None]:
    """What the path says, read both ways."""
    rows = [told.row for told in await store.history(ALICE, conversation, branch=branch)]
    path = await store.gather(ALICE, conversation, Reach(), branch)
    read = path.bodies if path.rows is None else [row.body for row in path.rows]
    assert list(read) == [row.body for row in rows]
    return texts(rows)
