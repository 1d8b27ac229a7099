"""Who hears the answer of a turn? Whoever asked for it, and whoever asks for it once more under the same
request key while it still comes: each from its first delta on."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import orjson
from starlette.datastructures import Headers

from ..conversations import Owner
from ..reply import Delta
from ..stream import AsyncStream
from .http.headers import only
from .http.refusal import Refusal

__all__ = ["Audience", "Audiences", "Mark", "alone", "asked_alike", "is_detached", "mark_of"]

Mark = tuple[Owner, str, str, bytes]
"""Whose turn it is and where, its request key, the digest of what was posted."""


def mark_of(at: tuple[Owner, str], key: str | None, *posted: bytes) -> Mark | None:
    """By what a request is known that comes once more; ``None`` where it brings no key."""
    return None if key is None else (*at, key, hashlib.sha256(b"\n".join(posted)).digest())


def asked_alike(fields: Mapping[str, Any]) -> bytes:
    """A digest of what is asked for in a body, however it is written and however the answer is to come."""
    said = {name: value for name, value in fields.items() if name not in ("stream", "stream_options")}
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest()


def is_detached(headers: Headers) -> bool:
    """Whether the turn goes on when its client leaves."""
    return (only(headers, "x-multiturn-detached") or "").lower() in ("true", "1")


async def alone(stream: AsyncStream) -> AsyncGenerator[Delta, None]:
    """The deltas of a turn for the one client that asked for it; when that leaves, the model is stopped."""
    async with stream:
        async for delta in stream:
            yield delta


class Audience:
    """Everybody who hears one answer, which is asked for once somebody does. It goes on while anybody
    listens, and where it is ``detached`` also when nobody does. ``told`` are the headers beside it that are
    known from the beginning."""

    def __init__(
        self,
        stream: AsyncStream,
        told: Mapping[str, str],
        begin: Callable[[Audience], None],
        *,
        detached: bool,
    ) -> None:
        self.stream = stream
        self.told = told
        self.deserted = False
        """Whether everybody has left, and so it stops."""
        self._begin = begin
        self._detached = detached
        self._begun = self._over = False
        self._deltas: list[Delta] = []
        self._error: Exception | None = None
        self._listeners = 0
        self._changed = asyncio.Event()
        self._task: asyncio.Task[Any] | None = None

    async def run(self) -> None:
        """Have the turn answered."""
        self._task = asyncio.current_task()
        try:
            if not self.deserted:
                async with self.stream:
                    async for delta in self.stream:
                        self._deltas.append(delta)
                        self._tell()
        except Exception as error:  # noqa: BLE001  (whoever listens is told)
            self._error = error
        except asyncio.CancelledError:
            self._error = Refusal(503, "stopping", headers={"x-should-retry": "true"})
            raise
        finally:
            self._over = True
            self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def heard(self) -> AsyncGenerator[Delta, None]:
        """All deltas, from the first on, as they come."""
        self._listeners += 1
        try:
            if not self._begun:
                self._begun = True
                self._begin(self)
            place = 0
            while True:
                changed = self._changed
                for delta in self._deltas[place:]:
                    place += 1
                    yield delta
                if place == len(self._deltas):
                    if self._error is not None:
                        raise self._error
                    if self._over:
                        return
                    await changed.wait()
        finally:
            self._listeners -= 1
            self._leave()

    def _leave(self) -> None:
        """Somebody has left; the last one stops the model, as long as it answers."""
        if self._listeners or self._detached or self._over:
            return
        self.deserted = True
        if self._task is not None:
            self._task.cancel()


class Audiences:
    """The answers that come now and are heard apart from their turns. ``beside`` has something done that no
    client waits for."""

    def __init__(self, beside: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._beside = beside
        self._marked: dict[Mark, Audience] = {}

    def of(
        self, mark: Mark | None, stream: AsyncStream, told: Mapping[str, str], *, detached: bool
    ) -> Audience:
        """The audience before which a turn is answered: that of the same request, if its answer comes now."""
        return self.get(mark) or Audience(stream, told, partial(self._have, mark), detached=detached)

    def get(self, mark: Mark | None) -> Audience | None:
        """The audience of the same request, if its answer comes now and goes on."""
        audience = None if mark is None else self._marked.get(mark)
        return None if audience is None or audience.deserted else audience

    def _have(self, mark: Mark | None, audience: Audience) -> None:
        if mark is not None and self.get(mark) is None:
            self._marked[mark] = audience
        self._beside(self._run(mark, audience))

    async def _run(self, mark: Mark | None, audience: Audience) -> None:
        try:
            await audience.run()
        finally:
            if mark is not None and self._marked.get(mark) is audience:
                del self._marked[mark]
