"""In what order do these run? Spend what cannot be saved, keep the newest turns, put them together.

The ordinary window (text by the user, text by the assistant) is put together from stored bytes
without opening one of them. Everything else is put together by `assembly`, message by message.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

from ..errors import ContextOverflow
from ..ledger import Code, Span
from ..messages import Trait
from ..window import Limits, Material, Target, Window
from .assembly import Assembly, instruction_span, left_out_span, listed, scaled
from .budget import Spent, overflow, spend
from .recency import Kept, newest_turns

__all__ = ["build", "enough"]

Recount = Callable[[Sequence[bytes]], int]
"""Counts messages that were merged, marked or closed: JSON in, uncalibrated tokens out."""
TRIES = 8
ORDINARY_TURNS: tuple[list[str], ...] = (["user"], ["user", "assistant"])


def build(
    material: Material, limits: Limits, target: Target, recount: Recount, chosen: Chosen | None = None
) -> Window:
    """The window that these rows make under these limits for this target.

    The same arguments give the same bytes. A window whose messages had to be changed is counted again
    as it will be sent, and built once more with less where it grew above the budget: with less of the
    earlier turns first, then without pins and old tool groups. ``chosen`` is what `enough` found for the
    same arguments. Raises `ContextOverflow` where instructions, tools and the new input alone are above
    the budget.
    """
    allowed, sent, least = limits, 0, False
    for _ in range(TRIES):
        try:
            if chosen is None:
                chosen = _choose(material, allowed, target)
        except ContextOverflow as error:
            if allowed is limits:
                raise
            if least:
                break
            allowed, least = _tightened(allowed, cast("int", error.figures["needed"]) + 1), True
            continue
        built = _build(material, limits, target, chosen)
        if built.changed is None:
            return built.window
        sent = material.overhead + recount(built.changed)
        tokens = math.ceil(sent * limits.scale)
        if tokens <= limits.budget:
            return replace(built.window, tokens=tokens)
        mark = min(limits.budget - (tokens - built.counted), built.counted - 1)
        allowed = _less_memory(allowed, mark) if chosen.kept.tokens else _tightened(allowed, mark)
        chosen = None
    raise overflow(material, limits, sent)


class _Built(NamedTuple):
    """A window; what it was counted to cost; and its messages, where some are not as they were counted."""

    window: Window
    counted: int
    changed: Sequence[bytes] | None = None


def _less_memory(limits: Limits, mark: int) -> Limits:
    """The limits with less to spend on earlier turns."""
    return replace(limits, high=max(0, mark), low=max(0, min(limits.low, mark)))


def _tightened(limits: Limits, budget: int) -> Limits:
    """The limits with less to spend on everything."""
    budget = max(1, budget)
    return replace(limits, budget=budget, high=min(limits.high, budget), low=min(limits.low, budget))


class Chosen(NamedTuple):
    """What is spent in any case, and the turns that the rest is spent on."""

    spent: Spent
    kept: Kept


def _choose(material: Material, limits: Limits, target: Target) -> Chosen:
    spent = spend(material, limits, target)
    return Chosen(spent, newest_turns(material.path, spent.turns, limits, spent.room))


def _build(material: Material, limits: Limits, target: Target, chosen: Chosen) -> _Built:
    spent, kept = chosen
    counted = scaled(spent.room.fixed + kept.tokens, limits)
    if _is_plain(material, target):
        return _Built(_plain_window(material, limits, target, kept, counted), counted)
    window, changed = Assembly(material, limits, target, spent, kept).window()
    return _Built(window, counted, changed)


def enough(material: Material, limits: Limits, target: Target) -> Chosen | None:
    """What is chosen, if the path was read far enough back for these limits; ``None``: it must be
    gathered again with a longer reach."""
    chosen = _choose(material, limits, target)
    return chosen if chosen.kept.settled else None


def _is_plain(material: Material, target: Target) -> bool:
    """Whether every byte can be sent as it was stored."""
    path = material.path
    if path.rows is not None or path.standing or material.opening or material.context:
        return False
    if target.reasoning_required == "always" or len(material.instructions) > 1:
        return False
    for entry in material.instructions:
        if entry.role != "system" or entry.traits != Trait.INSTRUCTION:
            return False
    if not material.current:
        return True
    roles = [row.role for row in material.current]
    return roles in ORDINARY_TURNS and not any(row.traits for row in material.current)


def _plain_window(material: Material, limits: Limits, target: Target, kept: Kept, tokens: int) -> Window:
    path, new = material.path, material.current
    spans = [instruction_span(material, limits)] if material.instructions else []
    recent = path.turns[: path.turns[0].number + 1 - kept.first] if path.turns else ()
    messages = sum([turn.messages for turn in recent])
    unsent = path.earlier_messages + len(path.bodies) - messages
    if unsent:
        spans.append(left_out_span(kept, limits, unsent, (1, max(1, kept.first - 1))))
    if recent:
        turns = (recent[-1].number, recent[0].number)
        spans.append(Span(Code.RECENT, messages, scaled(kept.tokens, limits), turns))
    if new:
        cost = scaled(sum(row.tokens for row in new), limits)
        spans.append(Span(Code.NEW, len(new), cost, (new[0].turn, new[0].turn)))
    bodies = path.bodies[len(path.bodies) - messages :]
    return Window(
        body=listed([*[entry.body for entry in material.instructions], *bodies, *[row.body for row in new]]),
        spans=tuple(spans),
        tokens=tokens,
        limits=limits,
        target=target,
        cut=kept.cut,
    )
