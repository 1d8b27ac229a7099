"""What of a long message is quoted? The sentences around what was asked, with marks for what is missing."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

__all__ = ["CUT", "Count", "shortened", "terms"]

Count = Callable[[str], int]
"""Counts the uncalibrated tokens of a text."""
CUT = "[…]"
"""Stands where a quotation was shortened."""
LONGEST_TOKEN = 12
"""Letters that a token has at most, on the average of a sentence."""
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？；])\s*|\n\s*")
TERM = re.compile(r"[a-z0-9]{2,}")
HAN_RUN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]{2,}")


def terms(question: str) -> frozenset[str]:
    """Words of a question, and pairs of neighbouring ideographs."""
    pairs = {run[at : at + 2] for run in HAN_RUN.findall(question) for at in range(len(run) - 1)}
    return frozenset(TERM.findall(question.lower())) | pairs


def shortened(text: str, terms: frozenset[str], room: int, count: Count) -> str:
    """The text where it takes at most ``room`` tokens; else the sentence that has most of the terms, with
    as many of its neighbours as there is room for, and marks where something is missing."""
    if len(text) <= room * LONGEST_TOKEN and count(text) <= room:
        return text
    ends = [0, *(found.end() for found in SENTENCE_END.finditer(text)), len(text)]
    spans = [(begin, end) for begin, end in pairwise(ends) if text[begin:end].strip()]

    def fits(begin: int, end: int) -> bool:
        return end - begin <= room * LONGEST_TOKEN and count(_cut(text, begin, end)) <= room

    first = last = _best(text, spans, terms)
    if not fits(*spans[first]):
        return _part(text, spans[first], terms, fits)
    grown = True
    while grown:
        grown = False
        if last + 1 < len(spans) and fits(spans[first][0], spans[last + 1][1]):
            last, grown = last + 1, True
        if first and fits(spans[first - 1][0], spans[last][1]):
            first, grown = first - 1, True
    return _cut(text, spans[first][0], spans[last][1])


def _best(text: str, spans: Sequence[tuple[int, int]], terms: frozenset[str]) -> int:
    """The sentence with most of the terms; of equals the first."""

    def found(place: int) -> tuple[int, int]:
        sentence = text[slice(*spans[place])].lower()
        return sum(term in sentence for term in terms), -place

    return max(range(len(spans)), key=found)


def _cut(text: str, begin: int, end: int) -> str:
    before = f"{CUT} " if text[:begin].strip() else ""
    behind = f" {CUT}" if text[end:].strip() else ""
    return f"{before}{text[begin:end].strip()}{behind}"


def _part(
    text: str, sentence: tuple[int, int], terms: frozenset[str], fits: Callable[[int, int], bool]
) -> str:
    """As much of a sentence that is too long as there is room for, from its first term on."""
    begin, end = sentence
    found = (re.search(re.escape(term), text[begin:end], re.IGNORECASE) for term in terms)
    begin += min((match.start() for match in found if match), default=0)
    short, long = 0, end - begin
    while long - short > 1:
        middle = (short + long) // 2
        short, long = (middle, long) if fits(begin, begin + middle) else (short, middle)
    return _cut(text, begin, begin + short)
