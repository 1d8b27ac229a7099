"""How are old turns told to the model that summarises them? As much as it can read, oldest first; what is
never sent again is not told either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .context.calls import grouped, turn_left_out
from .context.recency import left_out_as
from .conversations import Turn
from .messages import Message, Trait
from .prompts import day_of, language_of, narrated
from .storage import Due, Store, Told
from .tokens import count_text
from .window import TurnRow
from .wire import opened

__all__ = ["Retelling", "retell"]

PAGE = 256
"""Turns that are told in one request, at most."""
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
    at, limit = (due.owner, due.conversation), min(PAGE, upto - after)
    turns = await store.turns(*at, after=after, limit=limit, branch=due.branch)
    told = await store.history(*at, after=after, limit=limit, branch=due.branch)
    spoken = [(turn, _spoken(turn, [one for one in told if one.row.turn == turn.number])) for turn in turns]
    said = " ".join(m.text for _, messages in spoken for m in messages if m.role == "user")
    language = language or language_of(said)
    last, day, lines, spent = after, "", list[str](), 0
    for turn, messages in spoken:
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


def _spoken(turn: Turn, told: Sequence[Told]) -> list[Message]:
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
