"""What is noted of a request, at the end of its step, for the next forecast? A few figures and digests; no
words."""

from __future__ import annotations

from typing import Any

import orjson

from ..usage import Usage
from .past import FORMAT, Past, digest_to, extends, head_of, messages_of, opened, pauses, same_head
from .prefix import Forecast, compared
from .prompt import Prompt
from .rules import Caching

__all__ = ["fingerprint"]

SEEN = 16
"""How many looks into the automatic cache are remembered, older ones fading out."""


def fingerprint(
    caching: Caching,
    prompt: Prompt,
    past: bytes | None,
    *,
    usage: Usage | None = None,
    expected: Forecast | None = None,
    passing: int = 0,
) -> bytes:
    """The request as a few figures and digests, kept with the branch for the next `forecast`.

    ``past`` is the fingerprint before, ``usage`` what the provider reported, which is exact; ``expected`` its
    forecast, which tells whether the automatic cache keeps what it should; ``passing`` how many of the last
    messages will not come again as they are, because material for one step stands among them.
    """
    body = prompt.body
    before, head = opened(past), head_of(body)
    goes_on = before is not None and extends(before, caching, body)
    told = usage if usage is not None and not usage.estimated else None
    history = _end(body, passing) if passing else 0
    values = Past(
        model=caching.model,
        at=round(prompt.at, 3),
        counted=prompt.tokens,
        tools=caching.tools,
        head=head,
        head_digest=digest_to(body, head),
        history=history,
        history_digest=digest_to(body, history) if history else "",
        length=len(body) - 1,
        digest=digest_to(body, len(body) - 1),
        messages=_messages(caching, body),
        anchor=prompt.anchor,
        gaps=pauses(before, prompt.at),
        **_reported(before, told, expected, prompt.tokens, goes_on=goes_on),
        shared=_shares(before, caching, body, goes_on=goes_on),
    )
    return bytes(memoryview(orjson.dumps([FORMAT, *values])))  # without orjson's spare kilobytes


def _reported(
    before: Past | None, told: Usage | None, expected: Forecast | None, counted: int, *, goes_on: bool
) -> dict[str, Any]:
    """The share of a fingerprint that the provider's report tells."""
    tokens = told.input if told else counted
    written = told.cache_write if told else None
    looked, found = _seen(before, expected, told if written is None else None)
    return {
        "tokens": tokens,
        "reply": told.output if told and not told.reasoning else 0,
        "block": (told.cached or 0) + written if told and written is not None else 0,
        "growth": (tokens - before.tokens if goes_on else before.growth) if before else 0,
        "looked": looked,
        "found": found,
    }


def _seen(before: Past | None, expected: Forecast | None, told: Usage | None) -> tuple[float, float]:
    """How often the automatic cache should have held something, and how often it did."""
    looked, found = (before.looked, before.found) if before else (0.0, 0.0)
    if expected is None or not expected.cached or told is None or told.cached is None:
        return looked, found
    if looked >= SEEN:
        looked, found = looked - 1, found * (SEEN - 1) / SEEN
    return looked + 1, round(found + (compared(expected, told).verdict == "hit"), 2)


def _shares(before: Past | None, caching: Caching, body: bytes, *, goes_on: bool) -> bool:
    """Whether two requests have parted behind this head: from then on it is kept as a unit."""
    if before is None or before.model != caching.model or before.tools != caching.tools:
        return False
    return same_head(before, body) and (before.shared or not goes_on)


def _end(body: bytes, passing: int) -> int:
    """How many bytes all messages but the last ``passing`` take, the opening bracket included."""
    text = body.decode()
    ends = [1, *(stop for _, stop in messages_of(text))]
    return len(text[: ends[max(0, len(ends) - 1 - passing)]].encode())


def _messages(caching: Caching, body: bytes) -> int:
    """How many messages the request has; they are only counted where markers need to know."""
    return len(orjson.loads(body)) if caching.rule and caching.rule.explicit else 0
