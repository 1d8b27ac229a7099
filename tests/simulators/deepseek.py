"""DeepSeek."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .caches import Cache, UnitCache
from .chat import ChatSimulator, Work
from .history import Manners
from .problems import OPENAI, Problem
from .script import Received, Wire
from .server import Handler, Model

LONG, REPLY = 1_000_000, 393_216
MODELS: Mapping[str, Model] = {
    "deepseek-v4-flash": Model(LONG, max_output=REPLY, thinking="on", replay="from_first_call"),
    "deepseek-v4-pro": Model(LONG, max_output=REPLY, thinking="on", replay="from_first_call"),
    "deepseek-chat": Model(LONG, max_output=REPLY),
    "deepseek-reasoner": Model(LONG, max_output=REPLY, thinking="always", replay="from_first_call"),
}
LEAD = "Failed to deserialize the JSON body into the target type: "
EFFORTS = frozenset(("low", "medium", "high", "xhigh", "max"))


def wrong(message: str, status: int = 400) -> Problem:
    """A wrong request, as this provider tells it."""
    return Problem(status, message, "invalid_request_error")


PROBLEMS: dict[str, Problem] = OPENAI | {
    "path": wrong("Not Found", 404),
    "key_missing": wrong("Authentication Fails (auth header format should be Bearer sk-...)", 401),
    "key": wrong("Authentication Fails, Your api key: {key} is invalid", 401)._replace(
        type="authentication_error"
    ),
    "model": wrong("Model Not Exist"),
    "json": wrong(LEAD + "expected value at line 1 column 1"),
    "messages_missing": wrong(LEAD + "missing field `messages` at line 1 column 2", 422),
    "messages_empty": wrong("Empty input messages"),
    "role": wrong(
        LEAD
        + "messages[{index}].role: unknown variant `{role}`, expected one of `system`, `user`, `assistant`, "
        "`tool` at line 1 column 2",
        422,
    ),
    "content_missing": wrong(LEAD + "messages[{index}]: missing field `content` at line 1 column 2", 422),
    "content_empty": wrong("Invalid assistant message: content or tool_calls must be set"),
    "media_refused": wrong(
        LEAD + "messages[{index}]: unknown variant `{kind}`, expected `text` at line 1 column 2", 422
    ),
    "orphan": wrong("Messages with role 'tool' must be a response to a preceding message with 'tool_calls'"),
    "unanswered": wrong(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        "'tool_call_id'. (insufficient tool messages following tool_calls message)"
    ),
    "reasoning_missing": wrong("The reasoning_content in the thinking mode must be passed back to the API."),
    "overflow": wrong(
        "This model's maximum context length is {limit} tokens. However, you requested {requested} tokens "
        "({prompt} in the messages, {reply} in the completion). Please reduce the length of the messages or "
        "completion."
    ),
    "max_tokens": wrong("Invalid max_tokens value, the valid range of max_tokens is [1, {limit}]"),
    "range": wrong("Invalid {name} value, the valid range of {name} is [{low}, {high}]", 422),
    "tool_kind": wrong(
        LEAD + "tools[{index}].type: unknown variant `{kind}`, expected `function` at line 1 column 2", 422
    ),
    "fixed": wrong(LEAD + "{name}: unknown variant `{given}` at line 1 column 2", 422),
    "content_filter": wrong("Content Exists Risk"),
    "billing": Problem(402, "Insufficient Balance", "invalid_request_error", "unknown_error"),
    "quota": Problem(402, "Insufficient Balance", "invalid_request_error", "unknown_error"),
    "rate_limit": Problem(429, "Rate limit reached", "rate_limit_reached", "rate_limit_error"),
    "concurrency": Problem(429, "Rate limit reached", "rate_limit_reached", "rate_limit_error"),
    "overloaded": Problem(503, "Service is too busy.", "service_unavailable_error", "service_unavailable"),
    "server": Problem(500, "Internal Server Error", "internal_error", "internal_error"),
}


class DeepSeekSimulator(ChatSimulator):
    """``deepseek``: comments while a request waits, a cache of units, thinking on unless switched off."""

    name = "deepseek"
    prefix = ""
    models = MODELS
    problems = PROBLEMS
    manners = Manners(empty=frozenset(("system", "user", "tool")))

    @property
    def wire(self) -> Wire:
        """A request waits at least once."""
        wire = super().wire
        return wire if wire.comments else replace(wire, comments=1)

    def make_cache(self) -> Cache:
        """Complete units only."""
        return UnitCache()

    def routes(self) -> Mapping[str, Handler]:
        """With its alias."""
        return {"/chat/completions": self.complete, "/v1/chat/completions": self.complete}

    def headers(self, received: Received) -> dict[str, str]:
        """With a trace id."""
        return {"x-ds-trace-id": f"{received.number:032x}"}

    def thinks(self, body: Mapping[str, Any], model: Model) -> bool:
        """``thinking: {type}``."""
        if model.thinking != "on":
            return model.thinking == "always"
        return bool((body.get("thinking") or {}).get("type", "enabled") == "enabled")

    def check_params(self, body: Mapping[str, Any], model: Model) -> None:
        """Efforts by name."""
        super().check_params(body, model)
        kind = (body.get("thinking") or {}).get("type", "enabled")
        if kind not in {"enabled", "disabled"}:
            raise self.refuse("fixed", name="thinking.type", given=kind)
        if body.get("reasoning_effort") not in {None, *EFFORTS}:
            raise self.refuse("fixed", name="reasoning_effort", given=body["reasoning_effort"])

    def check_length(self, body: Mapping[str, Any], model: Model, prompt: int) -> None:
        """Input and the reply asked for must fit together."""
        reply = self.requested(body) or 0
        if prompt + reply > model.window:
            figures = {"limit": model.window, "requested": prompt + reply, "prompt": prompt, "reply": reply}
            raise self.refuse("overflow", **figures)

    def blanks(self) -> str:
        """Blank lines before a reply that is not streamed, while the request waits."""
        return "\n" * self.wire.comments

    def usage(self, work: Work) -> dict[str, Any]:
        """Hit and miss add up to the prompt."""
        return {
            **super().usage(work),
            "prompt_cache_hit_tokens": work.hit.read,
            "prompt_cache_miss_tokens": len(work.prompt) - work.hit.read,
            "prompt_tokens_details": {"cached_tokens": work.hit.read},
            "completion_tokens_details": {"reasoning_tokens": work.thought},
        }
