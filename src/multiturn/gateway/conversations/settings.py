"""``/v1/conversations/…/settings``: what is in force for a conversation beside its policy? Its instructions,
its opening, its model, the memory it shares; each is said when the conversation is made, or later."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...client import AsyncMultiTurn
from ...conversations import Settings
from ...errors import InputInvalid
from ..gateway import client_of
from ..http.answers import answered
from ..http.refusal import Refusal
from .addressed import known_fields, text_in, there
from .asked import Fields
from .policies import policy_of

__all__ = ["ROUTES", "settings_in"]

TEXTS = ("opening", "model", "memory")
NAMES = ("instructions", *TEXTS, "policy")
SERVERS = frozenset(("policy", "model"))
"""What a conversation that says nothing has from the server's own settings: not by this request."""


def settings_in(client: AsyncMultiTurn, fields: Fields) -> dict[str, Any]:
    """What of a posted body a conversation is told, by the names that `AsyncMultiTurn.conversation` has for
    it. Raises `Refusal`."""
    found: dict[str, Any] = {name: text_in(fields, name) for name in TEXTS if fields.get(name) is not None}
    if (instructions := fields.get("instructions")) is not None:
        listed = isinstance(instructions, list) and all(isinstance(each, dict) for each in instructions)
        if not isinstance(instructions, str) and not listed:
            raise Refusal(400, "instructions_shape", param="instructions")
        try:
            client.conversation(system=instructions)
        except InputInvalid as error:
            raise Refusal(400, "instructions_shape", param="instructions") from error
        found["system"] = instructions
    if fields.get("policy") is not None:
        found["policy"] = policy_of(client, fields["policy"], "policy")
    return found


async def one(request: Request) -> Response:
    """What is in force."""
    chat = await there(request)
    return _told(chat.id, (await chat.info()).settings)


async def changed(request: Request) -> Response:
    """Something else, from the next turn on; what is not named stays."""
    fields, chat = await known_fields(request, *NAMES), await there(request)
    client = client_of(request)
    said = settings_in(client, fields)
    declared = client.conversation(**said).declared
    for name in SERVERS - said.keys():
        declared = replace(declared, **{name: None})
    return _told(chat.id, await client.engine.store.declare(*chat.at, declared))


def _told(conversation: str, settings: Settings) -> Response:
    return answered(
        {
            "object": "conversation.settings",
            "conversation": conversation,
            "instructions": [orjson.loads(body) for body in settings.instructions],
            "opening": settings.opening,
            "model": settings.model,
            "memory": settings.memory,
            "policy": None if settings.policy is None else dict(settings.policy),
            "version": settings.version,
        }
    )


ROUTES = [
    Route("/v1/conversations/{id}/settings", one),
    Route("/v1/conversations/{id}/settings", changed, methods=["POST"]),
]
