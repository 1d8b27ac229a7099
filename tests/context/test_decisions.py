"""Which decision has each message, in the order of the path? With what was recalled, and where."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.context.stories import (
    FAILED,
    Told,
    answer,
    ask,
    call,
    count,
    entry,
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
from multiturn.conversations import Summary
from multiturn.decision import Code, Span
from multiturn.messages import Trait
from multiturn.path import MessageRow, Path, Source
from multiturn.window import Limits, Material, Quotation, Target, Window

TARGET = Target("m", media=Trait.MEDIA, developer=True)
BLOCK = "[quoted]"


def bounds(budget: int = 1000, low: int | None = None, **more: Any) -> Limits:
    return Limits(budget, budget, budget // 2 if low is None else low, **more)


def built(made: Material, limits: Limits | None = None, target: Target = TARGET) -> Window:
    return build(made, limits or bounds(), target, recount)


def contents(window: Window) -> list[Any]:
    return [message["content"] for message in window.messages]


def recalled(*sources: Source, text: str = BLOCK, **more: Any) -> Quotation:
    return Quotation(text.encode(), len(text) + 2, sources, **more)


def lines(window: Window) -> list[tuple[Code, int, tuple[int, int] | None]]:
    return [(span.code, span.messages, span.turns) for span in window.spans]


def codes(window: Window) -> list[Code]:
    return [decision.code for decision in window.decisions]


TEN = path(ordinary(10), earlier_turns=9, earlier_messages=18)
LAST = bounds(max_turns=1)


# ------------------------------------------------------------------------------ in front of the input


def test_what_is_recalled_stands_in_front_of_the_new_input() -> None:
    made = material(TEN, ask("new"), instructions=[rule()])._replace(recalled=recalled(Source(3, 0, 0.5)))
    window = built(made, LAST)
    assert contents(window) == ["rule", "10:......", "!", f"{BLOCK}\n\nnew"]
    assert window.tokens == sum(map(count, window.messages))
    assert (window.recalled, window.traits & Trait.QUOTED) == (made.recalled, 0)


def test_what_is_recalled_stands_behind_the_summary() -> None:
    made = material(Path(earlier_turns=2, earlier_messages=4, summary=Summary(1, 2, "Much.", 5)), ask("new"))
    window = built(made._replace(recalled=recalled(Source(1, 0, 0.5))), replace(bounds(), fold=700))
    (content,) = contents(window)
    assert content.startswith("[Earlier in this conversation")
    assert content.endswith(f"Much.\n~~~\n\n{BLOCK}\n\nnew")
    assert codes(window) == [Code.RECALLED] + [Code.SUMMARISED] * 3 + [Code.NEW]


def test_what_is_recalled_is_a_part_of_its_own_beside_a_picture() -> None:
    made = material(TEN, picture("u"))._replace(recalled=recalled(Source(3, 0, 0.5)))
    assert contents(built(made, LAST))[-1] == [{"type": "text", "text": BLOCK}, *picture("u")["content"]]


def test_what_is_recalled_stands_in_the_first_words_of_the_user() -> None:
    made = material(TEN, rule("now"), ask("one"), ask("two"))
    assert contents(built(made._replace(recalled=recalled(Source(3, 0, 0.5))), LAST))[-3:] == [
        "now",
        f"{BLOCK}\n\none",
        "two",
    ]


def test_without_words_of_the_user_nothing_is_quoted() -> None:
    made = material(TEN)._replace(recalled=recalled(Source(3, 0, 0.5)))
    window = built(made, LAST)
    assert contents(window) == ["10:......", "!"]
    assert window.recalled is None
    assert Code.RECALLED not in codes(window)


def test_what_is_recalled_counts() -> None:
    made = material(TEN, ask("new"))._replace(recalled=recalled(Source(3, 0, 0.5)))
    assert len(built(made, bounds(23)).messages) == 3
    assert len(built(made, bounds(22)).messages) == 1


def test_where_input_and_quotation_do_not_fit_the_input_goes_alone() -> None:
    made = material(Path(earlier_turns=1, earlier_messages=2), ask("new"))._replace(
        recalled=recalled(Source(1, 0, 1))
    )
    window = built(made, bounds(13))
    assert contents(window) == [f"{BLOCK}\n\nnew"]
    window = built(made, bounds(12))
    assert contents(window) == ["new"]
    assert (window.recalled, codes(window)) == (None, [Code.OVER_BUDGET] * 2 + [Code.NEW])


def test_what_is_recalled_makes_way_for_a_pinned_turn() -> None:
    pinned = told(1, ask("p" * 50), answer("yes"), traits=Trait.PINNED)
    made = material(path(pinned), ask("new"))._replace(recalled=recalled(Source(9, 0, 1)))
    assert contents(built(made, bounds(66)))[-1] == f"{BLOCK}\n\nnew"
    window = built(made, bounds(65))
    assert (contents(window)[-1], codes(window)[0]) == ("new", Code.PINNED)
    assert contents(built(made, bounds(55)))[-1] == f"{BLOCK}\n\nnew"


# ------------------------------------------------------------------------------- quoted with its turn


def quoting(turn: Told, text: str = BLOCK) -> Told:
    """The turn with what was recalled for it, as a store gives it back."""
    first, *rest = turn.rows
    tokens = len(text) + 2
    first = first._replace(quote=text.encode(), tokens=first.tokens + tokens)
    figures = turn.turn._replace(traits=turn.turn.traits | Trait.QUOTED, tokens=turn.turn.tokens + tokens)
    return Told(figures, [first, *rest])


def test_what_was_recalled_for_a_turn_is_sent_again_with_it() -> None:
    made = material(path(ordinary(1), quoting(ordinary(2)), ordinary(3)), ask("new"))
    window = built(made)
    assert contents(window) == ["1:.......", "!", f"{BLOCK}\n\n2:.......", "!", "3:.......", "!", "new"]
    assert (window.tokens, window.traits) == (sum(map(count, window.messages)), 0)
    assert codes(window) == [Code.RECENT] * 6 + [Code.NEW]
    assert contents(built(made, bounds(42, low=42)))[0] == f"{BLOCK}\n\n2:......."
    assert contents(built(made, bounds(32, low=32)))[0] == "3:......."


def test_a_quoted_message_that_is_changed_is_counted_as_it_is_sent() -> None:
    named = quoting(told(1, ask("12345", name="li"), answer("1")))
    window = built(material(path(named), ask("new")), target=Target("m", names=False))
    assert window.messages[0] == ask(f"{BLOCK}\n\n12345")
    assert window.tokens == sum(map(count, window.messages))


def test_an_input_that_was_quoted_for_is_not_an_ordinary_one() -> None:
    made = material(path(ordinary(1)))._replace(current=quoting(told(2, ask("new"))).rows)
    assert contents(built(made))[-1] == f"{BLOCK}\n\nnew"


def current(*rows: MessageRow) -> Material:
    return material(path(ordinary(1)))._replace(current=list(rows))


def test_a_turn_that_goes_on_keeps_what_was_recalled_for_it_while_it_fits() -> None:
    rows = quoting(told(2, ask("new"), call("a"), result("a"))).rows
    assert contents(built(current(*rows)))[2] == f"{BLOCK}\n\nnew"
    assert contents(built(current(*rows), bounds(29)))[0] == f"{BLOCK}\n\nnew"
    window = built(current(*rows), bounds(28))
    assert contents(window)[-3:] == ["new", None, "result"]
    assert window.tokens == sum(map(count, window.messages))
    assert contents(built(current(*rows), bounds(19)))[-3] == "new"


# ------------------------------------------------------------------------------------- decisions


def test_an_old_message_that_is_quoted_is_told_in_its_place() -> None:
    made = material(TEN, ask("new"))._replace(
        recalled=recalled(Source(3, 0, 0.5), Source(3, 1, 0.25), Source(7, 1, 0.75)),
    )
    window = built(made, LAST)
    assert lines(window) == [
        (Code.OUTSIDE_WINDOW, 4, (1, 2)),
        (Code.RECALLED, 1, (3, 3)),
        (Code.RECALLED, 1, (3, 3)),
        (Code.OUTSIDE_WINDOW, 7, (4, 7)),
        (Code.RECALLED, 1, (7, 7)),
        (Code.OUTSIDE_WINDOW, 4, (8, 9)),
        (Code.RECENT, 2, (10, 10)),
        (Code.NEW, 1, (11, 11)),
    ]
    assert [span.place for span in window.spans if span.code is Code.RECALLED] == [0, 1, 1]
    assert [d.figures for d in window.decisions if d.code is Code.RECALLED] == [
        {"score": 0.5},
        {"score": 0.25},
        {"score": 0.75},
    ]
    assert len(window.decisions) == 21
    assert [d.index for d in window.decisions if d.code is Code.RECALLED] == [4, 5, 13]


def test_what_stands_beside_what_was_found_has_no_score() -> None:
    made = material(TEN, ask("new"))._replace(recalled=recalled(Source(3, 0, 0.5), Source(3, 1, 0.0)))
    window = built(made, LAST)
    assert [d.figures for d in window.decisions if d.code is Code.RECALLED] == [{"score": 0.5}, {}]
    assert "recalled: it stands beside what fits the question" in window.explain()


def test_an_old_message_that_was_read_is_told_in_its_place_too() -> None:
    turns = [told(n, ask("1" * 20), answer(name="li")) for n in range(1, 6)]
    made = material(path(*turns), ask("new"))._replace(
        recalled=recalled(Source(2, 1, 0.5), Source(5, 0, 0.4))
    )
    window = built(made, bounds(75, low=60))
    assert lines(window) == [
        (Code.OVER_BUDGET, 3, (1, 2)),
        (Code.RECALLED, 1, (2, 2)),
        (Code.OVER_BUDGET, 4, (3, 4)),
        (Code.RECENT, 2, (5, 5)),
        (Code.NEW, 1, (6, 6)),
    ]


def test_the_best_that_was_not_good_enough_says_what_it_lacked() -> None:
    near = Quotation(below=Source(3, 0, 0.25), margin=0.5)
    plain = material(TEN, ask("new"))._replace(recalled=near)
    window = built(plain, LAST)
    assert lines(window)[:3] == [
        (Code.OUTSIDE_WINDOW, 4, (1, 2)),
        (Code.BELOW_THRESHOLD, 1, (3, 3)),
        (Code.OUTSIDE_WINDOW, 13, (3, 9)),
    ]
    assert window.spans[1].figures == {"score": 0.25, "limit": 0.5}
    assert (window.recalled, contents(window)[-1]) == (None, "new")
    shaped = plain._replace(context=[entry(ask("note"))])
    assert lines(built(shaped, LAST))[:3] == lines(window)[:3]


def test_what_an_earlier_turn_quotes_already_is_told_while_that_turn_is_sent() -> None:
    held = (Source(3, 1, 0.5),)
    for first, code in ((10, Code.DUPLICATE), (9, Code.OUTSIDE_WINDOW)):
        made = material(TEN, ask("new"))._replace(recalled=Quotation(held=held, first=first))
        window = built(made, LAST)
        assert (codes(window)[5], codes(window)[4]) == (code, Code.OUTSIDE_WINDOW)
        assert contents(window)[-1] == "new"


def test_what_is_sent_anyway_is_not_said_to_be_recalled() -> None:
    sources = (Source(10, 0, 0.5), Source(11, 0, 0.5), Source(99, 0, 0.5))
    made = material(TEN, ask("new"))._replace(recalled=recalled(*sources))
    assert Code.RECALLED not in codes(built(made, LAST))


def test_what_may_not_be_sent_keeps_its_reason() -> None:
    gone = told(1, ask("old"), answer("old"), state=FAILED)
    made = material(path(gone, ordinary(2)), ask("new"))._replace(recalled=recalled(Source(1, 0, 0.5)))
    assert codes(built(made))[:2] == [Code.FAILED] * 2


def test_quotes_of_another_conversation_are_no_messages_of_this_one() -> None:
    made = material(TEN, ask("new"))._replace(
        recalled=recalled(Source(3, 0, 0.5, "b"), Source(4, 1, 0.75, "b"), Source(5, 0, 0.25)),
    )
    window = built(made, LAST)
    assert window.spans[-2] == Span(Code.RECALLED, 0, figures={"score": 0.75})
    assert [d.index for d in window.decisions if d.code is Code.RECALLED] == [8]
    assert len(window.decisions) == 21


def test_the_place_of_a_quoted_message_may_be_known_exactly() -> None:
    """Turn 1 has eight messages here, so halving tells nothing."""
    read = path(ordinary(4), earlier_turns=3, earlier_messages=12)
    made = material(read, ask("new"))._replace(recalled=recalled(Source(3, 0, 0.5, None, 10)))
    window = built(made, LAST)
    assert lines(window)[:3] == [
        (Code.OUTSIDE_WINDOW, 10, (1, 2)),
        (Code.RECALLED, 1, (3, 3)),
        (Code.OUTSIDE_WINDOW, 1, (3, 3)),
    ]
    last = made._replace(recalled=recalled(Source(3, 1, 0.5, None, 11)))
    assert lines(built(last, LAST))[:2] == [(Code.OUTSIDE_WINDOW, 11, (1, 3)), (Code.RECALLED, 1, (3, 3))]


def test_of_two_that_seem_to_stand_at_one_place_only_one_is_told() -> None:
    """A message a turn: then half of the places that are taken to be known are wrong."""
    read = path(ordinary(4), earlier_turns=3, earlier_messages=3)
    made = material(read, ask("new"))._replace(recalled=recalled(Source(1, 1, 0.5), Source(2, 0, 0.5)))
    window = built(made, LAST)
    assert len(window.decisions) == 6
    assert codes(window).count(Code.RECALLED) == 1


def test_each_quoted_message_has_a_line_of_its_own() -> None:
    sources = (Source(3, 0, 0.5), Source(3, 1, 0.5))
    window = built(material(TEN, ask("new"))._replace(recalled=recalled(*sources)), LAST)
    told = [span for span in window.spans if span.code is Code.RECALLED]
    assert [(span.messages, span.place) for span in told] == [(1, 0), (1, 1)]
    turns = path(*(told_turn(n) for n in range(1, 6)))
    window = built(material(turns, ask("new"))._replace(recalled=recalled(*sources)), LAST)
    assert codes(window)[3:7] == [Code.OUTSIDE_WINDOW, Code.RECALLED, Code.RECALLED, Code.OUTSIDE_WINDOW]
    assert [span.messages for span in window.spans if span.code is Code.RECALLED] == [1, 1]


def told_turn(number: int) -> Told:
    return told(number, ask("1" * 20), answer(name="li"))


def test_what_stands_before_the_window_and_what_is_quoted_share_the_ranges() -> None:
    pinned = told(5, ask("pin"), answer("yes"), traits=Trait.PINNED)
    rows = [told(3, rule("stay"), ask(), answer()).rows[0], *pinned.rows]
    read = path(ordinary(10), standing=rows, standing_at=[4, 9, 10], earlier_turns=9, earlier_messages=19)
    sources = (Source(2, 1, 0.5), Source(3, 1, 0.5), Source(5, 0, 0.5), Source(9, 0, 0.5))
    window = built(material(read, ask("new"))._replace(recalled=recalled(*sources)), LAST)
    assert lines(window) == [
        (Code.OUTSIDE_WINDOW, 3, (1, 2)),
        (Code.RECALLED, 1, (2, 2)),
        (Code.SYSTEM, 1, (3, 3)),
        (Code.RECALLED, 1, (3, 3)),
        (Code.OUTSIDE_WINDOW, 3, (4, 4)),
        (Code.PINNED, 2, (5, 5)),
        (Code.OUTSIDE_WINDOW, 6, (6, 8)),
        (Code.RECALLED, 1, (9, 9)),
        (Code.OUTSIDE_WINDOW, 1, (9, 9)),
        (Code.RECENT, 2, (10, 10)),
        (Code.NEW, 1, (11, 11)),
    ]


def test_blank_instructions_are_not_sent_and_not_counted() -> None:
    made = material(TEN, ask("new"), instructions=[rule("one"), rule("  "), rule("two")])
    window = built(made, LAST)
    assert contents(window)[:2] == ["one", "two"]
    assert window.spans[:3] == (
        Span(Code.SYSTEM, 1, 3),
        Span(Code.INCOMPLETE, 1, 2),
        Span(Code.SYSTEM, 1, 3),
    )
    assert window.tokens == sum(map(count, window.messages))
    assert built(made, bounds(9)).tokens == 9


# ------------------------------------------------------------------------------------- properties

sources = st.builds(
    Source,
    turn=st.integers(1, 12),
    place=st.integers(0, 3),
    score=st.floats(0, 1),
    conversation=st.sampled_from([None, None, "b"]),
    at=st.none(),  # a place that a store told fits the path
)


@given(
    st.lists(st.integers(4, 30), max_size=6),
    st.integers(0, 5),
    st.integers(0, 12),
    st.lists(sources, max_size=4, unique_by=lambda s: (s.turn, s.place)),
    st.integers(0, 11),
    st.integers(3, 300),
    st.none() | st.integers(0, 4),
    st.booleans(),
)
def test_every_message_has_one_decision_and_what_is_sent_is_what_is_said(
    letters: list[int],
    unread: int,
    odd: int,
    found: list[Source],
    upto: int,
    budget: int,
    most: int | None,
    long: bool,
) -> None:
    stories = [ordinary(unread + n, size) for n, size in enumerate(letters, 1)]
    newest = unread + len(stories)
    summary = Summary(1, min(upto, newest), "Much was said.", 14) if min(upto, newest) else None
    messages = 2 * unread + odd if unread else 0
    read = path(*stories, earlier_turns=unread, earlier_messages=messages, summary=summary)
    if long:
        read = read._replace(bodies=(), rows=[row for each in stories for row in each.rows])
    made = material(read, ask("new"))._replace(recalled=recalled(*found, below=Source(1, 1, 0.1)))
    window = built(made, bounds(budget, fold=budget * 7 // 10, max_turns=most))
    assert window.tokens == sum(map(count, window.messages)) <= budget
    assert len(window.decisions) == messages + 2 * len(stories) + 1
    kept = [d for d in window.decisions if d.code in (Code.RECENT, Code.NEW)]
    assert len(kept) == len(window.messages)
    quoted = {(s.turn, s.place) for s in found if s.conversation is None}
    told = [span for span in window.spans if span.code is Code.RECALLED and span.messages]
    assert {(span.turns[0] if span.turns else 0, span.place) for span in told} <= quoted
    assert not told or window.recalled
    assert all(span.messages > 0 or span.code in (Code.SUMMARY, Code.RECALLED) for span in window.spans)
    assert all(span.turns[0] <= span.turns[1] for span in window.spans if span.turns)
