"""How is a question put that is answered by one JSON object? For endpoints beside the chat: they count tokens
or embed texts."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, cast

import orjson

from ..reply import Delta
from .access import Access
from .call import Call
from .events import Event
from .faults import Faults
from .parameters import written
from .transport import Transport

__all__ = ["Inquiry"]


class Inquiry:
    """Asks endpoints of one provider; refusals are the errors of `multiturn.errors`, and what may help is
    tried again (`Retry`)."""

    def __init__(self, access: Access) -> None:
        self.faults = access.faults()
        self._headers = access.headers() | {"Accept": "application/json"}
        self._transport = Transport(self.faults, access.patience, access.retry, access.budget)

    async def ask(self, url: str, question: Mapping[str, Any]) -> Mapping[str, Any]:
        """The object that ``url`` answers to ``question``."""
        reader = _Whole(self.faults)
        call = Call(url, written(question), stream=False, headers=self._headers)
        async with contextlib.aclosing(self._transport.stream(call, lambda: reader)) as answer:
            async for _ in answer:
                pass
        return reader.value

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()


class _Whole:
    """Reads an answer that is one object."""

    finished = False
    done = False

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.value: Mapping[str, Any] = {}

    def event(self, event: Event, *, complete: bool = True) -> Delta | None:
        """An endpoint that answers with events where none were asked for did not understand."""
        del complete
        raise self._faults.reported(event.data.decode("utf-8", "replace"), event.status)

    def end(self) -> Delta:
        """Nothing comes in pieces here."""
        return Delta()

    def whole(self, status: int, body: bytes) -> Delta:
        """Keep the object."""
        try:
            value = orjson.loads(body)
        except ValueError:
            raise self._faults.answered(status, body) from None
        if not isinstance(value, Mapping):
            raise self._faults.answered(status, body)
        if error := self._faults.found(value):
            raise error
        self.value = cast("Mapping[str, Any]", value)
        return Delta()
