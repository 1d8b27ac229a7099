"""What becomes of a response that is deleted?

It is not there any more, and nothing can follow it. In a conversation that was named with it, its items stay:
they are the conversation's, and deleted there. In one of its own what it said is deleted, its turn is never
sent again, and a conversation that was nothing else goes with it.
"""

from __future__ import annotations

import orjson

from ...client import AsyncMultiTurn
from ...messages import Entry, Trait
from ...sealing import seal
from ...storage import Exchange, Told
from ...tokens import count_message
from ..items.messages import blank_message

__all__ = ["forget"]

GONE = Trait.EXCLUDED | Trait.DELETED


async def forget(client: AsyncMultiTurn, exchange: Exchange) -> None:
    """Delete a response that is not being made any more."""
    store, owner, at = client.engine.store, client.reach, exchange.address
    await store.forget_exchange(owner, at)
    if orjson.loads(exchange.asked.own or b"{}").get("c"):
        return
    one = await store.conversation(owner, exchange.conversation)
    branches = await store.branches(owner, exchange.conversation)
    if one.turns == 1 and len(branches) == 1 and at.place == 1 and exchange.last:
        await store.delete(owner, exchange.conversation)
        return
    said = [*exchange.input, *([exchange.output] if exchange.output else ())]
    blank = {told.row.place: _blank(told) for told in said}
    await store.rewrite(owner, exchange.conversation, at.turn, blank, at.branch)
    await store.mark(owner, exchange.conversation, at.turn, set=int(Trait.RETRACTED), branch=at.branch)


def _blank(told: Told) -> Entry:
    """What keeps the place of a message that is gone."""
    body = orjson.loads(told.row.body)
    entry = seal(blank_message(told.row.role, (), body.get("tool_call_id")), count_message)
    return entry._replace(traits=entry.traits | GONE)
