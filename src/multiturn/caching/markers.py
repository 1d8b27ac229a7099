"""Which messages are marked for the provider's cache, and does it pay?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from .past import INSTRUCTIONS, Past, extends, opened, pauses
from .prompt import Prompt
from .rules import CacheRule, Caching, MarkerRule

__all__ = ["marks"]

MARKABLE = (*INSTRUCTIONS, "user", "assistant")
"""Roles that may carry a marker; what it does on a tool's result is not documented."""


def marks(
    caching: Caching, past: bytes | None, prompt: Prompt, *, room: int | None = None, summary: bool = False
) -> tuple[int, ...]:
    """The messages that should carry a marker: none, unless the conversation's own pauses make it pay.

    A block written now costs more than plain input, and is read for less by every request that extends
    this one in time. How many will, the pauses so far tell: with a share q of them short enough, q / (1 -
    q) more, and no more than fit the ``room`` (tokens) before the next cut. ``summary`` says that the first
    message after the instructions carries one.
    """
    rule, before = caching.rule, opened(past)
    if rule is None or rule.explicit is None or before is None:
        return ()
    expected = round(prompt.tokens * before.scale)
    if expected < rule.explicit.minimum:
        return ()
    goes_on = extends(before, caching, prompt.body)
    if not _pays(rule, rule.explicit, before, expected, prompt.at, extends=goes_on, room=room):
        return ()
    return _places(rule.explicit, before, prompt.body, extends=goes_on, head=caching.head, summary=summary)


def _pays(
    rule: CacheRule,
    explicit: MarkerRule,
    before: Past,
    tokens: int,
    at: float,
    *,
    extends: bool,
    room: int | None,
) -> bool:
    gaps = pauses(before, at)
    quick = sum(gap <= explicit.ttl for gap in gaps)
    share = (quick + 1) / (len(gaps) + 2)  # before the first pause nobody knows: one half
    growth = max(1, tokens - before.tokens if extends else before.growth)
    more = share / (1 - share)
    if room is not None:
        more = min(more, room // growth)
    alive = extends and gaps[0] <= explicit.ttl
    block = before.block if alive else 0
    automatic = before.tokens if extends and not before.block and before.tokens >= rule.minimum else 0
    odds = (explicit.odds + before.found) / (1 + before.looked)
    saved = odds * (1 - rule.hit)
    now = explicit.hit * block + explicit.write * (tokens - block) - (tokens - automatic * saved)
    later = tokens * (1 - saved - explicit.hit) - growth * (explicit.write - 1)
    return more * later > now


def _places(
    rule: MarkerRule, before: Past, body: bytes, *, extends: bool, head: int, summary: bool
) -> tuple[int, ...]:
    messages = orjson.loads(body)
    markable = [at for at, message in enumerate(messages) if _markable(message)]
    first = next((at for at, message in enumerate(messages) if message["role"] not in INSTRUCTIONS), 0)
    wanted = markable[-1:]
    written = [at for at in markable if at < before.messages][-1:] if extends else []
    if wanted and written and _blocks(messages[written[0] + 1 : wanted[0] + 1]) > rule.reach:
        wanted += written  # the server does not look back that far from the newest marker
    if first and round(head * before.scale) >= rule.minimum:
        wanted.append(first - 1)
    if summary:
        wanted.append(first)
    chosen = [at for at in dict.fromkeys(wanted) if at in markable]
    return tuple(sorted(chosen[: rule.markers]))


def _blocks(messages: Sequence[Mapping[str, Any]]) -> int:
    """How many blocks of content these messages have: a list has one for each part."""
    contents = [message.get("content") for message in messages]
    return sum(len(content) if isinstance(content, list) else 1 for content in contents)


def _markable(message: Mapping[str, Any]) -> bool:
    return message["role"] in MARKABLE and bool(message.get("content"))
