"""Where does a response go? Behind the response it follows, into the conversation that is named, or into one
of its own; and results of calls behind those."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import orjson

from ...client import AsyncMultiTurn
from ...conversations import Address, Owner, Turn
from ...errors import ConversationNotFound, TurnNotFound, UserBound
from ...storage import DELTAS, Exchange, Upon
from ..http.refusal import Refusal
from ..items.items import Item
from ..repeats import ENDED_BADLY
from .request import Wanted

__all__ = ["Spot", "exchange_of", "held", "owner_of", "settled", "spot_of"]


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a response goes. ``followed`` is the response it follows; ``make`` whether the conversation is
    its own."""

    owner: Owner
    conversation: str
    followed: Exchange | None = None
    make: bool = False
    switch: bool = False
    """Whether a branch that has to be made is the one in use from then on."""

    @property
    def branch(self) -> int | None:
        """The branch of the response that is followed; ``None``: the one in use."""
        return self.followed.address.branch if self.followed else None

    @property
    def upon(self) -> Upon | None:
        """The step that is followed."""
        at = self.followed.address if self.followed else None
        return Upon(at.turn, at.place or 0) if at else None


def _address(id: str) -> Address | None:
    """The address in the id of a response."""
    return Address.parse(id) if id.startswith("resp_") else None


async def exchange_of(client: AsyncMultiTurn, id: str) -> Exchange | None:
    """The stored response with this id, if it is one of this client's. A turn whose holder is gone is closed
    first."""
    at = _address(id)
    if at is None:
        return None
    store, owner = client.engine.store, client.reach
    try:
        found = await store.exchange(owner, at)
        if found.step is None and not found.running:
            await store.settle(owner, found.conversation)
            found = await store.exchange(owner, at)
    except (TurnNotFound, ConversationNotFound):
        return None
    return None if found.asked == DELTAS else found


async def spot_of(client: AsyncMultiTurn, wanted: Wanted, key: str) -> Spot:
    """Where the response goes that is wanted: where it follows nothing, into a conversation that is always
    the same for a request key. Raises `Refusal`."""
    user = wanted.get("user")
    owner = owner_of(client, user)
    if wanted.get("previous_response_id") is not None:
        found = await exchange_of(client, wanted.get("previous_response_id"))
        if found is None or _anothers(client, user, found.user):
            raise Refusal(400, "previous_response_not_found", param="previous_response_id")
        return Spot(replace(owner, user=found.user), found.conversation, found)
    if wanted.get("conversation") is not None:
        try:
            one = await client.engine.store.conversation(client.reach, wanted.get("conversation"))
        except ConversationNotFound:
            raise Refusal(404, "conversation_not_found", param="conversation") from None
        if _anothers(client, user, one.user):
            raise Refusal(404, "conversation_not_found", param="conversation")
        return Spot(replace(owner, user=one.user), wanted.get("conversation"))
    return Spot(owner, _name(owner, key), make=True)


def owner_of(client: AsyncMultiTurn, user: str | None) -> Owner:
    """Whose a new conversation is; raises `UserBound` where the caller may not act for this user."""
    bound = client.reach.user
    if bound is None:
        return Owner(client.tenant, client.config.user if user is None else user)
    if user not in (None, bound):
        raise UserBound(name="user")
    return client.reach


def _anothers(client: AsyncMultiTurn, named: str | None, user: str) -> bool:
    """Whether what is ``user``'s is somebody else's than the one who is named. What was made without a user
    is open to all who may name any: OpenAI's SDKs have none to give where a conversation is made."""
    return named not in (None, user) and user != client.config.user


def _name(owner: Owner, key: str) -> str:
    return f"conv_{hashlib.sha256(orjson.dumps([owner.tenant, owner.user, key])).hexdigest()[:32]}"


def calls_of(exchange: Exchange) -> tuple[str, ...]:
    """The calls that a response makes."""
    body = orjson.loads(exchange.output.row.body) if exchange.output else {}
    return tuple(call["id"] for call in body.get("tool_calls") or ())


async def settled(client: AsyncMultiTurn, spot: Spot, items: Sequence[Item]) -> tuple[Spot, tuple[str, ...]]:
    """Where exactly results of calls go that are among the items, and the calls that are open there. In a
    conversation whose newest turn failed after results were given for it, that is behind the calls."""
    if spot.followed is not None:
        return spot, calls_of(spot.followed)
    given = {item["call_id"] for item in items if item["type"] == "function_call_output"}
    if spot.make or not given:
        return spot, ()
    turns = await client.engine.store.turns(spot.owner, spot.conversation, limit=1, newest=True)
    if not turns or turns[-1].state not in ENDED_BADLY:
        return spot, turns[-1].open_calls if turns else ()
    found = await _calling(client, spot, turns[-1], given)
    if found is None:
        return spot, ()
    return replace(spot, followed=found, switch=True), calls_of(found)


async def _calling(client: AsyncMultiTurn, spot: Spot, turn: Turn, given: set[str]) -> Exchange | None:
    """The newest step of a turn that made one of these calls."""
    store, at = client.engine.store, Address.parse(turn.id)
    assert at is not None, "a turn has an address"  # noqa: S101  (for the type checker)
    steps = await store.steps(spot.owner, spot.conversation, turn.number, turn.branch)
    for step in reversed(steps):
        with suppress(TurnNotFound):
            found = await store.exchange(spot.owner, replace(at, place=step.number))
            if not given.isdisjoint(calls_of(found)):
                return found
    return None


async def held(
    client: AsyncMultiTurn, spot: Spot, items: Sequence[Item], open_calls: Sequence[str]
) -> frozenset[bytes]:
    """The messages of the turn that waits for results, where more than those was sent: some clients send the
    whole turn with each of its steps, but for what the model said."""
    if not open_calls or all(item.get("call_id") in open_calls for item in items):
        return frozenset()
    store = client.engine.store
    if spot.followed is not None:
        number = spot.followed.address.turn
    else:
        number = (await store.turns(spot.owner, spot.conversation, limit=1, newest=True))[-1].number
    told = await store.history(spot.owner, spot.conversation, after=number - 1, limit=1, branch=spot.branch)
    return frozenset(each.row.body for each in told)
