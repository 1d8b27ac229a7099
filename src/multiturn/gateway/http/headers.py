"""What does a request say beside its body? A header of ours that is there twice must say the same twice:
nobody can know which of two conversations is meant."""

from __future__ import annotations

from starlette.datastructures import Headers

from ...asking import check_key
from .refusal import Refusal

__all__ = ["conversation_in", "key_in", "only"]


def only(headers: Headers, name: str) -> str | None:
    """The one value of a header; ``None`` where it is not there. Raises `Refusal` where it has several."""
    values = headers.getlist(name)
    if any(each != values[0] for each in values[1:]):
        raise Refusal(400, "header_twice", param=name)
    return values[0] if values else None


def key_in(headers: Headers) -> str | None:
    """The request key that the client gave. Raises `Refusal`, and `ParameterInvalid` for what is none."""
    key = only(headers, "idempotency-key")
    if key is not None:
        check_key(key, "Idempotency-Key")
    return key


def conversation_in(headers: Headers, named: str | None = None) -> str | None:
    """The conversation that the headers name, or that the body ``named``. Raises `Refusal` where these are
    two."""
    value = only(headers, "x-conversation-id")
    if value is None:
        return named
    header = value.encode("latin-1").decode("utf-8", "replace")
    if named not in (None, header):
        raise Refusal(400, "conversation_shape", param="conversation")
    return header
