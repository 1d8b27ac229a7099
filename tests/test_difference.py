"""Is told what is different between the windows of two steps, and nothing else?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from tests.ledgers import ledgers

from multiturn.decision import Code, Span
from multiturn.difference import Change
from multiturn.ledger import Ledger

BEFORE = Ledger(
    (
        Span(Code.SYSTEM, 1, 12),
        Span(Code.OVER_BUDGET, 4, None, (1, 2)),
        Span(Code.RECENT, 8, 80, (3, 6)),
        Span(Code.NEW, 1, 9, (7, 7)),
    ),
    900,
    1_000,
)


def after(*spans: Span, tokens: int = 900, budget: int = 1_000) -> Ledger:
    return Ledger((*spans, Span(Code.NEW, 1, 9, (8, 8))), tokens, budget)


def test_while_nothing_goes_only_the_cost_changes() -> None:
    now = after(*BEFORE.spans[:2], Span(Code.RECENT, 10, 99, (3, 7)), tokens=1_919)
    assert now.diff(BEFORE) == [Change("tokens", {"before": 900, "after": 1_919})]
    assert now.difference(BEFORE) == "1,919 tokens are sent (before: 900)."
    assert now.difference(BEFORE, "zh") == "发送 1,919 个 token（此前 900）。"


def test_instructions_that_were_edited_are_told_also_where_they_are_as_long_as_before() -> None:
    told = Change("instructions")
    one, other = replace(BEFORE, instructions="ab12"), replace(BEFORE, instructions="cd34")
    assert told not in one.diff(one)
    assert one.diff(other)[0] == other.diff(one)[0] == told
    assert told not in one.diff(BEFORE), "a ledger of an earlier version does not know"
    assert told not in BEFORE.diff(one)
    longer = replace(other, spans=(Span(Code.SYSTEM, 1, 99), *BEFORE.spans[1:]))
    assert longer.diff(one).count(told) == 1


def test_turns_that_left_are_told_with_the_reason() -> None:
    now = after(
        Span(Code.SYSTEM, 1, 12),
        Span(Code.SUMMARY, 0, 40, (1, 4), figures={"first": 1, "last": 4, "version": 1}),
        Span(Code.SUMMARISED, 8, None, (1, 4)),
        Span(Code.RETRACTED, 2, None, (5, 5)),
        Span(Code.RECENT, 4, 40, (6, 7)),
    )
    assert now.difference(BEFORE).splitlines() == [
        "A summary now stands for turns 1 to 4.",
        "Turns 3 to 4 are not sent any more: folded into the summary.",
        "Turn 5 is not sent any more: retracted.",
        "900 tokens are sent (before: 900).",
    ]
    assert now.difference(BEFORE, "zh").splitlines()[:2] == [
        "第 1 到 4 轮现在由摘要代替。",
        "第 3 到 4 轮不再发送：已并入摘要。",
    ]
    elsewhere = Ledger((Span(Code.NEW, 1, 9, (2, 2)),), 900, 1_000)
    assert elsewhere.difference(BEFORE).splitlines()[1] == "Turns 3 to 7 are not sent any more."


def test_turns_that_come_back_are_told() -> None:
    now = after(Span(Code.PINNED, 2, 20, (1, 1)), Span(Code.OVER_BUDGET, 2, None, (2, 2)), *BEFORE.spans[2:3])
    assert now.difference(BEFORE).splitlines()[:3] == [
        "The instructions are different.",
        "Turn 7 is not sent any more.",
        "Turn 1 is sent again.",
    ]


def test_what_is_quoted_is_told_in_ranges() -> None:
    now = after(
        Span(Code.SYSTEM, 1, 12),
        Span(Code.RECALLED, 1, None, (1, 1), 0),
        Span(Code.RECALLED, 1, None, (2, 2), 1),
        Span(Code.RECENT, 10, 80, (3, 7)),
        Span(Code.RECALLED, 0, None),
        budget=2_000,
    )
    assert now.difference(BEFORE).splitlines() == [
        "Turns 1 to 2 are quoted.",
        "The budget is 2,000 tokens (before: 1,000).",
        "900 tokens are sent (before: 900).",
    ]


@pytest.mark.parametrize(
    ("one", "other", "code"),
    [
        ({"first": 1, "last": 4, "version": 1}, {"first": 1, "last": 8, "version": 2}, "summary_changed"),
        ({"first": 1, "last": 4, "version": 1}, None, "summary_gone"),
        (None, {"first": 1, "last": 1, "version": 1}, "summary_new"),
    ],
)
def test_another_summary_is_told(
    one: dict[str, object] | None, other: dict[str, object] | None, code: str
) -> None:
    first, second = (
        Ledger((Span(Code.SUMMARY, 0, 40, figures=figures),) if figures else (), 9, 99)
        for figures in (one, other)
    )
    change = second.diff(first)[0]
    assert change.code == code
    assert change.sentence() != change.sentence("zh")
    if code == "summary_changed":
        assert change.sentence() == ("The summary is now version 2 (before: 1) and stands for turns 1 to 8.")


@given(ledgers, ledgers)
def test_any_two_ledgers_can_be_compared(one: Ledger, other: Ledger) -> None:
    for language in ("en", "zh"):
        assert one.difference(other, language).splitlines()[-1]
    assert [change.code for change in one.diff(one) if change.code not in ("quoted", "left")] == ["tokens"]
