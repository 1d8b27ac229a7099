"""The blocking API: the same client, driven on a thread with an event loop of its own.

Every method of the async API has its twin here under the same name; nothing is decided here.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack

from .asking import Asking
from .catalog import Catalog
from .chat import AsyncConversation, TurnLike
from .client import AsyncMultiTurn, By
from .conversations import Branch, Conversation, Hit, Turn, new_ulid
from .errors import StoreUnavailable
from .ledger import Decisions, Ledger
from .loop import Loop
from .messages import Message
from .policy import ContextPolicy
from .providers import Provider
from .reply import Delta, Reply
from .settings import Config
from .storage import Store
from .stream import AsyncPreparedTurn, AsyncStream
from .usage import Spending
from .window import Window

__all__ = ["BlockingConversation", "MultiTurn", "PreparedTurn", "Stream"]

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
            raise StoreUnavailable("the client was closed", path=self._client.config.store)
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
    def catalog(self) -> Catalog:
        """See `AsyncMultiTurn.catalog`."""
        return self._client.catalog

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
    ) -> BlockingConversation:
        """See `AsyncMultiTurn.conversation`."""
        name = f"conv_{new_ulid()}" if id is None else id

        def make() -> AsyncConversation:
            return self._current().conversation(
                name, user=user, system=system, opening=opening, policy=policy, model=model, memory=memory
            )

        return BlockingConversation(self, make)

    def conversations(
        self, *, user: str | None = None, limit: int = 100, before: str | None = None
    ) -> list[Conversation]:
        """See `AsyncMultiTurn.conversations`."""
        client = self._current()
        return self._run(lambda: client.conversations(user=user, limit=limit, before=before))

    def search(self, text: str, *, user: str | None = None, limit: int = 20) -> list[Hit]:
        """See `AsyncMultiTurn.search`."""
        client = self._current()
        return self._run(lambda: client.search(text, user=user, limit=limit))

    def usage(self, *, by: By = "all", user: str | None = None) -> list[Spending]:
        """See `AsyncMultiTurn.usage`."""
        client = self._current()
        return self._run(lambda: client.usage(by=by, user=user))

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


def _close(loop: Loop, client: AsyncMultiTurn, owner: weakref.ref[MultiTurn]) -> None:
    loop.end(client.close, held=owner() is not None)


class BlockingConversation:
    """One conversation of a user. See `multiturn.AsyncConversation` for what each method means."""

    def __init__(self, client: MultiTurn, make: Callable[[], AsyncConversation]) -> None:
        self._client = client
        self._make = make
        self._chat = make()
        self._process = os.getpid()

    def __repr__(self) -> str:
        return repr(self._chat)

    @property
    def id(self) -> str:
        """The conversation's id."""
        return self._chat.id

    def _run(self, work: Callable[[AsyncConversation], Awaitable[T]]) -> T:
        chat = self._current()
        return self._client._run(lambda: work(chat))  # noqa: SLF001  (one class in two halves)

    def _current(self) -> AsyncConversation:
        if self._process != os.getpid():
            self._chat, self._process = self._make(), os.getpid()
        return self._chat

    def send(self, content: object = None, **asking: Unpack[Asking]) -> Reply:
        """See `AsyncConversation.send`."""
        return self._run(lambda chat: chat.send(content, **asking))

    def stream(self, content: object = None, **asking: Unpack[Asking]) -> Stream:
        """See `AsyncConversation.stream`."""
        return Stream(self._client, self._current().stream(content, **asking))

    def prepare(self, content: object = None, **asking: Unpack[Asking]) -> PreparedTurn:
        """See `AsyncConversation.prepare`."""
        return PreparedTurn(self._client, self._current().prepare(content, **asking))

    def retry(self, **asking: Unpack[Asking]) -> Reply:
        """See `AsyncConversation.retry`."""
        return self._run(lambda chat: chat.retry(**asking))

    def edit(self, turn: TurnLike, content: object, **asking: Unpack[Asking]) -> Reply:
        """See `AsyncConversation.edit`."""
        return self._run(lambda chat: chat.edit(turn, content, **asking))

    def regenerate(self, turn: TurnLike | None = None, **asking: Unpack[Asking]) -> Reply:
        """See `AsyncConversation.regenerate`."""
        return self._run(lambda chat: chat.regenerate(turn, **asking))

    def history(self, *, after: int = 0, limit: int | None = None) -> list[Message]:
        """See `AsyncConversation.history`."""
        return self._run(lambda chat: chat.history(after=after, limit=limit))

    def info(self) -> Conversation:
        """See `AsyncConversation.info`."""
        return self._run(lambda chat: chat.info())

    def turns(self, *, limit: int | None = None) -> list[Turn]:
        """See `AsyncConversation.turns`."""
        return self._run(lambda chat: chat.turns(limit=limit))

    def branches(self) -> list[Branch]:
        """See `AsyncConversation.branches`."""
        return self._run(lambda chat: chat.branches())

    def window(
        self, content: object = None, policy: ContextPolicy | None = None, model: str | None = None
    ) -> Window:
        """See `AsyncConversation.window`."""
        return self._run(lambda chat: chat.window(content, policy, model))

    def ledger(self, turn: TurnLike | None = None, step: int | None = None) -> Ledger:
        """See `AsyncConversation.ledger`."""
        return self._run(lambda chat: chat.ledger(turn, step))

    def usage(self) -> Spending:
        """See `AsyncConversation.usage`."""
        return self._run(lambda chat: chat.usage())

    def export(self, format: Literal["jsonl", "openai", "markdown"] = "jsonl") -> str:
        """See `AsyncConversation.export`."""
        return self._run(lambda chat: chat.export(format))

    def add(self, messages: Sequence[object]) -> list[Message]:
        """See `AsyncConversation.add`."""
        return self._run(lambda chat: chat.add(messages))

    def branch(self, at: TurnLike) -> BlockingConversation:
        """See `AsyncConversation.branch`."""
        number = self._run(lambda chat: chat.branch(at))._place.branch  # noqa: SLF001  (one class in two halves)
        return BlockingConversation(self._client, lambda: self._current()._on(number))  # noqa: SLF001  (see above)

    def switch(self, turn: str | Turn | Branch) -> None:
        """See `AsyncConversation.switch`."""
        self._run(lambda chat: chat.switch(turn))

    def pin(self, turn: TurnLike) -> None:
        """See `AsyncConversation.pin`."""
        self._run(lambda chat: chat.pin(turn))

    def unpin(self, turn: TurnLike) -> None:
        """See `AsyncConversation.unpin`."""
        self._run(lambda chat: chat.unpin(turn))

    def exclude(self, message: Message | TurnLike) -> None:
        """See `AsyncConversation.exclude`."""
        self._run(lambda chat: chat.exclude(message))

    def include(self, message: Message | TurnLike) -> None:
        """See `AsyncConversation.include`."""
        self._run(lambda chat: chat.include(message))

    def retract(self, turn: TurnLike, reason: str = "") -> None:
        """See `AsyncConversation.retract`."""
        self._run(lambda chat: chat.retract(turn, reason))

    def cancel(self) -> bool:
        """See `AsyncConversation.cancel`."""
        return self._run(lambda chat: chat.cancel())

    def delete(self) -> None:
        """See `AsyncConversation.delete`."""
        self._run(lambda chat: chat.delete())


class Stream:
    """The deltas of one turn. See `multiturn.AsyncStream`."""

    def __init__(self, client: MultiTurn, stream: AsyncStream) -> None:
        self._client = client
        self._stream = stream

    @property
    def reply(self) -> Reply:
        """See `AsyncStream.reply`."""
        return self._stream.reply

    @property
    def window(self) -> Window:
        """See `AsyncStream.window`."""
        return self._stream.window

    def __enter__(self) -> Self:
        self._client._run(self._stream.__aenter__)  # noqa: SLF001  (one class in two halves)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client._run(lambda: self._stream.__aexit__(kind, error, trace))  # noqa: SLF001  (see above)

    def __iter__(self) -> Iterator[Delta]:
        return self

    def __next__(self) -> Delta:
        async def following() -> Delta | None:
            return await anext(self._stream, None)

        delta = self._client._run(following)  # noqa: SLF001  (one class in two halves)
        if delta is None:
            raise StopIteration
        return delta

    def stop(self) -> None:
        """See `AsyncStream.stop`."""

        async def stop() -> None:
            self._stream.stop()

        self._client._run(stop)  # noqa: SLF001  (one class in two halves)

    def close(self) -> None:
        """See `AsyncStream.aclose`."""
        self._client._run(self._stream.aclose)  # noqa: SLF001  (one class in two halves)


class PreparedTurn:
    """A turn whose model you call yourself. See `multiturn.AsyncPreparedTurn`."""

    def __init__(self, client: MultiTurn, turn: AsyncPreparedTurn) -> None:
        self._client = client
        self._turn = turn

    def __enter__(self) -> Self:
        self._client._run(self._turn.__aenter__)  # noqa: SLF001  (one class in two halves)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client._run(lambda: self._turn.__aexit__(kind, error, trace))  # noqa: SLF001  (see above)

    @property
    def reply(self) -> Reply | None:
        """See `AsyncPreparedTurn.reply`."""
        return self._turn.reply

    @property
    def window(self) -> Window:
        """See `AsyncPreparedTurn.window`."""
        return self._turn.window

    @property
    def messages(self) -> list[dict[str, Any]]:
        """See `AsyncPreparedTurn.messages`."""
        return self._turn.messages

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """See `AsyncPreparedTurn.tools`."""
        return self._turn.tools

    @property
    def decisions(self) -> Decisions:
        """See `AsyncPreparedTurn.decisions`."""
        return self._turn.decisions

    @property
    def tokens(self) -> int:
        """See `AsyncPreparedTurn.tokens`."""
        return self._turn.tokens

    def commit(self, completion: object) -> Reply:
        """See `AsyncPreparedTurn.commit`."""
        return self._client._run(lambda: self._turn.commit(completion))  # noqa: SLF001  (see above)

    def follow(self, chunks: Iterable[T]) -> Iterator[T]:
        """See `AsyncPreparedTurn.follow`; the SDK's stream is read on the caller's thread."""
        turn, run = self._turn, self._client._run  # noqa: SLF001  (one class in two halves)
        held: list[T] = []
        try:
            for chunk in chunks:
                going = run(partial(turn._take, chunk))  # noqa: SLF001  (see above)
                if turn._told_to_stop:  # noqa: SLF001  (see above)
                    break
                if going:
                    yield chunk
                else:
                    held.append(chunk)
            run(turn._settle)  # noqa: SLF001  (see above)
        except BaseException as error:
            run(partial(turn._break_off, error))  # noqa: SLF001  (see above)
            raise
        yield from held
