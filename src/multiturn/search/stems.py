"""What is the stem of an English word? Porter's rules of 1980, so that "painted" finds "painting"."""

from __future__ import annotations

import re

__all__ = ["stem"]

CONSONANT = "(?:[^aeiouy]|(?<![^aeiou])y|^y)"
VOWEL = "(?:[aeiou]|(?<=[^aeiou])y)"
MEASURE = re.compile(f"{VOWEL}+{CONSONANT}+")
HAS_VOWEL = re.compile(VOWEL)
DOUBLE = re.compile(r"([^aeiou])\1$")
SHORT = re.compile(f"{CONSONANT}{VOWEL}[^aeiouwxy]$")

SECOND = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "abli": "able",
    "alli": "al", "entli": "ent", "eli": "e", "ousli": "ous", "ization": "ize", "ation": "ate", "ator": "ate",
    "alism": "al", "iveness": "ive", "fulness": "ful", "ousness": "ous", "aliti": "al", "iviti": "ive",
    "biliti": "ble",
}  # fmt: skip
THIRD = {
    "icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": "",
}  # fmt: skip
FOURTH = re.compile(
    "(?:al|ance|ence|er|ic|able|ible|ant|ement|ment|ent|(?<=[st])ion|ou|ism|ate|iti|ous|ive|ize)$"
)
SECOND_ENDING = re.compile(f"(?:{'|'.join(sorted(SECOND, key=len, reverse=True))})$")
THIRD_ENDING = re.compile(f"(?:{'|'.join(THIRD)})$")


def stem(word: str) -> str:
    """The stem of a word in small letters; other scripts and short words stay as they are.

    >>> stem("paintings"), stem("relational"), stem("2023")
    ('paint', 'relat', '2023')
    """
    if len(word) < 3 or not (word.isascii() and word.isalpha()):
        return word
    word = _past(_plural(word))
    if word.endswith("y") and HAS_VOWEL.search(word[:-1]):
        word = word[:-1] + "i"
    word = _exchanged(word, SECOND_ENDING, SECOND)
    word = _exchanged(word, THIRD_ENDING, THIRD)
    found = FOURTH.search(word)
    if found and _measure(word[: found.start()]) > 1:
        word = word[: found.start()]
    return _without_e(word)


def _measure(word: str) -> int:
    """How many times vowels are followed by consonants."""
    return len(MEASURE.findall(word))


def _plural(word: str) -> str:
    if word.endswith(("sses", "ies")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _past(word: str) -> str:
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) else word
    ending = next((end for end in ("ed", "ing") if word.endswith(end)), "")
    rest = word.removesuffix(ending)
    if not ending or not HAS_VOWEL.search(rest):
        return word
    if rest.endswith(("at", "bl", "iz")):
        return rest + "e"
    if DOUBLE.search(rest) and rest[-1] not in "lsz":
        return rest[:-1]
    return rest + "e" if _measure(rest) == 1 and SHORT.search(rest) else rest


def _exchanged(word: str, endings: re.Pattern[str], instead: dict[str, str]) -> str:
    found = endings.search(word)
    if found and _measure(word[: found.start()]):
        return word[: found.start()] + instead[found[0]]
    return word


def _without_e(word: str) -> str:
    if word.endswith("e"):
        rest = word[:-1]
        measure = _measure(rest)
        if measure > 1 or (measure == 1 and not SHORT.search(rest)):
            word = rest
    return word[:-1] if word.endswith("ll") and _measure(word) > 1 else word
