"""``/v1/conversations``: they are made, listed, noted with metadata, and deleted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...errors import ParameterInvalid, UserBound
from ..gateway import client_of
from ..http.answers import answered, conversation_written, listing
from ..http.refusal import Refusal
from .asked import Fields, chat_of, fields_of, limit_of, newest_first
from .items import added, checked
from .settings import settings_in

__all__ = ["ROUTES"]

SHAPES = {"metadata": "metadata_shape", "expires_after": "seconds_shape"}
NOTED = re.compile(r"metadata\[(.*)\]", re.DOTALL)


async def made(request: Request) -> Response:
    """A new conversation, with the items it begins with."""
    fields = await fields_of(request)
    client = client_of(request)
    user = fields.get("user", request.query_params.get("user"))
    with _fields_of_ours():
        chat = client.conversation(
            user=user,
            metadata=fields.get("metadata"),
            expires_after=_seconds(fields),
            **settings_in(client, fields),
        )
    items = [] if fields.get("items") is None else await checked(client, chat, fields)
    await added(client, chat, items, make=True)
    return answered(conversation_written(await chat.info()))


async def listed(request: Request) -> Response:
    """The conversations of a user, most recently used first, or last."""
    query, limit = request.query_params, limit_of(request)
    newest, after, before = newest_first(request), query.get("after") or None, query.get("before") or None
    named = [(NOTED.fullmatch(name), value) for name, value in query.multi_items()]
    noted = {matched[1]: value for matched, value in named if matched}
    backwards = before is not None and after is None
    newer, older = (before, after) if newest else (after, before)
    client = client_of(request)
    with _fields_of_ours():
        found = await client.conversations(
            user=query.get("user"),
            limit=limit + 1,
            before=older,
            after=newer,
            oldest=newest == backwards,
            metadata=noted,
        )
    page = found[:limit][:: -1 if backwards else 1]
    return listing([conversation_written(each) for each in page], more=len(found) > limit)


async def one(request: Request) -> Response:
    """A conversation."""
    return answered(conversation_written(await chat_of(request).info()))


async def updated(request: Request) -> Response:
    """Other metadata, or another time to live."""
    chat, fields = chat_of(request), await fields_of(request)
    if "metadata" not in fields and "expires_after" not in fields:
        await chat.info()
        raise Refusal(400, "metadata_missing", param="metadata")
    noted = ({} if fields["metadata"] is None else fields["metadata"]) if "metadata" in fields else None
    with _fields_of_ours():
        found = await chat.update(metadata=noted, expires_after=_seconds(fields))
    return answered(conversation_written(found))


async def deleted(request: Request) -> Response:
    """Remove a conversation and everything that belongs to it."""
    chat = chat_of(request)
    await chat.delete()
    return answered({"id": chat.id, "object": "conversation.deleted", "deleted": True})


def _seconds(fields: Fields) -> Any:
    """For how long to keep it; a null says for ever."""
    if "expires_after" in fields and fields["expires_after"] is None:
        return 0
    return fields.get("expires_after")


@contextmanager
def _fields_of_ours() -> Iterator[None]:
    """What is wrong with these fields is told by their names."""
    try:
        yield
    except ParameterInvalid as error:
        name = str(error.figures.get("name"))
        if name not in SHAPES or isinstance(error, UserBound):
            raise
        raise Refusal(400, SHAPES[name], param=name) from error


ROUTES = [
    Route("/v1/conversations", listed),
    Route("/v1/conversations", made, methods=["POST"]),
    Route("/v1/conversations/{id}", one),
    Route("/v1/conversations/{id}", updated, methods=["POST"]),
    Route("/v1/conversations/{id}", deleted, methods=["DELETE"]),
]
