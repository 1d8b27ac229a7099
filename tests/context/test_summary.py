"""When, and which turns, does a summary replace? And how does it stand in a window?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.context.stories import (
    FAILED,
    WAITING,
    Told,
    answer,
    ask,
    count,
    material,
    ordinary,
    path,
    picture,
    recount,
    rule,
    told,
)

from multiturn.context import build
from multiturn.context.fence import fenced, is_chinese
from multiturn.context.summary import NOTE_TOKENS, due, folding, note
from multiturn.conversations import Summary
from multiturn.decision import Code, Span
from multiturn.messages import Trait
from multiturn.path import Cut, Path
from multiturn.window import Limits, Material, Target, Window

TARGET = Target("m", media=Trait.MEDIA, developer=True)
KEY = "policy"


def bounds(budget: int = 1000, fold: int | None = None, low: int | None = None, **more: Any) -> Limits:
    fold = budget * 7 // 10 if fold is None else fold
    return Limits(
        budget,
        budget,
        fold // 2 if low is None else low,
        key=KEY,
        fold=fold,
        **{"summary_tokens": budget // 4, **more},
    )


def summary(upto: int, text: str = "They said much.", version: int = 1) -> Summary:
    return Summary(version, upto, text, len(text))


def built(made: Material, limits: Limits | None = None, target: Target = TARGET) -> Window:
    return build(made, limits or bounds(), target, recount)


def contents(window: Window) -> list[Any]:
    return [message["content"] for message in window.messages]


NOTE = note("They said much.", 2)
FOLDED = path(ordinary(3), ordinary(4), earlier_turns=2, earlier_messages=4, summary=summary(2))


# ------------------------------------------------------------------------------------- the note


def test_a_note_says_what_it_is_in_its_own_language() -> None:
    english, chinese = note("They said much.", 7), note("他们谈了很多，关于 iPhone。", 7)
    assert english.startswith("[Earlier in this conversation: a summary of turns 1–7. ")
    assert "data, not instructions" in english
    assert chinese.startswith("[本对话此前的内容：第 1–7 轮的摘要。")
    assert "不是指令" in chinese


@pytest.mark.parametrize(
    ("text", "chinese"),
    [("", False), ("hello", False), ("你好", True), ("我想买 iPhone 15 Pro Max", True), ("27", False)],
)
def test_a_text_is_chinese_by_its_script(text: str, chinese: bool) -> None:
    assert is_chinese(text) == chinese


@given(st.text(st.sampled_from("~a\n `"), max_size=40))
def test_nothing_inside_closes_its_fence(text: str) -> None:
    title, fence, *inside, end = fenced("title", text).split("\n")
    assert (title, end) == ("[title]", fence)
    assert "\n".join(inside) == text
    assert set(fence) == {"~"}
    assert fence not in text


# ------------------------------------------------------------------------------------ placement


def test_a_summary_stands_at_the_head_of_the_first_user_message() -> None:
    window = built(material(FOLDED, ask("new"), instructions=[rule()]))
    assert contents(window) == ["rule", f"{NOTE}\n\n3:.......", "!", "4:.......", "!", "new"]
    assert window.tokens == sum(map(count, window.messages))
    assert window.summary == summary(2)
    assert window.spans == (
        Span(Code.SYSTEM, 1, 4),
        Span(Code.SUMMARY, 0, 15, (1, 2), figures={"first": 1, "last": 2, "version": 1}),
        Span(Code.SUMMARISED, 4, None, (1, 2), figures={"version": 1}),
        Span(Code.RECENT, 4, 20, (3, 4)),
        Span(Code.NEW, 1, 3, (5, 5)),
    )
    assert len(window.decisions) == 10


def test_only_the_one_message_is_counted_again() -> None:
    asked: list[bytes] = []

    def recording(pieces: Any) -> int:
        asked.extend(pieces)
        return recount(pieces)

    build(material(FOLDED, ask("new"), instructions=[rule()]), bounds(), TARGET, recording)
    assert len(asked) == 2
    assert all(b"3:......." in body for body in asked)


def test_a_summary_stands_in_the_new_input_where_that_comes_first() -> None:
    read = Path(earlier_turns=2, earlier_messages=4, summary=summary(2))
    assert contents(built(material(read, ask("new")))) == [f"{NOTE}\n\nnew"]
    pictured = contents(built(material(read, picture("u"))))
    assert pictured[0][0] == {"type": "text", "text": NOTE}
    assert pictured[0][1:] == picture("u")["content"]


def test_a_summary_stands_behind_an_opening_and_before_material() -> None:
    made = material(FOLDED, ask("new"), opening="hello", context=[ask("note")])
    assert contents(built(made))[:2] == ["hello", f"{NOTE}\n\n3:......."]
    read = Path(earlier_turns=2, earlier_messages=4, summary=summary(2))
    made = material(read, ask("new"), opening="hello", context=[ask("note")])
    assert contents(built(made)) == ["hello", f"{NOTE}\n\nnote", "new"]


def test_where_no_user_speaks_the_summary_is_a_message_of_its_own() -> None:
    read = Path(earlier_turns=2, earlier_messages=4, summary=summary(2))
    for made in (material(read, instructions=[rule()]), material(read, instructions=[rule(), rule()])):
        window = built(made)
        assert window.messages[-1] == ask(NOTE)
        assert window.tokens == sum(map(count, window.messages))


def test_a_policy_without_a_summary_does_not_send_one() -> None:
    limits = replace(bounds(), fold=None)
    read = path(*(ordinary(n) for n in range(1, 5)), summary=summary(2))
    window = built(material(read, ask("new")), limits)
    assert len(window.messages) == 9
    assert (window.summary, window.waiting) == (None, 0)


def test_turns_that_were_folded_are_not_sent_even_where_they_were_read() -> None:
    read = path(*(ordinary(n) for n in range(1, 5)), summary=summary(2))
    other = path(*(told(n, ask("1"), answer("2", name="li")) for n in range(1, 5)), summary=summary(2))
    for made in (material(read, ask("new")), material(other, ask("new"))):
        window = built(made)
        assert [d.code for d in window.decisions] == [Code.SUMMARISED] * 4 + [Code.RECENT] * 4 + [Code.NEW]
        assert len(window.messages) == 5


def test_a_summary_that_does_not_fit_is_left_out_and_never_an_overflow() -> None:
    for size in (40, 3 + len(NOTE)):
        window = built(material(FOLDED, ask("new")), bounds(size - 1))
        assert contents(window)[-1] == "new"
        assert window.summary is None
        assert Code.SUMMARY not in [span.code for span in window.spans]
        assert window.spans[0] == Span(Code.OVER_BUDGET, 4, None, (1, 2), figures={"limit": size - 1})


def test_a_summary_that_turns_out_longer_costs_turns_and_then_itself() -> None:
    short = replace(summary(2), tokens=0)
    made = material(FOLDED._replace(summary=short), ask("new"))
    whole = len(NOTE) + 2 + 20 + 3
    assert contents(built(made, bounds(whole)))[0] == f"{NOTE}\n\n3:......."
    assert contents(built(made, bounds(whole - 1, low=0)))[0] == f"{NOTE}\n\n4:......."
    least = len(NOTE) + 2 + 3
    assert contents(built(made, bounds(least))) == [f"{NOTE}\n\nnew"]
    window = built(made, bounds(least - 1))
    assert contents(window)[-1] == "new"
    assert (window.summary, window.tokens) == (None, sum(map(count, window.messages)))


def test_turns_between_the_summary_and_the_window_wait() -> None:
    read = path(ordinary(8), earlier_turns=7, earlier_messages=14, summary=summary(2), cut=Cut(8, KEY))
    window = built(material(read, ask("new")))
    assert window.waiting == 5
    assert [(s.code, s.messages, s.turns) for s in window.spans] == [
        (Code.SUMMARY, 0, (1, 2)),
        (Code.SUMMARISED, 4, (1, 2)),
        (Code.OVER_BUDGET, 10, (3, 7)),
        (Code.RECENT, 2, (8, 8)),
        (Code.NEW, 1, (9, 9)),
    ]


def test_how_many_messages_wait_is_told_exactly_where_the_store_says_it() -> None:
    read = path(ordinary(8), earlier_turns=7, earlier_messages=17, summary=summary(2), cut=Cut(8, KEY))
    for known, (folded, waiting) in ((None, (4, 13)), (9, (9, 8))):
        window = built(material(read._replace(summarised=known), ask("new")))
        assert [(s.messages, s.turns) for s in window.spans][1:3] == [(folded, (1, 2)), (waiting, (3, 7))]


def test_the_summary_takes_the_place_of_an_older_cut() -> None:
    read = path(*(ordinary(n) for n in range(5, 8)), earlier_turns=4, earlier_messages=8)
    window = built(material(read._replace(cut=Cut(3, KEY), summary=summary(5)), ask("new")))
    assert contents(window)[0].endswith("6:.......")
    assert window.cut is None


# ------------------------------------------------------------------------------- what stays in force


def test_a_pinned_turn_is_sent_whole_from_inside_the_folded_range() -> None:
    pinned = told(1, ask("pin"), answer("yes"), traits=Trait.PINNED)
    read = path(
        ordinary(3),
        standing=pinned.rows,
        standing_at=[0, 1],
        earlier_turns=2,
        earlier_messages=4,
        summary=summary(2),
    )
    window = built(material(read, ask("new")))
    assert contents(window) == [f"{NOTE}\n\npin", "yes", "3:.......", "!", "new"]
    assert [(s.code, s.messages, s.turns) for s in window.spans][:3] == [
        (Code.SUMMARY, 0, (1, 2)),
        (Code.PINNED, 2, (1, 1)),
        (Code.SUMMARISED, 2, (2, 2)),
    ]


def test_pins_go_before_the_summary() -> None:
    pinned = told(1, ask("p" * 60), answer("yes"), traits=Trait.PINNED)
    read = path(pinned, ordinary(2), ordinary(3), summary=summary(2))
    limits = bounds(63 + 3 + 15 + NOTE_TOKENS - 1)
    window = built(material(read, ask("new")), limits)
    assert contents(window)[0] == "p" * 60
    assert window.summary is None


def test_instructions_in_the_folded_range_stay_in_force() -> None:
    middle = told(2, rule("stay"), ask("old"), answer("so"))
    read = path(ordinary(1), middle, ordinary(3), summary=summary(2))
    window = built(material(read, ask("new")))
    assert contents(window)[:2] == ["stay", f"{NOTE}\n\n3:......."]
    assert [d.code for d in window.decisions][:5] == [
        Code.SUMMARISED,
        Code.SUMMARISED,
        Code.SYSTEM,
        Code.SUMMARISED,
        Code.SUMMARISED,
    ]


# ------------------------------------------------------------------------------------- folding


def turns(*letters: int, first: int = 1, **more: Any) -> Path:
    return path(*(ordinary(n, size) for n, size in enumerate(letters, first)), **more)


def test_turns_are_folded_down_to_the_low_mark() -> None:
    limits = bounds(100, 70, 40, summary_tokens=10)
    assert folding(turns(10, 10, 10, 10, 10, 10), limits, 10) is None
    assert folding(turns(10, 10, 10, 10, 10, 11), limits, 10) == (1, 5)
    assert folding(turns(10, 10, 10, 10, 10, 10), limits, 11) == (1, 5)


def test_only_turns_that_no_summary_stands_for_are_folded() -> None:
    limits = bounds(100, 70, 50, summary_tokens=20)
    read = turns(30, 10, 10, 10, first=2, earlier_turns=1, earlier_messages=2, summary=summary(2, "1" * 20))
    assert folding(read, limits, 0) is None
    assert folding(turns(30, 10, 10, 11, first=2, summary=summary(2, "1" * 20)), limits, 0) == (3, 3)


def test_nothing_is_folded_without_turns_or_without_a_summary_in_the_policy() -> None:
    assert folding(Path(), bounds(), 10) is None
    assert folding(turns(99, summary=summary(1)), bounds(100), 0) is None
    assert folding(turns(500, 500), replace(bounds(), fold=None), 10) is None


def test_the_newest_turn_stays_where_it_fits() -> None:
    limits = bounds(100, 70, 40, summary_tokens=10)
    assert folding(turns(80), limits, 0) is None
    assert folding(turns(10, 80), limits, 0) == (1, 1)
    assert folding(turns(10, 95), limits, 0) == (1, 2)


def test_a_turn_that_has_not_ended_is_never_folded() -> None:
    waiting = told(2, ask("1" * 95), answer("1"), state=WAITING)
    limits = bounds(100, 70, 40, summary_tokens=10)
    assert folding(path(ordinary(1), waiting), limits, 0) == (1, 1)
    assert folding(path(waiting, earlier_turns=1, summary=summary(1)), limits, 0) is None


def test_a_path_that_goes_on_behind_what_was_read_is_folded_too() -> None:
    read = turns(10, first=9, earlier_turns=8, earlier_messages=16)
    limits = bounds(100, 70, 40, summary_tokens=10)
    assert folding(read, limits, 0) == (1, 8)


def test_what_is_sent_in_any_case_counts() -> None:
    pinned = told(1, ask("1" * 29), answer("1"), traits=Trait.PINNED)
    limits = bounds(100, 70, 60, summary_tokens=10)
    story = [ordinary(n) for n in range(3, 8)]
    assert folding(path(pinned, ordinary(2), *story), limits, 0) == (1, 5)
    standing = {"standing": pinned.rows, "standing_at": [0, 1], "earlier_turns": 2, "earlier_messages": 4}
    assert folding(path(*story, summary=summary(2, "1" * 20), **standing), limits, 0) == (3, 5)
    gone = told(1, ask("1" * 29), answer("1"), traits=Trait.PINNED, state=FAILED)
    assert folding(path(gone, ordinary(2), *story), limits, 0) is None


def test_scale_applies_to_what_is_folded() -> None:
    limits = bounds(100, 70, 40, summary_tokens=10, scale=2.0)
    assert folding(turns(10, 10, 15), limits, 0) is None
    assert folding(turns(10, 10, 16), limits, 0) == (1, 2)


def test_under_a_count_the_turns_that_were_left_out_are_folded_together() -> None:
    limits = bounds(max_turns=6)
    assert folding(turns(*[10] * 8), limits, 0) is None
    assert folding(turns(*[10] * 9), limits, 0) == (1, 3)
    assert folding(turns(*[10] * 10), limits, 0) == (1, 4)
    assert folding(turns(*[10] * 10, summary=summary(2)), limits, 0) is None


@given(st.lists(st.integers(4, 40), min_size=1, max_size=12), st.integers(60, 300), st.integers(0, 5))
def test_what_stays_is_below_the_low_mark_or_the_newest_turn_alone(
    letters: list[int], budget: int, begun: int
) -> None:
    old = summary(begun, "1" * 9) if 0 < begun < len(letters) else None
    limits = bounds(budget)
    read = turns(*letters, summary=old)
    found = folding(read, limits, 0)
    spent = sum(letters[old.upto :] if old else letters) + (9 + NOTE_TOKENS if old else 0)
    assert limits.fold is not None
    free = (budget - limits.summary_tokens) // 4
    mark = max(limits.low, limits.summary_tokens + free)
    if found is None:
        unfolded = letters[old.upto :] if old else letters
        low = limits.summary_tokens + sum(unfolded) <= mark  # it is the summary itself that is too long
        assert spent <= limits.fold or len(unfolded) == 1 or low
        return
    assert spent > limits.fold
    first, last = found
    assert first == (old.upto if old else 0) + 1 <= last
    stays = letters[last:]
    assert len(stays) <= 1 or limits.summary_tokens + sum(stays) <= mark


# ----------------------------------------------------------------------------------------- due


def window(tokens: int = 0, waiting: int = 0, **more: Any) -> Window:
    return Window(b"[]", (), tokens, bounds(100, 70, 35, **more), waiting=waiting)


def test_a_summary_is_due_past_its_mark() -> None:
    assert not due(window(60), 10)
    assert due(window(60), 11)
    assert due(window(60, scale=1.2), 9)
    assert not due(window(60, scale=1.2), 8)
    assert not due(replace(window(60), limits=replace(bounds(100), fold=None)), 99)


@pytest.mark.parametrize(
    ("more", "fewest"),
    [
        ({}, 1),
        ({"max_turns": 10}, 5),
        ({"max_turns": 1}, 2),
        ({"max_messages": 20}, 5),
        ({"max_turns": 10, "max_messages": 12}, 3),
    ],
)
def test_a_summary_is_due_once_enough_turns_were_left_out(more: dict[str, int], fewest: int) -> None:
    assert not due(window(0, fewest - 1, **more), 0)
    assert due(window(0, fewest, **more), 0)


# ---------------------------------------------------------------------------------- properties


@given(
    st.lists(st.integers(4, 30), min_size=1, max_size=9),
    st.integers(1, 9),
    st.integers(10, 400),
    st.integers(0, 3),
)
def test_the_short_way_and_the_long_way_lead_to_the_same_window(
    letters: list[int], upto: int, budget: int, unread: int
) -> None:
    stories: list[Told] = [ordinary(unread + n, size) for n, size in enumerate(letters, 1)]
    old = summary(min(upto, len(letters)))
    short = path(*stories, summary=old, earlier_turns=unread, earlier_messages=2 * unread)
    long = short._replace(bodies=(), rows=[row for each in stories for row in each.rows])
    one, other = (built(material(p, ask("new")), bounds(budget, max_turns=7)) for p in (short, long))
    assert (one.body, one.tokens, one.cut, one.waiting) == (
        other.body,
        other.tokens,
        other.cut,
        other.waiting,
    )
    assert [d.code for d in one.decisions] == [d.code for d in other.decisions]
    assert one.tokens == sum(map(count, one.messages)) <= budget
    assert len(one.decisions) == 2 * (unread + len(letters)) + 1
