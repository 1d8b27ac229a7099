"""``/v1/conversations/…/export`` and ``/v1/users/…``: what is kept of a conversation, of a person, to
take away or to delete."""

from __future__ import annotations

from typing import Literal, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..gateway import client_of
from ..http.answers import answered
from ..http.names import named
from ..http.refusal import JSON, Refusal
from .addressed import there

__all__ = ["ROUTES"]

LINES = "application/jsonl"
KINDS = {"jsonl": LINES, "openai": JSON, "markdown": "text/markdown; charset=utf-8"}


async def conversation(request: Request) -> Response:
    """A conversation as text."""
    form = request.query_params.get("format", "jsonl")
    if form not in KINDS:
        raise Refusal(400, "invalid_value", param="format", known=", ".join(KINDS))
    chat = await there(request)
    text = await chat.export(cast("Literal['jsonl', 'openai', 'markdown']", form))
    return Response(text, media_type=KINDS[form])


async def user(request: Request) -> Response:
    """Everything a user said and was told."""
    client = client_of(request)
    return Response(await client.export_user(named(request, "user")), media_type=LINES)


async def user_deleted(request: Request) -> Response:
    """Remove all conversations of a user."""
    client, name = client_of(request), named(request, "user")
    gone = await client.delete_user(name)
    return answered({"id": name, "object": "user.deleted", "deleted": True, "conversations": gone})


ROUTES = [
    Route("/v1/conversations/{id}/export", conversation),
    Route("/v1/users/{user}", user),
    Route("/v1/users/{user}", user_deleted, methods=["DELETE"]),
]
