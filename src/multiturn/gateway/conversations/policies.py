"""``/v1/conversations/…/policy``: what of a conversation should its model see again? And how does a posted
policy become one?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...client import AsyncMultiTurn
from ...conversations import Declared, Settings
from ...errors import PolicyInvalid
from ...policy import LARGEST, ContextPolicy
from ..gateway import client_of
from ..http.answers import answered
from ..http.refusal import Refusal
from .addressed import there
from .asked import fields_of

__all__ = ["ROUTES", "policy_of"]


def policy_of(client: AsyncMultiTurn, fields: object, name: str | None = None) -> ContextPolicy:
    """The policy that somebody posted, whose models are known. Raises `Refusal`, `PolicyInvalid` and
    `ModelUnknown`."""
    if not isinstance(fields, Mapping):
        raise Refusal(400, "invalid_type", param=name)
    for value in _numbers(fields):
        if value > LARGEST:
            raise Refusal(400, "integer_above_max_value", param=name, limit=LARGEST)
    policy = ContextPolicy.from_dict(fields)
    if policy.summarize and policy.summarize.model:
        client.catalog.card(policy.summarize.model)
    if policy.recall and policy.recall.embedding:
        client.catalog.embedding(policy.recall.embedding)
    return policy


def _numbers(fields: Mapping[str, Any]) -> list[int]:
    tables = [fields, *(each for each in fields.values() if isinstance(each, Mapping))]
    return [each for table in tables for each in table.values() if isinstance(each, int)]


async def one(request: Request) -> Response:
    """The policy in force, and what of it is the conversation's own."""
    chat = await there(request)
    return _told(request, chat.id, (await chat.info()).settings)


async def put(request: Request) -> Response:
    """A policy of the conversation's own, in force from the next turn; an empty one is the default."""
    fields, chat = await fields_of(request), await there(request)
    client = client_of(request)
    policy = policy_of(client, fields)
    settings = await client.engine.store.declare(*chat.at, Declared(policy=policy.to_dict()))
    return _told(request, chat.id, settings)


def _told(request: Request, conversation: str, settings: Settings) -> Response:
    own = settings.policy
    try:
        policy = None if own is None else ContextPolicy.from_dict(own)
    except PolicyInvalid:  # kept by a version that knew other names
        policy = None
    policy = policy or client_of(request).engine.policy
    return answered(
        {
            "object": "conversation.policy",
            "conversation": conversation,
            "own": None if own is None else dict(own),
            "policy": asdict(policy),
            "version": settings.version,
        }
    )


ROUTES = [
    Route("/v1/conversations/{id}/policy", one),
    Route("/v1/conversations/{id}/policy", put, methods=["PUT"]),
]
