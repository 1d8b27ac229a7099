"""A conversation changes its model at any turn: no provider may refuse what another one left behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from itertools import permutations
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.checker import MODELS, check, rules_for
from tests.simulators import Answer, Call, Received, Simulator, simulate

from multiturn import AsyncConversation, ContextPolicy, Image, Reply, Text
from multiturn.tokens import count_message, count_tools

from .world import client_of

FAMILIES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "qwen": ("qwen/qwen-plus", {"enable_thinking": True}),
    "dashscope": ("dashscope/qwen-plus", {"enable_thinking": True}),
    "kimi": ("kimi/kimi-k2.6", {}),
    "deepseek": ("deepseek/deepseek-v4-flash", {}),
    "glm": ("glm/glm-5.1", {}),
    "stepfun": ("stepfun/step-3.7-flash", {}),
    "openai": ("openai/gpt-5.4", {}),
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Looks something up.",
            "parameters": {"type": "object", "properties": {"what": {"type": "string"}}},
        },
    }
]


def clerk(received: Received) -> Answer:
    """Looks two things up at once, then a third, then answers; without tools it only answers."""
    messages = received.messages
    last = max(place for place, message in enumerate(messages) if message["role"] == "user")
    steps = sum(message["role"] == "assistant" for message in messages[last:])
    tools = received.body.get("tools") or (received.body.get("parameters") or {}).get("tools")
    if tools and steps == 0:
        return Answer(calls=[Call("look_up", {"what": "a"}), Call("look_up", {"what": "b"})])
    if tools and steps == 1:
        return Answer("One more.", calls=[Call("look_up", {"what": "c"})])
    return Answer("Here it is.")


@pytest.fixture
async def simulators() -> AsyncIterator[dict[str, Simulator]]:
    async with AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(simulate(name, clerk)) for name in FAMILIES}


async def talk(chat: AsyncConversation, text: object, name: str, *, stream: bool) -> Reply:
    """One turn with a loop of tools."""
    params = FAMILIES[name][1]
    reply = await say(chat, text, stream=stream, params=params, tools=TOOLS)
    while reply.tool_calls:
        results = {call.id: f"found {call.arguments}" for call in reply.tool_calls}
        reply = await say(chat, stream=stream, tool_results=results, params=params, tools=TOOLS)
        window_is_right(await past(chat), reply)
    assert reply.text == "Here it is."
    return reply


async def say(chat: AsyncConversation, content: object = None, *, stream: bool, **asking: Any) -> Reply:
    if not stream:
        return await chat.send(content, **asking)
    async with chat.stream(content, **asking) as going:
        async for _ in going:
            pass
    return going.reply


async def past(chat: AsyncConversation) -> list[dict[str, Any]]:
    """The whole path as dictionaries, the newest answer left out: what the last window was made from."""
    settings = (await chat.info()).settings
    head = [orjson.loads(body) for body in settings.instructions]
    lines = (await chat.export()).splitlines()[1:]
    return [*head, *(orjson.loads(line) for line in lines[:-1])]


def window_is_right(history: list[dict[str, Any]], reply: Reply) -> None:
    if reply.model not in MODELS:
        return
    found = check(
        history,
        reply.window.messages,
        policy=ContextPolicy(),
        rules=rules_for(reply.model),
        count=count_message,
        budget=reply.window.limits.budget,
        tools_tokens=count_tools(TOOLS),
        decisions=reply.window.decisions,
    )
    assert not found, found


@pytest.mark.parametrize(("first", "second"), list(permutations(FAMILIES, 2)))
async def test_every_pair_of_models_goes_on_with_the_others_turns(
    tmp_path: Path, simulators: dict[str, Simulator], first: str, second: str
) -> None:
    stream = first < second
    async with client_of(tmp_path, FAMILIES[first][0], *simulators.values()) as client:
        for name in (first, second, first):
            chat = client.conversation("c", system="You are a clerk.", model=FAMILIES[name][0])
            reply = await say(chat, f"Hello {name}.", stream=stream, params=FAMILIES[name][1])
            assert reply.text == "Here it is."
            await talk(chat, "Look it up.", name, stream=stream)
            await say(chat, "And again.", stream=stream, params=FAMILIES[name][1], tools=TOOLS)
            chat = client.conversation("c", model=FAMILIES[name][0])
            reply = await say(chat, "Never mind.", stream=stream, params=FAMILIES[name][1])
            window_is_right(await past(chat), reply)
    assert {r.status for s in simulators.values() for r in s.requests} == {200}


@pytest.mark.parametrize("name", FAMILIES)
async def test_reasoning_that_was_not_kept_is_not_missed(
    tmp_path: Path, simulators: dict[str, Simulator], name: str
) -> None:
    async with client_of(tmp_path, FAMILIES[name][0], *simulators.values(), keep_reasoning=False) as client:
        chat = client.conversation("c")
        await talk(chat, "Look it up.", name, stream=True)
        await talk(chat, "And that.", name, stream=False)
        assert all(message.reasoning is None for message in await chat.history())
    assert {r.status for r in simulators[name].requests} == {200}


async def test_images_are_left_out_where_the_next_model_cannot_see(
    tmp_path: Path, simulators: dict[str, Simulator]
) -> None:
    url = "data:image/png;base64,iVBORw0KGgo="
    async with client_of(tmp_path, "qwen/qwen3-vl-plus", *simulators.values()) as client:
        await client.conversation("c").send([Text("What is this?"), Image(url)])
        reply = await client.conversation("c", model="deepseek/deepseek-v4-flash").send("And what else?")
        assert "image_url" not in str(reply.window.messages)
        assert any(decision.omitted for decision in reply.window.decisions)
        reply = await client.conversation("c", model="kimi/kimi-k2.6").send("And now?")
        assert "image_url" in str(reply.window.messages[0])
    assert {r.status for s in simulators.values() for r in s.requests} == {200}


@pytest.mark.parametrize("name", FAMILIES)
async def test_reasoning_goes_back_as_the_model_wants_it(
    tmp_path: Path, simulators: dict[str, Simulator], name: str
) -> None:
    """In its own loop of tools, each of these that thinks gets its thoughts back; DashScope drops them."""
    async with client_of(tmp_path, FAMILIES[name][0], *simulators.values()) as client:
        reply = await talk(client.conversation("c"), "Look it up.", name, stream=True)
        sent = [m for m in reply.window.messages if m["role"] == "assistant"]
        thoughts = [m.get("reasoning_content", m.get("reasoning")) for m in sent]
        stored = [m.reasoning for m in await client.conversation("c").history() if m.role == "assistant"]
    if name == "openai":
        assert stored == [None] * 3
        assert thoughts == [None, None]
    elif rules_for(FAMILIES[name][0]).calling == "must":
        assert thoughts == stored[:2]
        assert all(thoughts)


@pytest.mark.parametrize(
    "model", ["qwen/qwq-plus", "qwen/qwen3-8b", "dashscope/qwq-plus", "dashscope/qwen3-8b"]
)
async def test_a_model_that_only_streams_is_asked_to_stream_by_send_too(
    tmp_path: Path, simulators: dict[str, Simulator], model: str
) -> None:
    async with client_of(tmp_path, model, *simulators.values()) as client:
        reply = await client.conversation("c").send("hi")
    assert reply.text == "Here it is."
    assert {r.status for r in simulators[model.partition("/")[0]].requests} == {200}


async def test_send_does_not_stream_where_that_is_not_needed(
    tmp_path: Path, simulators: dict[str, Simulator]
) -> None:
    async with client_of(tmp_path, "qwen/qwen-plus", *simulators.values()) as client:
        await client.conversation("c").send("hi")
    assert [request.body["stream"] for request in simulators["qwen"].requests] == [False]
