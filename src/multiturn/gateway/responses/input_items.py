"""What goes into a response: its items, page by page, and how many tokens it would be."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from starlette.requests import Request
from starlette.responses import Response

from ...conversations import new_ulid
from ...storage import Exchange, Told
from ..conversations.asked import limit_of, newest_first
from ..gateway import client_of
from ..http.answers import answered, listing
from ..http.body import read_body
from ..http.refusal import Refusal
from ..items.items import items_of
from .prepared import prepared
from .request import wanted_of
from .window import window_for

__all__ = ["input_page", "input_tokens"]


async def input_page(request: Request, exchange: Exchange) -> Response:
    """A page of the items that were posted for a response, newest first unless asked otherwise."""
    limit, newest = limit_of(request), newest_first(request)
    client, at = client_of(request), exchange.address
    earlier = orjson.loads(exchange.asked.own or b"{}").get("e", 0)
    before: Sequence[Told] = ()
    if earlier:
        first = at.turn - 1 - earlier
        before = await client.engine.store.history(
            client.reach, exchange.conversation, after=first, limit=earlier, branch=at.branch
        )
    items = [item for told in (*before, *exchange.input) for item in items_of(told)]
    if newest:
        items.reverse()
    after = request.query_params.get("after")
    if after:
        places = [place for place, item in enumerate(items) if item["id"] == after]
        if not places:
            raise Refusal(404, "item_not_found", param="after")
        items = items[places[0] + 1 :]
    return listing(items[:limit], more=len(items) > limit)


async def input_tokens(request: Request) -> Response:
    """How many tokens would be sent for a response: what is remembered, tools and instructions included."""
    body = await read_body(request.scope, request.receive)
    client, wanted = client_of(request), wanted_of(body.fields, empty=True, counted=True)
    ready = await prepared(client, wanted, new_ulid())
    window = await window_for(client, ready.spot, ready.words, ready.given, ready.first)
    counted = {"object": "response.input_tokens", "input_tokens": window.tokens}
    return answered(counted, ready.told)
