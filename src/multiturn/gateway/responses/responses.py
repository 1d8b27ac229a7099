"""``/v1/responses``: ask for a response, fetch it, follow it, stop it, delete it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ...errors import ContextOverflow, Error, InputInvalid, ProviderOverflow
from ...storage import Exchange
from ..conversations.turns import step_context
from ..gateway import Asker, Gateway
from ..http.answers import answered
from ..http.body import read_body
from ..http.headers import conversation_in
from ..http.names import named
from ..http.refusal import JSON, Refusal, Said, said_of
from ..http.sse import failed_event, send_events
from .aside import answer_aside
from .compact import compacted
from .deletion import forget
from .input_items import input_page, input_tokens
from .making import Making, Running
from .request import foresight_of, wanted_of
from .spot import exchange_of
from .telling import told_again, whole

__all__ = ["Responses"]

PAUSE = 0.1
"""Seconds between two looks at a response that another process makes."""
PATIENCE = 10.0
"""Seconds in which a response that was told to stop stops."""
LONGEST_NUMBER = 12
ABOUT_INPUT = (InputInvalid, ContextOverflow, ProviderOverflow)


class Responses:
    """The endpoints of responses."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._running = Running(gateway)
        self.routes = [
            Route("/v1/responses/input_tokens", self.input_tokens, methods=["POST"]),
            Route("/v1/responses/compact", compacted, methods=["POST"]),
            Route("/v1/responses/{id}", self.fetch, methods=["GET"]),
            Route("/v1/responses/{id}", self.delete, methods=["DELETE"]),
            Route("/v1/responses/{id}/cancel", self.cancel, methods=["POST"]),
            Route("/v1/responses/{id}/input_items", self.input_items, methods=["GET"]),
            Route("/v1/responses/{id}/context", self.context, methods=["GET"]),
        ]

    async def create(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Make a response: a plain ASGI callable, every piece of every answer comes through here."""
        if scope["method"] != "POST":
            raise Refusal(405, "method_not_allowed", headers={"allow": "POST"}, known="POST")
        body = await read_body(scope, receive)
        client, wanted, headers = self._gateway.client_of(scope), wanted_of(body.fields), Headers(scope=scope)
        conversation_in(headers, wanted.get("conversation"))  # which may not be two
        asker = Asker(self._gateway, client, receive, send)
        try:
            if wanted.stored:
                making = Making(asker, self._running, wanted, body.raw, headers)
                del body, wanted  # what was posted is not kept while the answer comes
                await making.answer()
            else:
                await self._gateway.expect(foresight_of(client, wanted, len(body.raw)))
                await answer_aside(asker, wanted)
        except ABOUT_INPUT as error:
            await self._refused(error)(scope, receive, send)

    def _refused(self, error: Error) -> Response:
        """What is wrong with the input, under the name it has here."""
        said = said_of(error, self._gateway.language)
        said = said._replace(param="input" if said.param == "messages" else said.param)
        return Response(said.body, said.status, dict(said.headers), JSON)

    async def input_tokens(self, request: Request) -> Response:
        """How many tokens would be sent."""
        try:
            return await input_tokens(request)
        except ABOUT_INPUT as error:
            return self._refused(error)

    async def fetch(self, request: Request) -> Response:
        """A stored response; as events with ``stream=true``."""
        exchange, after, language = await self._found(request), _after(request), self._gateway.language
        if not _switch(request, "stream"):
            return answered(whole(exchange, language))
        live = self._running.get(exchange.address.response_id)
        if live is None:
            return _Events(self._again(request, exchange, after), language)
        events = live.telling(after).events
        return _Events(live.followed(events), language, events.failed)

    async def _again(self, request: Request, exchange: Exchange, after: int) -> AsyncGenerator[bytes, None]:
        """The events of a response that is not made here, once it has ended."""
        while exchange.step is None and exchange.running:
            await asyncio.sleep(PAUSE)
            exchange = await self._found(request)
        yield told_again(exchange, self._gateway.language, after)

    async def cancel(self, request: Request) -> Response:
        """Stop a response that is being made, wherever that is; one that has ended is given as it is."""
        exchange = await self._stopped(request, await self._found(request))
        return answered(whole(exchange, self._gateway.language))

    async def _stopped(self, request: Request, exchange: Exchange) -> Exchange:
        store, clock = self._gateway.client_of(request.scope).engine.store, asyncio.get_running_loop().time
        end = clock() + PATIENCE
        while exchange.step is None and exchange.running and clock() < end:
            live = self._running.get(exchange.address.response_id)
            if live is not None:
                live.stream.stop()
            else:
                at, reach = exchange.address, self._gateway.client_of(request.scope).reach
                await store.cancel(reach, exchange.conversation, at.turn, at.branch)
            await asyncio.sleep(PAUSE)
            exchange = await self._found(request)
        return exchange

    async def delete(self, request: Request) -> Response:
        """Forget a response; one that is being made is stopped first."""
        exchange = await self._stopped(request, await self._found(request))
        await forget(self._gateway.client_of(request.scope), exchange)
        return answered({"id": exchange.address.response_id, "object": "response", "deleted": True})

    async def input_items(self, request: Request) -> Response:
        """What went into a response."""
        return await input_page(request, await self._found(request))

    async def context(self, request: Request) -> Response:
        """What was sent for a response, and why."""
        exchange = await self._found(request)
        return await step_context(request, exchange)

    async def _found(self, request: Request) -> Exchange:
        found = await exchange_of(self._gateway.client_of(request.scope), named(request, "id"))
        if found is None:
            raise Refusal(404, "response_not_found", param="response_id")
        return found


class _Events(Response):
    """Events as the answer to a request."""

    def __init__(
        self,
        parts: AsyncGenerator[bytes, None],
        language: str,
        failed: Callable[[Said], bytes] = failed_event,
    ) -> None:
        super().__init__()
        self._parts, self._language, self._failed = parts, language, failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        del scope
        await send_events(receive, send, self._parts, dict, self._language, self._failed)


def _switch(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "false").lower()
    if value not in ("true", "false"):
        raise Refusal(400, "not_a_switch", param=name)
    return value == "true"


def _after(request: Request) -> int:
    """The number after which events are wanted."""
    text = request.query_params.get("starting_after")
    if text is None:
        return -1
    if not text.isascii() or not text.isdecimal() or len(text) > LONGEST_NUMBER:
        raise Refusal(400, "invalid_type", param="starting_after")
    return int(text)
