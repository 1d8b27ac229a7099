"""Every method of the official SDK's resources that the gateway has, with every parameter the SDK has for it:
what is answered passes the SDK's own strict models, and nothing that was asked for is lost without a word."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.conversations import Conversation, ConversationDeletedResource, ConversationItemList
from openai.types.responses import CompactedResponse, InputTokenCountResponse, Response
from tests.gateway.responding import until
from tests.gateway.serving import Gate, gate
from tests.simulators import Script, Simulator, serve

MODEL = "openai/gpt-4.1"
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL: dict[str, Any] = {
    "type": "function",
    "name": "weather",
    "description": "The weather in a city.",
    "parameters": SCHEMA,
    "strict": False,
    "allowed_callers": ["direct"],
    "async": True,
    "defer_loading": True,
    "output_schema": SCHEMA,
}
REASONING = {"effort": "low", "summary": "auto", "context": "all_turns", "mode": "pro"}
CACHING = {"mode": "explicit", "ttl": "30m"}
ITEM: dict[str, Any] = {
    "type": "message",
    "role": "user",
    "content": "My name is Ada.",
    "phase": "commentary",
}
INCLUDE = ["message.input_image.image_url", "message.output_text.logprobs", "reasoning.encrypted_content"]

TOLD: dict[str, Any] = {
    "context_management": [{"type": "compaction", "compact_threshold": 2000}],
    "instructions": "Be brief.",
    "max_output_tokens": 100,
    "max_tool_calls": 3,
    "metadata": {"colour": "red"},
    "parallel_tool_calls": False,
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "safety_identifier": "s",
    "service_tier": "flex",
    "temperature": 0.5,
    "tool_choice": "none",
    "top_logprobs": 2,
    "top_p": 0.9,
    "truncation": "auto",
    "user": "ada",
}
"""Parameters of a response that it tells back as they were asked for."""
RESPONSE: dict[str, Any] = {
    **TOLD,
    "access_programs": {"cyber": "standard"},
    "image": {"context_compression": "auto"},
    "include": INCLUDE,
    "input": "What is my name?",
    "model": MODEL,
    "prompt_cache_options": {**CACHING, "prewarm": True, "comparison_response_id": "resp_1"},
    "reasoning": REASONING,
    "store": True,
    "text": {"format": {"type": "text"}, "verbosity": "low"},
    "tools": [TOOL],
}
STREAMED: dict[str, Any] = {"stream": True, "stream_options": {"include_obfuscation": True}}
BACKGROUND = {"background": True}
REFUSED: dict[str, Any] = {"moderation": {"model": "omni-moderation-latest"}, "prompt": {"id": "pmpt_1"}}
FOLLOWING = {"conversation", "previous_response_id"}
OF_TOOLS = {"tools.async", "tools.defer_loading", "tools.output_schema"}
OF_REASONING = {"reasoning.context", "reasoning.mode"}
DROPPED = OF_TOOLS | OF_REASONING | {"include", "top_logprobs"}
DROPPED |= {"prompt_cache_options.prewarm", "prompt_cache_options.comparison_response_id"}

LOST: dict[str, Any] = {
    "function_call": "none",
    "functions": [{"name": "weather", "description": "The weather.", "parameters": SCHEMA}],
    "logprobs": True,
    "metadata": {"colour": "red"},
    "top_logprobs": 2,
}
"""Parameters of a chat completion of which no remembered answer can tell."""
HANDED_ON: dict[str, Any] = {
    "audio": {"format": "wav", "voice": "alloy"},
    "frequency_penalty": -2,
    "logit_bias": {"1": 2},
    "max_completion_tokens": 100,
    "modalities": ["text"],
    "moderation": {"model": "omni-moderation-latest", "policy": {"input": {"mode": "score"}}},
    "parallel_tool_calls": True,
    "prediction": {"type": "content", "content": "Ada"},
    "presence_penalty": -2,
    "prompt_cache_key": "k",
    "prompt_cache_options": CACHING,
    "prompt_cache_retention": "24h",
    "reasoning_effort": "none",
    "response_format": {"type": "text"},
    "safety_identifier": "s",
    "seed": -(2**53) + 1,
    "service_tier": "auto",
    "stop": "\n",
    "temperature": 1,
    "tool_choice": "none",
    "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}],
    "top_p": 1,
    "verbosity": "low",
    "web_search_options": {"search_context_size": "low", "user_location": None},
}
CHAT: dict[str, Any] = {**HANDED_ON, **LOST, "model": MODEL, "n": 1, "store": True, "user": "ada"}
OLD_LIMIT = {"max_tokens": 100}
"""Takes the place of ``max_completion_tokens``."""

Client = OpenAI | AsyncOpenAI
RESOURCES = (
    "responses",
    "responses.input_items",
    "responses.input_tokens",
    "conversations",
    "conversations.items",
    "chat.completions",
    "chat.completions.messages",
    "models",
)
ABSENT: dict[str, tuple[dict[str, Any], int]] = {
    "chat.completions.retrieve": ({"completion_id": "chatcmpl-1"}, 404),
    "chat.completions.update": ({"completion_id": "chatcmpl-1", "metadata": {"a": "b"}}, 404),
    "chat.completions.delete": ({"completion_id": "chatcmpl-1"}, 404),
    "chat.completions.messages.list": (
        {"completion_id": "chatcmpl-1", "after": "m", "limit": 1, "order": "asc"},
        404,
    ),
    "chat.completions.list": (
        {"after": "c", "limit": 1, "metadata": {"a": "b"}, "model": MODEL, "order": "asc"},
        405,
    ),
    "models.delete": ({"model": "ft:gpt-4.1:mine"}, 405),
}
"""Methods that ask for what the gateway does not keep."""
ELSEWHERE = {"connect", "parse", "stream"}
"""Methods that ask through others of these, or speak another protocol."""


class Calls:
    """One client, whose methods are called by their names; ``called`` are those that were."""

    def __init__(self, one: Gate, client: Client) -> None:
        self.one, self.client = one, client

    async def __call__(self, name: str, /, **given: Any) -> Any:
        """What a method gives."""
        found = attrgetter(name)(self.client)(**given)
        return await found if inspect.isawaitable(found) else found

    async def raw(self, name: str, /, **given: Any) -> tuple[Mapping[str, str], Any]:
        """The headers it comes with, and what it gives."""
        where, _, method = name.rpartition(".")
        found = await self(f"{where}.with_raw_response.{method}", **given)
        parsed = found.parse()
        return found.headers, await parsed if inspect.isawaitable(parsed) else parsed

    async def every(self, name: str, **given: Any) -> list[Any]:
        """All of a page, its followers, or a stream."""
        found = await self(name, **given)
        return [each async for each in found] if hasattr(found, "__aiter__") else list(found)


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with serve("openai", Script(["one", "two", "three", "four", "five"])) as found:
        yield found


@pytest.fixture
def one(sim: Simulator) -> Iterator[Gate]:
    with gate(sim, model=MODEL) as found:
        yield found


@pytest.fixture(params=["blocking", "asynchronous"])
async def calls(request: pytest.FixtureRequest, one: Gate) -> Any:
    if request.param == "blocking":
        yield Calls(one, one.openai())
        return
    async with one.aopenai() as client:
        yield Calls(one, client)


def documented(name: str) -> set[str]:
    """The parameters that the SDK has for a method."""
    with OpenAI(api_key="none") as client:
        found = inspect.signature(attrgetter(name)(client)).parameters
    return set(found) - {"extra_headers", "extra_query", "extra_body", "timeout"}


def methods() -> set[str]:
    """All methods of the resources."""
    with OpenAI(api_key="none") as client:
        return {
            f"{resource}.{name}"
            for resource in RESOURCES
            for name, method in vars(type(attrgetter(resource)(client))).items()
            if inspect.isfunction(method) and not name.startswith(("_", "with_"))
        }


def dropped(headers: Mapping[str, str]) -> set[str]:
    return set(headers.get("x-multiturn-dropped", "").split(", ")) - {""}


GIVEN: dict[str, set[str]] = {
    "responses.create": {*RESPONSE, *STREAMED, *BACKGROUND, *REFUSED, *FOLLOWING},
    "responses.retrieve": {"response_id", "include", "include_obfuscation", "starting_after", "stream"},
    "responses.delete": {"response_id"},
    "responses.cancel": {"response_id"},
    "responses.compact": {
        *("image", "input", "instructions", "model", "previous_response_id", "prompt_cache_key"),
        *("prompt_cache_options", "prompt_cache_retention", "service_tier"),
    },
    "responses.input_items.list": {"response_id", "after", "include", "limit", "order"},
    "responses.input_tokens.count": {
        *FOLLOWING,
        *("input", "instructions", "model", "parallel_tool_calls", "personality", "reasoning", "text"),
        *("tool_choice", "tools", "truncation"),
    },
    "conversations.create": {"items", "metadata"},
    "conversations.retrieve": {"conversation_id"},
    "conversations.update": {"conversation_id", "metadata"},
    "conversations.delete": {"conversation_id"},
    "conversations.items.create": {"conversation_id", "items", "include"},
    "conversations.items.retrieve": {"conversation_id", "item_id", "include"},
    "conversations.items.list": {"conversation_id", "after", "include", "limit", "order"},
    "conversations.items.delete": {"conversation_id", "item_id"},
    "chat.completions.create": {*CHAT, *OLD_LIMIT, *STREAMED, "messages"},
    "models.list": set(),
    "models.retrieve": {"model"},
    **{name: set(given) for name, (given, _) in ABSENT.items()},
}
"""What is given below, by method."""


def test_no_method_and_no_parameter_of_the_sdk_is_forgotten() -> None:
    assert set(GIVEN) == {each for each in methods() if each.rpartition(".")[2] not in ELSEWHERE}
    assert {name: documented(name) for name in GIVEN} == GIVEN


# --------------------------------------------------------------------------------------- responses


@pytest.mark.parametrize("followed", sorted(FOLLOWING))
@pytest.mark.parametrize("more", [{}, STREAMED, BACKGROUND, {**BACKGROUND, **STREAMED}])
async def test_a_response_is_asked_for_with_everything(
    calls: Calls, sim: Simulator, followed: str, more: dict[str, Any]
) -> None:
    before = await calls("conversations.create", items=[ITEM])
    if followed == "previous_response_id":
        before = await calls("responses.create", input="My name is Ada.", model=MODEL)
        sim.requests.clear()
    given = {**RESPONSE, **more, followed: before.id}
    headers, found = await calls.raw("responses.create", **given)
    assert dropped(headers) == DROPPED | (
        {"stream_options.include_obfuscation"} if "stream" in more else set()
    )
    if "stream" in more:
        events = [each async for each in found] if hasattr(found, "__aiter__") else list(found)
        assert [each.sequence_number for each in events] == list(range(len(events)))
        assert events[-1].type == "response.completed"
        found = events[-1].response
    elif more:
        assert found.status == "queued"
        until(lambda: json.loads(calls.one.get(f"/v1/responses/{found.id}")[1])["status"] == "completed")
        found = await calls("responses.retrieve", response_id=found.id)
    told = found.to_dict()
    assert {name: told[name] for name in TOLD} == TOLD
    assert found.text.verbosity == "low"
    assert (found.background, found.reasoning.effort) == ("background" in more, "low")
    assert told[followed] == (before.id if followed == "previous_response_id" else {"id": before.id})
    assert isinstance(found, Response)
    asked = sim.requests[-1].body
    assert [each["content"] for each in asked["messages"] if each["role"] == "user"] == [
        "My name is Ada.",
        "What is my name?",
    ]
    assert (asked["temperature"], asked["top_p"], asked["verbosity"]) == (0.5, 0.9, "low")
    assert (asked["service_tier"], asked["prompt_cache_options"]) == ("flex", CACHING)
    assert found == await calls("responses.retrieve", response_id=found.id)


@pytest.mark.parametrize("name", REFUSED)
async def test_what_only_openai_can_do_is_refused_by_its_name(
    calls: Calls, sim: Simulator, name: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await calls("responses.create", input="hi", model=MODEL, **{name: REFUSED[name]})
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", name)
    assert not sim.requests


async def test_what_contradicts_itself_is_refused_as_openai_does(calls: Calls, sim: Simulator) -> None:
    conversation = await calls("conversations.create")
    first = await calls("responses.create", input="hi", model=MODEL)
    both = {"conversation": conversation.id, "previous_response_id": first.id}
    wrong: list[tuple[dict[str, Any], str]] = [
        (both, "previous_response_id"),
        ({"max_tool_calls": 0}, "max_tool_calls"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"background": True, "store": False}, "background"),
    ]
    for given, param in wrong:
        with pytest.raises(openai.BadRequestError) as caught:
            await calls("responses.create", input="hi", model=MODEL, **given)
        assert caught.value.param == param
    with pytest.raises(openai.BadRequestError) as caught:
        await calls("responses.create")
    assert caught.value.type == "invalid_request_error"
    assert len(sim.requests) == 1


async def test_a_stored_response_is_read_in_every_way(calls: Calls) -> None:
    first = await calls("responses.create", input="hi", model=MODEL)
    named: dict[str, Any] = {"response_id": first.id, "include": INCLUDE, "include_obfuscation": True}
    assert await calls("responses.retrieve", **named, starting_after=0, stream=False) == first
    events = await calls.every("responses.retrieve", **named, starting_after=2, stream=True)
    assert [each.sequence_number for each in events] == list(range(3, 3 + len(events)))
    assert events[-1].response == first
    assert await calls("responses.cancel", response_id=first.id) == first
    items = await calls.every(
        "responses.input_items.list", response_id=first.id, include=INCLUDE, order="asc"
    )
    assert [each.content[0].text for each in items] == ["hi"]
    after = {"after": items[0].id, "limit": 1, "order": "desc"}
    assert await calls.every("responses.input_items.list", response_id=first.id, **after) == []
    assert await calls("responses.delete", response_id=first.id) is None
    for name in ("retrieve", "delete", "cancel", "input_items.list"):
        with pytest.raises(openai.NotFoundError) as caught:
            await calls(f"responses.{name}", response_id=first.id)
        assert (caught.value.code, caught.value.param) == ("response_not_found", "response_id")


async def test_a_conversation_is_counted_and_compacted_with_everything(calls: Calls, sim: Simulator) -> None:
    first = await calls("responses.create", input="My name is Ada.", model=MODEL)
    plain = await calls("responses.input_tokens.count", input="And I am 27.", model=MODEL)
    headers, counted = await calls.raw(
        "responses.input_tokens.count",
        input="And I am 27.",
        instructions="Be brief.",
        model=MODEL,
        parallel_tool_calls=True,
        personality="friendly",
        previous_response_id=first.id,
        reasoning=REASONING,
        text={"format": {"type": "text"}, "verbosity": "low"},
        tool_choice="none",
        tools=[TOOL],
        truncation="auto",
    )
    assert isinstance(counted, InputTokenCountResponse)
    assert counted.input_tokens > plain.input_tokens + 30
    assert dropped(headers) == {"personality"} | OF_TOOLS | OF_REASONING
    sim.script = Script("Ada is 27.")
    compacted = await calls(
        "responses.compact",
        image={"context_compression": "auto"},
        input="And I am 27.",
        instructions="Be brief.",
        model=MODEL,
        previous_response_id=first.id,
        prompt_cache_key="k",
        prompt_cache_options=CACHING,
        prompt_cache_retention="24h",
        service_tier="auto",
    )
    assert isinstance(compacted, CompactedResponse)
    items = [each.to_dict() for each in compacted.output]
    sim.script = Script("27.")
    reply = await calls(
        "responses.create", model=MODEL, input=[*items, {"role": "user", "content": "My age?"}]
    )
    assert reply.output_text == "27."
    assert "27" in str(sim.requests[-1].messages[0]["content"])


# ----------------------------------------------------------------------------------- conversations


async def test_conversations_and_items_take_everything(calls: Calls) -> None:
    made = await calls("conversations.create", items=[ITEM, ITEM], metadata={"colour": "red"})
    at = {"conversation_id": made.id}
    changed = await calls("conversations.update", **at, metadata={"colour": "blue"})
    assert changed == await calls("conversations.retrieve", **at)
    assert isinstance(changed, Conversation)
    assert changed.metadata == {"colour": "blue"}
    added = await calls("conversations.items.create", **at, items=[ITEM], include=INCLUDE)
    assert isinstance(added, ConversationItemList)
    items = await calls.every("conversations.items.list", **at, include=INCLUDE, limit=1, order="asc")
    assert len(items) == 3
    assert items[-1].id == added.data[0].id
    rest = await calls.every("conversations.items.list", **at, after=items[0].id, order="asc")
    assert rest == items[1:]
    item = {**at, "item_id": items[0].id}
    assert await calls("conversations.items.retrieve", **item, include=INCLUDE) == items[0]
    assert items[0].to_dict() | {"phase": "commentary"} == items[0].to_dict()
    assert await calls("conversations.items.delete", **item) == await calls("conversations.retrieve", **at)
    with pytest.raises(openai.NotFoundError) as caught:
        await calls("conversations.items.retrieve", **item)
    assert caught.value.code == "item_not_found"
    gone = await calls("conversations.delete", **at)
    assert isinstance(gone, ConversationDeletedResource)
    assert (gone.id, gone.deleted) == (made.id, True)
    with pytest.raises(openai.NotFoundError) as caught:
        await calls("conversations.retrieve", **at)
    assert caught.value.code == "conversation_not_found"


# -------------------------------------------------------------------------------- chat completions


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("more", [{}, {"stream": True, "stream_options": {"include_usage": True}}])
async def test_a_chat_completion_is_handed_on_with_everything(
    calls: Calls, sim: Simulator, more: dict[str, Any], limit: str
) -> None:
    given = {**CHAT, **OLD_LIMIT, **more, "messages": [{"role": "developer", "content": "Hi.", "name": "n"}]}
    given.pop(*{"max_tokens", "max_completion_tokens"} - {limit})
    if more:
        chunks = await calls.every("chat.completions.create", **given)
        assert all(isinstance(each, ChatCompletionChunk) for each in chunks)
        assert chunks[-1].usage.total_tokens > 0
    else:
        found = await calls("chat.completions.create", **given)
        assert isinstance(found, ChatCompletion)
        assert found.choices[0].message.content == "one"
    assert sim.requests[0].body == {**given, "model": "gpt-4.1"}


@pytest.mark.parametrize("more", [{}, {"stream": True, "stream_options": {"include_usage": True}}])
async def test_a_turn_is_asked_for_with_everything(
    calls: Calls, sim: Simulator, more: dict[str, Any]
) -> None:
    given = {**CHAT, **more, "extra_headers": {"X-Conversation-Id": "c1"}}
    given["messages"] = [{"role": "user", "content": "My name is Ada."}]
    headers, found = await calls.raw("chat.completions.create", **given)
    assert dropped(headers) == set(LOST)
    if more:
        chunks = [each async for each in found] if hasattr(found, "__aiter__") else list(found)
        assert "".join(each.choices[0].delta.content or "" for each in chunks if each.choices) == "one"
        assert chunks[-1].usage.total_tokens > 0
    else:
        assert found.choices[0].message.content == "one"
    asked = sim.requests[0].body
    assert {name: asked.get(name) for name in HANDED_ON} == HANDED_ON
    assert not {*LOST, "user", "store"} & asked.keys()


@pytest.mark.parametrize("name", ABSENT)
async def test_what_is_not_kept_is_refused_in_the_envelope(calls: Calls, name: str) -> None:
    given, status = ABSENT[name]
    with pytest.raises(openai.APIStatusError) as caught:
        await calls(name, **given)
    code = {404: "unknown_url", 405: "method_not_allowed"}[status]
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert caught.value.type == "invalid_request_error"


async def test_models_are_listed_and_found(calls: Calls) -> None:
    listed = await calls.every("models.list")
    assert MODEL in [each.id for each in listed]
    assert await calls("models.retrieve", model=MODEL) in listed
    with pytest.raises(openai.NotFoundError) as caught:
        await calls("models.retrieve", model="kimi/kimi-k2.6")
    assert caught.value.code == "model_not_found"
