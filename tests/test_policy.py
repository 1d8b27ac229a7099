"""What is to be kept? Policies that hold, and policies that are refused."""

from __future__ import annotations

import json
import tomllib
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.errors import PolicyInvalid
from multiturn.policy import ContextPolicy, Recall, Summarize

shares = st.floats(0.01, 1)
names = st.none() | st.text(min_size=1)


@st.composite
def policies(draw: st.DrawFn) -> ContextPolicy:
    high, low = draw(st.none() | shares), draw(st.none() | shares)
    if high is not None and low is not None:
        high, low = max(high, low), min(high, low)
    elif low is not None:
        low = min(low, 0.7)
    images: Literal["all", "last"] | int = draw(st.sampled_from(("all", "last", 0, 1, 9)))
    return ContextPolicy(
        budget=draw(st.none() | st.integers(1_000, 10**6)),
        reserve_output=draw(st.none() | st.integers(0, 10**5)),
        high=high,
        low=low,
        max_turns=draw(st.none() | st.integers(0, 99)),
        max_messages=draw(st.none() | st.integers(1, 99)),
        summarize=draw(st.none() | st.builds(Summarize, model=names, max_tokens=st.integers(1, 999))),
        recall=draw(
            st.none()
            | st.builds(
                Recall,
                max_tokens=st.none() | st.integers(1, 999),
                max_turns=st.integers(1, 9),
                embedding=names,
            )
        ),
        images=images,
    )


# --------------------------------------------------------------------------------- written, read


@given(policies())
def test_a_policy_survives_being_written_as_json(policy: ContextPolicy) -> None:
    assert ContextPolicy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy


@given(policies())
def test_a_policy_holds_nothing_that_toml_cannot_write(policy: ContextPolicy) -> None:
    values = policy.to_dict()
    for value in [*values.values(), *(v for t in values.values() if isinstance(t, dict) for v in t.values())]:
        assert isinstance(value, bool | int | float | str | dict)


def test_a_policy_reads_what_toml_holds() -> None:
    text = 'budget = 8000\nimages = "last"\nrecall = false\n[summarize]\nmax_tokens = 300\n'
    policy = ContextPolicy.from_dict(tomllib.loads(text))
    assert policy == ContextPolicy(
        budget=8000, images="last", recall=None, summarize=Summarize(max_tokens=300)
    )


def test_only_what_differs_from_the_default_is_written() -> None:
    assert ContextPolicy().to_dict() == {}
    assert ContextPolicy(max_turns=0, summarize=None).to_dict() == {"max_turns": 0, "summarize": False}
    assert ContextPolicy(summarize=Summarize(max_tokens=300)).to_dict() == {"summarize": {"max_tokens": 300}}


@pytest.mark.parametrize("name", ["summarize", "recall"])
def test_true_false_none_and_tables_say_whether_and_how(name: str) -> None:
    records: dict[str, Any] = {"summarize": Summarize, "recall": Recall}
    for value, expected in [
        (True, records[name]()),
        (False, None),
        (None, None),
        ({"max_tokens": 50}, records[name](max_tokens=50)),
        (records[name](max_tokens=60), records[name](max_tokens=60)),
    ]:
        assert getattr(ContextPolicy.from_dict({name: value}), name) == expected


# -------------------------------------------------------------------------------------- refused

REFUSED: list[dict[str, Any]] = [
    {"budget": 0},
    {"budget": 1.5},
    {"budget": "8000"},
    {"budget": True},
    {"reserve_output": -1},
    {"max_turns": -1},
    {"max_messages": 0},
    {"max_messages": False},
    {"high": 0},
    {"high": 1.01},
    {"high": "0.5"},
    {"high": True},
    {"high": float("nan")},
    {"low": -0.1},
    {"low": 0.8},
    {"high": 0.4, "low": 0.5},
    {"images": "first"},
    {"images": -1},
    {"images": True},
    {"images": 1.0},
    {"images": None},
    {"summarize": 600},
    {"summarize": {"max_token": 600}},
    {"summarize": {"": 600}},
    {"summarize": {"max_tokens": 0}},
    {"summarize": {"max_tokens": None}},
    {"summarize": {"model": 5}},
    {"summarize": {"max_tokens": 500}, "budget": 500},
    {"recall": "yes"},
    {"recall": {"turns": 6}},
    {"recall": {"max_tokens": -5}},
    {"recall": {"max_turns": 0}},
    {"recall": {"embedding": True}},
    {"budgets": 100},
    {"Budget": 100, "high": 0.5},
]


@pytest.mark.parametrize("values", REFUSED, ids=str)
def test_a_policy_that_cannot_hold_is_refused_and_named(values: dict[str, Any]) -> None:
    with pytest.raises(PolicyInvalid) as refused:
        ContextPolicy.from_dict(values)
    name = next(iter(values))
    assert name.rstrip("s") in str(refused.value) or "summary" in str(refused.value)


@pytest.mark.parametrize("name", ["summarize", "recall"])
def test_a_record_is_a_record(name: str) -> None:
    with pytest.raises(PolicyInvalid, match=f"{name} is a"):
        ContextPolicy(**{name: True})  # type: ignore[arg-type]  # what the test is about


def test_the_refusal_of_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(PolicyInvalid, match="unknown name budgt; known are budget, high, images"):
        ContextPolicy.from_dict({"budgt": 5})


@pytest.mark.parametrize(
    "values",
    [
        {"budget": 1},
        {"reserve_output": 0},
        {"max_turns": 0},
        {"max_messages": 1},
        {"high": 1},
        {"high": 0.01},
        {"high": 0.5, "low": 0.5},
        {"images": 0},
        {"summarize": {"max_tokens": 499}, "budget": 500},
    ],
    ids=str,
)
def test_the_bounds_themselves_hold(values: dict[str, Any]) -> None:
    policy = ContextPolicy.from_dict(values)
    assert {**policy.to_dict(), **values} == policy.to_dict()


def test_a_budget_below_a_summary_nobody_asked_for_is_no_mistake() -> None:
    assert ContextPolicy(budget=100).summarize == Summarize()


def test_who_writes_a_summary_does_not_say_how_long_it_is() -> None:
    """The usual length fits itself to the budget also where a model is named; any other has to fit."""
    named = Summarize("glm/glm-5.1")
    assert [named.most(budget) for budget in (100_000, 2_400, 600, 400, 399)] == [600, 600, 150, 100, 0]
    assert ContextPolicy(budget=500, summarize=named).summarize == named
    written = {"budget": 500, "summarize": {"model": "glm/glm-5.1"}}
    assert ContextPolicy.from_dict(written).summarize == named
    with pytest.raises(PolicyInvalid, match="a summary of 601 tokens does not fit a budget of 601"):
        ContextPolicy(budget=601, summarize=Summarize("glm/glm-5.1", 601))


# ---------------------------------------------------------------------------------------- marks


def test_the_marks_leave_half_for_the_summary_where_there_is_one() -> None:
    assert ContextPolicy().marks() == (0.7, 0.35)
    assert ContextPolicy(summarize=None).marks() == (1.0, 0.55)


def test_a_mark_that_was_set_stands() -> None:
    assert ContextPolicy(high=0.9, low=0.2).marks() == (0.9, 0.2)
    assert ContextPolicy(low=0.1).marks() == (0.7, 0.1)


def test_the_low_mark_is_a_share_of_the_high_mark_that_was_set() -> None:
    assert ContextPolicy(high=0.3).marks() == (0.3, 0.15)
    assert ContextPolicy(high=0.4, summarize=None).marks()[1] == pytest.approx(0.22)


@given(policies())
def test_the_low_mark_is_never_above_the_high_one(policy: ContextPolicy) -> None:
    high, low = policy.marks()
    assert 0 < low <= high <= 1


# ------------------------------------------------------------------------------------ short ways


def test_the_short_ways_have_neither_summary_nor_recall() -> None:
    assert ContextPolicy.full() == ContextPolicy(summarize=None, recall=None)
    assert ContextPolicy.last_turns(3) == ContextPolicy(max_turns=3, summarize=None, recall=None)
    assert ContextPolicy.last_messages(20) == ContextPolicy(max_messages=20, summarize=None, recall=None)


@pytest.mark.parametrize("name", ["budget", "reserve_output", "max_turns", "max_messages", "images"])
def test_no_figure_is_larger_than_anything_means(name: str) -> None:
    most: dict[str, Any] = {name: 1 << 40}
    assert getattr(ContextPolicy(**most), name) == 1 << 40
    for value in ((1 << 40) + 1, 10**5000, -(10**5000)):
        given: dict[str, Any] = {name: value}
        with pytest.raises(PolicyInvalid, match=f"{name} must not be above 1,099,511,627,776"):
            ContextPolicy(**given)
