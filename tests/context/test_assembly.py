"""How is an extraordinary window put together? Message by message, each with its line in the ledger."""

from __future__ import annotations

from typing import Any

import pytest
from tests.context.stories import (
    FAILED,
    INCOMPLETE,
    WAITING,
    answer,
    ask,
    call,
    material,
    ordinary,
    path,
    picture,
    recount,
    result,
    rule,
    told,
)

from multiturn.context import build
from multiturn.decision import Code, Span
from multiturn.messages import Trait
from multiturn.path import Cut, Path
from multiturn.window import Limits, Material, Target, Window

TARGET = Target("m", media=Trait.MEDIA, developer=True)
FIRST = Target("m", media=Trait.MEDIA, system="first")
USER_FIRST = Target("m", media=Trait.MEDIA, opening=False)
Json = dict[str, Any]


def bounds(budget: int = 1000, low: int | None = None, **more: Any) -> Limits:
    return Limits(budget, budget, budget // 2 if low is None else low, **more)


def built(made: Material, target: Target = TARGET, limits: Limits | None = None) -> Window:
    return build(made, limits or bounds(), target, recount)


def sent(made: Material, target: Target = TARGET, limits: Limits | None = None) -> list[Json]:
    return built(made, target, limits).messages


def codes(made: Material, target: Target = TARGET, limits: Limits | None = None) -> list[Code]:
    return [decision.code for decision in built(made, target, limits).decisions]


# ------------------------------------------------------------------------------------ instructions


def test_instructions_in_the_middle_stay_where_they_are() -> None:
    made = material(path(told(1, rule("two"), ask(), answer())), ask("new"), instructions=[rule("one")])
    assert sent(made) == [rule("one"), rule("two"), ask(), answer(), ask("new")]
    assert codes(made) == [Code.SYSTEM, Code.SYSTEM, Code.RECENT, Code.RECENT, Code.NEW]


def test_instructions_are_one_message_where_the_target_takes_only_one() -> None:
    made = material(
        path(told(1, rule("two"), ask(), answer())),
        rule("three"),
        ask("new"),
        instructions=[rule("one")],
        context=[rule("four"), ask("note")],
    )
    assert sent(made, FIRST) == [
        rule("one\n\ntwo\n\nfour\n\nthree"),
        ask(),
        answer(),
        ask("note"),
        ask("new"),
    ]
    assert codes(made, FIRST) == [
        Code.SYSTEM,
        Code.SYSTEM,
        Code.RECENT,
        Code.RECENT,
        Code.CONTEXT,
        Code.CONTEXT,
        Code.SYSTEM,
        Code.NEW,
    ]


def test_the_words_of_a_listed_instruction_are_joined() -> None:
    listed = {"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    assert sent(material(Path(), ask("new"), instructions=[listed, rule("c")]), FIRST)[0] == rule("a\nb\n\nc")


def test_an_instruction_outlives_its_turn() -> None:
    made = material(
        path(told(1, rule("stay"), ask("1" * 50), answer()), ordinary(2)), ask("new"), opening="hello"
    )
    assert sent(made, limits=bounds(40, low=30))[:2] == [answer("hello"), rule("stay")]
    assert codes(made, limits=bounds(40, low=30))[:4] == [
        Code.OPENING,
        Code.SYSTEM,
        Code.OVER_BUDGET,
        Code.OVER_BUDGET,
    ]


@pytest.mark.parametrize(("text", "excluded"), [("stay", [0]), (" ", [])])
def test_an_instruction_that_says_nothing_or_was_left_out_is_never_sent(
    text: str, excluded: list[int]
) -> None:
    turn = told(1, rule(text), ask("1" * 50), answer(), excluded=excluded)
    for budget in (40, 1000):
        made = material(path(turn, ordinary(2)), ask("new"))
        assert "system" not in [message["role"] for message in sent(made, limits=bounds(budget))]


def test_an_instruction_of_a_turn_that_failed_stays_in_force() -> None:
    made = material(path(told(1, rule("stay"), ask(), state=FAILED)), ask("new"))
    assert sent(made) == [rule("stay"), ask("new")]
    assert codes(made) == [Code.SYSTEM, Code.FAILED, Code.NEW]


# ------------------------------------------------------------------------------------ the opening


def test_an_opening_stands_before_everything_but_the_instructions() -> None:
    made = material(path(ordinary(1, 5)), ask("new"), instructions=[rule()], opening="hello")
    assert sent(made)[:3] == [rule(), answer("hello"), ask("1:..")]
    assert codes(made)[:2] == [Code.SYSTEM, Code.OPENING]
    assert built(made).spans[1] == Span(Code.OPENING, 1, 5)


def test_an_opening_is_quoted_where_the_user_must_begin() -> None:
    made = material(path(ordinary(1, 5)), ask("new"), instructions=[rule()], opening="hello")
    for target in (USER_FIRST, Target("m", opening=False, system="first")):
        first, second = sent(made, target)[:2]
        assert first == rule("rule\n\n[You opened this conversation with the words:]\nhello")
        assert second == ask("1:..")


def test_an_opening_without_instructions_is_quoted_in_one_of_its_own() -> None:
    first = sent(material(Path(), ask("new"), opening="hello"), USER_FIRST)[0]
    assert first == rule("[You opened this conversation with the words:]\nhello")


def test_words_before_the_first_question_are_an_opening_too() -> None:
    made = material(path(told(1, answer("hello"))), ask("new"))
    assert sent(made) == [answer("hello"), ask("new")]
    assert codes(made) == [Code.OPENING, Code.NEW]
    assert [message["role"] for message in sent(made, USER_FIRST)] == ["system", "user"]


# ------------------------------------------------------------------------------------ turns


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"state": FAILED}, Code.FAILED),
        ({"state": INCOMPLETE}, Code.INCOMPLETE),
        ({"traits": Trait.RETRACTED}, Code.RETRACTED),
        ({"traits": Trait.MODERATED}, Code.MODERATED),
        ({"excluded": [0]}, Code.EXCLUDED_BY_USER),
    ],
)
def test_a_turn_that_may_not_be_sent_is_left_out_whole(more: Any, code: Code) -> None:
    made = material(path(told(1, ask("old"), answer("old"), **more), ordinary(2, 4)), ask("new"))
    assert sent(made) == [ask("2:."), answer("!"), ask("new")]
    assert codes(made) == [code, code, Code.RECENT, Code.RECENT, Code.NEW]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"state": INCOMPLETE, "traits": Trait.STOPPED}, Code.STOPPED),
        ({"traits": Trait.STOPPED}, Code.STOPPED),
        ({"state": WAITING}, Code.RECENT),
        ({"traits": Trait.PINNED}, Code.PINNED),
    ],
)
def test_a_turn_that_is_sent_says_why(more: Any, code: Code) -> None:
    made = material(path(told(1, ask("old"), answer("so"), **more)), ask("new"))
    assert sent(made) == [ask("old"), answer("so"), ask("new")]
    assert codes(made) == [code, code, Code.NEW]


def test_an_answer_that_was_left_out_takes_its_results_along() -> None:
    turn = told(1, ask("old"), call("a"), result("a"), answer("so"), excluded=[1])
    made = material(path(turn), ask("new"))
    assert sent(made) == [ask("old"), answer("so"), ask("new")]
    gone = Code.EXCLUDED_BY_USER
    assert codes(made) == [Code.RECENT, gone, gone, Code.RECENT, Code.NEW]


def test_an_open_call_is_closed_and_history_is_not_touched() -> None:
    made = material(path(told(1, ask("old"), call("a", "b"), result("b"))), ask("new"))
    messages = sent(made)
    assert messages[:3] == [ask("old"), call("a", "b"), result("b")]
    assert (messages[3]["role"], messages[3]["tool_call_id"]) == ("tool", "a")
    assert "interrupted" in messages[3]["content"]
    assert codes(made) == [Code.RECENT] * 3 + [Code.NEW]


def test_results_without_a_call_stay_behind() -> None:
    made = material(path(told(1, ask("old"), result("z"), answer("so"))), ask("new"))
    assert sent(made) == [ask("old"), answer("so"), ask("new")]
    assert codes(made) == [Code.RECENT, Code.INCOMPLETE, Code.RECENT, Code.NEW]


def test_what_was_left_out_of_messages_is_said_for_them_alone() -> None:
    made = material(path(told(1, picture("u"), answer(name="li"))), ask("new"))
    spans = built(made, Target("m", names=False)).spans
    assert [(span.code, span.messages, span.omitted) for span in spans] == [
        (Code.RECENT, 1, ("modality_unsupported",)),
        (Code.RECENT, 1, ()),
        (Code.NEW, 1, ()),
    ]


def test_the_traits_of_a_window_are_those_of_what_is_sent() -> None:
    gone = told(1, picture("u"), answer(), state=FAILED)
    window = built(material(path(gone, told(2, ask(), answer(name="li"))), ask("new")))
    assert window.traits == Trait.EXTRA


def test_ranges_with_the_same_fate_are_one_line() -> None:
    turns = [told(n, ask("1" * 20), answer(name="li")) for n in range(1, 6)]
    spans = built(material(path(*turns), ask("new")), limits=bounds(60, low=60)).spans
    assert [(span.code, span.messages, span.tokens, span.turns) for span in spans] == [
        (Code.OVER_BUDGET, 6, 78, (1, 3)),
        (Code.RECENT, 4, 52, (4, 5)),
        (Code.NEW, 1, 3, (6, 6)),
    ]
    assert [span.figures for span in spans] == [{"limit": 60, "needed": 133}, {}, {}]


def test_the_figures_are_those_that_decided() -> None:
    turns = [told(n, ask("1" * 20), answer(name="li")) for n in range(1, 4)]
    made = material(path(*turns, cut=Cut(3, "")), ask("new"))
    assert built(made).spans[0].figures == {"limit": 1000}
    counted = material(path(*turns), ask("new"))
    assert built(counted, limits=bounds(max_turns=1)).spans[0].figures == {"turns": 1}


# -------------------------------------------------------------------------- pins and what stands


def pinned(number: int, letters: int = 10) -> Any:
    return told(number, ask("1" * letters), answer("pinned"), traits=Trait.PINNED)


def test_a_pinned_turn_is_sent_from_before_the_window() -> None:
    made = material(path(pinned(1), ordinary(2, 30), ordinary(3, 30)), ask("new"))
    window = built(made, limits=bounds(60, low=60))
    assert [message["content"] for message in window.messages] == [
        "1" * 10,
        "pinned",
        "3:" + "." * 27,
        "!",
        "new",
    ]
    assert [(span.code, span.messages, span.turns) for span in window.spans] == [
        (Code.PINNED, 2, (1, 1)),
        (Code.OVER_BUDGET, 2, (2, 2)),
        (Code.RECENT, 2, (3, 3)),
        (Code.NEW, 1, (4, 4)),
    ]


def test_words_that_open_the_conversation_are_an_opening_for_their_pin_too() -> None:
    opening = told(1, answer("hello"), traits=Trait.PINNED)
    read = path(opening, ordinary(2, 30), ordinary(3, 30))
    limits = bounds(60, low=60)
    assert [message["role"] for message in sent(material(read, ask("new")), USER_FIRST, limits)][:2] == [
        "system",
        "user",
    ]
    unread = path(
        ordinary(3, 30), standing=opening.rows, standing_at=[0], earlier_turns=2, earlier_messages=3
    )
    assert codes(material(unread, ask("new")), limits=limits)[:2] == [Code.OPENING, Code.OVER_BUDGET]


def test_a_pinned_turn_that_does_not_fit_is_a_turn_like_any_other() -> None:
    made = material(path(pinned(1, 40), ordinary(2, 10)), ask("new"))
    assert codes(made, limits=bounds(40, low=20)) == [Code.OVER_BUDGET] * 2 + [Code.RECENT] * 2 + [Code.NEW]
    recent = material(path(ordinary(1, 10), pinned(2, 40)), ask("1" * 55))
    assert codes(recent, limits=bounds(100))[2:4] == [Code.OVER_BUDGET] * 2


def standing(**more: Any) -> Path:
    """Turns 1 to 9 were not read, but for an instruction of turn 3 and the pinned turn 5."""
    rows = [told(3, rule("stay"), ask(), answer()).rows[0], *pinned(5).rows]
    return path(
        ordinary(10, 10), standing=rows, standing_at=[4, 9, 10], earlier_turns=9, earlier_messages=19, **more
    )


def test_what_stands_before_the_window_has_its_place_in_the_ledger() -> None:
    window = built(material(standing(), ask("new")), limits=bounds(max_turns=1))
    assert [message["content"] for message in window.messages] == [
        "stay",
        "1" * 10,
        "pinned",
        "10:......",
        "!",
        "new",
    ]
    assert [(span.code, span.messages, span.turns) for span in window.spans] == [
        (Code.OUTSIDE_WINDOW, 4, (1, 2)),
        (Code.SYSTEM, 1, (3, 3)),
        (Code.OUTSIDE_WINDOW, 4, (3, 4)),
        (Code.PINNED, 2, (5, 5)),
        (Code.OUTSIDE_WINDOW, 8, (6, 9)),
        (Code.RECENT, 2, (10, 10)),
        (Code.NEW, 1, (11, 11)),
    ]
    assert len(window.decisions) == 22


def test_a_pinned_turn_from_before_what_was_read_stays_behind_where_it_does_not_fit() -> None:
    window = built(material(standing(), ask("1" * 85)), limits=bounds(100, low=100))
    assert [decision.code for decision in window.decisions][9:11] == [Code.OVER_BUDGET] * 2
    assert "pinned" not in [message["content"] for message in window.messages]


def test_an_instruction_after_the_first_message_of_its_turn_parts_the_turn() -> None:
    rows = [told(1, ask(), rule("stay"), answer()).rows[1]]
    read = path(ordinary(2), standing=rows, standing_at=[1], earlier_turns=1, earlier_messages=3)
    spans = built(material(read, ask("new")), limits=bounds(max_turns=1)).spans
    assert [(span.code, span.messages, span.turns) for span in spans][:3] == [
        (Code.OUTSIDE_WINDOW, 1, (1, 1)),
        (Code.SYSTEM, 1, (1, 1)),
        (Code.OUTSIDE_WINDOW, 1, (1, 1)),
    ]


# ------------------------------------------------------------------------- material and new input


def test_material_for_this_step_stands_right_before_the_new_input() -> None:
    made = material(path(ordinary(1, 4)), ask("new"), context=[ask("note"), rule("today")])
    assert sent(made) == [ask("1:."), answer("!"), ask("note"), rule("today"), ask("new")]
    assert built(made).spans[1] == Span(Code.CONTEXT, 2, 9)


def test_the_steps_of_the_new_turn_follow_its_input() -> None:
    made = material(Path(), ask("new"), call("a"), result("a"))
    assert sent(made) == [ask("new"), call("a"), result("a")]
    assert codes(made) == [Code.NEW, Code.TOOL_PAIR, Code.TOOL_PAIR]


def test_a_result_without_a_call_in_the_new_turn_stays_behind() -> None:
    assert codes(material(Path(), result("z"), ask("new"))) == [Code.INCOMPLETE, Code.NEW]


def test_a_hole_is_marked_at_the_end_of_the_input() -> None:
    steps = [ask("1" * 10)]
    for name in "abcde":
        steps += [call(name), result(name, "1" * 60)]
    made = material(path(ordinary(1)), *steps, result("z"))
    messages = sent(made, limits=bounds(300, low=200))
    assert [message["role"] for message in messages] == ["user", *["assistant", "tool"] * 2]
    assert messages[0]["content"] == "1" * 10 + (
        "\n\n[3 earlier tool calls of this turn were left out to fit the window]"
    )
    assert messages[1:] == steps[-4:]


def test_a_mark_leaves_the_input_its_name() -> None:
    steps = [ask("one", name="ada"), *(m for n in "abcd" for m in (call(n), result(n, "1" * 60)))]
    messages = sent(material(Path(), *steps), limits=bounds(250, low=160))
    assert messages[0]["name"] == "ada"
    assert messages[0]["content"].startswith("one\n\n[")


def test_a_hole_is_marked_on_what_the_user_said_last() -> None:
    steps = [ask("one"), ask("two"), *(m for n in "abcd" for m in (call(n), result(n, "1" * 60)))]
    messages = sent(material(Path(), *steps), limits=bounds(250, low=160))
    assert messages[0] == ask("one")
    assert messages[1]["content"].startswith("two\n\n[")
    messages = sent(material(Path(), *steps[:2], rule(), *steps[2:]), limits=bounds(250, low=160))
    assert messages[1]["content"].startswith("two\n\n[")
    assert messages[2] == rule()


def test_a_window_without_any_user_has_no_place_for_a_mark() -> None:
    made = material(Path(), *(answer("1" * 30) for _ in range(4)))
    assert sent(made, limits=bounds(100, low=60)) == [answer("1" * 30)] * 2


# ------------------------------------------------------------------------------------ images


def test_the_images_that_count_are_those_that_are_sent() -> None:
    seen = told(1, picture("seen"), answer())
    unseen = told(2, picture("gone"), answer(), traits=Trait.RETRACTED)
    left_out = told(3, ask("old"), picture("out") | {"role": "assistant"}, excluded=[1])
    made = material(path(seen, unseen, left_out), ask("new"))
    assert sent(made, limits=bounds(images="last"))[0] == picture("seen")
    assert sent(made, limits=bounds(images=1))[0] == picture("seen")


def test_images_that_fell_into_a_hole_do_not_count() -> None:
    old = told(1, picture("old"), answer("so"), traits=Trait.PINNED)
    seen = result("a") | {"content": picture("gone", "too")["content"]}
    steps = [ask("new"), call("a"), seen, call("b"), result("b", "1" * 60), call("c"), result("c", "1" * 60)]
    messages = sent(material(path(old), *steps), limits=bounds(330, low=150, images="last"))
    assert "left out" in messages[2]["content"]
    assert messages[0] == picture("old")


def test_the_new_input_is_sent_whole_whatever_the_limit() -> None:
    made = material(path(told(1, picture("old"), answer())), picture("a", "b"))
    for images in (0, 1, 2, "last"):
        messages = sent(made, limits=bounds(images=images))
        assert messages[-1] == picture("a", "b")
        assert messages[0] == ask("see\n[image left out]")
    assert sent(made, limits=bounds(images=3))[0] == picture("old")


def test_a_cut_is_kept_with_the_window() -> None:
    turns = [told(n, ask("1" * 20), answer(name="li")) for n in range(1, 6)]
    limits = bounds(60, low=60, key="policy")
    assert built(material(path(*turns), ask("new")), limits=limits).cut == Cut(4, "policy", 1.0)
