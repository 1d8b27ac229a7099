"""Every chat-completions endpoint: what is asked, and what is understood."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import orjson
import pytest
from tests.simulators import Answer, Call, Fault, Reply, Script, Simulator, Wire, simulate

from multiturn.catalog import Catalog
from multiturn.errors import (
    BillingRefused,
    ContentFiltered,
    HistoryRefused,
    KeyRefused,
    ModelNotFound,
    ParameterInvalid,
    ProviderError,
    ProviderFailed,
    ProviderOverflow,
    ProviderOverloaded,
    ProviderTimeout,
    RateLimited,
    StreamCut,
)
from multiturn.messages import ToolCall
from multiturn.providers import Patience, Provider, Retry, open_provider
from multiturn.providers.deltas import NOTHING
from multiturn.providers.events import Event
from multiturn.providers.faults import Faults
from multiturn.providers.openai_chat import choice_of
from multiturn.providers.reading import JsonReader
from multiturn.reply import Delta, Draft
from multiturn.window import Request

from .loopback import Exchange, Loopback, asked, chunk, event, loopback

QUICK = Retry(base=0.001, burst=0.001, longest_backoff=0.001, longest_wait=0.001)
EARLIER = {"prompt_tokens": 9, "completion_tokens": 1}
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}

MODELS = {
    "qwen": "qwen-plus",
    "kimi": "kimi-k2.6",
    "stepfun": "step-3.7-flash",
    "zhizengzeng": "gpt-4o",
    "deepseek": "deepseek-v4-flash",
    "glm": "glm-4.7",
    "ark": "doubao-seed-2-0-pro-260215",
    "siliconflow": "Qwen/Qwen3-8B",
    "openai": "gpt-4o",
}


@asynccontextmanager
async def sent(provider: str = "openai", *pieces: str, key: str | None = "sk-test-key") -> AsyncIterator[Any]:
    """A client, and a server that answers every request with these pieces."""

    async def answer(exchange: Exchange) -> None:
        await exchange.say(*(pieces or (chunk("好", "stop"), event("[DONE]"))))

    async with loopback(answer) as server:
        client = open_provider(Catalog().profile(provider), key=key, base_url=server.url, retry=QUICK)
        try:
            yield client, server
        finally:
            await client.close()


async def draft_of(client: Provider, request: Request) -> Draft:
    draft = Draft()
    async for delta in client.stream(request):
        draft.add(delta)
    return draft


async def heard(*pieces: str) -> Draft:
    async with sent("openai", *pieces) as (client, _):
        return await draft_of(client, asked())


# ----------------------------------------------------------------------------------- what is asked


async def body_of(provider: str, **fields: Any) -> dict[str, Any]:
    async with sent(provider) as (client, server):
        await draft_of(client, asked(**fields))
    found: Loopback = server
    return found.received[0].body


async def test_the_messages_are_sent_as_they_are() -> None:
    body = b'[{"role":"user","content":"1.0e2 \\u4f60"},{"x":1.0e2}]'
    async with sent() as (client, server):
        await draft_of(client, Request("gpt-4o", body))
    assert b'"messages":' + body + b"," in server.received[0].raw
    assert server.received[0].path == "/chat/completions"
    assert list(server.received[0].body)[:2] == ["model", "messages"]


async def test_a_path_behind_the_base_url() -> None:
    async with sent() as (_, server):
        client = open_provider(Catalog().profile("openai"), key="sk-test-key", base_url=f"{server.url}/v1/")
        await draft_of(client, asked())
        await client.close()
    assert server.received[0].path == "/v1/chat/completions"


@pytest.mark.parametrize(
    ("provider", "asks"),
    [
        ("qwen", True),
        ("kimi", True),
        ("stepfun", True),
        ("deepseek", True),
        ("ark", True),
        ("siliconflow", True),
        ("openai", True),
        ("glm", False),
        ("zhizengzeng", False),
        ("compatible", False),
    ],
)
async def test_usage_is_asked_for_where_it_must_be(provider: str, asks: bool) -> None:
    wanted = {"include_usage": True} if asks else None
    assert (await body_of(provider)).get("stream_options") == wanted
    mine = {"stream_options": {"include_usage": True, "x": 1}}
    assert (await body_of(provider, params=mine))["stream_options"] == mine["stream_options"]


@pytest.mark.parametrize(
    ("provider", "given", "name"),
    [
        ("openai", "max_tokens", "max_completion_tokens"),
        ("kimi", "max_tokens", "max_completion_tokens"),
        ("qwen", "max_completion_tokens", "max_tokens"),
        ("deepseek", "max_tokens", "max_tokens"),
        ("zhizengzeng", "max_tokens", "max_tokens"),
        ("compatible", "max_completion_tokens", "max_completion_tokens"),
    ],
)
async def test_the_output_limit_has_its_name(provider: str, given: str, name: str) -> None:
    body = await body_of(provider, params={given: 77})
    assert {key: body[key] for key in body if key.startswith("max_")} == {name: 77}


async def test_parameters_a_model_refuses_are_left_out() -> None:
    params = {"temperature": 0.3, "top_p": 0.5, "thinking": {"type": "enabled"}, "seed": None}
    fixed = await body_of("kimi", model="kimi-k2.6", params=params)
    assert "temperature" not in fixed
    assert "top_p" not in fixed
    assert "seed" not in fixed
    assert fixed["thinking"] == {"type": "enabled"}
    free = await body_of("kimi", model="moonshot-v1-8k", params=params)
    assert (free["temperature"], free["top_p"]) == (0.3, 0.5)


async def test_tools_and_the_rest() -> None:
    tool: Mapping[str, Any] = MappingProxyType(
        {
            "type": "function",
            "function": {"name": "f", "parameters": {"type": "object"}},
        }
    )
    body = await body_of(
        "openai",
        tools=[tool],
        tool_choice="auto",
        params={"stop": ("a", "b"), "model": "other", "messages": [], "stream": False, "user": "u"},
    )
    assert (body["tools"], body["tool_choice"], body["stop"], body["user"]) == (
        [tool],
        "auto",
        ["a", "b"],
        "u",
    )
    assert (body["model"], body["stream"], len(body["messages"])) == ("m", True, 1)
    assert "tools" not in await body_of("openai", tool_choice="auto")
    assert "tool_choice" not in await body_of("openai", tool_choice="auto")


async def test_what_is_no_json_is_refused() -> None:
    async with sent() as (client, server):
        with pytest.raises(ParameterInvalid):
            await draft_of(client, asked(params={"x": object()}))
    assert server.received == []


async def test_without_a_key_no_header() -> None:
    async with sent("compatible", key=None) as (client, server):
        await draft_of(client, asked())
    assert "authorization" not in server.received[0].headers


# ---------------------------------------------------------------------------------- what is understood


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(
            [chunk("好"), chunk(finish="stop"), event({"choices": [], "usage": USAGE}), event("[DONE]")],
            id="in a last chunk without choices",
        ),
        pytest.param(
            [
                event({"choices": [{"delta": {"content": "好"}}], "usage": EARLIER}),
                event({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": USAGE}),
                event("[DONE]"),
            ],
            id="in every chunk",
        ),
        pytest.param(
            [
                chunk("好"),
                event({"choices": [{"delta": {}, "finish_reason": "stop", "usage": USAGE}]}),
                event("[DONE]"),
            ],
            id="inside the choice",
        ),
        pytest.param(
            [
                event({"choices": [{"delta": {"content": "好"}}], "usage": None}),
                event({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": USAGE}),
                event({"choices": [], "usage": None}),
            ],
            id="with nulls around it",
        ),
    ],
)
async def test_usage_wherever_it_stands(pieces: list[str]) -> None:
    draft = await heard(*pieces)
    assert draft.text == "好"
    assert draft.usage is not None
    assert (draft.usage.input, draft.usage.output, draft.usage.raw) == (9, 2, USAGE)


async def test_usage_that_never_comes() -> None:
    assert (await heard(chunk("好", "stop"), event("[DONE]"))).usage is None


async def test_only_our_choice_counts() -> None:
    other = {"index": 1, "delta": {"content": "other"}, "finish_reason": "length"}
    ours = {"index": 0, "delta": {"content": "ours"}, "finish_reason": "stop"}
    draft = await heard(event({"choices": [other]}), event({"choices": [other, ours]}), event("[DONE]"))
    assert (draft.text, draft.finish_reason) == ("ours", "stop")


async def test_half_an_emoji_in_each_chunk() -> None:
    first = 'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n'
    second = 'data: {"choices":[{"delta":{"content":"\\ude00"},"finish_reason":"stop"}]}\n\n'
    assert (await heard(first, second)).text == "😀"
    draft = await heard(first, chunk(finish="stop"))
    assert (draft.text, draft.extra) == ("\ufffd", {"text_replaced": True})


async def test_odd_but_harmless_events() -> None:
    draft = await heard(
        event({}),
        "event: ping\ndata: x\n\n",
        event({"choices": None, "usage": None}),
        event({"choices": [], "prompt_filter_results": []}),
        event({"code": 0, "msg": "", "choices": [{"delta": None}]}),
        chunk("好", obfuscation="xyz"),
        chunk(finish="stop"),
        chunk(finish="stop"),
        event("[DONE]"),
        event("after the end"),
    )
    assert (draft.text, draft.extra) == ("好", {})


@pytest.mark.parametrize(
    ("piece", "kind"),
    [
        (event({"error": {"message": "x", "code": "content_filter"}}), ContentFiltered),
        ('event: error\ndata: {"message": "x", "code": "rate_limit_exceeded"}\n\n', RateLimited),
        (event({"code": 5, "msg": "no"}), ProviderFailed),
        (event('"just words"'), ProviderFailed),
        (event("[1]"), ProviderFailed),
        ("event: error\ndata: words only\n\n", ProviderFailed),
    ],
)
async def test_errors_in_the_stream(piece: str, kind: type[ProviderError]) -> None:
    with pytest.raises(kind):
        await heard(chunk("好"), piece, chunk(finish="stop"))


WHOLE = {
    "id": "c-1",
    "model": "m-1",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": "好",
                "reasoning_content": "think",
                "refusal": None,
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "b", "type": "function", "function": {"name": "g", "arguments": '{"x":1}'}},
                ],
            },
        }
    ],
    "usage": USAGE,
}


async def whole(body: object, status: int = 200, kind: str = "application/json") -> list[Delta]:
    async def answer(exchange: Exchange) -> None:
        await exchange.whole(body, status, kind)

    async with loopback(answer) as server:
        client = open_provider(
            Catalog().profile("zhizengzeng"), key="sk-test-key", base_url=server.url, retry=Retry(times=0)
        )
        try:
            return [delta async for delta in client.stream(asked(stream=False))]
        finally:
            await client.close()
            assert server.received[0].body["stream"] is False
            assert "stream_options" not in server.received[0].body


async def test_an_answer_in_one_piece() -> None:
    [delta] = await whole(WHOLE)
    draft = Draft()
    draft.add(delta)
    assert (draft.text, draft.reasoning, draft.finish_reason) == ("好", "think", "tool_calls")
    assert draft.tool_calls == (ToolCall("a", "f", "{}"), ToolCall("b", "g", '{"x":1}'))
    assert (draft.model, draft.response_id) == ("m-1", "c-1")
    assert draft.usage
    assert draft.usage.total == 11


async def test_a_whole_answer_that_does_not_say_that_it_ended_has_ended() -> None:
    [delta] = await whole({"choices": [{"message": {"content": "好"}}]})
    assert (delta.text, delta.finish_reason) == ("好", "stop")


async def test_usage_is_asked_for_of_a_stream_only() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.whole(WHOLE)

    async with loopback(answer) as server:
        client = open_provider(Catalog().profile("openai"), key="sk-test-key", base_url=server.url)
        mine = {"stream_options": {"include_usage": True}}
        for params in ({}, mine):
            [_] = [delta async for delta in client.stream(replace(asked(stream=False), params=params))]
        await client.close()
    assert ["stream_options" in each.body for each in server.received] == [False, False]


def test_an_object_without_choices_is_no_sign_of_life() -> None:
    reader = JsonReader(Faults("openai"), choice_of)
    assert reader.event(Event(b'{"type":"ping"}')) is None
    assert reader.event(Event(b'{"choices":[]}')) is NOTHING


async def test_blank_lines_before_an_answer() -> None:
    assert (await whole(b"\n\n\n" + orjson.dumps(WHOLE)))[0].text == "好"


async def test_half_an_emoji_at_the_end_of_a_whole_answer() -> None:
    call = rb'{"id":"a","function":{"name":"f","arguments":"\ud83d"}}'
    body = rb'{"choices":[{"message":{"content":"\ud83d","reasoning":"r\ud83d","tool_calls":[%s]},' % call
    [delta] = await whole(body + b'"finish_reason":"stop"}]}')
    draft = Draft()
    draft.add(delta)
    assert (draft.text, draft.reasoning, draft.extra) == ("\ufffd", "r\ufffd", {"text_replaced": True})
    assert draft.tool_calls[0].arguments == "\ufffd"


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        ({"code": 1001, "msg": "no such thing"}, "application/json", ProviderFailed),
        ({"error": {"message": "x", "code": "insufficient_quota"}}, "application/json", BillingRefused),
        ({"choices": []}, "application/json", ProviderFailed),
        ({}, "application/json", ProviderFailed),
        ([], "application/json", ProviderFailed),
        ("not json", "text/plain", ProviderFailed),
        ("<html><title>Hello</title></html>", "text/html", ProviderFailed),
        ("", "application/json", ProviderFailed),
    ],
)
async def test_what_is_no_answer_though_the_status_is_200(
    body: Any, kind: str, error: type[ProviderError]
) -> None:
    with pytest.raises(error):
        await whole(body, kind=kind)


# -------------------------------------------------------------------------- against the simulators


@asynccontextmanager
async def talking(
    provider: str, script: Script | Reply | None = None, *, patience: Patience | None = None, **options: Any
) -> AsyncIterator[tuple[Provider, Simulator]]:
    async with simulate(provider, script, **options) as simulator:
        client = open_provider(
            Catalog().profile(provider),
            key=simulator.key,
            base_url=simulator.base_url,
            retry=QUICK,
            patience=patience or Patience(),
        )
        try:
            yield client, simulator
        finally:
            await client.close()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("provider", "model"), MODELS.items())
async def test_every_provider_answers(provider: str, model: str, stream: bool) -> None:
    reply = Answer("你好，世界😀。", calls=(Call("weather", {"城市": "杭州"}), Call("clock")))
    wire = Wire(newline="\r\n", split=5, comments=2, chatty=True)
    tools = [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
        for name in ("weather", "clock")
    ]
    async with talking(provider, Script(reply, wire=wire)) as (client, simulator):
        draft = await draft_of(client, asked(model=model, stream=stream, tools=tools))
    assert draft.text == "你好，世界😀。"
    assert [(call.name, orjson.loads(call.arguments)) for call in draft.tool_calls] == [
        ("weather", {"城市": "杭州"}),
        ("clock", {}),
    ]
    assert draft.finish_reason == "tool_calls"
    assert draft.extra == {}
    assert len(simulator.requests) == 1
    if draft.usage is None:
        assert provider == "zhizengzeng"
    else:
        assert draft.usage.input > 0
        assert draft.usage.output > 0


@pytest.mark.parametrize("provider", ["kimi", "deepseek", "glm", "stepfun"])
async def test_thinking_is_heard(provider: str) -> None:
    async with talking(provider, Answer("27。", reasoning="他今年 27 岁。")) as (client, _):
        draft = await draft_of(client, asked(model=MODELS[provider]))
    assert (draft.reasoning, draft.text) == ("他今年 27 岁。", "27。")


FAULTS: list[tuple[int, str, type[ProviderError]]] = [
    (401, "", KeyRefused),
    (402, "billing", BillingRefused),
    (404, "", ModelNotFound),
    (429, "", RateLimited),
    (503, "", ProviderOverloaded),
    (500, "", ProviderFailed),
]


@pytest.mark.parametrize(("status", "kind", "error"), FAULTS)
@pytest.mark.parametrize(("provider", "model"), MODELS.items())
async def test_every_provider_fails_in_its_own_words(
    provider: str, model: str, status: int, kind: str, error: type[ProviderError]
) -> None:
    async with talking(provider, Script("x", faults=Fault(status, kind))) as (client, simulator):
        with pytest.raises(error) as caught:
            await draft_of(client, asked(model=model))
    assert caught.value.provider == provider
    assert len(simulator.requests) == (3 if error.retryable else 1)


@pytest.mark.parametrize(("provider", "model"), MODELS.items())
async def test_every_provider_recovers(provider: str, model: str) -> None:
    faults = {1: Fault(429).after(0.001), 2: Fault(drop=True)}
    async with talking(provider, Script("好", faults=faults)) as (client, simulator):
        assert (await draft_of(client, asked(model=model))).text == "好"
    assert len(simulator.requests) == 3


@pytest.mark.parametrize("cut", ["reset", "close", "end"])
@pytest.mark.parametrize(("provider", "model"), MODELS.items())
async def test_every_cut_is_noticed(provider: str, model: str, cut: Any) -> None:
    reply = Answer("一二三四五六七八九十一二三四五六七八九十", cut=cut, cut_after=6)
    async with talking(provider, Script(reply, wire=Wire(between=0.01))) as (client, _):
        with pytest.raises(StreamCut):
            await draft_of(client, asked(model=model))


async def test_a_stall_is_noticed_behind_comments() -> None:
    wire = Wire(comments=3, chatty=True)
    reply = Answer("一二三四五六七八九十", stall=30, stall_after=3)
    async with talking("deepseek", Script(reply, wire=wire), patience=Patience(idle=0.2)) as (
        client,
        simulator,
    ):
        with pytest.raises(ProviderTimeout):
            await draft_of(client, asked(model=MODELS["deepseek"]))
    assert simulator.requests[0].left


async def test_a_page_of_a_proxy() -> None:
    async with talking("zhizengzeng", Script("x", faults=Fault(502, html=True))) as (client, _):
        with pytest.raises(ProviderFailed, match="502 Bad Gateway"):
            await draft_of(client, asked(model="gpt-4o"))


@pytest.mark.parametrize(("provider", "model"), MODELS.items())
async def test_every_provider_dislikes_an_orphan_in_its_own_words(provider: str, model: str) -> None:
    body = orjson.dumps(
        [{"role": "user", "content": "x"}, {"role": "tool", "tool_call_id": "call_9", "content": "y"}]
    )
    async with talking(provider) as (client, _):
        with pytest.raises(HistoryRefused):
            await draft_of(client, Request(model, body))


@pytest.mark.parametrize(("provider", "model"), MODELS.items())
async def test_every_provider_overflows_in_its_own_words(provider: str, model: str) -> None:
    async with simulate(provider) as probe:
        known = probe.known.get(model)
    assert known is not None
    small = {model: replace(known, window=600, max_input=400 if known.max_input else 0, max_output=100)}
    async with talking(provider, models=small) as (client, _):
        with pytest.raises(ProviderOverflow) as caught:
            await draft_of(client, asked("词 " * 3000, model=model, params={"max_tokens": 50}))
    assert caught.value.limit in (None, 400, 500, 550, 600)
