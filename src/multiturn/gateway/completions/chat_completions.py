"""``/v1/chat/completions``: exactly stateless, until a request names a conversation."""

from __future__ import annotations

from collections.abc import Awaitable

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from ..access.foresight import foreseen
from ..access.principal import check_user
from ..gateway import Asker, Gateway
from ..http.body import read_body
from ..http.refusal import Refusal
from .stateful import ChatRequest, conversation_of, stateful
from .stateless import form_of, stateless

__all__ = ["ChatCompletions"]

SWITCHES = ("stream", "store")


class ChatCompletions:
    """The endpoint, as a plain ASGI callable: every piece of every answer comes through here."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one chat completion. What was posted is not kept here until that is over."""
        answering = await self._asked(scope, receive, send)
        await answering

    async def _asked(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Read and check a request; its answer is to be awaited."""
        if scope["method"] != "POST":
            raise Refusal(405, "method_not_allowed", headers={"allow": "POST"}, known="POST")
        body = await read_body(scope, receive)
        fields, headers = body.fields, Headers(scope=scope)
        for name in SWITCHES:
            if fields.get(name) not in (None, True, False):
                raise Refusal(400, "not_a_switch", param=name)
        named = fields.get("model")
        if named is not None and not isinstance(named, str):
            raise Refusal(400, "not_text", param="model")
        client = self._gateway.client_of(scope)
        model = named or client.model
        conversation = conversation_of(headers, fields)
        check_user(scope, fields.get("user"))
        asker = Asker(self._gateway, client, receive, send)
        if conversation is None:
            await self._gateway.expect(lambda: foreseen(client, model, fields, len(body.raw)))
            return stateless(asker, body, model)
        return stateful(asker, ChatRequest(conversation, model, fields, body.raw, headers), form_of(fields))
