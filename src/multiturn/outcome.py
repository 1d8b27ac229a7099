"""What came of a step? Its answer beside the window it was asked with: what is stored, what it consumed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property

from .caching import Forecast
from .cards import Card
from .context import due
from .errors import MessageInvalid
from .messages import Entry, Trait
from .reply import Draft
from .request import answered, remembered
from .sealing import seal
from .tokens import count_message, count_text
from .usage import Cost, Usage
from .window import Quotation, Window
from .wire import written

__all__ = ["Outcome"]

TELLING = 256
"""Tokens from which on a window says how far off our counts are."""


@dataclass(frozen=True)
class Outcome:
    """The answer of one step as far as it has come; what comes after it was asked it need not see.
    ``window`` is ``None`` where the step failed before one was built, ``card`` where not even the model was
    known."""

    draft: Draft
    card: Card | None
    window: Window | None

    @cached_property
    def usage(self) -> Usage | None:
        """What the provider reported; else an estimate, marked as one; ``None`` where nothing arrived."""
        if self.draft.usage or (self.draft.empty and not self.draft.thoughts):
            return self.draft.usage
        thought = count_text(self.draft.reasoning or "")
        sent = self.window.tokens if self.window else 0
        return Usage(sent, self._tokens + thought, reasoning=thought or None, estimated=True)

    @property
    def cost(self) -> Cost | None:
        """What the call cost; ``None`` where price or usage is unknown."""
        usage, price = self.usage, self.card.price if self.card else None
        return price.cost(usage) if price and usage else None

    @property
    def ledger(self) -> bytes:
        """Why each message was sent or left out, as it is stored."""
        return self.told.ledger.to_json() if self.told else b""

    @cached_property
    def told(self) -> Window | None:
        """The window with what the cache held."""
        return answered(self.window, self.usage, self._expected) if self.window else None

    @cached_property
    def _expected(self) -> Forecast | None:
        return self.window.forecast if self.window else None

    def entries(self, keep_reasoning: bool, *, unsure: bool) -> list[Entry]:
        """The assistant's message; none where no words arrived. Where the answer is ``unsure``, because
        something failed, one that cannot be stored is none. Raises `MessageInvalid`."""
        if self.draft.empty:
            return []
        message = written(self.draft.message())
        if not keep_reasoning:
            message.pop("reasoning_content", None)
        try:
            return [seal(message, count_message)]
        except MessageInvalid:
            if not unsure:
                raise
            return []

    @property
    def quote(self) -> Quotation | None:
        """What was recalled for this turn's input, to be sent again with it."""
        recalled = self.window.recalled if self.window else None
        return recalled if recalled and recalled.text else None

    @property
    def fingerprint(self) -> bytes | None:
        """What is remembered of the request; nothing where nobody answered it."""
        return remembered(self.window, self.usage, time.time(), self._expected) if self.usage else None

    @property
    def counted(self) -> int | None:
        """What the window was counted to cost before calibration, where the provider's own figure can be
        set against it: pictures and sound are counted by other rules, and in a short window the frame
        of its messages weighs more than the words."""
        usage, window = self.draft.usage, self.window
        if usage is None or usage.estimated or window is None or window.traits & Trait.MEDIA:
            return None
        counted = round(window.tokens / window.limits.scale)
        return counted if counted >= TELLING else None

    @property
    def due(self) -> bool:
        """Whether a summary is to be written."""
        return self.window is not None and due(self.window, self._tokens)

    @cached_property
    def _tokens(self) -> int:
        """About what the answer will cost in later windows."""
        called = sum(count_text(call.name + call.arguments) for call in self.draft.tool_calls)
        return count_text(self.draft.text) + called
