"""How are the deltas of an answer had? One by one, by whoever waits for the next; or each the moment it
comes, without a task in between, which costs a fraction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from ..reply import Delta

__all__ = ["Deltas", "Flow", "Taker"]

Taker = Callable[[Delta], bool | None]
"""Takes a delta and says whether the next one may come at once; ``None``: it did not take this one."""


class Exchange(Protocol):
    """An answer while it arrives."""

    async def more(self) -> list[Delta]:
        """The next deltas; none when the answer is over."""
        ...

    async def flow(self, take: Taker) -> Sequence[Delta]:
        """Have deltas taken as they come; those that came and were not."""
        ...

    def close(self) -> None:
        """Close the connection, unless the answer was read to its end and it can be used again."""
        ...


Begin = Callable[[], Awaitable[tuple[Exchange, list[Delta]]]]
"""Makes the call, and gives its first deltas."""


class Deltas:
    """The deltas of one call. Whoever leaves early closes them."""

    def __init__(self, begin: Begin) -> None:
        self._begin: Begin | None = begin
        self._exchange: Exchange | None = None
        self._ready: list[Delta] = []
        self._over = False

    def __aiter__(self) -> Deltas:
        return self

    async def __anext__(self) -> Delta:
        try:
            if not self._ready and not self._over:
                self._ready.extend(await self._more())
        except BaseException:
            await self.aclose()
            raise
        if not self._ready:
            await self.aclose()
            raise StopAsyncIteration
        return self._ready.pop(0)

    async def flow(self, take: Taker) -> None:
        """Have ``take`` get the deltas from now on the moment they come, until it does not go on. Then read
        on: what ended or spoiled the answer shows there."""
        while self._ready:
            going = take(self._ready[0])
            if going is not None:
                self._ready.pop(0)
            if not going:
                return
        if self._exchange is not None and not self._over:
            self._ready.extend(await self._exchange.flow(take))

    async def aclose(self) -> None:
        """Close the connection, unless the answer was read to its end."""
        self._over = True
        self._ready.clear()
        if self._exchange is not None:
            self._exchange.close()

    async def _more(self) -> list[Delta]:
        if self._exchange is not None:
            return await self._exchange.more()
        if self._begin is None:
            return []
        begin, self._begin = self._begin, None  # what was sent is not kept while the answer comes
        self._exchange, deltas = await begin()
        return deltas


class Flow:
    """Deltas that are taken as they come, until ``take`` does not go on; ``left`` came and were not."""

    def __init__(self, take: Taker) -> None:
        self.left: list[Delta] = []
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._take = take

    def came(self, deltas: Sequence[Delta]) -> bool:
        """Some deltas came; whether it goes on."""
        for place, delta in enumerate(deltas):
            going = self._take(delta)
            if not going:
                self.left.extend(deltas[place + (going is not None) :])
                return False
        return True

    def end(self, error: BaseException | None = None) -> None:
        """It goes on no longer."""
        if self.over.done():
            return
        if error is None:
            self.over.set_result(None)
        else:
            self.over.set_exception(error)
