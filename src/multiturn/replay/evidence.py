"""Which old turns did a reply use? A rule that can be explained: what is rare and was said there last.

A turn *uses* an old turn where both hold a rare word, name or number that no turn between them holds.
A name (capitalised in mid-sentence) or a number weighs 2, a word 1, a pair of ideographs 1; from a
weight of 2 on the old turn counts as used. *Rare* is what at most `RARE` of the turns hold, and never
more than `MOST` of them. *Old* is a turn with at least one other between: the one before is in every
window.

The rule knows nothing of meaning. It does not see a fact that is told again in other words, it takes a
rare word that two turns share by chance for a use, and where something was said twice it credits the
later place. It is the same for every policy, so it compares them; it does not grade one alone.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from ..messages import Trait
from ..path import MessageRow
from .dialogue import Said

__all__ = ["Use", "marks_of", "uses"]

RARE = 0.02
"""Share of the conversation's turns that may hold a rare mark."""
MOST = 8
LEAST = 3
"""In a short conversation so many turns may hold it all the same."""
ENOUGH = 2
"""The weight from which an old turn counts as used."""
STRONG, WEAK = 2, 1

LATIN = re.compile(r"[A-Za-z][A-Za-z'’-]*[A-Za-z]|[A-Za-z]")
NUMBER = re.compile(r"\d[\d.,:/-]*\d|\d")
IDEOGRAPHS = re.compile(r"[\u3400-\u9fff]{2,}")
SENTENCE_ENDS = frozenset('.!?。！？\n"“:')
NO_NAMES = frozenset(("I", "I'm", "I'll", "I've", "I'd", "I’m", "I’ll", "I’ve", "I’d", "OK"))
SHORTEST_WORD = 4


@dataclass(frozen=True, slots=True)
class Use:
    """An old turn that a turn used: its number, and the marks that both hold, strongest first."""

    turn: int
    marks: tuple[str, ...]


def uses(turns: Sequence[Said]) -> list[tuple[Use, ...]]:
    """For each turn the old turns it used, oldest first."""
    held = [_marks(said) for said in turns]
    spread = Counter(mark for marks in held for mark in marks)
    limit = min(MOST, max(LEAST, int(len(turns) * RARE)))
    last: dict[str, int] = {}
    found: list[tuple[Use, ...]] = []
    for index, marks in enumerate(held):
        rare = {mark: weight for mark, weight in marks.items() if spread[mark] <= limit}
        found.append(_used(rare, last, index, turns))
        last.update(dict.fromkeys(rare, index))
    return found


def _used(
    marks: Mapping[str, int], last: Mapping[str, int], index: int, turns: Sequence[Said]
) -> tuple[Use, ...]:
    places: dict[int, list[str]] = defaultdict(list)
    for mark in marks:
        if mark in last and last[mark] < index - 1:
            places[last[mark]].append(mark)
    return tuple(
        Use(turns[place].turn.number, tuple(sorted(shared, key=lambda mark: (-marks[mark], mark))))
        for place, shared in sorted(places.items())
        if sum(marks[mark] for mark in shared) >= ENOUGH
    )


def _marks(said: Said) -> dict[str, int]:
    """What a turn can be recognised by: of the words of its user and its assistant. A turn that is never
    sent has none."""
    if said.turn.traits & (Trait.RETRACTED | Trait.MODERATED):
        return {}
    marks: dict[str, int] = {}
    for row in said.rows:
        if row.role in ("user", "assistant", "tool") and not row.traits & Trait.EXCLUDED:
            for text in _texts(row):
                for mark, weight in marks_of(text).items():
                    marks[mark] = max(weight, marks.get(mark, 0))
    return marks


def _texts(row: MessageRow) -> Iterable[str]:
    content = orjson.loads(row.body).get("content")
    if isinstance(content, str):
        return (content,)
    return [str(part.get("text") or "") for part in content or () if part.get("type") == "text"]


def marks_of(text: str) -> dict[str, int]:
    """The marks of a text with their weights.

    >>> marks_of("Yes, Rex is 27.")
    {'27': 2, 'rex': 2}
    >>> marks_of("故宫不远")
    {'故宫': 1, '宫不': 1, '不远': 1}
    """
    marks = {number: STRONG for number in NUMBER.findall(text) if len(number) > 1}
    for word in LATIN.finditer(text):
        if word[0][0].isupper() and word[0] not in NO_NAMES and not _begins(text, word.start()):
            marks[_plain(word[0])] = STRONG
        elif len(word[0]) >= SHORTEST_WORD:
            marks.setdefault(_plain(word[0]), WEAK)
    for run in IDEOGRAPHS.findall(text):
        marks.update({run[place : place + 2]: WEAK for place in range(len(run) - 1)})
    return marks


def _begins(text: str, place: int) -> bool:
    """Whether a sentence begins here, where any word has a capital."""
    while place > 0 and text[place - 1] in " \t":
        place -= 1
    return place == 0 or text[place - 1] in SENTENCE_ENDS


def _plain(word: str) -> str:
    """A word as it is compared: without case, and without the endings of English nouns and verbs."""
    plain = word.lower().removesuffix("'s").removesuffix("’s")
    return plain[:-1] if len(plain) > SHORTEST_WORD and plain.endswith("s") else plain
