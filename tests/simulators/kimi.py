"""Moonshot: Kimi."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from . import counting
from .caches import Cache, PrefixCache
from .chat import ChatSimulator, Work
from .history import Manners
from .problems import OPENAI, Problem
from .script import Received
from .server import Handler, Model

FILMS = frozenset(("image", "video"))
LONG = 262_144
MODELS: Mapping[str, Model] = {
    "kimi-k3": Model(1_048_576, max_output=1_048_576, thinking="always", media=FILMS, replay="tool_loop"),
    "kimi-k2.7-code": Model(LONG, max_output=LONG, thinking="always", media=FILMS, replay="all"),
    "kimi-k2.6": Model(
        LONG, max_output=LONG, thinking="on", media=FILMS, replay="tool_loop", fixed_sampling=True
    ),
    "kimi-k2.5": Model(
        LONG, max_output=LONG, thinking="on", media=FILMS, replay="tool_loop", fixed_sampling=True
    ),
    "kimi-k2-thinking": Model(LONG, max_output=LONG, thinking="always", lists=False, replay="tool_loop"),
    "kimi-k2-turbo-preview": Model(LONG, max_output=LONG, lists=False, default_output=1024),
    "moonshot-v1-8k": Model(8_192, max_output=8_192, lists=False, default_output=1024),
    "moonshot-v1-32k": Model(32_768, max_output=32_768, lists=False, default_output=1024),
    "moonshot-v1-128k": Model(131_072, max_output=131_072, lists=False, default_output=1024),
    "moonshot-v1-8k-vision-preview": Model(
        8_192, max_output=8_192, media=frozenset(("image",)), default_output=1024
    ),
}


def wrong(message: str, status: int = 400, kind: str = "invalid_request_error") -> Problem:
    """A problem in this provider's two fields."""
    return Problem(status, message, None, kind)


EMPTY = "Invalid request: the message at position {index} with role '{role}' must not be empty"

PROBLEMS: dict[str, Problem] = OPENAI | {
    "path": wrong("没找到对象: {path}", 404, "resource_not_found_error"),
    "key_missing": wrong("Invalid Authentication", 401, "invalid_authentication_error"),
    "key": wrong("Incorrect API key provided", 401, "incorrect_api_key_error"),
    "forbidden": wrong("The API you are accessing is not open", 403, "permission_denied_error"),
    "model": wrong("Not found the model {model} or Permission denied", 404, "resource_not_found_error"),
    "json": wrong("Invalid request: the body is not valid JSON"),
    "messages_missing": wrong("Invalid request: messages is required"),
    "messages_empty": wrong("Invalid request: messages must not be empty"),
    "role": wrong("Invalid request: the message at position {index} has the unknown role '{role}'"),
    "content_missing": wrong(EMPTY),
    "content_empty": wrong(EMPTY),
    "text_empty": wrong("Invalid request: text content is empty"),
    "list_refused": wrong("Invalid request: the content of the message at position {index} must be a string"),
    "media_refused": wrong("Invalid request: the model does not support the content type {kind}"),
    "media_url": wrong("Invalid request: unsupported image url: {url}"),
    "orphan": wrong("Invalid request: tool_call_id  is not found"),
    "unanswered": wrong(
        "Invalid request: an assistant message with 'tool_calls' must be followed by tool messages "
        "responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: "
        "{missing}"
    ),
    "reasoning_missing": wrong(
        "Invalid request: thinking is enabled but reasoning_content is missing in assistant tool call "
        "message at index {index}"
    ),
    "overflow": wrong(
        "Invalid request: Your request exceeded model token limit: {limit} (requested: {requested})"
    ),
    "too_long": wrong("Invalid request: Input token length too long"),
    "max_tokens": wrong("Invalid request: {name} must be between 1 and {limit}"),
    "range": wrong("Invalid request: {name} must be between {low} and {high}"),
    "fixed": wrong("invalid {name}: only {only} is allowed for this model"),
    "tool_kind": wrong("Invalid request: unknown tool type {kind}"),
    "tool_repeated": wrong("Invalid request: function name {name} is duplicated"),
    "tool_schema": wrong("Invalid request: At path 'properties.{name}': type is not defined"),
    "tool_choice": wrong("Invalid request: tool_choice '{choice}' is not supported"),
    "thinking": wrong("invalid thinking: only type=enabled is allowed for this model"),
    "content_filter": wrong(
        "The request was rejected because it was considered high risk", 400, "content_filter"
    ),
    "billing": wrong(
        "You exceeded your current token quota, please check your account balance",
        429,
        "exceeded_current_quota_error",
    ),
    "quota": wrong(
        "You exceeded your current token quota, please check your account balance",
        429,
        "exceeded_current_quota_error",
    ),
    "rate_limit": wrong(
        "Your account reached max request per minute: request reached max organization RPM: 3, please try "
        "again after 1 seconds",
        429,
        "rate_limit_reached_error",
    ),
    "daily": wrong(
        "request reached max organization TPD: 1500000, please try again after 3600 seconds",
        429,
        "rate_limit_reached_error",
    ),
    "concurrency": wrong(
        "request reached max organization concurrency: {limit}, please try again after 1 seconds",
        429,
        "rate_limit_reached_error",
    ),
    "overloaded": wrong(
        "The engine is currently overloaded, please try again later", 429, "engine_overloaded_error"
    ),
    "server": wrong("server internal error", 500, "server_error"),
}


class KimiSimulator(ChatSimulator):
    """``kimi``: usage inside the choice, the window checked against input and reply together."""

    name = "kimi"
    models = MODELS
    problems = PROBLEMS
    manners = Manners(remote_images=False, partial=True)
    temperatures = (0, 1)
    tool_kinds = frozenset(("function", "builtin_function"))

    def make_cache(self) -> Cache:
        """Not published: a beginning of 256 tokens, a step of one."""
        return PrefixCache(256)

    def routes(self) -> Mapping[str, Handler]:
        """With the counting endpoint."""
        return {**super().routes(), "/tokenizers/estimate-token-count": self._count}

    def headers(self, received: Received) -> dict[str, str]:
        """With the trace id and the limits."""
        return {
            "x-trace-id": f"trace-{received.number:08d}",
            "x-ratelimit-limit": "500",
            "x-ratelimit-remaining": "499",
            "x-ratelimit-reset": "1",
        }

    def envelope(self, problem: Problem) -> Any:
        """Message and type, no code."""
        return {"error": {"message": problem.message, "type": problem.type}}

    def thinks(self, body: Mapping[str, Any], model: Model) -> bool:
        """``thinking: {type}``."""
        if model.thinking in {"never", "always"}:
            return model.thinking == "always"
        return bool((body.get("thinking") or {}).get("type", "enabled") == "enabled")

    def check_params(self, body: Mapping[str, Any], model: Model) -> None:
        """Fixed sampling, thinking, tool choice."""
        kind = (body.get("thinking") or {}).get("type")
        if model.thinking == "always" and kind == "disabled":
            raise self.refuse("thinking", given=kind)
        if model.fixed_sampling:
            only = 1.0 if self.thinks(body, model) else 0.6
            for name, value in (("temperature", only), ("top_p", 0.95)):
                if body.get(name) not in {None, value}:
                    raise self.refuse("fixed", name=name, only=value)
        choice = body.get("tool_choice")
        forced = choice not in {None, "auto", "none"} if isinstance(choice, str | None) else True
        if choice == "required" or (forced and self.thinks(body, model)):
            raise self.refuse("tool_choice", choice="required" if choice == "required" else "specified")
        super().check_params(body, model)

    def check_tools(self, tools: Sequence[Any]) -> None:
        """Names once, every property with a type."""
        super().check_tools(tools)
        names = [(tool.get("function") or {}).get("name") for tool in tools]
        for name in names:
            if names.count(name) > 1:
                raise self.refuse("tool_repeated", name=name)
        for tool in tools:
            for name, schema in (
                ((tool.get("function") or {}).get("parameters") or {}).get("properties", {}).items()
            ):
                if "type" not in schema:
                    raise self.refuse("tool_schema", name=name)

    def check_length(self, body: Mapping[str, Any], model: Model, prompt: int) -> None:
        """Input and the reply asked for must fit together."""
        reply = self.requested(body) or 0
        if prompt + reply > model.window:
            raise self.refuse("overflow", limit=model.window, requested=prompt + reply)

    def usage(self, work: Work) -> dict[str, Any]:
        """Cached tokens beside the others."""
        return {**super().usage(work), "cached_tokens": work.hit.read}

    def unreported(self, work: Work) -> dict[str, Any]:
        """No empty usage."""
        return {}

    def endings(self, work: Work) -> Iterator[dict[str, Any]]:
        """Usage stands inside the choice; asked for, it comes at the top level, too."""
        usage = {"usage": self.usage(work)} if work.answer.usage else {}
        finish = self.chunk(work, {"delta": {}, "finish_reason": work.ending, **usage})
        yield {**finish, "system_fingerprint": "fpv0_10a6da87"}
        if self.wire.finish_twice:
            yield finish
        if self.reports(work):
            yield self.frame(work, "chat.completion.chunk", choices=[], **usage)

    async def _count(self, request: web.Request, received: Received) -> web.StreamResponse:
        body = self.read(received)
        self.model(body.get("model"))
        total = len(counting.prompt(body.get("messages") or ()))
        return web.json_response({"data": {"total_tokens": total}}, headers=self.headers(received))
