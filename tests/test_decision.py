"""Has each message one decision, unfolded from a few ranges?"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ledgers import EXAMPLE, spans

from multiturn.decision import Code, Decision, Decisions, Span, Spans

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
