"""Where do items stand in a conversation? Pages of them, one by its id, and one that is deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from ...conversations import Address, Conversation, Owner
from ...errors import ConversationError, TurnNotFound
from ...messages import Entry, Trait
from ...sealing import seal
from ...storage import Store, Told
from ...tokens import count_message
from ..http.refusal import Refusal
from .items import Item, items_of, message_id_of
from .messages import blank_message, message_of
from .posted import is_known

__all__ = ["Items", "Standing", "unshared"]

GONE = Trait.EXCLUDED | Trait.DELETED


class Standing(NamedTuple):
    """An item, and the message it belongs to."""

    told: Told
    item: Item


@dataclass(frozen=True, slots=True)
class Items:
    """The items of a conversation on its path."""

    store: Store
    owner: Owner
    conversation: str

    # -- pages

    async def page(self, limit: int, after: str | None, *, newest: bool) -> tuple[list[Item], bool]:
        """At most ``limit`` items behind ``after``, in time order or newest first, and whether there are
        more."""
        one = await self._one()
        cursor = None if after is None else await self._address(one, after, "after")
        found: list[Item] = []
        turn = (one.turns if newest else 1) if cursor is None else cursor.turn
        while len(found) <= limit and 1 <= turn <= one.turns:
            first = max(1, turn - limit) if newest else turn
            count = turn - first + 1 if newest else limit + 1
            rows = await self.store.history(self.owner, self.conversation, after=first - 1, limit=count)
            standing = _standing(rows)[:: -1 if newest else 1]
            found += [each.item for each in _behind(standing, cursor, after, newest=newest)]
            turn = first - 1 if newest else first + count
        return found[:limit], len(found) > limit

    # -- one

    async def find(self, id: str) -> Item:
        """The item with this id. Raises `Refusal`."""
        return (await self._find(id))[0].item

    async def has(self, id: str) -> bool:
        """Whether there is an item with this id."""
        try:
            await self._find(id)
        except (Refusal, TurnNotFound):
            return False
        return True

    async def address(self, id: str) -> Address:
        """Where the message is that an item belongs to. Raises `Refusal`."""
        return (await self._find(id))[1]

    async def _find(self, id: str) -> tuple[Standing, Address, Sequence[Told]]:
        """The item, where its message is, and the messages of its turn."""
        address = await self._address(await self._one(), id, "item_id")
        try:
            rows = await self.store.history(
                self.owner, self.conversation, after=address.turn - 1, limit=1, branch=address.branch
            )
        except ConversationError:  # a branch that is not there
            raise _missing("item_id") from None
        mine = [each for each in _standing(rows) if each.told.id == address.message_id]
        found = next((each for each in mine if each.item["id"] == id), None)
        if found is None:
            raise _missing("item_id")
        return found, address, rows

    async def _one(self) -> Conversation:
        return await self.store.conversation(self.owner, self.conversation)

    async def _address(self, one: Conversation, id: str, param: str) -> Address:
        """Where the message of an item is."""
        address = Address.parse(message_id_of(id) or "")
        if address is not None and address.ulid == one.ulid:
            return address
        try:
            found = await self.store.locate(self.owner, self.conversation, id)
        except TurnNotFound:
            raise _missing(param) from None
        return await self._in_use(found, id) or found

    async def _in_use(self, found: Address, id: str) -> Address | None:
        """The message with this item on the branch in use: a turn that two branches say differently from
        somewhere on is there twice, with the ids that it brought along."""
        rows = await self.store.history(self.owner, self.conversation, after=found.turn - 1, limit=1)
        mine = (each.told.id for each in _standing(rows) if each.item["id"] == id)
        return Address.parse(next(mine, ""))

    # -- deletion

    async def delete(self, id: str) -> None:
        """Delete an item for good. The calls of a message go with its words, and results with their
        calls; the rest of a message stays. Raises `Refusal`."""
        while not await self._deleted(id):
            pass  # somebody else has just deleted something of the same turn

    async def _deleted(self, id: str) -> bool:
        found, address, rows = await self._find(id)
        entries = {found.told.row.place: _without(found.told, [found.item])}
        if found.item["type"] == "message" and _calls(found.told):
            entries = {found.told.row.place: _without(found.told, _known(found.told))}
        left = {call for entry in entries.values() for call in _calls_of(entry.body)}
        for told in rows:
            if told.row.role == "tool" and _answers(told) in _calls(found.told) - left:
                entries[told.row.place] = _without(told, _known(told))
        return await self.store.rewrite(
            self.owner, self.conversation, address.turn, entries, address.branch, rows
        )


async def unshared(items: Sequence[Item], there: Items | None) -> list[Item]:
    """The items, but for ids that another of them has, or one of those that are ``there`` already: two of
    one id could not be told apart, and nobody could page past them."""
    taken = set[str | None]()
    found: list[Item] = []
    for item in items:
        own = item.get("id")
        if own and (own in taken or (there is not None and await there.has(own))):
            found.append({name: value for name, value in item.items() if name != "id"})
            continue
        found.append(item)
        taken.add(own)
    return found


def _missing(param: str) -> Refusal:
    return Refusal(404, "item_not_found", param=param)


def _standing(rows: Sequence[Told]) -> list[Standing]:
    return [Standing(told, item) for told in rows for item in items_of(told)]


def _behind(
    standing: Sequence[Standing], cursor: Address | None, after: str | None, *, newest: bool
) -> Sequence[Standing]:
    """What stands behind the cursor. Where its item is gone, the rest of its message does, too: a client
    that deletes page by page must see everything."""
    if cursor is None:
        return standing
    for place, each in enumerate(standing):
        if each.told.id == cursor.message_id and each.item["id"] == after:
            return standing[place + 1 :]
    at = (cursor.turn, cursor.place or 0)
    ways = [(each, (each.told.row.turn, each.told.row.place)) for each in standing]
    return [each for each, place in ways if (place <= at if newest else place >= at)]


# ---------------------------------------------------------------------------------------- what is left


def _known(told: Told) -> list[Item]:
    return [item for item in items_of(told) if is_known(item)]


def _without(told: Told, gone: Sequence[Item]) -> Entry:
    """What of a message is left without these items. One that says nothing any more keeps its place, and
    the items beside it."""
    row = told.row
    rest = [item for item in items_of(told) if item not in gone]
    if any(
        item["type"] in ("message", "function_call", "function_call_output")
        for item in rest
        if is_known(item)
    ):
        message, marks = message_of(row.role, rest, told.id), 0
    else:
        call = _answers(told) if row.role == "tool" else None
        message, marks = blank_message(row.role, rest, call), GONE
    facts = orjson.loads(told.facts) if told.facts else {}
    if "created_at" in facts:
        message["created_at"] = facts["created_at"]
    entry = seal(message, count_message)
    return entry._replace(traits=entry.traits | marks)


def _calls(told: Told) -> set[str]:
    return _calls_of(told.row.body) if told.row.traits & Trait.TOOL_CALL else set()


def _calls_of(body: bytes) -> set[str]:
    return {call["id"] for call in orjson.loads(body).get("tool_calls") or ()}


def _answers(told: Told) -> str:
    return str(orjson.loads(told.row.body)["tool_call_id"])
