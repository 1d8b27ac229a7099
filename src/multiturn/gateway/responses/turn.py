"""Where does a response go? Behind the response it follows, into the conversation that is named, or into
one of its own; and what of its input is history, what answers calls, what is new."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import orjson

from ...client import AsyncMultiTurn
from ...conversations import Address, Declared, Owner, Turn
from ...errors import ConversationNotFound, MessageEmpty, TurnNotFound, UserBound
from ...known import Known
from ...messages import Entry, Trait
from ...request import asked_of
from ...sealing import seal, split_turns
from ...step import Place
from ...storage import DELTAS, Begun, Exchange, Reach, Start, Upon
from ...terms import Input
from ...tokens import count_message
from ...turn import OpenTurn, begin
from ..http.refusal import Refusal
from ..items.items import Item
from ..items.messages import messages_of
from ..repeats import ENDED_BADLY
from .compactions import MARK, opened
from .request import Wanted

__all__ = [
    "Spot",
    "Words",
    "asked_in",
    "check_new",
    "exchange_of",
    "held",
    "owner_of",
    "settled",
    "spot_of",
    "words_of",
]

Message = dict[str, Any]


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


# ------------------------------------------------------------------------------------------- words


@dataclass(frozen=True, slots=True)
class Words:
    """The input of a response as messages: turns that were spoken elsewhere, results that answer open calls
    (``None``: there are none), what is new."""

    earlier: Sequence[Sequence[Entry]]
    results: tuple[str, ...] | None
    entries: Sequence[Entry]
    open_calls: Sequence[str] = ()
    """The calls that wait for results where the response goes."""


def words_of(items: Sequence[Item], open_calls: Sequence[str], held: Container[bytes]) -> Words:
    """What the input says. ``open_calls`` are those that the turn before waits for: where the client sends
    them once more with their results, they are not said twice, and neither is what is ``held`` by that turn.
    What stands for a compaction is in every window. Raises `Refusal` and `MessageInvalid`."""
    compactions = {item["id"]: item for item in items if item["type"] == "compaction" and "id" in item}
    messages = [each for each in messages_of(items, opened) if not _repeats(each, open_calls)]
    messages = _without_held(messages, open_calls, held)
    messages = [_sealed_up(each, compactions.get(each.get("id"))) for each in messages]
    made = {call["id"] for each in messages for call in each.get("tool_calls") or ()}
    results = [each for each in messages if each["role"] == "tool" and each["tool_call_id"] not in made]
    if not messages:
        return Words((), None, ())
    if not results:
        *earlier, new = split_turns([_sealed(each) for each in messages])
        return Words(earlier, None, new)
    others = [each for each in messages if each not in results]
    if any(each["role"] == "assistant" for each in others):
        raise Refusal(400, "results_first", param="input")
    entries = [_sealed(each) for each in (*results, *others)]
    return Words((), tuple(each["tool_call_id"] for each in results), entries, open_calls)


def _sealed_up(message: Message, compaction: Item | None) -> Message:
    """The message that stands for a compaction, which is told again as it came."""
    if compaction is None:
        return message
    trace = {name: value for name, value in compaction.items() if name != "id"}
    return message | {"response_items": [trace], "item_ids": [compaction["id"]]}


def _sealed(message: Message) -> Entry:
    entry = seal(message, count_message)
    compacted = str(message.get("id", "")).startswith(MARK)
    return entry._replace(traits=entry.traits | Trait.PINNED) if compacted else entry


def check_new(words: Words) -> None:
    """Raises `MessageEmpty` or `Refusal` where there is nothing to answer. What only the client sent is not
    told back: calls without a result are not named."""
    entries = words.entries
    if words.results is not None:
        return
    if all(entry.traits & Trait.BARE and not entry.traits & Trait.TOOL_CALL for entry in entries):
        raise MessageEmpty
    bodies = [
        orjson.loads(each.body) for each in entries if each.traits & (Trait.TOOL_CALL | Trait.TOOL_RESULT)
    ]
    made = [call["id"] for body in bodies for call in body.get("tool_calls") or ()]
    given = {body.get("tool_call_id") for body in bodies}
    if not given.issuperset(made):
        raise Refusal(400, "tool_results_incomplete", param="input")
    if entries[-1].role == "assistant":
        raise Refusal(400, "nothing_new", param="input")
    if not any(entry.role == "user" for entry in entries):
        raise Refusal(400, "user_missing", param="input")


def _repeats(message: Message, open_calls: Sequence[str]) -> bool:
    """Whether this message only repeats calls that are open."""
    calls = [call["id"] for call in message.get("tool_calls") or ()]
    return bool(calls) and set(calls) <= set(open_calls)


def _without_held(
    messages: list[Message], open_calls: Sequence[str], held: Container[bytes]
) -> list[Message]:
    """The messages but for those before the newest results that the turn holds already."""
    last = max((place for place, each in enumerate(messages) if each["role"] == "tool"), default=0)
    return [
        each
        for place, each in enumerate(messages)
        if place >= last or each.get("tool_call_id") in open_calls or _sealed(each).body not in held
    ]


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
    steps = await store.steps(spot.owner, spot.conversation, turn.number, turn.branch)
    if at is None:
        return None
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


# ----------------------------------------------------------------------------------------- the turn


async def asked_in(
    client: AsyncMultiTurn, spot: Spot, wanted: Wanted, model: str, given: Input, start: Start
) -> OpenTurn | Begun:
    """Begin the turn of a response; or give what the same key began before."""
    engine = client.engine
    declared = Declared(model=model, policy=wanted.policy.to_dict() if wanted.policy else None)
    place, known = Place(spot.owner, spot.conversation, declared, spot.branch), Known(declared)
    if not spot.make:
        path = await engine.store.gather(spot.owner, spot.conversation, Reach(turns=0), spot.branch)
        known.learn(path.settings)
        known.last = asked_of(path.request)
    start = replace(
        start,
        declared=declared,
        wait=engine.queue,
        hold=engine.lease,
        branch=spot.branch,
        upon=spot.upon,
        switch=spot.switch,
        make=spot.make,
    )
    return await begin(engine, place, start, given, known)
