"""``…/turns/{n}/pin`` and its like: what is always sent, what is left out, what is withdrawn. Each gives the
turn as it is then."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...chat import AsyncConversation
from ...conversations import Address, Turn
from ..gateway import client_of
from ..http.answers import answered
from ..http.names import named
from ..http.refusal import Refusal
from ..items.stored import Items
from .addressed import handle_of, known_fields, text_in, turn_of, wanted_turn
from .written import turn_written

__all__ = ["ROUTES"]

LONGEST_REASON = 2000
"""Characters."""


async def pinned(request: Request) -> Response:
    """Keep a turn in every window from now on."""
    chat, turn = await _asked(request)
    await chat.pin(turn)
    return await _told(request, chat)


async def unpinned(request: Request) -> Response:
    """No longer keep it."""
    chat, turn = await _asked(request)
    await chat.unpin(turn)
    return await _told(request, chat)


async def excluded(request: Request) -> Response:
    """Leave a turn out of later windows."""
    chat, turn = await _asked(request)
    await chat.exclude(turn)
    return await _told(request, chat)


async def included(request: Request) -> Response:
    """No longer leave it out."""
    chat, turn = await _asked(request)
    await chat.include(turn)
    return await _told(request, chat)


async def retracted(request: Request) -> Response:
    """Withdraw a turn, with the reason: it stays in the history and is never sent again."""
    fields = await known_fields(request, "reason")
    reason = text_in(fields, "reason", "")
    if len(reason) > LONGEST_REASON:
        raise Refusal(400, "text_too_long", param="reason", limit=LONGEST_REASON)
    chat = handle_of(request)
    await chat.retract(await turn_of(request, chat), reason)
    return await _told(request, chat)


async def item_excluded(request: Request) -> Response:
    """Leave a message out of later windows; gives its turn."""
    chat, address = await _message(request)
    await chat.exclude(address.message_id)
    return answered(turn_written(await wanted_turn(request, chat, address.turn_id)))


async def item_included(request: Request) -> Response:
    """No longer leave it out."""
    chat, address = await _message(request)
    await chat.include(address.message_id)
    return answered(turn_written(await wanted_turn(request, chat, address.turn_id)))


async def _asked(request: Request) -> tuple[AsyncConversation, Turn]:
    await known_fields(request)
    chat = handle_of(request)
    return chat, await turn_of(request, chat)


async def _told(request: Request, chat: AsyncConversation) -> Response:
    return answered(turn_written(await turn_of(request, chat)))


async def _message(request: Request) -> tuple[AsyncConversation, Address]:
    """Where the message stands that an item belongs to."""
    await known_fields(request)
    chat, store = handle_of(request), client_of(request).engine.store
    return chat, await Items(store, *chat.at).address(named(request, "item"))


TURN, ITEM = "/v1/conversations/{id}/turns/{n}", "/v1/conversations/{id}/items/{item}"
ROUTES = [
    Route(f"{TURN}/pin", pinned, methods=["POST"]),
    Route(f"{TURN}/unpin", unpinned, methods=["POST"]),
    Route(f"{TURN}/exclude", excluded, methods=["POST"]),
    Route(f"{TURN}/include", included, methods=["POST"]),
    Route(f"{TURN}/retract", retracted, methods=["POST"]),
    Route(f"{ITEM}/exclude", item_excluded, methods=["POST"]),
    Route(f"{ITEM}/include", item_included, methods=["POST"]),
]
