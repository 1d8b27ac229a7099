"""What does a refusal say? Problems by name, each provider's status, code and words for them.

The table here is OpenAI's; a provider's module holds what its own says differently. Where a provider's
words are not published, the sentence is ours and says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Problem(NamedTuple):
    """A refusal before it is written in a provider's envelope. ``message`` may name figures."""

    status: int
    message: str
    code: str | None = None
    type: str | None = "invalid_request_error"
    param: str | None = None

    def told(self, **figures: object) -> Problem:
        """The same with its figures filled in."""
        param = self.param.format_map(figures) if self.param else None
        return self._replace(message=self.message.format_map(figures), param=param)


class Refusal(Exception):
    """Ends the handling of a request with a problem."""

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.message)
        self.problem = problem
        self.headers = dict(headers or {})


BY_STATUS = {
    400: "bad_request",
    401: "key",
    402: "billing",
    403: "forbidden",
    404: "model",
    408: "timeout",
    422: "bad_request",
    429: "rate_limit",
    503: "overloaded",
    504: "timeout",
}
"""Which problem a fault means that names only its status; any other is ``server``."""

OPENAI: dict[str, Problem] = {
    "path": Problem(404, "Invalid URL ({method} {path})"),
    "key_missing": Problem(
        401,
        "You didn't provide an API key. You need to provide your API key in an Authorization header using "
        "Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
    ),
    "key": Problem(401, "Incorrect API key provided: {key}.", "invalid_api_key"),
    "forbidden": Problem(403, "You are not allowed to use this.", "unsupported_country_region_territory"),
    "model": Problem(
        404, "The model `{model}` does not exist or you do not have access to it.", "model_not_found"
    ),
    "json": Problem(400, "We could not parse the JSON body of your request."),
    "bad_request": Problem(400, "The request is not valid."),
    "messages_missing": Problem(
        400, "Missing required parameter: 'messages'.", "missing_required_parameter", param="messages"
    ),
    "messages_empty": Problem(
        400,
        "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array "
        "instead.",
        "empty_array",
        param="messages",
    ),
    "role": Problem(
        400,
        "Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', "
        "and 'developer'.",
        "invalid_value",
        param="messages[{index}].role",
    ),
    "content_missing": Problem(
        400,
        "Invalid value for 'content': expected a string, got null.",
        param="messages.[{index}].content",
    ),
    "content_empty": Problem(400, "Message content must not be empty.", param="messages.[{index}].content"),
    "text_empty": Problem(400, "text content is empty", param="messages.[{index}].content"),
    "list_refused": Problem(
        400, "Invalid type for 'messages[{index}].content': expected a string, but got an array instead."
    ),
    "media_refused": Problem(
        400, "Invalid content type. {kind} is only supported by certain models.", param="messages.[{index}]"
    ),
    "media_url": Problem(400, "Invalid image: {url}"),
    "orphan": Problem(
        400,
        "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
        "'tool_calls'.",
        param="messages.[{index}].role",
    ),
    "unanswered": Problem(
        400,
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        "'tool_call_id'. The following tool_call_ids did not have response messages: {missing}",
        param="messages.[{index}].role",
    ),
    "field_refused": Problem(
        400, "Unknown parameter: 'messages[{index}].{field}'.", "unknown_parameter", param="messages"
    ),
    "system_place": Problem(400, "System message must be at the beginning.", param="messages.[{index}].role"),
    "no_user": Problem(400, "The messages hold none of the role user."),
    "last_role": Problem(400, "The last message must be one of the user or of a tool."),
    "reasoning_missing": Problem(400, "reasoning_content is missing in the message at index {index}"),
    "overflow": Problem(
        400,
        "This model's maximum context length is {limit} tokens. However, your messages resulted in {prompt} "
        "tokens. Please reduce the length of the messages.",
        "context_length_exceeded",
        param="messages",
    ),
    "max_tokens": Problem(
        400,
        "{name} is too large: {given}. This model supports at most {limit} completion tokens, whereas you "
        "provided {given}.",
        "invalid_value",
        param="{name}",
    ),
    "range": Problem(
        400,
        "Invalid '{name}': expected a value between {low} and {high}, but got {given} instead.",
        "decimal_out_of_range",
        param="{name}",
    ),
    "fixed": Problem(
        400, "Unsupported value: '{name}' does not support {given} with this model.", param="{name}"
    ),
    "param_unknown": Problem(400, "Unknown parameter: '{name}'.", "unknown_parameter", param="{name}"),
    "param_refused": Problem(
        400,
        "Unsupported parameter: '{name}' is not supported with this model. {hint}",
        "unsupported_parameter",
        param="{name}",
    ),
    "tool_kind": Problem(
        400, "Invalid value: '{kind}'. Supported values are: 'function' and 'custom'.", "invalid_value"
    ),
    "tool_name": Problem(400, "Invalid 'tools': the name {name} is not allowed.", param="tools"),
    "tool_repeated": Problem(400, "Invalid 'tools': the name {name} is used twice.", param="tools"),
    "tool_schema": Problem(400, "Invalid schema for function: '{name}' has no type.", param="tools"),
    "tool_choice": Problem(400, "tool_choice {choice} is not supported here", param="tool_choice"),
    "thinking": Problem(
        400, "This thinking setting is not supported by the model: {given}", param="thinking"
    ),
    "json_word": Problem(
        400,
        "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
        "'json_object'.",
        param="messages",
    ),
    "json_mode": Problem(400, "Json mode response is not supported when enable_thinking is true"),
    "stream_only": Problem(400, "This model only supports streaming."),
    "content_filter": Problem(400, "The request was refused by the content filter.", "content_filter"),
    "billing": Problem(402, "Insufficient Balance", "insufficient_balance"),
    "rate_limit": Problem(
        429,
        "Rate limit reached for requests. Please try again in 20s.",
        "rate_limit_exceeded",
        "requests",
    ),
    "quota": Problem(
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
        "insufficient_quota",
    ),
    "concurrency": Problem(429, "Too many requests at once.", "rate_limit_exceeded", "requests"),
    "overloaded": Problem(
        503, "The engine is currently overloaded, please try again later", None, "service_unavailable"
    ),
    "timeout": Problem(408, "Request timed out.", None, "timeout"),
    "server": Problem(
        500, "The server had an error while processing your request. Sorry about that!", None, "server_error"
    ),
}
