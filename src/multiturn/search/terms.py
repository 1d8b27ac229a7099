"""Which words of a text can be searched for? Terms of messages and of questions.

Latin words are stemmed and those that say nothing dropped. Chinese and the like, written without
spaces, are taken as single characters and as pairs of neighbours, which needs no dictionary. A term
is a number of 28 bits: a hash of its letters.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import lru_cache
from operator import add
from zlib import crc32

from .dates import Named, dates_in
from .stems import stem

__all__ = ["NAMES", "Query", "names", "query", "searchable", "terms"]

BITS = 28
NAMES = 511 << 19
"""Terms from here on are names of speakers; words are below."""
LENGTH = 50_000
"""Characters of one message that are searched."""
SINGLE = 0.5
"""Weight of a single character beside a pair or a word."""

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
TOKEN = re.compile(rf"[{UNSPACED}]+|[^\W_{UNSPACED}]+(?:['’][^\W_{UNSPACED}]+)?")
FIRST_UNSPACED = UNSPACED[0]
IS_UNSPACED = re.compile(f"[{UNSPACED}]")
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a about above after again all am an and any are as at be because been before being below between
    both but by can could did do does doing don down during each few for from further had has have
    having he her here hers him his how i if in into is it its just me more most my no nor not now of
    off on once only or other our out over own s same she should so some such t than that the their them
    then there these they this those through to too under until up very was we were what when where
    which while who whom why will with would you your ve re ll m d im us also really like get got""",
    )
)
STOP_CHARACTERS = frozenset(
    "的了是吗呢吧啊呀哦嗯我你您他她它们这這那有在和就也都很不还會会要到得着过過个個么麼什哪谁誰怎与與及或但而把被给給对對从從向让讓嗎還們"
)

REFERS_BACK = re.compile(
    r"""之前|以前|上次|上回|上一次|先前|早先|曾经|當時|当时|那次|那天|那时|记得|記得|忘了|忘记|来着|來著
    |(?:聊|说|說|提|讲|講|谈|談|问|問|推荐|分享|告诉|答应|介绍)(?:起|到|及)?[过過]
    |知道我|我(?:叫什么|是谁|几岁|多大|住哪|住在哪|的[^，。？！\s]{1,8}(?:什么|谁|哪|多少|几))
    |我(?:最|不|平时|一般)*(?:喜欢|爱|讨厌|害怕|擅长)[^，。？！\s]{0,6}(?:什么|谁|哪)
    |\b(?:earlier|previously|last\ time|back\ then|remember|recall|remind|forgot|forget|ago)\b
    |\b(?:you|i|we)\ (?:said|told|mentioned|recommended|suggested|talked|discussed|spoke|agreed)\b
    |\b(?:did|have|had)\ (?:i|we|you)\b|\bknow\ (?:my|me|how\ old\ i|what\ my|where\ i|who\ i|what\ i)\b
    |\b(?:what|who|where|when|how\ old|how\ many|which)(?:\ is|'s|\ are|\ was|\ were|\ am)\ (?:my|our|i)\b
    |\b(?:when|where|what|who|whom|whose|which|why|how)\b[^?.!]*\b(?:did|was|were|had|has|have)\b""",
    re.VERBOSE,
)
"""Signs that a question asks for something that was said or done before."""
AT_HAND = re.compile(
    r"""这|這|那(?:家|里|裡|边|邊|儿|兒|个|個|么|麼)|它|[他她]家|该|該|谢谢|謝謝|感谢|感謝
    |我[想要](?!起|问|問|知道|确认|確認)|[帮幫给給]我|推荐|推薦|[请請](?!问|問)
    |\b(?:this|these|here|it|thanks?|thank\ you|please|recommend|suggest)\b
    |\bi(?:\ want|'d\ like|\ would\ like)\b""",
    re.VERBOSE,
)
"""Signs that it is about what was said a moment ago, wants something new, or nothing any more."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question, ready to be searched for.

    ``terms`` are its terms with their weights, ``names`` the same words as names of speakers, ``dates``
    the stretches of time it names (from, up to; seconds since 1970), ``refers_back`` whether it asks
    for something that was said before, ``at_hand`` whether it points at what was said a moment ago, or
    wants something new. ``undated`` are the terms without the words of the dates (``None``: it names
    none). ``loose`` are the terms that join what need not belong together.
    """

    text: str
    terms: Mapping[int, float] = field(default_factory=dict)
    dates: tuple[tuple[float, float], ...] = ()
    refers_back: bool = False
    names: frozenset[int] = frozenset()
    at_hand: bool = False
    loose: frozenset[int] = frozenset()
    undated: Mapping[int, float] | None = None


def query(text: str, *, now: float, opening: float | None = None, zone: tzinfo | None = None) -> Query:
    """A question, ready to be searched for.

    ``now`` is when it is asked, for "yesterday"; ``opening`` when the conversation began, for dates
    without a year; ``zone`` where it is asked (``None``: the zone of this machine).

    >>> query("我们之前聊过什么？", now=1.7e9).refers_back
    True
    """
    text = text[:LENGTH]
    plain = _plain(text)
    named = [each for each in dates_in(plain, now=now, opening=opening, zone=zone) if each.stretches]
    dates = {stretch for each in named for stretch in each.stretches}
    words = Counter(_words(plain))
    weights = _weights(words)
    return Query(
        text,
        weights,
        dates=tuple(sorted(dates)),
        refers_back=bool(dates) or REFERS_BACK.search(plain) is not None,
        names=frozenset(_name(word) for word in words if not _is_single(word)),
        at_hand=AT_HAND.search(plain) is not None,
        loose=frozenset(_term(word) for word in words if _is_loose(word)),
        undated=_weights(Counter(_words(_without(plain, named)))) if named else None,
    )


def searchable(content: object) -> str:
    """The words of a message's content (as OpenAI's JSON writes it): its texts; empty where it has none.

    >>> searchable([{"type": "text", "text": "hello"}, {"type": "image_url"}])
    'hello'
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def terms(text: str) -> Mapping[int, int]:
    """The terms of a text and how often each stands in it.

    >>> terms("Melanie's paintings, painted") == terms("melanie paint PAINT")
    True
    """
    counts = Counter(map(TERMS.__getitem__, _pieces(text[:LENGTH])))
    counts.pop(SILENT, 0)
    return counts


def names(name: str) -> frozenset[int]:
    """The terms by which a speaker is found."""
    return frozenset(_name(word) for word in _words(name[:100]) if not _is_single(word))


def _weights(words: Mapping[str, int]) -> dict[int, float]:
    weights: dict[int, float] = {}
    for word, count in words.items():
        term = TERMS[word]
        weights[term] = weights.get(term, 0.0) + count * (SINGLE if _is_single(word) else 1.0)
    return weights


def _without(text: str, named: Sequence[Named]) -> str:
    """The text without the words of its dates; what stood on both sides stays apart."""
    for each in sorted(named, reverse=True, key=lambda one: one.start):
        text = f"{text[: each.start]} {text[each.end :]}"
    return text


def _plain(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).lower()


def _words(text: str) -> list[str]:
    return [piece for piece in _pieces(text) if TERMS[piece] != SILENT]


def _pieces(text: str) -> list[str]:
    """Stems of words, characters and pairs; characters and pairs may say nothing."""
    pieces: list[str] = []
    for token in TOKEN.findall(_plain(text)):
        if token[0] < FIRST_UNSPACED or not IS_UNSPACED.match(token):
            pieces += _spaced(token)
        else:
            pieces += token
            pieces += map(add, token, token[1:])
    return pieces


@lru_cache(maxsize=1 << 14)
def _spaced(token: str) -> tuple[str, ...]:
    """The stem of a word; of one that says nothing, none."""
    word = token.replace("’", "'").removesuffix("'s").replace("'", "")
    return () if word in STOP_WORDS else (stem(word),)


@lru_cache(maxsize=1 << 14)
def _is_single(word: str) -> bool:
    return len(word) == 1 and word >= FIRST_UNSPACED and IS_UNSPACED.match(word) is not None


def _is_loose(word: str) -> bool:
    """Whether it is a pair of a character that says something and one that does not: 店啊, 的周."""
    return len(word) == 2 and not STOP_CHARACTERS.isdisjoint(word)


def _term(word: str) -> int:
    number = crc32(word.encode("utf-8", "replace")) >> (32 - BITS)
    return number if number < NAMES else number - NAMES


class _Terms(dict[str, int]):
    """The terms of pieces that were met lately; `SILENT` of one that says nothing. One look in a plain
    dictionary costs half of one in an `lru_cache`, and there are some sixty in a message."""

    def __missing__(self, piece: str) -> int:
        if len(self) >= KEPT:
            self.clear()
        self[piece] = term = SILENT if STOP_CHARACTERS.issuperset(piece) else _term(piece)
        return term


KEPT = 1 << 15
SILENT = -1
TERMS = _Terms()


@lru_cache(maxsize=1 << 12)
def _name(word: str) -> int:
    return NAMES + (crc32(word.encode("utf-8", "replace")) >> 13)
