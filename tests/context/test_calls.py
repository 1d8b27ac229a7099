"""Which messages of a turn belong together? A call goes with all its results, or not at all."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.context.stories import answer, ask, call, entry, result, rule, told

from multiturn.context.calls import Group, by_turn, grouped, in_force, interrupted, turn_left_out
from multiturn.decision import Code
from multiturn.messages import Trait

Shape = list[tuple[list[int], list[int], list[str]]]


def shape(*messages: dict[str, Any], excluded: tuple[int, ...] = ()) -> Shape:
    """Places sent, places spare, ids open: of each group."""
    groups = grouped(told(1, *messages, excluded=excluded).rows)
    return [([r.place for r in g.rows], [r.place for r in g.spare], g.open) for g in groups]


def group(message: dict[str, Any], traits: int = 0) -> Group:
    row = told(1, ask(), message).rows[1]
    return Group([row._replace(traits=row.traits | traits)])


# --------------------------------------------------------------------------------------- groups


def test_words_are_groups_of_their_own() -> None:
    assert shape(ask(), answer(), answer()) == [([0], [], []), ([1], [], []), ([2], [], [])]


def test_a_call_goes_with_its_results_in_whatever_order_they_came() -> None:
    assert shape(ask(), call("a", "b"), result("b"), result("a"), answer()) == [
        ([0], [], []),
        ([1, 2, 3], [], []),
        ([4], [], []),
    ]


def test_a_call_without_a_result_stays_open() -> None:
    assert shape(ask(), call("a", "b"), result("b")) == [([0], [], []), ([1, 2], [], ["a"])]


def test_two_calls_of_the_same_id_take_a_result_each() -> None:
    assert shape(ask(), call("a", "a"), result("a")) == [([0], [], []), ([1, 2], [], ["a"])]
    assert shape(ask(), call("a", "a"), result("a"), result("a"))[1] == ([1, 2, 3], [], [])


def test_a_second_result_of_a_call_is_spare() -> None:
    assert shape(ask(), call("a"), result("a"), result("a"))[1] == ([1, 2], [3], [])


def test_a_result_of_no_call_is_spare() -> None:
    assert shape(ask(), result("z"), call("a"), result("z"), result("a")) == [
        ([0], [1], []),
        ([2, 4], [3], []),
    ]
    assert shape(result("z"), ask()) == [([], [0], []), ([1], [], [])]


def test_a_result_answers_the_newest_call_only() -> None:
    assert shape(ask(), call("a"), call("b"), result("a")) == [
        ([0], [], []),
        ([1], [], ["a"]),
        ([2], [3], ["b"]),
    ]


def test_words_between_a_call_and_its_result_part_them() -> None:
    assert shape(ask(), call("a"), answer(), result("a")) == [([0], [], []), ([1], [], ["a"]), ([2], [3], [])]


def test_a_result_finds_its_call_across_an_instruction() -> None:
    assert shape(ask(), call("a"), rule(), result("a")) == [([0], [], []), ([1, 3], [], []), ([2], [], [])]


def test_a_result_the_user_left_out_leaves_its_call_open() -> None:
    assert shape(ask(), call("a"), result("a"), excluded=(2,)) == [([0], [], []), ([1], [2], ["a"])]


def test_before_the_first_question_nothing_but_words_can_be_sent() -> None:
    assert shape(answer("hello"), call("a"), result("a"), rule()) == [
        ([0], [], []),
        ([], [1, 2], []),
        ([3], [], []),
    ]


letters = st.sampled_from(
    [ask(), answer(), answer(""), call("a"), call("a", "b"), call("b", "b"), result("a"), result("b"), rule()]
)


@given(st.lists(letters, max_size=8), st.sets(st.integers(0, 7)))
def test_every_message_is_in_one_group_and_every_result_in_that_of_its_call(
    messages: list[dict[str, Any]], excluded: set[int]
) -> None:
    rows = told(1, *messages, excluded=sorted(excluded)).rows
    groups = grouped(rows)
    assert sorted(r.place for g in groups for r in (*g.rows, *g.spare)) == [r.place for r in rows]
    for made in groups:
        results = [orjson.loads(row.body)["tool_call_id"] for row in made.rows[1:]]
        assert all(row.role == "tool" for row in made.rows[1:])
        calls = [c["id"] for row in made.rows[:1] for c in orjson.loads(row.body).get("tool_calls", ())]
        assert sorted([*results, *made.open]) == sorted(calls)


# ------------------------------------------------------------------------------------- left out


@pytest.mark.parametrize(
    ("message", "traits", "why"),
    [
        (ask(), 0, None),
        (answer(), 0, None),
        (answer(""), 0, Code.INCOMPLETE),
        (answer(None), 0, Code.INCOMPLETE),
        (call("a"), 0, None),
        (answer(), Trait.EXCLUDED, Code.EXCLUDED_BY_USER),
        (answer(""), Trait.EXCLUDED, Code.EXCLUDED_BY_USER),
        (call("a"), Trait.EXCLUDED, Code.EXCLUDED_BY_USER),
    ],
)
def test_silence_and_what_the_user_left_out_are_never_sent(
    message: dict[str, Any], traits: int, why: Code | None
) -> None:
    assert group(message, traits).left_out == why


def test_a_group_of_spare_results_alone_is_never_sent() -> None:
    assert Group([]).left_out is Code.INCOMPLETE
    assert Group([]).traits == 0


def test_instructions_are_known_by_their_first_message() -> None:
    assert group(rule()).instruction
    assert not group(ask()).instruction
    assert not Group([]).instruction


@pytest.mark.parametrize(
    ("message", "traits", "sent"),
    [
        (rule(), 0, True),
        (rule(role="developer"), 0, True),
        (rule(" "), 0, False),
        (rule(), Trait.EXCLUDED, False),
        (ask(), 0, False),
    ],
)
def test_an_instruction_is_in_force_unless_it_is_blank_or_left_out(
    message: dict[str, Any], traits: int, sent: bool
) -> None:
    assert in_force(group(message, traits).rows[0]) == sent


# ---------------------------------------------------------------------------------------- turns


@pytest.mark.parametrize(
    ("messages", "excluded", "why"),
    [
        ([ask(), answer()], (), None),
        ([ask(), answer()], (0,), Code.EXCLUDED_BY_USER),
        ([ask(), answer()], (1,), None),
        ([ask(""), answer()], (), Code.INCOMPLETE),
        ([ask(""), answer()], (0,), Code.EXCLUDED_BY_USER),
        ([rule(), ask(" "), answer()], (), Code.INCOMPLETE),
        ([answer("")], (), None),
        ([], (), None),
    ],
)
def test_a_turn_goes_where_its_question_goes(
    messages: list[dict[str, Any]], excluded: tuple[int, ...], why: Code | None
) -> None:
    assert turn_left_out(told(1, *messages, excluded=excluded).rows) == why


def test_rows_are_gathered_by_turn_in_the_order_of_time() -> None:
    rows = [*told(3, rule()).rows, *told(5, ask(), answer()).rows]
    assert by_turn(rows) == {3: rows[:1], 5: rows[1:]}


# -------------------------------------------------------------------------------------- closing


def test_a_call_nobody_answered_is_closed_with_a_result_that_says_so() -> None:
    closing = interrupted("a")
    assert (closing["role"], closing["tool_call_id"]) == ("tool", "a")
    assert "interrupted" in closing["content"]
    assert entry(closing).traits == Trait.TOOL_RESULT
