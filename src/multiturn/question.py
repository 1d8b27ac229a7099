"""What is asked in a step, and of whom? A window for the model that is asked now; where it does not answer,
one for who is asked next."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace
from typing import TypeVar

from .ahead import Ahead
from .calibration import shrunk
from .catalog import Card
from .errors import (
    ConfigurationInvalid,
    ContextOverflow,
    InputInvalid,
    ProviderError,
    ProviderOverflow,
    TurnClosed,
)
from .known import Known
from .phrases import Reason
from .reply import Delta
from .request import request_of
from .routing import Attempts
from .step import Gathered, refuse_early, window_of
from .storage import Lease
from .terms import Engine, Input, Terms
from .window import Request, Window

__all__ = ["Question", "there"]

T = TypeVar("T")


@dataclass(slots=True)
class Question:
    """The request of one step. It is changed only as long as nothing of an answer has come: for a smaller
    window, where this one was too large for the model after all, or for somebody else."""

    engine: Engine
    given: Input
    lease: Lease
    known: Known
    attempts: Attempts
    terms: Terms | None = None
    built: Window | None = None
    source: AsyncIterator[Delta] | None = None
    """Where the answer comes from."""
    gathered: Gathered | None = None
    """What was read of the path when the turn began."""
    ahead: Ahead | None = None
    """What was built of the window while that was being stored."""
    _trimmed: bool = False

    @property
    def window(self) -> Window:
        """What is sent."""
        return there(self.built)

    @property
    def card(self) -> Card:
        """The model that is asked."""
        return there(self.terms).card

    def request(self, *, stream: bool) -> Request:
        """What the provider is asked."""
        return request_of(
            self.card,
            self.engine.catalog.profile(self.card.provider),
            self.window,
            conversation=self.lease.ulid,
            tools=self.given.tools,
            tool_choice=self.given.tool_choice,
            params=self.given.params,
            stream=stream,
            elsewhere=self.attempts.elsewhere,
        )

    async def build(self) -> None:
        """Build the window for who is asked now."""
        await self._build(self._terms_now())

    async def answer(self, *, stream: bool) -> AsyncGenerator[Delta, None]:
        """What the provider says; until it says something, whoever may be asked next."""
        begun = False
        while True:
            provider = self.engine.provider(self.card, self.attempts.current.key)
            answer = self.source = provider.stream(self.request(stream=stream))
            try:
                async with contextlib.aclosing(answer):  # type: ignore[type-var]  # providers are generators
                    async for delta in answer:
                        if not begun:
                            begun = True
                            self._begin()
                        yield delta
            except ProviderError as error:
                if begun:
                    raise
                await self._ask_again(error)
            except BaseException:
                self.attempts.leave()
                raise
            else:
                return

    def _begin(self) -> None:
        """The answer begins: from now on nobody else is asked, and the conversation stays here. Of what was
        said only the window is still needed."""
        self.attempts.answered()
        self.known.last = self.card.name
        self.ahead, self.given = None, replace(self.given, entries=(), context=())

    async def _ask_again(self, error: ProviderError) -> None:
        """Make ready to ask for less, or somebody else who can be sent the conversation. Raises ``error``
        where there is nothing more to try."""
        if isinstance(error, ProviderOverflow) and not self._trimmed:
            await self._trim(error)
            return
        going = self.attempts.failed(error)
        while going:
            try:
                self.engine.provider(*self.attempts.current)
                terms = self._terms_now()
                refuse_early(terms, self.given)
                await self._build(terms)
            except (ConfigurationInvalid, ContextOverflow, InputInvalid):
                going = self.attempts.pass_over()
            else:
                self._trimmed = False
                return
        raise error

    async def _trim(self, error: ProviderOverflow) -> None:
        """Build the window again within what the overflow says, and remember that for later turns."""
        self._trimmed = True
        terms, limit = there(self.terms), error.limit
        if limit is not None and self.engine.calibration.learn_limit(terms.card.name, limit):
            await self.engine.store.learn_limit(terms.card.name, limit)
        try:
            await self._build(terms.within(shrunk(self.window.tokens, limit)))
        except ContextOverflow:
            raise error from None

    def _terms_now(self) -> Terms:
        """What holds for who is asked now."""
        given = self.given
        if self.attempts.route is not None:
            given = replace(given, model=self.attempts.current.card.name)
        return self.known.terms_of(self.engine, given)

    async def _build(self, terms: Terms) -> None:
        self.terms = terms
        built = self.ahead.take(terms, self.given) if self.ahead else None
        window = await (built or window_of(self.engine, terms, self.given, self.lease, self.gathered))
        self.gathered = None
        route, tried = self.attempts.route, tuple(self.attempts.tried)
        self.built = replace(window, route=route, tried=tried) if route or tried else window


def there(value: T | None) -> T:
    """What an earlier part of the turn has made; raises `TurnClosed` where it has not."""
    if value is None:
        raise TurnClosed(Reason("why.not_so_far"))
    return value
