"""What does a program read from us? Our records as JSON lines; and messages as plain words."""

from __future__ import annotations

from datetime import UTC, datetime

from ..conversations import Address, Conversation, Turn
from ..messages import Audio, File, Image, Message, Part, Reasoning, Text, ToolCall, ToolResult, Video
from ..phrases import phrase
from ..reply import Reply
from ..usage import Cost, Spending, Usage
from ..wire import written

__all__ = [
    "conversation_record",
    "cost_of",
    "message_record",
    "message_text",
    "moment",
    "reply_record",
    "turn_of",
    "usage_record",
]

Record = dict[str, object]
MEDIA = {Image: "picture", Audio: "sound", Video: "film", File: "document"}


def reply_record(reply: Reply, conversation: str) -> Record:
    """A reply."""
    return {
        "conversation": conversation,
        "turn": reply.turn.number,
        "state": reply.turn.state.name.lower(),
        "text": reply.text,
        "reasoning": reply.reasoning,
        "tool_calls": [
            {"id": call.id, "name": call.name, "arguments": call.arguments} for call in reply.tool_calls
        ],
        "finish_reason": reply.finish_reason,
        "model": reply.model,
        "usage": usage_of(reply.usage),
        "cost": cost_of(reply.cost),
        "window": {"tokens": reply.window.tokens, "budget": reply.window.limits.budget},
    }


def usage_of(usage: Usage | None) -> Record | None:
    """Tokens of one call."""
    if usage is None:
        return None
    return {
        "input": usage.input,
        "output": usage.output,
        "cached": usage.cached,
        "cache_write": usage.cache_write,
        "reasoning": usage.reasoning,
        "estimated": usage.estimated,
    }


def cost_of(cost: Cost | None) -> Record | None:
    """Money; the amount as text, exactly."""
    if cost is None:
        return None
    return {"amount": f"{cost.amount:f}", "currency": cost.currency, "estimated": cost.estimated}


def conversation_record(found: Conversation) -> Record:
    """A conversation as lists show it."""
    return {
        "id": found.id,
        "user": found.user,
        "model": found.settings.model,
        "turns": found.turns,
        "messages": found.messages,
        "branch": found.branch,
        "created_at": moment(found.created_at),
        "updated_at": moment(found.updated_at),
        "title": found.title,
        "held_until": moment(found.held_until),
    }


def message_record(message: Message, turn: Turn | None = None) -> Record:
    """A message as chat completions writes it, with its place, and the state of its ``turn``."""
    return {
        "id": message.id,
        "turn": turn_of(message),
        **({"state": turn.state.name.lower()} if turn else {}),
        "created_at": moment(message.created_at),
        "model": message.model,
        **written(message),
    }


def usage_record(group: Spending) -> Record:
    """Usage of a group."""
    return {
        "group": group.group,
        "turns": group.turns,
        "calls": group.calls,
        **(usage_of(group.usage) or {}),
        "costs": [cost_of(cost) for cost in group.costs],
    }


def moment(seconds: float | None) -> str | None:
    """A time in ISO 8601, UTC."""
    return (
        None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    )


def turn_of(message: Message) -> int | None:
    """The turn a stored message belongs to."""
    address = Address.parse(message.id)
    return address.turn if address else None


def message_text(message: Message, language: str) -> str:
    """What a message says, in words; what is not text is named in brackets."""
    return "".join(_words(part, language) for part in message.parts)


def _words(part: Part, language: str) -> str:
    if isinstance(part, Text | ToolResult):
        return part.text
    if isinstance(part, Reasoning):
        return ""
    if isinstance(part, ToolCall):
        return phrase("word.tool_call", language, name=part.name)
    return phrase(f"word.{MEDIA.get(type(part), 'other')}", language)
