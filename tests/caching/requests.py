"""Requests to forecast, and what is kept of them."""

from __future__ import annotations

from typing import Any

import orjson

from multiturn.caching.fingerprints import fingerprint
from multiturn.caching.prompt import Prompt
from multiturn.caching.rules import CacheRule, Caching

SYSTEM = {"role": "system", "content": "你是店员。" * 40}
PREFIX = Caching("m", CacheRule(minimum=256, ttl=600), head=500)


def body(turns: int, *, system: dict[str, str] = SYSTEM, first: int = 1) -> bytes:
    messages = [system]
    for turn in range(first, turns + 1):
        messages += [
            {"role": "user", "content": f"question {turn} 😀"},
            {"role": "assistant", "content": f"answer {turn}"},
        ]
    return orjson.dumps([*messages, {"role": "user", "content": f"question {turns + 1} 😀"}])


def past(
    caching: Caching = PREFIX, turns: int = 3, tokens: int = 1_000, anchor: str = "", **more: Any
) -> bytes:
    return fingerprint(caching, Prompt(body(turns), tokens, 100.0, anchor), None, **more)
