"""What holds for a step? Settings, policy and model, worked out as terms: limits in tokens, the head of
the window, how its tokens are counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from .caching import Caching
from .calibration import Calibration
from .catalog import Card, Catalog
from .context import limits, reserve
from .conversations import Owner, Settings
from .embedding import Embedder
from .messages import Entry
from .path import Cut
from .pictures import pictured, surplus
from .policy import ContextPolicy
from .providers import Provider
from .request import caching_of
from .routing import Attempts, Routing
from .sealing import seal
from .storage import Store
from .tokens import REPLY_OVERHEAD, count_bodies, count_message, count_text, count_tools
from .usage import Spending
from .vocabulary import Counter, recounted
from .window import Limits, Material, Target

if TYPE_CHECKING:
    from .providers.counting import Counting

__all__ = [
    "Engine",
    "Input",
    "Spare",
    "Terms",
    "embedder_of",
    "policy_of",
    "terms_of",
]


Spare = Callable[[str, Spending], AbstractAsyncContextManager[bool]]


@dataclass(frozen=True, slots=True)
class Engine:
    """What every turn of a client works with. ``policy`` and ``model`` hold where a conversation names
    none. Times are in seconds: see `multiturn.config.Timing`."""

    store: Store
    catalog: Catalog
    provider: Callable[[Card, str], Provider]
    """Opens what answers for a model, with the key of this label."""
    model: str
    policy: ContextPolicy = ContextPolicy()
    lease: float = 15.0
    renew: float = 5.0
    queue: float = 30.0
    prepare: float = 600.0
    keep_reasoning: bool = True
    calibration: Calibration = field(default_factory=Calibration)
    wake: Callable[[Owner, str], None] | None = None
    """Told of the conversation after each turn that made a summary due."""
    index: Callable[[Owner, str, str], None] | None = None
    """Told of the conversation and its embedding model after each turn whose messages are to be embedded."""
    embedder: Callable[[str], Embedder | None] | None = None
    """Opens an embedding model by its name."""
    spare: Spare | None = None
    """Keeps back what a call for a tenant that is no answer may take, and says whether there is room for it;
    ``None``: there always is."""
    counter: Callable[[Card], Counter | None] | None = None
    """Gives what counts for a model by its vocabulary; ``None``: an estimate does."""
    counting: Callable[[Card], Counting] | None = None
    """Opens the endpoint of a model's provider that counts tokens."""
    routing: Routing | None = None
    """Chooses who is asked; ``None``: the model that is named, and there is one key."""

    def card(self, model: str, last: str | None = None) -> Card:
        """The model that would be asked now: of a route the target that answered ``last``, if it can."""
        card = self.routing.first(model, last) if self.routing else self.catalog.card(model)
        return self.calibration.card(card)

    def attempts(self, model: str, last: str | None, owner: Owner, conversation: str) -> Attempts:
        """Who is asked for an answer in this conversation, one after the other."""
        routing = self.routing or Routing(self.catalog, _one_key)
        return routing.attempts(model, last=last, seed=f"{owner.tenant}\0{conversation}")


def _one_key(_: str) -> tuple[str]:
    return ("",)


@dataclass(frozen=True, slots=True)
class Input:
    """What goes into one step beside the conversation: the user's ``entries`` (or the results of open
    tool calls), material for this step only, tools, and parameters by their OpenAI name."""

    entries: Sequence[Entry] = ()
    context: Sequence[Entry] = ()
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    policy: ContextPolicy | None = None
    """A policy for this window only; ``None``: the conversation's."""
    model: str | None = None
    """A model for this window only (a dry run); ``None``: the conversation's."""
    instructions: tuple[bytes, ...] | None = None
    """Instructions for this window only; ``None``: the conversation's."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for a step: the model with its rules, the limits in tokens, the head of the window."""

    card: Card
    target: Target
    limits: Limits
    instructions: Sequence[Entry]
    opening: Entry | None
    overhead: int
    caching: Caching
    memory: str | None = None
    embedder: Embedder | None = None
    counter: Counter | None = None
    """What counts by the model's vocabulary; ``None``: counts are estimates."""

    @property
    def gauge(self) -> str:
        """Under what name the counts are calibrated."""
        return _gauge(self.card, self.counter)

    @property
    def head_tokens(self) -> int:
        """Uncalibrated tokens of what stands before the turns: tools, instructions, the opening."""
        opening = self.opening.tokens if self.opening else 0
        return self.overhead + sum(entry.tokens for entry in self.instructions) + opening

    def counted(self, material: Material) -> Material:
        """The material with exact counts, where those are wanted."""
        exact = material if self.counter is None else recounted(material, self.counter)
        return pictured(exact, self.target.image)

    def recount(self, pieces: Sequence[bytes]) -> int:
        """Tokens of messages that were put together anew."""
        tokens = count_bodies(pieces) if self.counter is None else self.counter.bodies(pieces)
        return tokens + surplus(pieces, self.target.image)

    def calibrated(self, cut: Cut | None) -> Terms:
        """The same with the calibration of the cut that holds: what is learned of a model moves no cut
        before its time."""
        if cut is None or cut.key != self.limits.key or cut.scale in (0.0, self.limits.scale):
            return self
        return replace(self, limits=replace(self.limits, scale=cut.scale))

    def within(self, tokens: int) -> Terms:
        """The same with a budget of at most ``tokens``."""
        bounds = self.limits
        less = replace(
            bounds,
            budget=min(bounds.budget, tokens),
            high=min(bounds.high, tokens),
            low=min(bounds.low, tokens * bounds.low // max(1, bounds.budget)),
        )
        return replace(self, limits=less)


def terms_of(engine: Engine, settings: Settings, given: Input, last: str | None = None) -> Terms:
    """Settings in force and a step's input, as terms; ``last`` is the model that answered the conversation
    before. Raises `ModelUnknown` or `PolicyInvalid`."""
    if given.instructions is not None:
        settings = replace(settings, instructions=given.instructions)
    card = engine.card(given.model or settings.model or engine.model, last)
    target = engine.catalog.target(card, given.params)
    policy = _policy(settings, engine, given, card)
    reserved = reserve(policy, _requested(given.params), target.thinking, card.window)
    counter = engine.counter(card) if engine.counter else None
    gauge = _gauge(card, counter)
    bounds = limits(
        policy,
        input_limit=card.input_limit(reserved),
        first_tier=card.first_tier,
        reserved=reserved,
        scale=engine.calibration.scale(gauge),
        model=gauge,
    )
    instructions = [_instruction(body) for body in settings.instructions]
    head = counter.bodies(settings.instructions) if counter else sum(entry.tokens for entry in instructions)
    tools = count_tools(given.tools, counter.text if counter else count_text) if given.tools else 0
    return Terms(
        card=card,
        target=target,
        limits=bounds,
        instructions=instructions,
        opening=_opening(settings.opening) if settings.opening else None,
        overhead=REPLY_OVERHEAD + tools,
        caching=caching_of(card, given.tools, tools + head),
        memory=settings.memory,
        embedder=embedder_of(engine, policy),
        counter=counter,
    )


def _requested(params: Mapping[str, Any]) -> int | None:
    """How long a request lets the reply be."""
    return params.get("max_completion_tokens") or params.get("max_tokens")


def _gauge(card: Card, counter: Counter | None) -> str:
    """Counts by a vocabulary are no estimates: they are calibrated apart."""
    return card.name if counter is None else f"{card.name} by {counter.name}"


def embedder_of(engine: Engine, policy: ContextPolicy) -> Embedder | None:
    """What recalls by meaning, where the policy names a model for it."""
    name = policy.recall.embedding if policy.recall else None
    return engine.embedder(name) if name and engine.embedder else None


def policy_of(settings: Settings, engine: Engine) -> ContextPolicy:
    """The policy of a conversation with these settings."""
    return engine.policy if settings.policy is None else _read_policy(orjson.dumps(settings.policy))


@lru_cache(maxsize=256)
def _read_policy(stored: bytes) -> ContextPolicy:
    """The same policy is read once, not for every handle."""
    return ContextPolicy.from_dict(orjson.loads(stored))


def _policy(settings: Settings, engine: Engine, given: Input, card: Card) -> ContextPolicy:
    """The policy in force; without a summary where the model that is to write it cannot."""
    policy = given.policy or policy_of(settings, engine)
    if policy.summarize is None:
        return policy
    writer = engine.catalog.card(policy.summarize.model) if policy.summarize.model else card
    return policy if writer.can_summarise else replace(policy, summarize=None)


@lru_cache(maxsize=256)
def _instruction(body: bytes) -> Entry:
    """Instructions are counted once, not every turn."""
    return seal(orjson.loads(body), count_message)


@lru_cache(maxsize=256)
def _opening(words: str) -> Entry:
    return seal({"role": "assistant", "content": words}, count_message)
