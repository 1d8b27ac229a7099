"""Which sentences does the demo model put into a summary? Those in which the user states something of
themselves, figures before everything else, as many as there is room for. Nothing is reworded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ..phrases import phrase
from ..prompts import Asked
from ..tokens import count_text
from .concepts import CONCEPTS
from .quoting import MARK, SPEAKER, is_question, sentences

__all__ = ["extract"]

OWN = re.compile(r"我|\b(?:i|i'm|i've|i'd|my|mine|me|we|our)\b", re.IGNORECASE)
DIGIT = re.compile(r"\d")
LONGEST_SHARE = 3
"""A sentence that alone would take more than a third of the room is left out."""
CLEARLY = 16
"""Tokens by which a sentence must be shorter to go first."""
ROOM_OF_LINE = 1
"""Tokens for the end of a line."""


class Line(NamedTuple):
    """A sentence that may stand in the summary, behind the label that says who said it and when."""

    label: str
    sentence: str
    worth: int

    @property
    def written(self) -> str:
        """The line as it stands in the summary."""
        return self.label + self.sentence


def extract(request: Asked, tokens: int) -> str:
    """A summary of at most ``tokens`` tokens, which says in its first line that it is an extract. Of
    sentences that are worth the same the clearly shorter ones stay, so that more facts do, then the older
    ones.

    >>> print(extract(Asked("", "[turn 1] user: I am 27. How are you?", "en"), 100))
    [These are the user's own words: the demo model only extracts, it does not write.]
    [turn 1] user: I am 27.
    """
    head = phrase("demo.summary", request.language)
    room = tokens - count_text(head)
    lines = [*_lines(request.so_far), *_lines(request.turns)]
    costs = [count_text(line.written) + ROOM_OF_LINE for line in lines]
    kept: set[int] = set()
    for place in sorted(range(len(lines)), key=lambda at: (-lines[at].worth, costs[at] // CLEARLY, at)):
        cost = costs[place]
        if cost <= min(room, tokens // LONGEST_SHARE):
            kept.add(place)
            room -= cost
    return "\n".join([head, *(lines[place].written for place in sorted(kept))])


def _lines(text: str) -> Iterator[Line]:
    """What the user states, sentence by sentence. Words without a speaker are those of a summary that
    somebody else wrote: they are worth most."""
    label: str | None = ""
    for line in text.splitlines():
        if MARK.match(line):
            continue
        speaker = SPEAKER.match(line)
        if speaker:
            label = None if speaker["other"] else speaker[0]
        elif not line.startswith(" "):
            label = ""
        if label is None:
            continue
        for sentence in sentences(line[speaker.end() :] if speaker else line):
            if not is_question(sentence):
                yield Line(label, sentence, _worth(sentence) if label else WORTH_OF_SUMMARY)


WORTH_OF_SUMMARY = 9


def _worth(sentence: str) -> int:
    """What a sentence is worth: that somebody speaks of themselves, that it tells something people ask
    for, that it holds a figure."""
    told = [concept for concept in CONCEPTS if concept.told.search(sentence)]
    fact = any(not concept.general for concept in told)
    return bool(OWN.search(sentence)) + 2 * fact + 2 * bool(DIGIT.search(sentence)) + bool(told)
