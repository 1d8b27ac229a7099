"""Ratios and limits that use has taught."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.calibration import Calibration, Lesson, learned, moved, scale, shrunk
from multiturn.cards import Card
from multiturn.catalog import Catalog
from multiturn.storage import ModelFacts
from multiturn.storage.sqlite_models import calibrate, model_facts
from multiturn.usage import Usage

QWEN = "qwen/qwen-plus"
calls = st.lists(st.tuples(st.integers(-5, 10**6), st.integers(-5, 10**6)), max_size=30)


def test_three_calls_make_the_margin_small() -> None:
    known = Calibration()
    scales = []
    for _ in range(4):
        scales.append(round(known.scale(QWEN), 4))
        known.note(QWEN, 1000, 800)
    assert scales == [1.15, 1.15, 1.15, 0.84]


def test_before_that_a_model_that_costs_more_than_counted_is_believed() -> None:
    assert scale(1.5, 1) == pytest.approx(1.5 * 1.15)
    assert scale(0.5, 2) == 1.15


def test_terms_are_worked_out_anew_once_the_factor_has_moved_by_a_hundredth() -> None:
    known = Calibration({QWEN: Lesson(1.0, 3)})
    known.scale(QWEN)
    known.note(QWEN, 1000, 1020)
    assert known.version == 0
    known.note(QWEN, 1000, 1100)
    assert known.version == 1


def test_a_call_of_which_nothing_was_counted_teaches_nothing() -> None:
    assert moved(1.2, 3, 0, 5) == moved(1.2, 3, 5, 0) == (1.2, 3)


def test_the_ratio_begins_with_the_first_call_and_then_moves_by_a_fifth() -> None:
    ratio, samples = moved(1.0, 0, 100, 120)
    assert (ratio, samples) == (1.2, 1)
    ratio, samples = moved(ratio, samples, 100, 220)
    assert (round(ratio, 6), samples) == (1.4, 2)


@given(calls)
def test_one_strange_call_never_takes_the_ratio_out_of_its_bounds(reports: list[tuple[int, int]]) -> None:
    known = Calibration()
    for counted, reported in reports:
        known.note(QWEN, counted, reported)
    useful = sum(1 for counted, reported in reports if counted > 0 and reported > 0)
    assert 0.25 <= known.of(QWEN).ratio <= 4.0 if useful else known.of(QWEN) == Lesson()
    assert known.of(QWEN).samples == known.version == useful


@given(st.floats(0.6, 2.5), st.integers(5, 40))
def test_a_steady_model_is_learned(true: float, times: int) -> None:
    known = Calibration()
    for _ in range(times):
        known.note(QWEN, 10_000, round(10_000 * true))
    assert known.scale(QWEN) == pytest.approx(true * 1.05, rel=1e-3)


@given(calls)
def test_store_and_client_agree_to_the_last_bit(reports: list[tuple[int, int]]) -> None:
    known = Calibration()
    db = sqlite3.connect(":memory:")
    db.execute(
        "CREATE TABLE models (id INTEGER PRIMARY KEY, name TEXT, ratio REAL DEFAULT 1, samples INTEGER"
        " DEFAULT 0, input_limit INTEGER)"
    )
    db.execute("INSERT INTO models (name) VALUES (?)", (QWEN,))
    for counted, reported in reports:
        known.note(QWEN, counted, reported)
        calibrate(db, 1, Usage(reported), counted)
    kept = model_facts(db)
    db.close()
    assert [Lesson(each.ratio, each.samples, each.limit) for each in kept] == list(known.lessons.values())


async def test_what_the_store_keeps_is_read_once_and_what_was_learned_meanwhile_stays() -> None:
    reads = []

    async def read() -> list[ModelFacts]:
        reads.append(1)
        known.note("kimi/kimi-k2.6", 100, 200)
        return [ModelFacts(QWEN, 1.3, 7, 4096), ModelFacts("kimi/kimi-k2.6", 1.0, 90)]

    known = Calibration()
    await known.load(read)
    await known.load(read)
    assert reads == [1]
    assert known.of(QWEN) == Lesson(1.3, 7, 4096)
    assert known.of("kimi/kimi-k2.6") == Lesson(2.0, 1)


async def test_a_store_that_could_not_be_read_is_read_again() -> None:
    known, reads = Calibration(), []

    async def read() -> list[ModelFacts]:
        reads.append(1)
        if len(reads) == 1:
            raise OSError("gone")
        return [ModelFacts(QWEN, 1.3, 7)]

    with pytest.raises(OSError, match="gone"):
        await known.load(read)
    await known.load(read)
    assert known.of(QWEN).samples == 7


# ------------------------------------------------------------------------------------ limits


def test_an_unknown_model_takes_what_its_overflow_says() -> None:
    card = Catalog().card("compatible/llama")
    assert (card.window, learned(card, None)) == (8192, card)
    taught = learned(card, 32_768)
    assert (taught.window, taught.max_input, taught.input_limit(4096)) == (32_768, 32_768, 28_672)
    assert learned(card, 2048).input_limit(0) == 2048


def test_a_known_model_never_takes_more_than_is_published() -> None:
    card = Catalog().card(QWEN)
    assert learned(card, card.max_input * 100) == card
    assert learned(card, 6000).input_limit(1000) == 5000


def test_a_limit_that_is_published_teaches_nothing() -> None:
    card = Card("x/y", "x", "y", window=1_000_000, max_input=129_024, known=True)
    assert learned(card, 129_024) == card
    assert learned(card, 100_000).input_limit(4096) == 95_904


def test_a_limit_the_operator_set_is_not_raised() -> None:
    card = replace(Catalog().card("compatible/llama"), window=4000, max_input=4000)
    assert learned(card, 32_768) == card
    assert learned(replace(card, max_input=6000), 5000).window == 4000


def test_a_learned_limit_is_news_once() -> None:
    known = Calibration()
    assert known.learn_limit(QWEN, 6000)
    assert not known.learn_limit(QWEN, 6000)
    assert not known.learn_limit(QWEN, 0)
    assert not known.learn_limit(QWEN, 1023)
    assert known.learn_limit(QWEN, 1024)
    assert known.learn_limit(QWEN, 5000)
    assert known.card(Catalog().card(QWEN)).input_limit(0) == 5000
    known.note(QWEN, 100, 100)
    assert known.of(QWEN).limit == 5000


@given(st.integers(1, 10**7), st.none() | st.integers(1, 10**7))
def test_the_retry_is_smaller_than_what_overflowed(sent: int, limit: int | None) -> None:
    again = shrunk(sent, limit)
    assert 1 <= again < max(sent, 2)
    assert again == limit or limit is None or limit >= sent or limit < 1024


def test_the_smallest_limit_that_is_believed_is_kept_to() -> None:
    assert (shrunk(9000, 1024), shrunk(9000, 1023)) == (1024, 6750)
