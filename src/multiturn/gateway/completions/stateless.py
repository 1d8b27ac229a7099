"""A chat completion that nobody remembers: handed on as it came where the provider speaks chat
completions, else put into our words and back."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any

from ...asking import input_of
from ...catalog import Card
from ...errors import ProviderError
from ...providers import Provider
from ...reply import Delta, Draft
from ...routing import Attempts
from ...sealing import seal
from ...tokens import count_message
from ...window import Request
from ..access.consumption import Consumed, estimated
from ..gateway import Asker
from ..http.body import Body
from ..http.presence import staying
from ..http.refusal import Refusal
from ..http.sse import Beside, send_events, send_whole
from .completions import Completions
from .form import Form, Named
from .posted import messages_in
from .relay import Passes, relay
from .routed import attempts_of, one_after_another

__all__ = ["OURS", "answer_request", "check_choices", "form_of", "stateless", "translated"]

OURS = frozenset(("model", "messages", "stream", "stream_options", "tools", "tool_choice", "n"))
"""Fields that have a place of their own in a request, or that we decide."""


async def stateless(asker: Asker, body: Body, model: str) -> None:
    """Answer without remembering anything."""
    card = asker.client.catalog.card(model)
    attempts = attempts_of(asker.client, model, card, body.fields)
    if attempts is None:
        await _ask(asker, body, None, card, "", dict)
    else:
        await one_after_another(attempts, partial(_ask, asker, body, attempts))


async def _ask(
    asker: Asker, body: Body, attempts: Attempts | None, card: Card, key: str, beside: Beside
) -> None:
    provider = asker.client.endpoints.provider(card, key)
    passes: Passes | None = getattr(provider, "passed", None)
    if passes is not None:
        await relay(asker, body, card, passes, beside)
        return
    fields = body.fields
    check_choices(fields)
    messages_in(fields.get("messages"))
    request = translated(fields, body.written("messages").encode(), card)
    if attempts is not None:
        request = replace(request, elsewhere=attempts.elsewhere)
    await answer_request(asker, provider, card, request, form_of(fields), beside)


def translated(fields: Mapping[str, Any], messages: bytes, card: Card) -> Request:
    """The fields of a chat completion as a request in our words; ``messages`` are the same as JSON."""
    entries = [seal(dict(each), count_message) for each in fields["messages"]]
    traits = 0
    for entry in entries:
        traits |= entry.traits
    params = {name: value for name, value in fields.items() if name not in OURS and value is not None}
    given = input_of(
        {"params": params, "tools": fields.get("tools") or (), "tool_choice": fields.get("tool_choice") or ""}
    )
    return Request(
        model=card.model,
        body=messages,
        tools=given.tools,
        tool_choice=given.tool_choice or None,
        params=given.params,
        stream=fields.get("stream") is True or card.stream_only,
        traits=traits,
    )


def check_choices(fields: Mapping[str, Any]) -> None:
    """Raises `Refusal` where several answers are wanted: a turn has one."""
    if fields.get("n") not in (None, 1):
        raise Refusal(400, "one_choice", param="n")


def form_of(fields: Mapping[str, Any]) -> Completions:
    """The form of the answer, with the usage of a stream where the client asked for it."""
    options = fields.get("stream_options")
    usage = isinstance(options, dict) and options.get("include_usage") is True
    return Completions(streamed=fields.get("stream") is True, usage=usage)


async def answer_request(
    asker: Asker, provider: Provider, card: Card, request: Request, form: Form, beside: Beside
) -> None:
    """Ask a provider in our words, and write its deltas in the client's ``form``."""
    gateway, client, receive, send = asker
    named, draft = Named(f"chatcmpl-{secrets.token_hex(12)}", card.name, time.time()), Draft()
    consumed = gateway.consumed(client, card)

    async def parts() -> AsyncGenerator[bytes, None]:
        pieces = form.pieces(named)
        async for delta in _deltas(provider, request, draft, consumed):
            if part := pieces.of(delta):
                yield part
        yield pieces.end(draft.usage)

    if form.streamed:
        await send_events(receive, send, parts(), beside, gateway.language, form.failed)
        return
    async with staying(receive):
        async for _ in _deltas(provider, request, draft, consumed):
            pass
    await send_whole(send, form.whole(named, draft, draft.usage), beside())


async def _deltas(
    provider: Provider, request: Request, draft: Draft, consumed: Consumed | None
) -> AsyncGenerator[Delta, None]:
    try:
        async with aclosing(provider.stream(request)) as deltas:  # type: ignore[type-var]  # providers are generators
            async for delta in deltas:
                draft.add(delta)
                yield delta
    except ProviderError:
        consumed = None
        raise
    finally:
        if consumed is not None:
            consumed(draft.usage or estimated(len(request.body), len("".join(draft.texts).encode())))
