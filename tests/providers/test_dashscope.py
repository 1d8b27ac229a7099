"""DashScope's own protocol: two paths, two kinds of frames, and errors that look like answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from tests.simulators import Answer, Call, Fault, Reply, Script, Simulator, Wire, simulate

from multiturn.catalog import Catalog
from multiturn.errors import (
    ContentFiltered,
    HistoryRefused,
    KeyRefused,
    ProviderError,
    ProviderFailed,
    RateLimited,
    RequestRefused,
    StreamCut,
)
from multiturn.messages import ToolCall, Trait
from multiturn.providers import Provider, Retry, open_provider
from multiturn.providers.dashscope import native_messages
from multiturn.reply import Draft
from multiturn.window import Request

from .loopback import Exchange, asked, loopback

QUICK = Retry(base=0.001, burst=0.001, longest_backoff=0.001, longest_wait=0.001)
TEXT = "/services/aigc/text-generation/generation"
MULTIMODAL = "/services/aigc/multimodal-generation/generation"


def frame(value: object, name: str = "result", status: int = 200, number: int = 1) -> str:
    data = value if isinstance(value, str) else orjson.dumps(value).decode()
    return f"id:{number}\nevent:{name}\n:HTTP_STATUS/{status}\ndata:{data}\n\n"


def said(content: Any, finish: str = "null", out: int = 1, **message: Any) -> dict[str, Any]:
    choice = {"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    usage = {"total_tokens": 7 + out, "input_tokens": 7, "output_tokens": out}
    return {"output": {"choices": [choice]}, "usage": usage, "request_id": "r-1"}


@asynccontextmanager
async def sent(*pieces: str) -> AsyncIterator[Any]:
    async def answer(exchange: Exchange) -> None:
        await exchange.say(*(pieces or (frame(said("好", "stop")),)))

    async with loopback(answer) as server:
        client = open_provider(
            Catalog().profile("dashscope"), key="sk-test-key", base_url=server.url, retry=QUICK
        )
        try:
            yield client, server
        finally:
            await client.close()


async def draft_of(client: Provider, request: Request) -> Draft:
    draft = Draft()
    async for delta in client.stream(request):
        draft.add(delta)
    return draft


async def heard(*pieces: str, **fields: Any) -> Draft:
    async with sent(*pieces) as (client, _):
        return await draft_of(client, asked(**fields))


# ----------------------------------------------------------------------------------- what is asked


async def test_a_request_in_the_native_shape() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    params = {
        "max_completion_tokens": 50,
        "temperature": 0.5,
        "enable_thinking": True,
        "thinking_budget": 100,
        "stream_options": {"include_usage": True},
    }
    async with sent() as (client, server):
        await draft_of(client, asked(model="qwen-plus", tools=[tool], tool_choice="auto", params=params))
    received = server.received[0]
    assert received.path == TEXT
    assert received.headers["x-dashscope-sse"] == "enable"
    assert received.headers["authorization"] == "Bearer sk-test-key"
    assert received.body == {
        "model": "qwen-plus",
        "input": {"messages": [{"role": "user", "content": "你好"}]},
        "parameters": {
            "max_tokens": 50,
            "temperature": 0.5,
            "enable_thinking": True,
            "thinking_budget": 100,
            "tools": [tool],
            "tool_choice": "auto",
            "result_format": "message",
            "incremental_output": True,
        },
    }


async def test_an_answer_in_one_piece() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.whole(said("好", "stop", reasoning_content="想"))

    async with loopback(answer) as server:
        client = open_provider(Catalog().profile("dashscope"), key="sk-test-key", base_url=server.url)
        draft = await draft_of(client, asked(stream=False, params={"incremental_output": True}))
        await client.close()
    assert (draft.text, draft.reasoning, draft.finish_reason) == ("好", "想", "stop")
    assert draft.response_id == "r-1"
    assert "x-dashscope-sse" not in server.received[0].headers
    assert "incremental_output" not in server.received[0].body["parameters"]


@pytest.mark.parametrize(
    ("model", "traits", "path"),
    [
        ("qwen-plus", 0, TEXT),
        ("qwen3-max", 0, TEXT),
        ("qwen3.5-plus", 0, MULTIMODAL),
        ("qwen3.7-plus", 0, MULTIMODAL),
        ("qwen3-vl-plus", 0, MULTIMODAL),
        ("qwen9-vl-new", 0, MULTIMODAL),
        ("qwen9-new", 0, TEXT),
        ("qwen9-new", Trait.IMAGE, MULTIMODAL),
        ("qwen-plus", Trait.IMAGE, TEXT),
        ("qwen3.6-plus", Trait.IMAGE, MULTIMODAL),
    ],
)
async def test_each_model_has_its_path(model: str, traits: int, path: str) -> None:
    async with sent() as (client, server):
        await draft_of(client, asked(model=model, traits=traits))
    assert server.received[0].path == path
    content = server.received[0].body["input"]["messages"][0]["content"]
    assert content == ("你好" if path == TEXT else [{"text": "你好"}])


async def test_the_operator_can_set_the_path() -> None:
    catalog = Catalog({"models": {"dashscope/qwen9-new": {"native": "multimodal"}}})
    assert catalog.card("dashscope/qwen9-new").native == "multimodal"

    async def answer(exchange: Exchange) -> None:
        await exchange.say(frame(said("好", "stop")))

    async with loopback(answer) as server:
        client = open_provider(catalog.profile("dashscope"), key="sk-test-key", base_url=server.url)
        await draft_of(client, asked(model="qwen9-new"))
        await client.close()
    assert server.received[0].path == MULTIMODAL


def test_messages_in_native_parts() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "s"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}},
                {
                    "type": "image_url",
                    "image_url": {"url": "https://x/a.png", "detail": "low"},
                    "min_pixels": 4,
                },
                {"type": "image_url", "image_url": "https://x/b.png"},
                {"type": "video_url", "video_url": {"url": "https://x/c.mp4"}, "fps": 2},
                {"type": "video", "video": ["https://x/1.png", "https://x/2.png"]},
                {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
                {"type": "input_audio", "input_audio": {"data": "https://x/d.wav"}},
                {"type": "audio_url", "audio_url": {"url": "https://x/e.wav"}},
                {"type": "strange", "x": 1},
                {"text": "already native"},
                "bare",
            ],
        },
        {"role": "assistant", "content": "", "tool_calls": [{"id": "a"}], "reasoning_content": "r"},
        {"role": "assistant", "tool_calls": [{"id": "b"}]},
        {"role": "tool", "content": "y", "tool_call_id": "a"},
    ]
    assert native_messages(messages) == [
        {"role": "system", "content": [{"text": "s"}]},
        {
            "role": "user",
            "content": [
                {"text": "t", "cache_control": {"type": "ephemeral"}},
                {"image": "https://x/a.png", "min_pixels": 4},
                {"image": "https://x/b.png"},
                {"video": "https://x/c.mp4", "fps": 2},
                {"video": ["https://x/1.png", "https://x/2.png"]},
                {"audio": "data:audio/mp3;base64,QUJD"},
                {"audio": "https://x/d.wav"},
                {"audio": "https://x/e.wav"},
                {"type": "strange", "x": 1},
                {"text": "already native"},
                "bare",
            ],
        },
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "a"}],
            "reasoning_content": "r",
        },
        {"role": "assistant", "content": "", "tool_calls": [{"id": "b"}]},
        {"role": "tool", "content": [{"text": "y"}], "tool_call_id": "a"},
    ]


# ---------------------------------------------------------------------------------- what is understood


async def test_frames_that_add() -> None:
    draft = await heard(
        ":keepalive\n\n",
        frame(said("", reasoning_content="想")),
        frame(said("哈", reasoning_content="", out=2)),
        frame(said("哈", reasoning_content="", out=3)),
        frame(said("", "stop", out=4)),
    )
    assert (draft.text, draft.reasoning, draft.finish_reason) == ("哈哈", "想", "stop")
    assert draft.usage
    assert (draft.usage.input, draft.usage.output) == (7, 4)


async def test_frames_that_repeat() -> None:
    draft = await heard(
        frame(said("", reasoning_content="想")),
        frame(said("哈", reasoning_content="想")),
        frame(said("哈哈", reasoning_content="想")),
        frame(said("哈哈", "stop", reasoning_content="想")),
        params={"incremental_output": False},
    )
    assert (draft.text, draft.reasoning, draft.finish_reason) == ("哈哈", "想", "stop")


async def test_content_in_parts() -> None:
    draft = await heard(frame(said([{"text": "你"}])), frame(said([{"text": "好"}], "stop")))
    assert draft.text == "你好"


async def test_the_old_text_format() -> None:
    old = {
        "output": {"text": "好", "finish_reason": "stop"},
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    assert (await heard(frame(old))).text == "好"


async def test_the_word_null_is_no_end() -> None:
    async with sent(frame(said("好")), frame(said("的"))) as (client, _):
        draft = Draft()

        async def listen() -> None:
            async for delta in client.stream(asked()):
                draft.add(delta)

        with pytest.raises(StreamCut):
            await listen()
    assert (draft.text, draft.finish_reason) == ("好的", None)


COMPLAINT = {"code": "DataInspectionFailed", "message": "Output data may contain inappropriate content."}


@pytest.mark.parametrize(
    ("piece", "kind", "status"),
    [
        (frame(COMPLAINT, "error", 400), ContentFiltered, 400),
        ('event:error\nstatus:429\ndata:{"code":"Throttling","message":"x"}\n\n', RateLimited, 429),
        (frame(COMPLAINT), ContentFiltered, None),
        (frame({"code": "InvalidParameter", "message": "x", "output": {}}), RequestRefused, None),
        (frame("words", "error", 500), ProviderFailed, 500),
        (frame("words"), ProviderFailed, None),
    ],
)
async def test_errors_in_the_stream(piece: str, kind: type[ProviderError], status: int | None) -> None:
    with pytest.raises(kind) as caught:
        await heard(frame(said("好")), piece, frame(said("", "stop")))
    assert caught.value.status == status


async def test_events_that_are_no_frames() -> None:
    draft = await heard(frame("[DONE]", "done"), frame({"heartbeat": 1}), frame(said("好", "stop")))
    assert draft.text == "好"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"code": "InvalidApiKey", "message": "x", "request_id": "r"}, KeyRefused),
        ({"request_id": "r"}, ProviderFailed),
        ("oops", ProviderFailed),
    ],
)
async def test_what_is_no_answer_though_the_status_is_200(body: Any, kind: type[ProviderError]) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.whole(body)

    async with loopback(answer) as server:
        client = open_provider(
            Catalog().profile("dashscope"), key="sk-test-key", base_url=server.url, retry=Retry(times=0)
        )
        for stream in (True, False):
            with pytest.raises(kind):
                await draft_of(client, asked(stream=stream))
        await client.close()


# --------------------------------------------------------------------------- against the simulator


@asynccontextmanager
async def talking(script: Script | Reply | None = None) -> AsyncIterator[tuple[Provider, Simulator]]:
    async with simulate("dashscope", script) as simulator:
        profile = Catalog().profile("dashscope")
        client = open_provider(profile, key=simulator.key, base_url=simulator.base_url, retry=QUICK)
        try:
            yield client, simulator
        finally:
            await client.close()


@pytest.mark.parametrize(
    ("model", "stream", "params"),
    [
        ("qwen-plus", True, {}),
        ("qwen-plus", True, {"incremental_output": False}),
        ("qwen-plus", True, {"enable_thinking": True}),
        ("qwen-plus", False, {}),
        ("qwen3-vl-plus", True, {}),
        ("qwen3-vl-plus", True, {"incremental_output": False}),
        ("qwen3-vl-plus", False, {}),
    ],
)
async def test_both_paths_and_both_kinds_of_frames(model: str, stream: bool, params: dict[str, Any]) -> None:
    reply = Answer("你好，世界😀。", calls=(Call("weather", '{"城市": "杭州"}', id="call_1"),))
    tool = {
        "type": "function",
        "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
    }
    script = Script(reply, wire=Wire(split=5, comments=1, chatty=True, finish_twice=True))
    async with talking(script) as (client, simulator):
        draft = await draft_of(client, asked(model=model, stream=stream, params=params, tools=[tool]))
    assert draft.text == "你好，世界😀。"
    assert draft.tool_calls == (ToolCall("call_1", "weather", '{"城市": "杭州"}'),)
    assert draft.finish_reason == "tool_calls"
    assert bool(draft.reasoning) is bool(params.get("enable_thinking"))
    assert draft.usage
    assert draft.usage.input > 0
    assert len(simulator.requests) == 1


async def test_an_image_goes_the_other_way() -> None:
    parts = [
        {"type": "text", "text": "这是什么？"},
        {"type": "image_url", "image_url": {"url": "https://x/a.png"}},
    ]
    body = orjson.dumps([{"role": "user", "content": parts}])
    async with talking("一只猫") as (client, simulator):
        draft = await draft_of(client, Request("qwen3-vl-plus", body, traits=int(Trait.IMAGE)))
    assert draft.text == "一只猫"
    assert simulator.requests[0].messages[0]["content"] == [
        {"text": "这是什么？"},
        {"image": "https://x/a.png"},
    ]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(401), KeyRefused),
        (Fault(429), RateLimited),
        (Fault(429, "burst"), RateLimited),
        (Fault(400, "content_filter"), ContentFiltered),
        (Fault(500), ProviderFailed),
    ],
)
async def test_failing_in_its_own_words(fault: Fault, kind: type[ProviderError]) -> None:
    async with talking(Script("x", faults=fault)) as (client, simulator):
        with pytest.raises(kind):
            await draft_of(client, asked(model="qwen-plus"))
    assert len(simulator.requests) == (3 if kind.retryable else 1)


async def test_the_wrong_path_and_an_orphan_are_refused() -> None:
    catalog = Catalog({"models": {"dashscope/qwen-plus": {"native": "multimodal"}}})
    async with simulate("dashscope") as simulator:
        client = open_provider(catalog.profile("dashscope"), key=simulator.key, base_url=simulator.base_url)
        with pytest.raises(RequestRefused, match="url error"):
            await draft_of(client, asked(model="qwen-plus"))
        await client.close()
    orphan = [{"role": "user", "content": "x"}, {"role": "tool", "tool_call_id": "a", "content": "y"}]
    async with talking() as (client, _):
        with pytest.raises(HistoryRefused):
            await draft_of(client, Request("qwen-plus", orjson.dumps(orphan)))


@pytest.mark.parametrize("cut", ["reset", "close", "end"])
async def test_every_cut_is_noticed(cut: Any) -> None:
    reply = Answer("一二三四五六七八九十", cut=cut, cut_after=2)
    async with talking(Script(reply, wire=Wire(between=0.01))) as (client, _):
        with pytest.raises(StreamCut):
            await draft_of(client, asked(model="qwen-plus"))


async def test_moderation_in_the_middle() -> None:
    reply = Answer("一二三四五六七八九十", fail="output_filter", fail_after=2)
    async with talking(reply) as (client, simulator):
        with pytest.raises(ContentFiltered):
            await draft_of(client, asked(model="qwen-plus"))
    assert len(simulator.requests) == 1
