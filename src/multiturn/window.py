"""What is sent in a step? The records Window and Request; and what a window is built from beside the path:
Material, Limits, Target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

import orjson

from .caching import Caching, Forecast, Prompt, compared, forecast, marks
from .conversations import Summary
from .decision import Decisions, Span
from .images import ImageRule
from .ledger import Ledger
from .messages import Entry, Trait
from .path import Cut, MessageRow, Path, Source
from .usage import Cost

__all__ = [
    "Limits",
    "Material",
    "Quotation",
    "ReasoningRule",
    "Request",
    "Target",
    "Window",
]

DIGEST = 6
"""Bytes of a digest: enough to tell edits of one conversation's instructions apart."""

# ------------------------------------------------------------------------ what a window is built from


@dataclass(frozen=True, slots=True)
class Quotation:
    """Recalled turns as they are quoted in front of the new input: the fenced block, its uncalibrated
    tokens, and what it quotes. ``below`` is the best find that was not good enough to be quoted, and
    ``margin`` what it would have needed. An empty ``text`` quotes nothing.
    """

    text: bytes = b""
    tokens: int = 0
    sources: tuple[Source, ...] = ()
    below: Source | None = None
    margin: float = 0.0
    held: tuple[Source, ...] = ()
    """What fits well enough, but stands in the window already: an earlier turn that is sent quotes it."""
    first: int = 1
    """The first turn of the window for which that holds."""


class Material(NamedTuple):
    """Everything a window is made of: the path as it was read, what stands before it (instructions,
    the opening), what is for this step only (``context``), the rows of the turn being answered
    (``current``), ``overhead``: tokens of tool definitions and of the reply's beginning, ``recalled``:
    old turns that are quoted in front of the new input; and for the forecast of the provider's cache
    ``caching``, and ``at``, when it is sent, in seconds since 1970."""

    path: Path = Path()
    instructions: Sequence[Entry] = ()
    opening: Entry | None = None
    context: Sequence[Entry] = ()
    current: Sequence[MessageRow] = ()
    overhead: int = 0
    recalled: Quotation | None = None
    caching: Caching | None = None
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """A policy in numbers: tokens by the counter in use, calibration and margin in ``scale``.

    ``budget`` is what the list of messages may cost with tool definitions counted; ``high`` and
    ``low`` are the marks in tokens; ``key`` names policy and model for a stored cut. Past ``fold`` the
    oldest turns are to be summarised in ``summary_tokens`` (``None``: nobody writes summaries).
    ``recall_tokens`` and ``recall_turns`` are what may be quoted (0: nothing).
    """

    budget: int
    high: int
    low: int
    max_turns: int | None = None
    max_messages: int | None = None
    images: Literal["all", "last"] | int = "all"
    reserve: int = 0
    scale: float = 1.0
    key: str = ""
    fold: int | None = None
    summary_tokens: int = 0
    recall_tokens: int = 0
    recall_turns: int = 0


ReasoningRule = Literal["drop", "keep_in_tool_loop", "keep_all", "keep_all_if_enabled"]


@dataclass(frozen=True, slots=True)
class Target:
    """What the model that will read the window accepts (a catalogue profile, reduced to what shapes a
    list of messages).

    - ``reasoning``: which stored reasoning goes back; ``reasoning_required``: where the provider
      refuses a message without it (a one-space placeholder then stands in for what was lost or came
      from another model); ``reasoning_field`` is its name on the wire; ``thinking`` whether this
      request thinks.
    - ``system``: ``"any"`` place, or one message ``"first"``.
    - ``developer``: whether the role exists there; ``names``: whether messages may carry a name.
    - ``opening``: whether the list may begin with an assistant message.
    - ``alternate``: same-role neighbours are merged.
    - ``parts``: whether content may be a list of parts; ``media``: `Trait` bits of what it can see.
    - ``bare_calls``: how an assistant message without text but with tool calls is written: content
      kept as it is, ``null``, or left out.
    - ``image``: the formula of what an image costs; ``None``: the generic one, by which stored messages
      were counted.
    """

    model: str = ""
    reasoning: ReasoningRule = "drop"
    reasoning_required: Literal["never", "tool_calls", "after_tool_call", "always"] = "never"
    reasoning_field: str = "reasoning_content"
    thinking: bool = False
    system: Literal["any", "first"] = "any"
    developer: bool = False
    names: bool = True
    opening: bool = True
    alternate: bool = False
    parts: bool = True
    media: int = 0
    bare_calls: Literal["keep", "null", "omit"] = "keep"
    image: ImageRule | None = None


# --------------------------------------------------------------------------------- what is sent


@dataclass(frozen=True, slots=True)
class Window:
    """The exact list of messages sent in a step, with a decision for every message of the path.

    ``body`` is the list as JSON; ``messages`` opens it. ``tokens`` is what the messages and the tool
    definitions cost by the counter in use; ``cut`` the first turn that is sent, to be kept with the
    conversation; ``notes`` are codes of what else a reader of the window should know (`phrases`, under
    "note.").
    """

    body: bytes
    spans: Sequence[Span]
    tokens: int
    limits: Limits
    target: Target = Target()
    cut: Cut | None = None
    notes: tuple[str, ...] = ()
    traits: int = 0
    """`Trait` bits of all messages together; 0 where every one is ordinary."""
    recalled: Quotation | None = None
    """The old turns that are quoted in front of the new input."""
    summary: Summary | None = None
    """The summary that is sent in place of the oldest turns."""
    waiting: int = 0
    """How many turns were left out that no summary stands for."""
    caching: Caching | None = None
    """What is known of the provider's prompt cache; ``None``: nothing was asked."""
    past: bytes | None = None
    """The fingerprint of the request before (`multiturn.caching`)."""
    at: float = 0.0
    """When it is sent, in seconds since 1970."""
    cache: Mapping[str, object] | None = None
    """What the cache held beside what was expected of it, once it was answered (`Ledger`)."""
    route: str | None = None
    """The operator's route that chose the model."""
    tried: tuple[tuple[str, str], ...] = ()
    """Who was asked before and failed: model and code of the error."""
    instructions: Sequence[Entry] = ()
    """The instructions it begins with, as they are in force."""

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The list as OpenAI-style dictionaries, opened anew at each look."""
        return list(orjson.loads(self.body))

    @property
    def cached_prefix(self) -> int | None:
        """How many tokens the provider's cache should hold already; ``None``: its rules are unknown."""
        expected = self.forecast
        return expected.cached if expected else None

    @property
    def cost(self) -> Cost | None:
        """What the input should cost, with what the cache should hold; ``None``: the price is unknown."""
        expected = self.forecast
        return expected.cost(self.caching.price) if expected and self.caching else None

    @property
    def forecast(self) -> Forecast | None:
        """What the provider's cache should hold, and why not more; worked out at each look."""
        if self.caching is None:
            return None
        marked, scale = bool(self.markers), self.limits.scale
        return forecast(self.caching, self.past, self.prompt(self.at), marked=marked, scale=scale)

    @property
    def markers(self) -> tuple[int, ...]:
        """The messages that are marked for the provider's cache, where it takes markers and they pay."""
        if self.caching is None or self.caching.rule is None or self.caching.rule.explicit is None:
            return ()
        mark = self.limits.high if self.limits.fold is None else self.limits.fold
        room, summary = max(0, mark - self.tokens), self.summary is not None
        return marks(self.caching, self.past, self.prompt(self.at), room=room, summary=summary)

    def prompt(self, at: float) -> Prompt:
        """What a prompt cache sees of the request, at this time."""
        anchor = f"{self.cut.turn if self.cut else 1}.{self.summary.version if self.summary else 0}"
        return Prompt(self.body, self.counted, at, anchor)

    @property
    def counted(self) -> int:
        """``tokens`` before calibration."""
        return round(self.tokens / self.limits.scale)

    @property
    def ledger(self) -> Ledger:
        """The decisions as ranges: what is stored with the step."""
        return Ledger(
            self.spans,
            self.tokens,
            self.limits.budget,
            self.notes,
            self._cache_figures(),
            self.route,
            self.tried,
            _digest(self.instructions),
        )

    def _cache_figures(self) -> Mapping[str, object] | None:
        if self.cache is not None:
            return self.cache
        expected = self.forecast
        return compared(expected, None).figures or None if expected else None

    @property
    def decisions(self) -> Decisions:
        """One decision for each message of the path."""
        return Decisions(self.spans)

    def explain(self, language: str = "en") -> str:
        """The ledger as a table in English (``"en"``) or Chinese (``"zh"``)."""
        return self.ledger.explain(language)


def _digest(instructions: Sequence[Entry]) -> str | None:
    """A few letters that differ where the instructions do; ``None`` where there are none."""
    said = [entry.body for entry in instructions if not entry.traits & Trait.BARE]
    return blake2b(b"\n".join(said), digest_size=DIGEST).hexdigest() if said else None


@dataclass(frozen=True, slots=True)
class Request:
    """One call to a provider. ``body`` is the list of messages as JSON, ``tools`` the definitions as
    given, ``params`` everything else by its OpenAI name (``temperature``, ``max_tokens``, …) with
    provider extras such as ``enable_thinking`` beside them; ``traits`` the `Trait` bits of all
    messages together, so that a provider need not open them to know whether they hold an image."""

    model: str
    """The model's name at the provider, without the provider's own."""
    body: bytes
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = True
    traits: int = 0
    markers: tuple[int, ...] = ()
    """The messages that carry a marker for the provider's cache, by their places."""
    elsewhere: tuple[type[Exception], ...] = ()
    """With which errors it is not asked again here, because somebody else can be asked."""
