"""Which path is answered by whom? Routes, lifespan, and what every request passes through on its way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ..client import AsyncMultiTurn
from ..errors import Error
from . import embeddings, health, models, openapi
from .access.hosts import Hosts
from .completions.chat_completions import ChatCompletions
from .conversations import (
    anew,
    branches,
    conversations,
    exports,
    imports,
    marks,
    policies,
    search,
    settings,
    summaries,
    turns,
    usage,
    windows,
)
from .conversations import items as conversation_items
from .dashscope.errors import refused_to
from .dashscope.generation import MULTIMODAL, TEXT, Generation
from .gateway import Gateway, gateway_of
from .http.refusal import Refusal
from .passage import Passage
from .responses.responses import Responses
from .sweeping import sweeping

__all__ = ["application"]

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
FAREWELL = 5.0
"""Seconds for what still runs when the server ends."""


def application(client: AsyncMultiTurn, hosts: Hosts | None = None) -> Passage:
    """The gateway as an ASGI application, in front of ``client``: its store, its models, its settings.
    The client closes with it. ``hosts`` are the names by which it is reached; by default this machine's."""
    gateway = Gateway(client, hosts or Hosts())
    responses = Responses(gateway)
    app = Starlette(
        routes=[
            *health.ROUTES,
            *openapi.ROUTES,
            *models.ROUTES,
            *conversations.ROUTES,
            *conversation_items.ROUTES,
            *turns.ROUTES,
            *windows.ROUTES,
            *marks.ROUTES,
            *anew.ROUTES,
            *branches.ROUTES,
            *summaries.ROUTES,
            *policies.ROUTES,
            *settings.ROUTES,
            *usage.ROUTES,
            *search.ROUTES,
            *exports.ROUTES,
            *imports.ROUTES,
            *embeddings.ROUTES,
            *responses.routes,
        ],
        lifespan=lambda _: _life(gateway),
        exception_handlers={HTTPException: _no_such_thing, Refusal: _told, Error: _told, Exception: _told},
    )
    app.router.redirect_slashes = False
    app.state.gateway = gateway
    generation = Generation(gateway)
    hot: dict[str, ASGIApp] = {
        CHAT: ChatCompletions(gateway),
        RESPONSES: responses.create,
        TEXT: generation,
        MULTIMODAL: generation,
    }
    return Passage(_Shortcut(app, hot), gateway, app.routes)


@asynccontextmanager
async def _life(gateway: Gateway) -> AsyncIterator[None]:
    """From the first request to the last."""
    async with gateway.client:
        sweeper = asyncio.create_task(sweeping(gateway.client))
        with suppress(asyncio.CancelledError):  # told twice to end: what there is, is stored
            yield
        sweeper.cancel()
        await gateway.finish(FAREWELL)


class _Shortcut:
    """The hot routes go past the router."""

    def __init__(self, app: ASGIApp, hot: Mapping[str, ASGIApp]) -> None:
        self._app = app
        self._hot = hot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        hot = self._hot.get(scope["path"]) if scope["type"] == "http" else None
        await (hot or self._app)(scope, receive, send)


async def _no_such_thing(request: Request, error: Exception) -> Response:
    """404 and 405 of the router, in the envelope."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        known = ", ".join(_methods(request))
        refusal = Refusal(405, "method_not_allowed", headers={"allow": known}, known=known)
    else:
        refusal = Refusal(404, "unknown_url")
    return refused_to(request.scope, refusal, gateway_of(request).language)


def _methods(request: Request) -> list[str]:
    """What the address of a request answers: several routes share it."""
    routes = [each for each in request.app.routes if isinstance(each, Route)]
    fitting = [each for each in routes if each.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for each in fitting for method in each.methods or ()})


async def _told(request: Request, error: Exception) -> Response:
    return refused_to(request.scope, error, gateway_of(request).language)
