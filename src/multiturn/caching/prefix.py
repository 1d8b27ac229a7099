"""What of a request does the provider's prompt cache hold already, and why not more?

A prompt cache keeps the beginning of a request. While a request extends the last one byte by byte, what
was sent before is read from the cache and costs a fraction; where the two part, everything behind is paid
in full. The rules are data (`CacheRule`); where none are known nothing is predicted. Nothing is hashed
before somebody asks (`forecast`), but once at the end of a step (`fingerprint`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

import orjson

from ..usage import Cost, Price, Usage
from .rules import CacheRule, Caching

__all__ = [
    "INSTRUCTIONS",
    "Comparison",
    "Forecast",
    "Miss",
    "Past",
    "compared",
    "digest_of",
    "fingerprint",
    "forecast",
    "opened",
    "parting",
    "pauses",
]

Miss = Literal["model_changed", "tools_changed", "input_changed", "context_compacted", "expired"]
"""Why the cache holds less than everything that was sent before."""

KEPT = 16
"""Of how many requests a digest or a head is kept: each is asked for it a few times in a row."""
MESSAGES = json.JSONDecoder()
FORMAT = 1
GAPS = 8
"""How many pauses between requests are remembered."""
SEEN = 16
"""How many looks into the automatic cache are remembered, older ones fading out."""
CLOSE = 0.95
"""A report within 5 % of the prediction is a hit: where two prompts part, a token or two may differ."""
INSTRUCTIONS = ("system", "developer")
"""The roles of the messages that a request begins with."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the cache should hold of a request.

    ``tokens`` is the request's length as the provider should count it; ``cached`` the share of it that is
    read from the cache, ``written`` the share that is billed as written (``None``: the rule is unknown).
    ``miss`` is why the last request is not found whole (``None``: it is, or there was none); ``gap`` the
    seconds since then.
    """

    tokens: int
    cached: int | None = None
    written: int | None = None
    miss: Miss | None = None
    gap: float | None = None

    def cost(self, price: Price | None) -> Cost | None:
        """What the input should cost; without a known rule, as if nothing were cached."""
        if price is None:
            return None
        usage = Usage(self.tokens, cached=self.cached, cache_write=self.written, estimated=True)
        return price.cost(usage)


class Comparison(NamedTuple):
    """A forecast beside the report. ``verdict`` is ``"hit"`` (as predicted, or more), ``"short"`` or
    ``"miss"`` (nothing was read); ``None`` where one of the two says nothing, or nothing was to be had."""

    predicted: int | None
    reported: int | None
    verdict: Literal["hit", "short", "miss"] | None
    cause: Miss | None

    @property
    def figures(self) -> Mapping[str, object]:
        """What is stored with the step: only what is known."""
        return {name: value for name, value in self._asdict().items() if value is not None}


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


def digest_of(tools: Sequence[Mapping[str, Any]]) -> str:
    """The digest of tool definitions; empty where there are none."""
    return _digest(orjson.dumps(list(tools), default=str)) if tools else ""


def fingerprint(
    caching: Caching,
    body: bytes,
    tokens: int,
    at: float,
    past: bytes | None,
    *,
    usage: Usage | None = None,
    expected: Forecast | None = None,
    anchor: str = "",
    passing: int = 0,
) -> bytes:
    """The request as a few figures and digests, kept with the branch for the next `forecast`.

    ``tokens`` is our count before calibration, ``usage`` what the provider reported, which is exact;
    ``at`` when it ended, in seconds; ``past`` the fingerprint before; ``expected`` its forecast, which
    tells whether the automatic cache keeps what it should; ``anchor`` names what the window begins with
    (first turn, version of the summary); ``passing`` how many of the last messages will not come again as
    they are, because material for one step stands among them.
    """
    before, head = opened(past), _head(body)
    told = usage if usage is not None and not usage.estimated else None
    history = _end(body, passing) if passing else 0
    values = Past(
        model=caching.model,
        at=round(at, 3),
        counted=tokens,
        tools=caching.tools,
        head=head,
        head_digest=_digest_to(body, head),
        history=history,
        history_digest=_digest_to(body, history) if history else "",
        length=len(body) - 1,
        digest=_digest_to(body, len(body) - 1),
        messages=_messages(caching, body),
        anchor=anchor,
        gaps=pauses(before, at),
        **_reported(before, told, expected, tokens, extends=_follows(before, caching, body)),
        shared=_shares(before, caching, body),
    )
    return orjson.dumps([FORMAT, *values])


def forecast(
    caching: Caching,
    past: bytes | None,
    body: bytes,
    tokens: int,
    at: float,
    *,
    head_tokens: int = 0,
    anchor: str = "",
    marked: bool = False,
    scale: float = 1.0,
) -> Forecast:
    """What the cache should hold of this request, sent now.

    ``past`` is the fingerprint of the last request of this branch, ``head_tokens`` what tools and
    instructions cost, ``marked`` whether this one carries markers, ``scale`` the calibration, which counts
    until a request was reported; the rest is as for `fingerprint`. A first request finds nothing that we
    know of.
    """
    before = opened(past)
    if before is None:
        return _forecast(caching, math.ceil(tokens * scale), 0, None, None, marked=marked)
    expected = max(1, round(tokens * before.scale))
    gap = max(0.0, at - before.at)
    miss = parting(before, caching, body, anchor)
    rule = caching.rule
    if rule is None:
        return Forecast(expected, miss=miss, gap=gap)
    ttl = rule.explicit.ttl if before.block and rule.explicit else rule.ttl
    if ttl is not None and gap > ttl:
        return _forecast(caching, expected, 0, miss or "expired", gap, marked=marked)
    kept = _kept(before, body, head_tokens) if miss else 0
    held = _held(before, rule, miss, kept, marked=marked)
    return _forecast(caching, max(expected, held), held, miss, gap, marked=marked)


def compared(expected: Forecast, usage: Usage | None) -> Comparison:
    """What was predicted beside what the provider reports, and why the cache held less than it could."""
    predicted = expected.cached
    reported = None if usage is None or usage.estimated else usage.cached
    nothing = not predicted and not reported and expected.miss is None
    if predicted is None or reported is None or nothing:
        return Comparison(predicted, reported, None, expected.miss)
    if reported >= predicted * CLOSE and (reported or not predicted):
        verdict: Literal["hit", "short", "miss"] = "hit" if reported else "miss"
    else:
        verdict = "short" if reported else "miss"
    vanished = verdict != "hit" and predicted > 0 and expected.miss is None
    return Comparison(predicted, reported, verdict, "expired" if vanished else expected.miss)


# ------------------------------------------------------------------------------------- comparing


def opened(past: bytes | None) -> Past | None:
    """What `fingerprint` wrote; ``None`` for none, or one that an other version wrote."""
    if not past:
        return None
    version, *values = orjson.loads(past)
    if version != FORMAT or len(values) != len(Past._fields):
        return None
    opened = Past(*values)
    return opened._replace(gaps=tuple(opened.gaps))


def parting(before: Past, caching: Caching, body: bytes, anchor: str) -> Miss | None:
    """Why this request does not extend the last one; ``None``: it does."""
    if before.model != caching.model:
        return "model_changed"
    if before.tools != caching.tools:
        return "tools_changed"
    if _extends(before, caching, body):
        return None
    if _same_head(before, body) and before.anchor != anchor:
        return "context_compacted"
    return "input_changed"


def _kept(before: Past, body: bytes, head_tokens: int) -> int:
    """How many tokens are as they were, where not all are: those before material for one step, or the
    instructions. The former are told by their share of the bytes."""
    size = before.history
    if size and body[size : size + 1] == b"," and _digest_to(body, size) == before.history_digest:
        return before.tokens * size // before.length
    return round(head_tokens * before.scale) if _same_head(before, body) else 0


def _held(before: Past, rule: CacheRule, miss: Miss | None, kept: int, *, marked: bool) -> int:
    """How many tokens the cache holds, if it has forgotten nothing; ``kept`` is how many are as they were
    where not all are."""
    if rule.explicit and (marked or before.block):
        return _held_by_markers(before, rule, miss, kept, marked=marked)
    if miss is None:
        held = (before.block or before.tokens) + (before.reply if rule.match == "unit" else 0)
    elif miss in ("model_changed", "tools_changed"):
        held = 0
    else:
        held = kept if rule.match == "prefix" or (rule.match == "unit" and before.shared) else 0
    held -= held % rule.step
    return held if held >= rule.minimum else 0


def _held_by_markers(before: Past, rule: CacheRule, miss: Miss | None, kept: int, *, marked: bool) -> int:
    """Blocks of the two caches are not shared: what was written with markers is found with markers."""
    if rule.explicit is None or not marked or not before.block or miss in ("model_changed", "tools_changed"):
        return 0
    if miss is None:
        return before.block
    return kept if kept >= rule.explicit.minimum else 0


def _forecast(
    caching: Caching, tokens: int, cached: int, miss: Miss | None, gap: float | None, *, marked: bool
) -> Forecast:
    rule = caching.rule
    if rule is None:
        return Forecast(tokens, miss=miss, gap=gap)
    writes = marked or (rule.match == "breakpoint" and tokens >= rule.minimum)
    return Forecast(tokens, cached, tokens - cached if writes else None, miss, gap)


def _extends(before: Past, caching: Caching, body: bytes) -> bool:
    if before.model != caching.model or before.tools != caching.tools or len(body) <= before.length:
        return False
    return _digest_to(body, before.length) == before.digest


def _same_head(before: Past, body: bytes) -> bool:
    return _head(body) == before.head and _digest_to(body, before.head) == before.head_digest


def _reported(
    before: Past | None, told: Usage | None, expected: Forecast | None, counted: int, *, extends: bool
) -> dict[str, Any]:
    """The share of a fingerprint that the provider's report tells."""
    tokens = told.input if told else counted
    written = told.cache_write if told else None
    looked, found = _seen(before, expected, told if written is None else None)
    return {
        "tokens": tokens,
        "reply": told.output if told and not told.reasoning else 0,
        "block": (told.cached or 0) + written if told and written is not None else 0,
        "growth": (tokens - before.tokens if extends else before.growth) if before else 0,
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


def _follows(before: Past | None, caching: Caching, body: bytes) -> bool:
    return before is not None and _extends(before, caching, body)


def _shares(before: Past | None, caching: Caching, body: bytes) -> bool:
    """Whether two requests have parted behind this head: from then on it is kept as a unit."""
    if before is None or before.model != caching.model or before.tools != caching.tools:
        return False
    return _same_head(before, body) and (before.shared or not _extends(before, caching, body))


@lru_cache(KEPT)
def _head(body: bytes) -> int:
    """How many bytes the leading instructions take, the opening bracket included."""
    text, end = body.decode(), 1
    for message, stop in _messages_of(text):
        if message.get("role") not in INSTRUCTIONS:
            break
        end = stop
    return len(text[:end].encode())


def _end(body: bytes, passing: int) -> int:
    """How many bytes all messages but the last ``passing`` take, the opening bracket included."""
    text = body.decode()
    ends = [1, *(stop for _, stop in _messages_of(text))]
    return len(text[: ends[max(0, len(ends) - 1 - passing)]].encode())


def _messages_of(text: str) -> Iterator[tuple[Mapping[str, Any], int]]:
    """The messages of a list in turn, each with the place of its end."""
    end = 1
    while end < len(text) - 1:
        message, end = MESSAGES.raw_decode(text, end + (text[end] == ","))
        yield message, end


def _messages(caching: Caching, body: bytes) -> int:
    """How many messages the request has; they are only counted where markers need to know."""
    return len(orjson.loads(body)) if caching.rule and caching.rule.explicit else 0


def pauses(before: Past | None, at: float) -> tuple[float, ...]:
    """The pauses between the last requests, the newest first, in seconds."""
    if before is None:
        return ()
    return (round(max(0.0, at - before.at), 1), *before.gaps[: GAPS - 1])


@lru_cache(KEPT)
def _digest_to(body: bytes, size: int) -> str:
    return _digest(memoryview(body)[:size])


def _digest(data: bytes | memoryview) -> str:
    return blake2b(data, digest_size=8).hexdigest()
