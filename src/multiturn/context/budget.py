"""What may be spent, and on what? A policy and a model's limits, turned into numbers of tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import orjson

from ..errors import ContextOverflow, PolicyInvalid
from ..images import tokens_of
from ..messages import Entry, Trait
from ..path import MessageRow, Path, TurnRow
from ..phrases import Reason
from ..policy import ContextPolicy, Recall
from ..window import Limits, Material, Target
from .calls import Group, by_turn, grouped, in_force, turn_left_out
from .outgoing import IMAGE_KINDS, image_allowance, weight
from .recency import PINNED, Room, folded, left_out_as
from .summary import NOTE_TOKENS

__all__ = ["DEFAULT_BUDGET", "Spent", "limits", "overflow", "quoted", "reserve", "scaled", "spend"]

DEFAULT_BUDGET = 32_000
"""Tokens of input when neither the policy nor the model says less: what most models read well."""
DEFAULT_RESERVE = 4_096
THINKING_RESERVE = 16_384
RECALL_SHARE, RECALL_TOKENS = 0.1, 600
LEAST_RECALL = 80
"""Tokens of one short quotation with title and fence, which a small budget is given too …"""
RECALL_MOST = 4
"""… but never more than this part of it."""
LEFT_OUT_TOKENS = 6
"""What stands in the place of an image costs."""
BARE, IMAGE, INSTRUCTION, QUOTED = Trait.BARE, Trait.IMAGE, Trait.INSTRUCTION, Trait.QUOTED


def scaled(tokens: int, limits: Limits) -> int:
    """Uncalibrated tokens as tokens of the model."""
    return math.ceil(tokens * limits.scale)


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

    With a summary the whole budget may be filled: turns are folded past the high mark, and left out
    without a summary only where they do not fit. A summary that nobody asked for by its length takes at
    most a quarter of the budget, and is not written where that is too little. Raises `PolicyInvalid`
    where the reserve leaves no room at all, or the summary would fill the budget.
    """
    if input_limit <= 0:
        raise PolicyInvalid(Reason("why.reserve", reserved=reserved, window=input_limit + reserved))
    wanted = policy.budget or min(first_tier or DEFAULT_BUDGET, DEFAULT_BUDGET)
    budget = min(wanted, input_limit)
    summary_tokens = policy.summarize.most(budget) if policy.summarize else 0
    if not summary_tokens:
        policy = replace(policy, summarize=None)
    high, low = policy.marks()
    fold = int(budget * high) if policy.summarize else None
    return Limits(
        budget=budget,
        high=int(budget * high) if fold is None else budget,
        low=int(budget * low),
        max_turns=policy.max_turns,
        max_messages=policy.max_messages,
        images=policy.images,
        reserve=reserved,
        scale=scale,
        key=f"{model} {budget} {high:g} {low:g}" + ("" if fold is None else " summary"),
        fold=fold,
        summary_tokens=summary_tokens,
        recall_tokens=_recall_tokens(policy.recall, budget) if policy.recall else 0,
        recall_turns=policy.recall.max_turns if policy.recall else 0,
    )


def _recall_tokens(recall: Recall, budget: int) -> int:
    """How long a block of recalled turns may be."""
    least = min(LEAST_RECALL, budget // RECALL_MOST)
    return recall.max_tokens or min(max(int(budget * RECALL_SHARE), least), RECALL_TOKENS)


class Spent(NamedTuple):
    """What is sent in any case, and the room it leaves.

    ``turns`` are those of the path with tokens and messages as they would be sent; ``current`` are the
    groups of the turn being answered, ``gone`` those of its oldest tool groups that had to go. ``noted`` is
    what the note of a summary was taken to cost (0: it has no place), ``quoted`` whether there is a place
    for what is recalled. ``rows`` are the messages that were read, with tokens as they would be sent.
    """

    room: Room
    turns: Sequence[TurnRow]
    current: Sequence[Group]
    gone: Sequence[Group] = ()
    noted: int = 0
    quoted: bool = False
    rows: Sequence[MessageRow] | None = None


def spend(material: Material, limits: Limits, target: Target) -> Spent:
    """Counts everything that cannot be saved: overhead, instructions, opening, context, new input.

    Raises `ContextOverflow` where that alone is above the budget.
    """
    path, scale = material.path, limits.scale
    budget, high, low = int(limits.budget / scale), int(limits.high / scale), int(limits.low / scale)
    head = _head(material)
    if head <= budget and not (material.current or path.rows or path.standing or path.summary):
        return Spent(Room(head, high, low, messages=0), path.turns, (), quoted=False)
    read = None if path.rows is None else _without_images(material, limits, target)
    turns = path.turns if read is None else _as_sent(path.turns, read, target)
    pins = _pins(path, turns)
    rows = quoted(material)
    now, recalled = _current(rows, head, budget, low, target), rows is not material.current
    if head + now.tokens > budget or head + now.tokens + pins > budget:
        plain = _current(unquoted(material), head, budget, low, target)
        if head + now.tokens > budget or 0 < pins <= budget - head - plain.tokens:
            now, recalled = plain, False
    needed = head + now.tokens
    if needed > budget:
        raise overflow(material, limits, needed)
    pinned = 0 < pins <= budget - needed
    fixed = needed + pins if pinned else needed
    note = path.summary.tokens + NOTE_TOKENS if path.summary and folded(path, limits) else 0
    noted = note if note <= budget - fixed else 0
    fixed += noted
    # While the newest turn has a hole, no older turn is worth more than what fell into it.
    room = Room(fixed, fixed if now.gone else high, low, now.messages, pinned)
    return Spent(room, turns, now.groups, now.gone, noted, recalled, read)


def _head(material: Material) -> int:
    """Tokens of what is neither a turn nor the new input."""
    path = material.path
    entries = [entry for entry in material.instructions if not entry.traits & BARE]
    tokens = material.overhead + _tokens(entries) + _tokens(material.context)
    tokens += material.opening.tokens if material.opening else 0
    if path.standing or path.rows:
        tokens += _tokens(row for row in (*path.standing, *(path.rows or ())) if in_force(row))
    return tokens


def _pins(path: Path, turns: Sequence[TurnRow]) -> int:
    """Tokens of all pinned turns together."""
    tokens = sum([t.tokens for t in turns if t.traits & PINNED and not left_out_as(t)]) if path.rows else 0
    return tokens + _tokens(row for row in path.standing if not row.traits & INSTRUCTION)


class _Current(NamedTuple):
    """The turn being answered: its groups, those that had to go, what the others cost, how many messages
    they are."""

    groups: Sequence[Group]
    gone: Sequence[Group]
    tokens: int
    messages: int


def _current(rows: Sequence[MessageRow], head: int, budget: int, low: int, target: Target) -> _Current:
    groups = grouped(rows)
    gone = _outgrown(groups, head, budget, low, target) if groups else ()
    sent = [group for group in groups if group not in gone and not group.left_out]
    messages = sum([len(group.rows) for group in sent if not group.instruction])
    return _Current(groups, gone, sum([_weight(group, target) for group in sent]), messages)


def quoted(material: Material) -> Sequence[MessageRow]:
    """The rows of the turn being answered, with what is recalled in front of the first words of its user."""
    recalled = material.recalled
    place = next((at for at, row in enumerate(material.current) if row.role == "user"), None)
    if not recalled or not recalled.text or place is None:
        return material.current
    row = material.current[place]
    row = row._replace(quote=recalled.text, tokens=row.tokens + recalled.tokens, traits=row.traits | QUOTED)
    return [*material.current[:place], row, *material.current[place + 1 :]]


def unquoted(material: Material) -> Sequence[MessageRow]:
    """The same rows without anything recalled. What a message costs without the quotation that was stored
    with it is not known: it is counted once the window is put together."""
    return [
        row._replace(quote=None, tokens=0, traits=row.traits | QUOTED) if row.quote else row
        for row in material.current
    ]


def _tokens(entries: Iterable[Entry | MessageRow]) -> int:
    return sum([entry.tokens for entry in entries])


def _weight(group: Group, target: Target) -> int:
    return 0 if group.left_out else sum(weight(row, target) for row in group.rows)


def _as_sent(turns: Sequence[TurnRow], rows: Sequence[MessageRow], target: Target) -> list[TurnRow]:
    """Turns in figures as they would be sent: without instructions (counted apart: they stay), without
    empty and excluded messages, with the reasoning that the target takes and no other."""
    rows_of = by_turn(rows)
    return [turn if not turn.traits else _turn_as_sent(turn, rows_of[turn.number], target) for turn in turns]


def _without_images(material: Material, limits: Limits, target: Target) -> Sequence[MessageRow]:
    """The messages that were read, those whose images stay behind with what they cost without them."""
    rows, current = material.path.rows or (), material.current
    blind = not target.media & IMAGE
    if (limits.images == "all" and not blind) or not any(row.traits & IMAGE for row in rows):
        return rows
    newest = {(row.turn, row.place) for row in current if row.role == "user"}
    most = 0 if limits.images == "all" or blind else limits.images
    kept = image_allowance([*rows, *current], newest, most)
    return [_without(row, kept[row.turn, row.place], target) if row.traits & IMAGE else row for row in rows]


def _without(row: MessageRow, images: int, target: Target) -> MessageRow:
    """The message with only its last ``images``. What it costs is settled once it is put together: this is
    a close guess, and none where images were counted in another way than ours."""
    found = [part for part in orjson.loads(row.body)["content"] if part["type"] in IMAGE_KINDS]
    gone = found[: len(found) - images]
    saved = tokens_of(gone, target.image) - LEFT_OUT_TOKENS * len(gone)
    return row._replace(tokens=row.tokens - saved) if 0 < saved < row.tokens else row


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
    return ContextOverflow(
        needed=scaled(needed, limits),
        limit=limits.budget,
        instructions=scaled(_tokens(material.instructions), limits),
        tools=scaled(material.overhead, limits),
        input=scaled(_tokens(material.current), limits),
        reserve=limits.reserve,
    )
