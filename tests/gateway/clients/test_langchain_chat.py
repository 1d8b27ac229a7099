"""ChatOpenAI of langchain-openai works on chat completions through the gateway, by its base URL alone."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from tests.gateway.completions.test_stateful import asked, states
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Call, Fault, Reply, Script, serve


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"It is sunny in {city}."


CALLS: list[Reply] = [Answer(calls=[Call("weather", {"city": "北京"}, id="call_1")]), "Sunny."]


def model_of(one: Gate, *, to: str | None = None, **given: Any) -> ChatOpenAI:
    """A chat model that is asked through the gateway."""
    headers = {} if to is None else {"X-Conversation-Id": to}
    options: Any = {
        "model": "qwen/qwen-plus",
        "api_key": "none",
        "default_headers": headers,
        "max_retries": 0,
    }
    return ChatOpenAI(base_url=f"{one.url}/v1", **{**options, **given})


def test_it_answers_whole_and_streamed() -> None:
    with serve("qwen", "a longer answer") as sim, gate(sim) as one:
        model = model_of(one, stream_usage=True)
        said = model.invoke([SystemMessage("Be brief."), HumanMessage("Hello")])
        assert said.content == "a longer answer"
        assert said.usage_metadata is not None
        assert said.usage_metadata["output_tokens"] > 0
        assert asked(sim) == [("system", "Be brief."), ("user", "Hello")]
        chunks = list(model.stream("Hello"))
        assert "".join(str(each.content) for each in chunks) == "a longer answer"
        used = [each.usage_metadata for each in chunks if each.usage_metadata is not None]
        assert used[-1]["output_tokens"] > 0


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("to", [None, "c1"])
def test_tools_are_called_and_their_results_come_back(to: str | None, stream: bool) -> None:
    with serve("qwen", CALLS) as sim, gate(sim) as one:
        model = model_of(one, to=to, streaming=stream).bind_tools([weather])
        history: list[BaseMessage] = [HumanMessage("How is the weather in 北京?")]
        said = model.invoke(history)
        assert [(each["name"], each["args"]) for each in said.tool_calls] == [("weather", {"city": "北京"})]
        results: list[ToolMessage] = [weather.invoke(each) for each in said.tool_calls]
        assert model.invoke([*history, said, *results]).content == "Sunny."
        assert asked(sim)[-1] == ("tool", "It is sunny in 北京.")
        assert to is None or states(one) == ["completed"]


async def test_the_gateway_remembers_what_is_not_sent_again() -> None:
    with serve("qwen") as sim, gate(sim) as one:
        model = model_of(one, to="c1")
        await model.ainvoke("My name is Ada.")
        chunks = [each async for each in model.astream("What is my name?")]
        assert "Ada" in "".join(str(each.content) for each in chunks)
        assert states(one) == ["completed", "completed"]


def test_refusals_are_the_sdks_own_errors() -> None:
    with serve("qwen", Script("no", faults=Fault(429, kind="rate_limit"))) as sim, gate(sim) as one:
        with pytest.raises(openai.RateLimitError):
            model_of(one).invoke("Hello")
        with pytest.raises(openai.RateLimitError):
            list(model_of(one, to="c1").stream("Hello"))
