"""In what order do these run? The ordinary window from stored bytes, any other message by message."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.context.stories import (
    FAILED,
    Told,
    answer,
    ask,
    call,
    count,
    material,
    ordinary,
    path,
    picture,
    recount,
    result,
    rule,
    told,
)

from multiturn.context import build, enough
from multiturn.context.assembly import rows_of
from multiturn.conversations import Summary
from multiturn.decision import Code, Span
from multiturn.errors import ContextOverflow
from multiturn.messages import Trait
from multiturn.path import Cut, Path, Source
from multiturn.window import Limits, Material, Quotation, Target, Window

TARGET = Target("m", media=Trait.MEDIA, developer=True)
ALTERNATE = Target("m", media=Trait.MEDIA, alternate=True)
KEY = "policy"


def bounds(budget: int = 1000, high: int | None = None, low: int | None = None, **more: Any) -> Limits:
    high = budget if high is None else high
    return Limits(budget, high, high // 2 if low is None else low, key=KEY, **more)


def built(made: Material, limits: Limits | None = None, target: Target = TARGET) -> Window:
    return build(made, limits or bounds(), target, recount)


def words(window: Window) -> list[str]:
    return [message["content"] for message in window.messages]


# --------------------------------------------------------------------------- the ordinary window


def test_an_ordinary_window_is_its_stored_bytes_in_order() -> None:
    made = material(path(ordinary(1), ordinary(2)), ask("new"), instructions=[rule()])
    window = built(made)
    assert window.messages == [
        rule(),
        ask("1:......."),
        answer("!"),
        ask("2:......."),
        answer("!"),
        ask("new"),
    ]
    assert (window.tokens, window.traits, window.cut) == (27, 0, None)
    assert (window.limits, window.target) == (bounds(), TARGET)
    assert window.spans == (
        Span(Code.SYSTEM, 1, 4),
        Span(Code.RECENT, 4, 20, (1, 2)),
        Span(Code.NEW, 1, 3, (3, 3)),
    )


def test_an_ordinary_window_says_what_stays_behind_and_why() -> None:
    window = built(material(path(*(ordinary(n) for n in range(1, 6))), ask("new")), bounds(52, low=30))
    assert words(window) == ["4:.......", "!", "5:.......", "!", "new"]
    assert window.cut == Cut(4, KEY, 1.0)
    assert window.tokens == 23
    assert window.spans[0] == Span(Code.OVER_BUDGET, 6, None, (1, 3), figures={"limit": 52, "needed": 53})
    assert window.spans[1] == Span(Code.RECENT, 4, 20, (4, 5))


def test_a_window_that_keeps_no_turn_still_says_so() -> None:
    window = built(material(path(ordinary(1), ordinary(2)), ask("new")), bounds(12, low=6))
    assert words(window) == ["new"]
    assert window.spans[0] == Span(Code.OVER_BUDGET, 4, None, (1, 2), figures={"limit": 12, "needed": 23})


def test_what_was_never_read_is_left_out_with_the_rest() -> None:
    made = material(path(ordinary(4), earlier_turns=3, earlier_messages=9), ask("new"))
    window = built(made, bounds(max_turns=1))
    assert window.spans[0] == Span(Code.OUTSIDE_WINDOW, 9, None, (1, 3), figures={"turns": 1})
    assert len(window.decisions) == 12


def test_a_count_names_the_limits_that_were_set() -> None:
    made = material(path(ordinary(1), ordinary(2)), ask("new"))
    assert built(made, bounds(max_turns=1, max_messages=9)).spans[0].figures == {"turns": 1, "messages": 9}
    assert built(made, bounds(max_messages=3)).spans[0].figures == {"messages": 3}


def test_a_cut_that_still_holds_names_its_mark_only() -> None:
    read = path(ordinary(1), ordinary(2), cut=Cut(2, KEY))
    window = built(material(read, ask("new")))
    assert window.spans[0] == Span(Code.OVER_BUDGET, 2, None, (1, 1), figures={"limit": 1000})
    assert window.cut == Cut(2, KEY)


def test_figures_are_in_tokens_of_the_model() -> None:
    window = built(material(path(ordinary(1)), ask("new"), overhead=10), bounds(scale=1.15))
    assert window.tokens == 27
    assert window.spans == (Span(Code.RECENT, 2, 12, (1, 1)), Span(Code.NEW, 1, 4, (2, 2)))


def test_an_answer_that_was_asked_for_again_may_stand_at_the_end() -> None:
    assert words(built(material(path(ordinary(1)), ask("new"), answer("half")))) == [
        "1:.......",
        "!",
        "new",
        "half",
    ]


def test_a_look_at_the_window_needs_no_new_input() -> None:
    window = built(material(path(ordinary(1))))
    assert words(window) == ["1:.......", "!"]
    assert [span.code for span in window.spans] == [Code.RECENT]


letters = st.lists(st.integers(4, 40), max_size=8)


@given(letters, st.integers(0, 3), st.integers(20, 200), st.none() | st.integers(0, 9), st.data())
def test_the_short_way_and_the_long_way_lead_to_the_same_window(
    sizes: list[int], earlier: int, budget: int, most: int | None, data: st.DataObject
) -> None:
    stories = [ordinary(earlier + n, size) for n, size in enumerate(sizes, 1)]
    cut = data.draw(st.none() | st.integers(1, 9).map(lambda turn: Cut(turn, KEY)))
    short = path(*stories, cut=cut, earlier_turns=earlier, earlier_messages=2 * earlier)
    long = short._replace(bodies=(), rows=[row for each in stories for row in each.rows])
    limits = bounds(budget, max_turns=most)
    one, other = (built(material(p, ask("new"), instructions=[rule()]), limits) for p in (short, long))
    assert (one.body, one.tokens, one.cut) == (other.body, other.tokens, other.cut)
    assert [d.code for d in one.decisions] == [d.code for d in other.decisions]


# ------------------------------------------------------------------------- when the long way is taken


@pytest.mark.parametrize(
    ("made", "target"),
    [
        (material(path(ordinary(1)), ask(), opening="welcome"), TARGET),
        (material(path(ordinary(1)), ask(), context=[ask("note")]), TARGET),
        (material(path(ordinary(1)), ask(), instructions=[rule(), rule()]), Target("m", system="first")),
        (material(path(ordinary(1)), ask(), instructions=[rule(role="developer")]), Target("m")),
        (
            material(path(ordinary(1)), ask()),
            Target("m", "keep_all", reasoning_required="always", thinking=True),
        ),
        (material(path(ordinary(1)), ask("x", name="li")), Target("m", names=False)),
        (material(path(ordinary(1)), rule(), ask()), Target("m", system="first")),
        (material(path(told(1, ask("x", name="li"), answer())), ask()), Target("m", names=False)),
        (
            material(
                path(ordinary(2), standing=told(1, rule()).rows, standing_at=[0], earlier_turns=1), ask()
            ),
            TARGET,
        ),
    ],
)
def test_what_bytes_alone_cannot_do_is_done_message_by_message(made: Material, target: Target) -> None:
    window = build(made, bounds(), target, recount)
    stored = [*made.path.bodies, *(row.body for row in made.current)]
    assert window.body != b"[" + b",".join(stored) + b"]"


# ------------------------------------------------------------------------------- counted again


def test_a_window_whose_messages_were_changed_is_counted_as_it_is_sent() -> None:
    made = material(path(told(1, picture("u", text="12345"), answer("1"))), ask("12"))
    window = built(made, bounds(images=0))
    assert window.tokens == sum(count(message) for message in window.messages) == 25


def test_overhead_and_scale_are_counted_again_too() -> None:
    made = material(path(told(1, picture("u", text="12345"), answer("1"))), ask("12"), overhead=10)
    assert built(made, bounds(images=0, scale=1.5)).tokens == 53


def test_a_window_that_grew_when_it_was_put_together_is_built_with_less() -> None:
    stories = [told(n, ask("1" * 8), answer("2"), answer("3")) for n in range(1, 4)]
    made = material(path(*stories), ask("1" * 8), context=[ask("3" * 8)])
    assert built(made).tokens == 46
    assert built(made, target=ALTERNATE).tokens == 54
    tight = built(made, bounds(53), ALTERNATE)
    assert (tight.tokens, tight.limits, tight.cut) == (30, bounds(53), Cut(3, KEY, 1.0))
    assert tight.spans[0] == Span(Code.OVER_BUDGET, 6, 20, (1, 2), figures={"limit": 53})


def test_an_open_call_of_an_old_turn_never_costs_the_new_input_its_place() -> None:
    made = material(path(told(1, ask("1"), call("a"))), ask("new"), instructions=[rule()])
    assert built(made).tokens > 30
    assert words(built(made, bounds(30))) == ["rule", "new"]


def test_old_turns_go_before_the_steps_of_the_new_one() -> None:
    steps = [ask("1"), *(m for n in "abc" for m in (call(n), result(n, "2" * 10)))]
    made = material(path(told(1, ask("1"), call("z"))), *steps)
    window = built(made, bounds(75))
    assert (window.tokens, len(window.messages)) == (61, 7)


def test_steps_that_were_never_answered_go_before_the_input_is_refused() -> None:
    steps = [ask("1"), *(call(n) for n in "abcd")]
    window = built(material(Path(), *steps), bounds(150))
    assert window.tokens <= 150
    assert window.messages[-2]["tool_calls"][0]["id"] == "d"
    assert window.messages[0]["content"].startswith("1\n\n[")
    with pytest.raises(ContextOverflow):
        built(material(Path(), *steps), bounds(50))


def test_pins_go_before_the_input_is_refused() -> None:
    pinned = told(1, ask("1"), call("z"), traits=Trait.PINNED)
    assert [d.code for d in built(material(path(pinned), ask("new"))).decisions][:1] == [Code.PINNED]
    assert words(built(material(path(pinned), ask("new")), bounds(30))) == ["new"]


def test_an_input_that_grew_above_the_budget_is_refused_with_what_it_needs() -> None:
    made = material(Path(), ask("1" * 8), context=[ask("3" * 8)])
    assert built(made, bounds(18), ALTERNATE).tokens == 18
    with pytest.raises(ContextOverflow) as refused:
        built(made, bounds(17), ALTERNATE)
    assert (refused.value.figures["needed"], refused.value.figures["limit"]) == (18, 17)


def test_an_input_that_never_fitted_is_refused_with_its_own_numbers() -> None:
    with pytest.raises(ContextOverflow) as refused:
        built(material(path(ordinary(1)), ask("1" * 18)), bounds(17))
    assert refused.value.figures["needed"] == 18


@pytest.mark.parametrize("always", [1_001, 2_000])
def test_a_counter_that_never_agrees_does_not_go_on_for_ever(always: int) -> None:
    """A turn costs 10 and has one message that is merged from two; so the counter knows what is wanted."""
    stories = [told(n, ask("1" * 8), answer("2"), answer("3")) for n in range(1, 30)]
    made = material(path(*stories), ask("1" * 8), context=[ask("3" * 8)])
    asked: list[int] = []

    def contrary(pieces: Sequence[bytes]) -> int:
        asked.append(len(pieces))
        return always - 16 - 10 * (len(pieces) - 1) if len(asked) % 2 else 0

    with pytest.raises(ContextOverflow) as refused:
        build(made, bounds(1_000), ALTERNATE, contrary)
    assert cast("int", refused.value.figures["needed"]) == always


@given(letters, st.integers(20, 120), st.integers(1, 8))
def test_whatever_is_merged_the_window_stays_within_its_budget(
    sizes: list[int], budget: int, note: int
) -> None:
    stories = [told(n, ask("1" * size), answer("2"), answer("3")) for n, size in enumerate(sizes, 1)]
    made = material(path(*stories), ask("1" * 8), context=[ask("4" * note)])
    window = built(made, bounds(budget), ALTERNATE)
    assert window.tokens <= budget
    assert window.tokens == sum(count(message) for message in window.messages)
    assert len(window.decisions) == 3 * len(sizes) + 2


# ------------------------------------------------------------------------------------- enough


def test_what_was_chosen_is_what_is_built() -> None:
    made = material(path(*(ordinary(n) for n in range(1, 6))), ask("new"))
    limits = bounds(52, low=30)
    chosen = enough(made, limits, TARGET)
    assert chosen is not None
    assert build(made, limits, TARGET, recount, chosen) == built(made, limits)


def test_a_path_that_was_not_read_far_enough_is_not_enough() -> None:
    failed = [told(n, ask("12345"), answer("1"), state=FAILED) for n in (4, 5)]
    read = path(ordinary(3), *failed, earlier_turns=2, earlier_messages=4)
    assert enough(material(read, ask()), bounds(max_turns=1), TARGET) is None
    assert enough(material(read, ask()), bounds(max_turns=0), TARGET) is not None


def test_what_cannot_fit_is_known_before_anything_is_built() -> None:
    with pytest.raises(ContextOverflow):
        enough(material(Path(), ask("1" * 18)), bounds(17), TARGET)


# --------------------------------------------------------------------------------- determinism

shapes: Sequence[st.SearchStrategy[list[dict[str, Any]]]] = [
    st.just([ask("1" * 7), answer("2")]),
    st.just([ask("x", name="li"), answer("2", reasoning_content="hm")]),
    st.just([ask("1"), call("a"), result("a", "3"), answer("4")]),
    st.just([ask("1"), call("a", "b"), result("b", "3")]),
    st.just([rule("5"), ask("1"), answer("2")]),
    st.just([picture("u", "v"), answer("2")]),
    st.just([ask(""), answer("2")]),
    st.just([answer("hello")]),
]


@st.composite
def stories(draw: st.DrawFn) -> list[Told]:
    turns = draw(st.lists(st.one_of(*shapes), max_size=6))
    marks = st.sampled_from((0, 0, 0, Trait.PINNED, Trait.RETRACTED))
    return [told(n, *turn, traits=draw(marks)) for n, turn in enumerate(turns, 1)]


@given(stories(), st.integers(30, 300), st.sampled_from(["all", "last", 0, 1]), st.booleans())
def test_the_same_material_gives_the_same_bytes_and_one_decision_a_message(
    turns: list[Told], budget: int, images: Any, strict: bool
) -> None:
    target = Target(
        "m", "keep_all", thinking=True, system="first", opening=False, alternate=True, parts=False
    )
    made = material(path(*turns), ask("new"), instructions=[rule()])
    limits = bounds(budget, images=images)
    one, other = (built(made, limits, target if strict else TARGET) for _ in range(2))
    assert one == other
    assert one.tokens <= budget
    assert len(one.decisions) == 2 + sum(turn.turn.messages for turn in turns)
    assert one.messages[-1]["content"].endswith("new")


# ------------------------------------------------------------------------------- quotations in front


@st.composite
def quoting(draw: st.DrawFn) -> tuple[Material, Limits]:
    """Ordinary turns, of which only the bodies were read, something quoted in front of some of them, of the
    new input, or of both."""
    first, count_ = draw(st.integers(1, 4)), draw(st.integers(0, 6))
    turns = [ordinary(first + number, draw(st.integers(10, 60))) for number in range(count_)]
    quoted = draw(st.sets(st.integers(0, count_ - 1))) if count_ else set()
    quotes = {number: f"[quoted {number}]" for number in quoted}
    figures = [
        each.turn._replace(traits=Trait.QUOTED, tokens=each.turn.tokens + len(quotes[number]))
        if number in quotes
        else each.turn
        for number, each in enumerate(turns)
    ]
    read = path(*turns, earlier_turns=first - 1, earlier_messages=2 * (first - 1))._replace(
        turns=figures[::-1],
        quotes=[(2 * number, quotes[number].encode()) for number in sorted(quotes)],
        summary=Summary(1, draw(st.integers(1, first - 1)), "They said much.", 15)
        if first > 1 and draw(st.booleans())
        else None,
    )
    made = material(read, ask(draw(st.sampled_from(("new", "new " * 20)))), instructions=[rule()])
    made = made._replace(recalled=draw(st.sampled_from((None, *_recalled(first)))))
    counts = {"max_messages": draw(st.sampled_from((None, 1, 4, 7)))}
    fold = draw(st.sampled_from((None, 100)))
    limits = bounds(draw(st.sampled_from((40, 90, 200, 1000))), fold=fold, summary_tokens=20, **counts)
    return made, limits


def _recalled(first: int) -> list[Quotation]:
    far = Source(1, 0, 0.7, at=0)
    elsewhere = Source(3, 0, 0.5, "other")
    text = b"[recalled]"
    found = [Quotation(text, len(text), (elsewhere,)), Quotation(below=far, margin=0.9)]
    return [*found, Quotation(text, len(text), (far, elsewhere), first=first)] if first > 1 else found[:1]


@given(quoting())
def test_quotations_in_front_of_stored_bytes_are_sent_and_told_as_message_by_message(
    case: tuple[Material, Limits],
) -> None:
    made, limits = case
    rows = made._replace(path=made.path._replace(rows=rows_of(made.path), bodies=(), quotes=()))
    if not made.path.quotes and not (made.recalled and made.recalled.text):
        return
    try:
        expected = built(rows, limits)
    except ContextOverflow as error:
        with pytest.raises(ContextOverflow, match=re.escape(str(error))):
            built(made, limits)
        return
    window = built(made, limits)
    assert window.messages == expected.messages
    assert window.body == expected.body
    assert list(window.spans) == list(expected.spans)
    assert (window.tokens, window.cut) == (expected.tokens, expected.cut)
    assert window.traits | Trait.INSTRUCTION == expected.traits
    assert (window.waiting, window.recalled) == (expected.waiting, expected.recalled)
