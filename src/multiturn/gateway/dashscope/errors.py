"""How does an error reach a client of DashScope's? Code, message and request id, in the words its SDKs know.

A provider's own code is handed on as it came. What is ours gets DashScope's word where it has one, else our
own in its spelling (``ConversationNotFound``).
"""

from __future__ import annotations

import orjson
from starlette.responses import Response
from starlette.types import Scope

from ...phrases import table
from ..http.refusal import JSON, Said, refused, said_of

__all__ = ["NATIVE", "REQUEST", "native_error", "refused_to"]

NATIVE = "/api/"
"""Addresses that begin so are DashScope's."""
SERVICES = "/services/aigc/"
"""What its clients ask for, also where their base URL is wrong."""
REQUEST = "multiturn.request"
"""Where the id of a request stands in its scope."""

WORDS = {
    "billing_refused": "Arrearage",
    "budget_held": "Throttling.RateQuota",
    "content_filtered": "DataInspectionFailed",
    "context_length_exceeded": "InvalidParameter",
    "insufficient_quota": "Throttling.AllocationQuota",
    "key_missing": "ModelNotFound",
    "key_refused": "InternalError",
    "provider_failed": "InternalError",
    "provider_overloaded": "ModelServingError",
    "provider_timeout": "RequestTimeOut",
    "provider_unreachable": "InternalError",
    "rate_limit_exceeded": "Throttling.RateQuota",
    "stopping": "ModelUnavailable",
    "stream_cut": "InternalError",
}
"""DashScope's words for codes of ours."""
PLAINLY_WRONG = (400, 413, 415, 422)
"""What is wrong with a request itself is ``InvalidParameter``."""
LOCKED = "conversation_locked"


def refused_to(scope: Scope, error: BaseException, language: str) -> Response:
    """The answer to a request that failed before anything was sent, as those who post to this address
    read it."""
    if not scope["path"].startswith(NATIVE) and SERVICES not in scope["path"]:
        return refused(error, language)
    said = said_of(error, language)
    status = 409 if said.code == LOCKED else said.status
    return Response(native_error(said, scope.get(REQUEST, "")), status, dict(said.headers), JSON)


def native_error(said: Said, request: str) -> bytes:
    """The body of an error; ``request`` is the id of the request."""
    return orjson.dumps({"code": _code(said), "message": said.message, "request_id": request})


def _code(said: Said) -> str:
    code = said.code or "internal_error"
    if code in WORDS:
        return WORDS[code]
    if not {f"gateway.{code}", f"error.{code}"} & table().keys() and code != LOCKED:
        return code
    if said.status in PLAINLY_WRONG and code != LOCKED:
        return "InvalidParameter"
    return "".join(part.title() for part in code.split("_"))
