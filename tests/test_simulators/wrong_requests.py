"""Requests that are wrong in one way each, and what each provider says to them."""

from __future__ import annotations

from typing import Any, NamedTuple

USER = {"role": "user", "content": "你好，请用 json 回答"}
ASSISTANT = {"role": "assistant", "content": "你好！"}
SYSTEM = {"role": "system", "content": "你是店员。"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
ASKS = {"role": "assistant", "content": "", "tool_calls": [CALL]}
ASKS_BARE = {"role": "assistant", "tool_calls": [CALL]}
THOUGHT = {**ASKS_BARE, "reasoning_content": "想一想"}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "晴"}
ORPHAN = {"role": "tool", "tool_call_id": "call_9", "content": "晴"}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
SEEN = {"role": "user", "content": [PICTURE, {"type": "text", "text": "这是什么"}]}
LISTED = {"role": "user", "content": [{"type": "text", "text": "你好"}]}
UNSAID = {"role": "user", "content": ""}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def tool(**function: Any) -> list[Any]:
    return [{"type": "function", "function": {"name": "weather", **function}}]


class Wrong(NamedTuple):
    """A request that must be refused: model, messages, further fields; status, code or type, words."""

    provider: str
    model: str
    messages: list[Any]
    more: dict[str, Any]
    status: int
    code: str
    words: str


INVALID = "invalid_parameter_error"
REQUEST = "invalid_request_error"
RULES = [
    # Qwen
    Wrong(
        "qwen",
        "qwen-plus",
        [SYSTEM, ASSISTANT],
        {},
        400,
        INVALID,
        "do not contain elements with the role of user",
    ),
    Wrong(
        "qwen", "qwen-plus", [USER, SYSTEM, USER], {}, 400, INVALID, "System message must be at the beginning"
    ),
    Wrong(
        "qwen",
        "qwen-plus",
        [SYSTEM, SYSTEM, USER],
        {},
        400,
        INVALID,
        "System message must be at the beginning",
    ),
    Wrong("qwen", "qwen-plus", [USER, ASSISTANT], {}, 500, "internal_error", "list index out of range"),
    Wrong(
        "qwen",
        "qwen-plus",
        [UNSAID],
        {},
        400,
        INVALID,
        "Role must be user or assistant and Content length must be",
    ),
    Wrong(
        "qwen", "qwen-plus", [{"role": "user"}], {}, 400, INVALID, "The content field is a required field."
    ),
    Wrong("qwen", "qwen-plus", [], {}, 400, INVALID, "[] is too short"),
    Wrong(
        "qwen", "qwen-plus", [{**USER, "role": "developer"}], {}, 400, INVALID, "'developer' is not one of"
    ),
    Wrong("qwen", "qwen-long", [LISTED], {}, 400, INVALID, "input content must be a string."),
    Wrong("qwen", "qwen-plus", [SEEN], {}, 400, INVALID, "input content must be a string."),
    Wrong(
        "qwen",
        "qwen-plus",
        [USER],
        {"tools": tool(name="search")},
        400,
        INVALID,
        "not allowed to be [search]",
    ),
    Wrong("qwen", "qwen-plus", [USER], {"temperature": 3}, 400, INVALID, "temperature should be in [0, 2]"),
    Wrong(
        "qwen",
        "qwen-plus",
        [USER],
        {"max_tokens": 40_000},
        400,
        INVALID,
        "Range of max_tokens should be [1, 32768]",
    ),
    Wrong(
        "qwen", "qwen3.5-plus", [USER], {"thinking_budget": 99_999}, 400, INVALID, "not greater than 81920"
    ),
    Wrong(
        "qwen",
        "qwen3.5-plus",
        [USER],
        {"tool_choice": "required"},
        400,
        INVALID,
        "tool_choice parameter does not",
    ),
    Wrong(
        "qwen",
        "qwen3.5-plus",
        [USER],
        {"response_format": {"type": "json_object"}},
        400,
        INVALID,
        "Json mode response",
    ),
    Wrong(
        "qwen",
        "qwen-plus",
        [{"role": "user", "content": "你好"}],
        {"response_format": {"type": "json_object"}},
        400,
        INVALID,
        "must contain the word 'json'",
    ),
    Wrong("qwen", "qwen3-8b", [USER], {}, 400, INVALID, "must be set to false for non-streaming calls"),
    Wrong(
        "qwen",
        "qwen3.5-plus",
        [USER, {**ASSISTANT, "partial": True}],
        {},
        400,
        INVALID,
        "Partial mode is not supported",
    ),
    Wrong("qwen", "qwen-9", [USER], {}, 404, "model_not_found", "The model `qwen-9` does not exist"),
    # Kimi
    Wrong(
        "kimi", "moonshot-v1-8k", [UNSAID], {}, 400, REQUEST, "position 0 with role 'user' must not be empty"
    ),
    Wrong(
        "kimi",
        "kimi-k2.6",
        [USER, {**THOUGHT, "content": [{"type": "text", "text": ""}]}, RESULT],
        {},
        400,
        REQUEST,
        "text content is empty",
    ),
    Wrong(
        "kimi",
        "kimi-k2.6",
        [USER, ASKS_BARE, RESULT],
        {},
        400,
        REQUEST,
        "thinking is enabled but reasoning_content",
    ),
    Wrong(
        "kimi",
        "kimi-k2-thinking",
        [USER, ASKS_BARE, RESULT],
        {},
        400,
        REQUEST,
        "reasoning_content is missing",
    ),
    Wrong(
        "kimi", "kimi-k2.7-code", [USER, ASSISTANT, USER], {}, 400, REQUEST, "reasoning_content is missing"
    ),
    Wrong(
        "kimi",
        "kimi-k2.7-code",
        [USER],
        {"thinking": {"type": "disabled"}},
        400,
        REQUEST,
        "only type=enabled is allowed",
    ),
    Wrong(
        "kimi",
        "kimi-k2.6",
        [USER],
        {"temperature": 0.3},
        400,
        REQUEST,
        "invalid temperature: only 1.0 is allowed",
    ),
    Wrong("kimi", "kimi-k2.6", [USER], {"top_p": 0.5}, 400, REQUEST, "invalid top_p: only 0.95 is allowed"),
    Wrong(
        "kimi",
        "moonshot-v1-8k",
        [USER],
        {"temperature": 1.5},
        400,
        REQUEST,
        "temperature must be between 0 and 1",
    ),
    Wrong(
        "kimi", "moonshot-v1-8k", [USER], {"tool_choice": "required"}, 400, REQUEST, "tool_choice 'required'"
    ),
    Wrong(
        "kimi",
        "kimi-k2.6",
        [USER],
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "weather"}}},
        400,
        REQUEST,
        "tool_choice 'specified'",
    ),
    Wrong(
        "kimi",
        "moonshot-v1-8k",
        [USER],
        {"tools": [TOOL, TOOL]},
        400,
        REQUEST,
        "function name weather is duplicated",
    ),
    Wrong(
        "kimi",
        "moonshot-v1-8k",
        [USER],
        {"tools": tool(parameters={"type": "object", "properties": {"city": {}}})},
        400,
        REQUEST,
        "At path 'properties.city': type is not defined",
    ),
    Wrong("kimi", "kimi-k2.6", [SEEN], {}, 400, REQUEST, "unsupported image url: https://example.com/a.png"),
    Wrong("kimi", "moonshot-v1-8k", [LISTED], {}, 400, REQUEST, "must be a string"),
    Wrong(
        "kimi",
        "moonshot-v1-8k",
        [{**USER, "role": "developer"}],
        {},
        400,
        REQUEST,
        "unknown role 'developer'",
    ),
    Wrong(
        "kimi",
        "kimi-k9",
        [USER],
        {},
        404,
        "resource_not_found_error",
        "Not found the model kimi-k9 or Permission",
    ),
    Wrong(
        "kimi",
        "moonshot-v1-8k",
        [USER],
        {"max_tokens": 8_190},
        400,
        REQUEST,
        "exceeded model token limit: 8192",
    ),
    # DeepSeek
    Wrong(
        "deepseek",
        "deepseek-v4-flash",
        [USER, ASKS_BARE, RESULT],
        {},
        400,
        REQUEST,
        "The reasoning_content in the thinking mode must be passed back to the API.",
    ),
    Wrong(
        "deepseek",
        "deepseek-v4-pro",
        [USER, THOUGHT, RESULT, ASSISTANT, USER],
        {},
        400,
        REQUEST,
        "The reasoning_content in the thinking mode must be passed back to the API.",
    ),
    Wrong(
        "deepseek",
        "deepseek-chat",
        [{"role": "user"}],
        {},
        422,
        REQUEST,
        "messages[0]: missing field `content`",
    ),
    Wrong(
        "deepseek",
        "deepseek-chat",
        [USER],
        {"tools": [{"type": "builtin_function"}]},
        422,
        REQUEST,
        "unknown variant `builtin_function`",
    ),
    Wrong(
        "deepseek", "deepseek-chat", [SEEN], {}, 422, REQUEST, "unknown variant `image_url`, expected `text`"
    ),
    Wrong("deepseek", "deepseek-chat", [USER], {"temperature": 3}, 422, REQUEST, "Invalid temperature value"),
    Wrong(
        "deepseek",
        "deepseek-chat",
        [{**USER, "role": "developer"}],
        {},
        422,
        REQUEST,
        "unknown variant `developer`",
    ),
    Wrong(
        "deepseek",
        "deepseek-chat",
        [USER],
        {"reasoning_effort": "silly"},
        422,
        REQUEST,
        "unknown variant `silly`",
    ),
    Wrong(
        "deepseek",
        "deepseek-chat",
        [USER],
        {"thinking": {"type": "auto"}},
        422,
        REQUEST,
        "unknown variant `auto`",
    ),
    Wrong(
        "deepseek",
        "deepseek-chat",
        [USER, {"role": "assistant", "content": ""}, USER],
        {},
        400,
        REQUEST,
        "must be set",
    ),
    Wrong(
        "deepseek", "deepseek-chat", [USER], {"max_tokens": 400_000}, 400, REQUEST, "Invalid max_tokens value"
    ),
    Wrong("deepseek", "deepseek-0", [USER], {}, 400, REQUEST, "Model Not Exist"),
    # GLM
    Wrong("glm", "glm-5.2", [SYSTEM, ASSISTANT], {}, 400, "1214", "messages 参数非法"),
    Wrong("glm", "glm-5.2", [], {}, 400, "1214", "messages 参数非法"),
    Wrong("glm", "glm-5.2", [UNSAID], {}, 400, "1213", "未正常接收到 prompt 参数"),
    Wrong("glm", "glm-5.2", [USER], {"tool_choice": "required"}, 400, "1214", "tool_choice required"),
    Wrong("glm", "glm-5.2", [USER], {"temperature": 1.5}, 400, "1210", "temperature"),
    Wrong("glm", "glm-9", [USER], {}, 400, "1211", "模型不存在"),
    # StepFun
    Wrong(
        "stepfun",
        "step-1-32k",
        [{"role": "user"}],
        {},
        400,
        "request_params_invalid",
        "expected a string, got null",
    ),
    Wrong(
        "stepfun",
        "step-3.7-flash",
        [USER],
        {"reasoning_effort": "max"},
        400,
        "request_params_invalid",
        "does not take",
    ),
    Wrong(
        "stepfun", "step-1-32k", [SEEN], {}, 400, "request_params_invalid", "only supported by certain models"
    ),
    Wrong("stepfun", "step-9", [USER], {}, 404, "model_not_found", "The model step-9 does not exist"),
    # Ark
    Wrong(
        "ark",
        "ep-20260101000000-test1",
        [],
        {},
        400,
        "MissingParameter.messages",
        "missing `messages` parameter",
    ),
    Wrong(
        "ark",
        "ep-20260101000000-test1",
        [UNSAID],
        {},
        400,
        "MissingParameter.messages.content",
        "messages.content",
    ),
    Wrong(
        "ark",
        "ep-9",
        [USER],
        {},
        404,
        "InvalidEndpointOrModel.NotFound",
        "The model or endpoint ep-9 does not exist",
    ),
    # SiliconFlow
    Wrong(
        "siliconflow", "Qwen/Qwen3-8B", [USER], {"thinking_budget": 64}, 400, "20015", "between 128 and 32768"
    ),
    Wrong(
        "siliconflow",
        "Qwen/Qwen2.5-7B-Instruct",
        [USER],
        {"enable_thinking": True},
        400,
        "20015",
        "does not support parameter `enable_thinking`",
    ),
    Wrong("siliconflow", "Nobody/none", [USER], {}, 400, "20012", "Model does not exist."),
    # OpenAI
    Wrong(
        "openai", "gpt-4o", [USER], {"enable_thinking": True}, 400, "unknown_parameter", "'enable_thinking'"
    ),
    Wrong(
        "openai",
        "gpt-4o",
        [USER, {**ASSISTANT, "reasoning_content": "x"}, USER],
        {},
        400,
        "unknown_parameter",
        "'messages[1].reasoning_content'",
    ),
    Wrong(
        "openai",
        "gpt-5",
        [USER],
        {"max_tokens": 10},
        400,
        "unsupported_parameter",
        "Use 'max_completion_tokens'",
    ),
    Wrong(
        "openai", "gpt-5", [USER], {"temperature": 0.2}, 400, REQUEST, "'temperature' does not support 0.2"
    ),
    Wrong("openai", "gpt-5", [USER], {"reasoning_effort": "silly"}, 400, REQUEST, "does not support silly"),
    Wrong("openai", "gpt-4o", [USER], {"temperature": 2.5}, 400, "decimal_out_of_range", "'temperature'"),
    Wrong(
        "openai",
        "gpt-4o",
        [USER],
        {"max_tokens": 99_999},
        400,
        "invalid_value",
        "at most 16384 completion tokens",
    ),
    Wrong("openai", "gpt-4o", [], {}, 400, "empty_array", "Invalid 'messages': empty array"),
    Wrong("openai", "gpt-4o", [{"role": "user"}], {}, 400, REQUEST, "expected a string, got null"),
    Wrong(
        "openai", "gpt-4o", [{**USER, "role": "robot"}], {}, 400, "invalid_value", "Invalid value: 'robot'"
    ),
    Wrong("openai", "gpt-3.5-turbo", [SEEN], {}, 400, REQUEST, "only supported by certain models"),
    Wrong("openai", "gpt-0", [USER], {}, 404, "model_not_found", "The model `gpt-0` does not exist"),
    # the relay
    Wrong("zhizengzeng", "gpt-0", [USER], {}, 404, "model_not_found", "The model `gpt-0` does not exist"),
]
