"""What tests of responses say again and again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from tests.gateway.serving import Gate
from tests.simulators import Simulator

from multiturn.prompts import is_request

__all__ = ["MODEL", "TOOL", "ask", "chunks", "questions", "result", "sent", "told", "until"]

MODEL = "qwen/qwen-plus"
TOOL: dict[str, Any] = {
    "type": "function",
    "name": "weather",
    "description": None,
    "parameters": {"type": "object", "properties": {}},
    "strict": None,
}


def ask(one: Gate, input: Any, **given: Any) -> Any:
    """One response."""
    return one.openai().responses.create(**{"model": MODEL, "input": input, **given})


def told(one: Gate, input: Any, **given: Any) -> list[dict[str, Any]]:
    """The events of one response."""
    return chunks(one.openai().responses.create(model=MODEL, input=input, stream=True, **given))


def chunks(events: Iterable[Any]) -> list[dict[str, Any]]:
    return [each.to_dict() for each in events]


def questions(sim: Simulator) -> list[list[dict[str, Any]]]:
    """What the provider was sent, but for the summaries: those are asked for beside the turns."""
    return [each.messages for each in sim.requests if not is_request(each.messages)]


def sent(sim: Simulator) -> list[tuple[str, Any]]:
    """What the provider was sent last."""
    return [(each["role"], each.get("content")) for each in questions(sim)[-1]]


def result(call_id: str, output: str = "sunny") -> dict[str, str]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def post(one: Gate, body: dict[str, Any], **headers: str) -> tuple[int, Any, Any]:
    """Status, JSON and headers of a bare request."""
    status, raw, found = one.post({"model": MODEL, **body}, path="/v1/responses", **headers)
    return status, json.loads(raw), found


def until(condition: Callable[[], Any]) -> None:
    """Wait until something has happened."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
