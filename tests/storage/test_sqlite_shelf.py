"""A shelf holds what was put there, never more than it has room for; what lies open says what was stored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.search.terms import NAMES
from multiturn.storage.sqlite_shelf import MET, Opened, Shelf
from multiturn.storage.sqlite_terms import BLOCK, Tail

RECORDS = st.lists(
    st.tuples(
        st.lists(
            st.tuples(st.sampled_from([0, 5, 9, (1 << 19) - 1, 1 << 19, NAMES + 3]), st.integers(1, 15)),
            max_size=4,
            unique_by=lambda record: record[0],
        ),
        st.integers(0, 1 << 31),
    ),
    min_size=1,
    max_size=30,
)


def opened(records: int) -> Opened:
    """One message, of so many terms."""
    terms = np.arange(records, dtype=np.uint32) << np.uint32(4) | np.uint32(1)
    return Opened.of_tail(Tail(np.array([7]), np.array([0], np.uint32), np.array([records]), terms))


def size(records: int) -> int:
    shelf = Shelf()
    shelf.put((1,), ROWS, opened(records))
    return shelf._size


ROWS = [(1, b"row")]


def test_what_is_asked_for_again_is_worth_opening() -> None:
    shelf = Shelf()
    assert [shelf.wants((1,)), shelf.wants((2,)), shelf.wants((1,))] == [False, False, True]


def test_what_lies_open_is_worth_opening_anew_at_once() -> None:
    shelf = Shelf()
    shelf.put((1,), ROWS, opened(1))
    assert shelf.wants((1,))


def test_only_so_many_names_are_remembered() -> None:
    shelf = Shelf()
    shelf.wants((0,))
    for number in range(MET):
        shelf.wants((0, number))
    assert not shelf.wants((0,))


def test_what_was_made_of_other_rows_is_not_there() -> None:
    shelf, one = Shelf(), opened(100)
    shelf.put((1,), ROWS, one)
    assert shelf.get((1,), [(1, b"row")]) is one
    assert shelf.get((1,), [(1, b"other")]) is None
    assert shelf.get((1,), [*ROWS, (2, b"row")]) is None


def test_what_was_not_asked_for_longest_makes_room() -> None:
    one = opened(100)
    shelf = Shelf(room=2 * size(100))
    shelf.put((1,), ROWS, one)
    shelf.put((2,), ROWS, opened(100))
    assert shelf.get((1,), ROWS) is one
    shelf.put((3,), ROWS, opened(100))
    assert shelf.get((2,), ROWS) is None
    assert shelf.get((1,), ROWS) is one


def test_what_is_larger_than_the_room_is_not_kept() -> None:
    shelf = Shelf(room=size(100))
    shelf.put((1,), ROWS, opened(101))
    assert shelf.get((1,), ROWS) is None
    assert shelf._size == 0


def test_the_rows_need_room_as_well() -> None:
    shelf = Shelf(room=size(100))
    shelf.put((1,), [(1, b"long row")], opened(100))
    assert shelf._size == 0


def test_what_was_opened_anew_takes_the_place_of_what_was_there() -> None:
    shelf = Shelf(room=2 * size(100))
    one, other = opened(100), opened(100)
    for number in range(5):
        shelf.put((1,), [(number, b"row")], opened(100))
    shelf.put((1,), ROWS, one)
    shelf.put((2,), ROWS, other)
    assert shelf.get((1,), ROWS) is one
    assert shelf.get((2,), ROWS) is other


def test_terms_are_found_and_no_others() -> None:
    first = np.array([5 << 13 | 3 << 4 | 2, 9 << 13 | 1 << 4 | 1, 9 << 13 | 4 << 4 | 15], "<u4").tobytes()
    other = np.array([5 << 13 | 511 << 4 | 1], "<u4").tobytes()
    lengths = np.zeros(BLOCK, "<u2")
    lengths[[1, 3, 4, 511]] = 7
    span = lengths.tobytes() + np.arange(BLOCK, dtype="<u4").tobytes() + b"name"
    blocks = Opened.of_blocks(1000, [(6, span)], [(0, 6, first), (2, 6, other)])
    wanted = np.array([1, 5, 9, 12, (2 << 19) + 5, (2 << 19) + 6])
    which, starts, sizes = blocks.runs(wanted)
    assert (which.tolist(), sizes.tolist()) == ([1, 2, 4], [1, 2, 1])
    found = [each.tolist() for each in blocks.holders(which, starts, sizes)]
    assert found == [[1, 2, 2, 4], [1, 0, 2, 3], [2, 1, 15, 1]]
    assert blocks.keys.tolist() == [1000 + 6 * BLOCK + place for place in (1, 3, 4, 511)]
    assert blocks.times.tolist() == [1, 3, 4, 511]


def test_where_nothing_is_nothing_is_found() -> None:
    nothing = Opened.of_tail(
        Tail(np.zeros(0, int), np.zeros(0, np.uint32), np.zeros(0, int), np.zeros(0, np.uint32))
    )
    assert [len(each) for each in nothing.runs(np.array([1, 2]))] == [0, 0, 0]


@pytest.mark.parametrize("first", [0, 3])
@given(messages=RECORDS)
def test_it_is_the_same_however_it_lay(first: int, messages: list[tuple[list[tuple[int, int]], int]]) -> None:
    """Message by message, or by term in two blocks with another one between them."""
    numbers = [(place % 2) * 2 * BLOCK + place // 2 for place in range(len(messages))]
    messages = [each for _, each in sorted(zip(numbers, messages, strict=True), key=lambda both: both[0])]
    numbers.sort()
    said = [(number, records, when) for number, (records, when) in zip(numbers, messages, strict=True)]
    said = [each for each in said if any(term < NAMES for term, _ in each[1])]
    base = first * BLOCK
    tail = Tail(
        np.array([base + number for number, _, _ in said], np.int64),
        np.array([when for _, _, when in said], np.uint32),
        np.array([len(records) for _, records, _ in said], np.int64),
        np.array([term << 4 | count for _, records, _ in said for term, count in records], np.uint32),
    )
    rows: dict[tuple[int, int], list[int]] = {}
    lengths, times = np.zeros((3, BLOCK), "<u2"), np.zeros((3, BLOCK), "<u4")
    for number, (records, when) in zip(numbers, messages, strict=True):
        block, place = divmod(number, BLOCK)
        lengths[block, place] = sum(count for term, count in records if term < NAMES)
        times[block, place] = when
        for term, count in records:
            low = (term & (1 << 19) - 1) << 13 | place << 4 | count
            rows.setdefault((term >> 19, first + block), []).append(low)
    spans = [(first + block, lengths[block].tobytes() + times[block].tobytes()) for block in (0, 2)]
    lots = [(*key, np.array(sorted(lows), "<u4").tobytes()) for key, lows in sorted(rows.items())]
    one, other = Opened.of_tail(tail), Opened.of_blocks(0, spans, lots)
    for mine, its in zip(one, other, strict=True):
        np.testing.assert_array_equal(np.asarray(mine), np.asarray(its))
