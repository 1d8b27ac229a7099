"""A list in, a window out: the context engine for people who keep their own messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from operator import itemgetter
from typing import Any, overload

import orjson

from .caching import Caching
from .catalog import Card, Catalog
from .context import build, check_input, enough, limits, reserve
from .conversations import TurnState
from .errors import MessageEmpty, MessageInvalid
from .messages import Entry, Trait
from .path import Cut, MessageRow, Path, TurnRow, sealed
from .phrases import Reason
from .pictures import pictured, surplus
from .policy import ContextPolicy
from .sealing import encoded, encoded_run, is_ordinary, seal
from .tokens import MARGIN, count_message, count_tools
from .window import Limits, Material, Target, Window
from .wire import plain

__all__ = ["fit"]

COMPLETED = int(TurnState.COMPLETED)
INSTRUCTIONS = frozenset(("system", "developer"))
EVERYTHING = Target(thinking=True, reasoning="keep_all", media=Trait.MEDIA, developer=True)
"""What is assumed where no model is named: that it takes what the list holds."""


def fit(
    messages: Sequence[object],
    policy: ContextPolicy | None = None,
    *,
    model: str | None = None,
    count: Callable[[Mapping[str, Any]], int] | None = None,
    previous: Window | None = None,
    tools: Sequence[Mapping[str, Any]] = (),
) -> Window:
    """The window that the policy makes of a list of OpenAI-style messages; pure, nothing is stored.

    The last user message and what follows it are the new input. ``model`` (``provider/model``) brings
    its limits and the rules of its provider; without one the list is taken as it is. ``count`` gives
    the tokens of one message, by default an estimate with a margin of 15 %. ``previous`` is the last
    window of the same conversation: its cut is kept, so prompt caches stay warm. ``tools`` are
    counted. Summary and recall need a store: they are ignored, and the window says so.

    Raises `ContextOverflow` where instructions and new input alone are above the budget, and
    `MessageInvalid` or `MessageEmpty` for a list that holds no conversation.

    >>> window = fit([{"role": "user", "content": "我今年 27 岁。"}], ContextPolicy(budget=100))
    >>> [message["content"] for message in window.messages]
    ['我今年 27 岁。']
    """
    policy = policy or ContextPolicy()
    bounds, target = _bounds(policy, model, estimated=count is None)
    listing = _Listing(messages, count or count_message, target, bounds)
    images = target.image if count is None else None
    overhead, cut, reach = count_tools(tools) if tools else 0, previous.cut if previous else None, 1
    material = pictured(listing.material(overhead, cut, reach), images)
    check_input(material.current, target)
    while (chosen := enough(material, bounds, target)) is None:
        reach *= 4
        material = pictured(listing.material(overhead, cut, reach), images)
    recount = listing.recount
    window = build(material, bounds, target, lambda pieces: recount(pieces) + surplus(pieces, images), chosen)
    if window.body == b"[]":
        raise MessageInvalid(Reason("why.nothing_to_send"))
    notes = ("fit_ignores_summary_and_recall",) if policy.summarize or policy.recall else ()
    return replace(window, notes=notes, caching=_caching(model)) if notes or model else window


@cache
def _card(model: str) -> Card:
    return Catalog().card(model)


def _caching(model: str | None) -> Caching | None:
    """The price of what is sent; what a cache holds of it is known to nobody here."""
    return Caching(model, price=_card(model).price) if model else None


def _bounds(policy: ContextPolicy, model: str | None, *, estimated: bool) -> tuple[Limits, Target]:
    policy = replace(policy, summarize=None, recall=None)
    scale = MARGIN if estimated else 1.0
    if model is None:
        budget = policy.budget or 1 << 62
        return limits(policy, input_limit=budget, scale=scale), EVERYTHING
    card = _card(model)
    target = Catalog().target(card, {})
    kept_free = reserve(policy, None, target.thinking, card.window)
    bounds = limits(
        policy,
        input_limit=card.input_limit(kept_free),
        first_tier=card.first_tier,
        reserved=kept_free,
        scale=scale,
        model=card.name,
    )
    return bounds, target


@dataclass(slots=True)
class _Listing:
    """A list of messages, read from its end and only as far back as the limits reach."""

    messages: Sequence[Any]
    count: Callable[[Mapping[str, Any]], int]
    target: Target
    limits: Limits
    roles: list[str] = field(init=False)
    lead: int = 0
    """How many instructions stand at the head."""
    users: int = 0
    """How many user messages there are: each begins a turn."""
    first_user_turn: int = 1
    """2 where the assistant spoke before the first user message: that is turn 1."""
    sealed: dict[int, Entry] = field(default_factory=dict)
    literal: bool = True
    """Whether every turn that was read stands in the list exactly as it would be sealed."""

    def __post_init__(self) -> None:
        if isinstance(self.messages, str | bytes | Mapping):
            raise MessageInvalid(Reason("why.list_wanted", value=f"{self.messages!r:.60}"))
        if not self.messages:
            raise MessageEmpty
        self.roles = _roles(self.messages)
        while self.lead < len(self.roles) and self.roles[self.lead] in INSTRUCTIONS:
            self.lead += 1
        self.users = self.roles.count("user")
        if self.users and self._start(self.roles.index("user") + 1) > self.lead:
            self.first_user_turn = 2

    def recount(self, pieces: Sequence[bytes]) -> int:
        """Tokens of messages as they will be sent."""
        return sum(self.count(orjson.loads(piece)) for piece in pieces)

    def material(self, overhead: int, cut: Cut | None, reach: int) -> Material:
        """What the window is built from; ``reach`` looks so many times further back than the limits
        say, where messages that cannot be sent use them up."""
        begin, number = self._newest()
        current = self._rows(begin, len(self.messages), number)
        if any(row.role == "user" and row.traits & Trait.BARE for row in current):
            raise MessageEmpty
        return Material(
            path=self._path(begin, number, cut, reach),
            instructions=[self._seal(index) for index in range(self.lead)],
            current=current,
            overhead=overhead,
        )

    def _newest(self) -> tuple[int, int]:
        """Where the turn being answered begins, and its number."""
        if not self.users:
            return self.lead, 1
        return self._start(len(self.roles)), self.users + self.first_user_turn - 1

    def _start(self, end: int) -> int:
        """Where the last turn before ``end`` begins: at its user message, or at the instructions right
        before that; at the head where no user message stands before ``end``."""
        index = end - 1
        while index >= self.lead and self.roles[index] != "user":
            index -= 1
        while index > self.lead and self.roles[index - 1] in INSTRUCTIONS:
            index -= 1
        return max(index, self.lead)

    def _path(self, end: int, before: int, cut: Cut | None, reach: int) -> Path:
        """The turns before the newest one, as far back as the limits or a kept cut reach."""
        turns: list[TurnRow] = []
        bounds, begin, number, tokens = self.limits, end, before - 1, 0
        oldest = cut.turn if cut and cut.key == bounds.key else 1
        while number >= oldest and tokens * bounds.scale <= bounds.high * reach:
            if bounds.max_turns is not None and len(turns) >= (bounds.max_turns + 1) * reach:
                break
            if bounds.max_messages is not None and end - begin > bounds.max_messages * reach:
                break
            last = begin
            begin = self._start(last)
            turns.append(self._turn(begin, last, number))
            tokens += turns[-1].tokens
            number -= 1
        ordinary = self.literal and not any(turn.traits for turn in turns)
        standing = self._standing(begin, number)
        return Path(
            turns=turns,
            bodies=_Bodies(self.messages, begin, end) if ordinary else (),
            rows=None if ordinary else self._rows_of_turns(turns, begin),
            standing=[row for _, row in standing],
            standing_at=[index - self.lead for index, _ in standing],
            cut=cut,
            earlier_turns=number,
            earlier_messages=begin - self.lead,
        )

    def _turn(self, begin: int, end: int, number: int) -> TurnRow:
        """A turn in figures; an ordinary one is counted and not even sealed."""
        messages = self.messages
        if self.roles[begin:end] == ["user", "assistant"]:
            one, other = messages[begin], messages[begin + 1]
            if is_ordinary(one) and is_ordinary(other):
                return TurnRow(number, COMPLETED, 0, self.count(one) + self.count(other), 0, 2)
        self.literal = False
        return _turn_row(self._rows(begin, end, number), number)

    def _rows_of_turns(self, turns: Sequence[TurnRow], begin: int) -> list[MessageRow]:
        rows: list[MessageRow] = []
        for turn in reversed(turns):
            rows += self._rows(begin, begin + turn.messages, turn.number)
            begin += turn.messages
        return rows

    def _standing(self, end: int, number: int) -> list[tuple[int, MessageRow]]:
        """The instructions in the turns up to ``number``, which were not read, with their places in the
        list: they stay in force."""
        found: list[tuple[int, MessageRow]] = []
        if self.lead == end or INSTRUCTIONS.isdisjoint(self.roles[self.lead : end]):
            return found
        for turn in range(number, 0, -1):
            begin = self._start(end)
            for index in range(end - 1, begin - 1, -1):
                if self.roles[index] in INSTRUCTIONS:
                    row = sealed([self._seal(index)], turn)[0]
                    found.append((index, row._replace(place=index - begin)))
            end = begin
        return found[::-1]

    def _rows(self, begin: int, end: int, number: int) -> list[MessageRow]:
        return sealed([self._seal(index) for index in range(begin, end)], number, self.target.model)

    def _seal(self, index: int) -> Entry:
        entry = self.sealed.get(index)
        if entry is None:
            entry = self.sealed[index] = seal(self.messages[index], self.count)
        return entry


class _Bodies(Sequence[bytes]):
    """The JSON of a run of ordinary messages, written when a window takes it: all that is taken is one
    piece."""

    def __init__(self, messages: Sequence[Any], begin: int, end: int) -> None:
        self._messages, self._begin, self._end = messages, begin, end

    def __len__(self) -> int:
        return self._end - self._begin

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, int):
            return encoded(self._messages[range(self._begin, self._end)[index]])
        taken = list(self._messages[self._begin : self._end][index])
        return [encoded_run(taken)] if taken else []


def _roles(messages: Sequence[Any]) -> list[str]:
    """The role of each message; the whole list is looked at, so this is the one thing that is hurried."""
    if set(map(type, messages)) == {dict}:
        with suppress(KeyError, TypeError):
            roles = list(map(itemgetter("role"), messages))
            if set(map(type, set(roles))) == {str}:
                return roles
    return [_role(message) for message in messages]


def _role(message: object) -> str:
    role = plain(message).get("role")
    return role if isinstance(role, str) else ""


def _turn_row(rows: Sequence[MessageRow], number: int) -> TurnRow:
    traits = 0 if [row.role for row in rows] == ["user", "assistant"] else Trait.IRREGULAR
    tokens = reasoning = 0
    for row in rows:
        traits |= row.traits
        tokens += row.tokens
        reasoning += row.reasoning_tokens
    return TurnRow(number, COMPLETED, traits, tokens, reasoning, len(rows))
