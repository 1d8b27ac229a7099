"""How many tokens is this exactly, where the model's vocabulary is at hand?

A vocabulary is a local file; nothing is ever downloaded. It is looked for where the operator says, in
``TIKTOKEN_CACHE_DIR``, in an installed ``dashscope`` (Qwen's) and in an installed ``litellm`` (OpenAI's);
neither package is imported. The extra ``tokenizers`` brings the program that reads it.
"""

from __future__ import annotations

import base64
import binascii
import os
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from .catalog import Catalog
from .errors import SettingInvalid
from .messages import Entry
from .path import MessageRow, TurnRow
from .path import Path as History
from .phrases import Reason, system_reason
from .tokens import MESSAGE_OVERHEAD, count_message, count_tools
from .window import Material

__all__ = ["Counter", "counter", "locate", "recounted"]

LONGEST = 100_000
"""Characters that are encoded at once: longer texts can overflow the stack of the program that does it."""
REMEMBERED = 100_000
"""Messages whose counts are remembered."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """One vocabulary: its file, the name tiktoken's cache gives that file (the SHA-1 of its address), how
    text is split before it is looked up, whether it is composed first (NFC), and what role and delimiters
    of a message cost."""

    file: str
    cached: str
    pattern: str
    composed: bool = False
    overhead: int = 4


VOCABULARIES: Mapping[str, Vocabulary] = {
    "qwen": Vocabulary(
        "qwen.tiktoken",
        "",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+",
        composed=True,
        overhead=5,
    ),
    "o200k": Vocabulary(
        "o200k_base.tiktoken",
        "fb374d419588a4632f3f557e76b4b70aebbca790",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
    "cl100k": Vocabulary(
        "cl100k_base.tiktoken",
        "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$"
        r"|\s*[\r\n]|\s+(?!\S)|\s",
    ),
}
"""By the name the catalogue uses (`Card.tokenizer`)."""
PACKAGES = (("dashscope", "resources"), ("litellm", "litellm_core_utils/tokenizers"))
"""Installed packages that bring vocabularies, and where they keep them."""


@dataclass(slots=True)
class Counter:
    """Counts messages by one vocabulary; made by `counter`. Call it with an OpenAI-style message.

    ``text`` counts words, ``body`` a message as JSON (remembered: the same message is counted once).
    """

    name: str
    text: Callable[[str], int]
    overhead: int = MESSAGE_OVERHEAD
    _remembered: dict[int, int] = field(default_factory=dict)

    def __call__(self, message: Mapping[str, Any]) -> int:
        """Tokens of a message."""
        return count_message(message, self.text) - MESSAGE_OVERHEAD + self.overhead

    def body(self, body: bytes) -> int:
        """Tokens of a message given as JSON."""
        key = hash(body)  # 64 bits with a secret: two messages that share it would share a count, no more
        tokens = self._remembered.get(key)
        if tokens is None:
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            tokens = self._remembered[key] = self(orjson.loads(body))
        return tokens

    def bodies(self, bodies: Sequence[bytes]) -> int:
        """Tokens of several messages given as JSON."""
        return sum([self.body(body) for body in bodies])

    def tools(self, tools: Sequence[Mapping[str, Any]]) -> int:
        """Tokens of tool definitions."""
        return count_tools(tools, self.text)


def counter(
    model: str,
    *,
    path: str | os.PathLike[str] | None = None,
    environment: Mapping[str, str] | None = None,
    catalog: Catalog | None = None,
) -> Counter | None:
    """The counter of a model's vocabulary, or ``None`` where no file of it is at hand (or ``tiktoken`` is
    not installed).

    ``path`` is a vocabulary file, or a folder of such files under their own names (``qwen.tiktoken``,
    ``o200k_base.tiktoken``, ``cl100k_base.tiktoken``). Models whose makers publish none are counted by
    Qwen's, which is near. Raises `ModelUnknown`, and `SettingInvalid` for a file that is no vocabulary.

    Use it wherever a counter is taken: ``fit(messages, policy, count=counter("qwen/qwen-plus"))``.
    """
    name = (catalog or Catalog()).card(model).tokenizer
    file = locate(name, path, environment)
    if file is None or find_spec("tiktoken") is None:
        return None
    return Counter(name, _words(file, name), VOCABULARIES[name].overhead)


def locate(
    name: str,
    path: str | os.PathLike[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Path | None:
    """The file of a vocabulary, the first that is there: ``path`` (a file, or a folder), the folder that
    ``TIKTOKEN_CACHE_DIR`` names, an installed dashscope, an installed litellm. Raises `SettingInvalid`
    where ``path`` names nothing."""
    vocabulary = VOCABULARIES.get(name)
    if vocabulary is None:
        return None
    folders: list[Path] = []
    if path is not None and os.fspath(path):
        given = Path(path).expanduser()
        if given.is_file():
            return given
        if not given.is_dir():
            raise SettingInvalid(Reason("why.vocabulary_path", path=given), name="vocabulary")
        folders.append(given)
    cache = (os.environ if environment is None else environment).get("TIKTOKEN_CACHE_DIR")
    folders += [Path(cache)] if cache else []
    folders += [folder for package, inside in PACKAGES for folder in _installed(package, inside)]
    names = [each for each in (vocabulary.file, vocabulary.cached) if each]
    return next((folder / each for folder in folders for each in names if (folder / each).is_file()), None)


def _installed(package: str, inside: str) -> list[Path]:
    """Where an installed package keeps its files; it is not imported."""
    spec = find_spec(package)
    return [Path(each, inside) for each in (spec.submodule_search_locations or ())] if spec else []


@lru_cache(maxsize=8)
def _words(file: Path, name: str) -> Callable[[str], int]:
    """What counts the tokens of a text."""
    import tiktoken

    vocabulary = VOCABULARIES[name]
    try:
        encode = tiktoken.Encoding(
            name, pat_str=vocabulary.pattern, mergeable_ranks=_ranks(file), special_tokens={}
        ).encode_ordinary
    except (OSError, ValueError, binascii.Error) as problem:
        why = Reason("why.vocabulary_file", file=file, problem=_told(problem))
        raise SettingInvalid(why, name="vocabulary") from problem

    def count(text: str) -> int:
        if vocabulary.composed and not text.isascii():
            text = unicodedata.normalize("NFC", text)
        if len(text) <= LONGEST:
            return len(encode(text))
        return sum(len(encode(text[at : at + LONGEST])) for at in range(0, len(text), LONGEST))

    return count


def _ranks(file: Path) -> dict[bytes, int]:
    """The file's lines: a token in base64 and its rank. (tiktoken's own reader would write a copy into its
    cache.)"""
    lines = [line.split() for line in file.read_bytes().splitlines() if line]
    ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in lines}
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        raise ValueError(Reason("why.vocabulary_bytes", count=len(missing)))
    return ranks


def _told(problem: Exception) -> object:
    """Why a file cannot be read, in the reader's language where we know it."""
    if isinstance(problem, OSError):
        return system_reason(problem)
    return problem.args[0] if problem.args and isinstance(problem.args[0], Reason) else problem


# ------------------------------------------------------------------------------------- windows


def recounted(material: Material, count: Counter) -> Material:
    """What a window is made of, counted by a vocabulary instead of as it is stored. Stored counts are
    estimates, whoever stores them: so a database can be shared by clients that count differently."""
    return material._replace(
        path=_path(material.path, count),
        instructions=[_entry(entry, count) for entry in material.instructions],
        opening=None if material.opening is None else _entry(material.opening, count),
        context=[_entry(entry, count) for entry in material.context],
        current=[_row(row, count) for row in material.current],
    )


def _path(path: History, count: Counter) -> History:
    rows = None if path.rows is None else [_row(row, count) for row in path.rows]
    turns = _ordinary(path, count) if rows is None else _turns(path.turns, rows)
    summary = path.summary
    if summary is not None:
        summary = replace(summary, tokens=count.text(summary.text))
    standing = [_row(row, count) for row in path.standing]
    current = [_row(row, count) for row in path.current]
    return path._replace(turns=turns, rows=rows, standing=standing, current=current, summary=summary)


def _ordinary(path: History, count: Counter) -> list[TurnRow]:
    """Turns (newest first) of which only the bodies (in time order) were read."""
    end, counted, quotes = len(path.bodies), [], dict(path.quotes)
    for turn in path.turns:
        tokens = count.bodies(path.bodies[end - turn.messages : end])
        quote = quotes.get(end - turn.messages)
        counted.append(turn._replace(tokens=tokens + (count.text(quote.decode()) if quote else 0)))
        end -= turn.messages
    return counted


def _turns(turns: Sequence[TurnRow], rows: Sequence[MessageRow]) -> list[TurnRow]:
    tokens: dict[int, int] = {}
    reasoning: dict[int, int] = {}
    for row in rows:
        tokens[row.turn] = tokens.get(row.turn, 0) + row.tokens
        reasoning[row.turn] = reasoning.get(row.turn, 0) + row.reasoning_tokens
    return [
        turn._replace(tokens=tokens.get(turn.number, 0), reasoning_tokens=reasoning.get(turn.number, 0))
        for turn in turns
    ]


def _row(row: MessageRow, count: Counter) -> MessageRow:
    tokens = count.body(row.body) + (count.text(row.quote.decode()) if row.quote else 0)
    return row._replace(tokens=tokens, reasoning_tokens=_thoughts(row.reasoning, count))


def _entry(entry: Entry, count: Counter) -> Entry:
    return entry._replace(tokens=count.body(entry.body), reasoning_tokens=_thoughts(entry.reasoning, count))


def _thoughts(reasoning: bytes | None, count: Counter) -> int:
    return count.text(reasoning.decode()) if reasoning else 0
