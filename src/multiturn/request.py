"""What is a provider asked, and what of that is remembered? Markers and keys for its prompt cache; the
fingerprint of a request; a forecast beside what was reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from .caching import Caching, Forecast, compared, digest_of, fingerprint, opened
from .cards import Card, Profile
from .decision import Code
from .usage import Usage
from .window import Request, Window

__all__ = ["answered", "asked_of", "caching_of", "remembered", "request_of", "unmarked"]


def caching_of(card: Card, tools: Sequence[Mapping[str, Any]], head: int) -> Caching:
    """What forecasts for this model need; ``head`` is what tools and instructions cost, uncalibrated."""
    return Caching(card.name, card.cache, card.price, digest_of(tools), head)


def request_of(
    card: Card,
    profile: Profile,
    window: Window,
    *,
    conversation: str,
    tools: Sequence[Mapping[str, Any]] = (),
    tool_choice: str | Mapping[str, Any] | None = None,
    params: Mapping[str, Any],
    stream: bool = True,
    elsewhere: tuple[type[Exception], ...] = (),
) -> Request:
    """The request for a window: without the parameters that the model refuses, and with what helps the
    provider's cache. ``conversation`` is the ULID of the conversation, from which its key is made."""
    given = {name: value for name, value in params.items() if name not in card.drop_params}
    if profile.cache_key and given.get(profile.cache_key) is None:
        given[profile.cache_key] = _key(conversation)
    return Request(
        model=card.model,
        body=window.body,
        tools=tools,
        tool_choice=tool_choice,
        params=given,
        stream=stream or card.stream_only,
        traits=window.traits,
        markers=window.markers,
        elsewhere=elsewhere,
    )


def unmarked(window: Window) -> Window:
    """The window of a request that somebody else makes, who sets no markers."""
    rule = window.caching.rule if window.caching else None
    if window.caching is None or rule is None or rule.explicit is None:
        return window
    return replace(window, caching=replace(window.caching, rule=replace(rule, explicit=None)))


def remembered(
    window: Window | None, usage: Usage | None, at: float, expected: Forecast | None = None
) -> bytes | None:
    """The fingerprint of a request that was answered, for the next one's forecast. ``expected`` is the
    window's own, where it was worked out already."""
    if window is None or window.caching is None:
        return None
    return fingerprint(
        window.caching,
        window.prompt(at),
        window.past,
        usage=usage,
        expected=expected or window.forecast,
        passing=_passing(window),
    )


def asked_of(request: bytes | None) -> str | None:
    """The model to which a request was made whose fingerprint was kept."""
    past = opened(request)
    return past.model if past else None


def answered(window: Window, usage: Usage | None, expected: Forecast | None = None) -> Window:
    """The window with what the cache held beside what was ``expected`` of it (by default its forecast)."""
    expected = expected or window.forecast
    return window if expected is None else replace(window, cache=compared(expected, usage).figures)


def _passing(window: Window) -> int:
    """How many of the last messages come from material for this step on; that will not be sent again."""
    if not any(span.code is Code.CONTEXT for span in window.spans):
        return 0
    return sum(span.messages for span in window.spans if span.code in (Code.CONTEXT, Code.NEW))


def _key(conversation: str) -> str:
    """The same for every request of a conversation, and nothing else can be read from it."""
    return blake2b(conversation.encode(), digest_size=16).hexdigest()
