"""What of a request does the provider's prompt cache hold already, and why not more?

A prompt cache keeps the beginning of a request. While a request extends the last one byte by byte, what
was sent before is read from the cache and costs a fraction; where the two part, everything behind is paid
in full. The rules are data (`CacheRule`); where none are known nothing is predicted. Nothing is hashed
before somebody asks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ..usage import Cost, Price, Usage
from .past import Miss, Past, digest_to, opened, parting, same_head
from .prompt import Prompt
from .rules import CacheRule, Caching

__all__ = ["Comparison", "Forecast", "compared", "forecast"]

CLOSE = 0.95
"""A report within 5 % of the prediction is a hit: where two prompts part, a token or two may differ."""


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


def forecast(
    caching: Caching, past: bytes | None, prompt: Prompt, *, marked: bool = False, scale: float = 1.0
) -> Forecast:
    """What the cache should hold of this request.

    ``past`` is the fingerprint of the last request of this branch, ``marked`` whether this one carries
    markers, ``scale`` the calibration, which counts until a request was reported. A first request finds
    nothing that we know of.
    """
    before = opened(past)
    if before is None:
        return _forecast(caching, math.ceil(prompt.tokens * scale), 0, None, None, marked=marked)
    expected = max(1, round(prompt.tokens * before.scale))
    gap = max(0.0, prompt.at - before.at)
    miss = parting(before, caching, prompt)
    rule = caching.rule
    if rule is None:
        return Forecast(expected, miss=miss, gap=gap)
    ttl = rule.explicit.ttl if before.block and rule.explicit else rule.ttl
    if ttl is not None and gap > ttl:
        return _forecast(caching, expected, 0, miss or "expired", gap, marked=marked)
    kept = _kept(before, prompt.body, caching.head) if miss else 0
    held = _held(before, rule, miss, kept, marked=marked)
    return _forecast(caching, max(expected, held), held, miss, gap, marked=marked)


def _kept(before: Past, body: bytes, head: int) -> int:
    """How many tokens are as they were, where not all are: those before material for one step, or the
    instructions. The former are told by their share of the bytes."""
    size = before.history
    if size and body[size : size + 1] == b"," and digest_to(body, size) == before.history_digest:
        return before.tokens * size // before.length
    return round(head * before.scale) if same_head(before, body) else 0


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
