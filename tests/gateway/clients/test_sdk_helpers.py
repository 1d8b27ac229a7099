"""What the official Python SDK builds on its methods: answers with a type, streams that are put together, and
the runner that calls tools and is strict about what it gets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.lib.responses_tool_runner import (
    AsyncRegisteredFunction,
    AsyncResponsesToolRunner,
    RegisteredFunction,
    ResponsesToolRunner,
)
from pydantic import BaseModel
from tests.gateway.responding import TOOL
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Call, Received, Reply, Script, serve

MODEL = "openai/gpt-4.1"
QUESTION: Any = [{"role": "user", "content": "Who are you?"}]
REMEMBERED = [{}, {"X-Conversation-Id": "c1"}]


class Person(BaseModel):
    """What the model is to answer."""

    name: str
    age: int


ADA = Person(name="Ada", age=27)
SPOKEN = Answer(json.dumps(ADA.model_dump()))
CALLED = Answer(calls=[Call("Person", ADA.model_dump(), id="call_1")])


@pytest.fixture(params=[SPOKEN, CALLED], ids=["words", "a call"])
def asked(request: pytest.FixtureRequest) -> Iterator[tuple[Gate, dict[str, Any]]]:
    """A gateway whose model answers with Ada, and how she is asked for."""
    with serve("openai", Script([request.param] * 2)) as sim, gate(sim, model=MODEL) as one:
        called = request.param is CALLED
        yield one, {"tools": [openai.pydantic_function_tool(Person)]} if called else {"format": Person}


def typed(item: Any) -> Any:
    """What was parsed of a message of chat completions."""
    return item.tool_calls[0].function.parsed_arguments if item.tool_calls else item.parsed


@pytest.mark.parametrize("headers", REMEMBERED, ids=["stateless", "stateful"])
def test_chat_completions_have_a_type(asked: tuple[Gate, dict[str, Any]], headers: dict[str, str]) -> None:
    one, given = asked
    chosen = {"response_format" if name == "format" else name: value for name, value in given.items()}
    chat, common = one.openai().chat.completions, {"model": MODEL, "messages": QUESTION, **chosen}
    assert typed(chat.parse(**common, extra_headers=headers).choices[0].message) == ADA
    if headers and "tools" in given:
        headers = {"X-Conversation-Id": "c2"}
    with chat.stream(**common, extra_headers=headers) as stream:
        kinds = [each.type for each in stream]
        assert typed(stream.get_final_completion().choices[0].message) == ADA
    assert {"content.done", "tool_calls.function.arguments.done"} & {*kinds}


def test_responses_have_a_type_also_when_they_are_told_again(asked: tuple[Gate, dict[str, Any]]) -> None:
    one, given = asked
    chosen = {"text_format" if name == "format" else name: value for name, value in given.items()}
    responses = one.openai().responses
    parsed: Any = responses.parse(model=MODEL, input="Who?", **chosen)
    assert (parsed.output_parsed or parsed.output[0].parsed_arguments) == ADA
    with responses.stream(model=MODEL, input="Who?", **chosen) as stream:
        events = list(stream)
        final = stream.get_final_response()
    with responses.stream(response_id=final.id, starting_after=2, **chosen) as again:
        assert [each.sequence_number for each in again] == [each.sequence_number for each in events[3:]]
        told = again.get_final_response()
    assert told.output == final.output
    assert (told.output_parsed or told.output[0].parsed_arguments) == ADA  # type: ignore[union-attr]  # a call


def forecaster(received: Received) -> Reply:
    """Calls a tool twice at once, tells what it said."""
    results = [each["content"] for each in received.messages if each["role"] == "tool"]
    if results:
        return Answer(" ".join(results), reasoning="I know.")
    calls = [Call("weather", {"city": each}, id=f"call_{n}") for n, each in enumerate(("北京", "上海"))]
    return Answer("Let me see.", calls=calls, reasoning="I must look.")


@pytest.mark.parametrize(
    "name", ["qwen/qwen-plus", "openai/gpt-4.1", "kimi/kimi-k2.6", "dashscope/qwen-plus"]
)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kept", [False, True])
async def test_the_runner_of_tools_accepts_every_step(name: str, *, stream: bool, kept: bool) -> None:
    def forecast(given: dict[str, object]) -> str:
        return f"It is sunny in {given['city']}."

    async def forecast_later(given: dict[str, object]) -> str:
        return forecast(given)

    params: Any = {"model": name, "input": "How is the weather?", "store": kept}
    tool: Any = TOOL
    with serve(name.partition("/")[0], Script(forecaster)) as sim, gate(sim) as one:
        functions = [RegisteredFunction(tool, forecast)]
        reply = ResponsesToolRunner(functions=functions).run(one.openai(), params, max_steps=3, stream=stream)
        assert reply.output_text == "It is sunny in 北京. It is sunny in 上海."
        async with one.aopenai() as client:
            runner = AsyncResponsesToolRunner(functions=[AsyncRegisteredFunction(tool, forecast_later)])
            later = await runner.run(client, params, max_steps=3, stream=stream)
        assert later.output_text == reply.output_text
        assert len(sim.requests) == 4
