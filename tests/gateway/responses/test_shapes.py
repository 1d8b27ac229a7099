"""Has every response, item and event each field that the Open Responses specification of 2026-04-24 wants,
and null only where it may stand?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from tests.gateway.responding import MODEL, TOOL, post
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Call, Script, Wire, serve

Fields = Mapping[str, Any]
NONE = type(None)
NUMBER = (int, float)

RESPONSE: Fields = {
    "id": str,
    "object": str,
    "created_at": int,
    "completed_at": (int, NONE),
    "status": str,
    "incomplete_details": (dict, NONE),
    "model": str,
    "previous_response_id": (str, NONE),
    "instructions": (str, NONE),
    "output": list,
    "error": (dict, NONE),
    "tools": list,
    "tool_choice": (str, dict),
    "truncation": str,
    "parallel_tool_calls": bool,
    "text": dict,
    "top_p": NUMBER,
    "presence_penalty": NUMBER,
    "frequency_penalty": NUMBER,
    "top_logprobs": int,
    "temperature": NUMBER,
    "reasoning": (dict, NONE),
    "usage": (dict, NONE),
    "max_output_tokens": (int, NONE),
    "max_tool_calls": (int, NONE),
    "store": bool,
    "background": bool,
    "service_tier": str,
    "metadata": dict,
    "safety_identifier": (str, NONE),
    "prompt_cache_key": (str, NONE),
}
OURS: Fields = {
    "access_programs": NONE,
    "conversation": (dict, NONE),
    "user": str,
    "context_management": list,
}
"""What OpenAI has besides."""
USAGE: Fields = {
    "input_tokens": int,
    "output_tokens": int,
    "total_tokens": int,
    "input_tokens_details": dict,
    "output_tokens_details": dict,
}
ITEMS: Mapping[str, Fields] = {
    "message": {"id": str, "status": str, "role": str, "content": list},
    "function_call": {"id": str, "status": str, "call_id": str, "name": str, "arguments": str},
    "reasoning": {"id": str, "status": str, "summary": list, "content": list},
}
PARTS: Mapping[str, Fields] = {
    "output_text": {"text": str, "annotations": list, "logprobs": list},
    "refusal": {"refusal": str},
    "summary_text": {"text": str},
}
WHERE: Fields = {"item_id": str, "output_index": int}
PART: Fields = {**WHERE, "content_index": int}
SUMMARY: Fields = {**WHERE, "summary_index": int}
EVENTS: Mapping[str, Fields] = {
    "response.created": {"response": dict},
    "response.queued": {"response": dict},
    "response.in_progress": {"response": dict},
    "response.completed": {"response": dict},
    "response.failed": {"response": dict},
    "response.incomplete": {"response": dict},
    "response.output_item.added": {"output_index": int, "item": dict},
    "response.output_item.done": {"output_index": int, "item": dict},
    "response.content_part.added": {**PART, "part": dict},
    "response.content_part.done": {**PART, "part": dict},
    "response.output_text.delta": {**PART, "delta": str, "logprobs": list},
    "response.output_text.done": {**PART, "text": str, "logprobs": list},
    "response.refusal.delta": {**PART, "delta": str},
    "response.refusal.done": {**PART, "refusal": str},
    "response.function_call_arguments.delta": {**WHERE, "delta": str},
    "response.function_call_arguments.done": {**WHERE, "name": str, "arguments": str},
    "response.reasoning_summary_part.added": {**SUMMARY, "part": dict},
    "response.reasoning_summary_part.done": {**SUMMARY, "part": dict},
    "response.reasoning_summary_text.delta": {**SUMMARY, "delta": str},
    "response.reasoning_summary_text.done": {**SUMMARY, "text": str},
}
ENDS = ("response.completed", "response.failed", "response.incomplete")


def fit(found: Mapping[str, Any], wanted: Fields, more: Fields | None = None) -> None:
    """The fields are there, each of its kind, and no others but ``more``."""
    assert wanted.keys() <= found.keys(), wanted.keys() - found.keys()
    allowed = {**wanted, **(more or {})}
    assert found.keys() <= allowed.keys(), found.keys() - allowed.keys()
    for name, value in found.items():
        kinds = allowed[name] if isinstance(allowed[name], tuple) else (allowed[name],)
        assert type(value) in kinds, (name, value)


def fit_item(item: Mapping[str, Any]) -> None:
    rest = {name: value for name, value in item.items() if name != "type"}
    fit(rest, ITEMS[item["type"]])
    assert item["status"] in ("in_progress", "completed", "incomplete")
    for part in (*item.get("content", ()), *item.get("summary", ())):
        fit_part(part)


def fit_part(part: Mapping[str, Any]) -> None:
    fit({name: value for name, value in part.items() if name != "type"}, PARTS[part["type"]])


def fit_response(found: Mapping[str, Any]) -> None:
    fit(found, RESPONSE, OURS)
    if found["usage"] is not None:
        fit(found["usage"], USAGE)
        assert found["usage"]["input_tokens_details"].keys() == {"cached_tokens", "cache_write_tokens"}
        assert found["usage"]["output_tokens_details"].keys() == {"reasoning_tokens"}
    for tool in found["tools"]:
        assert tool.keys() == {"type", "name", "description", "parameters", "strict"}
    for item in found["output"]:
        fit_item(item)


def fit_event(event: Mapping[str, Any]) -> None:
    rest = {name: value for name, value in event.items() if name not in ("type", "sequence_number")}
    fit(rest, EVENTS[event["type"]])
    for name, check in (("response", fit_response), ("item", fit_item), ("part", fit_part)):
        if name in event:
            check(event[name])


def read(raw: bytes) -> list[dict[str, Any]]:
    """The events of an answer, which ends as the specification wants it; each is named twice."""
    *blocks, last, nothing = raw.decode().split("\n\n")
    assert (last, nothing) == ("data: [DONE]", "")
    found = []
    for block in blocks:
        name, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def follow(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items as the events make them, in order."""
    items: list[dict[str, Any]] = []
    open_parts: set[tuple[int, int]] = set()
    words: dict[tuple[int, int], str] = {}
    for event in events:
        kind, place = event["type"].removeprefix("response."), event.get("output_index", -1)
        at = (place, event.get("content_index", event.get("summary_index", 0)))
        if kind == "output_item.added":
            assert (place, event["item"]["status"]) == (len(items), "in_progress")
            items.append(event["item"])
            continue
        if place < 0:
            continue
        assert event.get("item_id", items[place]["id"]) == items[place]["id"]
        if kind.endswith("part.added"):
            open_parts.add(at)
        elif kind.endswith(".delta"):
            assert at in open_parts or kind.startswith("function_call")
            words[at] = words.get(at, "") + event["delta"]
        elif kind.endswith("part.done"):
            open_parts.remove(at)
            assert words[at] == event["part"].get("text", event["part"].get("refusal"))
        elif kind == "output_item.done":
            assert event["item"]["id"] == items[place]["id"]
            items[place] = event["item"]
    assert not open_parts
    return items


ANSWERS: Mapping[str, tuple[Answer, str]] = {
    "words": (Answer("Hello, world."), "completed"),
    "thoughts": (Answer("Four.", reasoning="Two and two."), "completed"),
    "calls": (Answer("Let me see.", calls=[Call("weather"), Call("weather")]), "completed"),
    "refusal": (Answer("", refusal="I will not do that."), "completed"),
    "words and a refusal": (Answer("Well.", refusal="No."), "completed"),
    "thoughts and a refusal": (Answer("", reasoning="Hm.", refusal="No."), "completed"),
    "a limit": (Answer("one two", finish="length"), "incomplete"),
    "calls and a limit": (
        Answer("Let me see.", calls=[Call("weather"), Call("weather")], finish="length"),
        "incomplete",
    ),
    "a filter": (Answer("one two", finish="content_filter"), "incomplete"),
    "a broken line": (Answer("It breaks here.", cut="reset", cut_after=3), "failed"),
}


def streamed(one: Gate, **given: Any) -> bytes:
    body = {"model": MODEL, "input": "hi", "reasoning": {"effort": "high"}, "tools": [TOOL], "stream": True}
    status, raw, _ = one.post({**body, **given}, "/v1/responses")
    assert status == 200
    return raw


@pytest.mark.parametrize("given", [{}, {"store": False}, {"background": True}], ids=str)
@pytest.mark.parametrize("name", ANSWERS)
def test_every_event_is_whole(name: str, given: dict[str, Any]) -> None:
    answer, status = ANSWERS[name]
    with serve("qwen", Script(answer, wire=Wire(piece=4))) as sim, gate(sim) as one:
        raw = streamed(one, **given)
        events = read(raw)
        for event in events:
            fit_event(event)
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert [event["type"] for event in events if event["type"] in ENDS] == [f"response.{status}"]
        last = events[-1]["response"]
        assert follow(events) == last["output"]
        if "store" not in given:
            again = one.get(f"/v1/responses/{last['id']}?stream=true")[1]
            assert again == raw
            assert json.loads(one.get(f"/v1/responses/{last['id']}")[1]) == last


@pytest.mark.parametrize("name", [name for name, (_, status) in ANSWERS.items() if status != "failed"])
def test_every_response_is_whole(name: str) -> None:
    answer, status = ANSWERS[name]
    with serve("qwen", answer) as sim, gate(sim) as one:
        for given in ({}, {"store": False}):
            found = post(one, {"input": "hi", "reasoning": {"effort": "high"}, "tools": [TOOL], **given})[1]
            fit_response(found)
            assert found["status"] == status


def test_what_was_asked_for_is_told_back() -> None:
    asked: dict[str, Any] = {
        "instructions": "Be brief.",
        "temperature": 0.5,
        "max_output_tokens": 100,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "none",
            "tools": [{"type": "function", "name": "weather"}],
        },
        "tools": [{"type": "function", "name": "weather"}],
    }
    with serve("qwen", "ok") as sim, gate(sim) as one:
        found = post(one, {"input": "hi", **asked})[1]
        fit_response(found)
        form = {"description": None, "strict": False, **asked["text"]["format"]}
        assert found["text"] == {"format": form}
        bare = {"description": None, "parameters": None, "strict": None, **asked["tools"][0]}
        assert (found["tools"], found["tool_choice"]) == ([bare], asked["tool_choice"])
        assert sim.requests[-1].body["tool_choice"] == "none"
        assert "strict" not in sim.requests[-1].body["response_format"]["json_schema"]


def test_a_compaction_names_its_model() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        status, raw, _ = one.post({"input": "hi"}, "/v1/responses/compact")
        error = json.loads(raw)["error"]
        assert (status, error["code"], error["param"]) == (400, "missing_required_parameter", "model")
        assert one.post({"input": "hi", "model": None}, "/v1/responses/compact")[0] == 200
