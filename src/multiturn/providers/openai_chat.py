"""Any endpoint that speaks chat completions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from ..reply import Delta
from ..window import Request
from .access import Access
from .call import Call
from .parameters import adapted, marked, written
from .passing import Passed
from .reading import JsonReader
from .transport import Transport

__all__ = ["OpenAIChat", "choice_of"]

MOST_CHOICES = 1 << 31
"""What is no number below this is no place of a choice."""


class OpenAIChat:
    """A provider with a chat-completions endpoint, as ``profile`` describes it.

    The messages of a request are sent as they are: they were shaped for this provider. Errors are
    those of `multiturn.errors`; see `Provider`.
    """

    def __init__(self, access: Access) -> None:
        self.name = access.profile.id
        self._profile = access.profile
        self._url = f"{access.address}/chat/completions"
        self._headers = access.headers()
        self._faults = access.faults()
        self._transport = Transport(self._faults, access.patience, access.retry, access.budget)

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Answer ``request``; with ``request.stream`` false the whole answer is one delta."""
        accept = "text/event-stream" if request.stream else "application/json"
        headers = {**self._headers, "Accept": accept}
        call = Call(self._url, self._body(request), request.stream, headers, request.elsewhere)
        return self._transport.stream(call, lambda: JsonReader(self._faults, choice_of))

    async def passed(self, body: bytes, *, stream: bool) -> Passed:
        """The answer to a ``body`` that somebody else wrote, as the bytes in which it comes. Asked once."""
        accept = "text/event-stream" if stream else "application/json"
        return await self._transport.passed(
            Call(self._url, body, stream, {**self._headers, "Accept": accept})
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    def _body(self, request: Request) -> bytes:
        values = adapted(self._profile, request)
        if not request.stream:
            values.pop("stream_options", None)
        elif self._profile.include_usage:
            values.setdefault("stream_options", {"include_usage": True})
        head = {"model": request.model, "messages": orjson.Fragment(marked(request))}
        return written({**head, **values, "stream": request.stream})


def choice_of(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The choice we asked for: the one with the index 0, or without any that could be another's."""
    if "choices" not in value and "usage" not in value:
        return None
    choices = value.get("choices")
    if (
        type(choices) is list
        and len(choices) == 1
        and type(choices[0]) is dict
        and not _is_another(choices[0])
    ):
        return choices[0]
    if not isinstance(choices, list):
        return {}
    return next((each for each in choices if isinstance(each, Mapping) and not _is_another(each)), {})


def _is_another(choice: Mapping[str, Any]) -> bool:
    index = choice.get("index")
    return type(index) is int and 0 < index < MOST_CHOICES
