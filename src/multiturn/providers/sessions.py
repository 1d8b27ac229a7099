"""Whose connections are these? Each event loop that calls a provider has its own: lean ones where nothing
stands between, aiohttp's where a proxy does or httptools is not installed."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .aiohttp_client import Client
    from .lines import Lines

__all__ = ["Answer", "Content", "Session", "Sessions"]


class Content(Protocol):
    """The body of an answer while it arrives."""

    async def readany(self) -> bytes:
        """What has come since, at least something; nothing at the end. Raises `Hindrance` and `OSError`."""
        ...

    def at_eof(self) -> bool:
        """Whether everything was read."""
        ...


class Answer(Protocol):
    """The head of an answer, and its body as it comes."""

    @property
    def status(self) -> int:
        """As in HTTP."""
        ...

    @property
    def content_type(self) -> str:
        """The kind of the answer, without its parameters."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """By their names in small letters."""
        ...

    @property
    def content(self) -> Content:
        """The body."""
        ...

    def close(self) -> None:
        """Hang up, unless the answer was read to its end and the connection can be used again."""
        ...


class Session(Protocol):
    """Makes calls over connections that stay open between them."""

    async def post(
        self,
        url: str,
        *,
        data: bytes | io.BytesIO,
        headers: Mapping[str, str],
        allow_redirects: bool,
        proxy: str | None,
    ) -> Answer:
        """Ask, and wait for the head of the answer. Raises `Hindrance` and `OSError`."""
        ...


class Sessions:
    """The connections of one provider; a new one must stand within ``connect`` seconds."""

    def __init__(self, connect: float) -> None:
        self._connect = connect
        self._lines: dict[asyncio.AbstractEventLoop, Lines] = {}
        self._others: dict[asyncio.AbstractEventLoop, Client] = {}

    async def of(self, proxy: str | None) -> Session:
        """The session of the running event loop for calls through ``proxy``, or past all."""
        loop = asyncio.get_running_loop()
        if proxy is None and (lines := self._lines.get(loop) or await self._new_lines(loop)):
            return lines
        return self._others.get(loop) or await self._new_other(loop)

    async def close(self) -> None:
        """Close all connections."""
        while self._lines:
            await self._lines.popitem()[1].close()
        while self._others:
            await self._others.popitem()[1].close()

    async def _new_lines(self, loop: asyncio.AbstractEventLoop) -> Lines | None:
        try:
            from .lines import Lines
        except ModuleNotFoundError:
            return None
        for ended in [each for each in self._lines if each.is_closed()]:
            await self._lines.pop(ended).close()
        self._lines[loop] = Lines(self._connect)
        return self._lines[loop]

    async def _new_other(self, loop: asyncio.AbstractEventLoop) -> Client:
        from .aiohttp_client import Client

        for ended in [each for each in self._others if each.is_closed()]:
            await self._others.pop(ended).close()
        self._others[loop] = Client(self._connect)
        return self._others[loop]
