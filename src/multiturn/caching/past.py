"""What is known of the last request of a branch, and does this one go on with it, byte by byte?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

import orjson

from .prompt import Prompt
from .rules import Caching

__all__ = [
    "FORMAT",
    "INSTRUCTIONS",
    "Miss",
    "Past",
    "digest_of",
    "digest_to",
    "extends",
    "head_of",
    "messages_of",
    "opened",
    "parting",
    "pauses",
    "same_head",
]

Miss = Literal["model_changed", "tools_changed", "input_changed", "context_compacted", "expired"]
"""Why the cache holds less than everything that was sent before."""

KEPT = 16
"""Of how many requests a digest or a head is kept: each is asked for it a few times in a row."""
SHORT = 1 << 20
"""Bytes of a request up to which that is so: it is kept with them."""
MESSAGES = json.JSONDecoder()
FORMAT = 1
GAPS = 8
"""How many pauses between requests are remembered."""
INSTRUCTIONS = ("system", "developer")
"""The roles of the messages that a request begins with."""


class Past(NamedTuple):
    """An opened fingerprint: the last request of a branch in figures."""

    model: str
    at: float
    counted: int
    tokens: int
    reply: int
    block: int
    growth: int
    messages: int
    tools: str
    head: int
    head_digest: str
    history: int
    history_digest: str
    length: int
    digest: str
    shared: bool
    anchor: str
    looked: float
    found: float
    gaps: tuple[float, ...]

    @property
    def scale(self) -> float:
        """How the provider counts beside us."""
        return self.tokens / self.counted if self.counted else 1.0


def opened(past: bytes | None) -> Past | None:
    """What `fingerprints.fingerprint` wrote; ``None`` for none, or one that another version wrote."""
    if not past:
        return None
    version, *values = orjson.loads(past)
    if version != FORMAT or len(values) != len(Past._fields):
        return None
    opened = Past(*values)
    return opened._replace(gaps=tuple(opened.gaps))


def pauses(before: Past | None, at: float) -> tuple[float, ...]:
    """The pauses between the last requests, the newest first, in seconds."""
    if before is None:
        return ()
    return (round(max(0.0, at - before.at), 1), *before.gaps[: GAPS - 1])


def parting(before: Past, caching: Caching, prompt: Prompt) -> Miss | None:
    """Why this request does not extend the last one; ``None``: it does."""
    if before.model != caching.model:
        return "model_changed"
    if before.tools != caching.tools:
        return "tools_changed"
    if extends(before, caching, prompt.body):
        return None
    if same_head(before, prompt.body) and before.anchor != prompt.anchor:
        return "context_compacted"
    return "input_changed"


def extends(before: Past, caching: Caching, body: bytes) -> bool:
    """Whether this request is the last one with more behind it."""
    if before.model != caching.model or before.tools != caching.tools or len(body) <= before.length:
        return False
    return digest_to(body, before.length) == before.digest


def same_head(before: Past, body: bytes) -> bool:
    """Whether the leading instructions are those of the last request."""
    return head_of(body) == before.head and digest_to(body, before.head) == before.head_digest


def head_of(body: bytes) -> int:
    """How many bytes the leading instructions take, the opening bracket included."""
    return _head_lately(body) if len(body) <= SHORT else _head(body)


@lru_cache(KEPT)
def _head_lately(body: bytes) -> int:
    return _head(body)


def _head(body: bytes) -> int:
    text, end = body.decode(), 1
    for message, stop in messages_of(text):
        if message.get("role") not in INSTRUCTIONS:
            break
        end = stop
    return len(text[:end].encode())


def messages_of(text: str) -> Iterator[tuple[Mapping[str, Any], int]]:
    """The messages of a list in turn, each with the place of its end."""
    end = 1
    while end < len(text) - 1:
        message, end = MESSAGES.raw_decode(text, end + (text[end] == ","))
        yield message, end


def digest_to(body: bytes, size: int) -> str:
    """The digest of the first ``size`` bytes."""
    return _digest_lately(body, size) if len(body) <= SHORT else _digest(memoryview(body)[:size])


@lru_cache(KEPT)
def _digest_lately(body: bytes, size: int) -> str:
    return _digest(memoryview(body)[:size])


def digest_of(tools: Sequence[Mapping[str, Any]]) -> str:
    """The digest of tool definitions; empty where there are none."""
    return _digest(orjson.dumps(list(tools), default=str)) if tools else ""


def _digest(data: bytes | memoryview) -> str:
    return blake2b(data, digest_size=8).hexdigest()
