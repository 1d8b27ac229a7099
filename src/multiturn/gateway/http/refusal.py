"""How does an error reach a client of OpenAI's? One envelope with four keys, and headers that tell its
silent retries what to do.

OpenAI's SDKs repeat 408, 409, 429, 5xx and dropped connections by themselves, and obey
``x-should-retry`` and ``retry-after-ms`` (openai-python 3.52, openai-node 7.55). A busy conversation is a
400 with code ``conversation_locked``, as OpenAI answers it, with the headers that have it tried again.
What the client sent is never told back to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from starlette.responses import Response

from ...errors import (
    BillingRefused,
    ConfigurationInvalid,
    ContextOverflow,
    ConversationBusy,
    ConversationError,
    ConversationNotFound,
    Error,
    InputInvalid,
    KeyMissing,
    KeyRefused,
    KeyReused,
    ModelNotFound,
    ModelUnknown,
    ProviderError,
    ProviderOverflow,
    ProviderTimeout,
    RateLimited,
    SettingInvalid,
    StoreError,
    StoreFull,
    TurnClosed,
    TurnExpired,
    TurnNotFound,
)
from ...phrases import Reason, phrase, table

__all__ = ["JSON", "Refusal", "Said", "refused", "said_of", "stored_figures"]

JSON = "application/json"
INVALID = "invalid_request_error"
FAILED = "server_error"
KINDS = {
    "budget_held": "rate_limit_error",
    "insufficient_quota": "insufficient_quota",
    "rate_limit_exceeded": "rate_limit_error",
}
"""Refusals of which OpenAI has a type of its own."""
LOCKED_RETRY_MS = 200
OWN_FIGURES = frozenset(("name", "variable", "provider", "least", "longest", "limit", "known", "kinds"))
"""Figures of a sentence that are words of ours; any other text may be the client's."""
STORED_FIGURES = frozenset(("missing", "open"))
"""Figures that stand in our store: ids of calls that wait for results."""


class Refusal(Exception):
    """What a request is refused with before anything is done: ``status``, the envelope's ``code`` and
    ``param``, and the sentence of that code (`phrases`, under "gateway.")."""

    def __init__(
        self,
        status: int,
        code: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        **figures: object,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.param = param
        self.headers = headers or {}
        self.figures = figures


class Said(NamedTuple):
    """An error as it is told: HTTP status, the four keys of the envelope, headers."""

    status: int
    message: str
    type: str
    param: str | None
    code: str | None
    headers: Mapping[str, str] = {}

    @property
    def body(self) -> bytes:
        """The envelope: always all four keys."""
        error: dict[str, Any] = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        return orjson.dumps({"error": error})


STATUS: tuple[tuple[type[Error], int, str, str | None], ...] = (
    (ConversationNotFound, 404, INVALID, "conversation"),
    (TurnNotFound, 404, INVALID, None),
    (ConversationBusy, 400, INVALID, "conversation"),
    (KeyReused, 422, INVALID, None),
    (TurnExpired, 409, INVALID, None),
    (TurnClosed, 409, INVALID, None),
    (ConversationError, 404, INVALID, None),
    (ContextOverflow, 400, INVALID, "messages"),
    (ModelUnknown, 404, INVALID, "model"),
    (KeyMissing, 404, INVALID, "model"),
    (SettingInvalid, 400, INVALID, "model"),
    (ConfigurationInvalid, 400, INVALID, None),
    (InputInvalid, 400, INVALID, "messages"),
    (StoreFull, 507, FAILED, None),
    (StoreError, 503, FAILED, None),
    (RateLimited, 429, "rate_limit_error", None),
    (ProviderTimeout, 504, FAILED, None),
    (ModelNotFound, 404, INVALID, "model"),
    (ProviderOverflow, 400, INVALID, "messages"),
    (KeyRefused, 502, FAILED, None),
    (BillingRefused, 502, FAILED, None),
)
"""What each class of errors is in HTTP; the account of a provider is no fault of the client's."""

CODES = {
    "conversation_busy": "conversation_locked",
    "context_overflow": "context_length_exceeded",
    "provider_overflow": "context_length_exceeded",
    "model_unknown": "model_not_found",
    "rate_limited": "rate_limit_exceeded",
}
"""Where OpenAI has a word for what we mean, its word."""


def said_of(error: BaseException, language: str = "en") -> Said:
    """What a client is told of an error. Of one that is not ours nothing but that it happened."""
    if isinstance(error, Refusal):
        words = phrase(f"gateway.{error.code}", language, **error.figures)
        kind = KINDS.get(error.code) or (FAILED if error.status >= 500 else INVALID)
        return Said(error.status, words, kind, error.param, error.code, error.headers)
    if isinstance(error, Error):
        status, kind, param = _class_of(error)
        if "name" in error.figures and isinstance(error, InputInvalid):
            param = str(error.figures["name"])
        code = getattr(error, "provider_code", None) or CODES.get(error.code, error.code)
        return Said(status, _sentence(error, language), kind, param, code, _headers(error, status))
    words = phrase("gateway.internal_error", language)
    return Said(500, words, FAILED, None, "internal_error", {"x-should-retry": "false"})


def _class_of(error: Error) -> tuple[int, str, str | None]:
    for each, status, kind, param in STATUS:
        if isinstance(error, each):
            return status, kind, param
    status = error.status if isinstance(error, ProviderError) and error.status else 502
    status = status if 400 <= status < 600 else 502
    return status, FAILED if status >= 500 else INVALID, None


def _sentence(error: Error, language: str) -> str:
    """The sentence of an error, without what the client sent."""
    if f"gateway.{error.code}" in table():
        ours = {name: each for name, each in error.figures.items() if _is_ours(name, each)}
        return phrase(f"gateway.{error.code}", language, **(ours | stored_figures(error.figures)))
    hidden = not isinstance(error, ProviderError)
    return _form(error, language).format_map(
        {name: _told(name, each, language, hidden=hidden) for name, each in error.figures.items()}
    )


def _form(error: Error, language: str) -> str:
    """The sentence before its figures are filled in; where no turn kept the message, none that says so."""
    if isinstance(error, ProviderError) and error.turn is None and f"unkept.{error.code}" in table():
        return table()[f"unkept.{error.code}"]["zh" if language == "zh" else "en"][0]
    return table()[f"error.{error.code}"]["zh"][0] if language == "zh" else type(error).sentence()


def stored_figures(figures: Mapping[str, object]) -> dict[str, Any]:
    """Those of the figures, and of the reasons among them, that stand in our store."""
    found = {name: each for name, each in figures.items() if name in STORED_FIGURES}
    for each in figures.values():
        if isinstance(each, Reason):
            found |= stored_figures(each.figures)
    return found


def _told(name: str, value: object, language: str, *, hidden: bool) -> object:
    if isinstance(value, Reason):
        figures = {each: _told(each, one, language, hidden=hidden) for each, one in value.figures.items()}
        return phrase(value.code, language, **figures)
    if not hidden or name in STORED_FIGURES or _is_ours(name, value):
        return value
    return "…" if value else ""


def _is_ours(name: str, value: object) -> bool:
    """Whether a figure is no word of the client's."""
    return name in OWN_FIGURES or isinstance(value, int | float)


def _headers(error: Error, status: int) -> dict[str, str]:
    if isinstance(error, ConversationBusy):
        return {"x-should-retry": "true", "retry-after-ms": str(LOCKED_RETRY_MS)}
    if status < 500 and status not in (408, 409, 429):
        return {}
    again = error.retryable and not getattr(error, "final", False)
    headers = {"x-should-retry": "true" if again else "false"}
    wait = getattr(error, "retry_after", None)
    if wait:
        headers["retry-after-ms"] = str(int(wait * 1000))
        headers["retry-after"] = str(max(1, int(wait)))
    return headers


def refused(error: BaseException, language: str = "en") -> Response:
    """The answer to a request that failed before anything was sent."""
    said = said_of(error, language)
    return Response(said.body, said.status, dict(said.headers), JSON)
