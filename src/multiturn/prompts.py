"""In which words is a model asked to write something for us? The texts stand in ``prompts.toml``, in
English and Chinese; the conversation is told as quoted data between tags."""

from __future__ import annotations

import pkgutil
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

from .messages import Audio, File, Image, Message, Opaque, Part, Text, ToolCall, ToolResult, Video

__all__ = [
    "Asked",
    "asked",
    "continued",
    "day_of",
    "is_refusal",
    "is_request",
    "language_of",
    "narrated",
    "read",
]

LANGUAGES = ("en", "zh")
IDEOGRAPH = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
KANA = re.compile(r"[\u3040-\u30ff]")
WORD = re.compile(r"[^\W\d_\u3400-\u9fff\uf900-\ufaff]+")
SO_FAR, TURNS = "summary-so-far", "turns"
BLOCK = re.compile(
    rf"^<(?P<tag>(?P<name>{SO_FAR}|{TURNS})(?:-\d+)?)>\n(?P<text>.*?)\n</(?P=tag)>$", re.DOTALL | re.MULTILINE
)
INDENT = "\n  "
LONGEST_BEGINNING = 60
LONGEST_CALL = 300
LONGEST_RESULT = 600
PARTS: Mapping[type[Part], str] = {Image: "image", Audio: "audio", Video: "video", File: "file"}


class Asked(NamedTuple):
    """What a request for a summary holds: the summary so far (empty: none), the turns, the language."""

    so_far: str
    turns: str
    language: str


# ----------------------------------------------------------------------------------------- the request


def asked(request: Asked, length: int) -> list[dict[str, str]]:
    """The messages that ask for a summary of at most ``length`` words or Chinese characters. What the
    conversation holds stands between tags that do not occur in it.

    >>> asked(Asked("", "[turn 1] user: hello", "en"), 100)[1]["content"].splitlines()[0]
    '<turns>'
    """
    blocks = [_fenced(SO_FAR, request.so_far)] if request.so_far else []
    blocks += [_fenced(TURNS, request.turns), _text("summary.request", request.language)]
    instructions = _text("summary.instructions", request.language).strip().format(length=length)
    return [
        {"role": "system", "content": instructions},
        {"role": "user", "content": "\n\n".join(blocks)},
    ]


def continued(language: str, upto: int, words: str, length: int) -> str:
    """The words that ask for a summary at the end of the conversation itself: of the turns up to ``upto``,
    in which the user says ``words``.

    >>> is_request([{"role": "user", "content": continued("en", 3, "I am 27.", 100)}])
    True
    """
    beginning = " ".join(words.split())[:LONGEST_BEGINNING].replace('"', "'")
    return _text("summary.continued", language).strip().format(upto=upto, words=beginning, length=length)


def is_request(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether these messages ask for a summary, by `asked` or by `continued`."""
    said = messages[-1].get("content") if messages else None
    return isinstance(said, str) and (
        any(_text("summary.continued", language).strip().partition("{")[0] in said for language in LANGUAGES)
        or read(messages) is not None
    )


def _fenced(name: str, text: str) -> str:
    """``text`` between tags; where the closing tag stands in it, they get a number."""
    tag, number = name, 2
    while f"</{tag}>" in text:
        tag, number = f"{name}-{number}", number + 1
    return f"<{tag}>\n{text}\n</{tag}>"


def read(messages: Sequence[Mapping[str, Any]]) -> Asked | None:
    """What a request made by `asked` holds; ``None`` for any other list of messages.

    >>> read(asked(Asked("Ann is 27.", "[turn 1] user: hello", "en"), 100)).so_far
    'Ann is 27.'
    """
    head = messages[0].get("content") if len(messages) == 2 else None
    for language in LANGUAGES:
        opening = _text("summary.instructions", language).strip().partition("\n")[0]
        if isinstance(head, str) and head.startswith(opening):
            blocks = {found["name"]: found["text"] for found in BLOCK.finditer(str(messages[1]["content"]))}
            return Asked(blocks.get(SO_FAR, ""), blocks.get(TURNS, ""), language)
    return None


def is_refusal(answer: str) -> bool:
    """Whether an answer begins like one that refuses to do what was asked.

    >>> is_refusal("I’m sorry, I can't help with that."), is_refusal("The user is sorry to be late.")
    (True, False)
    """
    words = answer.strip().lower().replace("\u2019", "'")
    return words.startswith(tuple(_texts()["refusal"]["beginnings"]))


def language_of(words: str) -> str:
    """The language to ask in: ``"zh"`` where at least as many Chinese characters as other words stand,
    else ``"en"``.

    >>> language_of("我想买 iPhone 15 Pro Max。"), language_of("The word 好 means good.")
    ('zh', 'en')
    """
    if KANA.search(words):
        return "en"
    characters = len(IDEOGRAPH.findall(words))
    return "zh" if characters and characters >= len(WORD.findall(words)) else "en"


# -------------------------------------------------------------------------------------------- a turn


def narrated(
    number: int,
    messages: Iterable[Message],
    language: str,
    *,
    longest: int = 8_000,
    day: str = "",
    stopped: bool = False,
) -> str:
    r"""A turn as a line for each message: who said what. Reasoning is never told; calls and results are
    shortened, words beyond ``longest`` characters too; what is no text is named. Further lines of a message
    are indented, so that nobody can be made to say what they did not.

    >>> print(narrated(3, [Message("user", (Text("One.\nassistant: two."),))], "en"))
    [turn 3] user: One.
      assistant: two.
    """
    label = _text("turn.first" if day else "turn.next", language).format(number=number, day=day)
    lines = [
        _text("turn.line", language).format(
            turn=label, speaker=_speaker(message, language), words=INDENT.join(words.splitlines())
        )
        for message in messages
        if (words := " ".join(_words(message, language, longest)))
    ]
    if lines and stopped:
        lines[-1] += " " + _text("turn.stopped", language)
    return "\n".join(lines)


def day_of(message: Message) -> str:
    """The day on which it was said (UTC); empty where the time is unknown."""
    if message.created_at is None:
        return ""
    try:
        return datetime.fromtimestamp(message.created_at, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):  # imported times may be anything
        return ""


def _speaker(message: Message, language: str) -> str:
    speaker = _text(f"speaker.{message.role}", language)
    if not message.name:
        return speaker
    return _text("turn.named", language).format(speaker=speaker, name=" ".join(message.name.split()))


def _words(message: Message, language: str, longest: int) -> Iterator[str]:
    for part in message.parts:
        match part:
            case Text(text):
                words = _shortened(text.strip(), longest, language)
            case ToolResult(_, text):
                words = _shortened(text.strip(), min(longest, LONGEST_RESULT), language)
            case ToolCall(_, name, arguments):
                told = _shortened(arguments, min(longest, LONGEST_CALL), language)
                words = _text("turn.call", language).format(name=name, arguments=told)
            case Image() | Audio() | Video() | File() | Opaque():
                words = _text(f"part.{PARTS.get(type(part), 'other')}", language)
            case _:  # reasoning is never told
                words = ""
        if words:
            yield words


def _shortened(text: str, longest: int, language: str) -> str:
    """Beginning and end of a text that is too long."""
    if len(text) <= longest:
        return text
    half = longest // 2
    mark = _text("turn.shortened", language).format(count=f"{len(text) - 2 * half:,}")
    return text[:half] + mark + text[len(text) - half :]


# --------------------------------------------------------------------------------------------- texts


def _text(code: str, language: str) -> str:
    section, _, name = code.partition(".")
    text: str = _texts()[section][name][LANGUAGES.index(language)]
    return text


@cache
def _texts() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads((pkgutil.get_data(__package__ or "", "prompts.toml") or b"").decode())
