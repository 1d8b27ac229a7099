"""How does an answer of DashScope's own pass through untouched, to a client that asks in its words? Whole
frames as bytes; only the last is opened, for what the answer consumed."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ...cards import Card
from ...errors import ProviderError, StreamCut
from ...phrases import Reason
from ...providers.passing import Passed
from ...providers.usage import usage_of
from ...providers.values import opened
from ...usage import Usage
from ..access.consumption import Consumed, estimated
from ..gateway import Asker
from ..http.body import Body
from ..http.presence import ClientLeft, staying
from ..http.sse import Beside, send_events, send_whole
from .frames import Native
from .posted import parameters_of

__all__ = ["PassesNative", "Relay"]

OWN = ("conversation", "metadata", "store", "user")
"""Parameters that are said to us."""
FINISHED = re.compile(rb'"finish_reason"\s*:\s*"(?!null")')
COMPLAINT = re.compile(rb"^event: ?error", re.MULTILINE)


class PassesNative(Protocol):
    """A provider's way to answer a body in DashScope's words that somebody else wrote."""

    def __call__(self, body: bytes, *, multimodal: bool, stream: bool) -> Awaitable[Passed]:
        """The answer, once its head is there."""
        ...


@dataclass(frozen=True, slots=True)
class Relay:
    """A request that is handed on as it came, and who waits for its answer; ``form`` tells what fails."""

    asker: Asker
    body: Body
    form: Native

    async def answer(self, card: Card, passes: PassesNative, beside: Beside) -> None:
        """Hand it on, and the answer back."""
        gateway, client, receive, send = self.asker
        consumed = gateway.consumed(client, card)
        raw = self.body.rewritten(_changes(self.body.fields, card))
        answer = await self._asked(raw, passes, consumed)
        passing = _Passing(answer, self.form)
        try:
            if answer.streamed:
                frames = passing.frames()
                await send_events(receive, send, frames, beside, gateway.language, self.form.failed)
                return
            async with staying(receive):
                passing.last = await answer.whole()
            _check(answer, passing.last)
        except ProviderError:
            consumed = None
            raise
        finally:
            answer.close()
            if consumed is not None:
                consumed(passing.usage or estimated(len(raw), received=len(passing.last)))
        await send_whole(send, passing.last, beside())

    async def _asked(self, raw: bytes, passes: PassesNative, consumed: Consumed | None) -> Passed:
        try:
            async with staying(self.asker.receive):
                return await passes(raw, multimodal=self.form.parts, stream=self.form.streamed)
        except ClientLeft:
            if consumed is not None:
                consumed(estimated(len(raw)))
            raise


def _changes(fields: Mapping[str, Any], card: Card) -> dict[str, Any]:
    changes: dict[str, Any] = {} if fields.get("model") == card.model else {"model": card.model}
    parameters = parameters_of(fields)
    if parameters.keys() & set(OWN):
        changes["parameters"] = {name: value for name, value in parameters.items() if name not in OWN}
    return changes


class _Passing:
    """The frames of an answer on their way; the data of the ``last`` is kept."""

    def __init__(self, answer: Passed, form: Native) -> None:
        self._answer = answer
        self._form = form
        self.last = b""

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """The frames as they come; raises `StreamCut` where their end never came."""
        failed = False
        while part := await self._answer.events():
            self._form.frames += part.count(b"\ndata:")
            failed = failed or COMPLAINT.search(part) is not None
            if b"data:" in part:
                self.last = part[part.rindex(b"data:") + 5 :]
            yield part
        if not (failed or FINISHED.search(self.last)):
            raise StreamCut(Reason("why.no_finish"), provider=self._answer.faults.provider)

    @property
    def usage(self) -> Usage | None:
        """What the answer says it consumed so far."""
        try:
            value, _ = opened(self.last)
        except ValueError:
            return None
        return usage_of(value.get("usage")) if isinstance(value, dict) else None


def _check(answer: Passed, body: bytes) -> None:
    """Raise what an answer with a good status complains of all the same."""
    try:
        value, _ = opened(body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise answer.faults.unreadable("event_json", text=body[:60].decode("utf-8", "replace"))
    if error := answer.faults.found(value):
        raise error
