"""What answers where nobody has a key? Not a language model: a provider that only quotes what it was
sent, so that people see what memory keeps, and tests have a double with faults on request."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType

import orjson

from ..errors import (
    BillingRefused,
    KeyRefused,
    ModelNotFound,
    ProviderError,
    ProviderFailed,
    ProviderOverflow,
    ProviderOverloaded,
    ProviderTimeout,
    RateLimited,
    RequestRefused,
    SettingInvalid,
    StreamCut,
)
from ..phrases import Reason
from ..prompts import read
from ..reply import Delta
from ..usage import Usage
from ..window import Request
from .extracting import extract
from .quoting import CJK, LATIN, answer, text_of

__all__ = ["DemoProvider"]

FAULTS: Mapping[int, type[ProviderError]] = {
    400: RequestRefused,
    401: KeyRefused,
    402: BillingRefused,
    403: KeyRefused,
    404: ModelNotFound,
    408: ProviderTimeout,
    413: ProviderOverflow,
    429: RateLimited,
    503: ProviderOverloaded,
    504: ProviderTimeout,
}
"""What a status means; every other one is `ProviderFailed`."""

NO_OPTIONS: Mapping[str, str] = MappingProxyType({})
ROOM = 600
"""Tokens of a summary where the request sets no limit."""
PIECE = re.compile(r"[^\W\u3400-\u9fff]+\s*|[\u3400-\u9fff]{1,2}|.\s*", re.DOTALL)
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s)?")


class DemoProvider:
    """Answers by quoting the messages it was sent; streams word by word. Asked for a summary, it writes an
    extract, and says so.

    ``options`` are what stands behind the question mark of a model's name: ``fail`` (an HTTP status to
    fail with), ``times`` (how many requests fail; default all), ``slow`` (a pause before every word:
    ``50ms``, ``0.2s``), ``cut`` (break off after so many words). A wrong option raises `SettingInvalid`.

    >>> DemoProvider({"fail": "429", "times": "1"}).name
    'demo'
    """

    name = "demo"

    def __init__(self, options: Mapping[str, str] = NO_OPTIONS) -> None:
        unknown = options.keys() - {"fail", "times", "slow", "cut"}
        if unknown:
            raise _wrong(min(unknown), Reason("why.demo_options"))
        self._fail = _number(options, "fail", 400, 599)
        self._times = _number(options, "times", 0, None)
        self._cut = _number(options, "cut", 0, None)
        self._slow = _seconds(options.get("slow", "0"))
        self._failed = 0

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Answer ``request``, word by word unless ``request.stream`` is false."""
        self._maybe_fail()
        messages = orjson.loads(request.body)
        wanted = read(messages)
        reply = answer(messages) if wanted is None else extract(wanted, _room(request))
        pieces = PIECE.findall(reply)
        usage = Usage(input=sum(map(_size, messages)), output=_count(reply))
        end = Delta(finish_reason="stop", usage=usage, model=request.model or self.name)
        kept = pieces if self._cut is None else pieces[: self._cut]
        if not request.stream:
            await self._pause(len(kept))
            kept = ["".join(kept)]
        for piece in kept:
            if request.stream:
                await self._pause(1)
            yield Delta(text=piece)
        if self._cut is not None:
            raise StreamCut(Reason("why.cut_as_asked", words=self._cut), provider=self.name)
        yield end

    async def close(self) -> None:
        """Nothing is open."""

    async def _pause(self, words: int) -> None:
        if self._slow:
            await asyncio.sleep(self._slow * words)

    def _maybe_fail(self) -> None:
        if self._fail is None or (self._times is not None and self._failed >= self._times):
            return
        self._failed += 1
        kind = FAULTS.get(self._fail, ProviderFailed if self._fail >= 500 else RequestRefused)
        raise kind(Reason("why.fault_as_asked", status=self._fail), provider=self.name, status=self._fail)


# ---------------------------------------------------------------------------------------- options


def _number(options: Mapping[str, str], name: str, least: int, most: int | None) -> int | None:
    text = options.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < least or (most is not None and int(text) > most):
        limits = "least" if most is None else "range"
        raise _wrong(name, Reason(f"why.demo_{limits}", value=repr(text), least=least, most=most))
    return int(text)


def _seconds(text: str) -> float:
    match = DURATION.fullmatch(text)
    if match is None:
        raise _wrong("slow", Reason("why.demo_time", value=repr(text)))
    return float(match[1]) / (1000 if match[2] == "ms" else 1)


def _wrong(name: str, detail: Reason) -> SettingInvalid:
    return SettingInvalid(detail, name=f"demo?{name}")


# --------------------------------------------------------------------------------------- counting


def _size(message: Mapping[str, object]) -> int:
    return 4 + _count(text_of(message))


def _room(request: Request) -> int:
    """How many tokens a summary may have."""
    limit = request.params.get("max_tokens")
    return limit if isinstance(limit, int) else ROOM


def _count(text: str) -> int:
    """Its own tokens: words, numbers and Chinese characters."""
    return len(LATIN.findall(text)) + sum(map(len, CJK.findall(text)))
