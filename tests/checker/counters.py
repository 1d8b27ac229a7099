"""Three ways to count a message, as far apart as counters may be; and how many histories are tried."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import pytest

from .case import Count

__all__ = ["COUNTERS", "EXAMPLES", "by_words", "patient"]

THOROUGH = bool(os.environ.get("MULTITURN_THOROUGH"))
EXAMPLES = 100_000 if THOROUGH else 2_000
patient = pytest.mark.timeout(0 if THOROUGH else 600)


def by_letters(message: Mapping[str, Any]) -> int:
    return len(json.dumps(message, ensure_ascii=False))


def by_words(message: Mapping[str, Any]) -> int:
    return 4 + len(json.dumps(message, ensure_ascii=False)) // 4


def by_heads(message: Mapping[str, Any]) -> int:
    return 10


COUNTERS: tuple[Count, ...] = (by_letters, by_words, by_heads)
