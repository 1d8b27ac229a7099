"""How does a model write a summary, and is what it wrote one? One request, checked; never an exception."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import orjson

from ..catalog import Card, Catalog
from ..conversations import Step
from ..errors import Error
from ..prompts import Asked, asked, is_refusal
from ..providers import Provider
from ..reply import Draft
from ..tokens import MARGIN, MESSAGE_OVERHEAD, REPLY_OVERHEAD, count_message, count_text
from ..usage import Price, Spending, Usage
from ..window import Request

__all__ = ["TOLERANCE", "Flaw", "Summariser", "Writing"]

TOLERANCE = 1.25
"""How much longer than asked for a summary may be."""
BYTES = 4
"""Of text, for a token: about right for English and Chinese."""
LONGEST_INPUT = 32_000
"""Tokens read at once where the model would take more: longer texts are summarised less well."""
THINKING_ROOM = 8_192
"""Tokens of thinking beside the summary, where it cannot be switched off."""
LENGTH = {"en": 0.55, "zh": 0.9}
"""Words, and Chinese characters, that are asked for in place of one token: models count those."""
SHORTEST = 20
QUIET: Mapping[str, object] = {
    "enable_thinking": False,
    "thinking": {"type": "disabled"},
    "reasoning_effort": "low",
}
"""What each switch of a profile is set to, so that a model thinks little or not at all."""


class Flaw(StrEnum):
    """Why what a model wrote is not used as a summary. Errors of the call have their own codes."""

    EMPTY = "summary_empty"
    REFUSED = "summary_refused"
    CUT = "summary_cut"
    """The answer ended at its limit, or without an end."""
    FILTERED = "summary_filtered"
    TOO_LONG = "summary_too_long"
    GREW = "summary_grew"
    """It is longer than what was read."""
    SLOW = "summary_slow"
    BROKEN_OFF = "summary_broken_off"
    """The program ended meanwhile."""
    NO_ROOM = "summary_no_room"
    """The model cannot read the instructions, the summary so far and a turn at once."""
    NO_BUDGET = "summary_no_budget"
    """What its tenant may consume is used up, or what runs may use it up."""
    OVERTAKEN = "summary_overtaken"
    """Somebody else wrote a summary meanwhile, or took a turn back."""


@dataclass(frozen=True, slots=True)
class Summariser:
    """A model that writes summaries of at most ``tokens`` tokens. With the errors of ``elsewhere`` somebody
    else is asked."""

    provider: Provider
    card: Card
    tokens: int
    params: Mapping[str, object]
    elsewhere: tuple[type[Exception], ...] = ()

    @classmethod
    def of(
        cls,
        provider: Provider,
        card: Card,
        tokens: int,
        catalog: Catalog,
        elsewhere: tuple[type[Exception], ...] = (),
    ) -> Summariser:
        """The model with the parameters the catalogue allows: a limit for the reply, and thinking switched
        off where it can be."""
        params: dict[str, object] = {}
        if card.thinks == "toggle" and card.thinks_by_default:
            switch = next(iter(catalog.profile(card.upstream or card.provider).switches), "")
            params = {switch: QUIET[switch]} if switch in QUIET else {}
        limit = tokens
        if catalog.target(card, params).thinking:
            limit = min(tokens + THINKING_ROOM, card.max_output or tokens + THINKING_ROOM)
        params["max_tokens"] = limit
        allowed = {name: value for name, value in params.items() if name not in card.drop_params}
        return cls(provider, card, tokens, allowed, elsewhere)

    def room(self, so_far: str, language: str) -> int:
        """How many uncalibrated tokens of turns it can read beside the summary so far."""
        limit = self.params.get("max_tokens")
        bounds = [self.card.input_limit(limit if isinstance(limit, int) else self.tokens), LONGEST_INPUT]
        bounds += [self.card.first_tier] if self.card.first_tier else []
        empty = sum(count_message(message) for message in self._messages(Asked(so_far, "", language)))
        return int(min(bounds) / MARGIN) - empty - REPLY_OVERHEAD - MESSAGE_OVERHEAD

    def writing(self, request: Asked, branch: int) -> Writing:
        """A request of its own, ready to be made."""
        body = orjson.dumps(self._messages(request))
        told = Request(
            model=self.card.model, body=body, params=self.params, stream=True, elsewhere=self.elsewhere
        )
        return Writing(self, told, count_text(request.so_far) + count_text(request.turns), branch)

    def length(self, language: str) -> int:
        """How long a summary may be, in words or Chinese characters."""
        return max(SHORTEST, int(self.tokens * LENGTH[language]))

    def _messages(self, request: Asked) -> list[dict[str, str]]:
        return asked(request, self.length(request.language))


@dataclass(slots=True)
class Writing:
    """One request for a summary of what has ``read`` uncalibrated tokens: `run` it; ``step`` then says what
    it consumed, also where it was broken off."""

    summariser: Summariser
    request: Request
    read: int
    branch: int
    flaw: str | None = None
    """Why there is no summary: a `Flaw`, or the code of an error."""
    error: Error | None = None
    """What the call ended with."""
    begun: bool = False
    """Whether anything was answered."""
    _draft: Draft = field(default_factory=Draft)
    _begun: float = field(default_factory=time.monotonic)

    async def run(self, end: float) -> str | None:
        """The summary; ``None`` where there is none that can be used. Nothing is read after ``end``, a time
        of the running loop."""
        self.flaw = Flaw.BROKEN_OFF
        try:
            async with asyncio.timeout_at(end):
                await self._read()
            self.flaw = self._flaw()
        except TimeoutError:
            self.flaw = Flaw.SLOW
        except Error as error:
            self.flaw, self.error = error.code, error
        except Exception:  # noqa: BLE001  (a provider of somebody else's may raise anything; no turn waits here)
            self.flaw = Error.code
        return None if self.flaw else self._draft.text.strip()

    async def _read(self) -> None:
        """Read the answer; one that is far too long is not read to its end."""
        summariser = self.summariser
        longest = 16 * summariser.tokens + 4_096  # characters
        answer = summariser.provider.stream(self.request)
        async with contextlib.aclosing(answer):  # type: ignore[type-var]  # providers are generators
            length = 0
            async for delta in answer:
                self.begun = True
                self._draft.add(delta)
                length += len(delta.text)
                if length > longest:
                    return

    def _flaw(self) -> Flaw | None:
        text, reason = self._draft.text.strip(), self._draft.finish_reason
        tokens = count_text(text)
        if reason == "content_filter":
            return Flaw.FILTERED
        if "refusal" in self._draft.extra or is_refusal(text):
            return Flaw.REFUSED
        if tokens > TOLERANCE * self.summariser.tokens:
            return Flaw.TOO_LONG
        if reason == "length" or (reason is None and text):
            return Flaw.CUT
        if not text:
            return Flaw.EMPTY
        return Flaw.GREW if tokens > self.read else None

    @property
    def foreseen(self) -> Spending:
        """What the call may take."""
        limit, price = self.request.params.get("max_tokens"), self.summariser.card.price
        longest = limit if isinstance(limit, int) else self.summariser.tokens
        usage = Usage(len(self.request.body) // BYTES, longest, estimated=True)
        return Spending("", usage, (price.cost(usage),) if price else (), 1)

    @property
    def step(self) -> Step:
        """The call as it is stored: of turn 0, because it belongs to none."""
        usage = self._usage
        price: Price | None = self.summariser.card.price
        return Step(
            model=self.summariser.card.name,
            ledger=b"",
            usage=usage,
            cost=price.cost(usage) if price and usage else None,
            finish_reason=self._draft.finish_reason,
            response_id=self._draft.response_id,
            error=self.flaw,
            seconds=time.monotonic() - self._begun,
            branch=self.branch,
        )

    @property
    def _usage(self) -> Usage | None:
        """What the provider reported; else an estimate, once something arrived."""
        draft = self._draft
        if draft.usage or not (draft.text or draft.thoughts):
            return draft.usage
        thought = count_text(draft.reasoning or "")
        output = count_text(draft.text) + thought
        return Usage(self.read, output, reasoning=thought or None, estimated=True)
