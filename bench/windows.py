"""What does it cost to read a window, however long the conversation is?

Through the async door: ``await chat.window()``, with the decisions for every message. By hand: the
instructions and the newest rows, joined; it is checked that both are the same messages. Warm is the
same client; cold is a new one each time, opened and closed: by hand a connection and a thread, or a
connection in a thread that is borrowed from the loop; what our file costs before its first statement, its
schema, is measured apart. SQLiteSession gives the newest messages
as dictionaries; for a budget it gives all, which are then counted and cut.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from multiturn import ContextPolicy, Window

from .corpus import SYSTEM, Message, tokens
from .figures import Figure, compared
from .peer import open_peer
from .raw import Raw, borrowed_schema, borrowed_window
from .rounds import CLOCKS, Times, Work, race, ratio
from .scale import Scale
from .stands import NAME, Stand, client_of, stand

__all__ = ["reading"]

NEWEST = 20
BUDGET = 8_000
POLICIES = {
    f"last {NEWEST}": ContextPolicy.last_messages(NEWEST),
    f"{BUDGET:,} tokens": ContextPolicy(budget=BUDGET, high=1.0, low=1.0, summarize=None, recall=None),
}
TARGETS = {"warm": 2.0, "cold": 3.0}
FLAT = 1.2


async def reading(folder: Path, messages: Callable[[int], Sequence[Message]], scale: Scale) -> list[Figure]:
    """Windows of conversations of different lengths."""
    figures = []
    for number, (kind, policy) in enumerate(POLICIES.items()):
        place = folder / f"windows-{number}"
        place.mkdir()
        contestants: dict[str, Work] = {}
        async with AsyncExitStack() as stack:
            for size in scale.sizes:
                here = await stack.enter_async_context(stand(place, messages(size), policy))
                budget = None if number == 0 else await _budget(here)
                await _check(here, budget)
                contestants |= _warm(here, budget) | _cold(here, policy, budget)
            times = await race(contestants, scale.rounds, scale.slice)
        figures += _by_size(kind, times, scale.sizes) + _growth(kind, times, scale.sizes)
    return figures


async def _budget(place: Stand) -> int:
    """Our counter and margin let so many messages in: the same number for the others, by theirs."""
    kept: list[Message] = (await place.chat.window()).messages[1:]
    return sum(map(tokens, kept))


async def _check(place: Stand, budget: int | None) -> None:
    window = await place.chat.window()
    by_hand = await (place.raw.newest(NEWEST) if budget is None else place.raw.within(budget))
    if window.messages != json.loads(by_hand) or window.messages[0]["content"] != SYSTEM:
        raise AssertionError("the contestants do not do the same work")
    if place.peer:
        theirs = await (place.peer.newest(NEWEST) if budget is None else place.peer.within(budget))
        if theirs != window.messages[1:]:
            raise AssertionError("SQLiteSession does not do the same work")


def _warm(place: Stand, budget: int | None) -> dict[str, Work]:
    size, chat, raw, peer = place.size, place.chat, place.raw, place.peer
    found: dict[str, Work] = {
        f"ours warm {size}": chat.window,
        f"raw warm {size}": lambda: raw.newest(NEWEST) if budget is None else raw.within(budget),
    }
    if peer is not None:
        found[f"peer warm {size}"] = lambda: peer.newest(NEWEST) if budget is None else peer.within(budget)
    return found


def _cold(place: Stand, policy: ContextPolicy, budget: int | None) -> dict[str, Work]:
    size = place.size
    newest = NEWEST if budget is None else None

    async def ours() -> Window:
        async with client_of(place.ours_file, policy) as client:
            return await client.conversation(NAME, system=SYSTEM).window()

    async def raw() -> bytes:
        store = Raw(place.raw_file, NAME)
        try:
            return await (store.newest(NEWEST) if budget is None else store.within(budget))
        finally:
            store.close()

    async def borrowed() -> bytes:
        return await borrowed_window(place.raw_file, NAME, newest=newest, budget=budget or 0)

    async def peer() -> list[Message]:
        session = open_peer(place.peer_file, NAME)
        if session is None:
            return []
        try:
            return await (session.newest(NEWEST) if budget is None else session.within(budget))
        finally:
            session.close()

    found: dict[str, Work] = {
        f"ours cold {size}": ours,
        f"raw cold {size}": raw,
        f"borrowed {size}": borrowed,
        f"schema {size}": lambda: borrowed_schema(place.ours_file),
    }
    return found | {f"peer cold {size}": peer} if place.peer else found


def _by_size(kind: str, times: dict[str, Times], sizes: Sequence[int]) -> list[Figure]:
    return [
        *_by_state(kind, times, sizes),
        *_cold_beside("borrowed", "raw cold, thread borrowed", kind, times, sizes),
        *_cold_beside("schema", "our schema read, thread borrowed", kind, times, sizes[-1:]),
    ]


def _cold_beside(
    base: str, beside: str, kind: str, times: dict[str, Times], sizes: Sequence[int]
) -> list[Figure]:
    return [
        compared(
            f"window, {kind}, cold",
            f"{size:,} messages",
            clock,
            times,
            (f"ours cold {size}", f"{base} {size}", ""),
            beside=beside,
        )
        for clock in CLOCKS
        for size in sizes
    ]


def _by_state(kind: str, times: dict[str, Times], sizes: Sequence[int]) -> list[Figure]:
    return [
        compared(
            f"window, {kind}, {state}",
            f"{size:,} messages",
            clock,
            times,
            (f"ours {state} {size}", f"raw {state} {size}", f"peer {state} {size}"),
            beside=f"raw {state}",
            target=target,
            ahead=True,
        )
        for state, target in TARGETS.items()
        for clock in CLOCKS
        for size in sizes
    ]


def _growth(kind: str, times: dict[str, Times], sizes: Sequence[int]) -> list[Figure]:
    """From the shortest conversation that is longer than the window."""
    longer = [size for size in sizes if size >= 1_000 or size == sizes[-1] or kind.startswith("last")]
    return [
        Figure(
            f"window, {kind}, {state}: growth",
            f"{longer[0]:,} → {sizes[-1]:,}",
            clock,
            "µs",
            times[f"ours {state} {sizes[-1]}"].median(clock) * 1e6,
            f"at {longer[0]:,}",
            times[f"ours {state} {longer[0]}"].median(clock) * 1e6,
            ratio(times[f"ours {state} {sizes[-1]}"], times[f"ours {state} {longer[0]}"], clock),
            FLAT,
        )
        for state in TARGETS
        for clock in CLOCKS
    ]
