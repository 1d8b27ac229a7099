"""How is an answer written? The contract of the fronts: each writes deltas and whole answers in the words of
its own clients."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ...reply import Delta, Draft
from ...usage import Usage
from ..http.refusal import Said

__all__ = ["Form", "Named", "Pieces"]


class Named(NamedTuple):
    """What an answer is called: its id, the model that gives it, and when it was asked for, in seconds since
    1970. They are the same each time the answer of a turn is told."""

    id: str
    model: str
    created: float


class Pieces(Protocol):
    """Writes the events of one answer."""

    def of(self, delta: Delta) -> bytes:
        """One delta as whole events; nothing where there is nothing to tell yet."""
        ...

    def end(self, usage: Usage | None) -> bytes:
        """What comes last."""
        ...


class Form(Protocol):
    """How answers look to one kind of client."""

    @property
    def streamed(self) -> bool:
        """Whether they want the answer as events."""
        ...

    @property
    def says_repeats(self) -> bool:
        """Whether these clients say so when they repeat a request by themselves."""
        ...

    def pieces(self, named: Named) -> Pieces:
        """What writes the events of an answer."""
        ...

    def whole(self, named: Named, draft: Draft, usage: Usage | None) -> bytes:
        """A whole answer."""
        ...

    def failed(self, said: Said) -> bytes:
        """The event that ends an answer which has begun and cannot be finished."""
        ...
