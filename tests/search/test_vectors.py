"""Vectors as they are kept."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.search.vectors import dimension_of, likeness, likenesses, nearest, packed

numbers = st.floats(-1e6, 1e6, allow_nan=False).filter(lambda value: value == 0 or abs(value) > 1e-3)
directions = st.lists(numbers, min_size=4, max_size=4).filter(any)


def cosine(one: list[float], other: list[float]) -> float:
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / math.hypot(*one) / math.hypot(*other)


@given(directions, directions)
def test_what_is_kept_has_the_cosine_of_what_came(one: list[float], other: list[float]) -> None:
    assert likeness(packed(one), packed(other)) == pytest.approx(cosine(one, other), abs=0.004)


@given(directions)
def test_a_vector_is_like_itself_however_long_it_was(one: list[float]) -> None:
    assert likeness(packed(one), packed([7 * value for value in one])) == pytest.approx(1, abs=0.002)


def test_it_takes_two_bytes_a_number() -> None:
    assert (len(packed([1.0] * 1024)), dimension_of(packed([1.0] * 1024))) == (2048, 1024)


@pytest.mark.parametrize("values", [[], [0.0, 0.0], [math.nan, 1.0], [math.inf, 1.0], [1e308, 1e308]])
def test_what_has_no_direction_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="direction"):
        packed(values)


def test_vectors_of_different_dimensions_are_never_compared() -> None:
    with pytest.raises(ValueError, match="3 numbers against 2"):
        likeness(packed([1, 2, 3]), packed([1, 2]))


@given(directions, st.lists(directions, max_size=9))
def test_many_are_compared_as_one_is(one: list[float], others: list[list[float]]) -> None:
    kept = [packed(other) for other in others]
    single = [likeness(packed(one), other) for other in kept]
    assert likenesses(packed(one), kept) == pytest.approx(single, abs=0.0011)


@given(directions, st.lists(directions, max_size=9), st.integers(0, 10))
def test_the_nearest_are_those_that_are_most_alike(
    query: list[float], others: list[list[float]], limit: int
) -> None:
    kept = [packed(other) for other in others]
    found = nearest(packed(query), kept, limit)
    assert len(found) == min(limit, len(others))
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    for place, score in found:
        assert score == pytest.approx(likeness(packed(query), kept[place]), abs=0.0021)
    left = set(range(len(others))) - {place for place, _ in found}
    if found and left:
        best_left = max(likeness(packed(query), kept[place]) for place in left)
        assert best_left <= found[-1][1] + 0.0021
