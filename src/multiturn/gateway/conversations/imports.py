"""``/v1/import``: conversations that were exported, here or elsewhere, are taken in."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...conversations import new_ulid
from ...errors import InputInvalid, UserBound
from ...loading import load
from ..gateway import client_of, gateway_of
from ..http.answers import conversation_written, listing
from ..http.body import read_lines
from ..http.refusal import Refusal, said_of

__all__ = ["ROUTES"]

MOST = 20_000
"""Messages in one request."""


async def taken_in(request: Request) -> Response:
    """Take in JSON lines as ``export`` writes them; all of it, or nothing."""
    text = await read_lines(request.scope, request.receive)
    client, user = client_of(request), request.query_params.get("user")
    name = f"conv_{new_ulid()}"  # for messages without the head of a conversation
    try:
        chats = await load(client.engine.store, text, name, client.conversation, client.loading, user, MOST)
    except UserBound:
        raise
    except InputInvalid as error:
        told = said_of(error, gateway_of(request).language)
        raise Refusal(told.status, "import_refused", problem=told.message) from error
    return listing([conversation_written(await chat.info()) for chat in chats])


ROUTES = [Route("/v1/import", taken_in, methods=["POST"])]
