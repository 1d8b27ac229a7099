"""``/v1/conversations/…/branches``: which paths through a conversation are there, and which is in use?"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...chat import AsyncConversation
from ...conversations import Branch
from ..gateway import client_of
from ..http.answers import answered, listing
from ..http.names import named
from ..http.refusal import Refusal
from .addressed import handle_of, known_fields, wanted_turn
from .written import branch_written

__all__ = ["ROUTES"]


async def listed(request: Request) -> Response:
    """All branches, oldest first."""
    return listing([branch_written(each) for each in await handle_of(request).branches()])


async def made(request: Request) -> Response:
    """A new branch that shares everything up to and with a turn. The one in use stays."""
    fields, chat = await known_fields(request, "at"), handle_of(request)
    store, at = client_of(request).engine.store, fields.get("at")
    if isinstance(at, bool) or not isinstance(at, int | str):
        raise Refusal(400, "invalid_type", param="at")
    if at == 0:
        number = await store.fork(*chat.at, 0)
    else:
        turn = await wanted_turn(request, chat, str(at))
        number = await store.fork(*chat.at, turn.number, turn.branch)
    return answered(branch_written(await _branch(chat, str(number))))


async def switched(request: Request) -> Response:
    """Go on with a branch."""
    await known_fields(request)
    chat = handle_of(request)
    await chat.switch(await _branch(chat, named(request, "n")))
    return answered(branch_written(await _branch(chat, named(request, "n"))))


async def _branch(chat: AsyncConversation, name: str) -> Branch:
    found = next((each for each in await chat.branches() if str(each.number) == name), None)
    if found is None:
        raise Refusal(404, "branch_not_found", param="branch")
    return found


ROUTES = [
    Route("/v1/conversations/{id}/branches", listed),
    Route("/v1/conversations/{id}/branches", made, methods=["POST"]),
    Route("/v1/conversations/{id}/branches/{n}/switch", switched, methods=["POST"]),
]
