"""What does an item refer to that only names another one?"""

from __future__ import annotations

from collections.abc import Sequence

from ...client import AsyncMultiTurn
from ...conversations import Address, Owner
from ...errors import ConversationNotFound
from ...storage import Store
from ..http.refusal import Refusal
from .items import Item, message_id_of
from .posted import references
from .stored import Items

__all__ = ["resolved"]


async def resolved(
    client: AsyncMultiTurn, items: Sequence[Item], name: str, conversation: str | None, owner: Owner
) -> list[Item]:
    """The items, with those that others only refer to in their place. An id of ours leads to whatever
    conversation of ``owner`` it belongs to; one that a client gave is looked for in ``conversation``. Raises
    `Refusal` for an item that is not there."""
    if not references(items):
        return list(items)
    store = client.engine.store
    return [
        await _found(store, owner, item["id"], name, conversation)
        if item["type"] == "item_reference"
        else item
        for item in items
    ]


async def _found(store: Store, owner: Owner, id: str, name: str, conversation: str | None) -> Item:
    address = Address.parse(message_id_of(id) or "")
    try:
        if address is not None:
            return await Items(store, owner, await store.lookup(owner, address.ulid)).find(id)
        if conversation is not None:
            return await Items(store, owner, conversation).find(id)
    except (ConversationNotFound, Refusal):
        pass
    raise Refusal(404, "item_not_found", param=name)
