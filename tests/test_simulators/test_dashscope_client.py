"""Does the real `dashscope` package understand the simulated native protocol, refusals included?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import aiohttp
import dashscope
import pytest
from dashscope.api_entities.http_request import close_shared_sync_session
from tests.simulators import Answer, Call, Fault, Model, Script, Simulator, Wire, serve, simulate

HISTORY: list[Any] = [
    {"role": "system", "content": "你是店员。"},
    {"role": "user", "content": "你好，我今年 27 岁。"},
    {"role": "assistant", "content": "你好！"},
    {"role": "user", "content": "我几岁？"},
]
USER = {"role": "user", "content": "你好"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
ORPHAN = {"role": "tool", "tool_call_id": "call_9", "content": "晴"}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
MODES = [True, False, None]


@pytest.fixture(autouse=True)
def _connections_end_with_the_test() -> Iterator[None]:
    """The package keeps its connections for ever; warnings about them are errors here."""
    yield
    close_shared_sync_session()


def text_call(simulator: Simulator, messages: Any = HISTORY, **options: Any) -> Any:
    dashscope.base_http_api_url = simulator.base_url
    options = {"model": "qwen-plus", "result_format": "message", "api_key": simulator.key, **options}
    return dashscope.Generation.call(messages=messages, **options)


def media_call(simulator: Simulator, messages: Any, **options: Any) -> Any:
    dashscope.base_http_api_url = simulator.base_url
    options = {"model": "qwen3-vl-plus", "api_key": simulator.key, **options}
    return dashscope.MultiModalConversation.call(messages=messages, **options)


def first(frame: Any) -> Any:
    return frame.output.choices[0]


def test_a_text_reply_quotes_what_was_sent() -> None:
    with serve("dashscope") as simulator:
        reply = text_call(simulator)
    assert reply.status_code == 200
    assert "我今年 27 岁" in first(reply).message.content
    assert first(reply).finish_reason == "stop"
    assert reply.output.text is None
    assert reply.usage.total_tokens == reply.usage.input_tokens + reply.usage.output_tokens
    assert simulator.requests[0].path == "/api/v1/services/aigc/text-generation/generation"
    assert simulator.requests[0].messages == HISTORY


def test_the_old_result_format_fills_the_text() -> None:
    with serve("dashscope", "27。") as simulator:
        reply = text_call(simulator, result_format="text")
        dashscope.base_http_api_url = simulator.base_url
        bare: Any = dashscope.Generation.call(model="qwen-plus", prompt="我几岁？", api_key=simulator.key)
    assert (reply.output.text, reply.output.finish_reason) == ("27。", "stop")
    assert (bare.output.text, simulator.requests[1].body["input"]) == ("27。", {"prompt": "我几岁？"})


@pytest.mark.parametrize("wire", [Wire(), Wire("\r\n", split=1), Wire(split=5, comments=2, chatty=True)])
def test_frames_add_or_repeat_as_asked(wire: Wire) -> None:
    text = "您今年 27 岁 🎂。"
    with serve("dashscope", Script(text, wire=wire)) as simulator:
        adding = list(text_call(simulator, stream=True, incremental_output=True))
        repeating = list(text_call(simulator, stream=True))
        merged = list(text_call(simulator, stream=True, incremental_output=False))
    assert "".join(first(frame).message.content for frame in adding) == text
    assert len(adding) > 2
    for frames in (repeating, merged):
        said = [first(frame).message.content for frame in frames]
        assert said[-1] == text
        assert all(longer.startswith(shorter) for shorter, longer in pairwise(said))
    for frames in (adding, repeating):
        assert [first(frame).finish_reason for frame in frames] == ["null"] * (len(frames) - 1) + ["stop"]
        counts = [frame.usage.output_tokens for frame in frames]
        assert counts == sorted(counts)
        assert all(frame.usage.input_tokens == frames[0].usage.input_tokens for frame in frames)


@pytest.mark.parametrize("split", [0, 1, 5])
async def test_frames_look_as_documented(split: int) -> None:
    script = Script("好", wire=Wire(split=split, comments=1))
    async with simulate("dashscope", script) as simulator, aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {simulator.key}", "X-DashScope-SSE": "enable"}
        body = {
            "model": "qwen-plus",
            "input": {"messages": HISTORY},
            "parameters": {"result_format": "message"},
        }
        url = simulator.base_url + "/services/aigc/text-generation/generation"
        async with session.post(url, json=body, headers=headers) as response:
            lines = (await response.text()).split("\n")
            assert response.content_type == "text/event-stream"
    assert lines[0] == ":keepalive"
    assert lines[2:5] == ["id:1", "event:result", ":HTTP_STATUS/200"]
    assert lines[5].startswith('data:{"output"')
    assert '"finish_reason": "null"' in lines[5]
    assert lines[7] == "id:2"
    assert "[DONE]" not in lines


@pytest.mark.parametrize("incremental", [True, None])
def test_thinking_and_tool_calls_arrive_in_frames(incremental: bool | None) -> None:
    calls = [Call("weather", {"city": "北京"}, "call_a"), Call("weather", {"city": "上海"}, "call_b")]
    with serve("dashscope", Answer("看看。", calls=calls, reasoning="要查天气。")) as simulator:
        options: dict[str, Any] = {"enable_thinking": True} if incremental else {}
        frames = list(
            text_call(simulator, stream=True, incremental_output=incremental, tools=[TOOL], **options)
        )
        whole = text_call(simulator, tools=[TOOL], enable_thinking=True)
    assert first(frames[-1]).finish_reason == "tool_calls"
    assert [call["function"]["arguments"] for call in first(whole).message.tool_calls] == [
        '{"city": "北京"}',
        '{"city": "上海"}',
    ]
    assert first(whole).message.reasoning_content == "要查天气。"
    if incremental:
        assert "".join(first(f).message.get("reasoning_content") or "" for f in frames) == "要查天气。"
        said: dict[int, str] = {0: "", 1: ""}
        for frame in frames:
            for call in first(frame).message.get("tool_calls") or ():
                said[call["index"]] += call["function"]["arguments"]
        assert said == {0: '{"city": "北京"}', 1: '{"city": "上海"}'}
        assert frames[-1].usage.output_tokens_details["reasoning_tokens"] == 5
    else:
        last = first(frames[-1]).message.tool_calls
        assert [call["id"] for call in last] == ["call_a", "call_b"]


def test_pictures_go_the_multimodal_way_and_lists_come_back() -> None:
    seen = [{"role": "user", "content": [{"image": "https://example.com/a.png"}, {"text": "这是什么？"}]}]
    with serve("dashscope", "一只猫。") as simulator:
        whole = media_call(simulator, seen)
        frames = list(media_call(simulator, seen, stream=True, incremental_output=True))
    assert first(whole).message.content == [{"text": "一只猫。"}]
    assert "".join(p["text"] for f in frames for p in first(f).message.content) == "一只猫。"
    assert simulator.requests[0].path.endswith("/multimodal-generation/generation")
    assert whole.usage.input_tokens > 400


WRONG = "InvalidParameter"
OPEN = {"role": "assistant", "content": "", "tool_calls": [CALL]}
MIDDLE = [USER, {"role": "system", "content": "x"}, USER]
LONG = {"enable_thinking": True, "thinking_budget": 99_999, "incremental_output": True}
SEARCH = {"tools": [{"type": "function", "function": {"name": "search"}}]}
LISTED = [{"role": "user", "content": [{"text": "你好"}]}]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("messages", "options", "status", "code", "words"),
    [
        (
            [USER, ORPHAN],
            {},
            400,
            WRONG,
            'role "tool" must be a response to a preceeding message with "tool_calls"',
        ),
        ([USER, OPEN, USER], {}, 400, WRONG, 'tool messages responding to each "tool_call_id"'),
        (MIDDLE, {}, 400, WRONG, "System message must be at the beginning"),
        ([{"role": "system", "content": "x"}], {}, 400, WRONG, "elements with the role of user"),
        ([{"role": "user", "content": ""}], {}, 400, WRONG, "Content length must be greater than 0"),
        ([{"role": "user"}], {}, 400, WRONG, "The content field is a required field."),
        ([USER, {"role": "assistant", "content": "好"}], {}, 500, "InternalError.Algo", "index out of range"),
        (LISTED, {"model": "qwen-long"}, 400, WRONG, "input content must be a string."),
        ([USER], {"model": "tiny"}, 400, WRONG, "Range of input length should be [1, 3]"),
        ([USER], {"model": "qwen-9"}, 404, "ModelNotFound", "Model not exist."),
        ([USER], {"model": "qwen3-vl-plus"}, 400, WRONG, "url error, please check url!"),
        ([USER], {"api_key": "sk-wrong"}, 401, "InvalidApiKey", "Invalid API-key provided."),
        ([USER], {"temperature": 3.0}, 400, WRONG, "temperature should be in"),
        ([USER], SEARCH, 400, WRONG, "Tool names are not allowed to be [search]"),
        ([USER], LONG, 400, WRONG, "not greater than 81920"),
    ],
)
def test_a_wrong_request_is_refused(
    stream: bool, messages: Any, options: dict[str, Any], status: int, code: str, words: str
) -> None:
    with serve("dashscope", "好", models={"tiny": Model(3)}) as simulator:
        reply = text_call(simulator, messages, stream=stream, **options)
        reply = next(reply) if stream else reply
    assert (reply.status_code, reply.code) == (status, code)
    assert words in reply.message
    assert reply.output is None


def test_a_text_model_is_refused_on_the_multimodal_path() -> None:
    with serve("dashscope", "好") as simulator:
        reply = media_call(simulator, [{"role": "user", "content": [{"text": "你好"}]}], model="qwen-plus")
    assert (reply.code, reply.message) == ("InvalidParameter", "url error, please check url!")


def test_thinking_needs_frames_that_add() -> None:
    with serve("dashscope", "好") as simulator:
        reply = next(text_call(simulator, stream=True, enable_thinking=True))
    assert 'must be "true" when enable_thinking is true' in reply.message


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault(429), 429, "Throttling.RateQuota"),
        (Fault(kind="burst"), 429, "Throttling.BurstRate"),
        (Fault(kind="quota"), 429, "Throttling.AllocationQuota"),
        (Fault(kind="billing"), 400, "Arrearage"),
        (Fault(kind="content_filter"), 400, "DataInspectionFailed"),
        (Fault(500), 500, "InternalError"),
        (Fault(503), 503, "ModelServingError"),
        (Fault(kind="timeout"), 500, "RequestTimeOut"),
    ],
)
def test_faults_carry_the_providers_codes(fault: Fault, status: int, code: str) -> None:
    with serve("dashscope", Script("好", faults={1: fault})) as simulator:
        reply = text_call(simulator)
        again = text_call(simulator)
    assert (reply.status_code, reply.code) == (status, code)
    assert first(again).message.content == "好"


async def test_an_error_may_come_with_status_200() -> None:
    script = Script("好", faults=Fault(200, kind="content_filter"))
    async with simulate("dashscope", script) as simulator, aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {simulator.key}"}
        body = {"model": "qwen-plus", "input": {"messages": HISTORY}}
        url = simulator.base_url + "/services/aigc/text-generation/generation"
        async with session.post(url, json=body, headers=headers) as response:
            told = await response.json()
    assert response.status == 200
    assert told["code"] == "DataInspectionFailed"
    assert "output" not in told


def test_an_error_may_come_in_the_middle_of_the_frames() -> None:
    script = Answer("一段不合适的话", fail="output_filter", fail_after=1)
    with serve("dashscope", script) as simulator:
        frames = list(text_call(simulator, stream=True, incremental_output=True))
    assert first(frames[0]).message.content == "一段不合"
    assert (frames[-1].status_code, frames[-1].code) == (400, "DataInspectionFailed")
    assert len(frames) == 2


def test_tokens_can_be_counted() -> None:
    with serve("dashscope", "好") as simulator:
        dashscope.base_http_api_url = simulator.base_url
        tokenization: Any = dashscope.Tokenization
        counted = tokenization.call(model="qwen-plus", messages=HISTORY, api_key=simulator.key)
        reply = text_call(simulator)
    assert counted.usage["input_tokens"] == reply.usage.input_tokens
