"""What does a request say beside its body? A header of ours that is there twice must say the same twice:
nobody can know which of two conversations is meant."""

from __future__ import annotations

from starlette.datastructures import Headers

from ...asking import check_key
from .refusal import Refusal

__all__ = ["check_same", "conversation_in", "key_in", "only"]


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


def conversation_in(headers: Headers) -> str | None:
    """The conversation that the headers name. Raises `Refusal`."""
    named = only(headers, "x-conversation-id")
    return None if named is None else named.encode("latin-1").decode("utf-8", "replace")


def check_same(headers: Headers, named: str | None) -> None:
    """Raises `Refusal` where the headers name another conversation than the one that the body ``named``."""
    header = conversation_in(headers)
    if None not in (header, named) and header != named:
        raise Refusal(400, "conversation_shape", param="conversation")
