"""How are old turns told to the model that summarises them? As much as it can read, oldest first; what is
never sent again is not told either."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from ..context import grouped, left_out_as, turn_left_out
from ..conversations import Turn
from ..messages import Message, Trait
from ..path import TurnRow
from ..prompts import day_of, language_of, narrated
from ..storage import Due, Store, Told
from ..tokens import count_text
from ..wire import opened

__all__ = ["Retelling", "retell", "spoken"]

PAGE = 256
"""Turns that are told in one request, at most."""
BREATH = 16
"""Turns after which whatever else waits has its chance; and from so many the language is told."""
SHORTEST_TURN = 10
"""No turn is told in fewer tokens."""
LENGTHS = (2_000, 500, 100)
"""Characters of one message, where a turn alone is too much to read as it is."""
CHARACTERS = 3
"""No character costs more tokens than this."""


class Retelling(NamedTuple):
    """The turns up to ``last`` in words (empty: none of them is ever sent again), and their language."""

    words: str
    last: int
    language: str


async def retell(store: Store, due: Due, after: int, upto: int, room: int, language: str = "") -> Retelling:
    """The turns after ``after``, at most up to ``upto`` and in about ``room`` uncalibrated tokens, but at
    least one; in ``language``, or (empty) in that of the user's words."""
    at, limit = (due.owner, due.conversation), min(PAGE, upto - after, max(1, room // SHORTEST_TURN))
    turns = await store.turns(*at, after=after, limit=limit, branch=due.branch)
    told = await store.history(*at, after=after, limit=limit, branch=due.branch)
    rows: defaultdict[int, list[Told]] = defaultdict(list)
    for one in told:
        rows[one.row.turn].append(one)
    language = language or _language([(turn, rows[turn.number]) for turn in turns[:BREATH]])
    last, day, lines, spent = after, "", list[str](), 0
    for place, turn in enumerate(turns):
        if place % BREATH == 0:
            await asyncio.sleep(0)  # turns go on meanwhile
        messages = spoken(turn, rows[turn.number])
        today = day_of(messages[0]) if messages else ""
        words = _fitting(turn, messages, language, today if today != day else "", None if lines else room)
        cost = count_text(words) + 1
        if lines and words and spent + cost > room:
            break
        last = turn.number
        if words:
            lines.append(words)
            spent, day = spent + cost, today
    return Retelling("\n".join(lines), last, language)


def _language(turns: Sequence[tuple[Turn, Sequence[Told]]]) -> str:
    """The language of the user's words in these turns."""
    messages = [message for turn, told in turns for message in spoken(turn, told)]
    return language_of(" ".join(message.text for message in messages if message.role == "user"))


def spoken(turn: Turn, told: Sequence[Told]) -> list[Message]:
    """What of a turn may be told: nothing where it is left out of windows for good; never instructions,
    which stay in force, nor what was left out by hand."""
    figures = TurnRow(turn.number, turn.state, turn.traits, 0, 0, 0)
    rows = [one.row for one in told]
    if left_out_as(figures) or turn_left_out(rows):
        return []
    groups = [group for group in grouped(rows) if not group.left_out and not group.instruction]
    kept = {row.place for group in groups for row in group.rows}
    return [
        opened(one.row.body, None, one.facts, created_at=one.created_at)
        for one in told
        if one.row.place in kept
    ]


def _fitting(turn: Turn, messages: Sequence[Message], language: str, day: str, room: int | None) -> str:
    """A turn in words; where it must fit a ``room``, with as much of each message as fits."""
    stopped = bool(turn.traits & Trait.STOPPED)
    words = narrated(turn.number, messages, language, day=day, stopped=stopped)
    for longest in LENGTHS:
        if room is None or count_text(words) <= room:
            return words
        words = narrated(turn.number, messages, language, day=day, stopped=stopped, longest=longest)
    return words if room is None or count_text(words) <= room else words[: room // CHARACTERS]
