"""What do we remember, and under which ids?"""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from multiturn.conversations import CROCKFORD, Address, TurnState, new_ulid

ULID = "01JCXV3Q8Z0000000000000000"
ulids = st.text(CROCKFORD, min_size=26, max_size=26)
numbers = st.integers(0, 10**9 - 1)


def milliseconds(ulid: str) -> int:
    number = 0
    for letter in ulid[:10]:
        number = number * 32 + CROCKFORD.index(letter)
    return number


# ----------------------------------------------------------------------------------------- ulids


@given(st.integers(0, 2**48 - 1))
def test_an_id_holds_the_time_it_was_made(millis: int) -> None:
    ulid = new_ulid(millis / 1000)
    assert len(ulid) == 26
    assert set(ulid) <= set(CROCKFORD)
    assert abs(milliseconds(ulid) - millis) <= 1  # a double holds no exact milliseconds


@given(st.floats(0, 2e11), st.floats(0, 2e11))
def test_ids_sort_by_the_time_they_were_made(one: float, other: float) -> None:
    if int(one * 1000) < int(other * 1000):
        assert new_ulid(one) < new_ulid(other)


def test_no_two_ids_of_a_moment_are_the_same() -> None:
    assert len({new_ulid(1.0) for _ in range(1000)}) == 1000


def test_without_a_time_it_is_now() -> None:
    before = int(time.time() * 1000)
    made = milliseconds(new_ulid())
    assert before <= made <= int(time.time() * 1000)


# ------------------------------------------------------------------------------------- addresses


@given(ulids, numbers, numbers, numbers)
def test_an_address_reads_back_from_its_ids(ulid: str, branch: int, turn: int, place: int) -> None:
    address = Address(ulid, branch, turn, place)
    assert Address.parse(address.message_id) == address
    assert Address.parse(address.response_id) == address
    assert Address.parse(address.turn_id) == Address(ulid, branch, turn)


def test_the_ids_of_an_address() -> None:
    address = Address(ULID, 2, 7, 1)
    assert address.message_id == f"msg_{ULID}_2_7_1"
    assert address.turn_id == f"turn_{ULID}_2_7"
    assert address.response_id == f"resp_{ULID}_2_7_1"


@given(st.text() | st.from_regex(r"\A(msg|turn|resp|x)_.{0,30}(_.{0,12}){0,4}\Z"))
@example(f"turn_{ULID}_0_٣")
@example(f"turn_{ULID}_0_1_2")
def test_any_other_text_is_no_address(text: str) -> None:
    found = Address.parse(text)
    if found is not None:
        assert text in (found.message_id, found.turn_id, found.response_id)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "turn",
        f"turn_{ULID}",
        f"turn_{ULID}_0",
        f"turn_{ULID}_0_1_2",
        f"msg_{ULID}_0_1",
        f"resp_{ULID}_0_1",
        f"conv_{ULID}_0_1",
        f"turn_{ULID[1:]}_0_1",
        f"turn_{ULID}0_0_1",
        f"turn_{'!' * 26}_0_1",
        f"turn_{ULID.lower()}_0_1",
        f"turn_{ULID}_0_",
        f"turn_{ULID}_0_-1",
        f"turn_{ULID}_0_01",
        f"turn_{ULID}_0_1.0",
        f"turn_{ULID}_0_٣",
        f"turn_{ULID}_0_1000000000",
    ],
)
def test_nearly_an_address_is_none(text: str) -> None:
    assert Address.parse(text) is None


# ---------------------------------------------------------------------------------------- states


def test_three_states_are_final() -> None:
    assert [state.name for state in TurnState if state.final] == ["COMPLETED", "INCOMPLETE", "FAILED"]


def test_the_states_are_the_numbers_that_stand_in_databases() -> None:
    assert [(state.name, state.value) for state in TurnState] == [
        ("ACCEPTED", 0),
        ("STREAMING", 1),
        ("WAITING", 2),
        ("COMPLETED", 3),
        ("INCOMPLETE", 4),
        ("FAILED", 5),
    ]
