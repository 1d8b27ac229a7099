"""What do people read? Every sentence in English and Chinese, from one table (``phrases.toml``).

It deals in codes and figures only, so that everything above may ask it.
"""

from __future__ import annotations

import pkgutil
import tomllib
from collections.abc import Mapping
from functools import cache
from string import Formatter

from .errors import Error

__all__ = ["LANGUAGES", "decision_reason", "error_sentence", "language", "phrase", "placeholders", "table"]

LANGUAGES = ("en", "zh")
"""The languages of the table, in its order."""

Forms = tuple[str, ...]
"""One sentence, from its richest form to its barest."""


def phrase(code: str, language: str = "en", /, **figures: object) -> str:
    """The sentence ``code`` in ``language`` (``"en"`` or ``"zh"``; any other reads English), filled
    with ``figures``. Where it has several forms, the first is used whose figures are all given.

    Raises `KeyError` for a code the table does not hold, or when a figure of the barest form is missing.

    >>> phrase("decision.over_budget", "en", needed=9000, limit=8000)
    'the window would need 9,000 of 8,000 tokens'
    >>> phrase("decision.over_budget", "zh")
    '将超出预算'
    """
    forms = table()[code][language if language in LANGUAGES else "en"]
    for form in forms[:-1]:
        if placeholders(form) <= figures.keys():
            try:
                return form.format_map(figures)
            except (TypeError, ValueError):  # a figure of another kind than the form expects
                continue
    return forms[-1].format_map(figures)


def decision_reason(code: str, figures: Mapping[str, object], language: str = "en") -> str:
    """Why a message was sent or left out: the sentence of a decision code with its figures.

    >>> decision_reason("recalled", {"score": 0.8251}, "en")
    'recalled: it fits the question (score 0.83)'
    """
    return phrase(f"decision.{code}", language, **figures)


def error_sentence(error: Error, language: str = "en") -> str:
    """What went wrong, and what to do next. An error whose figure ``because`` is a code of this table
    has its detail translated too.

    >>> from multiturn.errors import MessageEmpty
    >>> error_sentence(MessageEmpty(), "zh")
    '消息是空的。没有保存任何内容；请写些文字，或附上图片、文件。'
    """
    key = f"error.{error.code}"
    if language != "zh" or key not in table():
        return str(error)
    figures = dict(error.figures)
    because = figures.get("because")
    if isinstance(because, str) and because in table():
        figures["detail"] = phrase(because, language, **figures)
    return table()[key][language][0].format_map(figures)


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
