"""How do messages that were spoken elsewhere become turns of a conversation?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson

from .asking import listed
from .conversations import Declared
from .errors import ConversationNotFound
from .messages import Entry, Trait
from .sealing import check_results, seal, split_turns
from .step import Place
from .storage import Reach, Store, Told
from .tokens import count_message
from .wire import plain

__all__ = ["made_ready", "take_in"]

BREATH = 256
"""Messages after which whatever else waits has its chance."""


async def take_in(
    store: Store,
    place: Place,
    messages: Sequence[object],
    *,
    instructions: bool,
    make: bool,
    wait: float,
) -> Sequence[Told]:
    """Stores ``messages``, as `Memory.add` describes; gives them as they are stored. ``wait`` seconds at the
    most for a turn that runs."""
    turns, declared = await made_ready(store, place, messages, instructions=instructions)
    return await store.add(
        place.owner, place.conversation, turns, declared, wait, branch=place.branch, make=make
    )


async def made_ready(
    store: Store, place: Place, messages: Sequence[object], *, instructions: bool
) -> tuple[Sequence[Sequence[Entry]], Declared]:
    """``messages`` as the turns that they become, and what is declared with them."""
    plains = [plain(message) for message in listed("messages", messages)]
    lead = 0
    while lead < len(plains) and plains[lead].get("role") in ("system", "developer"):
        lead += 1
    entries = await _sealed(plains)
    check_results(plains, await _calls_of_newest(store, place, plains))
    declared = await _declared_with(store, place, entries[:lead] if instructions else [])
    return split_turns(entries if declared is place.declared else entries[lead:]), declared


async def _sealed(messages: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """Whatever else waits has its chance while many are counted."""
    entries: list[Entry] = []
    for message in messages:
        if entries and len(entries) % BREATH == 0:
            await asyncio.sleep(0)
        entries.append(seal(message, count_message))
    return entries


async def _calls_of_newest(store: Store, place: Place, messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """The calls of the newest turn, where ``messages`` go on with it."""
    if not messages or messages[0].get("role") not in ("assistant", "tool"):
        return []
    at = (place.owner, place.conversation)
    with suppress(ConversationNotFound):
        newest = await store.turns(*at, limit=1, newest=True, branch=place.branch)
        before = newest[-1].number - 1 if newest else 0
        rows = await store.history(*at, after=before, limit=1, branch=place.branch)
        answers = [orjson.loads(told.row.body) for told in rows]
        return [call["id"] for answer in answers for call in answer.get("tool_calls") or ()]
    return []


async def _declared_with(store: Store, place: Place, lead: Sequence[Entry]) -> Declared:
    """What the handle declares; leading instructions that say something join it in a conversation that
    has none."""
    declared, lead = place.declared, [entry for entry in lead if not entry.traits & Trait.BARE]
    if not lead or declared.instructions is not None:
        return declared
    path = await store.gather(place.owner, place.conversation, Reach(turns=0), place.branch)
    if path.settings.instructions or path.earlier_turns or path.turns:
        return declared
    return replace(declared, instructions=tuple(entry.body for entry in lead))
