"""What is stored of a person? Everything that was said, and beside each branch how its turns were asked for,
what they took, and the settings that held before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson

from .conversations import Address, Conversation, Owner, Settings, Step, Turn
from .errors import TurnNotFound
from .storage import DELTAS, Exchange, Store
from .transcript import exported, exported_aside
from .usage import Cost, Usage

__all__ = ["dossier"]


async def dossier(store: Store, owner: Owner) -> str:
    """All conversations of a user as JSON lines."""
    texts: list[str] = []
    before = None
    while page := await store.conversations(owner, before=before):
        texts += [await _everything(store, owner, one) for one in page]
        before = page[-1].id
    return "".join(texts)


async def _everything(store: Store, owner: Owner, one: Conversation) -> str:
    """The path in use, then every other branch with what stands nowhere else."""
    at = (owner, one.id)
    summaries, rows, turns = await store.summaries(*at), await store.history(*at), await store.turns(*at)
    kept = await _turns(store, owner, one, turns) | _earlier(await store.settings(*at))
    text, seen = exported("jsonl", one, rows, summaries, turns, kept), {told.id for told in rows}
    known = {turn.id for turn in turns}
    for branch in await store.branches(*at):
        summaries = await store.summaries(*at, branch.number)
        rows = await store.history(*at, branch=branch.number)
        turns = await store.turns(*at, branch=branch.number)
        shared = sum(told.id in seen for told in rows)
        seen.update(told.id for told in rows)
        if shared < len(rows):
            own = [turn for turn in turns if turn.id not in known]
            known.update(turn.id for turn in own)
            kept = await _turns(store, owner, one, own)
            text += exported_aside(one, branch, rows, shared, summaries, turns, kept)
    return text


def _earlier(settings: Sequence[Settings]) -> dict[str, Any]:
    """The settings that were in force before, newest first, where there were any."""
    found = [
        {
            "version": each.version,
            "instructions": [orjson.loads(body) for body in each.instructions],
            "opening": each.opening,
            "policy": each.policy,
            "model": each.model,
            "memory": each.memory,
        }
        for each in reversed(settings[:-1])
    ]
    return {"earlier_settings": found} if found else {}


async def _turns(store: Store, owner: Owner, one: Conversation, turns: Sequence[Turn]) -> dict[str, Any]:
    """How each turn went and was asked for."""
    found = []
    for turn in turns:
        steps = await store.steps(owner, one.id, turn.number, turn.branch)
        said = {
            "id": turn.id,
            "created_at": turn.created_at,
            "state": turn.state.name.lower(),
            "key": turn.key,
            "error": turn.error,
            "steps": [
                await _step(store, owner, Address(one.ulid, turn.branch, turn.number, step.number), step)
                for step in steps
            ],
        }
        found.append(_told(said))
    return {"turns": found} if found else {}


async def _step(store: Store, owner: Owner, at: Address, step: Step) -> dict[str, Any]:
    said = {
        "response": step.response_id,
        "model": step.model,
        "seconds": step.seconds,
        "finish_reason": step.finish_reason,
        "error": step.error,
        "usage": _usage(step.usage),
        "cost": _cost(step.cost),
    }
    with suppress(TurnNotFound):  # nobody asked for it through a door
        exchange = await store.exchange(owner, at)
        if exchange.asked != DELTAS:
            said |= _request(exchange)
    return _told(said)


def _request(exchange: Exchange) -> dict[str, Any]:
    """What a door was asked for beside the words, in its own form."""
    asked = exchange.asked
    own = None if asked.own is None else orjson.loads(asked.own)
    return {"id": exchange.address.response_id, "request": orjson.loads(asked.common), "own": own}


def _usage(usage: Usage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    names = ("input", "output", "cached", "cache_write", "reasoning")
    return _told({name: getattr(usage, name) for name in names})


def _cost(cost: Cost | None) -> dict[str, Any] | None:
    return None if cost is None else {"amount": str(cost.amount), "currency": cost.currency}


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is not there."""
    return {name: value for name, value in values.items() if value not in (None, "", [])}
