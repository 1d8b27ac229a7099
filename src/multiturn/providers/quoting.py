"""Which sentence of these messages answers the question? By words alone, in Chinese and English.

Pure: messages as chat completions writes them go in, a sentence comes out. Only what the user or the
instructions *state* may be quoted: never a question, never the assistant.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import log
from typing import Any, NamedTuple

from ..phrases import phrase
from .concepts import CONCEPTS, FILLER, RELATIONS, Concept

__all__ = [
    "CJK",
    "LATIN",
    "MARK",
    "SPEAKER",
    "Statement",
    "answer",
    "best",
    "is_question",
    "sentences",
    "statements",
    "text_of",
    "tongue",
    "words",
]

QUOTABLE = frozenset(("user", "system", "developer"))
PIECE = re.compile(r".*?(?:[。！？!?…]+[”’」』\"')）]*|[.;；](?=\s|$)[”’\"')]*|\n|$)", re.DOTALL)
CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]+")
LATIN = re.compile(r"[^\W\d_\u3400-\u9fff\uf900-\ufaff]+|\d+(?:[.:]\d+)*")
SUFFIX = re.compile(r"(?:'s|ings?|ed|e?s|e|y|ies)$")
SPEAKER = re.compile(
    r"^[\s>*\-•]*(?:\[[^\]\n]*\]\s*|\([^)\n]*\)\s*)*"
    r"(?:(?P<user>user|human|用户|我方)|(?P<other>assistant|ai|bot|tool|model|助手|助理|模型|工具))"
    r"(?:\s*[\[(（][^\])）\n]*[\])）])?\s*[:：]\s*",
    re.IGNORECASE,
)
MARK = re.compile(r"^\s*(?:```.*|~~~.*|</?[A-Za-z_][^<>]*>|[-=*_]{3,}|\[/?[^\]]*\])\s*$")
OPENING = re.compile(r"\s*(?:(?P<bar>`{3,}|~{3,}).*|<(?P<tag>[A-Za-z_][\w-]*)(?:\s[^<>]*)?>\s*)")
HEADING = re.compile(
    r"^\s*(?:another conversation, |另一个对话，)?(?:turns? \d+(?:–\d+)?|第 \d+(?:–\d+)? 轮)(?:[,，].*)?$",
    re.IGNORECASE,
)
"""Where and when a quotation was said: nobody said that."""
ASKING = re.compile(
    r"什么|甚么|啥|谁|哪[里儿个位天年些家种款国一座本部]|在哪|几[岁点号月楼]|星期几|周几|第几|多少|多大|多久|多远|多高|怎么|怎样|如何|为何"
    r"|何时|是否|是不是|有没有|能不能|会不会|记不记得|知不知道|[吗呢么]\W*$"
)
NOT_ASKING = re.compile(
    r"不知道|不清楚|不记得|没什么|什么都|无论|不管|不论|怎么都|如何都|谁都|为什么不|知道了|告诉我.{0,4}了"
)
TELL = re.compile(
    r"^\W*(?:请问|请?告诉我|说说|还?记得|猜猜|(?:please |can you )*(?:tell me|remind me|recall)\b)",
    re.IGNORECASE,
)
OPENS_QUESTION = re.compile(
    r"^\W*(?:(?:and|but|so|ok|okay|well|hey|hi|hello|please)\b[\s,]+)*"
    r"(?:what|what's|who|who's|whom|whose|where|where's|when|when's|which|why|how|how's"
    r"|(?:do|does|did|is|are|am|was|were|can|could|would|will|have|has|should|shall)"
    r" (?:i|you|we|they|he|she|it|the|my|your|there|this|that)\b)",
    re.IGNORECASE,
)
NEAR_ENOUGH = 0.34
"""The share of a question's words a sentence must hold to be its answer."""


class Statement(NamedTuple):
    """A sentence that may be quoted, and the message it stands in, counted from 1."""

    place: int
    sentence: str


def answer(messages: Sequence[Mapping[str, Any]]) -> str:
    """What the demo model says to these messages.

    >>> answer([{"role": "user", "content": "我今年 27 岁。"}, {"role": "user", "content": "我几岁？"}])
    '在第 1 条消息里找到：我今年 27 岁。'
    """
    said = _input(messages)
    language = tongue(said)
    questions = [sentence for sentence in sentences(said) if is_question(sentence)]
    if not questions:
        return phrase("demo.noted", language)
    found = best(" ".join(questions), statements(messages))
    if found is not None:
        return phrase("demo.found", language, place=found.place, sentence=found.sentence)
    if len(messages) == 1:
        return phrase("demo.missing_one", language)
    return phrase("demo.missing", language, messages=len(messages))


# -------------------------------------------------------------------------------- reading messages


def text_of(message: Mapping[str, Any]) -> str:
    """The words of a message, list content and the parts of DashScope's own protocol included."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return ""
    parts = (part.get("text") for part in content if isinstance(part, Mapping))
    return "\n".join(part for part in parts if isinstance(part, str))


def _input(messages: Sequence[Mapping[str, Any]]) -> str:
    """What the user says now: the last user message without the blocks quoted in it; nothing while a
    tool's result is the last word."""
    last = next((m for m in reversed(messages) if m.get("role") in {"user", "tool"}), None)
    if last is None or last.get("role") == "tool":
        return ""
    text = text_of(last)
    return _unfenced(text).strip() or text


def _unfenced(text: str) -> str:
    """``text`` without fenced blocks and quoted lines; a block that is never closed is none."""
    kept: list[str] = []
    block: list[str] = []
    closing = ""
    for line in text.split("\n"):
        opening = OPENING.fullmatch(line)
        if closing:
            block.append(line)
            if line.strip() == closing:
                closing, block = "", []
        elif opening:
            closing, block = opening["bar"] or f"</{opening['tag']}>", [line]
        elif not line.lstrip().startswith(">"):
            kept.append(line)
    return "\n".join([*kept, *block])


def statements(messages: Sequence[Mapping[str, Any]]) -> list[Statement]:
    """Everything that may be quoted, in order."""
    return [
        Statement(place, sentence)
        for place, message in enumerate(messages, 1)
        if message.get("role") in QUOTABLE
        for sentence in _spoken(text_of(message))
        if not is_question(sentence)
    ]


def _spoken(text: str) -> Iterator[str]:
    """The sentences of the user: marks of quoted blocks and lines of other speakers left out."""
    theirs = False
    for line in text.split("\n"):
        if MARK.match(line) or HEADING.match(line):
            theirs = False
            continue
        speaker = SPEAKER.match(line)
        if speaker:
            theirs = speaker["other"] is not None
        if not theirs:
            yield from sentences(line[speaker.end() :] if speaker else line.lstrip("> "))


def sentences(text: str) -> list[str]:
    """``text`` in sentences, each with its full stop.

    >>> sentences("你好。我今年 27 岁！ I am 1.80 m tall.")
    ['你好。', '我今年 27 岁！', 'I am 1.80 m tall.']
    """
    pieces = (piece.strip() for piece in PIECE.findall(text))
    return [piece for piece in pieces if any(letter.isalnum() for letter in piece)]


def is_question(sentence: str) -> bool:
    """Whether a sentence asks rather than states.

    >>> is_question("我几岁"), is_question("我今年 27 岁"), is_question("Tell me my name.")
    (True, False, True)
    """
    if re.search(r"[?？]\W*$", sentence):
        return True
    if TELL.match(sentence) or OPENS_QUESTION.match(sentence):
        return True
    return bool(ASKING.search(sentence)) and not NOT_ASKING.search(sentence)


def tongue(text: str) -> str:
    """``"zh"`` where Chinese is written, else ``"en"``."""
    return "zh" if CJK.search(text) else "en"


# ---------------------------------------------------------------------------------------- scoring


def words(text: str) -> Counter[str]:
    """What a text is about: stems, numbers, Chinese characters and pairs of them; filler left out.

    >>> sorted(words("I liked the film"))
    ['film', 'lik']
    """
    plain = FILLER.sub(" ", text.lower())
    found = Counter(_stem(word) for word in LATIN.findall(plain))
    for run in CJK.findall(plain):
        found.update(run[i : i + 2] for i in range(len(run) - 1)) if len(run) > 1 else found.update(run)
    return found


def _stem(word: str) -> str:
    word = word.replace("our", "or") if len(word) > 4 else word
    stem = SUFFIX.sub("", word)
    return stem if len(stem) > 2 else word


def best(question: str, candidates: Sequence[Statement]) -> Statement | None:
    """The statement that answers ``question`` best, or ``None`` when none does. Of equally good ones the
    newest, so that a correction wins."""
    asked = [concept for concept in CONCEPTS if concept.asked.search(question)]
    topic = question
    for concept in asked:
        topic = concept.asked.sub(" ", topic)
    wanted = words(topic)
    bags = [words(candidate.sentence) for candidate in candidates]
    weigh = _rarity(bags)
    total = sum(map(weigh, wanted))
    relations = set(RELATIONS.findall(question.lower()))
    found, top = None, 0.0
    for number, (candidate, bag) in enumerate(zip(candidates, bags, strict=True)):
        covered = sum(weigh(word) for word in wanted if _holds(bag, word)) / total if total else None
        told = _told(asked, candidate.sentence)
        strangers = set(RELATIONS.findall(candidate.sentence.lower())) - relations
        fit = _score(covered, told)
        if not fit:
            continue
        score = (
            fit * (0.5 if strangers else 1.0) - 0.001 * min(len(bag), 20) + 0.02 * number / len(candidates)
        )
        if score > top:
            found, top = candidate, score
    return found


def _holds(bag: Counter[str], word: str) -> bool:
    """Whether a sentence has this word; a single character may stand in a pair."""
    return word in bag or (len(word) == 1 and bool(CJK.match(word)) and any(word in pair for pair in bag))


def _told(asked: Sequence[Concept], sentence: str) -> float | None:
    """How well a sentence tells what was asked for; ``None`` where no kind of fact was recognised."""
    if not asked:
        return None
    special = [concept.told_by(sentence) for concept in asked if not concept.general]
    general = max((concept.told_by(sentence) for concept in asked if concept.general), default=0.0)
    if not special:
        return general
    return max(special) and max(special) + 0.2 * general


def _score(covered: float | None, told: float | None) -> float:
    """How well a sentence fits: ``covered`` of the question's own words (``None``: it has none), and
    ``told`` the kind of thing that was asked for (``None``: no kind was recognised)."""
    if told is None:
        return covered if covered is not None and covered >= NEAR_ENOUGH else 0.0
    if covered is None:
        return told
    if covered < NEAR_ENOUGH:
        return 0.0
    return told + covered if told else covered * 0.8


def _rarity(bags: Iterable[Counter[str]]) -> Callable[[str], float]:
    """A function from a word to its weight: rare words say more."""
    bags = list(bags)
    holders: Counter[str] = Counter()
    for bag in bags:
        holders.update(bag.keys())
    return lambda word: log(1 + (len(bags) + 1) / (holders[word] + 0.5))
