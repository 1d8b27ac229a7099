"""Volcengine Ark: Doubao."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from .caches import Cache, PrefixCache
from .chat import ChatSimulator, Work
from .history import Manners
from .problems import OPENAI, Problem
from .script import Received, Script
from .server import Handler, Model

IMAGE = frozenset(("image",))
MODELS: Mapping[str, Model] = {
    "doubao-seed-2-1-pro-260915": Model(1_024_000, max_output=256_000, thinking="on", media=IMAGE),
    "doubao-seed-2-1-pro-260628": Model(256_000, max_output=256_000, thinking="on", media=IMAGE),
    "doubao-seed-2-1-turbo-260628": Model(256_000, max_output=256_000, thinking="on", media=IMAGE),
    "doubao-seed-2-0-pro-260215": Model(256_000, max_output=128_000, thinking="on", media=IMAGE),
    "ep-20260101000000-test1": Model(256_000, max_output=128_000, thinking="on", media=IMAGE),
}
OVERFLOW = "Total tokens of image and text exceed max message tokens"


def wrong(code: str, message: str, status: int = 400, kind: str = "BadRequest") -> Problem:
    """A problem with its dotted code."""
    return Problem(status, message + " Request id: 021700000000000simulated", code, kind)


PROBLEMS: dict[str, Problem] = {
    **{
        name: wrong("InvalidParameter", problem.message)._replace(param=problem.param)
        for name, problem in OPENAI.items()
    },
    "path": Problem(404, "404 page not found", "NotFound", "NotFound"),
    "key_missing": wrong(
        "AuthenticationError",
        "The API key or AK/SK in the request is missing or invalid.",
        401,
        "Unauthorized",
    ),
    "key": wrong(
        "AuthenticationError",
        "The API key or AK/SK in the request is missing or invalid.",
        401,
        "Unauthorized",
    ),
    "forbidden": wrong(
        "AccessDenied", "The request failed because you do not have access.", 403, "Forbidden"
    ),
    "model": wrong(
        "InvalidEndpointOrModel.NotFound",
        "The model or endpoint {model} does not exist or you do not have access to it.",
        404,
        "NotFound",
    ),
    "messages_missing": wrong(
        "MissingParameter.messages",
        "The request failed because it is missing `messages` parameter.",
    ),
    "messages_empty": wrong(
        "MissingParameter.messages", "The request failed because it is missing `messages` parameter."
    ),
    "content_missing": wrong(
        "MissingParameter.messages.content",
        "The request failed because it is missing `messages.content` parameter.",
    ),
    "content_empty": wrong(
        "MissingParameter.messages.content",
        "The request failed because it is missing `messages.content` parameter.",
    ),
    "overflow": wrong("OutofContextError", OVERFLOW),
    "content_filter": wrong(
        "InputTextSensitiveContentDetected",
        "The request failed because the input text may contain sensitive information.",
    ),
    "billing": wrong(
        "AccountOverdueError",
        "The request failed because your account has an overdue balance.",
        403,
        "Forbidden",
    ),
    "quota": wrong(
        "QuotaExceeded",
        "The request failed because the quota of the account is used up.",
        429,
        "TooManyRequests",
    ),
    "rate_limit": wrong(
        "RateLimitExceeded.EndpointRPMExceeded",
        "The requests per minute of the endpoint have been exceeded.",
        429,
        "TooManyRequests",
    ),
    "concurrency": wrong(
        "RateLimitExceeded.EndpointTPMExceeded",
        "The tokens per minute of the endpoint have been exceeded.",
        429,
        "TooManyRequests",
    ),
    "overloaded": wrong(
        "ServerOverloaded",
        "The service is currently unable to handle additional requests.",
        429,
        "TooManyRequests",
    ),
    "server": wrong(
        "InternalServiceError", "The service encountered an unexpected error.", 500, "InternalServerError"
    ),
    "context": wrong("InvalidParameter.context_id", "The context {context} does not exist.", 400),
}


class ArkSimulator(ChatSimulator):
    """``ark``: dotted codes, and the older sessions that live on the server."""

    name = "ark"
    prefix = "/api/v3"
    models = MODELS
    problems = PROBLEMS
    manners = Manners(empty=frozenset(("assistant", "tool")))

    def __init__(self, script: Script | None = None, **options: Any) -> None:
        super().__init__(script, **options)
        self.contexts: dict[str, list[dict[str, Any]]] = {}

    def make_cache(self) -> Cache:
        """Not published for chat: a beginning of 256 tokens, a step of one."""
        return PrefixCache(256)

    def routes(self) -> Mapping[str, Handler]:
        """With the older sessions."""
        return {
            **super().routes(),
            "/context/create": self._create_context,
            "/context/chat/completions": self._in_context,
        }

    def thinks(self, body: Mapping[str, Any], model: Model) -> bool:
        """``thinking: {type}``."""
        return bool((body.get("thinking") or {}).get("type", "enabled") != "disabled")

    def usage(self, work: Work) -> dict[str, Any]:
        """With the details."""
        return {
            **super().usage(work),
            "prompt_tokens_details": {"cached_tokens": work.hit.read},
            "completion_tokens_details": {"reasoning_tokens": work.thought},
        }

    async def _create_context(self, request: web.Request, received: Received) -> web.StreamResponse:
        body = self.read(received)
        self.model(body.get("model"))
        name = f"ctx-{received.number:08d}"
        self.contexts[name] = list(body.get("messages") or ())
        kept = {"id": name, "model": body["model"], "ttl": body.get("ttl", 86_400), "mode": body.get("mode")}
        return web.json_response(kept, headers=self.headers(received))

    async def _in_context(self, request: web.Request, received: Received) -> web.StreamResponse:
        body = self.read(received)
        name = body.get("context_id")
        if name not in self.contexts:
            raise self.refuse("context", context=name)
        whole = {**body, "messages": [*self.contexts[name], *(body.get("messages") or ())]}
        work = self.check(replace(received, body=whole), whole)
        await self.decide(work, request)
        message = {"role": "assistant", "content": work.answer.text}
        self.contexts[name] = [*whole["messages"], message]
        return web.json_response(self.whole(work), headers=self.headers(received))
