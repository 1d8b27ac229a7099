"""What of a request does the provider's prompt cache hold already, and why not more?

A prompt cache keeps the beginning of a request. While a request extends the last one byte by byte, what
was sent before is read from the cache and costs a fraction; where the two part, everything behind is paid
in full. The rules are data (`CacheRule`); where none are known nothing is predicted. Nothing is hashed
before somebody asks (`forecast`), but once at the end of a step (`fingerprint`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

import orjson

from .usage import Cost, Price, Usage

__all__ = [
    "CacheRule",
    "Caching",
    "Comparison",
    "Forecast",
    "MarkerRule",
    "Miss",
    "compared",
    "digest_of",
    "fingerprint",
    "forecast",
    "marks",
]

Miss = Literal["model_changed", "tools_changed", "input_changed", "context_compacted", "expired"]
"""Why the cache holds less than everything that was sent before."""

FORMAT = 1
GAPS = 8
"""How many pauses between requests are remembered."""
SEEN = 16
"""How many looks into the automatic cache are remembered, older ones fading out."""
CLOSE = 0.95
"""A report within 5 % of the prediction is a hit: where two prompts part, a token or two may differ."""
MARKABLE = ("system", "developer", "user", "assistant")
"""Roles that may carry a marker; what it does on a tool's result is not documented."""


@dataclass(frozen=True, slots=True)
class MarkerRule:
    """A cache that is asked for with markers. ``minimum`` is in tokens and ``ttl`` in seconds, renewed by
    a hit; at most ``markers`` a request, each looking back over ``reach`` blocks. ``write`` and ``hit`` are
    shares of the price of input. ``odds`` is how often the automatic cache is taken to hit instead, until
    the conversation has seen how often it does."""

    minimum: int
    ttl: float
    markers: int = 4
    reach: int = 20
    write: float = 1.25
    hit: float = 0.10
    odds: float = 1.0


@dataclass(frozen=True, slots=True)
class CacheRule:
    """How a provider's automatic cache works.

    - ``minimum``: the shortest prefix it keeps, ``step``: hits are multiples of it, both in tokens;
      ``ttl`` after how many seconds of silence it forgets (``None``: when it needs the room).
    - ``match``: the longest common ``"prefix"``; whole requests and their replies (``"unit"``, and what
      several requests were seen to share); or whole requests alone (``"breakpoint"``).
    - ``hit``: what a token read from it costs, as a share of the price of input.
    - ``explicit``: the rule of the markers it takes, if any.
    """

    minimum: int = 1
    step: int = 1
    ttl: float | None = None
    match: Literal["prefix", "unit", "breakpoint"] = "prefix"
    hit: float = 0.2
    explicit: MarkerRule | None = None
    as_of: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Caching:
    """What a forecast must know beside the request: the model, its rule and price (``None``: unknown), the
    digest of the tool definitions, and ``head``: the uncalibrated tokens of tools and instructions."""

    model: str
    rule: CacheRule | None = None
    price: Price | None = None
    tools: str = ""
    head: int = 0


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


class _Past(NamedTuple):
    """An opened fingerprint."""

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
    length: int
    digest: str
    shared: bool
    anchor: str
    looked: float
    found: float
    gaps: tuple[float, ...]


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
) -> bytes:
    """The request as a few figures and digests, kept with the branch for the next `forecast`.

    ``tokens`` is our count before calibration, ``usage`` what the provider reported, which is exact;
    ``at`` when it ended, in seconds; ``past`` the fingerprint before; ``expected`` its forecast, which
    tells whether the automatic cache keeps what it should; ``anchor`` names what the window begins with
    (first turn, version of the summary).
    """
    before = _opened(past)
    head = _head(body)
    told = usage if usage is not None and not usage.estimated else None
    counted_by_them = told.input if told else tokens
    extends = before is not None and _extends(before, caching, body)
    plain_reply = told is not None and not told.reasoning
    marked = told is not None and told.cache_write is not None
    looked, found = _seen(before, expected, None if marked else told)
    values = _Past(
        model=caching.model,
        at=round(at, 3),
        counted=tokens,
        tokens=counted_by_them,
        reply=told.output if told and plain_reply else 0,
        block=(told.cached or 0) + (told.cache_write or 0) if told and marked else 0,
        growth=counted_by_them - before.tokens if before and extends else before.growth if before else 0,
        messages=_messages(caching, body),
        tools=caching.tools,
        head=head,
        head_digest=_digest(body[:head]),
        length=len(body) - 1,
        digest=_digest(memoryview(body)[:-1]),
        shared=_shares(before, caching, body, extends=extends),
        anchor=anchor,
        looked=looked,
        found=found,
        gaps=_gaps(before, at),
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
    before = _opened(past)
    if before is None:
        return _forecast(caching, math.ceil(tokens * scale), 0, None, None, marked=marked)
    expected = max(1, round(tokens * _scale(before)))
    gap = max(0.0, at - before.at)
    miss = _structural_miss(before, caching, body, anchor)
    rule = caching.rule
    if rule is None:
        return Forecast(expected, miss=miss, gap=gap)
    ttl = rule.explicit.ttl if before.block and rule.explicit else rule.ttl
    if ttl is not None and gap > ttl:
        return _forecast(caching, expected, 0, miss or "expired", gap, marked=marked)
    head = round(head_tokens * _scale(before)) if miss and _same_head(before, body) else 0
    held = _held(before, rule, miss, head, marked=marked)
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


# ---------------------------------------------------------------------------------------- markers


def marks(
    caching: Caching,
    past: bytes | None,
    body: bytes,
    tokens: int,
    at: float,
    *,
    head_tokens: int = 0,
    room: int | None = None,
    summary: bool = False,
) -> tuple[int, ...]:
    """The messages that should carry a marker: none, unless the conversation's own pauses make it pay.

    A block written now costs more than plain input, and is read for less by every request that extends
    this one in time. How many will, the pauses so far tell: with a share q of them short enough, q / (1 -
    q) more, and no more than fit the ``room`` (tokens) before the next cut. ``summary`` says that the first
    message after the instructions carries one.
    """
    rule, before = caching.rule, _opened(past)
    if rule is None or rule.explicit is None or before is None:
        return ()
    expected = round(tokens * _scale(before))
    if expected < rule.explicit.minimum:
        return ()
    extends = _structural_miss(before, caching, body, before.anchor) is None
    if not _pays(rule, rule.explicit, before, expected, at, extends=extends, room=room):
        return ()
    return _places(rule.explicit, before, body, extends=extends, head=head_tokens, summary=summary)


def _pays(
    rule: CacheRule,
    explicit: MarkerRule,
    before: _Past,
    tokens: int,
    at: float,
    *,
    extends: bool,
    room: int | None,
) -> bool:
    gaps = _gaps(before, at)
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
    rule: MarkerRule, before: _Past, body: bytes, *, extends: bool, head: int, summary: bool
) -> tuple[int, ...]:
    messages = orjson.loads(body)
    markable = [at for at, message in enumerate(messages) if _markable(message)]
    first = next((at for at, message in enumerate(messages) if message["role"] not in MARKABLE[:2]), 0)
    wanted = markable[-1:]
    if extends:
        wanted += [at for at in markable if at < before.messages][-1:]
    if first and round(head * _scale(before)) >= rule.minimum:
        wanted.append(first - 1)
    if summary:
        wanted.append(first)
    chosen = [at for at in dict.fromkeys(wanted) if at in markable]
    return tuple(sorted(chosen[: rule.markers]))


def _markable(message: Mapping[str, Any]) -> bool:
    return message["role"] in MARKABLE and bool(message.get("content"))


# ------------------------------------------------------------------------------------- comparing


def _opened(past: bytes | None) -> _Past | None:
    """What `fingerprint` wrote; ``None`` for none, or one that an other version wrote."""
    if not past:
        return None
    version, *values = orjson.loads(past)
    if version != FORMAT:
        return None
    opened = _Past(*values)
    return opened._replace(gaps=tuple(opened.gaps))


def _structural_miss(before: _Past, caching: Caching, body: bytes, anchor: str) -> Miss | None:
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


def _held(before: _Past, rule: CacheRule, miss: Miss | None, head: int, *, marked: bool) -> int:
    """How many tokens the cache holds, if it has forgotten nothing; ``head`` of them where only the
    instructions are the same."""
    if marked or before.block:
        return _held_by_markers(before, rule, miss, head, marked=marked)
    if miss is None:
        held = before.tokens + (before.reply if rule.match == "unit" else 0)
    elif miss in ("model_changed", "tools_changed") or rule.match == "breakpoint":
        held = 0
    else:
        held = head if rule.match == "prefix" or before.shared else 0
    held -= held % rule.step
    return held if held >= rule.minimum else 0


def _held_by_markers(before: _Past, rule: CacheRule, miss: Miss | None, head: int, *, marked: bool) -> int:
    """Blocks of the two caches are not shared: what was written with markers is found with markers."""
    if rule.explicit is None or not marked or not before.block or miss in ("model_changed", "tools_changed"):
        return 0
    if miss is None:
        return before.block
    return head if head >= rule.explicit.minimum else 0


def _forecast(
    caching: Caching, tokens: int, cached: int, miss: Miss | None, gap: float | None, *, marked: bool
) -> Forecast:
    rule = caching.rule
    if rule is None:
        return Forecast(tokens, miss=miss, gap=gap)
    writes = marked or (rule.match == "breakpoint" and tokens >= rule.minimum)
    return Forecast(tokens, cached, tokens - cached if writes else None, miss, gap)


def _extends(before: _Past, caching: Caching, body: bytes) -> bool:
    if before.model != caching.model or before.tools != caching.tools or len(body) <= before.length:
        return False
    return body[before.length] in b",]" and _digest(memoryview(body)[: before.length]) == before.digest


def _same_head(before: _Past, body: bytes) -> bool:
    return _head(body) == before.head and _digest(body[: before.head]) == before.head_digest


def _seen(before: _Past | None, expected: Forecast | None, told: Usage | None) -> tuple[float, float]:
    """How often the automatic cache should have held something, and how often it did."""
    looked, found = (before.looked, before.found) if before else (0.0, 0.0)
    if expected is None or not expected.cached or told is None or told.cached is None:
        return looked, found
    if looked >= SEEN:
        looked, found = looked - 1, found * (SEEN - 1) / SEEN
    return looked + 1, round(found + (compared(expected, told).verdict == "hit"), 2)


def _shares(before: _Past | None, caching: Caching, body: bytes, *, extends: bool) -> bool:
    """Whether two requests have parted behind this head: from then on it is kept as a unit."""
    if before is None or before.model != caching.model or before.tools != caching.tools:
        return False
    return _same_head(before, body) and (before.shared or not extends)


def _head(body: bytes) -> int:
    """How many bytes the leading instructions take, the opening bracket included."""
    text = body.decode()
    end, decoder = 1, json.JSONDecoder()
    while end < len(text) - 1:
        start = end + (text[end] == ",")
        message, stop = decoder.raw_decode(text, start)
        if message.get("role") not in MARKABLE[:2]:
            break
        end = stop
    return len(text[:end].encode())


def _messages(caching: Caching, body: bytes) -> int:
    """How many messages the request has; they are only counted where markers need to know."""
    return len(orjson.loads(body)) if caching.rule and caching.rule.explicit else 0


def _gaps(before: _Past | None, at: float) -> tuple[float, ...]:
    if before is None:
        return ()
    return (round(max(0.0, at - before.at), 1), *before.gaps[: GAPS - 1])


def _scale(before: _Past) -> float:
    """How the provider counts beside us, by the last request."""
    return before.tokens / before.counted if before.counted else 1.0


def _digest(data: bytes | memoryview) -> str:
    return blake2b(data, digest_size=8).hexdigest()
