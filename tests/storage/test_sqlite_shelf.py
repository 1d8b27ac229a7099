"""A shelf holds what was put there, and never more than it has room for."""

from __future__ import annotations

import numpy as np

from multiturn.storage.sqlite_shelf import MET, Block, Shelf


def block(records: int) -> Block:
    """A block of one term, of so many records."""
    return Block(np.array([7], np.uint32), np.array([0, records], np.uint32), np.zeros(records, np.uint16))


def test_a_block_is_worth_opening_when_it_is_asked_for_again() -> None:
    shelf = Shelf()
    assert [shelf.wants(b"a"), shelf.wants(b"b"), shelf.wants(b"a")] == [False, False, True]


def test_only_so_many_names_are_remembered() -> None:
    shelf = Shelf()
    shelf.wants(b"first")
    for number in range(MET):
        shelf.wants(str(number).encode())
    assert not shelf.wants(b"first")


def test_what_was_not_asked_for_longest_makes_room() -> None:
    one = block(100)
    shelf = Shelf(room=2 * one.size)
    shelf.put(b"a", one)
    shelf.put(b"b", block(100))
    assert shelf.get(b"a") is one
    shelf.put(b"c", block(100))
    assert shelf.get(b"b") is None
    assert shelf.get(b"a") is one


def test_what_is_larger_than_the_room_is_not_kept() -> None:
    shelf = Shelf(room=block(100).size)
    shelf.put(b"a", block(100))
    shelf.put(b"b", block(101))
    assert shelf.get(b"b") is None
    assert shelf.get(b"a") is not None


def test_a_block_that_two_have_opened_is_kept_once() -> None:
    one = block(100)
    shelf = Shelf(room=2 * one.size)
    for name in (b"a", b"b", b"b"):
        shelf.put(name, one)
    assert shelf.get(b"a") is one


def test_a_block_finds_its_terms_and_no_others() -> None:
    first = np.array([5 << 13 | 3 << 4 | 2, 9 << 13 | 1 << 4 | 1, 9 << 13 | 4 << 4 | 15], "<u4").tobytes()
    other = np.array([5 << 13 | 511 << 4 | 1], "<u4").tobytes()
    opened = Block.of([(0, first), (2, other)])
    wanted = np.array([1, 5, 9, 12, (2 << 19) + 5, (2 << 19) + 6])
    which, starts, sizes = opened.runs(wanted)
    assert (which.tolist(), sizes.tolist()) == ([1, 2, 4], [1, 2, 1])
    found = [each.tolist() for each in opened.holders(which, starts, sizes)]
    assert found == [[1, 2, 2, 4], [3, 1, 4, 511], [2, 1, 15, 1]]
    assert [len(each) for each in Block.of([]).runs(wanted)] == [0, 0, 0]
