"""What holds for this step, and what is sent in it? Settings and policy become limits; the store is
asked for as much of the path as they reach; the window is built from that."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from .caching.rules import Caching
from .calibration import Calibration
from .catalog import Card, Catalog
from .context import build, check_input, enough, limits, reserve
from .conversations import Declared, Owner, Settings
from .embedding import Embedder
from .messages import Entry, Trait
from .pictures import pictured, surplus
from .policy import ContextPolicy, Summarize
from .providers import Provider
from .recall import quoted
from .request import caching_of
from .sealing import seal
from .storage import Lease, Reach, Store
from .tokens import REPLY_OVERHEAD, count_message, count_text, count_tools
from .vocabulary import Counter, recounted
from .window import Cut, Limits, Material, MessageRow, Path, Target, Window, sealed

if TYPE_CHECKING:
    from .providers.counting import Counting

__all__ = [
    "Engine",
    "Input",
    "Known",
    "Place",
    "Terms",
    "embedder_of",
    "in_force",
    "policy_of",
    "preview",
    "refuse_early",
    "terms_of",
    "window_of",
]


LEAST_SUMMARY = 100
"""Tokens below which a summary is not worth a request."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What every turn of a client works with. ``policy`` and ``model`` hold where a conversation names
    none. Times are in seconds: see `multiturn.settings.Timing`."""

    store: Store
    catalog: Catalog
    provider: Callable[[Card], Provider]
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
    counter: Callable[[Card], Counter | None] | None = None
    """Gives what counts for a model by its vocabulary; ``None``: an estimate does."""
    counting: Callable[[Card], Counting] | None = None
    """Opens the endpoint of a model's provider that counts tokens."""


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
    """A policy for this window only (a dry run); ``None``: the conversation's."""
    model: str | None = None
    """A model for this window only (a dry run); ``None``: the conversation's."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a handle points: a conversation of an owner, one of its branches (``None``: the one in
    use), and the settings the handle declares."""

    owner: Owner
    conversation: str
    declared: Declared = Declared()
    branch: int | None = None


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
        """Under what name counts are calibrated: those of a vocabulary are no estimates."""
        return self.card.name if self.counter is None else f"{self.card.name} by {self.counter.name}"

    def counted(self, material: Material) -> Material:
        """The material with exact counts, where those are wanted."""
        exact = material if self.counter is None else recounted(material, self.counter)
        return pictured(exact, self.target.image)

    def recount(self, pieces: Sequence[bytes]) -> int:
        """Tokens of messages that were put together anew."""
        tokens = _recount(pieces) if self.counter is None else self.counter.bodies(pieces)
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


def in_force(settings: Settings, declared: Declared) -> Settings:
    """Stored settings once what is declared applies."""
    changes = {
        name: getattr(declared, name)
        for name in ("instructions", "opening", "policy", "model", "memory")
        if getattr(declared, name) is not None
    }
    return replace(settings, **changes) if changes else settings


def terms_of(engine: Engine, settings: Settings, given: Input) -> Terms:
    """Settings in force and a step's input, as terms. Raises `ModelUnknown` or `PolicyInvalid`."""
    card = engine.calibration.card(engine.catalog.card(given.model or settings.model or engine.model))
    target = engine.catalog.target(card, given.params)
    policy = _policy(settings, engine, given, card)
    requested = given.params.get("max_completion_tokens") or given.params.get("max_tokens")
    reserved = reserve(policy, requested, target.thinking, card.window)
    counter = engine.counter(card) if engine.counter else None
    gauge = card.name if counter is None else f"{card.name} by {counter.name}"
    bounds = _limits(policy, card, reserved, gauge, engine.calibration.scale(gauge))
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


def _limits(policy: ContextPolicy, card: Card, reserved: int, gauge: str, scale: float) -> Limits:
    """The policy in numbers. A summary that nobody asked for is not written where it could only be a line."""
    bounds = limits(
        policy,
        input_limit=card.input_limit(reserved),
        first_tier=card.first_tier,
        reserved=reserved,
        scale=scale,
        model=gauge,
    )
    unasked = policy.summarize and policy.summarize.max_tokens == Summarize().max_tokens
    if unasked and bounds.summary_tokens < LEAST_SUMMARY:
        return _limits(replace(policy, summarize=None), card, reserved, gauge, scale)
    return bounds


def embedder_of(engine: Engine, policy: ContextPolicy) -> Embedder | None:
    """What recalls by meaning, where the policy names a model for it."""
    name = policy.recall.embedding if policy.recall else None
    return engine.embedder(name) if name and engine.embedder else None


def policy_of(settings: Settings, engine: Engine) -> ContextPolicy:
    """The policy of a conversation with these settings."""
    return engine.policy if settings.policy is None else ContextPolicy.from_dict(settings.policy)


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


@dataclass(slots=True)
class Known:
    """What a handle declares and has learned of its conversation: the stored settings (``None``: nothing
    yet), and the terms of a step that brings none of its own, which are worked out once."""

    declared: Declared = Declared()
    settings: Settings | None = None
    terms: Terms | None = None
    calibrated: int = 0
    """The version of the calibration that the terms were worked out with."""

    def learn(self, settings: Settings) -> bool:
        """Take the stored settings; whether other terms follow from them."""
        if settings == self.settings:
            return False
        before, self.settings = self._in_force(), settings
        if replace(self._in_force(), version=before.version) == before:
            return False
        self.terms = None
        return True

    def terms_of(self, engine: Engine, given: Input) -> Terms:
        """The terms of a step, as far as is known."""
        own = given.policy or given.model or given.params or given.tools
        version = engine.calibration.version
        if self.terms is not None and not own and self.calibrated == version:
            return self.terms
        terms = terms_of(engine, self._in_force(), given)
        if not own:
            self.terms, self.calibrated = terms, version
        return terms

    def _in_force(self) -> Settings:
        return in_force(self.settings or Settings(), self.declared)


def refuse_early(terms: Terms, given: Input) -> None:
    """Raises what can be known before anything is stored: `ContextOverflow` for an input above the
    window, `MessageInvalid` for one that the model cannot see."""
    check_input(given.entries, terms.target)
    enough(_material(terms, given, Path(), sealed(given.entries, 1)), terms.limits, terms.target)


async def window_of(engine: Engine, terms: Terms, given: Input, lease: Lease) -> Window:
    """The window of the step that is held by ``lease``."""
    place = Place(lease.owner, lease.conversation, branch=lease.branch)
    reach = _reach(terms, given, lease)
    while True:
        path = await engine.store.gather(lease.owner, lease.conversation, reach, lease.branch)
        current = _in_spite(path.current) if lease.step > 1 else sealed(given.entries, lease.turn)
        window = await _built(engine, place, terms, given, path, current)
        if window is not None:
            return window
        reach = _farther(reach)


def _in_spite(rows: Sequence[MessageRow]) -> list[MessageRow]:
    """The turn being answered: what its user says is sent, also where it is to be left out later."""
    return [row._replace(traits=row.traits & ~Trait.EXCLUDED) if row.role == "user" else row for row in rows]


async def preview(engine: Engine, place: Place, given: Input, known: Known) -> Window:
    """A dry run: the window that would be sent now. ``known`` learns from it."""
    await engine.calibration.load(engine.store.model_facts)
    terms = known.terms_of(engine, given)
    reach = _reach(terms, given, None)
    while True:
        path = await engine.store.gather(place.owner, place.conversation, reach, place.branch)
        if known.learn(path.settings):
            terms = known.terms_of(engine, given)
            reach = _reach(terms, given, None)
            continue
        newest = path.turns[0].number if path.turns else path.earlier_turns
        current = sealed(given.entries, newest + 1)
        window = await _built(engine, place, terms, given, path, current)
        if window is not None:
            return window
        reach = _farther(reach)


async def _built(
    engine: Engine, place: Place, terms: Terms, given: Input, path: Path, current: Sequence[MessageRow]
) -> Window | None:
    """The window, with what is recalled for an input that nobody has answered yet; ``None`` where the path
    was not read far enough back."""
    terms = terms.calibrated(path.cut)
    bounds, target = terms.limits, terms.target
    material = _material(terms, given, path, current)
    notes: list[str] = []
    chosen = enough(material, bounds, target)
    if chosen is not None and bounds.recall_tokens and _unanswered(current):
        recalled = await quoted(
            engine.store,
            place.owner,
            place.conversation,
            path,
            current,
            bounds,
            first=chosen.kept.first,
            memory=terms.memory,
            embedder=terms.embedder,
            notes=notes,
        )
        if recalled is not None:
            material = material._replace(recalled=recalled)
            chosen = enough(material, bounds, target)
    if chosen is None:
        return None
    window = build(material, bounds, target, terms.recount, chosen)
    if notes:
        window = replace(window, notes=(*window.notes, *notes))
    return window


def _unanswered(current: Sequence[MessageRow]) -> bool:
    """Whether this is new input: the first step of a turn, for which nothing was recalled yet."""
    return bool(current) and not any(row.quote or row.role in ("assistant", "tool") for row in current)


def _material(terms: Terms, given: Input, path: Path, current: Sequence[MessageRow]) -> Material:
    material = Material(
        path=path,
        instructions=terms.instructions,
        opening=terms.opening,
        context=given.context,
        current=current,
        overhead=terms.overhead,
        caching=terms.caching,
        at=time.time(),
    )
    return terms.counted(material)


def _reach(terms: Terms, given: Input, lease: Lease | None) -> Reach:
    bounds = terms.limits
    own = len(given.entries)
    head = terms.overhead + sum([entry.tokens for entry in terms.instructions])
    if own or given.context:
        head += sum([entry.tokens for entry in (*given.context, *given.entries)])
    return Reach(
        tokens=max(0, int(bounds.high / bounds.scale) - head),
        turns=bounds.max_turns,
        messages=None if bounds.max_messages is None else max(0, bounds.max_messages - own),
        key=bounds.key,
        before=lease.turn if lease else None,
        current=lease.turn if lease and lease.step > 1 else None,
        summary=bounds.fold is not None,
    )


def _farther(reach: Reach) -> Reach:
    """Turns that are never sent used the reach up: look four times as far back."""
    return reach._replace(
        tokens=None if reach.tokens is None else reach.tokens * 4 + 1024,
        turns=None if reach.turns is None else reach.turns * 4 + 4,
        messages=None if reach.messages is None else reach.messages * 4 + 8,
    )


def _recount(pieces: Sequence[bytes]) -> int:
    return sum(count_message(orjson.loads(piece)) for piece in pieces)
