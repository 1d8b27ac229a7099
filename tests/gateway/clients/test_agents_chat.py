"""Agents of openai-agents run on chat completions through the gateway: with tools, streamed, remembered."""

from __future__ import annotations

from typing import Any

import pytest
from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, RunConfig, Runner, function_tool
from openai.types.responses import ResponseTextDeltaEvent
from tests.gateway.completions.test_stateful import asked, states
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Call, Reply, serve

UNTRACED = RunConfig(tracing_disabled=True)


@function_tool
def weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: Its name.
    """
    return f"It is sunny in {city}."


def agent(one: Gate, client: Any, *, to: str | None = None, model: str = "qwen/qwen-plus") -> Agent[None]:
    """An agent whose model is asked through the gateway."""
    headers = {} if to is None else {"X-Conversation-Id": to}
    return Agent(
        name="Assistant",
        instructions="Be brief.",
        model=OpenAIChatCompletionsModel(model=model, openai_client=client),
        model_settings=ModelSettings(extra_headers=headers),
        tools=[weather],
    )


CALLS: list[Reply] = [Answer(calls=[Call("weather", {"city": "北京"}, id="call_1")]), "Sunny."]


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("qwen/qwen-plus", None),
        ("qwen/qwen-plus", "c1"),
        ("openai/gpt-4.1", "c1"),
        ("dashscope/qwen-plus", None),
        ("dashscope/qwen-plus", "c1"),
        (
            "kimi/kimi-k2.6",
            "c1",
        ),  # its reasoning must come back, which the agent forgets and the gateway keeps
    ],
)
async def test_a_run_calls_a_tool(name: str, to: str | None) -> None:
    with serve(name.partition("/")[0], CALLS) as sim, gate(sim) as one:
        async with one.aopenai() as client:
            result = await Runner.run(
                agent(one, client, to=to, model=name), "How is the weather in 北京?", run_config=UNTRACED
            )
        assert result.final_output == "Sunny."
        assert asked(sim)[0] == ("system", "Be brief.")
        assert asked(sim)[-1] == ("tool", "It is sunny in 北京.")
        assert to is None or states(one) == ["completed"]


@pytest.mark.parametrize("to", [None, "c1"])
async def test_a_streamed_run_calls_a_tool(to: str | None) -> None:
    with serve("qwen", CALLS) as sim, gate(sim) as one:
        async with one.aopenai() as client:
            result = Runner.run_streamed(agent(one, client, to=to), "weather in 北京?", run_config=UNTRACED)
            words = [
                event.data.delta
                async for event in result.stream_events()
                if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent)
            ]
        assert "".join(words) == result.final_output == "Sunny."
        assert asked(sim)[-1] == ("tool", "It is sunny in 北京.")
        assert to is None or states(one) == ["completed"]


async def test_the_gateway_remembers_between_runs() -> None:
    with serve("qwen") as sim, gate(sim) as one:
        async with one.aopenai() as client:
            who = agent(one, client, to="c1")
            await Runner.run(who, "My name is Ada.", run_config=UNTRACED)
            result = await Runner.run(who, "What is my name?", run_config=UNTRACED)
        assert "Ada" in result.final_output
        assert states(one) == ["completed", "completed"]
