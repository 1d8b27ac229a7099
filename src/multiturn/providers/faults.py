"""What does a provider's complaint mean? Status, code and text of an answer become one of our errors."""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import orjson

from ..errors import (
    BillingRefused,
    ContentFiltered,
    HistoryRefused,
    KeyRefused,
    ModelNotFound,
    ProviderError,
    ProviderFailed,
    ProviderOverflow,
    ProviderOverloaded,
    ProviderTimeout,
    RateLimited,
    RequestRefused,
)
from ..phrases import Reason

__all__ = ["Faults"]

CLASSES: Mapping[str, type[ProviderError]] = {
    "context_overflow": ProviderOverflow,
    "content_filter": ContentFiltered,
    "auth": KeyRefused,
    "billing": BillingRefused,
    "not_found": ModelNotFound,
    "bad_history": HistoryRefused,
    "bad_request": RequestRefused,
    "rate_limit": RateLimited,
    "burst": RateLimited,
    "overloaded": ProviderOverloaded,
    "server": ProviderFailed,
    "timeout": ProviderTimeout,
}

STATUSES: Mapping[int, str] = {
    401: "auth",
    402: "billing",
    403: "auth",
    404: "not_found",
    408: "timeout",
    413: "context_overflow",
    429: "rate_limit",
    503: "overloaded",
    504: "timeout",
    524: "timeout",
    529: "overloaded",
}

OVERFLOW = re.compile(
    r"Range of input length should be \[1, (?P<dashscope>\d+)\]"
    r"|exceeded model token limit\s*:?\s*(?P<kimi>\d+)"
    r"|maximum context length is (?P<openai>\d+) tokens"
    r"|prompt is too long: \d+ tokens > (?P<generic>\d+)"
    r"|must be less than max_seq_len \((?P<siliconflow>\d+)\)"
    r"|Input token length too long|Total message token length exceed model limit"
    r"|Prompt exceeds max length|Prompt too long|OutofContextError|exceed max message tokens"
    r"|context_length_exceeded|exceeds the context window",
    re.IGNORECASE,
)
"""How providers say that a request is too long; the group is the limit, where the text names it."""

HISTORY = re.compile(
    r"must be a response to a prece+ding message"
    r"|must be followed by tool messages"
    r"|tool_call_ids?\b.*(?:not found|did not have)"
    r"|reasoning_content\b.*(?:is missing|must be passed back)"
    r"|text content is empty|\b(?:content|messages?)\b[^.]*must not be empty"
    r"|do not contain elements with the role of user"
    r"|Content length must be greater than 0|content field is a required field|\[\] is too short"
    r"|input content must be a string|roles must alternate|list index out of range",
    re.IGNORECASE | re.DOTALL,
)
"""How providers say that the list of messages is wrong."""

FILTERED = re.compile(r"DataInspectionFailed|data_inspection_failed|inappropriate content", re.IGNORECASE)
FREE_QUOTA = re.compile(r"Free allocated quota exceeded", re.IGNORECASE)
PER_DAY = re.compile(r"\b(?:TPD|RPD|IPD)\b|\bper day\b", re.IGNORECASE)
"""A limit of the day does not pass by waiting a little: it is a quota."""
NAMED_IN_TEXT = re.compile(r"^<\d{3}> ([\w.]+)")
"""DashScope's compatible mode puts the native code before the text."""
WAIT = re.compile(
    r"try again (?:after|in) (\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?)\b",
    re.IGNORECASE,
)
STATUS = re.compile(r"[45][0-9][0-9]")
KEY_LIKE = re.compile(r"\b(Bearer\s+|sk-|ak-|ms-)[\w*.\-]{4,}", re.IGNORECASE)
MARKUP = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
LONGEST_DETAIL = 400
FINE = (None, "", 0, "0", 200, "200")
"""What a relay writes into ``code`` when nothing is wrong."""
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a body says went wrong: ``names`` are its code and its type, the more exact one first."""

    names: tuple[str, ...] = ()
    text: str = ""
    readable: bool = True
    """Whether the body was JSON, as an endpoint of this kind writes it."""
    page: bool = False
    """It was an HTML page; ``text`` is its title."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Turns complaints of one provider into errors; ``codes`` are its own, by class.

    ``secrets`` never appear in an error. Errors keep the provider's code (``provider_code``); a limit
    the text names is learned (``ProviderOverflow.limit``), as is the wait it asks for.

    >>> Faults("kimi").reported({"error": {"message": "busy"}}, 503).code
    'provider_overloaded'
    """

    provider: str
    codes: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def answered(self, status: int, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> ProviderError:
        """The error in an HTTP answer that is not the one that was asked for."""
        return self._error(_heard(body), status, _asked_wait(headers))

    def reported(self, value: object, status: int | None = None) -> ProviderError:
        """The error in a piece of JSON that says something went wrong."""
        return self._error(_said(value), status)

    def found(self, value: Mapping[str, Any], status: int | None = None) -> ProviderError | None:
        """The error in what looked like an answer; ``None``: it is one."""
        if value.get("error") or value.get("code") not in FINE:
            return self.reported(value, status)
        return None

    def unreadable(self, what: str, **figures: object) -> ProviderFailed:
        """An answer nobody can read; ``what`` is the code of the reason."""
        told = {name: self._clean(str(value)) for name, value in figures.items()}
        return ProviderFailed(Reason(f"why.{what}", **told), provider=self.provider)

    def _error(self, said: Complaint, status: int | None, wait: float | None = None) -> ProviderError:
        if status is None or status < 300:
            status = next((int(name) for name in said.names if STATUS.fullmatch(name)), None)
        kind = self._class(said, status)
        code = said.names[0] if said.names else None
        if kind in ("rate_limit", "burst", "overloaded"):
            wait = _wait_in(said.text) if wait is None else wait
        error = CLASSES[kind](
            self._detail(said, status, code),
            provider=self.provider,
            status=status,
            provider_code=code,
            retry_after=wait,
            burst=kind == "burst",
        )
        if isinstance(error, ProviderOverflow):
            error.limit = _limit_in(said.text)
        return error

    def _class(self, said: Complaint, status: int | None) -> str:
        by_code = next((kind for name in said.names for kind in self._by_name(name)), None)
        if by_code == "bad_request" and status is not None and status not in (400, 422):
            by_code = None  # some providers call everything a bad request: the status says more
        everything = " ".join((*said.names, said.text))
        if by_code == "context_overflow" or OVERFLOW.search(everything):
            return "context_overflow"
        if by_code in (None, "bad_request", "server"):
            if FILTERED.search(everything):
                return "content_filter"
            if HISTORY.search(said.text) and status not in (401, 402, 403, 404, 429):
                return "bad_history"
        kind = by_code or _by_status(status)
        if kind == "rate_limit" and (FREE_QUOTA.search(said.text) or PER_DAY.search(said.text)):
            return "billing"
        return "bad_request" if kind == "not_found" and not said.readable else kind

    def _by_name(self, name: str) -> Iterator[str]:
        """The class of a code, or of what stands before its dots."""
        while name:
            if name in self.codes:
                yield self.codes[name]
            name = name.rpartition(".")[0]

    def _detail(self, said: Complaint, status: int | None, code: str | None) -> str:
        where = f"HTTP {status}" if status is not None else ""
        head = self._clean(", ".join(part for part in (where, code) if part))
        text = self._clean(said.text)
        if said.page:
            text = Reason("why.html_title", title=text) if text else Reason("why.html_page")
        if head and text:
            return Reason("why.headed", head=head, text=text)
        return head or text or Reason("why.no_reason")

    def _clean(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "…")
        text = KEY_LIKE.sub(r"\1…", " ".join(text.split()))
        return text if len(text) <= LONGEST_DETAIL else text[: LONGEST_DETAIL - 1] + "…"


def _by_status(status: int | None) -> str:
    if status is None or status >= 500:
        return STATUSES.get(status or 0, "server")
    return STATUSES.get(status, "bad_request")


# -------------------------------------------------------------------------------- what was said


def _heard(body: bytes) -> Complaint:
    """What a body says: JSON, an event with JSON in it, a page, or plain text."""
    text = body.decode("utf-8", "replace").strip().lstrip("\ufeff")
    if re.match(r"(?:id|event|data|status|):", text):
        text = next((line[5:] for line in text.splitlines() if line.startswith("data:")), text).strip()
    try:
        return _said(_loads(text))
    except ValueError:
        if text[:1] == "<":
            title = MARKUP.search(text)
            return Complaint(text=title[1].strip() if title else "", readable=False, page=True)
        return Complaint(text=text, readable=False)


def _loads(text: str) -> object:
    try:
        return orjson.loads(text)
    except ValueError:
        try:
            return json.loads(text)  # half surrogates and the like: an error message need not be perfect
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def _said(value: object) -> Complaint:
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, Mapping):
        return Complaint(text="" if value is None else _written(value))
    inner = value.get("error")
    if isinstance(inner, Mapping):
        value = inner
    elif isinstance(inner, str) and inner:
        value = {"message": inner, **value}
    names = tuple(dict.fromkeys(_written(value[key]) for key in ("code", "type") if _is_name(value.get(key))))
    text = next((_written(value[key]) for key in ("message", "msg", "detail") if value.get(key)), "")
    inline = NAMED_IN_TEXT.match(text)
    if inline:
        names = (*names, inline[1])
    return Complaint(names, text)


def _is_name(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value not in FINE


def _written(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text.encode("utf-8", "replace").decode()


def _limit_in(text: str) -> int | None:
    match = OVERFLOW.search(text)
    named = next((group for group in match.groups() if group), None) if match else None
    return int(named) if named and len(named) < 12 else None


# ------------------------------------------------------------------------------- how long to wait


def _asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds the headers ask us to wait."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after", "")
    seconds = _number(text)
    if seconds is not None:
        return seconds
    moment = email.utils.parsedate_tz(text)
    return None if moment is None else max(0.0, email.utils.mktime_tz(moment) - time.time())


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\s*\d{1,9}(\.\d{1,9})?\s*", text) else None


def _wait_in(text: str) -> float | None:
    match = WAIT.search(text)
    if match is None:
        return None
    unit = match[2].lower()
    scale = 0.001 if unit.startswith(("ms", "milli")) else 60 if unit.startswith("m") else 1
    return float(match[1]) * scale
