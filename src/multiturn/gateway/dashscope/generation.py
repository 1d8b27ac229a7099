"""``/api/v1/services/aigc/…``: DashScope's own protocol in front of any provider, with a memory where a
conversation is named."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from ...client import AsyncMultiTurn
from ..access.foresight import foreseen
from ..access.principal import check_user
from ..completions.routed import may_answer
from ..completions.stateful import ChatRequest, conversation_of, stateful
from ..gateway import Asker, Gateway
from ..http.body import read_body
from ..http.refusal import Refusal
from .errors import REQUEST
from .frames import Native
from .posted import adds, fields_of, known_to, parameters_of, plain_text
from .stateless import Stateless

__all__ = ["MULTIMODAL", "TEXT", "Generation"]

TEXT = "/api/v1/services/aigc/text-generation/generation"
MULTIMODAL = "/api/v1/services/aigc/multimodal-generation/generation"


class Generation:
    """The endpoint, as a plain ASGI callable."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one generation. What was posted is not kept here until that is over."""
        answering = await self._asked(scope, receive, send)
        await answering

    async def _asked(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Read and check a request; its answer is to be awaited."""
        if scope["method"] != "POST":
            raise Refusal(405, "method_not_allowed", headers={"allow": "POST"}, known="POST")
        body, headers = await read_body(scope, receive), Headers(scope=scope)
        client = self._gateway.client_of(scope)
        model = _model(client, body.fields.get("model"))
        form = _form(scope, headers, body.fields)
        profiles = [profile for _, profile in may_answer(client.catalog, model)]
        known, dropped = known_to(profiles, fields_of(body.fields))
        fields = {**known, "stream": form.streamed}
        if type(fields.get("store", False)) is not bool:
            raise Refusal(400, "not_a_switch", param="store")
        check_user(scope, fields.get("user"))
        name, asker = conversation_of(headers, fields), Asker(self._gateway, client, receive, send)
        if name is None:
            await self._gateway.expect(lambda: foreseen(client, model, fields, len(body.raw)))
            return Stateless(asker, body, fields, form).answer(model, dropped)
        return stateful(asker, ChatRequest(name, model, fields, body.raw, headers, dropped), form)


def _model(client: AsyncMultiTurn, named: object) -> str:
    if named is not None and not isinstance(named, str):
        raise Refusal(400, "not_text", param="model")
    return named or client.model


def _streamed(headers: Headers) -> bool:
    wanted = headers.get("x-dashscope-sse", "").lower() == "enable"
    return wanted or "text/event-stream" in headers.get("accept", "").lower()


def _form(scope: Scope, headers: Headers, body: Mapping[str, Any]) -> Native:
    """How the answer is to be written; the multimodal path always answers in messages."""
    parts = scope["path"] == MULTIMODAL
    return Native(
        scope.get(REQUEST, ""),
        streamed=_streamed(headers),
        parts=parts,
        text=not parts and plain_text(body),
        adding=adds(body),
        thinking=parameters_of(body).get("enable_thinking") is True,
    )
