"""A chat completion that nobody remembers: handed on as it came where the provider speaks chat
completions, else put into our words and back."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from starlette.types import Receive, Send

from ..asking import input_of
from ..catalog import Card
from ..providers import Provider
from ..reply import Delta, Draft
from ..sealing import seal
from ..tokens import count_message
from ..window import Request
from .body import Body
from .completions import Chunks, completion
from .gateway import Gateway
from .posted import divide
from .presence import staying
from .refusal import Refusal
from .relay import relay
from .sse import DONE, Headers, send_events, send_whole

__all__ = ["OURS", "answer_request", "check_choices", "stateless", "wants_usage"]

OURS = frozenset(("model", "messages", "stream", "stream_options", "tools", "tool_choice", "n"))
"""Fields that have a place of their own in a request, or that we decide."""


async def stateless(gateway: Gateway, body: Body, card: Card, receive: Receive, send: Send) -> None:
    """Answer without remembering anything."""
    provider = gateway.client.endpoints.provider(card)
    passes = getattr(provider, "passed", None)
    if passes is not None:
        profile = gateway.client.catalog.profile(card.provider)
        await relay(body, card, profile, passes, receive, send, gateway.language)
        return
    fields = body.fields
    check_choices(fields)
    divide(fields.get("messages"))
    entries = [seal(dict(each), count_message) for each in fields["messages"]]
    traits = 0
    for entry in entries:
        traits |= entry.traits
    params = {name: value for name, value in fields.items() if name not in OURS and value is not None}
    given = input_of(
        {"params": params, "tools": fields.get("tools") or (), "tool_choice": fields.get("tool_choice") or ""}
    )
    request = Request(
        model=card.model,
        body=body.written("messages").encode(),
        tools=given.tools,
        tool_choice=given.tool_choice or None,
        params=given.params,
        stream=fields.get("stream") is True or card.stream_only,
        traits=traits,
    )
    await answer_request(gateway, provider, card, request, fields, dict, receive, send)


def check_choices(fields: Mapping[str, Any]) -> None:
    """There is one answer to a turn."""
    if fields.get("n") not in (None, 1):
        raise Refusal(400, "one_choice", param="n")


def wants_usage(fields: Mapping[str, Any]) -> bool:
    """Whether the client asked for the usage of a stream."""
    options = fields.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


async def answer_request(
    gateway: Gateway,
    provider: Provider,
    card: Card,
    request: Request,
    fields: Mapping[str, Any],
    headers: Headers,
    receive: Receive,
    send: Send,
) -> None:
    """Ask a provider in our words, and write its deltas as chat completions."""
    identity, draft = f"chatcmpl-{secrets.token_hex(12)}", Draft()

    async def parts() -> AsyncGenerator[bytes, None]:
        chunks = Chunks(identity, card.name)
        async for delta in _deltas(provider, request, draft):
            yield chunks.of(delta)
        if wants_usage(fields):
            yield chunks.usage(draft.usage)
        yield DONE

    if fields.get("stream") is True:
        await send_events(receive, send, parts(), headers, gateway.language)
        return
    async with staying(receive):
        async for _ in _deltas(provider, request, draft):
            pass
    await send_whole(send, completion(identity, card.name, draft, draft.usage), headers())


async def _deltas(provider: Provider, request: Request, draft: Draft) -> AsyncGenerator[Delta, None]:
    async with aclosing(provider.stream(request)) as deltas:  # type: ignore[type-var]  # providers are generators
        async for delta in deltas:
            draft.add(delta)
            yield delta
