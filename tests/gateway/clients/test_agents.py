"""Agents of openai-agents run on responses and conversations of the gateway, as they do on OpenAI's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest
from agents import (
    Agent,
    OpenAIConversationsSession,
    OpenAIResponsesCompactionSession,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    SQLiteSession,
    function_tool,
)
from openai.types.responses import ResponseTextDeltaEvent
from pydantic import BaseModel
from tests.gateway.completions.test_stateful import asked
from tests.gateway.serving import gate
from tests.simulators import Answer, Call, Received, Reply, remember, serve

UNTRACED = RunConfig(tracing_disabled=True)


@function_tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"It is sunny in {city}."


def agent(client: openai.AsyncOpenAI, model: str = "qwen/qwen-plus", **given: Any) -> Agent[None]:
    """An agent whose model is asked through the gateway."""
    asked_by = OpenAIResponsesModel(model=model, openai_client=client)
    return Agent(name="Assistant", instructions="Be brief.", model=asked_by, **given)


async def run(who: Agent[None], text: str, *, streamed: bool = False, **given: Any) -> Any:
    """A run to its end, whole or streamed."""
    if not streamed:
        return await Runner.run(who, text, run_config=UNTRACED, **given)
    result = Runner.run_streamed(who, text, run_config=UNTRACED, **given)
    words = [
        event.data.delta
        async for event in result.stream_events()
        if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent)
    ]
    assert "".join(words).endswith(result.final_output)
    return result


def forecaster(received: Received) -> Reply:
    """Thinks and calls two tools where it is asked for the weather, tells what they said; else remembers."""
    last = received.messages[-1]
    if last["role"] == "tool":
        return Answer(
            " ".join(m["content"] for m in received.messages if m["role"] == "tool"), reasoning="hm"
        )
    if "weather" in str(last["content"]):
        calls = [Call("weather", {"city": city}, id=f"call_{city}") for city in ("北京", "上海")]
        return Answer(calls=calls, reasoning="I must look.")
    return remember(received)


SUNNY = "It is sunny in 北京. It is sunny in 上海."
MODELS = ["qwen/qwen-plus", "kimi/kimi-k2.6", "dashscope/qwen-plus", "openai/gpt-4.1"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_run_goes_on_with_the_response_before(streamed: bool) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        async with one.aopenai() as client:
            who = agent(client)
            first = await run(who, "My name is Ada.", streamed=streamed)
            second = await run(
                who, "What is my name?", streamed=streamed, previous_response_id=first.last_response_id
            )
            beside = await run(who, "What is my name?", streamed=streamed)
        assert "Ada" in second.final_output
        assert "Ada" not in beside.final_output


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", MODELS)
async def test_tools_are_called_within_a_session(name: str, streamed: bool) -> None:
    with serve(name.partition("/")[0], forecaster) as sim, gate(sim) as one:
        async with one.aopenai() as client:
            session = OpenAIConversationsSession(openai_client=client)
            who = agent(client, name, tools=[weather])
            await run(who, "My name is Ada.", streamed=streamed, session=session)
            result = await run(who, "How is the weather?", streamed=streamed, session=session)
            assert result.final_output == SUNNY
            again = await run(who, "What is my name?", streamed=streamed, session=session)
            assert "Ada" in again.final_output
            kinds = [each.get("type", "message") for each in await session.get_items()]
        assert kinds.count("function_call") == kinds.count("function_call_output") == 2
        assert kinds.count("message") == 6
        assert asked(sim)[0] == ("system", "Be brief.")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", MODELS)
async def test_tools_are_called_from_response_to_response(name: str, streamed: bool) -> None:
    with serve(name.partition("/")[0], forecaster) as sim, gate(sim) as one:
        async with one.aopenai() as client:
            who = agent(client, name, tools=[weather])
            first = await run(who, "My name is Ada.", streamed=streamed)
            result = await run(
                who,
                "How is the weather?",
                streamed=streamed,
                previous_response_id=first.last_response_id,
                auto_previous_response_id=True,
            )
            assert result.final_output == SUNNY
            last = await run(
                who, "What is my name?", streamed=streamed, previous_response_id=result.last_response_id
            )
            assert "Ada" in last.final_output


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_run_goes_on_in_a_conversation_of_the_servers(streamed: bool) -> None:
    with serve("qwen", forecaster) as sim, gate(sim) as one:
        async with one.aopenai() as client:
            conversation = await client.conversations.create()
            who = agent(client, tools=[weather])
            await run(who, "My name is Ada.", streamed=streamed, conversation_id=conversation.id)
            told = await run(who, "weather?", streamed=streamed, conversation_id=conversation.id)
            assert told.final_output == SUNNY
            last = await run(who, "What is my name?", streamed=streamed, conversation_id=conversation.id)
            assert "Ada" in last.final_output
            listed = one.get(f"/v1/conversations/{conversation.id}/turns")[1]
            assert listed.count(b'"completed"') == 3


async def test_what_a_session_gives_up_the_model_does_not_see() -> None:
    with serve("qwen") as sim, gate(sim) as one:
        async with one.aopenai() as client:
            session = OpenAIConversationsSession(openai_client=client)
            who = agent(client)
            await run(who, "My name is Ada.", session=session)
            await run(who, "I live in Paris.", session=session)
            for _ in range(2):
                await session.pop_item()
            assert "Paris" not in (await run(who, "Where do I live?", session=session)).final_output
            assert "Ada" in (await run(who, "What is my name?", session=session)).final_output
            await session.clear_session()
            assert "Ada" not in (await run(who, "What is my name?", session=session)).final_output


async def test_a_session_takes_more_items_than_one_page_holds() -> None:
    with serve("qwen") as sim, gate(sim) as one:
        async with one.aopenai() as client:
            session = OpenAIConversationsSession(openai_client=client)
            said: list[Any] = [{"role": "user", "content": "My name is Ada."}]
            said += [
                {"role": role, "content": f"{role} {number}"}
                for number in range(30)
                for role in ("assistant", "user")
            ]
            await session.add_items([*said, {"role": "assistant", "content": "ok"}])
            assert len(await session.get_items()) == 62
            newest: Any = await session.get_items(limit=2)
            assert [each["content"][0]["text"] for each in newest] == ["user 29", "ok"]
            assert "Ada" in (await run(agent(client), "What is my name?", session=session)).final_output


async def test_a_session_outlives_the_server(tmp_path: Path) -> None:
    name = ""
    with serve("qwen") as sim:
        for text in ("My name is Ada.", "What is my name?"):
            with gate(sim, store=tmp_path / "chats.db") as one:
                async with one.aopenai() as client:
                    session = OpenAIConversationsSession(conversation_id=name or None, openai_client=client)
                    result = await run(agent(client), text, session=session)
                    name = session.session_id
        assert "Ada" in result.final_output


async def test_a_response_that_is_not_there_is_an_error_of_the_sdks() -> None:
    with serve("qwen") as sim, gate(sim) as one:
        async with one.aopenai() as client:
            with pytest.raises(openai.APIStatusError) as caught:
                await run(agent(client), "Hello", previous_response_id="resp_unheard_of")
            assert caught.value.code == "previous_response_not_found"


class Person(BaseModel):
    """What the agent is to answer."""

    name: str
    age: int


async def test_an_answer_may_have_a_type() -> None:
    with serve("openai", '{"name": "Ada", "age": 27}') as sim, gate(sim) as one:
        async with one.aopenai() as client:
            result = await run(agent(client, "openai/gpt-4.1", output_type=Person), "Who is it?")
        assert result.final_output == Person(name="Ada", age=27)
        assert sim.requests[0].body["response_format"]["type"] == "json_schema"


async def test_one_agent_hands_over_to_another() -> None:
    answers: list[Reply] = [Answer(calls=[Call("transfer_to_bob", "{}", id="call_1")]), "I am Bob."]
    with serve("qwen", answers) as sim, gate(sim) as one:
        async with one.aopenai() as client:
            bob = agent(client).clone(name="Bob", instructions="You are Bob.")
            session = OpenAIConversationsSession(openai_client=client)
            result = await run(agent(client, handoffs=[bob]), "Bob, please.", session=session)
        assert (result.final_output, result.last_agent.name) == ("I am Bob.", "Bob")
        assert [text for role, text in asked(sim) if role == "system"] == ["You are Bob."]


async def test_a_session_goes_on_after_a_run_that_was_stopped() -> None:
    answers: list[Reply] = [Answer("a long answer", stall=30, stall_after=3), "two"]
    with serve("qwen", answers) as sim, gate(sim) as one:
        async with one.aopenai() as client:
            session = OpenAIConversationsSession(openai_client=client)
            stopped = Runner.run_streamed(agent(client), "one", session=session, run_config=UNTRACED)
            async for event in stopped.stream_events():
                if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent):
                    stopped.cancel()
            result = await run(agent(client), "two", session=session)
        assert result.final_output == "two"
        assert asked(sim)[-1][1].endswith("two")


def summariser(received: Received) -> Reply:
    """Writes a summary where it is asked for one; else remembers."""
    return "The user's name is Ada." if "new summary" in received.text else remember(received)


@pytest.mark.parametrize("mode", ["input", "previous_response_id"])
async def test_a_session_has_itself_made_shorter(mode: Any) -> None:
    with serve("openai", summariser) as sim, gate(sim) as one:
        async with one.aopenai() as client:
            session = OpenAIResponsesCompactionSession(
                session_id="s1",
                underlying_session=SQLiteSession("s1"),
                client=client,
                model="gpt-4.1",
                compaction_mode=mode,
                should_trigger_compaction=lambda known: len(known["session_items"]) > 2,
            )
            who = agent(client, "gpt-4.1")
            for text in ("My name is Ada.", "I like tea."):
                await run(who, text, session=session)
            assert [dict(each)["type"] for each in await session.get_items()] == ["compaction"]
            assert "Ada" in (await run(who, "What is my name?", session=session)).final_output
