"""What may be spent, and on what?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.context.stories import (
    FAILED,
    answer,
    ask,
    call,
    entry,
    material,
    ordinary,
    path,
    picture,
    result,
    rule,
    told,
)

from multiturn.context.budget import DEFAULT_BUDGET, limits, overflow, reserve, spend
from multiturn.errors import ContextOverflow, PolicyInvalid
from multiturn.messages import Trait
from multiturn.path import Path
from multiturn.policy import ContextPolicy, Recall, Summarize
from multiturn.window import Limits, Material, Target

TARGET = Target("m", media=Trait.MEDIA, developer=True)
NOTHING = Path()


def bounds(budget: int = 1000, high: int | None = None, low: int | None = None, scale: float = 1.0) -> Limits:
    high = budget if high is None else high
    return Limits(budget, high, high // 2 if low is None else low, scale=scale)


def fixed(made: Material, target: Target = TARGET) -> int:
    return spend(made, bounds(), target).room.fixed


# -------------------------------------------------------------------------------------- reserve


@pytest.mark.parametrize(
    ("said", "requested", "thinking", "window", "expected"),
    [
        (100, 200, True, 8_000, 100),
        (0, 200, True, 8_000, 0),
        (None, 200, True, 8_000, 200),
        (None, 9_000, False, 8_000, 9_000),
        (None, None, False, 100_000, 4_096),
        (None, None, True, 100_000, 16_384),
        (None, None, False, 8_000, 4_000),
        (None, None, True, 8_000, 4_000),
        (None, 0, False, 8_000, 0),
    ],
)
def test_what_is_kept_free_for_the_reply(
    said: int | None, requested: int | None, thinking: bool, window: int, expected: int
) -> None:
    assert reserve(ContextPolicy(reserve_output=said), requested, thinking, window) == expected


# --------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("budget", "first_tier", "input_limit", "expected"),
    [
        (None, None, 1_000_000, DEFAULT_BUDGET),
        (None, 16_000, 1_000_000, 16_000),
        (None, 128_000, 1_000_000, DEFAULT_BUDGET),
        (None, None, 6_000, 6_000),
        (50_000, 16_000, 1_000_000, 50_000),
        (50_000, None, 6_000, 6_000),
        (1, None, 6_000, 1),
    ],
)
def test_the_smallest_limit_is_the_budget(
    budget: int | None, first_tier: int | None, input_limit: int, expected: int
) -> None:
    policy = ContextPolicy(budget=budget)
    assert limits(policy, input_limit=input_limit, first_tier=first_tier).budget == expected


def test_the_marks_are_shares_of_the_budget() -> None:
    made = limits(ContextPolicy(budget=1_001), input_limit=9_999)
    assert (made.high, made.fold, made.low) == (1_001, 700, 350)
    made = limits(ContextPolicy(budget=1_001, summarize=None), input_limit=9_999)
    assert (made.high, made.fold, made.low) == (1_001, None, 550)


@pytest.mark.parametrize(
    ("budget", "summarize", "tokens"),
    [
        (10_000, Summarize(), 600),
        (2_000, Summarize(), 500),
        (400, Summarize(), 100),
        (10_000, Summarize(max_tokens=2_000), 2_000),
        (1_000, Summarize("glm/glm-5.1", 600), 250),
        (500, Summarize("glm/glm-5.1"), 125),
        (399, Summarize("glm/glm-5.1"), 0),
        (1_000, Summarize(max_tokens=999), 999),
        (1_000, None, 0),
    ],
)
def test_a_summary_nobody_asked_for_takes_a_quarter_at_most(
    budget: int, summarize: Summarize | None, tokens: int
) -> None:
    made = limits(ContextPolicy(budget=budget, summarize=summarize), input_limit=99_999)
    assert made.summary_tokens == tokens


def test_a_summary_that_would_fill_what_the_model_takes_is_refused() -> None:
    policy = ContextPolicy(summarize=Summarize(max_tokens=1_000))
    with pytest.raises(PolicyInvalid, match="a summary of 1000 tokens does not fit a budget of 1000"):
        limits(policy, input_limit=1_000)
    assert limits(policy, input_limit=1_001).summary_tokens == 1_000


@given(
    st.integers(1, 1_500),
    st.none() | st.just("glm/glm-5.1"),
    st.integers(1, 1_500) | st.sampled_from((599, 600)),
)
def test_a_policy_and_its_limits_have_one_rule(budget: int, model: str | None, tokens: int) -> None:
    """What is refused for a budget of the policy is refused for one of the model, and nothing else is."""
    summarize = Summarize(model, tokens)
    said: list[tuple[int, int | None, str]] = []
    for own, room in ((budget, 99_999), (None, budget)):
        try:
            made = limits(ContextPolicy(summarize=summarize, budget=own), input_limit=room)
            said.append((made.summary_tokens, made.fold, ""))
        except PolicyInvalid as error:
            said.append((0, None, str(error)))
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("budget", "recall", "expected"),
    [
        (2_000, Recall(), (200, 6)),
        (20_000, Recall(), (600, 6)),
        (800, Recall(), (80, 6)),
        (400, Recall(), (80, 6)),
        (200, Recall(), (50, 6)),
        (200, Recall(max_tokens=20), (20, 6)),
        (2_000, Recall(max_tokens=900, max_turns=2), (900, 2)),
        (2_000, None, (0, 0)),
    ],
)
def test_what_may_be_quoted_is_a_tenth_of_the_budget_and_one_short_message_where_that_is_too_little(
    budget: int, recall: Recall | None, expected: tuple[int, int]
) -> None:
    made = limits(ContextPolicy(budget=budget, recall=recall), input_limit=99_999)
    assert (made.recall_tokens, made.recall_turns) == expected


def test_a_policy_in_numbers_keeps_the_rest_as_it_was_said() -> None:
    policy = ContextPolicy(max_turns=3, max_messages=7, images="last")
    made = limits(policy, input_limit=9_999, reserved=64, scale=1.15)
    assert (made.max_turns, made.max_messages, made.images) == (3, 7, "last")
    assert (made.reserve, made.scale) == (64, 1.15)


def test_a_reserve_that_leaves_no_room_is_refused() -> None:
    for room in (0, -5):
        with pytest.raises(PolicyInvalid, match=f"the reserve of 900 tokens .* window of {900 + room};"):
            limits(ContextPolicy(), input_limit=room, reserved=900)
    assert limits(ContextPolicy(), input_limit=1, reserved=900).budget == 1


def test_a_cut_holds_for_one_model_and_one_budget_with_its_marks() -> None:
    def key(model: str = "m", **values: Any) -> str:
        return limits(ContextPolicy(**values), input_limit=9_999, model=model).key

    assert key() == key(max_turns=3) == key(budget=50_000)
    others = {key(), key("n"), key(budget=5_000), key(high=0.9), key(low=0.2), key(summarize=None)}
    assert len(others) == 6


# ----------------------------------------------------------------------------------- what is spent


def test_everything_that_cannot_be_saved_is_counted() -> None:
    assert fixed(material(NOTHING, ask("12345"))) == 5
    assert fixed(material(NOTHING, ask("1"), overhead=20)) == 21
    assert fixed(material(NOTHING, ask("1"), instructions=[rule("123"), rule("45")])) == 6
    assert fixed(material(NOTHING, ask("1"), opening="123")) == 4
    assert fixed(material(NOTHING, ask("1"), context=[ask("12"), rule("3")])) == 4
    assert fixed(material(NOTHING, ask("1"), call("a"), result("a", "123"))) == 14


def test_instructions_in_the_middle_are_spent_wherever_their_turn_is() -> None:
    middle = told(2, rule("123"), ask("12345"), answer("1"))
    assert fixed(material(path(ordinary(1), middle), ask("1"))) == 4
    standing = told(1, rule("123")).rows
    assert (
        fixed(material(path(ordinary(2), standing=standing, standing_at=[0], earlier_turns=1), ask("1"))) == 4
    )


def test_an_instruction_that_is_not_sent_is_not_spent() -> None:
    blank = told(1, rule("   "), ask("12345"), answer("1"))
    gone = told(2, rule("123"), ask("12345"), answer("1"), excluded=[0])
    assert fixed(material(path(blank, gone), ask("1"))) == 1


def test_what_is_not_sent_of_the_new_turn_is_not_spent() -> None:
    steps = material(NOTHING, ask("1"), call("a"), result("a", "12345"), excluded=[1])
    assert fixed(steps) == 1


def test_reasoning_is_spent_where_the_target_takes_it() -> None:
    steps = material(NOTHING, ask("1"), call("a", reasoning_content="123"), result("a", "1"))
    assert fixed(steps) == 12
    assert fixed(steps, Target("m", "keep_in_tool_loop", thinking=True)) == 15
    assert fixed(steps, Target("other", "keep_in_tool_loop", thinking=True)) == 12


def test_messages_of_the_new_turn_count_but_instructions_do_not() -> None:
    def messages(*current: dict[str, Any]) -> int:
        return spend(material(NOTHING, *current), bounds(), TARGET).room.messages

    assert messages(ask()) == 1
    assert messages(rule(), ask()) == 1
    assert messages(ask(), call("a"), result("a"), answer("")) == 3


# -------------------------------------------------------------------------------------- overflow


def test_what_must_be_sent_may_fill_the_budget_to_the_last_token() -> None:
    made = material(NOTHING, ask("1" * 60), instructions=[rule("1" * 30)], overhead=10)
    assert spend(made, bounds(100), TARGET).room.fixed == 100
    with pytest.raises(ContextOverflow):
        spend(made, bounds(99), TARGET)


def test_an_overflow_has_the_numbers_in_tokens_of_the_model() -> None:
    made = material(NOTHING, ask("1" * 61), instructions=[rule("1" * 31)], overhead=10)
    with pytest.raises(ContextOverflow) as refused:
        spend(made, Limits(100, 100, 50, reserve=64, scale=1.15), TARGET)
    figures = {name: refused.value.figures[name] for name in ("needed", "limit", "reserve")}
    assert figures == {"needed": 118, "limit": 100, "reserve": 64}
    parts = {name: refused.value.figures[name] for name in ("instructions", "tools", "input")}
    assert parts == {"instructions": 36, "tools": 12, "input": 71}


def test_an_overflow_can_be_told_with_what_was_counted_later() -> None:
    assert overflow(material(NOTHING, ask()), bounds(5), 9).figures["needed"] == 9


@given(st.integers(1, 200), st.floats(1, 2), st.integers(1, 300))
def test_what_was_let_through_fits_the_budget_in_tokens_of_the_model(
    letters: int, scale: float, budget: int
) -> None:
    made = material(NOTHING, ask("1" * letters))
    try:
        spend(made, bounds(budget, scale=scale), TARGET)
    except ContextOverflow:
        assert letters * scale > budget
    else:
        assert letters * scale <= budget


# ------------------------------------------------------------------------------------ turns as sent


def as_sent(*turns: Any, target: Target = TARGET) -> list[tuple[int, int]]:
    made = spend(material(path(*turns), ask()), bounds(), target)
    return [(turn.tokens, turn.messages) for turn in reversed(made.turns)]


def test_ordinary_turns_cost_what_the_store_says() -> None:
    assert as_sent(ordinary(1, 10), ordinary(2, 20)) == [(10, 2), (20, 2)]


def test_turns_cost_what_is_sent_of_them() -> None:
    assert as_sent(
        told(1, rule("123"), ask("12"), answer("1")),
        told(2, ask("12"), answer("1"), excluded=[0]),
        told(3, ask("12"), answer("1"), excluded=[1]),
        told(4, ask("12"), answer("")),
        told(5, ask(""), answer("12")),
        told(6, ask("12"), call("a", "b"), result("a", "123"), result("a", "456"), answer("1")),
        told(7, result("z", "123"), ask("12")),
        ordinary(8, 10),
    ) == [(3, 2), (0, 0), (2, 1), (2, 1), (0, 0), (26, 4), (2, 1), (10, 2)]


def test_turns_cost_their_reasoning_where_the_target_takes_it() -> None:
    turn = told(1, ask("12"), answer("1", reasoning_content="123"))
    assert as_sent(turn) == [(3, 2)]
    assert as_sent(turn, target=Target("m", "keep_all", thinking=True)) == [(6, 2)]


# ----------------------------------------------------------------------------------------- pins


def pinned(number: int, letters: int, **more: Any) -> Any:
    return told(number, ask("1" * letters), answer("1"), traits=Trait.PINNED, **more)


def test_pinned_turns_are_spent_where_all_of_them_fit() -> None:
    story = path(pinned(1, 49), ordinary(2), pinned(3, 29))
    room = spend(material(story, ask("1" * 20)), bounds(100), TARGET).room
    assert (room.fixed, room.pins) == (100, True)
    room = spend(material(story, ask("1" * 21)), bounds(100), TARGET).room
    assert (room.fixed, room.pins) == (21, False)


def test_pinned_turns_from_before_what_was_read_are_spent_too() -> None:
    standing = pinned(1, 49).rows + told(2, rule("123")).rows
    read = path(ordinary(3), standing=standing, standing_at=[0, 1, 2], earlier_turns=2)
    room = spend(material(read, ask("1")), bounds(100), TARGET).room
    assert (room.fixed, room.pins) == (54, True)


@pytest.mark.parametrize("more", [{"state": FAILED}, {"excluded": [0]}])
def test_a_pinned_turn_that_is_never_sent_is_not_spent(more: dict[str, Any]) -> None:
    room = spend(material(path(pinned(1, 49, **more)), ask("1")), bounds(100), TARGET).room
    assert (room.fixed, room.pins) == (1, False)


def test_a_pinned_turn_that_was_retracted_is_not_spent() -> None:
    turn = told(1, ask("12345"), answer("1"), traits=Trait.PINNED | Trait.RETRACTED)
    assert not spend(material(path(turn), ask("1")), bounds(100), TARGET).room.pins


# ---------------------------------------------------------------- a turn that outgrows the budget


def steps(count: int, size: int = 10) -> list[dict[str, Any]]:
    """A question of ten letters, and so many calls with results that cost ``size`` + 10 each."""
    story = [ask("1" * 10)]
    for number in range(count):
        story += [call(f"c{number}"), result(f"c{number}", "1" * size)]
    return story


def gone(count: int, budget: int, low: int, **more: Any) -> int:
    return len(spend(material(NOTHING, *steps(count), **more), bounds(budget, low=low), TARGET).gone)


def test_the_oldest_tool_groups_go_until_the_low_mark() -> None:
    assert gone(4, 90, 50) == 0
    assert gone(5, 90, 50) == 3
    assert gone(5, 90, 69) == 3
    assert gone(5, 90, 70) == 2


def test_the_next_steps_cut_at_the_same_place_until_it_is_full_again() -> None:
    assert [gone(count, 90, 50) for count in range(1, 10)] == [0, 0, 0, 0, 3, 3, 3, 6, 6]


def test_the_newest_group_and_the_question_stay_whatever_they_cost() -> None:
    assert gone(3, 30, 0) == 2
    with pytest.raises(ContextOverflow):
        gone(3, 29, 0)


def test_what_stands_before_the_turn_is_spent_first() -> None:
    assert gone(4, 90, 50, overhead=1) == 3


def test_only_groups_that_would_be_sent_can_go() -> None:
    story = [*steps(4), answer("")]
    assert len(spend(material(NOTHING, *story), bounds(90, low=50), TARGET).gone) == 0
    made = spend(material(NOTHING, *steps(5), excluded=[1]), bounds(90, low=50), TARGET)
    assert (len(made.gone), made.room.fixed) == (0, 90)


def test_beside_a_hole_no_older_turn_is_kept() -> None:
    room = spend(material(path(ordinary(1)), *steps(5)), bounds(90, low=50), TARGET).room
    assert room.fixed == room.high == 50
    room = spend(material(path(ordinary(1)), *steps(4)), bounds(95, low=50), TARGET).room
    assert (room.fixed, room.high) == (90, 95)


@given(st.integers(1, 12), st.integers(30, 200), st.integers(0, 200), st.integers(0, 20))
def test_a_turn_that_grows_loses_its_groups_from_the_oldest_on(
    count: int, budget: int, low: int, overhead: int
) -> None:
    def played(steps: int) -> int | None:
        try:
            return gone(steps, budget, min(low, budget), overhead=overhead)
        except ContextOverflow:
            return None

    cuts = [played(each) for each in range(1, count + 1)]
    known = [cut for cut in cuts if cut is not None]
    assert known == sorted(known)
    assert None not in cuts or overhead + 30 > budget
    for number, cut in enumerate(cuts, 1):
        if cut is not None:
            assert cut < number
            assert overhead + 10 + 20 * (number - cut) <= budget


def test_pictures_in_the_new_input_are_counted() -> None:
    assert fixed(material(NOTHING, picture("u", text="123"))) == 103
    assert entry(picture("u", text="123")).tokens == 103
