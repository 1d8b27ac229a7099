"""Which path is answered by whom? Routes, lifespan, and what every request passes through on its way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ..client import AsyncMultiTurn
from ..errors import Error
from . import conversations, health, models
from .chat_completions import ChatCompletions
from .gateway import Gateway, gateway_of
from .passage import Passage
from .refusal import Refusal, refused

__all__ = ["application"]

CHAT = "/v1/chat/completions"
FAREWELL = 5.0
"""Seconds for what still runs when the server ends."""


def application(client: AsyncMultiTurn) -> Passage:
    """The gateway as an ASGI application, in front of ``client``: its store, its models, its settings.
    The client closes with it."""
    gateway = Gateway(client)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with client:
            yield
            await gateway.finish(FAREWELL)

    app = Starlette(
        routes=[*health.ROUTES, *models.ROUTES, *conversations.ROUTES],
        lifespan=lifespan,
        exception_handlers={HTTPException: _no_such_thing, Refusal: _told, Error: _told},
    )
    app.router.redirect_slashes = False
    app.state.gateway = gateway
    return Passage(_Shortcut(app, ChatCompletions(gateway)), gateway)


class _Shortcut:
    """The hot route goes past the router."""

    def __init__(self, app: ASGIApp, hot: ASGIApp) -> None:
        self._app = app
        self._hot = hot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        hot = scope["type"] == "http" and scope["path"] == CHAT
        await (self._hot if hot else self._app)(scope, receive, send)


async def _no_such_thing(request: Request, error: Exception) -> Response:
    """404 and 405 of the router, in the envelope."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    headers = error.headers if isinstance(error, HTTPException) else None
    code = "method_not_allowed" if status == 405 else "unknown_url"
    return refused(Refusal(status, code, headers=headers), gateway_of(request).language)


async def _told(request: Request, error: Exception) -> Response:
    return refused(error, gateway_of(request).language)
