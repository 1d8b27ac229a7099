"""The arrays say what the formula says, message by message."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multiturn.search import ranking
from multiturn.search.postings import Posting
from multiturn.search.ranking import (
    LOOSE,
    MARGIN,
    MARGIN_AT_HAND,
    MARGIN_BACK,
    SILENCE,
    Talk,
    certainties,
    margin,
    rank,
    sought,
)
from multiturn.search.terms import Query

NOTHING = Query("")


@dataclass(frozen=True)
class Told:
    """Messages as lists of numbered words, in sittings."""

    sittings: Sequence[Sequence[Sequence[int]]]

    @property
    def messages(self) -> list[Sequence[int]]:
        return [message for sitting in self.sittings for message in sitting]

    def talk(self) -> Talk:
        times = [place * 10 * SILENCE for place, sitting in enumerate(self.sittings) for _ in sitting]
        return Talk(np.array([float(len(m)) for m in self.messages]), np.array(times, np.float64))

    def posting(self, word: int, weight: float = 1.0) -> Posting:
        places = [place for place, message in enumerate(self.messages) if word in message]
        counts = [message.count(word) for message in map(list, self.messages) if word in message]
        return Posting(weight, np.array(places, np.int64), np.array(counts, np.float32))

    def ranked(self, words: Sequence[int], query: Query = NOTHING) -> list[float]:
        found: list[float] = rank(self.talk(), [self.posting(word) for word in words], query).tolist()
        return found


def by_hand(told: Told, words: Sequence[int]) -> list[float]:
    """BM25 with borrowed counts, in plain Python; the best score is 1."""
    size = len(told.messages)
    where = [(number, place) for number, s in enumerate(told.sittings) for place in range(len(s))]

    def spread(values: Sequence[float], reach: float) -> list[float]:
        found = []
        for i, (sitting, _) in enumerate(where):
            lent = 0.0
            for j, value in enumerate(values):
                distance = i - j
                if where[j][0] == sitting and 0 < distance <= 6:
                    lent += 0.6 * 0.8 ** (distance - 1) * value
                elif where[j][0] == sitting and 0 < -distance <= 5:
                    lent += 0.24 * 0.8 ** (-distance - 1) * value
            found.append(values[i] + reach * lent)
        return found

    lengths = spread([float(len(message)) for message in told.messages], 1.0)
    mean = sum(lengths) / size
    scores = [0.0] * size
    for word in words:
        own = [float(list(message).count(word)) for message in told.messages]
        holders = sum(count > 0 for count in own)
        if not holders:
            continue
        counts = spread(own, 0.3 + 1.0 * (1 - math.log(holders) / math.log(size + 1)))
        touched = sum(count > 0 for count in counts)
        rarity = math.log(1 + (size - touched + 0.5) / (touched + 0.5))
        for i, count in enumerate(counts):
            norm = 1.2 * (0.25 + 0.75 * lengths[i] / mean)
            scores[i] += rarity * count * 2.2 / (count + norm)
    best = max(scores)
    return [score / best for score in scores] if best else scores


MESSAGE = st.lists(st.integers(0, 9), min_size=1, max_size=6)
TALKS = st.lists(st.lists(MESSAGE, min_size=1, max_size=20), min_size=1, max_size=5).map(Told)


@settings(max_examples=60)
@given(TALKS, st.lists(st.integers(0, 10), min_size=1, max_size=5, unique=True), st.sampled_from([1, 24]))
def test_scores_are_those_of_the_formula(told: Told, words: list[int], sparse: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "FEW", 0)
        patch.setattr(ranking, "SPARSE", sparse)
        found = told.ranked(words)
    assert all(0 <= score <= 1 for score in found)
    best = max(found)
    expected = by_hand(told, words)
    assert [score / best if best else 0.0 for score in found] == pytest.approx(expected, abs=1e-4)


@settings(max_examples=30)
@given(TALKS, st.lists(st.integers(0, 10), min_size=3, max_size=6, unique=True))
def test_it_makes_no_difference_how_many_terms_are_worked_on_at_one_time(
    told: Told, words: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "SPARSE", 0)
        patch.setattr(ranking, "CELLS", 1)
        one_by_one = told.ranked(words)
    assert told.ranked(words) == pytest.approx(one_by_one, abs=1e-5)


# ------------------------------------------------------------------------------------- spreading

FILLED = [[each] for each in range(100, 130)]


def test_what_follows_a_name_is_found_by_it() -> None:
    told = Told([[*FILLED[:8], [1, 2], *FILLED[8:16]]])
    found = told.ranked([1])
    assert found[8] == max(found)
    assert found[9] > found[10] > found[14] > 0
    assert found[15] == 0
    assert found[9] > found[7] > found[3] > 0
    assert found[2] == 0


def test_words_do_not_cross_a_silence() -> None:
    found = Told([FILLED[:5], [[1], *FILLED[5:8]], FILLED[8:12]]).ranked([1])
    assert found[:5] == [0] * 5
    assert all(found[5:9])
    assert found[9:] == [0] * 4


def test_words_do_not_cross_into_another_conversation() -> None:
    talk = Talk(np.ones(4), np.zeros(4), [0, 2, 4])
    found = rank(talk, [Posting(1.0, np.array([1]), np.ones(1, np.float32))], NOTHING)
    assert found[:2].all()
    assert not found[2:].any()


def test_a_long_silence_counts_whichever_way_the_clock_went() -> None:
    times = np.array([0.0, SILENCE, SILENCE - 5, 9 * SILENCE, 0.0])
    posting = Posting(1.0, np.array([3]), np.ones(1, np.float32))
    assert np.flatnonzero(rank(Talk(np.ones(5), times), [posting], NOTHING)).tolist() == [3]


def test_a_rare_word_lends_more_than_a_common_one() -> None:
    rare = Told([[*FILLED[:15], [1], *FILLED[15:]]]).ranked([1])
    common = Told([[*([1],) * 15, [1], *FILLED[15:]]]).ranked([1])
    assert rare[16] / max(rare) > common[16] / max(common)


def test_a_name_finds_what_its_speaker_said_and_nothing_beside_it() -> None:
    said = Posting(1.0, np.array([2, 4]), np.ones(2, np.float32), spreads=False)
    word = Told([FILLED[:6]]).posting(103)
    found = rank(Told([FILLED[:6]]).talk(), [word, said], NOTHING)
    without = rank(Told([FILLED[:6]]).talk(), [word], NOTHING)
    assert found[4] / found[5] > without[4] / without[5]
    assert found[1] / found[5] == pytest.approx(without[1] / without[5])


# ---------------------------------------------------------------------------------------- dates


def test_a_day_that_is_named_lifts_what_was_said_on_it_by_half_the_best() -> None:
    told = Told([[[1], [9]], [[1, 8, 8], [9]], [[7]]])
    first, second = told.ranked([1])[0], told.ranked([1])[2]
    assert first > second
    dated = told.ranked([1], Query("", dates=((10 * SILENCE, 10 * SILENCE + 1),)))
    assert dated[2] > dated[0]
    assert dated[2] / dated[0] == pytest.approx((second + first / 2) / first, abs=1e-4)
    assert dated[4] == 0


def test_a_day_alone_is_enough() -> None:
    found = Told([[[1]], [[2], [3]]]).ranked([], Query("", dates=((10 * SILENCE, 11 * SILENCE),)))
    assert found[0] == 0
    assert found[1] == found[2] >= MARGIN


def test_the_words_of_a_date_are_searched_only_where_nothing_was_said_on_it() -> None:
    asked = Query("", {1: 1.0, 2: 1.0}, dates=((5.0, 6.0),), undated={1: 1.0})
    assert sought(asked, Talk(np.ones(2), np.array([1.0, 5.5]))) == {1: 1.0}
    assert sought(asked, Talk(np.ones(2), np.array([1.0, 6.5]))) == {1: 1.0, 2: 1.0}
    assert sought(Query("", {1: 1.0}), Talk(np.ones(1), np.ones(1))) == {1: 1.0}


# ---------------------------------------------------------------------------------------- margin


def test_more_of_the_question_and_rarer_words_make_more_certain() -> None:
    told = Told([[[1, 2, 3], *FILLED, *([50],) * 20]])
    best = {words: max(told.ranked(words)) for words in ((1, 2, 3), (1, 2, 77), (1, 2), (1,), (50,), (77,))}
    assert best[1, 2, 3] > best[1, 2] > best[1, 2, 77] > best[1,] > best[50,] > best[77,] == 0
    assert best[1, 2, 3] > MARGIN > best[50,]


def test_a_loose_pair_makes_less_certain_and_ranks_alike() -> None:
    told = Told([[[1, 2], *FILLED]])
    loose = Query("", loose=frozenset({2}))
    assert certainties(loose, (1, 2)) == [1.0, LOOSE]
    for reach in (1, 10_000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ranking, "FEW", reach)
            patch.setattr(ranking, "SPARSE", 2)
            firm = told.ranked([2])
            found = rank(told.talk(), [told.posting(2)._replace(tells=LOOSE)], NOTHING).tolist()
        assert max(found) < max(firm) / 2
        assert found[1] / found[0] == pytest.approx(firm[1] / firm[0])


def test_an_unknown_loose_pair_is_missed_less() -> None:
    told = Told([[[1], *FILLED]])
    unknown = told.posting(77)
    firm = max(rank(told.talk(), [told.posting(1), unknown], NOTHING))
    assert max(rank(told.talk(), [told.posting(1), unknown._replace(tells=LOOSE)], NOTHING)) > firm


def test_the_same_fit_is_worth_less_among_more_messages() -> None:
    few = Told([[[1, 2, 3], *[[each] for each in range(100, 300)]]])
    many = Told([[[1, 2, 3], *[[each] for each in range(100, 3_100)]]])
    rarer = ranking._rarity(0, 3_001) / ranking._rarity(0, 201)
    assert rarer > 1.2
    assert max(many.ranked([1, 2, 3])) < max(few.ranked([1, 2, 3])) * rarer


def test_a_question_that_refers_back_needs_less_and_one_about_this_needs_more() -> None:
    assert margin(Query("")) == MARGIN
    assert margin(Query("", at_hand=True)) == MARGIN_AT_HAND > MARGIN
    assert margin(Query("", refers_back=True, at_hand=True)) == MARGIN_BACK < MARGIN


LONG_ONE = [1, 2, *range(1_000, 9_000)]


@pytest.mark.parametrize("before", [0, 4, 40])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_long_message_is_found_by_a_question_that_refers_back(before: int, sparse: bool) -> None:
    others = [[each, each + 1, each + 2] for each in range(100, 100 + before)]
    told = Told([[*others, LONG_ONE, [50]]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "FEW", 0 if sparse else 4_000)
        patch.setattr(ranking, "SPARSE", 1)
        back = max(told.ranked([1, 2], Query("", refers_back=True)))
        unasked = max(told.ranked([1, 2]))
    assert back >= 1.5 * MARGIN_BACK
    assert unasked < MARGIN


def test_among_nothing_nothing_fits() -> None:
    assert not len(rank(Talk(np.zeros(0), np.zeros(0)), [], NOTHING))
    assert Told([[[1]]]).ranked([]) == [0]
    assert Told([[[1]]]).ranked([2]) == [0]


def test_numpy_is_loaded_by_the_first_question() -> None:
    code = "import multiturn, multiturn.search.ranking, sys; print('numpy' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"
