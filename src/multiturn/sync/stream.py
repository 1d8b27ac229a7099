"""The blocking twins of a stream and a prepared turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from ..conversations import Turn
from ..decision import Decisions
from ..reply import Delta, Reply
from ..stream import AsyncPreparedTurn, AsyncStream
from ..window import Window

__all__ = ["PreparedTurn", "Run", "Stream"]

T = TypeVar("T")


class Run(Protocol):
    """Does work on the client's event loop and waits for it."""

    def __call__(self, work: Callable[[], Awaitable[T]]) -> T:
        """The outcome of ``work``."""
        ...


class Stream:
    """The deltas of one turn. See `multiturn.AsyncStream`."""

    def __init__(self, run: Run, stream: AsyncStream) -> None:
        self._run = run
        self._stream = stream

    @property
    def reply(self) -> Reply:
        """See `AsyncStream.reply`."""
        return self._stream.reply

    @property
    def turn(self) -> Turn:
        """See `AsyncStream.turn`."""
        return self._stream.turn

    @property
    def window(self) -> Window:
        """See `AsyncStream.window`."""
        return self._stream.window

    def __enter__(self) -> Self:
        self._run(self._stream.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(lambda: self._stream.__aexit__(kind, error, trace))

    def __iter__(self) -> Iterator[Delta]:
        return self

    def __next__(self) -> Delta:
        async def following() -> Delta | None:
            return await anext(self._stream, None)

        delta = self._run(following)
        if delta is None:
            raise StopIteration
        return delta

    def stop(self) -> None:
        """See `AsyncStream.stop`."""

        async def stop() -> None:
            self._stream.stop()

        self._run(stop)

    def close(self) -> None:
        """See `AsyncStream.aclose`."""
        self._run(self._stream.aclose)


class PreparedTurn:
    """A turn whose model you call yourself. See `multiturn.AsyncPreparedTurn`."""

    def __init__(self, run: Run, turn: AsyncPreparedTurn) -> None:
        self._run = run
        self._turn = turn

    def __enter__(self) -> Self:
        self._run(self._turn.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(lambda: self._turn.__aexit__(kind, error, trace))

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
        return self._run(lambda: self._turn.commit(completion))

    def follow(self, chunks: Iterable[T]) -> Iterator[T]:
        """See `AsyncPreparedTurn.follow`; the SDK's stream is read on the caller's thread."""
        turn, run = self._turn, self._run
        held: list[T] = []
        try:
            for chunk in chunks:
                going = run(partial(turn._take, chunk))  # noqa: SLF001  (one class in two halves)
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
