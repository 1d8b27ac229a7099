"""What does every endpoint work with? The client, what is being answered and for whom, what is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from ..cards import Card, EmbeddingCard
from ..client import AsyncMultiTurn
from ..usage import Spending
from .access.allowances import Allowances
from .access.answering import ANSWERING
from .access.consumption import Consumed, Consumption
from .access.hosts import Hosts
from .access.keys import Keys
from .access.principal import principal_of
from .audience import Audiences
from .http.connection import Connection, Write
from .meters import Meters
from .repeats import Repeats

__all__ = ["Asker", "Gateway", "client_of", "gateway_of"]


@dataclass(slots=True)
class Gateway:
    """One client, and the work that goes on for it. ``stopping`` once no more is taken on."""

    client: AsyncMultiTurn
    hosts: Hosts = field(default_factory=Hosts)
    meters: Meters = field(default_factory=Meters)
    repeats: Repeats = field(default_factory=Repeats)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    stopping: bool = False
    keys: Keys = field(init=False)
    consumption: Consumption = field(init=False)
    allowances: Allowances = field(init=False)
    audiences: Audiences = field(init=False)

    def __post_init__(self) -> None:
        self.keys = Keys(self.client, needed=self.hosts.public)
        self.consumption = Consumption(self.client.endpoints.store, self.beside)
        self.allowances = Allowances(self.client.config.tenants, self.consumption)
        self.audiences = Audiences(self.beside)
        self.client.spare = self.allowances.spare

    @property
    def language(self) -> str:
        """The language in which errors are told."""
        return self.client.config.language

    def client_of(self, scope: Scope) -> AsyncMultiTurn:
        """The client of whoever sends this request: conversations of their tenant only."""
        principal = principal_of(scope)
        return self.client if principal is None else principal.client

    def consumed(self, client: AsyncMultiTurn, card: Card | EmbeddingCard) -> Consumed | None:
        """What is to hear of the usage of a call that is no turn; ``None``, so that nothing is counted, where
        nobody has a key or a budget."""
        if client is self.client and client.tenant not in self.allowances.stated:
            return None
        at_once = self.allowances.budgeted(client.tenant)
        return partial(self.consumption.add, client.tenant, card, at_once=at_once)

    async def expect(self, foresee: Callable[[], Awaitable[Spending | None]]) -> None:
        """Before a model is asked: keep back what the answer may take, where its tenant has a budget; nothing
        where no model is going to be asked (``None``). Raises `Refusal`."""
        answer = ANSWERING.get()
        if answer is None or not self.allowances.budgeted(answer.tenant):
            return
        held = await foresee()
        if held is not None:
            await self.allowances.hold(answer, held)

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that no client waits for; it is finished before the gateway ends, and so long the
        answer counts for which it is done."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        answer = ANSWERING.get()
        if answer is not None and answer.stay():
            task.add_done_callback(lambda _: answer.leave())

    async def finish(self, seconds: float) -> None:
        """Wait for everything that is being done; what takes longer is told to stop, and has a moment to
        store what there is."""
        self.stopping = True
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=seconds)
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=seconds)
        await self.consumption.write()


class Asker(NamedTuple):
    """Whoever waits for an answer that is sent piece by piece. ``client`` sees what is theirs, ``receive``
    says when they leave."""

    gateway: Gateway
    client: AsyncMultiTurn
    receive: Receive
    send: Send

    @property
    def direct(self) -> Write | None:
        """What sends a piece without a task in between; ``None`` where another server serves us."""
        return self.receive.write if isinstance(self.receive, Connection) else None


def gateway_of(request: Request) -> Gateway:
    """The gateway that serves this request."""
    gateway: Gateway = request.app.state.gateway
    return gateway


def client_of(request: Request) -> AsyncMultiTurn:
    """The client of whoever sends this request: conversations of their tenant only."""
    return gateway_of(request).client_of(request.scope)
