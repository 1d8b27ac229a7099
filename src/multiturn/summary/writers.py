"""Who writes a summary? The model that is asked, with one of its keys; where it does not answer, whoever
comes next on its route, as for a turn."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..cards import Card
from ..conversations import Owner
from ..errors import ConfigurationInvalid, ProviderError
from ..routing import Attempts
from ..terms import Engine
from .summariser import Summariser, Writing

__all__ = ["Writers"]


@dataclass(slots=True)
class Writers:
    """Asks for summaries of at most ``tokens`` tokens. ``writer`` is who is asked now; ``moved`` whether that
    is somebody else since the last request, which was not answered and is to be made anew for it."""

    engine: Engine
    attempts: Attempts
    tokens: int
    writer: Summariser = field(init=False)
    moved: bool = False

    @classmethod
    def of(
        cls, engine: Engine, model: str, last: str | None, owner: Owner, conversation: str, tokens: int
    ) -> Writers:
        """Those of ``model``, which may be a route; ``last`` is the target that answered the conversation
        before. Raises `ConfigurationInvalid` where nobody can be asked."""
        return cls(engine, engine.attempts(model, last, owner, conversation), tokens)

    def __post_init__(self) -> None:
        self.writer = self._opened()

    async def ask(self, writing: Writing, end: float) -> str | None:
        """The summary; ``None`` where there is none that can be used: then `Writing.flaw` says why."""
        self.moved = False
        self.attempts.enter()
        try:
            text = await writing.run(end)
        finally:
            self._learn(writing)
        return text

    def _learn(self, writing: Writing) -> None:
        """Tell the circuit how it went, and go on where nothing was answered."""
        if writing.begun:
            self.attempts.answered()
        elif isinstance(writing.error, ProviderError):
            self.moved = self._move_on(writing.error)
        else:
            self.attempts.leave()

    def _move_on(self, error: ProviderError) -> bool:
        going = self.attempts.failed(error)
        while going:
            try:
                if self._card.can_summarise:
                    self.writer = self._opened()
                    self.attempts.leave()  # it is entered when it is asked
                    return True
            except ConfigurationInvalid:  # it cannot be asked here
                pass
            going = self.attempts.pass_over()
        return False

    @property
    def _card(self) -> Card:
        return self.engine.calibration.card(self.attempts.current.card)

    def _opened(self) -> Summariser:
        card, attempts = self._card, self.attempts
        provider = self.engine.provider(card, attempts.current.key)
        return Summariser.of(provider, card, self.tokens, self.engine.catalog, attempts.elsewhere)
