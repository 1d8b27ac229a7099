"""Does each simulator refuse what its provider refuses, with the provider's status, code and words?

One wrong request for each rule, sent by the real `openai` package. Each starts from a request that is
taken, so nothing but the rule can be the reason.
"""

from __future__ import annotations

import threading
from typing import Any

import openai
import pytest
from tests.simulators import Answer, Call, Model, Script, serve

from .test_openai_client import PLAIN, THINKING
from .wrong_requests import (
    ASKS,
    ASKS_BARE,
    ASSISTANT,
    CALL,
    INVALID,
    ORPHAN,
    REQUEST,
    RESULT,
    RULES,
    SEEN,
    SYSTEM,
    THOUGHT,
    TOOL,
    USER,
    Wrong,
)

ORPHAN_WORDS = {
    "qwen": 'messages with role "tool" must be a response to a preceeding message with "tool_calls"',
    "kimi": "tool_call_id  is not found",
    "deepseek": "Messages with role 'tool' must be a response to a preceding message with 'tool_calls'",
}
UNANSWERED_WORDS = {
    "qwen": 'must be followed by tool messages responding to each "tool_call_id"',
    "deepseek": "(insufficient tool messages following tool_calls message)",
}
BAD_CODE = {
    "qwen": "invalid_parameter_error",
    "kimi": "invalid_request_error",
    "stepfun": "request_params_invalid",
    "zhizengzeng": "invalid_request_error",
    "deepseek": "invalid_request_error",
    "glm": "1214",
    "ark": "InvalidParameter",
    "siliconflow": "20015",
    "openai": "invalid_request_error",
}
PAIRS = [
    Wrong(
        provider,
        model,
        messages,
        {},
        400,
        BAD_CODE[provider],
        words.get(provider, default),
    )
    for provider, model in PLAIN.items()
    for messages, words, default in (
        (
            [USER, ORPHAN],
            ORPHAN_WORDS,
            "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'",
        ),
        (
            [USER, ASKS_BARE, RESULT, ORPHAN],
            ORPHAN_WORDS,
            "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'",
        ),
        (
            [USER, ASKS_BARE, USER],
            UNANSWERED_WORDS,
            "must be followed by tool messages responding to each 'tool_call_id'",
        ),
        (
            [USER, ASKS_BARE],
            UNANSWERED_WORDS,
            "must be followed by tool messages responding to each 'tool_call_id'",
        ),
        (
            [USER, {**ASKS_BARE, "tool_calls": [CALL, {**CALL, "id": "call_2"}]}, RESULT, USER],
            UNANSWERED_WORDS,
            "must be followed by tool messages responding to each 'tool_call_id'",
        ),
    )
]


def send(sdk: openai.OpenAI, wrong: Wrong) -> None:
    body = {"messages": wrong.messages, **wrong.more}
    sdk.chat.completions.create(model=wrong.model, messages=[], extra_body=body)


def told(error: openai.APIStatusError) -> tuple[str, str]:
    """Code (or type) and words of an error, in whatever envelope it came."""
    body = error.response.json()
    if isinstance(body, str):
        return "", body
    inner = body.get("error", body)
    return str(inner.get("code") or inner.get("type")), inner["message"]


@pytest.mark.parametrize("wrong", [*PAIRS, *RULES], ids=lambda w: f"{w.provider}-{w.words[:28]}")
def test_a_wrong_request_is_refused_in_the_providers_words(wrong: Wrong) -> None:
    with (
        serve(wrong.provider, "好") as simulator,
        openai.OpenAI(base_url=simulator.base_url, api_key=simulator.key, max_retries=0) as sdk,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        send(sdk, wrong)
    assert caught.value.status_code == wrong.status
    code, words = told(caught.value)
    assert wrong.words in words
    assert code == wrong.code
    assert [received.status for received in simulator.requests] == [wrong.status]


RIGHT = [
    (
        "qwen",
        "qwen-plus",
        [SYSTEM, USER, ASKS, RESULT, ASSISTANT, USER],
        {"tools": [TOOL], "temperature": 1.9},
    ),
    ("qwen", "qwen-plus", [USER, {**ASSISTANT, "partial": True}], {}),
    ("qwen", "qwen3.5-plus", [SEEN], {"thinking_budget": 81_920}),
    ("qwen", "qwen3.5-plus", [USER, THOUGHT, RESULT], {"tools": [TOOL], "preserve_thinking": True}),
    ("kimi", "kimi-k2.6", [USER, THOUGHT, RESULT], {"tools": [TOOL], "temperature": 1.0}),
    ("kimi", "kimi-k2.6", [USER, {**THOUGHT, "reasoning_content": ""}, RESULT], {}),
    ("kimi", "kimi-k2.6", [USER, ASKS_BARE, RESULT], {"thinking": {"type": "disabled"}, "temperature": 0.6}),
    ("kimi", "kimi-k2.7-code", [USER, {**ASSISTANT, "reasoning_content": " "}, USER], {}),
    ("kimi", "moonshot-v1-8k", [USER, SYSTEM, USER, ASKS_BARE, RESULT], {"prompt_cache_key": "chat-1"}),
    ("deepseek", "deepseek-v4-flash", [USER, ASSISTANT, USER], {}),
    ("deepseek", "deepseek-v4-flash", [USER, ASSISTANT, USER, THOUGHT, RESULT], {"tools": [TOOL]}),
    ("deepseek", "deepseek-v4-flash", [USER, ASKS_BARE, RESULT], {"thinking": {"type": "disabled"}}),
    ("glm", "glm-5.2", [SYSTEM, USER, ASKS_BARE, RESULT], {"thinking": {"clear_thinking": False}}),
    (
        "openai",
        "gpt-5",
        [{**USER, "role": "developer"}, USER],
        {"max_completion_tokens": 10, "temperature": 1},
    ),
    (
        "openai",
        "gpt-4o",
        [{**SYSTEM, "content": ""}, {**USER, "name": "alice"}, ASKS_BARE, RESULT],
        {"tools": [TOOL]},
    ),
    (
        "zhizengzeng",
        "gpt-4o",
        [{**USER, "role": "developer"}, {"role": "user", "content": ""}],
        {"anything": 1},
    ),
]


@pytest.mark.parametrize("right", RIGHT, ids=lambda right: right[1])
def test_a_right_request_near_the_rules_is_taken(right: tuple[str, str, list[Any], dict[str, Any]]) -> None:
    provider, model, messages, more = right
    with (
        serve(provider, "好") as simulator,
        openai.OpenAI(base_url=simulator.base_url, api_key=simulator.key, max_retries=0) as sdk,
    ):
        reply = sdk.chat.completions.create(
            model=model, messages=[], extra_body={"messages": messages, **more}
        )
    assert reply.choices[0].message.content == "好"


def test_glm_takes_a_tool_loop_without_its_thinking_but_it_is_noted() -> None:
    with (
        serve("glm", "好") as simulator,
        openai.OpenAI(base_url=simulator.base_url, api_key=simulator.key, max_retries=0) as sdk,
    ):
        body = {"messages": [USER, ASKS_BARE, RESULT]}
        sdk.chat.completions.create(model="glm-5.2", messages=[], extra_body=body)
    assert simulator.requests[0].notes == ["reasoning left out of the tool loop at message 1"]


OVERFLOW = {
    "qwen": (INVALID, "Range of input length should be [1, 50]"),
    "kimi": (REQUEST, "exceeded model token limit: 50 (requested: "),
    "stepfun": ("request_params_invalid", "maximum context length is 50 tokens"),
    "zhizengzeng": ("context_length_exceeded", "maximum context length is 50 tokens"),
    "deepseek": (REQUEST, "maximum context length is 50 tokens. However, you requested"),
    "glm": ("1261", "Prompt exceeds max length"),
    "ark": ("OutofContextError", "Total tokens of image and text exceed max message tokens"),
    "siliconflow": ("20015", "must be less than max_seq_len (50)"),
    "openai": ("context_length_exceeded", "maximum context length is 50 tokens"),
}


@pytest.mark.parametrize("provider", PLAIN)
def test_a_prompt_longer_than_the_window_is_refused(provider: str) -> None:
    code, words = OVERFLOW[provider]
    small = {"tiny": Model(50)}
    with (
        serve(provider, "好", models=small) as simulator,
        openai.OpenAI(base_url=simulator.base_url, api_key=simulator.key, max_retries=0) as sdk,
    ):
        fits: Any = [{"role": "user", "content": "字" * 47}]
        assert sdk.chat.completions.create(model="tiny", messages=fits).choices[0].message.content == "好"
        with pytest.raises(openai.BadRequestError) as caught:
            sdk.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "字" * 48}])
    found, text = told(caught.value)
    assert words in text
    assert found == code


KEYS = {
    "qwen": "Incorrect API key provided",
    "kimi": "Incorrect API key provided",
    "stepfun": "Incorrect API key provided",
    "zhizengzeng": "Incorrect API key provided",
    "deepseek": "Authentication Fails",
    "glm": "Authorization Token 非法",
    "ark": "The API key or AK/SK in the request is missing or invalid",
    "siliconflow": "Invalid token",
    "openai": "Incorrect API key provided: sk-w****.",
}


@pytest.mark.parametrize("provider", PLAIN)
def test_a_wrong_key_is_refused(provider: str) -> None:
    with (
        serve(provider, "好") as simulator,
        openai.OpenAI(base_url=simulator.base_url, api_key="sk-wrong", max_retries=0) as sdk,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        sdk.chat.completions.create(model=PLAIN[provider], messages=[{"role": "user", "content": "好"}])
    assert KEYS[provider] in told(caught.value)[1]


@pytest.mark.parametrize("provider", PLAIN)
def test_a_wrong_path_is_refused(provider: str) -> None:
    with (
        serve(provider, "好") as simulator,
        openai.OpenAI(base_url=simulator.url + "/nowhere", api_key=simulator.key, max_retries=0) as sdk,
        pytest.raises(openai.NotFoundError),
    ):
        sdk.chat.completions.create(model=PLAIN[provider], messages=[{"role": "user", "content": "好"}])


def test_one_request_at_a_time_where_the_account_allows_no_more() -> None:
    enough = threading.Event()
    slow = Script(Answer("好", calls=[Call("weather")], stall=enough), faults=None)
    with (
        serve("kimi", slow, concurrency=1) as simulator,
        openai.OpenAI(base_url=simulator.base_url, api_key=simulator.key, max_retries=0) as sdk,
    ):
        message: Any = [{"role": "user", "content": "好"}]
        with sdk.chat.completions.create(model=THINKING["kimi"], messages=message, stream=True) as stream:
            with pytest.raises(
                openai.RateLimitError, match="concurrency: 1, please try again after 1 seconds"
            ):
                sdk.chat.completions.create(model=THINKING["kimi"], messages=message)
            enough.set()
            assert list(stream)
