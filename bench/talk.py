"""What do clients and model say to each other in the gateway's benchmark?

Both sides work it out from the same few numbers, so the model can tell whether the history it is shown is
exactly what was said. The newest input names the numbers: ``[c7.3 20 5 1 0 9999] …`` is the third turn of
the seventh conversation, to be answered in 20 pieces, one every 5 ms, one in each write, without a stamp, and
to be shown with all turns before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from .corpus import SYSTEM, invented

__all__ = ["EVERY", "SYSTEM", "Talk", "answer", "asked", "history_is_wrong", "said"]

SENTENCES = tuple(each["content"] for each in invented(97))
WORDS = tuple(
    sentence[place : place + 9] for sentence in SENTENCES[:32] for place in range(4, len(sentence) - 9, 9)
)
MARK = re.compile(r"\[c(\d+)\.(\d+) (\d+) (\d+) (\d+) ([01]) (\d+)\]")


EVERY = 9_999


class Talk(NamedTuple):
    """A conversation: its number, and how each of its turns is answered. ``every`` is in milliseconds (0:
    all at once), ``burst`` how many pieces a write holds; ``stamped`` pieces hold the time of their
    sending instead of words; ``least`` is how many turns the model must be shown where there are so many."""

    conversation: int
    pieces: int
    every: int = 0
    burst: int = 1
    stamped: bool = False
    least: int = EVERY


@lru_cache(200_000)
def said(talk: Talk, turn: int) -> str:
    """What the user says in a turn."""
    how = f"{talk.pieces} {talk.every} {talk.burst} {int(talk.stamped)} {talk.least}"
    sentence = SENTENCES[(talk.conversation * 31 + turn * 7) % len(SENTENCES)]
    return f"[c{talk.conversation}.{turn} {how}] {sentence}"


@lru_cache(4_096)
def pieces(talk: Talk, turn: int) -> tuple[str, ...]:
    """What the model says in a turn."""
    start = talk.conversation * 17 + turn * 5
    return tuple(WORDS[(start + place) % len(WORDS)] for place in range(talk.pieces))


@lru_cache(200_000)
def answer(talk: Talk, turn: int) -> str:
    """The same in one piece."""
    return "".join(pieces(talk, turn))


def asked(text: str) -> tuple[Talk, int] | None:
    """Which turn an input is, by its last mark: what is quoted from earlier turns stands before it."""
    marks = MARK.findall(text)
    if not marks:
        return None
    number, turn, count, every, burst, stamped, least = map(int, marks[-1])
    return Talk(number, count, every, burst, bool(stamped), least), turn


def history_is_wrong(messages: Sequence[Mapping[str, object]], talk: Talk, turn: int) -> bool:
    """Whether a request holds anything but the instructions, and then every message of the turns from some
    turn on to this one, at least ``talk.least`` of them, each once and in order. A note may stand before what
    a user said (a summary, old turns quoted), never in it."""
    told = [(each["role"], str(each["content"])) for each in messages]
    if not told or told[0] != ("system", SYSTEM) or len(told) % 2:
        return True
    first = turn - len(told) // 2 + 1
    if first < 1 or first > max(1, turn - talk.least + 1):
        return True
    for number in range(first, turn + 1):
        place = 1 + 2 * (number - first)
        role, text = told[place]
        if role != "user" or not text.endswith(said(talk, number)):
            return True
        if number < turn and told[place + 1] != ("assistant", answer(talk, number)):
            return True
    return False
