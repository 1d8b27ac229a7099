"""How many tokens does a simulator see? Its own, deterministic count.

A Chinese (or other wide) character is one token, a run of Latin letters or digits one for every four
characters begun, any other visible character one. A message costs two more (its head and its end), the
reply's head one, so that a prompt and its reply are together an exact beginning of the next prompt. A
picture costs 400, sound and film 1,000. Tool definitions count as the JSON they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

PIECE = re.compile(r"[A-Za-z0-9]{1,4}|[^\sA-Za-z0-9]")
MEDIA = {"image": 400, "image_url": 400, "video": 1000, "video_url": 1000, "audio": 1000, "input_audio": 1000}
END = "<|end|>"


class Block(NamedTuple):
    """A stretch of the prompt that an explicit cache may end at: one part of one message."""

    tokens: list[str]
    marked: bool


def pieces(text: str) -> list[str]:
    """``text`` in tokens."""
    return PIECE.findall(text)


def count(text: str) -> int:
    """How many tokens ``text`` has."""
    return len(pieces(text))


def head(role: str) -> str:
    return f"<|{role}|>"


def blocks(messages: Sequence[Mapping[str, Any]], tools: Iterable[Any] = ()) -> list[Block]:
    """The prompt in blocks, tools first."""
    defined = [
        Block(pieces(json.dumps(tool, sort_keys=True, ensure_ascii=False)), marked=False) for tool in tools
    ]
    return [*defined, *(block for message in messages for block in _message(message))]


def prompt(messages: Sequence[Mapping[str, Any]], tools: Iterable[Any] = ()) -> list[str]:
    """The prompt in tokens, the head of the reply included."""
    return [token for block in blocks(messages, tools) for token in block.tokens] + [head("assistant")]


def spoken(text: str, calls: Iterable[Mapping[str, Any]] = ()) -> list[str]:
    """A reply in the tokens it will have in the next prompt, its head apart."""
    return [*pieces(text), *(token for call in calls for token in _call(call)), END]


def _message(message: Mapping[str, Any]) -> list[Block]:
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    rows = [Block(_part(part), _marked(part)) for part in parts] or [Block([], marked=False)]
    opening = [
        head(str(message.get("role"))),
        *pieces(str(message.get("reasoning_content") or message.get("reasoning") or "")),
    ]
    rows[0] = rows[0]._replace(tokens=[*opening, *rows[0].tokens])
    closing = [token for call in message.get("tool_calls") or () for token in _call(call)]
    rows[-1] = rows[-1]._replace(tokens=[*rows[-1].tokens, *closing, END])
    return rows


def _call(call: Mapping[str, Any]) -> list[str]:
    function = call.get("function") or {}
    return pieces(f"{function.get('name')}{function.get('arguments')}")


def _part(part: Any) -> list[str]:
    if isinstance(part, str):
        return pieces(part)
    text = part.get("text")
    if isinstance(text, str):
        return pieces(text)
    for kind, cost in MEDIA.items():
        if kind in part:
            return [f"<{kind}:{part[kind]}:{place}>" for place in range(cost)]
    return pieces(json.dumps(part, sort_keys=True, ensure_ascii=False))


def _marked(part: Any) -> bool:
    return isinstance(part, Mapping) and (part.get("cache_control") or {}).get("type") == "ephemeral"
