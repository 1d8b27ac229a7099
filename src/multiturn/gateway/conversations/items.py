"""``/v1/conversations/…/items``: what is said in a conversation is added, listed, read and deleted item by
item. The model sees next what is there then."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...chat import AsyncConversation
from ...client import AsyncMultiTurn
from ...errors import InputInvalid
from ..gateway import client_of
from ..http.answers import answered, conversation_written, listing
from ..http.names import named
from ..http.refusal import Refusal, stored_figures
from ..items.items import Item, items_of
from ..items.messages import messages_of
from ..items.posted import posted_items
from ..items.references import resolved
from ..items.stored import Items, unshared
from .asked import Fields, chat_of, fields_of, limit_of, newest_first

__all__ = ["ROUTES", "added", "checked"]

MOST = 20
"""Items in one request, as OpenAI limits it."""


async def checked(client: AsyncMultiTurn, chat: AsyncConversation, fields: Fields) -> list[Item]:
    """The posted items. Raises `Refusal`."""
    value = fields.get("items")
    if not isinstance(value, list):
        raise Refusal(400, "items_missing", param="items")
    if len(value) > MOST:
        raise Refusal(400, "too_many_items", param="items", limit=MOST)
    owner, name = chat.at
    return await resolved(client, posted_items(value, "items"), "items", name, owner)


async def added(
    client: AsyncMultiTurn, chat: AsyncConversation, items: Sequence[Item], *, make: bool
) -> list[Item]:
    """Put items at the end of a conversation, a new one where it is to be made; gives them as they stand
    there. An id that another item has already gives way to one of ours. Raises `Refusal`."""
    fresh = await unshared(items, None if make else Items(client.engine.store, *chat.at))
    try:
        told = await chat.take_in(messages_of(fresh), instructions=False, make=make)
    except InputInvalid as error:
        raise Refusal(400, "items_refused", param="items", **stored_figures(error.figures)) from error
    return [item for one in told for item in items_of(one)]


async def posted(request: Request) -> Response:
    """Add items."""
    chat, fields = chat_of(request), await fields_of(request)
    await chat.info()
    client = client_of(request)
    items = await checked(client, chat, fields)
    return listing(await added(client, chat, items, make=False))


async def listed(request: Request) -> Response:
    """Items, newest first unless asked otherwise."""
    limit, newest = limit_of(request), newest_first(request)
    after = request.query_params.get("after") or None
    page, more = await _items(request).page(limit, after, newest=newest)
    return listing(page, more=more)


async def one(request: Request) -> Response:
    """An item."""
    return answered(await _items(request).find(named(request, "item")))


async def deleted(request: Request) -> Response:
    """Delete an item; gives the conversation."""
    await _items(request).delete(named(request, "item"))
    return answered(conversation_written(await chat_of(request).info()))


def _items(request: Request) -> Items:
    store = client_of(request).engine.store
    return Items(store, *chat_of(request).at)


ROUTES = [
    Route("/v1/conversations/{id}/items", listed),
    Route("/v1/conversations/{id}/items", posted, methods=["POST"]),
    Route("/v1/conversations/{id}/items/{item}", one),
    Route("/v1/conversations/{id}/items/{item}", deleted, methods=["DELETE"]),
]
