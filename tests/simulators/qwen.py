"""DashScope in OpenAI-compatible mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from . import counting
from .caches import Cache, Hit, MarkerCache, PrefixCache
from .chat import ChatSimulator, Work
from .embeddings import Embedding, Embeds
from .history import Manners
from .problems import OPENAI, Problem
from .script import Received, Script
from .server import Handler, Model

FILMS = frozenset(("image", "video"))
BUDGET = 81_920
MODELS: Mapping[str, Model] = {
    "qwen3-max": Model(262_144, 258_048, 65_536),
    "qwen-plus": Model(1_000_000, 129_024, 32_768, "off", BUDGET),
    "qwen-flash": Model(1_000_000, 997_952, 32_768, "off", BUDGET),
    "qwen-turbo": Model(1_000_000, 1_000_000, 16_384, "off", 38_912),
    "qwen3.5-plus": Model(1_000_000, 991_808, 65_536, "on", BUDGET, media=FILMS, multimodal_path=True),
    "qwen3.6-plus": Model(1_000_000, 991_808, 65_536, "on", BUDGET, media=FILMS, multimodal_path=True),
    "qwen3.7-plus": Model(
        1_000_000, 991_808, 65_536, "on", 262_144, media=frozenset(("image",)), multimodal_path=True
    ),
    "qwen3.7-max": Model(1_000_000, 991_808, 65_536, "on", 262_144),
    "qwen3-vl-plus": Model(262_144, 260_096, 32_768, "off", BUDGET, media=FILMS, multimodal_path=True),
    "qwen3-vl-flash": Model(262_144, 260_096, 32_768, "off", BUDGET, media=FILMS, multimodal_path=True),
    "qwen3-8b": Model(131_072, 129_024, 8_192, "on", 38_912, stream_only=True),
    "qwq-plus": Model(131_072, 98_304, 8_192, "always", 32_768, stream_only=True),
    "qwen-long": Model(10_000_000, 10_000_000, 8_192, lists=False),
}
SIZES = (64, 128, 256, 512, 768, 1024, 1536, 2048)
EMBEDDINGS: Mapping[str, Embedding] = {
    "text-embedding-v4": Embedding(1024, SIZES, batch=10),
    "text-embedding-v3": Embedding(1024, (512, 768, 1024), batch=6),
    "text-embedding-v2": Embedding(1536, batch=25, max_tokens=2_048),
}
COUNTING = "/api/v1/tokenizer"
"""Where tokens are counted: in the native protocol."""
LEAD = "<400> InternalError.Algo.InvalidParameter: "


def wrong(message: str, status: int = 400, code: str = "invalid_parameter_error") -> Problem:
    """A wrong parameter, as this provider tells it."""
    return Problem(status, message, code, "invalid_request_error")


PROBLEMS: dict[str, Problem] = OPENAI | {
    "path": Problem(404, "Not Found", "not_found", "invalid_request_error"),
    "key_missing": wrong("You didn't provide an API key.", 401, "invalid_api_key"),
    "key": wrong("Incorrect API key provided.", 401, "invalid_api_key"),
    "forbidden": Problem(403, "Access denied.", "access_denied", "access_denied"),
    "model": wrong(
        "The model `{model}` does not exist or you do not have access to it.", 404, "model_not_found"
    ),
    "json": wrong("Required body invalid, please check the request body format."),
    "bad_request": wrong(LEAD + "The request is not valid."),
    "messages_missing": wrong("you must provide a messages parameter"),
    "messages_empty": wrong("[] is too short - 'messages'"),
    "role": wrong(
        "'{role}' is not one of ['system', 'assistant', 'user', 'tool', 'function'] - 'messages.{index}.role'"
    ),
    "content_missing": wrong(LEAD + "The content field is a required field."),
    "content_empty": wrong(LEAD + "Role must be user or assistant and Content length must be greater than 0"),
    "text_empty": wrong(LEAD + "Role must be user or assistant and Content length must be greater than 0"),
    "list_refused": wrong(LEAD + "input content must be a string."),
    "media_refused": wrong(LEAD + "input content must be a string."),
    "orphan": wrong(
        LEAD + 'messages with role "tool" must be a response to a preceeding message with "tool_calls".'
    ),
    "unanswered": wrong(
        LEAD + 'An assistant message with "tool_calls" must be followed by tool messages responding to each '
        '"tool_call_id". The following tool_call_ids did not have response messages: {missing}'
    ),
    "system_place": wrong(LEAD + "System message must be at the beginning."),
    "no_user": wrong(LEAD + "The input messages do not contain elements with the role of user."),
    "last_role": Problem(500, "list index out of range", "internal_error", "internal_error"),
    "overflow": wrong(LEAD + "Range of input length should be [1, {limit}]"),
    "max_tokens": wrong(LEAD + "Range of max_tokens should be [1, {limit}]"),
    "range": wrong(LEAD + "{name} should be in [{low}, {high}], got {given}"),
    "tool_kind": wrong(LEAD + "Tool type must be function, got {kind}"),
    "tool_name": wrong(LEAD + "Tool names are not allowed to be [{name}]"),
    "tool_choice": wrong(
        LEAD + "The tool_choice parameter does not support being set to required or object in thinking mode"
    ),
    "thinking": wrong(
        LEAD + "The thinking_budget parameter must be a positive integer and not greater than {limit}"
    ),
    "partial": wrong(LEAD + "Partial mode is not supported when enable_thinking is true"),
    "stream_only": wrong("parameter.enable_thinking must be set to false for non-streaming calls"),
    "json_word": wrong(
        LEAD + "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
        "'json_object'."
    ),
    "json_mode": wrong(LEAD + "Json mode response is not supported when enable_thinking is true"),
    "content_filter": Problem(
        400,
        "Input data may contain inappropriate content.",
        "data_inspection_failed",
        "data_inspection_failed",
    ),
    "output_filter": Problem(
        400,
        "Output data may contain inappropriate content.",
        "data_inspection_failed",
        "data_inspection_failed",
    ),
    "billing": Problem(
        400,
        "Access denied, please make sure your account is in good standing.",
        "Arrearage",
        "Arrearage",
    ),
    "rate_limit": Problem(
        429,
        "You have exceeded your current request limit.",
        "limit_requests",
        "limit_requests",
    ),
    "burst": Problem(
        429,
        "Request rate increased too quickly. To ensure system stability, please adjust your client logic to "
        "scale requests more smoothly over time.",
        "limit_burst_rate",
        "limit_burst_rate",
    ),
    "quota": Problem(
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
        "insufficient_quota",
    ),
    "free_quota": Problem(429, "Free allocated quota exceeded.", "insufficient_quota", "insufficient_quota"),
    "concurrency": Problem(429, "Too many requests.", "limit_requests", "limit_requests"),
    "overloaded": Problem(503, "The model is not available now.", "ModelServingError", "server_error"),
    "timeout": Problem(500, "Request timed out, please try again later.", "RequestTimeOut", "server_error"),
    "server": Problem(
        500, "An internal error has occured, please try again later.", "internal_error", "internal_error"
    ),
}


class QwenSimulator(Embeds, ChatSimulator):
    """``qwen``."""

    name = "qwen"
    prefix = "/compatible-mode/v1"
    models = MODELS
    embeddings = EMBEDDINGS
    problems = PROBLEMS
    output_fields = ("max_tokens", "max_completion_tokens")
    manners = Manners(system="first", user_needed=True, last_user=True, partial=True)

    def __init__(self, script: Script | None = None, **options: Any) -> None:
        super().__init__(script, **options)
        self.markers = MarkerCache(self.clock)

    def elsewhere(self) -> Mapping[str, Handler]:
        """The endpoint that counts."""
        return {COUNTING: self.count}

    async def count(self, request: web.Request, received: Received) -> web.StreamResponse:
        """Count tokens."""
        body = self.read(received)
        self.model(body.get("model"))
        tokens = counting.prompt(self.counted(body.get("input") or {}))
        output = {"token_ids": list(range(len(tokens))), "tokens": tokens}
        number = f"req-{received.number:08d}"
        return web.json_response(
            {"output": output, "usage": {"input_tokens": len(tokens)}, "request_id": number}
        )

    def counted(self, given: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The messages to count."""
        found = given.get("messages")
        return found if isinstance(found, list) else []

    def make_cache(self) -> Cache:
        """Implicit: 256 tokens at least, a step of one token (its true step is not published)."""
        return PrefixCache(256)

    def headers(self, received: Received) -> dict[str, str]:
        """The request's id is a header, too."""
        return {"x-request-id": f"req-{received.number:08d}"}

    def envelope(self, problem: Problem) -> Any:
        """With a request id beside the error."""
        return {**super().envelope(problem), "request_id": f"req-{len(self.requests):08d}"}

    def thinks(self, body: Mapping[str, Any], model: Model) -> bool:
        """``enable_thinking`` at the top level."""
        return thinking(body.get("enable_thinking"), model)

    def check_params(self, body: Mapping[str, Any], model: Model) -> None:
        """What thinking excludes, besides the ordinary ranges."""
        super().check_params(body, model)
        check_thinking(self, body, model, streaming=bool(body.get("stream")))
        kind = (body.get("response_format") or {}).get("type")
        if kind == "json_object" and "json" not in str(body.get("messages")).lower():
            raise self.refuse("json_word")

    def check_tools(self, tools: Sequence[Any]) -> None:
        """A tool may not be called ``search``."""
        super().check_tools(tools)
        for tool in tools:
            if (tool.get("function") or {}).get("name") == "search":
                raise self.refuse("tool_name", name="search")

    def look(self, body: Mapping[str, Any], prompt: Sequence[str]) -> Hit:
        """Explicit where a marker stands, else implicit."""
        blocks = counting.blocks(body["messages"], body.get("tools") or ())
        if any(block.marked for block in blocks):
            return self.markers.look(blocks)
        return super().look(body, prompt)

    def keep(self, work: Work) -> None:
        """The two caches exclude each other."""
        if work.hit.explicit:
            self.markers.keep(counting.blocks(work.body["messages"], work.body.get("tools") or ()))
        else:
            super().keep(work)

    def usage(self, work: Work) -> dict[str, Any]:
        """With the details of prompt and reply."""
        details: dict[str, Any] = {"cached_tokens": work.hit.read, "text_tokens": len(work.prompt)}
        if work.hit.explicit:
            details |= {
                "cache_creation_input_tokens": work.hit.written,
                "cache_creation": {"ephemeral_5m_input_tokens": work.hit.written},
                "cache_type": "ephemeral",
            }
        spoken: dict[str, Any] = {"text_tokens": work.said}
        if work.answer.reasoning is not None:
            spoken["reasoning_tokens"] = work.thought
        return {
            **super().usage(work),
            "prompt_tokens_details": details,
            "completion_tokens_details": spoken,
        }


def thinking(switch: object, model: Model) -> bool:
    """Whether a Qwen model thinks with its switch so."""
    if model.thinking in {"never", "always"}:
        return model.thinking == "always"
    return bool(switch) if switch is not None else model.thinking == "on"


def check_thinking(
    simulator: ChatSimulator, params: Mapping[str, Any], model: Model, *, streaming: bool
) -> None:
    """The rules both protocols share: budget, tool choice, JSON mode, partial mode, streaming."""
    budget = params.get("thinking_budget")
    if budget is not None and not (
        isinstance(budget, int) and 1 <= budget <= (model.thinking_budget or BUDGET)
    ):
        raise simulator.refuse("thinking", limit=model.thinking_budget or BUDGET)
    if not thinking(params.get("enable_thinking"), model):
        return
    if model.stream_only and not streaming:
        raise simulator.refuse("stream_only")
    if (
        params.get("tool_choice") not in {None, "auto", "none"}
        if not isinstance(params.get("tool_choice"), dict)
        else True
    ):
        raise simulator.refuse("tool_choice")
    if (params.get("response_format") or {}).get("type") == "json_object":
        raise simulator.refuse("json_mode")
    messages = params.get("messages") or [{}]
    if isinstance(messages[-1], dict) and messages[-1].get("partial"):
        raise simulator.refuse("partial")
