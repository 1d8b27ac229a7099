"""Is the value of an option read as it is meant, and refused where it means nothing?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from multiturn.cli.values import against, decimals, grouping, port, scope, since, switch, whole


@pytest.mark.parametrize(
    ("text", "seconds"), [("30m", 1800), ("2h", 7200), ("7d", 604_800), ("2w", 1_209_600)]
)
def test_times_count_back_from_now(text: str, seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiturn.cli.values.time.time", lambda: 1e9)
    assert since(text) == 1e9 - seconds


def test_dates_are_utc_where_no_zone_stands() -> None:
    assert since("2026-05-01") == since("2026-05-01T00:00:00Z") == since("2026-05-01T08:00:00+08:00")


@pytest.mark.parametrize(
    ("value", "text", "meant"),
    [
        (whole, "-3", -3),
        (port, "8080", 8080),
        (port, "0", 0),
        (decimals, "0.7", 0.7),
        (switch, "on", True),
        (switch, "off", False),
        (grouping, "day", "day"),
        (grouping, "tag", "tag"),
        (scope, "read", "read"),
        (against, "billed", "billed"),
    ],
)
def test_a_value_is_read(value: Callable[[str], Any], text: str, meant: object) -> None:
    assert value(text) == meant


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (whole, "3.5"),
        (whole, "9" * 5000),
        (port, "65536"),
        (port, "-1"),
        (decimals, "half"),
        (switch, "true"),
        (grouping, "week"),
        (scope, "everything"),
        (against, "guessed"),
        (since, "yesterday"),
        (since, "9" * 5000 + "d"),
    ],
    ids=range(11),
)
def test_a_value_that_means_nothing_is_refused_by_its_own_words(
    value: Callable[[str], Any], text: str
) -> None:
    with pytest.raises(ValueError) as refused:
        value(text)
    assert str(refused.value) == text
