"""What do people read? Every sentence in English and Chinese, from one table (``phrases.toml``).

It deals in codes and figures only, so that everything above may ask it.
"""

from __future__ import annotations

import errno
import pkgutil
import tomllib
from collections.abc import Mapping
from functools import cache
from string import Formatter
from typing import Self

from .error import Error

__all__ = [
    "LANGUAGES",
    "Reason",
    "decision_reason",
    "error_sentence",
    "language",
    "phrase",
    "placeholders",
    "system_reason",
    "table",
]

LANGUAGES = ("en", "zh")
"""The languages of the table, in its order."""

Forms = tuple[str, ...]
"""One sentence, from its richest form to its barest."""


def phrase(code: str, language: str = "en", /, **figures: object) -> str:
    """The sentence ``code`` in ``language`` (``"en"`` or ``"zh"``; any other reads English), filled
    with ``figures``. Where it has several forms, the first is used whose figures are all given.

    A figure that is a `Reason` is told in the same language. Raises `KeyError` for a code the table does
    not hold, or when a figure of the barest form is missing.

    >>> phrase("decision.over_budget", "en", needed=9000, limit=8000)
    'the window would need 9,000 of 8,000 tokens'
    >>> phrase("decision.over_budget", "zh")
    '将超出预算'
    """
    forms = table()[code][language if language in LANGUAGES else "en"]
    figures = _in_language(language, figures)
    for form in forms[:-1]:
        if placeholders(form) <= figures.keys():
            try:
                return form.format_map(figures)
            except (TypeError, ValueError):  # a figure of another kind than the form expects
                continue
    return forms[-1].format_map(figures)


class Reason(str):
    """A part of a sentence that can be told in each language: as text it is English.

    >>> reason = Reason("why.shares_order", low=0.9, high=0.5)
    >>> reason, reason.told("zh")
    ('low (0.9) is above high (0.5)', 'low（0.9）高于 high（0.5）')
    """

    __slots__ = ("code", "figures")
    code: str
    figures: Mapping[str, object]

    def __new__(cls, code: str, /, **figures: object) -> Self:
        """The sentence ``code`` of the table, filled with ``figures``, which may be reasons too."""
        made = super().__new__(cls, phrase(code, "en", **figures))
        made.code, made.figures = code, figures
        return made

    def __getnewargs_ex__(self) -> tuple[tuple[str], Mapping[str, object]]:
        """A copy, or the way to another process, is made from the code again."""
        return (self.code,), self.figures

    def told(self, language: str) -> str:
        """The same in ``language``."""
        return phrase(self.code, language, **self.figures)


def _in_language(language: str, figures: Mapping[str, object]) -> dict[str, object]:
    return {
        name: value.told(language) if isinstance(value, Reason) else value for name, value in figures.items()
    }


def system_reason(error: OSError) -> str:
    """Why the operating system refused; in its own words where the table has none.

    >>> system_reason(FileNotFoundError(2, "No such file or directory")).told("zh")
    '没有这个文件或文件夹'
    """
    code = f"system.{errno.errorcode.get(error.errno or 0, '').lower()}"
    return Reason(code) if code in table() else error.strerror or str(error) or type(error).__name__


def decision_reason(code: str, figures: Mapping[str, object], language: str = "en") -> str:
    """Why a message was sent or left out: the sentence of a decision code with its figures.

    >>> decision_reason("recalled", {"score": 0.8251}, "en")
    'recalled: it fits the question (score 0.83)'
    """
    return phrase(f"decision.{code}", language, **figures)


def error_sentence(error: Error, language: str = "en") -> str:
    """What went wrong, and what to do next. Figures that are a `Reason` are told in ``language`` too.

    >>> from multiturn.errors import MessageEmpty
    >>> error_sentence(MessageEmpty(), "zh")
    '消息是空的。没有保存任何内容；请写些文字，或附上图片、文件。'
    """
    key = f"error.{error.code}"
    if language != "zh" or key not in table():
        return str(error)
    return table()[key][language][0].format_map(_in_language(language, error.figures))


def language(environment: Mapping[str, str]) -> str:
    """The language a person's environment asks for: ``"zh"`` or ``"en"``, from the first that is set of
    ``MULTITURN_LANG``, ``LC_ALL``, ``LC_MESSAGES`` and ``LANG``.

    >>> language({"LANG": "zh_CN.UTF-8"})
    'zh'
    """
    for variable in ("MULTITURN_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environment.get(variable):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


def placeholders(form: str) -> set[str]:
    """The names of the figures a sentence needs."""
    return {name for _, name, _, _ in Formatter().parse(form) if name}


@cache
def table() -> Mapping[str, Mapping[str, Forms]]:
    """The whole table: code → language → forms. Sentences of errors are there in Chinese only; their
    English is the docstring of the class."""
    data = pkgutil.get_data(__package__ or "", "phrases.toml") or b""
    sections: dict[str, dict[str, list[str | list[str]] | str]] = tomllib.loads(data.decode())
    return {
        f"{section}.{name}": _forms(value)
        for section, entries in sections.items()
        for name, value in entries.items()
    }


def _forms(value: list[str | list[str]] | str) -> dict[str, Forms]:
    if isinstance(value, str):
        return {"zh": (value,)}
    return {
        tongue: (forms,) if isinstance(forms, str) else tuple(forms)
        for tongue, forms in zip(LANGUAGES, value, strict=True)
    }
