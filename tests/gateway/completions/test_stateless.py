"""A chat completion without a conversation is handed on, and nothing else happens to it."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Call, Fault, Script, Wire, serve

HELLO: Any = [{"role": "user", "content": "你好"}]
MODEL = "qwen/qwen-plus"


def ask(one: Gate, **given: Any) -> Any:
    return one.openai().chat.completions.create(**{"model": MODEL, "messages": HELLO, **given})


def words(stream: Any) -> str:
    return "".join(each.choices[0].delta.content or "" for each in stream if each.choices)


def test_the_answer_is_the_providers_own() -> None:
    with serve("qwen", "27.") as sim, gate(sim) as one:
        reply = ask(one)
        assert (reply.choices[0].message.content, reply.model) == ("27.", "qwen-plus")
        assert words(ask(one, stream=True)) == "27."


async def test_the_asynchronous_client_gets_the_same() -> None:
    with serve("qwen", "27.") as sim, gate(sim) as one:
        async with one.aopenai() as client:
            stream = await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
            assert "".join([each.choices[0].delta.content or "" async for each in stream]) == "27."


def test_what_is_asked_goes_on_as_it_was_written_but_for_the_models_name() -> None:
    body = b'{ "messages":[{"content":"\\u4f60 1.0e2","role":"user"}],"model":"qwen/qwen-plus", "x_y":1.0e2 }'
    with serve("qwen", "27.") as sim, gate(sim) as one:
        status, _, _ = one.post(body)
        assert status == 200
        assert sim.requests[0].raw == body.replace(b"qwen/qwen-plus", b"qwen-plus")


@pytest.mark.parametrize("asked", [None, {}, {"include_usage": False}])
def test_usage_is_asked_for_and_kept_from_a_client_that_did_not_want_it(asked: Any) -> None:
    with serve("qwen", "27.") as sim, gate(sim) as one:
        chunks = list(ask(one, stream=True, **({} if asked is None else {"stream_options": asked})))
        assert [each for each in chunks if not each.choices] == []
        assert sim.requests[0].body["stream_options"] == {"include_usage": True}


def test_usage_comes_to_a_client_that_wants_it() -> None:
    with serve("qwen", "27.") as sim, gate(sim) as one:
        chunks = list(ask(one, stream=True, stream_options={"include_usage": True}))
        assert chunks[-1].choices == []
        assert chunks[-1].usage.completion_tokens > 0


@pytest.mark.parametrize(
    "wire", [Wire(split=1), Wire(newline="\r\n", split=7), Wire(chatty=True), Wire(comments=3)]
)
def test_an_event_is_never_split_and_every_character_arrives(wire: Wire) -> None:
    text = "我今年 27 岁 😀。" * 4
    with serve("qwen", Script(text, wire=wire)) as sim, gate(sim) as one:
        assert words(ask(one, stream=True)) == text
        for part in one.writes({"model": MODEL, "messages": HELLO, "stream": True}):
            assert part.endswith((b"\n\n", b"\r\n\r\n"))


def test_several_providers_stand_behind_one_address() -> None:
    with serve("qwen", "I am Qwen.") as qwen, serve("kimi", "I am Kimi.") as kimi, gate(qwen, kimi) as one:
        assert ask(one).choices[0].message.content == "I am Qwen."
        assert ask(one, model="kimi/kimi-k2.6").choices[0].message.content == "I am Kimi."
        assert ask(one, model="kimi-k2.6").choices[0].message.content == "I am Kimi."


def test_the_demo_answers_too() -> None:
    with gate(model="demo") as one:
        assert "引用" in ask(one, model="demo").choices[0].message.content
        assert "引用" in words(ask(one, model="demo", stream=True))
        chunks = list(ask(one, model="demo", stream=True, stream_options={"include_usage": True}))
        assert chunks[-1].usage.total_tokens > 0


def test_tools_are_called_through_it() -> None:
    tool = {
        "type": "function",
        "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
    }
    with serve("qwen", Answer(calls=[Call("weather")])) as sim, gate(sim) as one:
        reply = ask(one, tools=[tool])
        assert reply.choices[0].message.tool_calls[0].function.name == "weather"


@pytest.mark.parametrize("cut", ["reset", "close", "end"])
def test_an_answer_that_is_cut_off_raises_in_the_sdk(cut: Any) -> None:
    with (
        serve("qwen", Answer("a long answer that ends too early", cut=cut, cut_after=3)) as sim,
        gate(sim) as one,
    ):
        with pytest.raises(openai.APIError) as caught:
            words(ask(one, stream=True))
        assert caught.value.code == "stream_cut"


def test_a_failure_in_the_middle_raises_in_the_sdk() -> None:
    with (
        serve(
            "qwen", Answer("a long answer that fails", fail="server", fail_after=3, stall=0.2, stall_after=2)
        ) as sim,
        gate(sim) as one,
    ):
        with pytest.raises(openai.APIError):
            words(ask(one, stream=True))


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault(429, kind="rate_limit"), 429),
        (Fault(503), 503),
        (Fault(500), 500),
        (Fault(400), 400),
        (Fault(502, html=True), 502),
        (Fault(401), 502),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_keeps_its_status_in_our_envelope(fault: Fault, status: int, stream: bool) -> None:
    with serve("qwen", Script("no", faults=fault)) as sim, gate(sim) as one:
        with pytest.raises(openai.APIStatusError) as caught:
            ask(one, stream=stream)
        assert caught.value.status_code == status
        body: Any = caught.value.body
        assert sorted(body) == ["code", "message", "param", "type"]
        assert sim.key not in str(caught.value)


def test_an_answer_that_is_no_answer_is_a_bad_gateway() -> None:
    with serve(
        "qwen", Script("no", faults=Fault(200, body={"code": "InternalError", "message": "x"}))
    ) as sim:
        with gate(sim) as one, pytest.raises(openai.InternalServerError):
            ask(one)


def test_nothing_is_remembered() -> None:
    with serve("qwen") as sim, gate(sim) as one:
        ask(one)
        assert json.loads(one.get("/v1/conversations")[1])["data"] == []


def test_whether_instructions_alone_can_be_answered_says_who_is_asked() -> None:
    told: Any = [{"role": "system", "content": "Say hello."}]
    with serve("dashscope") as sim, gate(sim) as one:
        assert ask(one, model="demo", messages=told).choices[0].message.content
        assert words(ask(one, model="demo", messages=told, stream=True))
        with pytest.raises(openai.BadRequestError, match="role of user"):
            ask(one, model="dashscope/qwen-plus", messages=told)
        assert [each["content"] for each in sim.requests[0].messages] == ["Say hello."]


@pytest.mark.parametrize("messages", [None, [], "hi", ["hi"], [{"content": "hi"}], [{"role": 5}]])
def test_what_is_no_list_of_messages_is_refused_where_it_is_put_into_our_words(messages: Any) -> None:
    with gate(model="demo") as one:
        status, raw, _ = one.post({"model": "demo", "messages": messages})
        assert (status, json.loads(raw)["error"]["param"]) == (400, "messages")
