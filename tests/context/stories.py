"""Conversations to build windows from, as a store would hand them over.

A message costs its letters, a picture 100, a call 10: so a figure in a test can be counted by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from multiturn.messages import Entry, Trait
from multiturn.path import MessageRow, Path, TurnRow, sealed
from multiturn.sealing import seal
from multiturn.window import Material

__all__ = [
    "COMPLETED",
    "Told",
    "answer",
    "ask",
    "call",
    "count",
    "entry",
    "material",
    "ordinary",
    "path",
    "picture",
    "recount",
    "result",
    "rule",
    "told",
]

ACCEPTED, STREAMING, WAITING, COMPLETED, INCOMPLETE, FAILED = range(6)
Json = dict[str, Any]


def count(message: Mapping[str, Any]) -> int:
    """Letters of the words, 100 for a picture, 10 for a call."""
    content = message.get("content") or ""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    words = sum(len(part["text"]) if part["type"] == "text" else 100 for part in parts)
    return words + 10 * len(message.get("tool_calls") or ())


def recount(pieces: Sequence[bytes]) -> int:
    """As a caller counts changed messages."""
    return sum(count(orjson.loads(piece)) for piece in pieces)


def ask(text: str = "ask", **fields: object) -> Json:
    return {"role": "user", "content": text, **fields}


def answer(text: str | None = "answer", **fields: object) -> Json:
    return {"role": "assistant", "content": text, **fields}


def rule(text: str = "rule", role: str = "system") -> Json:
    return {"role": role, "content": text}


def call(*ids: str, text: str | None = None, **fields: object) -> Json:
    function = {"name": "f", "arguments": "{}"}
    calls = [{"id": each, "type": "function", "function": function} for each in ids]
    return {"role": "assistant", "content": text, "tool_calls": calls, **fields}


def result(id: str, text: str = "result") -> Json:
    return {"role": "tool", "tool_call_id": id, "content": text}


def picture(*urls: str, text: str = "see") -> Json:
    images = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"role": "user", "content": [{"type": "text", "text": text}, *images]}


def entry(message: Json) -> Entry:
    return seal(message, count)


@dataclass(frozen=True)
class Told:
    """A turn with its messages."""

    turn: TurnRow
    rows: list[MessageRow]


def told(
    number: int,
    *messages: Json,
    state: int = COMPLETED,
    traits: int = 0,
    excluded: Sequence[int] = (),
    model: str = "m",
) -> Told:
    """A stored turn. ``traits`` are those of the turn, ``excluded`` the places the user left out."""
    rows = sealed([entry(message) for message in messages], number, model)
    rows = [r._replace(traits=r.traits | Trait.EXCLUDED) if r.place in excluded else r for r in rows]
    if [row.role for row in rows] != ["user", "assistant"]:
        traits |= Trait.IRREGULAR
    for row in rows:
        traits |= row.traits
    tokens, reasoning = sum(row.tokens for row in rows), sum(row.reasoning_tokens for row in rows)
    return Told(TurnRow(number, state, int(traits), tokens, reasoning, len(rows)), rows)


def ordinary(number: int, letters: int = 10) -> Told:
    """A turn of words that costs so many letters; it names itself."""
    name = f"{number}:"
    return told(number, ask(name + "." * (letters - len(name) - 1)), answer("!"))


def path(*turns: Told, **more: Any) -> Path:
    """The turns, oldest first, as a store reads them: bodies alone where every turn is ordinary."""
    plain = not any(t.turn.traits or t.turn.state != COMPLETED for t in turns)
    rows = [row for t in turns for row in t.rows]
    return Path(
        turns=[t.turn for t in reversed(turns)],
        bodies=[row.body for row in rows] if plain else (),
        rows=None if plain else rows,
        **more,
    )


def material(
    read: Path,
    *current: Json,
    instructions: Sequence[Json] = (),
    opening: str | None = None,
    context: Sequence[Json] = (),
    overhead: int = 0,
    excluded: Sequence[int] = (),
    model: str = "m",
) -> Material:
    """What a window is made of; ``current`` is the new turn, one after the newest that was read."""
    newest = read.turns[0].number if read.turns else read.earlier_turns
    return Material(
        path=read,
        instructions=[entry(message) for message in instructions],
        opening=entry(answer(opening)) if opening else None,
        context=[entry(message) for message in context],
        current=told(newest + 1, *current, excluded=excluded, model=model).rows,
        overhead=overhead,
    )
