"""Which of the newest turns are kept? Whole turns, down to a mark, and the cut stays where it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.context.recency import Kept, Room, left_out_as, newest_turns
from multiturn.conversations import Summary
from multiturn.decision import Code
from multiturn.messages import Trait
from multiturn.path import Cut, Path, TurnRow
from multiturn.window import Limits

ACCEPTED, STREAMING, WAITING, COMPLETED, INCOMPLETE, FAILED = range(6)
KEY = "policy"
WIDE = 10**9


def row(
    number: int, tokens: int = 10, *, state: int = COMPLETED, traits: int = 0, messages: int = 2
) -> TurnRow:
    return TurnRow(number, state, traits, tokens, 0, messages)


def rows(*tokens: int, first: int = 1) -> list[TurnRow]:
    """Turns of so many tokens, oldest first, as a path holds them: newest first."""
    return [row(first + i, each) for i, each in enumerate(tokens)][::-1]


def keep(
    turns: list[TurnRow],
    room: Room,
    *,
    cut: Cut | None = None,
    earlier: int = 0,
    max_turns: int | None = None,
    max_messages: int | None = None,
) -> Kept:
    """Of ordinary turns a path has no rows: that way it is asked, too, and has the same answer."""
    limits = Limits(room.high, room.high, room.low, max_turns, max_messages, key=KEY)
    path = Path(turns=turns, rows=(), cut=cut, earlier_turns=earlier)
    kept = newest_turns(path, turns, limits, room)
    if all(turn == row(turn.number, turn.tokens) for turn in turns):
        assert newest_turns(path._replace(rows=None), turns, limits, room) == kept
    return kept


# ----------------------------------------------------------------------------- what may be sent


@pytest.mark.parametrize(
    ("state", "traits", "why"),
    [
        (COMPLETED, 0, None),
        (COMPLETED, Trait.TOOL_CALL | Trait.PINNED, None),
        (COMPLETED, Trait.RETRACTED, Code.RETRACTED),
        (COMPLETED, Trait.MODERATED, Code.MODERATED),
        (COMPLETED, Trait.RETRACTED | Trait.MODERATED, Code.RETRACTED),
        (FAILED, 0, Code.FAILED),
        (FAILED, Trait.STOPPED, Code.FAILED),
        (FAILED, Trait.MODERATED, Code.MODERATED),
        (FAILED, Trait.RETRACTED, Code.RETRACTED),
        (WAITING, 0, None),
        (INCOMPLETE, Trait.STOPPED, None),
        (INCOMPLETE, 0, Code.INCOMPLETE),
        (STREAMING, 0, Code.INCOMPLETE),
        (ACCEPTED, 0, Code.INCOMPLETE),
    ],
)
def test_what_a_turn_is_decides_before_any_limit(state: int, traits: int, why: Code | None) -> None:
    assert left_out_as(row(1, state=state, traits=traits)) == why


# -------------------------------------------------------------------------------------- counts


def test_everything_is_kept_while_it_fits() -> None:
    kept = keep(rows(10, 20, 30), Room(5, 65, 30))
    assert (kept.first, kept.tokens, kept.needed, kept.cut) == (1, 60, 65, None)


def test_the_newest_turns_are_kept_by_count() -> None:
    kept = keep(rows(10, 10, 10), Room(0, WIDE, 5), max_turns=2)
    assert (kept.first, kept.why, kept.tokens) == (2, Code.OUTSIDE_WINDOW, 20)
    assert keep(rows(10, 10), Room(0, WIDE, 5), max_turns=0).first == 3


def test_messages_are_counted_with_the_new_ones() -> None:
    room = Room(0, WIDE, 5, messages=1)
    assert keep(rows(9, 9, 9), room, max_messages=5).first == 2
    assert keep(rows(9, 9, 9), room, max_messages=4).first == 3
    assert keep(rows(9, 9, 9), room, max_messages=1).first == 4


def test_the_tightest_count_wins() -> None:
    room = Room(0, WIDE, 5, messages=1)
    assert keep(rows(9, 9, 9), room, max_turns=1, max_messages=5).first == 3
    assert keep(rows(9, 9, 9), room, max_turns=9, max_messages=5).first == 2


def test_turns_that_are_never_sent_take_no_place() -> None:
    turns = [
        row(5),
        row(4, state=FAILED),
        row(3, traits=Trait.RETRACTED),
        row(2, messages=0, tokens=0, traits=Trait.EXCLUDED),
        row(1),
    ]
    kept = keep(turns, Room(0, WIDE, 5), max_turns=2)
    assert (kept.first, kept.tokens) == (1, 20)


def test_a_count_that_reached_everything_still_says_why_the_rest_is_outside() -> None:
    assert keep(rows(9, 9), Room(0, WIDE, 5), earlier=7, max_turns=2).why is Code.OUTSIDE_WINDOW
    assert keep(rows(9, 9), Room(0, WIDE, 5), earlier=7).why is Code.OVER_BUDGET


# ---------------------------------------------------------------------------------------- marks


def test_past_the_high_mark_the_oldest_turns_go_until_the_low_mark() -> None:
    kept = keep(rows(10, 10, 10, 10), Room(5, 44, 25))
    assert (kept.first, kept.why, kept.tokens, kept.needed) == (3, Code.OVER_BUDGET, 20, 45)
    assert kept.cut == Cut(3, KEY, 1.0)


def test_at_the_high_mark_nothing_goes() -> None:
    assert keep(rows(10, 10, 10, 10), Room(5, 45, 25)).cut is None


def test_a_quarter_of_the_free_room_is_left_to_earlier_turns() -> None:
    assert Room(0, 100, 50).low_mark == 50
    assert Room(60, 100, 50).low_mark == 70
    assert Room(100, 100, 50).low_mark == 100
    assert keep(rows(10, 10, 10, 10, 10), Room(60, 100, 20)).first == 5


def test_the_newest_turn_alone_may_be_above_the_low_mark() -> None:
    kept = keep(rows(10, 70), Room(10, 80, 30))
    assert (kept.first, kept.tokens) == (2, 70)


def test_a_newest_turn_above_the_high_mark_is_left_out_too() -> None:
    kept = keep(rows(10, 71), Room(10, 80, 30))
    assert (kept.first, kept.tokens, kept.cut) == (3, 0, Cut(3, KEY, 1.0))


def test_turns_that_cost_nothing_do_not_end_the_grace_of_the_newest() -> None:
    turns = [row(3, state=FAILED, tokens=99), row(2, 70), row(1, 70)]
    assert keep(turns, Room(10, 80, 30)).first == 2


def test_pinned_turns_are_paid_already_where_all_of_them_fit() -> None:
    turns = [row(3), row(2, 50, traits=Trait.PINNED), row(1)]
    assert keep(turns, Room(50, 70, 60, pins=True)).tokens == 20
    assert keep(turns, Room(0, 70, 60, pins=False)).tokens == 70
    assert keep(turns, Room(0, 69, 30, pins=False)).first == 3


def test_without_turns_the_first_is_the_one_to_come() -> None:
    assert keep([], Room(5, 9, 7)).first == 1
    assert keep([], Room(5, 9, 7), earlier=8).first == 9


# ---------------------------------------------------------------------------------- a kept cut


def test_a_cut_holds_until_the_window_is_full_again() -> None:
    cut = Cut(3, KEY)
    kept = keep(rows(10, 10, 10, 10), Room(0, WIDE, 5), cut=cut)
    assert (kept.first, kept.why, kept.tokens, kept.cut) == (3, Code.OVER_BUDGET, 20, cut)
    moved = keep(rows(10, 10, 10, 10, 10), Room(0, 29, 10), cut=cut)
    assert (moved.first, moved.cut) == (5, Cut(5, KEY, 1.0))


def test_a_cut_of_another_policy_or_model_does_not_hold() -> None:
    kept = keep(rows(10, 10, 10), Room(0, WIDE, 5), cut=Cut(3, "other"))
    assert (kept.first, kept.cut) == (1, None)


def test_a_count_that_is_tighter_than_the_cut_decides() -> None:
    kept = keep(rows(10, 10, 10, 10), Room(0, WIDE, 5), cut=Cut(2, KEY), max_turns=2)
    assert (kept.first, kept.why, kept.cut) == (3, Code.OUTSIDE_WINDOW, Cut(2, KEY))


def test_a_count_that_is_looser_than_the_cut_leaves_it_the_reason() -> None:
    kept = keep(rows(10, 10, 10, 10), Room(0, WIDE, 5), cut=Cut(3, KEY), max_turns=3)
    assert (kept.first, kept.why) == (3, Code.OVER_BUDGET)


def test_a_cut_before_everything_that_was_read_changes_nothing() -> None:
    kept = keep(rows(10, 10, first=8), Room(0, WIDE, 5), cut=Cut(3, KEY), earlier=7)
    assert (kept.first, kept.tokens, kept.cut) == (8, 20, Cut(3, KEY))


def test_a_cut_after_every_turn_keeps_none() -> None:
    kept = keep(rows(10, 10), Room(0, WIDE, 5), cut=Cut(3, KEY))
    assert (kept.first, kept.tokens, kept.cut) == (3, 0, Cut(3, KEY))
    assert keep([], Room(0, WIDE, 5), cut=Cut(1, KEY)).why is Code.OVER_BUDGET


# --------------------------------------------------------------------------------------- settled


@pytest.mark.parametrize(
    ("kept", "settled"),
    [
        (keep(rows(10, 10), Room(0, WIDE, 5)), True),
        (keep(rows(10, 10), Room(0, WIDE, 5), earlier=3), False),
        (keep(rows(10, 10), Room(0, 15, 5), earlier=3), True),
        (keep(rows(10, 10), Room(0, WIDE, 5), earlier=3, max_turns=1), True),
        (keep(rows(10, 10), Room(0, WIDE, 5), earlier=3, max_turns=2), False),
        (keep(rows(10, 10), Room(0, WIDE, 5), earlier=3, cut=Cut(4, KEY)), True),
        (keep(rows(10, 10), Room(0, WIDE, 5), earlier=3, cut=Cut(3, KEY)), False),
        (keep(rows(10, 10), Room(0, WIDE, 5), earlier=3, cut=Cut(4, "other")), False),
    ],
)
def test_enough_was_read_once_a_bound_was_passed_or_nothing_is_left(kept: Kept, settled: bool) -> None:
    assert kept.settled == settled


# ---------------------------------------------------------------------------- behind a summary


def keep_behind(
    upto: int, turns: list[TurnRow], room: Room, *, earlier: int = 0, cut: Cut | None = None
) -> Kept:
    limits = Limits(room.high, room.high, room.low, key=KEY, fold=room.high)
    path = Path(turns=turns, cut=cut, earlier_turns=earlier, summary=Summary(1, upto, "much", 4))
    return newest_turns(path, turns, limits, room)


def test_turns_that_a_summary_stands_for_are_not_kept() -> None:
    kept = keep_behind(2, rows(10, 10, 10, 10), Room(0, WIDE, 5))
    assert (kept.first, kept.tokens, kept.folded, kept.settled) == (3, 20, 2, True)
    cut = keep_behind(2, rows(10, 10, 10, 10), Room(0, 15, 10))
    assert (cut.first, cut.folded, cut.cut) == (4, 2, Cut(4, KEY, 1.0))


def test_a_path_that_was_read_down_to_the_summary_is_enough() -> None:
    assert keep_behind(2, rows(10, 10, first=3), Room(0, WIDE, 5), earlier=2).settled
    assert not keep_behind(1, rows(10, 10, first=3), Room(0, WIDE, 5), earlier=2).settled
    assert keep_behind(2, [], Room(0, WIDE, 5), earlier=2).first == 3


def test_a_cut_that_the_summary_has_passed_does_not_hold() -> None:
    assert keep_behind(3, rows(10, 10, first=4), Room(0, WIDE, 5), earlier=3, cut=Cut(3, KEY)).cut is None
    held = keep_behind(3, rows(10, 10, first=4), Room(0, WIDE, 5), earlier=3, cut=Cut(5, KEY))
    assert (held.first, held.cut) == (5, Cut(5, KEY))


# ------------------------------------------------------------------------------------ properties

costs = st.lists(st.integers(1, 60), max_size=12)


@st.composite
def rooms(draw: st.DrawFn) -> Room:
    high = draw(st.integers(0, 200))
    return Room(draw(st.integers(0, high)), high, draw(st.integers(0, high)))


@given(costs, rooms())
def test_what_is_kept_fits_and_no_more_would(tokens: list[int], room: Room) -> None:
    turns = rows(*tokens)
    kept = keep(turns, room)
    chosen = [turn for turn in turns if turn.number >= kept.first]
    assert kept.tokens == sum(turn.tokens for turn in chosen)
    assert room.fixed + kept.tokens <= room.high
    if kept.cut is None:
        assert chosen == turns
        return
    assert kept.cut.turn == kept.first > 1
    assert room.fixed + sum(tokens) > room.high
    following = turns[len(chosen)]
    mark = room.low_mark if chosen else room.high
    assert room.fixed + kept.tokens + following.tokens > mark
    assert len(chosen) <= 1 or room.fixed + kept.tokens <= room.low_mark


@given(costs, rooms(), st.none() | st.integers(0, 6), st.none() | st.integers(1, 14))
def test_ordinary_turns_are_counted_as_others_are(
    tokens: list[int], room: Room, turns: int | None, messages: int | None
) -> None:
    kept = keep(rows(*tokens), room, max_turns=turns, max_messages=messages)
    sent = len(tokens) + 1 - kept.first
    assert turns is None or sent <= turns
    assert messages is None or not sent or room.messages + 2 * sent <= messages


@given(costs, rooms(), st.none() | st.integers(0, 13))
def test_the_same_turns_are_cut_at_the_same_place(tokens: list[int], room: Room, cut: int | None) -> None:
    held = None if cut is None else Cut(cut, KEY)
    assert keep(rows(*tokens), room, cut=held) == keep(rows(*tokens), room, cut=held)


@given(costs, st.integers(20, 150))
def test_a_growing_conversation_moves_its_cut_forward_and_only_when_it_is_full(
    tokens: list[int], high: int
) -> None:
    room = Room(0, high, high // 2)
    cut: Cut | None = None
    for length in range(1, len(tokens) + 1):
        before, turns = cut, rows(*tokens[:length])
        kept = keep(turns, room, cut=before)
        grown = sum(turn.tokens for turn in turns if before is None or turn.number >= before.turn)
        if grown <= high:
            assert kept.cut == before
        else:
            assert kept.cut is not None
            assert before is None or kept.cut.turn > before.turn
        cut = kept.cut
