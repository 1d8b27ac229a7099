"""``/v1/conversations/…/window``: what would be sent now? A dry run; nothing is stored and no model asked."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...chat import AsyncConversation
from ...errors import TurnNotFound
from ...ledger import Ledger
from ...window import Window
from ..gateway import client_of, gateway_of
from ..http.answers import answered
from ..http.presence import staying
from ..http.refusal import Refusal
from .addressed import known_fields, text_in, there, words_in
from .policies import policy_of
from .written import cost_written, ledger_written

__all__ = ["ROUTES"]


async def shown(request: Request) -> Response:
    """The window for what is there, with a new ``text`` where one is given, for the model or another one."""
    chat, query = await there(request), request.query_params
    return await _told(request, chat, await chat.window(query.get("text"), model=query.get("model")))


async def tried(request: Request) -> Response:
    """The same with another policy, or with whole messages."""
    fields = await known_fields(request, "text", "content", "messages", "policy", "model")
    chat, words, messages = await there(request), words_in(fields), fields.get("messages")
    if messages is not None and words is not None:
        raise Refusal(400, "mutually_exclusive_parameters", param="messages")
    if messages is not None and not (
        isinstance(messages, list) and messages and all(isinstance(each, dict) for each in messages)
    ):
        raise Refusal(400, "messages_shape", param="messages")
    model = text_in(fields, "model") if fields.get("model") is not None else None
    client, posted = client_of(request), fields.get("policy")
    policy = None if posted is None else policy_of(client, posted, "policy")
    window = await chat.window(words, policy, model, messages=messages)
    return await _told(request, chat, window)


async def counted(request: Request) -> Response:
    """How many tokens the provider itself counts for what would be sent now."""
    fields = await known_fields(request, "text", "content")
    words, chat = words_in(fields), await there(request)
    async with staying(request.receive):
        tokens = await chat.count(words)
    return answered({"object": "conversation.count", "conversation": chat.id, "tokens": tokens})


async def _told(request: Request, chat: AsyncConversation, window: Window) -> Response:
    try:
        before: Ledger | None = await chat.ledger()
    except TurnNotFound:
        before = None
    summaries = [] if window.summary is None else [window.summary]
    told = ledger_written(window.ledger, before, summaries, gateway_of(request).language)
    head = {"object": "conversation.window", "conversation": chat.id, "model": window.target.model}
    rest = {"messages": window.messages, "cost": cost_written(window.cost)}
    return answered(head | told | rest)


ROUTES = [
    Route("/v1/conversations/{id}/window", shown),
    Route("/v1/conversations/{id}/window", tried, methods=["POST"]),
    Route("/v1/conversations/{id}/count", counted, methods=["POST"]),
]
