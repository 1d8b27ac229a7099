"""StepFun."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from . import counting
from .caches import Cache, PrefixCache
from .chat import ChatSimulator, Work
from .history import Manners
from .problems import OPENAI, Problem
from .script import Received
from .server import Handler, Model

MODELS: Mapping[str, Model] = {
    "step-3.7-flash": Model(
        256_000, max_output=256_000, thinking="always", media=frozenset(("image", "video")), replay="advised"
    ),
    "step-3.5-flash": Model(256_000, max_output=256_000, thinking="always", replay="advised"),
    "step-2-16k": Model(16_384, max_output=8_192),
    "step-1-32k": Model(32_768, max_output=32_768),
    "step-1v-32k": Model(32_768, max_output=32_768, media=frozenset(("image",))),
}
SHAPES = ("deepseek-style", "general")


def wrong(message: str, status: int = 400, kind: str = "request_params_invalid") -> Problem:
    """A problem in this provider's two fields."""
    return Problem(status, message, None, kind)


PROBLEMS: dict[str, Problem] = {
    **{name: wrong(problem.message, problem.status) for name, problem in OPENAI.items()},
    "path": wrong("404 page not found", 404, "not_found"),
    "key_missing": wrong("Incorrect API key provided", 401, "invalid_api_key"),
    "key": wrong("Incorrect API key provided", 401, "invalid_api_key"),
    "model": wrong(
        "The model {model} does not exist or you do not have access to it", 404, "model_not_found"
    ),
    "overflow": wrong("the input is too long: maximum context length is {limit} tokens, requested {prompt}"),
    "fixed": wrong("{name} does not take {given}"),
    "content_filter": wrong("The content was refused as unsafe", 451, "censorship_blocked"),
    "billing": wrong("You have no balance left, please top up", 402, "insufficient_balance"),
    "quota": wrong("You have no balance left, please top up", 402, "insufficient_balance"),
    "rate_limit": wrong("Rate limit reached for requests per minute", 429, "rate_limited"),
    "concurrency": wrong("Rate limit reached for concurrent requests", 429, "rate_limited"),
    "overloaded": wrong("The engine is overloaded", 503, "engine_overloaded"),
    "server": wrong("internal error", 500, "internal_error"),
}


class StepFunSimulator(ChatSimulator):
    """``stepfun``: thinking as ``reasoning`` unless the request asks for the other name."""

    name = "stepfun"
    models = MODELS
    problems = PROBLEMS
    manners = Manners(empty=frozenset(("assistant",)), reasoning=("reasoning", "reasoning_content"))

    def make_cache(self) -> Cache:
        """More than 256 tokens; a step of one (its true step is not published)."""
        return PrefixCache(257)

    def routes(self) -> Mapping[str, Handler]:
        """With the counting endpoint."""
        return {**super().routes(), "/token/count": self._count}

    def envelope(self, problem: Problem) -> Any:
        """Message and type."""
        return {"error": {"message": problem.message, "type": problem.type}}

    def check_params(self, body: Mapping[str, Any], model: Model) -> None:
        """Three efforts, two shapes."""
        super().check_params(body, model)
        allowed = {"reasoning_effort": ("low", "medium", "high"), "reasoning_format": SHAPES}
        for name, values in allowed.items():
            if body.get(name) is not None and body[name] not in values:
                raise self.refuse("fixed", name=name, given=body[name])

    def thought_field(self, work: Work) -> str:
        """``reasoning``, or ``reasoning_content`` in the style of DeepSeek."""
        return "reasoning_content" if work.body.get("reasoning_format") == "deepseek-style" else "reasoning"

    def usage(self, work: Work) -> dict[str, Any]:
        """Cached tokens beside the others."""
        return {**super().usage(work), "cached_tokens": work.hit.read}

    async def _count(self, request: web.Request, received: Received) -> web.StreamResponse:
        body = self.read(received)
        self.model(body.get("model"))
        total = len(counting.prompt(body.get("messages") or ()))
        return web.json_response({"data": {"total_tokens": total}}, headers=self.headers(received))
