"""How does a response look? One object out of what was asked for, how the step ended and what it said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ...phrases import phrase
from ...storage import Asked, Exchange
from ...usage import Usage
from ..items.items import Item, items_of

__all__ = ["CUT", "Progress", "incomplete", "responded", "response_of", "status_of", "usage_told"]

DEFAULTS: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "reasoning": None,
    "safety_identifier": None,
    "prompt_cache_key": None,
    "service_tier": "default",
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "truncation": "auto",
}
"""What holds where a request says nothing; our own policy is what the API calls "auto"."""
CODES = {
    "rate_limited": "rate_limit_exceeded",
    "context_overflow": "invalid_prompt",
    "provider_overflow": "invalid_prompt",
}
"""Codes of failures that the API knows; it calls every other a server_error."""
FILTERED = "content_filtered"
CUT = {"length": "max_output_tokens", "content_filter": "content_filter"}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a response has come: its status, and what there is of the answer until then. ``reason`` says
    why it is incomplete, ``error`` why it failed."""

    status: str = "in_progress"
    model: str | None = None
    output: Sequence[Item] = ()
    usage: Usage | None = None
    ended_at: float | None = None
    reason: str | None = None
    error: Mapping[str, Any] | None = None


def response_of(exchange: Exchange, language: str, lost: Sequence[Item] = ()) -> dict[str, Any]:
    """A stored response; ``lost`` are the items that were told where the store has none."""
    status = status_of(exchange)
    output = items_of(exchange.output) if exchange.output else list(lost)
    step = exchange.step
    reason = CUT.get(step.finish_reason or "") if step else None
    if step and step.error == FILTERED:
        reason = "content_filter"
    if status != "completed":
        output = incomplete(output)
    progress = Progress(
        status,
        model=step.model if step else None,
        output=output,
        usage=step.usage if step else None,
        ended_at=exchange.ended_at,
        reason=reason,
        error=_error(step.error, language) if step and step.error and status == "failed" else None,
    )
    at, asked = exchange.address.response_id, exchange.asked
    return responded(at, exchange.created_at, asked, exchange.conversation, progress)


def incomplete(items: Sequence[Item]) -> list[Item]:
    """Items of an answer that did not come to its end: calls may lack theirs, and so may what came last."""
    last = len(items) - 1
    return [
        item | {"status": "incomplete"} if place == last or item["type"] == "function_call" else item
        for place, item in enumerate(items)
    ]


def status_of(exchange: Exchange) -> str:
    """Where a response stands."""
    step = exchange.step
    if step is None:
        return "in_progress" if exchange.running else "incomplete"
    if step.error == FILTERED:
        return "incomplete"
    if step.error:
        return "failed"
    if step.finish_reason is None:
        return "cancelled"
    return "incomplete" if step.finish_reason in CUT else "completed"


def _error(code: str, language: str) -> dict[str, Any]:
    known = CODES.get(code, "server_error")
    return {"code": known, "message": phrase("gateway.response_failed", language, code=code)}


def responded(
    id: str, created_at: float, asked: Asked, conversation: str, progress: Progress, *, stored: bool = True
) -> dict[str, Any]:
    """A response object with every field that OpenAI's SDKs and the Open Responses specification want."""
    common, own = orjson.loads(asked.common), orjson.loads(asked.own or b"{}")
    model = common.pop("model", "")
    status, reason = progress.status, progress.reason
    ended_at, usage = progress.ended_at, progress.usage
    return {
        "id": id,
        "object": "response",
        "access_programs": None,
        "created_at": int(created_at),
        "status": status,
        "background": bool(own.get("b")),
        "completed_at": int(ended_at) if ended_at is not None and status == "completed" else None,
        "error": progress.error,
        "incomplete_details": {"reason": reason} if reason and status == "incomplete" else None,
        "model": progress.model or model,
        "output": list(progress.output),
        "previous_response_id": own.get("p"),
        "conversation": {"id": conversation} if own.get("c") else None,
        "store": stored,
        "metadata": own.get("m") or {},
        "usage": usage_told(usage) if usage is not None else None,
        **DEFAULTS,
        **common,
    }


def usage_told(usage: Usage) -> dict[str, Any]:
    """Usage by the names of the Responses API; zero where nothing is known."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {
            "cached_tokens": usage.cached or 0,
            "cache_write_tokens": usage.cache_write or 0,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": usage.total,
    }
