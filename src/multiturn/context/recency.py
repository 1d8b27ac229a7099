"""Which of the newest turns are kept? The last turns, messages or tokens; a turn is never torn.

Past the high mark the oldest turns go until the low mark, and the place of that cut is remembered:
until the window is full again it only grows, so a provider's prompt cache can serve its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..decision import Code
from ..messages import Trait
from ..path import Cut, Path, TurnRow
from ..window import Limits

__all__ = [
    "COMPLETED",
    "PINNED",
    "Kept",
    "Room",
    "cost_of",
    "down_to_low",
    "folded",
    "left_out_as",
    "newest_turns",
    "within_counts",
]

WAITING, COMPLETED, FAILED = 2, 3, 5  # conversations.TurnState, as stored
PINNED, RETRACTED, STOPPED = Trait.PINNED, Trait.RETRACTED, Trait.STOPPED
OUT_TRAITS = RETRACTED | Trait.MODERATED
QUARTER = 4


class Room(NamedTuple):
    """Tokens in the counter's own unit: ``fixed`` is spent already (tools, instructions, pins, context,
    new input), ``high`` and ``low`` are marks for the whole window. ``messages`` were spent of
    `Limits.max_messages`. ``pins`` says whether the pinned turns fit (all of them are then part of
    ``fixed``, or none is sent for its pin)."""

    fixed: int
    high: int
    low: int
    messages: int = 1
    pins: bool = False

    @property
    def low_mark(self) -> int:
        """Where a cut ends: at ``low``, but a quarter of the room that is not spent already is always
        left to earlier turns, however long the instructions or the new input are."""
        return max(self.low, self.fixed + (self.high - self.fixed) // QUARTER)


class Kept(NamedTuple):
    """The outcome: turns from number ``first`` on are kept; older ones are left out as ``why``, or because
    a summary stands for the turns up to ``folded``. ``tokens`` is what the kept ones cost, ``needed`` what
    the window would have cost uncut. ``settled``: whether reading further back could not change it."""

    first: int
    why: Code
    tokens: int
    needed: int
    cut: Cut | None
    settled: bool = True
    folded: int = 0


def folded(path: Path, limits: Limits) -> int:
    """The last turn that a summary stands for under this policy; 0: none does. Up to there no turn is sent
    for its own sake, even where the summary itself finds no place."""
    return path.summary.upto if path.summary and limits.fold is not None else 0


def left_out_as(turn: TurnRow) -> Code | None:
    """Why a turn is never sent, whatever the limits; ``None`` for a turn that may be sent."""
    if turn.state == COMPLETED and not turn.traits & OUT_TRAITS:
        return None
    if turn.traits & RETRACTED:
        return Code.RETRACTED
    if turn.traits & OUT_TRAITS:
        return Code.MODERATED
    if turn.state == FAILED:
        return Code.FAILED
    stopped = turn.state == WAITING or turn.traits & STOPPED
    return None if stopped else Code.INCOMPLETE


def cost_of(turn: TurnRow, room: Room) -> int:
    """What a turn adds to what is spent already."""
    return 0 if (room.pins and turn.traits & PINNED) or left_out_as(turn) else turn.tokens


def _cost_of_all(turns: Sequence[TurnRow], room: Room) -> int:
    return sum(
        [
            turn.tokens if turn.traits == 0 and turn.state == COMPLETED else cost_of(turn, room)
            for turn in turns
        ]
    )


def newest_turns(path: Path, turns: Sequence[TurnRow], limits: Limits, room: Room) -> Kept:
    """The longest run of newest turns that the limits allow. ``turns`` are those of the path with
    tokens and messages as they would be sent.

    It is settled once a bound was passed or nothing is left to read. A store stops reading by figures
    alone: turns that are never sent (failed, retracted) may have used them up.

    >>> turns = [TurnRow(n, 3, 0, 10, 0, 2) for n in (3, 2, 1)]
    >>> newest_turns(Path(turns=turns), turns, Limits(99, 99, 50, max_turns=2), Room(5, 99, 50)).first
    2
    """
    begin = folded(path, limits)
    if begin:
        turns = [turn for turn in turns if turn.number > begin]
    read = len(turns)
    ordinary = path.rows is None
    within = _within_counts_of_ordinary if ordinary else within_counts
    turns, why = within(turns, limits, room)
    held = path.cut if path.cut and path.cut.key == limits.key and path.cut.turn > begin else None
    reached = path.earlier_turns <= begin or bool(held and path.earlier_turns < held.turn)
    settled = len(turns) < read or reached
    if held and (not turns or turns[-1].number <= held.turn):
        turns = [turn for turn in turns if turn.number >= held.turn]
        why = Code.OVER_BUDGET
    tokens = sum([turn.tokens for turn in turns]) if ordinary else _cost_of_all(turns, room)
    if room.fixed + tokens <= room.high:
        return Kept(_first(turns, path), why, tokens, room.fixed + tokens, held, settled, begin)
    kept, spent = down_to_low(turns, room)
    first = _first(kept, path)
    cut = Cut(first, limits.key, limits.scale)
    return Kept(first, Code.OVER_BUDGET, spent, room.fixed + tokens, cut, folded=begin)


def within_counts(turns: Sequence[TurnRow], limits: Limits, room: Room) -> tuple[Sequence[TurnRow], Code]:
    """The newest turns that the limits on turns and messages allow, and what the others are left out as."""
    if limits.max_turns is None and limits.max_messages is None:
        return turns, Code.OVER_BUDGET
    count, messages = 0, room.messages
    for index, turn in enumerate(turns):
        odd = turn.traits or turn.state != COMPLETED
        if not turn.messages or (odd and left_out_as(turn)):
            continue
        count += 1
        messages += turn.messages
        too_many_turns = limits.max_turns is not None and count > limits.max_turns
        if too_many_turns or (limits.max_messages is not None and messages > limits.max_messages):
            return turns[:index], Code.OUTSIDE_WINDOW
    return turns, Code.OUTSIDE_WINDOW


def _within_counts_of_ordinary(
    turns: Sequence[TurnRow], limits: Limits, room: Room
) -> tuple[Sequence[TurnRow], Code]:
    """The same where every turn is ordinary: each is sent, with two messages, so none is looked at."""
    most, why = len(turns), Code.OVER_BUDGET
    if limits.max_turns is not None:
        most, why = min(most, limits.max_turns), Code.OUTSIDE_WINDOW
    if limits.max_messages is not None:
        most, why = min(most, max(0, limits.max_messages - room.messages) // 2), Code.OUTSIDE_WINDOW
    return turns[:most], why


def down_to_low(turns: Sequence[TurnRow], room: Room) -> tuple[list[TurnRow], int]:
    """The newest turns up to the low mark; the very newest also where it alone is above it, as long as
    it stays below the high mark: a window without any memory would be worse than a full one."""
    kept: list[TurnRow] = []
    fixed, low, spent = room.fixed, room.low_mark, 0
    for turn in turns:
        cost = turn.tokens if turn.traits == 0 and turn.state == COMPLETED else cost_of(turn, room)
        if fixed + spent + cost > (low if spent else room.high):
            break
        kept.append(turn)
        spent += cost
    return kept, spent


def _first(kept: Sequence[TurnRow], path: Path) -> int:
    if kept:
        return kept[-1].number
    return path.turns[0].number + 1 if path.turns else path.earlier_turns + 1
