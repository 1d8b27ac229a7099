"""What does every error carry? A stable code, the figures of its sentence, and the turn it belongs to."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

__all__ = ["Error"]


class Error(Exception):
    """Something went wrong: {detail}."""

    code: str = "error"
    """Stable and public: programs may compare it."""
    retryable: bool = False
    """Whether the same call can succeed later without a change."""

    def __init__(self, detail: str = "", *, turn: str | None = None, **figures: object) -> None:
        self.turn = turn
        """Id of the turn that was accepted before this happened; ``None``: nothing was stored."""
        self.figures: Mapping[str, object] = {"detail": detail, **figures}
        """The values in the sentence, by name: what phrases of other languages are filled with."""
        super().__init__(self.sentence().format_map(self.figures))

    def __reduce__(self) -> tuple[object, ...]:
        """A copy, or the way to another process, does not fill the sentence in a second time."""
        return type(self).__new__, (type(self), *self.args), self.__dict__

    @classmethod
    def sentence(cls) -> str:
        """The English sentence of this class, with its placeholders."""
        return " ".join(inspect.cleandoc(cls.__doc__ or "").split())
