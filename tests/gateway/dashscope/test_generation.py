"""DashScope's own package works against the gateway with nothing but its base URL changed, whatever provider
stands behind it, and gets a memory where it names a conversation."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import dashscope
import pytest
from dashscope.api_entities.aio_session import close_shared_aio_session
from dashscope.api_entities.http_request import close_shared_sync_session
from dashscope.v2.client import Client
from tests.gateway.access.test_allowances import counted
from tests.gateway.completions.test_stateful import asked, states, user
from tests.gateway.keyed import made
from tests.gateway.responding import until
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Call, Fault, Received, Reply, Script, Wire, serve

from multiturn.config import Config, Timing
from multiturn.gateway.http.body import LARGEST_BODY
from multiturn.settings import load
from multiturn.usage import Usage

TEXT = "/api/v1/services/aigc/text-generation/generation"
MULTIMODAL = "/api/v1/services/aigc/multimodal-generation/generation"
MODELS = {
    "qwen": "qwen/qwen-plus",
    "kimi": "kimi/kimi-k2.6",
    "openai": "openai/gpt-4.1",
    "dashscope": "dashscope/qwen-plus",
}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
IMAGE = "https://example.com/cat.png"


@pytest.fixture(autouse=True)
def _connections_end_with_the_test() -> Iterator[None]:
    """The package keeps its connections for ever; warnings about them are errors here."""
    address = dashscope.base_http_api_url
    yield
    dashscope.base_http_api_url = address
    close_shared_sync_session()


def generate(one: Gate, text: str | None = None, *, to: str | None = None, **given: Any) -> Any:
    """A generation by the official package."""
    dashscope.base_http_api_url = f"{one.url}/api/v1"
    if text is not None:
        given = {"messages": [user(text)], **given}
    if to is not None:
        given = {"headers": {"X-Conversation-Id": to}, **given}
    return dashscope.Generation.call(
        **{"model": "qwen-plus", "api_key": "k", "result_format": "message", **given}
    )


def converse(one: Gate, content: Any, *, to: str | None = None, **given: Any) -> Any:
    """The same with images and sounds."""
    dashscope.base_http_api_url = f"{one.url}/api/v1"
    if to is not None:
        given = {"headers": {"X-Conversation-Id": to}, **given}
    messages = [{"role": "user", "content": content}]
    return dashscope.MultiModalConversation.call(
        **{"model": "qwen3-vl-plus", "messages": messages, "api_key": "k", **given}
    )


def first(reply: Any) -> Any:
    assert reply.status_code == 200, reply
    return reply.output.choices[0]


def words(reply: Any) -> str:
    content = first(reply).message.content
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


# -------------------------------------------------------------------------------- without memory


@pytest.mark.parametrize("name", MODELS)
def test_any_provider_answers_in_this_protocol(name: str) -> None:
    with serve(name, "27。") as sim, gate(sim) as one:
        reply = generate(one, "我几岁？", model=MODELS[name])
        assert words(reply) == "27。"
        assert (first(reply).finish_reason, first(reply).message.role) == ("stop", "assistant")
        assert reply.usage.input_tokens > 0
        assert reply.usage.total_tokens == reply.usage.input_tokens + reply.usage.output_tokens
        assert name == "dashscope" or reply.request_id == reply.headers["x-request-id"]
        assert asked(sim) == [("user", "我几岁？")]


@pytest.mark.parametrize("name", MODELS)
def test_frames_add_or_repeat_as_asked(name: str) -> None:
    text = "您今年 27 岁 🎂，祝您生日快乐。"
    with serve(name, Script(text, wire=Wire(split=1))) as sim, gate(sim) as one:
        adding = list(generate(one, "?", model=MODELS[name], stream=True, incremental_output=True))
        assert "".join(map(words, adding)) == text
        repeating = list(generate(one, "?", model=MODELS[name], stream=True))
        assert all(words(after).startswith(words(before)) for before, after in pairwise(repeating))
        merged = list(generate(one, "?", model=MODELS[name], stream=True, incremental_output=False))
        assert words(repeating[-1]) == words(merged[-1]) == text
        for frames in (adding, repeating, merged):
            assert len(frames) > 3
            assert [first(each).finish_reason for each in frames] == ["null"] * (len(frames) - 1) + ["stop"]
            assert len({each.request_id for each in frames}) == 1
            assert frames[-1].usage.output_tokens > 0


def test_the_demo_answers_too() -> None:
    with gate(model="demo") as one:
        assert "引用" in words(generate(one, "你好", model="demo"))


async def test_the_asynchronous_client_gets_the_same() -> None:
    with serve("qwen", "twenty-seven") as sim, gate(sim) as one:
        dashscope.base_http_api_url = f"{one.url}/api/v1"
        given: Any = {
            "model": "qwen-plus",
            "messages": [user("?")],
            "api_key": "k",
            "result_format": "message",
        }
        try:
            assert words(await dashscope.AioGeneration.call(**given)) == "twenty-seven"
            stream: Any = await dashscope.AioGeneration.call(**given, stream=True, incremental_output=True)
            assert "".join([words(each) async for each in stream]) == "twenty-seven"
            parts: Any = [{"role": "user", "content": [{"text": "?"}]}]
            seen = await dashscope.AioMultiModalConversation.call(**{**given, "messages": parts})
            assert words(seen) == "twenty-seven"
            refused: Any = await dashscope.AioGeneration.call(**{**given, "model": "unheard-of"})
            assert (refused.status_code, refused.code) == (404, "ModelNotFound")
        finally:
            await close_shared_aio_session()


def test_the_second_generation_of_the_package_works_too() -> None:
    with serve("qwen", Answer("27.", reasoning="think")) as sim, gate(sim) as one:
        with Client(api_key="k", base_url=f"{one.url}/api/v1", max_retries=0) as client:
            said = client.chat.completions.create(
                model="qwen-plus", messages=[{"role": "user", "content": "?"}]
            )
            assert said.choices[0].message.content == "27."
            stream = client.chat.completions.create(
                model="qwen-plus",
                messages=[{"role": "user", "content": "?"}],
                enable_thinking=True,
                stream=True,
            )
            chunks = [each.choices[0].delta for each in stream if each.choices]
        assert "".join(each.content or "" for each in chunks) == "27."
        assert "".join(each.reasoning_content or "" for each in chunks) == "think"


def test_the_old_format_and_the_old_fields() -> None:
    with serve("qwen", "27.") as sim, gate(sim) as one:
        history = [{"user": "I am 27.", "bot": "Hello!"}]
        reply = generate(one, prompt="How old am I?", history=history, result_format=None)
        assert (reply.output.text, reply.output.finish_reason, reply.output.choices) == ("27.", "stop", None)
        assert asked(sim) == [("user", "I am 27."), ("assistant", "Hello!"), ("user", "How old am I?")]
        frames = list(generate(one, prompt="How old am I?", result_format="text", stream=True))
        assert (frames[-1].output.text, frames[-1].output.finish_reason) == ("27.", "stop")
        assert frames[0].output.finish_reason == "null"


def test_newer_models_answer_in_messages_and_add_where_nothing_is_said() -> None:
    with serve("qwen", "a longer answer") as sim, gate(sim) as one:
        assert words(generate(one, "?", model="qwen3-max", result_format=None)) == "a longer answer"
        frames = list(generate(one, "?", model="qwen3-max", result_format=None, stream=True))
        assert "".join(map(words, frames)) == "a longer answer"


@pytest.mark.parametrize("adding", [True, False])
def test_thinking_has_a_field_of_its_own(adding: bool) -> None:
    with serve("qwen", Answer("27.", reasoning="The user is 27.")) as sim, gate(sim) as one:
        whole = first(generate(one, "?", enable_thinking=True, result_format=None)).message
        assert (whole.content, whole.reasoning_content) == ("27.", "The user is 27.")
        body = {
            "model": "qwen-plus",
            "input": {"messages": [user("?")]},
            "parameters": {"enable_thinking": True, "incremental_output": adding},
        }
        frames = [each["output"]["choices"][0]["message"] for each in told(one, body)]
        thoughts = [each["reasoning_content"] for each in frames]
        assert ("".join(thoughts) if adding else thoughts[-1]) == "The user is 27."
        assert sim.requests[0].body["enable_thinking"] is True


def test_the_field_of_the_thinking_stays_where_there_is_or_was_to_be_some() -> None:
    with serve("kimi", Answer("27.", reasoning="think")) as sim, gate(sim) as one:
        body = {
            "model": "kimi/kimi-k2.6",
            "input": {"messages": [user("?")]},
            "parameters": {"result_format": "message", "incremental_output": True},
        }
        thoughts = [each["output"]["choices"][0]["message"]["reasoning_content"] for each in told(one, body)]
        assert "".join(thoughts) == "think"
        assert thoughts[-1] == ""
        none = first(generate(one, "?", model="demo", enable_thinking=True)).message
        assert none.reasoning_content == ""
        assert "reasoning_content" not in first(generate(one, "?", model="demo")).message


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", ["qwen", "openai", "dashscope"])
def test_tools_are_called_and_their_results_come_back(name: str, stream: bool) -> None:
    answers: list[Reply] = [Answer(calls=[Call("weather", {"city": "北京"}, id="call_1")]), "sunny"]
    with serve(name, Script(answers, wire=Wire(piece=3))) as sim, gate(sim) as one:
        wanted = "message" if name == "dashscope" else None
        given: Any = {"model": MODELS[name], "tools": [TOOL], "result_format": wanted}
        reply = generate(one, "weather?", **given, stream=stream)
        message = first(list(reply)[-1] if stream else reply).message
        call = message.tool_calls[0]
        assert (call["id"], call["function"]["name"]) == ("call_1", "weather")
        assert json.loads(call["function"]["arguments"]) == {"city": "北京"}
        result = {"role": "tool", "content": "sunny", "name": "weather", "tool_call_id": "call_1"}
        assert words(generate(one, messages=[user("weather?"), message, result], **given)) == "sunny"
        assert asked(sim)[-1] == ("tool", "sunny")
        assert name == "dashscope" or "index" not in sim.requests[-1].messages[1]["tool_calls"][0]


def test_pieces_of_a_call_add_up() -> None:
    answer = Answer(calls=[Call("weather", {"city": "北京"}), Call("weather", {"city": "上海"})])
    with serve("qwen", Script(answer, wire=Wire(piece=3))) as sim, gate(sim) as one:
        body = {
            "model": "qwen-plus",
            "input": {"messages": [user("?")]},
            "parameters": {"tools": [TOOL], "incremental_output": True},
        }
        calls: dict[int, list[str]] = {}
        frames = told(one, body)
        for frame in frames:
            for piece in frame["output"]["choices"][0]["message"].get("tool_calls", ()):
                calls.setdefault(piece["index"], []).append(piece["function"]["arguments"])
        assert ["".join(each) for each in calls.values()] == ['{"city": "北京"}', '{"city": "上海"}']
        assert frames[-1]["output"]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_result_without_the_id_of_its_call_finds_it() -> None:
    calls = [
        {"id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": "{}"}}
        for place, name in enumerate(("clock", "weather", "weather"))
    ]
    results = [{"role": "tool", "name": name, "content": name} for name in ("weather", "clock", "weather")]
    messages = [user("?"), {"role": "assistant", "content": "", "tool_calls": calls}, *results]
    with serve("qwen", "ok") as sim, gate(sim) as one:
        assert words(generate(one, messages=messages, tools=[TOOL])) == "ok"
        sent = [each["tool_call_id"] for each in sim.requests[0].messages[2:]]
        assert sent == ["call_1", "call_0", "call_2"]


@pytest.mark.parametrize(
    ("name", "model"), [("qwen", "qwen/qwen3-vl-plus"), ("dashscope", "dashscope/qwen3-vl-plus")]
)
def test_images_go_through_and_words_come_back_as_parts(name: str, model: str) -> None:
    with serve(name, "a cat") as sim, gate(sim) as one:
        content = [{"image": IMAGE}, {"text": "What is this?"}]
        reply = converse(one, content, model=model)
        assert first(reply).message.content == [{"text": "a cat"}]
        frames = list(converse(one, content, model=model, stream=True, incremental_output=True))
        assert "".join(map(words, frames)) == "a cat"
        assert IMAGE in json.dumps(sim.requests[0].messages)


def test_words_alone_are_no_list_for_a_model_that_only_reads() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        assert words(converse(one, [{"text": "one "}, {"text": "two"}], model="qwen-plus")) == "ok"
        assert asked(sim) == [("user", "one two")]


@pytest.mark.parametrize("to", [None, "c1"])
def test_parameters_another_provider_does_not_know_are_left_out_and_named(to: str | None) -> None:
    with serve("kimi", "ok") as sim, gate(sim) as one:
        given: Any = {"top_k": 20, "repetition_penalty": 1.1, "enable_thinking": False, "max_tokens": 9}
        reply = generate(one, "?", model="kimi/kimi-k2.6", to=to, **given)
        assert words(reply) == "ok"
        assert reply.headers["x-multiturn-dropped"] == "repetition_penalty, top_k"
        body = sim.requests[0].body
        assert body["thinking"] == {"type": "disabled"}
        assert not {"top_k", "repetition_penalty", "enable_thinking", "result_format"} & body.keys()


def test_dashscopes_own_answers_are_handed_on_as_they_come() -> None:
    body = b'{ "model":"dashscope/qwen-plus", "input":{"prompt":"\\u4f60 1.0e2"}, "parameters":{"x_y":1.0e2}}'
    with serve("dashscope", "a longer answer") as sim, gate(sim) as one:
        status, whole, _ = one.post(body, TEXT)
        assert status == 200
        assert sim.requests[0].raw == body.replace(b"dashscope/qwen-plus", b"qwen-plus")
        assert json.loads(whole)["request_id"] == "req-00000001"
        frames = one.post(body, TEXT, X_DashScope_SSE="enable")[1].decode().split("\n\n")
        assert frames[0].startswith("id:1\nevent:result\n:HTTP_STATUS/200\ndata:{")
        assert "req-00000002" in frames[-2]
        assert len(frames) == len({each.partition("\n")[0] for each in frames})


def test_what_is_said_to_the_gateway_is_not_handed_on() -> None:
    with serve("dashscope", "ok") as sim, gate(sim) as one:
        reply = generate(one, "?", model="dashscope/qwen-plus", user="ada", store=False, seed=7)
        assert words(reply) == "ok"
        assert sim.requests[0].body["parameters"] == {"result_format": "message", "seed": 7}


@pytest.mark.parametrize("cut", ["reset", "close", "end"])
def test_an_answer_of_dashscopes_that_is_cut_off_ends_with_an_error(cut: Any) -> None:
    answer = Answer("a long answer that ends too early", cut=cut, cut_after=3)
    with serve("dashscope", answer) as sim, gate(sim) as one:
        *begun, last = generate(one, "?", model="dashscope/qwen-plus", stream=True)
        assert all(each.status_code == 200 for each in begun)
        assert (last.status_code, last.code) == (502, "InternalError")


def test_a_failure_of_dashscopes_in_the_middle_is_told_once() -> None:
    answer = Answer("a long answer that fails", fail="rate_limit", fail_after=3, stall=0.2, stall_after=2)
    with serve("dashscope", answer) as sim, gate(sim) as one:
        body = {"model": "dashscope/qwen-plus", "input": {"messages": [user("?")]}}
        raw = one.post(body, TEXT, X_DashScope_SSE="enable")[1].decode()
        assert raw.count("event:error") == 1
        assert "Throttling.RateQuota" in raw


def test_what_dashscope_says_was_consumed_is_counted(tmp_path: Path) -> None:
    store = tmp_path / "chats.db"
    secret = made(store, "shop")
    with serve("dashscope", "a longer answer") as sim, gate(sim, store=store) as one:
        given: Any = {"model": "dashscope/qwen-plus", "api_key": secret}
        usages = [generate(one, "?", **given).usage, list(generate(one, "?", stream=True, **given))[-1].usage]
    found = counted(store, "shop")
    assert found.calls == 2
    assert found.usage == Usage(
        sum(each.input_tokens for each in usages), sum(each.output_tokens for each in usages)
    )


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault(429, kind="rate_limit"), 429, "Throttling.RateQuota"),
        (Fault(200, body={"code": "InternalError", "message": "x"}), 502, "InternalError"),
        (Fault(200, body=7), 502, "InternalError"),
    ],
)
def test_a_refusal_of_dashscopes_has_our_request_id(fault: Fault, status: int, code: str) -> None:
    with serve("dashscope", Script("no", faults=fault)) as sim, gate(sim) as one:
        reply = generate(one, "?", model="dashscope/qwen-plus")
        assert (reply.status_code, reply.code) == (status, code)
        assert reply.request_id == reply.headers["x-request-id"]


@pytest.mark.parametrize("to", [None, "c1"])
def test_a_route_goes_on_to_its_next_target(to: str | None) -> None:
    routes = {"chat-fast": {"targets": ["qwen/qwen-plus", "kimi/kimi-k2.6"]}}
    config = load({"routes": routes}, {"HOME": "/nowhere"}, Path("/nowhere"))
    with serve("qwen", Script("no", faults=Fault(503))) as qwen, serve("kimi", "I am Kimi.") as kimi:
        with gate(qwen, kimi, config=config) as one:
            reply = generate(one, "?", model="chat-fast", to=to, enable_thinking=False, max_tokens=9)
        assert words(reply) == "I am Kimi."
        assert reply.headers["x-multiturn-model"] == "kimi/kimi-k2.6"
        assert reply.headers["x-multiturn-dropped"] == "enable_thinking"


# ----------------------------------------------------------------------------------- with memory


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("stream", [True, False])
def test_a_conversation_is_remembered(name: str, stream: bool) -> None:
    with serve(name) as sim, gate(sim) as one:
        generate(one, "My name is Ada.", model=MODELS[name], to="c1")
        reply = generate(one, "What is my name?", model=MODELS[name], to="c1", stream=stream)
        last = list(reply)[-1] if stream else reply
        assert "Ada" in words(last)
        assert (last.headers["x-conversation-id"], last.headers["x-multiturn-turn"]) == ("c1", "2")
        assert states(one) == ["completed", "completed"]


def test_whole_histories_may_be_posted() -> None:
    with serve("qwen") as sim, gate(sim) as one:
        generate(one, "My name is Ada.", to="c1")
        history = [{"user": "My name is Bob.", "bot": "Hello Bob."}]
        reply = generate(one, prompt="What is my name?", history=history, to="c1")
        assert "Ada" in words(reply)
        assert reply.headers["x-multiturn-ignored"] == "2"
        assert len(states(one)) == 2


def test_images_are_remembered_and_so_is_what_was_said_of_them() -> None:
    with serve("qwen") as sim, gate(sim) as one:
        converse(one, [{"image": IMAGE}, {"text": "My cat is Tom."}], to="c1")
        assert "Tom" in words(converse(one, [{"text": "What is my cat called?"}], to="c1"))
        assert IMAGE in json.dumps(sim.requests[1].messages)


def test_both_fronts_share_a_conversation() -> None:
    with serve("qwen") as sim, gate(sim) as one:
        generate(one, "My name is Ada.", to="c1")
        reply = one.openai().chat.completions.create(
            model="qwen-plus",
            messages=[{"role": "user", "content": "What is my name?"}],
            extra_body={"conversation": "c1"},
        )
        assert "Ada" in str(reply.choices[0].message.content)


def test_a_turn_waits_for_the_results_of_its_tools() -> None:
    answers: list[Reply] = [Answer(calls=[Call("weather", {"city": "北京"}, id="call_1")]), "sunny"]
    with serve("qwen", answers) as sim, gate(sim) as one:
        message = first(generate(one, "weather?", to="c1", tools=[TOOL])).message
        assert states(one) == ["waiting"]
        result = {"role": "tool", "content": "sun", "tool_call_id": "call_1"}
        reply = generate(one, messages=[user("weather?"), message, result], to="c1", tools=[TOOL])
        assert words(reply) == "sunny"
        assert states(one) == ["completed"]


def test_users_are_apart_and_a_question_beside_leaves_nothing() -> None:
    with serve("qwen") as sim, gate(sim) as one:
        generate(one, "My name is Ada.", to="c1", user="ada")
        other = generate(one, "What is my name?", to="c1", user="bob")
        assert (other.status_code, other.code) == (404, "ConversationNotFound")
        assert "Ada" in words(generate(one, "What is my name?", to="c1", user="ada", store=False))
        assert len(json.loads(one.get("/v1/conversations/c1/turns?user=ada")[1])["data"]) == 1


def test_a_repeat_that_does_not_say_so_makes_no_second_turn() -> None:
    answers: list[Reply] = [Answer("never heard", stall=30), "second"]

    def script(received: Received) -> Reply:
        return answers[received.number - 1]

    with serve("qwen", script) as sim, gate(sim) as one:
        body = {"model": "qwen-plus", "input": {"messages": [user("one")]}}
        with one.socket(body, "x-conversation-id: c1", path=TEXT) as sock:
            until(lambda: bool(sim.requests))
            sock.shutdown(2)
        until(lambda: states(one) == ["incomplete"])
        assert b"second" in one.post(body, TEXT, X_Conversation_Id="c1")[1]
        assert states(one) == ["completed"]
        assert asked(sim) == [("user", "one")]


def test_what_was_answered_to_its_end_may_be_said_again() -> None:
    with serve("qwen", ["first", "second"]) as sim, gate(sim) as one:
        assert words(generate(one, "继续", to="c1")) == "first"
        assert words(generate(one, "继续", to="c1")) == "second"
        assert states(one) == ["completed", "completed"]


def test_what_was_not_heard_may_be_said_again_later() -> None:
    script = Script(["a long answer", "second", "third"], wire=Wire(between=0.1))
    with serve("qwen", script) as sim, gate(sim) as one:
        body = {"model": "qwen-plus", "input": {"messages": [user("继续")]}}
        headers = ("x-conversation-id: c1", "x-dashscope-sse: enable", "x-multiturn-detached: true")
        with one.socket(body, *headers, path=TEXT) as sock:
            assert sock.recv(1000)
            sock.shutdown(2)
        until(lambda: states(one) == ["completed"])
        assert words(generate(one, "好", to="c1")) == "second"
        assert b"third" in one.post(body, TEXT, X_Conversation_Id="c1")[1]
        assert states(one) == ["completed"] * 3


# ---------------------------------------------------------------------------------------- errors


def post(one: Gate, body: Any, path: str = TEXT, **headers: str) -> tuple[int, Any, Any]:
    status, raw, told = one.post(body, path, **headers)
    return status, json.loads(raw), told


WRONG: list[tuple[Any, int, str]] = [
    (b"{", 400, "InvalidParameter"),
    (b"[]", 400, "InvalidParameter"),
    ({"model": "qwen-plus"}, 400, "InvalidParameter"),
    ({"model": "qwen-plus", "input": "hello"}, 400, "InvalidParameter"),
    ({"model": "qwen-plus", "input": {}}, 400, "InvalidParameter"),
    ({"model": "qwen-plus", "input": {"messages": []}}, 400, "InvalidParameter"),
    ({"model": "qwen-plus", "input": {"messages": ["hello"]}}, 400, "InvalidParameter"),
    ({"model": "qwen-plus", "input": {"messages": [{"content": "hello"}]}}, 400, "InvalidParameter"),
    (
        {"model": "qwen-plus", "input": {"messages": [{"role": "user", "content": [{"x": 1}]}]}},
        400,
        "InvalidParameter",
    ),
    (
        {"model": "qwen-plus", "input": {"messages": [{"role": "owl", "content": "hello"}]}},
        400,
        "InvalidParameter",
    ),
    ({"model": "qwen-plus", "input": {"prompt": 7}}, 400, "InvalidParameter"),
    ({"model": "qwen-plus", "input": {"prompt": "a", "history": "b"}}, 400, "InvalidParameter"),
    ({"model": "qwen-plus", "input": {"prompt": "a"}, "parameters": []}, 400, "InvalidParameter"),
    ({"model": "qwen-plus", "input": {"prompt": "a"}, "parameters": "x"}, 400, "InvalidParameter"),
    ({"model": "qwen-plus", "input": {"prompt": "a"}, "parameters": {"n": 2}}, 400, "InvalidParameter"),
    ({"model": "qwen-plus", "input": {"prompt": "a"}, "parameters": {"tools": 7}}, 400, "InvalidParameter"),
    (
        {"model": "qwen-plus", "input": {"prompt": "a"}, "parameters": {"store": "no"}},
        400,
        "InvalidParameter",
    ),
    ({"model": 7, "input": {"prompt": "a"}}, 400, "InvalidParameter"),
    ({"model": "unheard-of", "input": {"prompt": "a"}}, 404, "ModelNotFound"),
]


@pytest.mark.parametrize(("body", "status", "code"), WRONG)
@pytest.mark.parametrize("headers", [{}, {"X_Conversation_Id": "c1", "X_DashScope_SSE": "enable"}])
def test_bad_input_is_refused_in_this_protocols_own_words(
    body: Any, status: int, code: str, headers: dict[str, str]
) -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        found, said, told = post(one, body, **headers)
        assert (found, said["code"]) == (status, code)
        assert sorted(said) == ["code", "message", "request_id"]
        assert said["message"]
        assert said["request_id"] == told["x-request-id"]
        assert sim.requests == []


def test_a_stray_result_in_what_was_said_before_is_history_like_the_rest() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        stray = {"role": "tool", "content": "a", "tool_call_id": []}
        reply = generate(one, messages=[stray, user("hello")], to="c1")
        assert words(reply) == "ok"
        assert reply.headers["x-multiturn-ignored"] == "1"
        assert generate(one, messages=[stray, user("hello")]).status_code == 400


def test_a_key_that_stood_for_other_words_is_an_invalid_parameter() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        named = {"X_Conversation_Id": "c1", "Idempotency_Key": "once"}
        for words_, status in (("hello", 200), ("hello", 200), ("goodbye", 422)):
            body = {"model": "qwen-plus", "input": {"prompt": words_}}
            found, said, _ = post(one, body, **named)
            assert found == status
        assert said["code"] == "InvalidParameter"


def test_addresses_and_methods_that_are_not_there() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        status, raw, _ = one.get(TEXT)
        assert (status, json.loads(raw)["code"]) == (405, "MethodNotAllowed")
        status, said, _ = post(one, {}, "/api/v1/services/aigc/video-generation/generation")
        assert (status, said["code"]) == (404, "UnknownUrl")
        for base in ("", "/v1"):  # where OpenAI's clients would go
            status, said, _ = post(one, {}, TEXT.replace("/api/v1", base))
            assert (status, said["code"]) == (404, "UnknownUrl")
            assert "/api/v1" in said["message"]
        status, said, _ = post(one, {}, TEXT, content_type="text/plain")
        assert (status, said["code"]) == (415, "InvalidParameter")
        long = {"model": "qwen-plus", "input": {"prompt": "a" * LARGEST_BODY}}
        status, said, _ = post(one, long)
        assert (status, said["code"]) == (413, "InvalidParameter")
        status, said, _ = post(one, {}, TEXT, host="example.com")
        assert (status, said["code"]) == (403, "ForeignHost")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault(429, kind="rate_limit"), 429, "limit_requests"),
        (Fault(400, kind="content_filter"), 400, "data_inspection_failed"),
        (Fault(502, html=True), 502, "InternalError"),
    ],
)
def test_a_refusal_of_the_provider_keeps_status_and_code(
    fault: Fault, status: int, code: str, stream: bool
) -> None:
    with serve("qwen", Script("no", faults=fault)) as sim, gate(sim) as one:
        for to in (None, "c1"):
            reply = generate(one, "?", stream=stream, to=to)
            reply = next(reply) if stream else reply
            assert (reply.status_code, reply.code) == (status, code)
            assert reply.request_id
            assert sim.key not in reply.message


@pytest.mark.parametrize("to", [None, "c1"])
def test_a_failure_in_the_middle_is_a_frame_of_its_own(to: str | None) -> None:
    with (
        serve(
            "qwen",
            Answer("a long answer that fails", fail="rate_limit", fail_after=3, stall=0.2, stall_after=2),
        ) as sim,
        gate(sim) as one,
    ):
        *begun, last = generate(one, "?", stream=True, incremental_output=True, to=to)
        assert begun
        assert all(each.status_code == 200 for each in begun)
        assert (last.status_code, last.code) == (429, "limit_requests")
        assert last.message
    with serve("qwen", Answer("a long answer that is cut", cut="end", cut_after=3)) as sim, gate(sim) as one:
        *_, last = generate(one, "?", stream=True, to=to)
        assert (last.status_code, last.code) == (502, "InternalError")


def test_a_conversation_that_is_busy_says_so() -> None:
    config = Config(store=":memory:", model="qwen-plus", timing=Timing(queue=0.2))
    with serve("qwen", Script("slow", wire=Wire(first=2))) as sim, gate(sim, config=config) as one:
        thread = threading.Thread(target=generate, args=(one, "one"), kwargs={"to": "c1"})
        thread.start()
        until(lambda: bool(sim.requests))
        body = {"model": "qwen-plus", "input": {"messages": [user("two")]}}
        status, said, told = post(one, body, X_Conversation_Id="c1")
        thread.join()
        assert (status, said["code"]) == (409, "ConversationLocked")
        assert told["x-should-retry"] == "true"


def test_keys_are_asked_for_in_this_protocols_words(tmp_path: Path) -> None:
    store = tmp_path / "chats.db"
    secret, bound = made(store, "shop"), made(store, "shop", "ada")
    with serve("qwen") as sim, gate(sim, store=store) as one:
        refused = generate(one, "Hello")
        assert (refused.status_code, refused.code) == (401, "InvalidApiKey")
        assert refused.request_id == refused.headers["x-request-id"]
        assert words(generate(one, "My name is Ada.", to="c1", api_key=secret))
        assert "Ada" in words(generate(one, "What is my name?", to="c1", api_key=secret))
        foreign = generate(one, "What is my name?", to="c1", api_key=bound)
        assert (foreign.status_code, foreign.code) == (404, "ConversationNotFound")
        for to in (None, "c2"):
            other = generate(one, "Hello", to=to, api_key=bound, user="eve")
            assert (other.status_code, other.code) == (400, "InvalidParameter")


# ------------------------------------------------------------------------------------------ wire


def told(one: Gate, body: dict[str, Any]) -> list[Any]:
    """The frames of a streamed answer, as they came over the wire."""
    raw = one.post(body, TEXT, X_DashScope_SSE="enable")[1].decode()
    frames = raw.removesuffix("\n\n").split("\n\n")
    for place, frame in enumerate(frames):
        number, event, comment, data = frame.split("\n")
        assert (number, event, comment) == (f"id:{place + 1}", "event:result", ":HTTP_STATUS/200")
        assert data.startswith("data:{")
    return [json.loads(frame.rpartition("\ndata:")[2]) for frame in frames]


def curl(one: Gate, *headers: str, data: str) -> str:
    """The request as the vendor's documents show it: by curl where it is installed, else the same bytes."""
    asked = ["Authorization: Bearer k", "Content-Type: application/json", *headers]
    if shutil.which("curl") is None:
        given = dict(header.split(": ", 1) for header in asked)
        return one.post(data.encode(), TEXT, **given)[1].decode()
    command = ["curl", "-s", "--noproxy", "*", "--location", one.url + TEXT]
    command += [part for header in asked for part in ("--header", header)]
    return subprocess.run([*command, "--data", data], capture_output=True, text=True, check=True).stdout


DATA = """{
    "model": "qwen-plus",
    "input":{
        "messages":[
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "你是谁？"}
        ]
    },
    "parameters": {"result_format": "message", "incremental_output": true}
}"""


def test_curl_as_the_vendor_shows_it() -> None:
    with serve("qwen", "我是通义千问。") as sim, gate(sim) as one:
        whole = json.loads(curl(one, data=DATA))
        assert whole["output"]["choices"][0] == {
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "我是通义千问。"},
        }
        assert whole["output"]["text"] is None
        assert {"input_tokens", "output_tokens", "total_tokens"} < whole["usage"].keys()
        for header in ("X-DashScope-SSE: enable", "Accept: text/event-stream"):
            stream = curl(one, header, data=DATA)
            assert stream.startswith("id:1\nevent:result\n:HTTP_STATUS/200\ndata:{")
            frames = [json.loads(line[5:]) for line in stream.splitlines() if line.startswith("data:")]
            said = [each["output"]["choices"][0]["message"]["content"] for each in frames]
            assert "".join(said) == "我是通义千问。"


def test_every_frame_tells_the_usage_so_far_where_the_provider_does() -> None:
    with serve("dashscope", "a longer answer") as sim, gate(sim) as one:
        body = {
            "model": "dashscope/qwen-plus",
            "input": {"messages": [user("?")]},
            "parameters": {"result_format": "message", "incremental_output": True},
        }
        usages = [each["usage"]["output_tokens"] for each in told(one, body)]
        assert usages == sorted(usages)
        assert 0 < usages[0] < usages[-1]
