"""What does every request pass through? It gets an id, foreign hosts and wrong keys are refused, its end is
counted and written down, and whatever goes wrong becomes an answer."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Sequence
from itertools import count

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import Error
from .access.answering import ANSWERING, Answer
from .access.principal import principal_of
from .access.scopes import rule_of
from .dashscope.errors import REQUEST, refused_to
from .gateway import Gateway
from .http.connection import connection_of
from .http.names import hold_slashes
from .http.presence import ClientLeft
from .http.refusal import Refusal
from .http.sse import stopping
from .log import LOG, Journal
from .responses.socket import Sockets

__all__ = ["Passage"]

GIVEN_ID = re.compile(rb"[A-Za-z0-9_.:\-]{1,128}")
HOT = frozenset(
    (
        "/v1/chat/completions",
        "/v1/responses",
        "/api/v1/services/aigc/text-generation/generation",
        "/api/v1/services/aigc/multimodal-generation/generation",
    )
)
"""Addresses that go past the router."""
PROCESS, NUMBERS = secrets.token_hex(8), count()
"""What the ids of requests are made of where clients give none."""
LEFT = 499
"""How the log and the figures name a request whose client did not wait."""


class Passage:
    """The outermost layer of the gateway, around ``app``, which has these ``routes``."""

    def __init__(self, app: ASGIApp, gateway: Gateway, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes = routes
        self._gateway = gateway
        self._journal = Journal()
        self._sockets = Sockets(self, self._admit, gateway)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            app = self._sockets if scope["type"] == "websocket" else self._app
            await app(scope, receive, send)
            self._journal.write()
            return
        receive = connection_of(scope) or receive
        scope = hold_slashes(scope)
        task = asyncio.current_task()
        passing = _Passing(scope, send)
        self._gateway.meters.open += 1
        if task is not None:
            self._gateway.tasks.add(task)
        try:
            await self._answer(scope, receive, passing)
        finally:
            if task is not None:
                self._gateway.tasks.discard(task)
            self._gateway.meters.open -= 1
            self._written_down(scope, passing)

    async def _answer(self, scope: Scope, receive: Receive, passing: _Passing) -> None:
        language = self._gateway.language
        answer: Answer | None = None
        try:
            await self._admit(scope)
            answer = self._enter(scope)
            ANSWERING.set(answer)
            await self._app(scope, receive, passing.send)
        except ClientLeft:
            passing.status = LEFT
            self._gateway.meters.left.inc()
        except asyncio.CancelledError:
            if passing.status is not None:
                raise
            await refused_to(scope, stopping(), language)(scope, receive, passing.send)
        except Exception as error:  # noqa: BLE001  (the last door: nobody above could tell it better)
            if not isinstance(error, Refusal | Error):
                LOG.error("failed", exc_info=error, extra={"figures": {"request": passing.id}})
            if passing.status is None:
                await refused_to(scope, error, language)(scope, receive, passing.send)
        finally:
            if answer is not None:
                answer.leave()

    async def _admit(self, scope: Scope) -> None:
        self._gateway.hosts.check(scope)
        if self._gateway.stopping:
            raise Refusal(503, "stopping", headers={"x-should-retry": "true"})
        await self._gateway.keys.admit(scope)

    def _enter(self, scope: Scope) -> Answer | None:
        """The answer that begins now; ``None``: nobody's limits hold for it."""
        allowances, keyed = self._gateway.allowances, principal_of(scope) is not None
        if not (keyed or allowances.stated) or not rule_of(scope["method"], scope["path"]).answers:
            return None
        return allowances.enter(self._gateway.client_of(scope).tenant, keyed=keyed)

    def _written_down(self, scope: Scope, passing: _Passing) -> None:
        route = _route(scope, self._routes)
        method = scope["method"] if scope["method"] in ("GET", "POST", "DELETE", "HEAD", "PUT") else "other"
        seconds, status = time.monotonic() - passing.began, passing.status or LEFT
        self._gateway.meters.answered(route, method, status, seconds)
        figures = {"request": passing.id, "method": method, "route": route, "status": status}
        self._journal.note({**figures, "seconds": round(seconds, 4)})


def _route(scope: Scope, routes: Sequence[BaseRoute]) -> str:
    """The route that a request came to, without anybody's ids, or would have come to where it was refused
    before; "other" where there is none."""
    if scope["path"] in HOT:
        return str(scope["path"])
    route = scope.get("route") or _met(scope, routes)
    return getattr(route, "path", "other")


def _met(scope: Scope, routes: Sequence[BaseRoute]) -> BaseRoute | None:
    """The route of this address: the one with this method, if there is one."""
    found = [(route.matches(scope)[0].value, route) for route in routes]
    return max(found, key=lambda each: each[0])[1] if any(fits for fits, _ in found) else None


class _Passing:
    """One request on its way."""

    def __init__(self, scope: Scope, send: Send) -> None:
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        self.id = given.decode() if GIVEN_ID.fullmatch(given) else f"req_{PROCESS}{next(NUMBERS):08x}"
        scope[REQUEST] = self.id
        self.status: int | None = None
        self.began = time.monotonic()
        self._send = send

    async def send(self, message: Message) -> None:
        """Send on; the head gets the request's id."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), (b"x-request-id", self.id.encode())]
            message = {**message, "headers": headers}
        await self._send(message)
