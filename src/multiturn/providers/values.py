"""What is in a piece of JSON that a provider sent, however damaged it is?"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import orjson

__all__ = ["keepable", "opened", "sound", "table_of", "word_of"]

DEEPEST = 32
"""Levels of a field that is kept as it came: it has to fit into a message, and that into an answer."""
HALF = re.compile("[\ud800-\udfff]")


def opened(data: bytes) -> tuple[Any, bool]:
    """The value in a piece of JSON, and whether characters in it may be damaged: half surrogates, or
    bytes that were no UTF-8 (they come as U+FFFD). Raises `ValueError` where it is no JSON."""
    try:
        return orjson.loads(data), False
    except ValueError:
        pass
    try:
        text = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
    try:
        return json.loads(text, strict=False, parse_constant=lambda _: None, parse_int=_integer), True
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < 19 else float(digits)


def keepable(value: object, levels: int = DEEPEST) -> bool:
    """Whether a field that is not interpreted can be stored and told again.

    >>> keepable({"score": 0.5}), keepable({"score": float("inf")}), keepable(10**30)
    (True, False, False)
    """
    match value:
        case dict() | list():
            parts = value.values() if isinstance(value, dict) else value
            return levels > 0 and all(keepable(each, levels - 1) for each in parts)
        case float():
            return math.isfinite(value)
        case int():
            return -(1 << 63) <= value < 1 << 64
        case _:
            return True


def sound(value: object) -> object:
    """``value`` without half surrogates."""
    if isinstance(value, str):
        return HALF.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {HALF.sub("\ufffd", name): sound(each) for name, each in value.items()}
    return [sound(each) for each in value] if isinstance(value, list) else value


def table_of(raw: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """The first of these fields that is a table; empty where none is."""
    return next((raw[name] for name in names if isinstance(raw.get(name), Mapping)), {})


def word_of(value: object) -> str | None:
    """A name or an id, without half surrogates; ``None`` for what is none."""
    if not isinstance(value, str) or not value:
        return None
    return value if value.isascii() else HALF.sub("\ufffd", value)
