"""The blocking API: the same client, driven on a thread with an event loop of its own.

Every method of the async API has its twin here under the same name; nothing is decided here.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from ..catalog import Catalog
from ..chat import AsyncConversation
from ..client import AsyncMultiTurn, By
from ..config import Config
from ..conversations import Conversation, Hit, new_ulid
from ..errors import StoreUnavailable
from ..phrases import Reason
from ..policy import ContextPolicy
from ..providers import Provider
from ..storage import Store
from ..usage import Spending
from .chat import BlockingConversation
from .loop import Loop

__all__ = ["MultiTurn"]

T = TypeVar("T")


class MultiTurn:
    """Conversations that remember, on any stateless chat API. See `multiturn.AsyncMultiTurn` for what
    each argument and method means; here they block.

    >>> with MultiTurn(model="demo", store=":memory:") as client:
    ...     chat = client.conversation("order-42", system="你是手机商店的店员。")
    ...     _ = chat.send("你好，我今年 27 岁。")
    ...     "27" in chat.send("你知道我今年几岁吗？").text
    True
    """

    def __init__(
        self,
        model: str | None = None,
        store: str | Store | None = None,
        policy: ContextPolicy | None = None,
        *,
        tenant: str = "",
        user: str | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        provider: Provider | None = None,
        config: Config | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._make = partial(
            AsyncMultiTurn,
            model,
            store,
            policy,
            tenant=tenant,
            user=user,
            api_key=api_key,
            base_url=base_url,
            provider=provider,
            config=config,
            environment=environment,
        )
        self._open()

    def _open(self) -> None:
        self._client, self._loop = self._make(), Loop()
        self._finalizer = weakref.finalize(self, _close, self._loop, self._client, weakref.ref(self))

    def _run(self, work: Callable[[], Awaitable[T]]) -> T:
        if not self._finalizer.alive:
            raise StoreUnavailable(Reason("why.client_closed"), path=self._client.config.store)
        return self._loop.run(work)

    def _current(self) -> AsyncMultiTurn:
        """The async client; made anew in a forked process, where threads and sockets are gone."""
        if self._loop.foreign:
            self._finalizer.detach()
            self._open()
        return self._client

    @property
    def config(self) -> Config:
        """See `AsyncMultiTurn.config`."""
        return self._client.config

    @property
    def model(self) -> str:
        """See `AsyncMultiTurn.model`."""
        return self._client.model

    @property
    def tenant(self) -> str:
        """See `AsyncMultiTurn.tenant`."""
        return self._client.tenant

    @property
    def catalog(self) -> Catalog:
        """See `AsyncMultiTurn.catalog`."""
        return self._client.catalog

    def within(self, tenant: str, *, user: str | None = None) -> MultiTurn:
        """See `AsyncMultiTurn.within`."""
        return _View(self._run, lambda: self._current().within(tenant, user=user))

    def conversation(
        self,
        id: str | None = None,
        *,
        user: str | None = None,
        system: str | Sequence[object] | None = None,
        opening: str | None = None,
        policy: ContextPolicy | None = None,
        model: str | None = None,
        memory: str | None = None,
        metadata: Mapping[str, str] | None = None,
        expires_after: float | None = None,
    ) -> BlockingConversation:
        """See `AsyncMultiTurn.conversation`."""
        name = f"conv_{new_ulid()}" if id is None else id

        def make() -> AsyncConversation:
            return self._current().conversation(
                name,
                user=user,
                system=system,
                opening=opening,
                policy=policy,
                model=model,
                memory=memory,
                metadata=metadata,
                expires_after=expires_after,
            )

        return BlockingConversation(self._run, make)

    def conversations(
        self,
        *,
        user: str | None = None,
        everybody: bool = False,
        limit: int = 100,
        before: str | None = None,
        after: str | None = None,
        oldest: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> list[Conversation]:
        """See `AsyncMultiTurn.conversations`."""
        client = self._current()
        return self._run(
            lambda: client.conversations(
                user=user,
                everybody=everybody,
                limit=limit,
                before=before,
                after=after,
                oldest=oldest,
                metadata=metadata,
            )
        )

    def sweep(self) -> int:
        """See `AsyncMultiTurn.sweep`."""
        client = self._current()
        return self._run(client.sweep)

    def search(
        self, text: str, *, user: str | None = None, everybody: bool = False, limit: int = 20
    ) -> list[Hit]:
        """See `AsyncMultiTurn.search`."""
        client = self._current()
        return self._run(lambda: client.search(text, user=user, everybody=everybody, limit=limit))

    def usage(
        self,
        *,
        by: By | Sequence[By] = "all",
        user: str | None = None,
        conversation: str | None = None,
    ) -> list[Spending]:
        """See `AsyncMultiTurn.usage`."""
        client = self._current()
        return self._run(lambda: client.usage(by=by, user=user, conversation=conversation))

    def load(self, path: str | os.PathLike[str], *, user: str | None = None) -> list[BlockingConversation]:
        """See `AsyncMultiTurn.load`."""
        client = self._current()
        loaded = self._run(lambda: client.load(path, user=user))
        return [self.conversation(chat.id, user=user) for chat in loaded]

    def export_user(self, user: str) -> str:
        """See `AsyncMultiTurn.export_user`."""
        client = self._current()
        return self._run(lambda: client.export_user(user))

    def delete_user(self, user: str) -> int:
        """See `AsyncMultiTurn.delete_user`."""
        client = self._current()
        return self._run(lambda: client.delete_user(user))

    def close(self) -> None:
        """See `AsyncMultiTurn.close`."""
        if not self._loop.foreign:
            self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _View(MultiTurn):
    """Another tenant through the same client, on the same thread."""

    def __init__(
        self, run: Callable[[Callable[[], Awaitable[Any]]], Any], view: Callable[[], AsyncMultiTurn]
    ) -> None:
        self._through, self._seen = run, view
        self._client = view()

    def _run(self, work: Callable[[], Awaitable[T]]) -> T:
        done: T = self._through(work)
        return done

    def _current(self) -> AsyncMultiTurn:
        return self._seen()

    def close(self) -> None:
        """A view holds nothing."""


def _close(loop: Loop, client: AsyncMultiTurn, owner: weakref.ref[MultiTurn]) -> None:
    loop.end(client.close, held=owner() is not None)
