"""The blocking twin of a conversation: every method under the same name; nothing is decided here."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, TypeVar, Unpack

from ..asking import Asking
from ..chat import AsyncConversation
from ..conversations import Branch, Conversation, Hit, Summary, Turn
from ..ledger import Ledger
from ..messages import Message
from ..policy import ContextPolicy
from ..reference import TurnLike
from ..reply import Reply
from ..usage import Spending
from ..window import Window
from .stream import PreparedTurn, Run, Stream

__all__ = ["BlockingConversation"]

T = TypeVar("T")


class BlockingConversation:
    """One conversation of a user. See `multiturn.AsyncConversation` for what each method means."""

    def __init__(self, run: Run, make: Callable[[], AsyncConversation]) -> None:
        self._work = run
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
        return self._work(lambda: work(chat))

    def _current(self) -> AsyncConversation:
        if self._process != os.getpid():
            self._chat, self._process = self._make(), os.getpid()
        return self._chat

    def send(self, content: object = None, **asking: Unpack[Asking]) -> Reply:
        """See `AsyncConversation.send`."""
        return self._run(lambda chat: chat.send(content, **asking))

    def stream(self, content: object = None, **asking: Unpack[Asking]) -> Stream:
        """See `AsyncConversation.stream`."""
        return Stream(self._work, self._current().stream(content, **asking))

    def turn(
        self,
        messages: Sequence[object] | None = None,
        *,
        stream: bool = True,
        anew: TurnLike | None = None,
        retold: bytes | None = None,
        **asking: Unpack[Asking],
    ) -> Stream:
        """See `AsyncConversation.turn`."""
        turn = self._current().turn(messages, stream=stream, anew=anew, retold=retold, **asking)
        return Stream(self._work, turn)

    def prepare(self, content: object = None, **asking: Unpack[Asking]) -> PreparedTurn:
        """See `AsyncConversation.prepare`."""
        return PreparedTurn(self._work, self._current().prepare(content, **asking))

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
        self,
        content: object = None,
        policy: ContextPolicy | None = None,
        model: str | None = None,
        *,
        messages: Sequence[object] | None = None,
    ) -> Window:
        """See `AsyncConversation.window`."""
        return self._run(lambda chat: chat.window(content, policy, model, messages=messages))

    def count(self, content: object = None) -> int:
        """See `AsyncConversation.count`."""
        return self._run(lambda chat: chat.count(content))

    def recall(self, text: str, k: int = 10) -> list[Hit]:
        """See `AsyncConversation.recall`."""
        return self._run(lambda chat: chat.recall(text, k))

    def ledger(self, turn: TurnLike | None = None, step: int | None = None) -> Ledger:
        """See `AsyncConversation.ledger`."""
        return self._run(lambda chat: chat.ledger(turn, step))

    def summary(self) -> Summary | None:
        """See `AsyncConversation.summary`."""
        return self._run(lambda chat: chat.summary())

    def summaries(self) -> list[Summary]:
        """See `AsyncConversation.summaries`."""
        return self._run(lambda chat: chat.summaries())

    def summary_error(self) -> str | None:
        """See `AsyncConversation.summary_error`."""
        return self._run(lambda chat: chat.summary_error())

    def usage(self) -> Spending:
        """See `AsyncConversation.usage`."""
        return self._run(lambda chat: chat.usage())

    def export(self, format: Literal["jsonl", "openai", "markdown"] = "jsonl") -> str:
        """See `AsyncConversation.export`."""
        return self._run(lambda chat: chat.export(format))

    def update(
        self, *, metadata: Mapping[str, str] | None = None, expires_after: float | None = None
    ) -> Conversation:
        """See `AsyncConversation.update`."""
        return self._run(lambda chat: chat.update(metadata=metadata, expires_after=expires_after))

    def add(
        self, messages: Sequence[object], *, instructions: bool = True, make: bool = True
    ) -> list[Message]:
        """See `AsyncConversation.add`."""
        return self._run(lambda chat: chat.add(messages, instructions=instructions, make=make))

    def branch(self, at: TurnLike) -> BlockingConversation:
        """See `AsyncConversation.branch`."""
        number = self._run(lambda chat: chat.branch(at))._place.branch  # noqa: SLF001  (one class in two halves)
        return BlockingConversation(self._work, lambda: self._current()._on(number))  # noqa: SLF001  (see above)

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

    def erase(self, message: Message | TurnLike) -> None:
        """See `AsyncConversation.erase`."""
        self._run(lambda chat: chat.erase(message))

    def retract(self, turn: TurnLike, reason: str = "") -> None:
        """See `AsyncConversation.retract`."""
        self._run(lambda chat: chat.retract(turn, reason))

    def edit_summary(self, text: str) -> Summary:
        """See `AsyncConversation.edit_summary`."""
        return self._run(lambda chat: chat.edit_summary(text))

    def undo_summary(self) -> Summary | None:
        """See `AsyncConversation.undo_summary`."""
        return self._run(lambda chat: chat.undo_summary())

    def cancel(self) -> bool:
        """See `AsyncConversation.cancel`."""
        return self._run(lambda chat: chat.cancel())

    def delete(self) -> None:
        """See `AsyncConversation.delete`."""
        self._run(lambda chat: chat.delete())
