"""What does a provider say was used, under whatever names?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..usage import Usage
from .values import keepable, table_of

__all__ = ["usage_of"]


def usage_of(raw: object) -> Usage | None:
    """The usage a provider reports, under any of the names in use; ``None`` where it says nothing."""
    if not isinstance(raw, Mapping):
        return None
    read = _first(raw, "prompt_tokens", "input_tokens")
    written = _first(raw, "completion_tokens", "output_tokens")
    if read is None and written is None:
        return None
    read, written = read or 0, written or 0
    prompt = table_of(raw, "prompt_tokens_details", "input_tokens_details")
    answer = table_of(raw, "completion_tokens_details", "output_tokens_details")
    cached = _or(
        _first(prompt, "cached_tokens"),
        _first(raw, "cached_tokens", "cached_token", "prompt_cache_hit_tokens"),
    )
    cache_write = _or(
        _first(prompt, "cache_write_tokens", "cache_creation_input_tokens"),
        _first(table_of(prompt, "cache_creation"), "ephemeral_5m_input_tokens"),
    )
    cached = None if cached is None else min(cached, read)
    return Usage(
        input=read,
        output=written,
        cached=cached,
        cache_write=None if cache_write is None else min(cache_write, read - (cached or 0)),
        reasoning=_at_most(_first(answer, "reasoning_tokens"), written),
        raw=raw if keepable(raw) else None,
    )


def _first(raw: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = raw.get(name)
        if type(value) is int and 0 <= value < 1 << 53:
            return value
    return None


def _or(one: int | None, other: int | None) -> int | None:
    return other if one is None else one


def _at_most(value: int | None, limit: int) -> int | None:
    return None if value is None else min(value, limit)
