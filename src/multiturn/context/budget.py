"""What may be spent, and on what? A policy and a model's limits, turned into numbers of tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import ContextOverflow, PolicyInvalid
from ..messages import Entry, Trait
from ..policy import ContextPolicy
from ..window import Limits, Material, MessageRow, Target
from .calls import Group, grouped, outgrown
from .recency import Room

__all__ = ["DEFAULT_BUDGET", "Spent", "limits", "reserve", "spend"]

DEFAULT_BUDGET = 32_000
"""Tokens of input when neither the policy nor the model says less: what most models read well."""
DEFAULT_RESERVE = 4_096
THINKING_RESERVE = 16_384
PINNED = int(Trait.PINNED)
HOLE_TOKENS = 24
"""What the mark costs that stands where tool groups of the running turn were left out."""


def reserve(policy: ContextPolicy, requested: int | None, thinking: bool, window: int) -> int:
    """Tokens kept free for the reply: what the policy says, else the output limit of the request, else
    4,096, or 16,384 when the model thinks; by default never more than half of a small ``window``."""
    if policy.reserve_output is not None:
        return policy.reserve_output
    if requested is not None:
        return requested
    return min(THINKING_RESERVE if thinking else DEFAULT_RESERVE, window // 2)


def limits(
    policy: ContextPolicy,
    *,
    input_limit: int,
    first_tier: int | None = None,
    reserved: int = 0,
    scale: float = 1.0,
    model: str = "",
) -> Limits:
    """The policy in numbers. ``input_limit`` is what the model takes once the reserve is kept free,
    ``first_tier`` where its price rises; ``scale`` turns uncalibrated counts into tokens.

    Raises `PolicyInvalid` where the reserve leaves no room at all.
    """
    if input_limit <= 0:
        raise PolicyInvalid(f"the reserve of {reserved} tokens for the reply leaves no room for any input")
    wanted = policy.budget or min(first_tier or DEFAULT_BUDGET, DEFAULT_BUDGET)
    budget = min(wanted, input_limit)
    high, low = policy.marks()
    return Limits(
        budget=budget,
        high=int(budget * high),
        low=int(budget * low),
        max_turns=policy.max_turns,
        max_messages=policy.max_messages,
        images=policy.images,
        reserve=reserved,
        scale=scale,
        key=f"{model} {budget} {high:g} {low:g}",
    )


@dataclass(frozen=True, slots=True)
class Spent:
    """What is sent in any case, and the room it leaves.

    ``current`` are the groups of the turn being answered, ``gone`` those of its oldest tool groups
    that had to go.
    """

    room: Room
    current: Sequence[Group]
    gone: Sequence[Group] = ()


def spend(material: Material, limits: Limits, target: Target) -> Spent:
    """Counts everything that cannot be saved: overhead, instructions, opening, context, new input.

    Raises `ContextOverflow` where that alone is above the budget.
    """
    marks = [int(mark / limits.scale) for mark in (limits.budget, limits.high, limits.low)]
    budget, high, low = marks
    head = material.overhead + _tokens(material.instructions) + _tokens(material.context)
    head += material.opening.tokens if material.opening else 0
    head += _tokens(row for row in material.path.standing if row.traits & Trait.INSTRUCTION)
    current, gone = _fitting(material.current, head, budget, low)
    needed = head + sum(group.tokens for group in current) + (HOLE_TOKENS if gone else 0)
    if needed > budget:
        raise _overflow(material, limits, needed)
    pins = _pinned(material)
    pinned = 0 < pins <= budget - needed
    messages = sum(len(group.rows) for group in current)
    thinks = target.thinking and (target.reasoning != "drop" or target.reasoning_required != "never")
    room = Room(needed + pins if pinned else needed, high, low, messages, reasoning=thinks, pins=pinned)
    return Spent(room, current, gone)


def _tokens(entries: Iterable[Entry | MessageRow]) -> int:
    return sum([entry.tokens for entry in entries])


def _pinned(material: Material) -> int:
    pins = sum([turn.tokens for turn in material.path.turns if turn.traits & PINNED])
    return pins + _tokens(row for row in material.path.standing if not row.traits & Trait.INSTRUCTION)


def _fitting(
    rows: Sequence[MessageRow], fixed: int, budget: int, low: int
) -> tuple[Sequence[Group], Sequence[Group]]:
    """The turn being answered as groups, and those of its oldest tool groups that must go: its input
    and its newest group stay, whatever they cost."""
    groups = grouped(rows)
    inputs = 0
    while inputs < len(groups) and groups[inputs].rows and groups[inputs].rows[0].role != "assistant":
        inputs += 1
    head, steps = groups[:inputs], groups[inputs:]
    fixed += sum(group.tokens for group in head)
    if fixed + sum(group.tokens for group in steps) <= budget:
        return groups, ()
    gone = outgrown(steps, fixed + HOLE_TOKENS, budget, low)
    return head + steps[gone:], steps[:gone]


def _overflow(material: Material, limits: Limits, needed: int) -> ContextOverflow:
    def scaled(tokens: int) -> int:
        return math.ceil(tokens * limits.scale)

    return ContextOverflow(
        needed=scaled(needed),
        limit=limits.budget,
        instructions=scaled(_tokens(material.instructions)),
        tools=scaled(material.overhead),
        input=scaled(_tokens(material.current)),
        reserve=limits.reserve,
    )
