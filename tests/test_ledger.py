"""Why was each message sent or left out? One decision a message, from a few ranges."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.ledger import Code, Decision, Decisions, Ledger, Span

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
)
EXAMPLE: Sequence[Span] = (
    Span(Code.SYSTEM, 1, 12),
    Span(Code.OVER_BUDGET, 40, None, (1, 20), figures={"limit": 800}),
    Span(Code.RECENT, 3, 1_234, (21, 22), omitted=("modality_unsupported",)),
    Span(Code.NEW, 1, 9, (23, 23)),
)


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
