"""A client whose model reads from a script: for tests of the library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from multiturn import AsyncConversation, AsyncMultiTurn, ConversationNotFound, Delta, Usage
from multiturn.providers.scripted import Line, ScriptedProvider
from multiturn.reply import CallPiece
from multiturn.window import Request

__all__ = ["TOOLS", "Make", "Scene", "call_of", "calls", "said", "sent", "states", "stored"]

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


class Scene:
    """A client, and what its model was asked. ``given`` are arguments of the client."""

    def __init__(self, *script: Line, **given: Any) -> None:
        self.provider = ScriptedProvider(script)
        arguments = {"model": "qwen/qwen-plus", "store": ":memory:", "environment": {}, **given}
        self.client = AsyncMultiTurn(**arguments, provider=self.provider)

    @property
    def requests(self) -> list[Request]:
        return self.provider.requests


Make = Callable[..., Scene]


def calls(*ids: str, text: str = "") -> Delta:
    """An answer that calls tools."""
    pieces = tuple(CallPiece(place, each, "weather", "{}") for place, each in enumerate(ids))
    return Delta(text, calls=pieces, finish_reason="tool_calls", usage=Usage(10, 5))


def call_of(identity: str) -> dict[str, Any]:
    """A call as it stands in a message."""
    return {"id": identity, "type": "function", "function": {"name": "weather", "arguments": "{}"}}


def sent(request: Request) -> list[dict[str, Any]]:
    """The messages of a request."""
    return list(orjson.loads(request.body))


def said(request: Request) -> list[object]:
    """Their words."""
    return [message["content"] for message in sent(request)]


async def states(chat: AsyncConversation) -> list[str]:
    """The states of all turns."""
    return [turn.state.name for turn in await chat.turns()]


async def stored(chat: AsyncConversation) -> int:
    """How many messages the store holds; a conversation that was never made has none."""
    try:
        return len(await chat.history())
    except ConversationNotFound:
        return 0
