"""``/api/v1/services/aigc/…``: DashScope's own protocol in front of any provider, with a memory where a
conversation is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from ...catalog import Card, Profile
from ...client import AsyncMultiTurn
from ..access.foresight import foreseen
from ..access.principal import check_user
from ..completions.routed import attempts_of, one_after_another
from ..completions.stateful import conversation_of, stateful
from ..completions.stateless import answer_request, check_choices, request_of
from ..gateway import Gateway
from ..http.body import Body, read_body
from ..http.refusal import Refusal
from ..http.sse import Headers as Told
from .errors import REQUEST
from .frames import Native
from .posted import adds, fields_of, known_to, parameters_of, plain_text
from .relay import native_relay

__all__ = ["MULTIMODAL", "TEXT", "Generation"]

TEXT = "/api/v1/services/aigc/text-generation/generation"
MULTIMODAL = "/api/v1/services/aigc/multimodal-generation/generation"


class Generation:
    """The endpoint, as a plain ASGI callable."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one generation."""
        if scope["method"] != "POST":
            raise Refusal(405, "method_not_allowed", headers={"allow": "POST"})
        body, headers = await read_body(scope, receive), Headers(scope=scope)
        client = self._gateway.client_of(scope)
        model = _model(client, body.fields.get("model"))
        form = _form(scope, body.fields)
        known, dropped = known_to(_profiles(client, model), fields_of(body.fields))
        fields = {**known, "stream": _streamed(headers)}
        if type(fields.get("store", False)) is not bool:
            raise Refusal(400, "not_a_switch", param="store")
        check_user(scope, fields.get("user"))
        name = conversation_of(headers, fields)
        await self._gateway.expect(lambda: foreseen(client, model, fields, len(body.raw), name))
        if name is None:
            await self._stateless(client, body, fields, dropped, model, form, receive, send)
            return
        await stateful(
            self._gateway,
            client,
            fields,
            body.raw,
            model,
            name,
            headers,
            form,
            receive,
            send,
            unknown=dropped,
        )

    async def _stateless(
        self,
        client: AsyncMultiTurn,
        body: Body,
        fields: Mapping[str, Any],
        dropped: Sequence[str],
        model: str,
        form: Native,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer without remembering anything."""
        told = {"x-multiturn-dropped": ", ".join(dropped)} if dropped else {}
        card = client.catalog.card(model)
        attempts = attempts_of(client, model, card, fields)

        async def ask(card: Card, key: str, headers: Told) -> None:
            provider, streamed = client.endpoints.provider(card, key), fields["stream"]
            passes = getattr(provider, "passed_native", None)
            if passes is not None:
                consumed, language = self._gateway.consumed(client, card), self._gateway.language
                await native_relay(
                    body, card, passes, form, headers, receive, send, language, consumed, streamed=streamed
                )
                return
            check_choices(fields)
            request = request_of(fields, orjson.dumps(fields["messages"]), card)
            request = replace(request, elsewhere=attempts.elsewhere if attempts else ())
            await answer_request(
                self._gateway,
                client,
                provider,
                card,
                request,
                form,
                headers,
                receive,
                send,
                streamed=streamed,
            )

        if attempts is None:
            await ask(card, "", lambda: told)
        else:
            await one_after_another(attempts, ask, lambda: told)


def _model(client: AsyncMultiTurn, named: object) -> str:
    if named is not None and not isinstance(named, str):
        raise Refusal(400, "not_text", param="model")
    return named or client.model


def _profiles(client: AsyncMultiTurn, model: str) -> list[Profile]:
    """The providers that may answer: those of a route, or the model's own."""
    route = client.catalog.routes.get(model)
    cards = [client.catalog.card(target) for target in (route.targets if route else (model,))]
    return [client.catalog.profile(card.provider) for card in cards]


def _streamed(headers: Headers) -> bool:
    wanted = headers.get("x-dashscope-sse", "").lower() == "enable"
    return wanted or "text/event-stream" in headers.get("accept", "").lower()


def _form(scope: Scope, body: Mapping[str, Any]) -> Native:
    """How the answer is to be written; the multimodal path always answers in messages."""
    parts = scope["path"] == MULTIMODAL
    return Native(
        scope.get(REQUEST, ""),
        parts=parts,
        text=not parts and plain_text(body),
        adding=adds(body),
        thinking=parameters_of(body).get("enable_thinking") is True,
    )
