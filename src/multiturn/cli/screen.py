"""Where does output go, and in which form? Text for a person at a terminal, plain text for a pipe, JSON
lines for a program; what is said about the work goes to standard error."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..phrases import phrase

__all__ = ["Screen", "clean", "width"]


@dataclass(frozen=True, slots=True)
class Screen:
    """How this run speaks.

    ``as_json``: JSON lines. ``rich``: a person reads standard output on a terminal that can show more
    than plain text. ``asks``: a person types on standard input and sees the answers.
    """

    language: str = "en"
    as_json: bool = False
    rich: bool = False
    asks: bool = False

    @classmethod
    def of(cls, language: str, *, as_json: bool, environment: Mapping[str, str] = os.environ) -> Screen:
        """The screen of this process."""
        typed, shown = _terminal(sys.stdin), _terminal(sys.stdout)
        dumb = bool(environment.get("NO_COLOR")) or environment.get("TERM") == "dumb"
        return cls(
            language, as_json, rich=shown and not dumb and not as_json, asks=typed and shown and not as_json
        )

    def say(self, code: str, /, **figures: object) -> str:
        """A sentence of the table in the language of this screen."""
        return phrase(code, self.language, **figures)

    def line(self, text: str = "") -> None:
        """A line of output."""
        sys.stdout.write(clean(text) + "\n")

    def piece(self, text: str) -> None:
        """A piece of output, shown at once."""
        sys.stdout.write(clean(text))
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """A line about the work, on standard error."""
        sys.stdout.flush()
        dim, plain = ("\x1b[2m", "\x1b[0m") if self.rich and _terminal(sys.stderr) else ("", "")
        sys.stderr.write(f"{dim}{clean(text)}{plain}\n")
        sys.stderr.flush()

    def quiet(self, text: str) -> None:
        """A line beside an answer: dim on a terminal, on standard error where output is piped."""
        if self.rich:
            sys.stdout.write(f"\x1b[2m{clean(text)}\x1b[0m\n")
            sys.stdout.flush()
        elif _terminal(sys.stdout):
            self.line(text)
        else:
            self.note(text)

    def record(self, record: Mapping[str, object]) -> None:
        """One JSON line."""
        sys.stdout.write(clean(json.dumps(record, ensure_ascii=False)) + "\n")
        sys.stdout.flush()

    def table(
        self, heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()
    ) -> None:
        """Rows under their heads, as wide as they need; ``right`` are the columns of figures."""
        cells = [[self.say(f"column.{head}") for head in heads], *([clean(c) for c in row] for row in rows)]
        widths = [max(width(row[i]) for row in cells) for i in range(len(heads))]
        for number, row in enumerate(cells):
            padded = [
                _padded(c, w, right=i in right) for i, (c, w) in enumerate(zip(row, widths, strict=True))
            ]
            text = "  ".join(padded).rstrip()
            sys.stdout.write((f"\x1b[2m{text}\x1b[0m" if self.rich and not number else text) + "\n")


def _terminal(stream: object) -> bool:
    check = getattr(stream, "isatty", None)
    return bool(check and check())


def clean(text: str) -> str:
    """``text`` without control characters where a terminal would obey them; elsewhere unchanged.

    What a model writes or another person stored must not move the cursor or rename the window.
    """
    if not (_terminal(sys.stdout) or _terminal(sys.stderr)) or text.isprintable():
        return text
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")


def width(text: str) -> int:
    """How many cells a text takes on a terminal.

    >>> width("ab"), width("多轮")
    (2, 4)
    """
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def _padded(text: str, cells: int, *, right: bool) -> str:
    space = " " * (cells - width(text))
    return space + text if right else text + space
