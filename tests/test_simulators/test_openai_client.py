"""Does the real `openai` package understand every simulated chat-completions provider?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from tests.simulators import FAMILY, Answer, Call, Script, Simulator, Wire, serve, simulate

PLAIN = {
    "qwen": "qwen-plus",
    "kimi": "moonshot-v1-8k",
    "stepfun": "step-1-32k",
    "zhizengzeng": "qwen-plus",
    "deepseek": "deepseek-chat",
    "glm": "glm-4.7",
    "ark": "doubao-seed-2-0-pro-260215",
    "siliconflow": "Qwen/Qwen2.5-7B-Instruct",
    "openai": "gpt-4o-mini",
}
THINKING = {
    "qwen": "qwen3.5-plus",
    "kimi": "kimi-k2.6",
    "stepfun": "step-3.7-flash",
    "zhizengzeng": "deepseek-reasoner",
    "deepseek": "deepseek-v4-flash",
    "glm": "glm-5.2",
    "ark": "doubao-seed-2-1-pro-260915",
    "siliconflow": "Qwen/Qwen3-8B",
}
HISTORY: list[Any] = [
    {"role": "system", "content": "你是一位有礼貌的店员。"},
    {"role": "user", "content": "你好，我今年 27 岁。"},
    {"role": "assistant", "content": "你好！"},
    {"role": "user", "content": "你知道我今年几岁吗？"},
]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


def client(simulator: Simulator, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=simulator.base_url, api_key=simulator.key, max_retries=0, **options)


def thought(message: Any) -> str | None:
    extra = message.model_extra or {}
    found = extra.get("reasoning_content", extra.get("reasoning"))
    return found if isinstance(found, str) else None


def test_every_chat_provider_is_tried_here() -> None:
    assert set(PLAIN) == set(FAMILY) - {"dashscope"}
    assert set(THINKING) == set(PLAIN) - {"openai"}


@pytest.mark.parametrize("provider", PLAIN)
async def test_a_reply_quotes_what_was_sent_and_nothing_else(provider: str) -> None:
    async with (
        simulate(provider) as simulator,
        openai.AsyncOpenAI(base_url=simulator.base_url, api_key=simulator.key, max_retries=0) as sdk,
    ):
        known = await sdk.chat.completions.create(model=PLAIN[provider], messages=HISTORY)
        unknown = await sdk.chat.completions.create(model=PLAIN[provider], messages=HISTORY[-1:])
    assert "我今年 27 岁" in (known.choices[0].message.content or "")
    assert "27" not in (unknown.choices[0].message.content or "")
    assert known.choices[0].finish_reason == "stop"
    assert known.usage is not None
    assert known.usage.total_tokens == known.usage.prompt_tokens + known.usage.completion_tokens
    assert [received.messages for received in simulator.requests] == [HISTORY, HISTORY[-1:]]
    assert simulator.requests[0].headers["authorization"] == f"Bearer {simulator.key}"
    assert [received.status for received in simulator.requests] == [200, 200]


@pytest.mark.parametrize("provider", PLAIN)
@pytest.mark.parametrize(
    "wire",
    [Wire(), Wire("\r\n", split=1), Wire(split=7, comments=3, chatty=True, piece=1), Wire(finish_twice=True)],
    ids=["plain", "crlf-bytes", "comments", "twice"],
)
def test_a_stream_adds_up_to_the_whole_reply(provider: str, wire: Wire) -> None:
    text = "您今年 27 岁 🎂，对吗？"
    with serve(provider, Script(text, wire=wire)) as simulator, client(simulator) as sdk:
        model = PLAIN[provider]
        whole = sdk.chat.completions.create(model=model, messages=HISTORY)
        chunks = list(sdk.chat.completions.create(model=model, messages=HISTORY, stream=True))
        asked = list(
            sdk.chat.completions.create(
                model=model, messages=HISTORY, stream=True, stream_options={"include_usage": True}
            )
        )
    for stream in (chunks, asked):
        choices = [choice for chunk in stream for choice in chunk.choices]
        assert "".join(choice.delta.content or "" for choice in choices) == text
        assert choices[0].delta.role == "assistant"
        finished = [choice.finish_reason for choice in choices if choice.finish_reason]
        assert finished == ["stop"] * (2 if wire.finish_twice else 1)
    assert whole.choices[0].message.content == text


@pytest.mark.parametrize("provider", PLAIN)
def test_usage_comes_where_the_provider_puts_it(provider: str) -> None:
    with serve(provider, "好") as simulator, client(simulator) as sdk:
        model = PLAIN[provider]
        silent = list(sdk.chat.completions.create(model=model, messages=HISTORY, stream=True))
        asked = list(
            sdk.chat.completions.create(
                model=model, messages=HISTORY, stream=True, stream_options={"include_usage": True}
            )
        )
    inside = [choice.model_extra for chunk in silent for choice in chunk.choices if choice.model_extra]
    inside = [extra for extra in inside if "usage" in extra]
    assert bool(inside) == (provider == "kimi")
    assert bool([chunk for chunk in silent if chunk.usage]) == (provider == "glm")
    last = [chunk for chunk in asked if chunk.usage]
    assert len(last) == (0 if provider == "zhizengzeng" else 1)
    if last:
        assert asked[-1] is last[0]
        assert last[0].choices == []


@pytest.mark.parametrize("provider", THINKING)
def test_thinking_comes_under_the_providers_name(provider: str) -> None:
    model = THINKING[provider]
    with serve(provider, Answer("27。", reasoning="他说过。")) as simulator, client(simulator) as sdk:
        whole = sdk.chat.completions.create(model=model, messages=HISTORY)
        stream = list(sdk.chat.completions.create(model=model, messages=HISTORY, stream=True))
    assert thought(whole.choices[0].message) == "他说过。"
    name = "reasoning" if provider == "stepfun" else "reasoning_content"
    pieces = [(c.delta.model_extra or {}).get(name) for chunk in stream for c in chunk.choices]
    assert "".join(piece for piece in pieces if piece) == "他说过。"
    words = [bool(c.delta.content) for chunk in stream for c in chunk.choices]
    assert words.index(True) > max(place for place, piece in enumerate(pieces) if piece)


def test_stepfun_renames_its_thinking_on_request() -> None:
    with serve("stepfun", Answer("27。", reasoning="他说过。")) as simulator, client(simulator) as sdk:
        reply = sdk.chat.completions.create(
            model="step-3.7-flash", messages=HISTORY, extra_body={"reasoning_format": "deepseek-style"}
        )
    assert (reply.choices[0].message.model_extra or {})["reasoning_content"] == "他说过。"


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("qwen", {"enable_thinking": False}),
        ("kimi", {"thinking": {"type": "disabled"}}),
        ("deepseek", {"thinking": {"type": "disabled"}}),
        ("glm", {"thinking": {"type": "disabled"}}),
        ("ark", {"thinking": {"type": "disabled"}}),
        ("siliconflow", {"enable_thinking": False}),
    ],
)
def test_thinking_can_be_switched_off(provider: str, body: dict[str, Any]) -> None:
    with serve(provider, "27。") as simulator, client(simulator) as sdk:
        model = THINKING[provider]
        on = sdk.chat.completions.create(model=model, messages=HISTORY)
        off = sdk.chat.completions.create(model=model, messages=HISTORY, extra_body=body)
    assert thought(on.choices[0].message)
    assert thought(off.choices[0].message) is None


def joined(chunks: Iterator[Any]) -> list[dict[str, str]]:
    calls: dict[int, dict[str, str]] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            for piece in choice.delta.tool_calls or ():
                call = calls.setdefault(piece.index, {"id": "", "name": "", "arguments": ""})
                call["id"] += piece.id or ""
                call["name"] += piece.function.name or ""
                call["arguments"] += piece.function.arguments or ""
    return [calls[index] for index in sorted(calls)]


@pytest.mark.parametrize("provider", PLAIN)
def test_parallel_tool_calls_arrive_in_fragments_and_their_results_are_taken(provider: str) -> None:
    calls = [Call("weather", {"city": "北京"}, "call_a"), Call("weather", {"city": "上海"}, "call_b")]
    script = Script([Answer(calls=calls), Answer(calls=calls), "都是晴天。"], wire=Wire(piece=3))
    model = THINKING.get(provider, PLAIN[provider])
    with serve(provider, script) as simulator, client(simulator) as sdk:
        whole = sdk.chat.completions.create(model=model, messages=HISTORY, tools=TOOLS).choices[0]
        stream = sdk.chat.completions.create(model=model, messages=HISTORY, tools=TOOLS, stream=True)
        pieces = joined(iter(stream))
        results = [
            {"role": "tool", "tool_call_id": "call_a", "content": "晴"},
            {"role": "tool", "tool_call_id": "call_b", "content": "晴"},
        ]
        asked = whole.message.model_dump(exclude_none=True, exclude={"refusal", "annotations"})
        messages: list[Any] = [*HISTORY, asked, *results]
        final = sdk.chat.completions.create(model=model, messages=messages, tools=TOOLS)
    assert whole.finish_reason == "tool_calls"
    assert pieces == [
        {"id": "call_a", "name": "weather", "arguments": '{"city": "北京"}'},
        {"id": "call_b", "name": "weather", "arguments": '{"city": "上海"}'},
    ]
    assert final.choices[0].message.content == "都是晴天。"
    assert simulator.requests[-1].notes == []


@pytest.mark.parametrize("provider", PLAIN)
@pytest.mark.parametrize("finish", ["content_filter", "length"])
def test_other_endings_are_told(provider: str, finish: str) -> None:
    with serve(provider, Answer("半句", finish=finish)) as simulator, client(simulator) as sdk:
        whole = sdk.chat.completions.create(model=PLAIN[provider], messages=HISTORY)
        stream = list(sdk.chat.completions.create(model=PLAIN[provider], messages=HISTORY, stream=True))
    assert whole.choices[0].finish_reason == finish
    assert [c.finish_reason for chunk in stream for c in chunk.choices][-1] == finish


def test_a_reply_ends_at_the_length_asked_for() -> None:
    with serve("openai", "one two three four five") as simulator, client(simulator) as sdk:
        reply = sdk.chat.completions.create(model="gpt-4o", messages=HISTORY, max_tokens=3)
    assert reply.choices[0].finish_reason == "length"
    assert reply.choices[0].message.content == "one two thre"
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 3


def test_a_refusal_is_its_own_field() -> None:
    with serve("openai", Answer(refusal="I will not.")) as simulator, client(simulator) as sdk:
        whole = sdk.chat.completions.create(model="gpt-4o", messages=HISTORY).choices[0].message
        stream = list(sdk.chat.completions.create(model="gpt-4o", messages=HISTORY, stream=True))
    assert (whole.content, whole.refusal) == (None, "I will not.")
    assert "".join(c.delta.refusal or "" for chunk in stream for c in chunk.choices) == "I will not."


def test_openai_pads_its_chunks_unless_it_is_declined() -> None:
    with serve("openai", "ok") as simulator, client(simulator) as sdk:
        padded = list(sdk.chat.completions.create(model="gpt-4o", messages=HISTORY, stream=True))
        bare = list(
            sdk.chat.completions.create(
                model="gpt-4o", messages=HISTORY, stream=True, stream_options={"include_obfuscation": False}
            )
        )
    assert all(getattr(chunk, "obfuscation", None) for chunk in padded)
    assert not any(getattr(chunk, "obfuscation", None) for chunk in bare)


def test_a_relay_adds_fields_of_its_own() -> None:
    with serve("zhizengzeng", "ok") as simulator, client(simulator) as sdk:
        reply = sdk.chat.completions.create(model="gpt-4o", messages=HISTORY)
    assert (reply.model_extra or {}) == {"code": 0, "msg": ""}
    assert not reply.id.startswith("chatcmpl")


@pytest.mark.parametrize("provider", PLAIN)
def test_the_models_are_listed(provider: str) -> None:
    with serve(provider) as simulator, client(simulator) as sdk:
        names = {model.id for model in sdk.models.list()}
    assert PLAIN[provider] in names
