"""``/v1/usage`` and ``/v1/conversations/…/usage``: what was consumed, and what did it cost?"""

from __future__ import annotations

from typing import Any, cast

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...storage import Grouping
from ..gateway import client_of
from ..http.answers import answered
from ..http.refusal import Refusal
from .addressed import handle_of
from .written import spending_written

__all__ = ["ROUTES"]

GROUPS = ("day", "model", "user", "tag", "conversation")


async def everything(request: Request) -> Response:
    """What all conversations of the tenant consumed, or those of one user, by one or several of `GROUPS`."""
    user = request.query_params.get("user")
    data = await _grouped(request, _names(request), user)
    return answered({"object": "list", "data": data, "has_more": False})


def _names(request: Request) -> list[str]:
    """By what it is grouped. Raises `Refusal`."""
    names = [each for each in request.query_params.get("group_by", "").split(",") if each]
    if any(name not in GROUPS for name in names) or len(set(names)) < len(names):
        raise Refusal(400, "invalid_value", param="group_by", known=", ".join(GROUPS))
    return names


async def _grouped(
    request: Request, names: list[str], user: str | None, conversation: str | None = None
) -> list[dict[str, Any]]:
    by = cast("list[Grouping]", names)
    spent = await client_of(request).usage(
        by=(by[0] if len(by) == 1 else by) if by else "all", user=user, conversation=conversation
    )
    return [
        {"object": "usage", "group": _group(names, each.group), **spending_written(each)} for each in spent
    ]


def _group(names: list[str], group: str) -> dict[str, Any]:
    """The values by their names."""
    values = orjson.loads(group) if len(names) > 1 else [group]
    return dict(zip(names, values, strict=False))


async def one(request: Request) -> Response:
    """What one conversation consumed, all branches; also by `GROUPS`, where they are asked for."""
    chat, names = handle_of(request), _names(request)
    told = {"object": "conversation.usage", "conversation": chat.id, **spending_written(await chat.usage())}
    if names:
        told["groups"] = await _grouped(request, names, chat.at[0].user, chat.id)
    return answered(told)


ROUTES = [
    Route("/v1/usage", everything),
    Route("/v1/conversations/{id}/usage", one),
]
