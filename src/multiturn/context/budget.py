"""What may be spent, and on what? A policy and a model's limits, turned into numbers of tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..errors import ContextOverflow, PolicyInvalid
from ..messages import Entry, Trait
from ..policy import ContextPolicy
from ..window import Limits, Material, MessageRow, Target, TurnRow
from .calls import Group, by_turn, grouped, in_force, turn_left_out
from .outgoing import weight
from .recency import PINNED, Room, left_out_as

__all__ = ["DEFAULT_BUDGET", "Spent", "limits", "overflow", "reserve", "spend"]

DEFAULT_BUDGET = 32_000
"""Tokens of input when neither the policy nor the model says less: what most models read well."""
DEFAULT_RESERVE = 4_096
THINKING_RESERVE = 16_384
INSTRUCTION = Trait.INSTRUCTION


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


class Spent(NamedTuple):
    """What is sent in any case, and the room it leaves.

    ``turns`` are those of the path with tokens and messages as they would be sent; ``current`` are the
    groups of the turn being answered, ``gone`` those of its oldest tool groups that had to go.
    """

    room: Room
    turns: Sequence[TurnRow]
    current: Sequence[Group]
    gone: Sequence[Group] = ()


def spend(material: Material, limits: Limits, target: Target) -> Spent:
    """Counts everything that cannot be saved: overhead, instructions, opening, context, new input.

    Raises `ContextOverflow` where that alone is above the budget.
    """
    path, scale = material.path, limits.scale
    budget, high, low = int(limits.budget / scale), int(limits.high / scale), int(limits.low / scale)
    head = material.overhead + _tokens(material.instructions) + _tokens(material.context)
    head += material.opening.tokens if material.opening else 0
    if not (material.current or path.rows or path.standing) and head <= budget:
        return Spent(Room(head, high, low, messages=0), path.turns, ())
    if path.standing or path.rows:
        head += _tokens(row for row in (*path.standing, *(path.rows or ())) if in_force(row))
    groups = grouped(material.current)
    gone = _outgrown(groups, head, budget, low, target) if groups else ()
    sent = [group for group in groups if group not in gone and not group.left_out]
    needed = head + sum([_weight(group, target) for group in sent])
    if needed > budget:
        raise overflow(material, limits, needed)
    turns = path.turns if path.rows is None else _as_sent(path.turns, path.rows, target)
    pins = sum([t.tokens for t in turns if t.traits & PINNED and not left_out_as(t)]) if path.rows else 0
    pins += _tokens(row for row in path.standing if not row.traits & INSTRUCTION)
    pinned = 0 < pins <= budget - needed
    fixed = needed + pins if pinned else needed
    messages = sum([len(group.rows) for group in sent if not group.instruction])
    # While the newest turn has a hole, no older turn is worth more than what fell into it.
    room = Room(fixed, fixed if gone else high, low, messages, pinned)
    return Spent(room, turns, groups, gone)


def _tokens(entries: Iterable[Entry | MessageRow]) -> int:
    return sum([entry.tokens for entry in entries])


def _weight(group: Group, target: Target) -> int:
    return 0 if group.left_out else sum(weight(row, target) for row in group.rows)


def _as_sent(turns: Sequence[TurnRow], rows: Sequence[MessageRow], target: Target) -> list[TurnRow]:
    """Turns in figures as they would be sent: without instructions (counted apart: they stay), without
    empty and excluded messages, with the reasoning that the target takes and no other."""
    rows_of = by_turn(rows)
    return [turn if not turn.traits else _turn_as_sent(turn, rows_of[turn.number], target) for turn in turns]


def _turn_as_sent(turn: TurnRow, rows: Sequence[MessageRow], target: Target) -> TurnRow:
    if turn_left_out(rows):
        return turn._replace(tokens=0, messages=0)
    groups = [group for group in grouped(rows) if not group.instruction and not group.left_out]
    tokens = sum(_weight(group, target) for group in groups)
    return turn._replace(tokens=tokens, messages=sum(len(group.rows) for group in groups))


def _outgrown(groups: Sequence[Group], fixed: int, budget: int, low: int, target: Target) -> Sequence[Group]:
    """Those of the oldest tool groups that must go so that a turn larger than the budget fits.

    Its input, instructions and newest group stay, whatever they cost. The turn is played through from
    its beginning: whenever it outgrows the budget its oldest groups go until the low mark, so the next
    step cuts at the same place.
    """
    steps = [g for g in groups if not g.left_out and g.rows[0].role == "assistant"]
    fixed += sum(_weight(group, target) for group in groups if group not in steps)
    first, spent = 0, fixed
    for index, group in enumerate(steps):
        spent += _weight(group, target)
        mark = low if spent > budget else budget
        while first < index and spent > mark:
            spent -= _weight(steps[first], target)
            first += 1
    return steps[:first]


def overflow(material: Material, limits: Limits, needed: int) -> ContextOverflow:
    """What must be sent needs ``needed`` uncalibrated tokens, which is more than the limits allow."""

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
