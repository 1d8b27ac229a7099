"""ChatOpenAI of langchain-openai works on responses of the gateway, and lets it remember between calls."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from tests.gateway.completions.test_stateful import asked
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Call, Fault, Received, Reply, Script, remember, serve

IMAGE = "https://example.com/cat.png"


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"It is sunny in {city}."


def forecaster(received: Received) -> Reply:
    """Thinks and calls a tool where it is asked for the weather, tells what it said; else remembers."""
    last = received.messages[-1]
    if last["role"] == "tool":
        return Answer(str(last["content"]), reasoning="I know.")
    if "weather" in str(last["content"]):
        return Answer(calls=[Call("weather", {"city": "北京"}, id="call_1")], reasoning="I must look.")
    return remember(received)


def model_of(one: Gate, **given: Any) -> ChatOpenAI:
    """A chat model that asks for responses of the gateway."""
    options: Any = {
        "model": "qwen/qwen-plus",
        "api_key": "none",
        "max_retries": 0,
        "use_responses_api": True,
        "output_version": "responses/v1",
    }
    return ChatOpenAI(base_url=f"{one.url}/v1", **{**options, **given})


def said(model: Any, messages: Any, *, stream: bool) -> Any:
    """The message a model answers, whole or from its pieces."""
    if not stream:
        return model.invoke(messages)
    first, *others = list(model.stream(messages))
    for each in others:
        first += each
    return first


@pytest.mark.parametrize("stream", [False, True])
def test_it_answers(stream: bool) -> None:
    with serve("qwen", Answer("a longer answer", reasoning="hm")) as sim, gate(sim) as one:
        reply = said(model_of(one), "Hello", stream=stream)
        assert reply.text == "a longer answer"
        assert reply.usage_metadata["output_tokens"] > 0
        assert reply.response_metadata["id"].startswith("resp_")
        assert reply.response_metadata["model_name"] == "qwen/qwen-plus"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["qwen/qwen-plus", "kimi/kimi-k2.6", "dashscope/qwen-plus"])
def test_it_goes_on_with_the_response_before(name: str, stream: bool) -> None:
    with serve(name.partition("/")[0], forecaster) as sim, gate(sim) as one:
        model = model_of(one, model=name, use_previous_response_id=True).bind_tools([weather])
        history: list[BaseMessage] = []
        for text in ("My name is Ada.", "How is the weather?"):
            history.append(HumanMessage(text))
            history.append(said(model, history, stream=stream))
        reply = history[-1]
        assert isinstance(reply, AIMessage)
        assert [(each["name"], each["args"]) for each in reply.tool_calls] == [("weather", {"city": "北京"})]
        results: list[ToolMessage] = [weather.invoke(each) for each in reply.tool_calls]
        history += results
        history.append(said(model, history, stream=stream))
        assert history[-1].text == "It is sunny in 北京."
        history.append(HumanMessage("What is my name?"))
        assert "Ada" in said(model, history, stream=stream).text
        assert [text for role, text in asked(sim) if role == "user"] == [
            "My name is Ada.",
            "How is the weather?",
            "What is my name?",
        ]


@pytest.mark.parametrize("stream", [False, True])
def test_it_may_send_everything_itself(stream: bool) -> None:
    with serve("qwen", forecaster) as sim, gate(sim) as one:
        model = model_of(one, store=False).bind_tools([weather])
        history: list[BaseMessage] = [HumanMessage("My name is Ada. How is the weather?")]
        history.append(said(model, history, stream=stream))
        reply = history[-1]
        assert isinstance(reply, AIMessage)
        results: list[ToolMessage] = [weather.invoke(each) for each in reply.tool_calls]
        history += results
        assert said(model, history, stream=stream).text == "It is sunny in 北京."


async def test_the_asynchronous_half_goes_on_too() -> None:
    with serve("qwen") as sim, gate(sim) as one:
        model = model_of(one, use_previous_response_id=True)
        first = await model.ainvoke("My name is Ada.")
        history = [HumanMessage("My name is Ada."), first, HumanMessage("What is my name?")]
        chunks = [each async for each in model.astream(history)]
        assert "Ada" in "".join(each.text for each in chunks)


@pytest.mark.parametrize("stream", [False, True])
def test_refusals_are_the_sdks_own_errors(stream: bool) -> None:
    with serve("qwen", Script("no", faults=Fault(429, kind="rate_limit"))) as sim, gate(sim) as one:
        with pytest.raises(openai.RateLimitError):
            said(model_of(one), "Hello", stream=stream)


def test_a_failure_in_the_middle_is_an_error_too() -> None:
    with (
        serve(
            "qwen",
            Answer("a long answer that fails", fail="rate_limit", fail_after=3, stall=0.2, stall_after=2),
        ) as sim,
        gate(sim) as one,
    ):
        with pytest.raises(ValueError, match="rate_limit_exceeded"):
            said(model_of(one), "Hello", stream=True)


class Person(BaseModel):
    """What the model is to answer."""

    name: str
    age: int


ADA: Any = {"name": "Ada", "age": 27}
TYPED: dict[Any, tuple[str, Answer]] = {
    "json_schema": ("response_format", Answer(json.dumps(ADA))),
    "function_calling": ("tool_choice", Answer(calls=[Call("Person", ADA)])),
}


@pytest.mark.parametrize("responses", [True, False])
@pytest.mark.parametrize("method", TYPED)
def test_an_answer_may_have_a_type(method: Any, responses: bool) -> None:
    field, answer = TYPED[method]
    with serve("openai", answer) as sim, gate(sim) as one:
        model = model_of(one, model="openai/gpt-4.1", use_responses_api=responses)
        assert model.with_structured_output(Person, method=method).invoke("Who?") == Person(**ADA)
        assert {"response_format", "tool_choice"} & sim.requests[0].body.keys() == {field}


@pytest.mark.parametrize(
    "image", [{"type": "image_url", "image_url": {"url": IMAGE}}, {"type": "image", "url": IMAGE}]
)
def test_images_go_through(image: dict[str, Any]) -> None:
    with serve("openai", "a cat") as sim, gate(sim) as one:
        message = HumanMessage([{"type": "text", "text": "What is it?"}, image])
        assert model_of(one, model="openai/gpt-4.1").invoke([message]).text == "a cat"
        assert sim.requests[0].messages[0]["content"][1]["image_url"]["url"] == IMAGE
