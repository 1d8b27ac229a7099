"""What is being answered, and for whom? An answer counts from the moment its request comes in until nothing
more is done for it, also where its client does not wait for it any more."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

from ...usage import Spending, Usage

__all__ = ["ANSWERING", "Answer"]


class Answer:
    """One answer that counts for ``tenant``. ``held`` is what it may take, as far as that is known; ``ended``
    is told when nothing is done for it any more."""

    __slots__ = ("_ended", "_parts", "held", "tenant")

    def __init__(self, tenant: str, ended: Callable[[Answer], None]) -> None:
        self.tenant = tenant
        self.held = Spending("", Usage())
        self._ended = ended
        self._parts = 1

    def stay(self) -> bool:
        """Something more is going to be done for it, until `leave`; false once it has ended."""
        if not self._parts:
            return False
        self._parts += 1
        return True

    def leave(self) -> None:
        """Something that was done for it is done."""
        self._parts -= 1
        if not self._parts:
            self._ended(self)


ANSWERING: ContextVar[Answer | None] = ContextVar("answering", default=None)
"""The answer that the running task works for; ``None``: none that counts."""
