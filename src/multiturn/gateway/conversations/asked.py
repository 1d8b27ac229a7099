"""What does a request about conversations name? Which one, how much of it, from where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from ...chat import AsyncConversation
from ...conversations import Declared
from ...errors import ConversationNotFound, ParameterInvalid
from ..gateway import client_of
from ..http.body import read_body
from ..http.names import named
from ..http.refusal import Refusal

__all__ = ["Fields", "chat_of", "fields_of", "limit_of", "newest_first"]

Fields = Mapping[str, Any]
LONGEST_PAGE, PAGE = 100, 20
"""How many are told at a time: at most, and where nobody says."""


def chat_of(request: Request) -> AsyncConversation:
    """The conversation of the address. It is asked and told of, so what the server's own settings say of new
    turns, its model first of all, is not said to it."""
    name = named(request, "id")
    client = client_of(request)
    try:
        found = client.conversation(name, user=request.query_params.get("user"))
    except ParameterInvalid as error:
        if error.figures.get("name") != "id":
            raise
        raise ConversationNotFound(conversation=name) from error  # no conversation has such a name
    return AsyncConversation(client.engine, found.id, found.at[0], Declared())


def limit_of(request: Request) -> int:
    """How many are asked for at most."""
    text = request.query_params.get("limit", str(PAGE))
    digits = text.lstrip("0") if text.isascii() and text.isdecimal() else ""
    if not 1 <= len(digits) <= len(str(LONGEST_PAGE)) or int(digits) > LONGEST_PAGE:
        raise Refusal(400, "limit_range", param="limit", least=1, longest=LONGEST_PAGE)
    return int(digits)


def newest_first(request: Request) -> bool:
    """In which order they are asked for."""
    order = request.query_params.get("order", "desc")
    if order not in ("asc", "desc"):
        raise Refusal(400, "order_unknown", param="order")
    return order == "desc"


async def fields_of(request: Request) -> Fields:
    """The fields of the body; an empty one has none."""
    body = await read_body(request.scope, request.receive)
    return body.fields if body.raw.strip() else {}
