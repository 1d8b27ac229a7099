"""How does a provider's answer pass through untouched? Whole events as bytes; none is opened, but for the
usage that only we asked for, and for what went wrong."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Mapping
from typing import Any, Protocol

import orjson

from ...catalog import Card, Profile
from ...errors import ProviderError, StreamCut
from ...phrases import Reason
from ...providers.passing import Passed
from ...providers.usage import usage_of
from ...usage import Usage
from ..access.consumption import estimated
from ..gateway import Asker
from ..http.body import Body
from ..http.connection import Write
from ..http.presence import ClientLeft, staying
from ..http.sse import DONE, Beside, send_events, send_whole

__all__ = ["Passes", "relay"]

NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
ENDED = re.compile(rb"^data: ?\[DONE\]", re.MULTILINE)
FINISHED = re.compile(rb'"finish_reason"\s*:\s*"')
BLANK_LINE = re.compile(rb"(?<=\n\n)|(?<=\r\n\r\n)")
LAST = 4
"""How many of the last pieces are looked at to see whether an answer came to its end."""


class Passes(Protocol):
    """A provider's way to answer a body that somebody else wrote."""

    def __call__(self, body: bytes, *, stream: bool) -> Awaitable[Passed]:
        """The answer, once its head is there."""
        ...


async def relay(asker: Asker, body: Body, card: Card, passes: Passes, beside: Beside) -> None:
    """Hand a request on, and its answer back."""
    gateway, client, receive, send = asker
    changes, ours = _changes(body.fields, card, gateway.client.catalog.profile(card.provider))
    raw = body.rewritten(changes) if changes else body.raw
    consumed = gateway.consumed(client, card)
    try:
        async with staying(receive):
            answer = await passes(raw, stream=body.fields.get("stream") is True)
    except ClientLeft:
        if consumed is not None:
            consumed(estimated(len(raw)))
        raise
    check, whole = _Check(answer, ours=ours), b""
    try:
        if answer.streamed:
            parts = _parts(answer, check, asker.direct)
            await send_events(receive, send, parts, beside, gateway.language)
            return
        async with staying(receive):
            whole = await answer.whole()
        _check_whole(answer, whole)
    except ProviderError:
        consumed = None
        raise
    finally:
        answer.close()
        if consumed is not None:
            consumed(_usage_in(whole) or check.usage() or estimated(len(raw), events=check.size))
    await send_whole(send, whole, beside())


def _changes(fields: Mapping[str, Any], card: Card, profile: Profile) -> tuple[dict[str, Any], bool]:
    """What must be said differently, and whether the usage of the stream is asked for by us alone."""
    changes: dict[str, Any] = {}
    if fields.get("model") != card.model:
        changes["model"] = card.model
    options = fields.get("stream_options") or {}
    ours = bool(
        fields.get("stream") is True
        and profile.include_usage
        and isinstance(options, dict)
        and options.get("include_usage") is not True
    )
    if ours:
        changes["stream_options"] = {**options, "include_usage": True}
    return changes, ours


class _Check:
    """Looks at the pieces of an answer as they pass: is anything wrong, was that its end? ``ours`` is whether
    the usage was asked for by us alone."""

    def __init__(self, answer: Passed, *, ours: bool) -> None:
        self._answer = answer
        self._ours = ours
        self._last: deque[bytes] = deque(maxlen=LAST)
        self._kept_back = b""
        self.size = 0
        """Bytes that were handed on."""

    def part(self, part: bytes) -> bytes:
        """A piece as it is handed on; nothing where nothing of it is. Raises what it complains of."""
        if self._ours and NO_CHOICES.search(part):
            self._kept_back = part
            part = b"".join(each for each in BLANK_LINE.split(part) if not _is_usage(each))
        if b'"error"' in part:
            _check_events(self._answer, part)
        if part:
            self._last.append(part)
            self.size += len(part)
        return part

    def usage(self) -> Usage | None:
        """What the answer said it consumed."""
        events = BLANK_LINE.split(b"".join((*self._last, self._kept_back)))
        said = [usage_of((_opened(each) or {}).get("usage")) for each in events if b'"usage"' in each]
        return next((each for each in reversed(said) if each), None)

    def end(self) -> bytes:
        """What the end of the answer lacks. Raises `StreamCut` where it did not come."""
        end = b"".join(self._last)
        if ENDED.search(end):
            return b""
        if not FINISHED.search(end):
            raise StreamCut(Reason("why.no_finish"), provider=self._answer.faults.provider)
        return DONE


async def _parts(answer: Passed, check: _Check, direct: Write | None) -> AsyncGenerator[bytes, None]:
    """The pieces of an answer. Once the first was sent, ``direct`` writes the others the moment they come,
    as long as the client keeps up."""
    while part := await answer.events():
        if part := check.part(part):
            yield part
            if direct is not None:
                await answer.flow(check.part, direct)
    if part := check.end():
        yield part


def _opened(event: bytes) -> Mapping[str, Any] | None:
    """The JSON object in an event."""
    data = b"\n".join(line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))
    try:
        value = orjson.loads(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _is_usage(event: bytes) -> bool:
    value = _opened(event) if NO_CHOICES.search(event) else None
    return value is not None and value.get("choices") == [] and bool(value.get("usage"))


def _usage_in(body: bytes) -> Usage | None:
    """What an answer in one piece said it consumed."""
    try:
        value = orjson.loads(body)
    except ValueError:
        return None
    return usage_of(value.get("usage")) if isinstance(value, dict) else None


def _check_events(answer: Passed, part: bytes) -> None:
    """Raise what an event complains of."""
    for event in BLANK_LINE.split(part):
        value = _opened(event)
        if value is not None and (error := answer.faults.found(value)):
            raise error


def _check_whole(answer: Passed, body: bytes) -> None:
    """Raise what an answer with a good status complains of all the same."""
    if b'"choices"' in body:
        return
    try:
        value = orjson.loads(body)
    except ValueError:
        value = None
    error: ProviderError | None = answer.faults.found(value) if isinstance(value, dict) else None
    raise error or answer.faults.unreadable("event_json", text=body[:60].decode("utf-8", "replace"))
