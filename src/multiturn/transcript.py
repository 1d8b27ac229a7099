"""How is a conversation written to a file, and read from one? Lossless JSON lines, OpenAI-style JSON,
Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from .conversations import Conversation
from .errors import InputInvalid, ParameterInvalid
from .messages import Message
from .wire import written

__all__ = ["Transcript", "exported", "imported"]

Transcript = tuple[str, Mapping[str, Any], list[dict[str, Any]]]
"""Id, settings and messages of one conversation read from a file."""


def exported(format: str, conversation: Conversation, messages: Sequence[Message]) -> str:
    """A conversation as text. ``"jsonl"``: a head line, then one message a line, with ids, times and
    models; ``"openai"``: a JSON list of messages; ``"markdown"``: to read."""
    match format:
        case "jsonl":
            return "\n".join([_head(conversation), *(_line(message) for message in messages)]) + "\n"
        case "openai":
            instructions = [orjson.loads(body) for body in conversation.settings.instructions]
            return orjson.dumps([*instructions, *(written(message) for message in messages)]).decode()
        case "markdown":
            return "\n\n".join(f"**{message.role}**\n\n{message.text}" for message in messages) + "\n"
        case _:
            raise ParameterInvalid(f'{format!r} is none of "jsonl", "openai", "markdown"', name="format")


def _head(conversation: Conversation) -> str:
    settings = conversation.settings
    return orjson.dumps(
        {
            "format": "multiturn/1",
            "id": conversation.id,
            "created_at": conversation.created_at,
            "instructions": [orjson.loads(body) for body in settings.instructions],
            "opening": settings.opening,
            "policy": settings.policy,
            "model": settings.model,
            "memory": settings.memory,
        }
    ).decode()


def _line(message: Message) -> str:
    facts = {"id": message.id, "created_at": message.created_at, "model": message.model}
    return orjson.dumps(written(message) | {k: v for k, v in facts.items() if v is not None}).decode()


def imported(text: bytes, name: str) -> list[Transcript]:
    """The conversations in a file that `exported` wrote, or in a JSON list of messages, which gets the
    id ``name``. Raises `InputInvalid` for anything else."""
    try:
        if text.lstrip().startswith(b"["):
            return [(name, {}, list(orjson.loads(text)))]
        lines = [orjson.loads(line) for line in text.splitlines() if line.strip()]
    except orjson.JSONDecodeError as error:
        raise InputInvalid(f"{name} is not JSON ({error})") from error
    found: list[Transcript] = []
    for line in lines:
        if "format" in line:
            found.append((str(line.get("id") or name), line, []))
        elif not found:
            found.append((name, {}, [line]))
        else:
            found[-1][2].append(line)
    return found
