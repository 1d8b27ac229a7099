"""Do numbers read as they should, and is the unknown never shown as nothing?"""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.cli import figures
from multiturn.conversations import Turn, TurnState
from multiturn.phrases import LANGUAGES
from multiturn.reply import Reply
from multiturn.usage import Cost, Usage
from multiturn.window import Limits, Window


def reply(usage: Usage | None, cost: Cost | None) -> Reply:
    turn = Turn("turn_1", 32, 0, TurnState.COMPLETED, 0.0, 2, 10)
    window = Window(b"[]", (), 630, Limits(budget=1000, high=1000, low=500))
    return Reply("hi", None, (), "stop", usage, cost, window, turn)


def test_the_quiet_line_says_what_a_turn_took() -> None:
    known = reply(Usage(5160, 212, cached=3968), Cost(Decimal("0.00112"), "USD"))
    line = figures.reply_line(known, "en")
    assert line == "32 · 5,160 in (3,968 cached) · 212 out · $0.0011 · 63%"
    assert figures.reply_line(known, "zh") == "32 · 输入 5,160（缓存 3,968）· 输出 212 · $0.0011 · 63%"


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_unknown_is_a_dash(language: str) -> None:
    line = figures.reply_line(reply(None, None), language)
    assert line.count("—") == 4
    assert "0.00" not in line


def test_an_estimate_is_marked() -> None:
    line = figures.reply_line(
        reply(Usage(7, 3, estimated=True), Cost(Decimal(1), "CNY", estimated=True)), "en"
    )
    assert "~7 in" in line
    assert "~3 out" in line
    assert "~¥1.0000" in line


@given(st.decimals("1e-12", "1e6", allow_nan=False, allow_infinity=False))
def test_money_that_was_spent_never_reads_as_nothing(amount: Decimal) -> None:
    shown = figures.money(Cost(amount, "USD"))
    assert "E" not in shown
    assert Decimal(shown.removeprefix("$").replace(",", "")) > 0


def test_money_is_told_in_its_currency() -> None:
    assert figures.money(Cost(Decimal("1234.5"), "CNY")) == "¥1,234.5000"
    assert figures.money(Cost(Decimal("0.00004219"), "USD")) == "$0.000042"
    assert figures.money(Cost(Decimal(2), "CHF")) == "CHF 2.0000"
    assert figures.money(Cost(Decimal(0), "USD")) == "$0.0000"


def test_sizes_and_times() -> None:
    assert figures.bytes_of(3 * 1024**3) == "3.0 GiB"
    assert figures.bytes_of(5 * 1024**4) == "5.0 TiB"
    assert figures.when(0.0)[:3] in ("197", "196")
