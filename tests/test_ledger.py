"""Why was each message sent or left out? One decision a message, from a few ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.ledger import Change, Code, Decision, Decisions, Ledger, Span, Spans

LEFT_OUT = {
    "summarised",
    "over_budget",
    "outside_window",
    "excluded_by_user",
    "below_threshold",
    "other_branch",
    "reasoning_stripped",
    "incomplete",
    "failed",
    "retracted",
    "moderated",
    "expired",
    "modality_unsupported",
    "duplicate",
}
figures = st.dictionaries(st.text(), st.integers(0, 10**9) | st.floats(0, 1) | st.text(), max_size=2)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    first = draw(st.integers(1, 99))
    return Span(
        code=draw(st.sampled_from(Code)),
        messages=draw(st.integers(0, 5)),
        tokens=draw(st.none() | st.integers(0, 10**6)),
        turns=draw(st.none() | st.integers(0, 9).map(lambda more: (first, first + more))),
        place=draw(st.none() | st.integers(0, 9)),
        figures=draw(figures),
        omitted=tuple(draw(st.lists(st.text(min_size=1), max_size=2))),
    )


ledgers = st.builds(
    Ledger,
    spans=st.lists(spans(), max_size=5).map(tuple),
    tokens=st.integers(0, 10**6),
    budget=st.integers(1, 10**6),
    notes=st.lists(st.sampled_from(("one", "other"))).map(tuple),
    instructions=st.none() | st.text(min_size=1),
)
EXAMPLE: Sequence[Span] = (
    Span(Code.SYSTEM, 1, 12),
    Span(Code.OVER_BUDGET, 40, None, (1, 20), figures={"limit": 800}),
    Span(Code.RECENT, 3, 1_234, (21, 22), omitted=("modality_unsupported",)),
    Span(Code.NEW, 1, 9, (23, 23)),
)


# ---------------------------------------------------------------------------------------- lines


def test_lines_are_worked_out_when_somebody_looks_and_only_once() -> None:
    made: list[int] = []

    def make() -> Sequence[Span]:
        made.append(1)
        return list(EXAMPLE)

    lines = Spans(make)
    assert not made
    assert len(lines) == 4
    assert list(lines) == list(EXAMPLE)
    assert (lines[1], lines[-1], lines[1:3]) == (EXAMPLE[1], EXAMPLE[-1], tuple(EXAMPLE[1:3]))
    assert repr(lines) == repr(tuple(EXAMPLE))
    assert made == [1]


def test_lines_are_compared_by_what_they_say() -> None:
    lines, same, other = Spans(lambda: EXAMPLE), Spans(lambda: list(EXAMPLE)), Spans(lambda: EXAMPLE[1:])
    assert lines == same == tuple(EXAMPLE)
    assert lines != other
    assert lines != list(EXAMPLE)
    assert hash(Spans(lambda: ())) == hash(())


# ---------------------------------------------------------------------------------------- codes


def test_a_code_is_either_sent_or_left_out() -> None:
    assert {code.value for code in Code if not code.sent} == LEFT_OUT


def test_spans_and_decisions_are_sent_as_their_code_is() -> None:
    for code in Code:
        assert Span(code, 1).sent == Decision(0, code).sent == (code not in LEFT_OUT)


# ------------------------------------------------------------------------------------ decisions


@given(st.lists(spans(), max_size=5))
def test_decisions_are_a_sequence_with_one_for_each_message(ranges: list[Span]) -> None:
    decisions = Decisions(ranges)
    flat = list(decisions)
    assert len(decisions) == len(flat) == sum(span.messages for span in ranges)
    assert [decision.index for decision in flat] == list(range(len(flat)))
    assert [decision.code for decision in flat] == [s.code for s in ranges for _ in range(s.messages)]
    assert [decisions[i] for i in range(len(flat))] == flat
    assert [decisions[i - len(flat)] for i in range(len(flat))] == flat


@given(st.lists(spans(), max_size=5), st.slices(20))
def test_a_slice_of_decisions_is_a_slice_of_the_list(ranges: list[Span], part: slice) -> None:
    decisions = Decisions(ranges)
    assert decisions[part] == list(decisions)[part]


@pytest.mark.parametrize("index", [45, -46])
def test_there_is_no_decision_beyond_the_path(index: int) -> None:
    with pytest.raises(IndexError):
        Decisions(EXAMPLE)[index]


def test_a_decision_names_the_turn_and_tokens_only_where_they_are_its_own() -> None:
    decisions = Decisions(EXAMPLE)
    assert decisions[0] == Decision(0, Code.SYSTEM, None, 12)
    assert decisions[1] == Decision(1, Code.OVER_BUDGET, None, None, {"limit": 800})
    assert decisions[41] == Decision(41, Code.RECENT, None, None, {}, ("modality_unsupported",))
    assert decisions[-1] == Decision(44, Code.NEW, 23, 9)


def test_decisions_show_how_few_ranges_they_are() -> None:
    assert repr(Decisions(EXAMPLE)) == "Decisions(45 messages in 4 spans)"


def test_a_decision_says_why_with_its_figures_in_both_languages() -> None:
    decision = Decisions(EXAMPLE)[1]
    assert decision.reason() == "would pass the budget of 800 tokens"
    assert decision.reason("zh") == "将超出 800 个 token 的预算"


# --------------------------------------------------------------------------------------- ledger


@given(ledgers)
def test_a_ledger_survives_being_stored(ledger: Ledger) -> None:
    assert Ledger.from_json(ledger.to_json()) == ledger


def test_a_ledger_that_was_stored_without_notes_has_none() -> None:
    stored = b'{"tokens":5,"budget":9,"spans":[["new",1,5,[3,3],null]]}'
    assert Ledger.from_json(stored) == Ledger((Span(Code.NEW, 1, 5, (3, 3)),), 5, 9)
    assert Ledger.from_json(stored).to_json() == stored


def test_a_ledger_does_not_grow_with_the_conversation() -> None:
    short, long = (Ledger((Span(Code.OVER_BUDGET, n, None, (1, n)),), 5, 9).to_json() for n in (10, 10**6))
    assert len(long) <= len(short) + 10


def test_a_ledger_explains_itself_in_a_table() -> None:
    ledger = Ledger(tuple(EXAMPLE), 1_255, 8_000, ("fit_ignores_summary_and_recall",))
    rows = ledger.explain().splitlines()
    assert rows[0].split() == ["✓", "system", "1", "12", "the", "instructions", "in", "force"]
    assert rows[1].split()[:5] == ["✗", "over_budget", "1–20", "40", "—"]
    assert rows[2].split()[:5] == ["✓", "recent", "21–22", "3", "1,234"]
    assert rows[3].split()[:5] == ["✓", "new", "23", "1", "9"]
    assert "1,255" in rows[4]
    assert "8,000" in rows[4]
    assert "summary" in rows[5]
    assert len(rows) == 6


def test_a_ledger_explains_itself_in_chinese() -> None:
    rows = (
        Ledger(tuple(EXAMPLE), 1_255, 8_000, ("fit_ignores_summary_and_recall",)).explain("zh").splitlines()
    )
    assert "当前生效的指令" in rows[0]
    assert "摘要" in rows[5]


def test_the_decisions_of_a_ledger_are_those_of_its_spans() -> None:
    assert list(Ledger(tuple(EXAMPLE), 1, 2).decisions) == list(Decisions(EXAMPLE))


# ----------------------------------------------------------------------------------- difference

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
