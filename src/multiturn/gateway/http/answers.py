"""How do records look as JSON answers?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from starlette.responses import Response

from ...conversations import Conversation
from .refusal import JSON

__all__ = ["answered", "conversation_written", "listing"]


def answered(value: object, headers: Mapping[str, str] | None = None) -> Response:
    """A value as JSON, with ``headers`` beside it."""
    return Response(orjson.dumps(value, default=str), headers=headers, media_type=JSON)


def listing(data: Sequence[dict[str, Any]], *, more: bool = False) -> Response:
    """OpenAI's list envelope; ``first_id`` and ``last_id`` are never null."""
    first, last = (data[0]["id"], data[-1]["id"]) if data else ("", "")
    return answered(
        {"object": "list", "data": list(data), "first_id": first, "last_id": last, "has_more": more}
    )


def conversation_written(one: Conversation) -> dict[str, Any]:
    """A conversation as it is told."""
    return {
        "id": one.id,
        "object": "conversation",
        "created_at": int(one.created_at),
        "updated_at": int(one.updated_at),
        "metadata": dict(one.metadata),
        "expires_after": one.expires_after,
        "model": one.settings.model,
        "turns": one.turns,
        "messages": one.messages,
        "title": one.title,
        "user": one.user,
    }
