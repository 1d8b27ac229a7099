"""Is what is noted of a request short, and free of words?"""

from __future__ import annotations

import pytest
from tests.caching.requests import PREFIX, body, past

from multiturn.caching.fingerprints import fingerprint
from multiturn.caching.past import opened
from multiturn.caching.prefix import Forecast
from multiturn.caching.prompt import Prompt
from multiturn.usage import Usage


def test_a_fingerprint_is_short_and_holds_no_words() -> None:
    kept = past(usage=Usage(1_000, 30, cached=0), anchor="1.0")
    for turn in range(4, 20):
        kept = fingerprint(PREFIX, Prompt(body(turn), 1_000 + turn, 100.0 + turn), kept)
    assert len(kept) < 250
    assert b"question" not in kept


def test_eight_pauses_are_remembered_the_newest_first() -> None:
    kept = None
    for turn in range(12):
        kept = fingerprint(PREFIX, Prompt(body(turn), 1_000, 5.0 * turn * turn), kept)
    before = opened(kept)
    assert before is not None
    assert before.gaps == tuple(5.0 * (2 * turn - 1) for turn in range(11, 3, -1))


@pytest.mark.parametrize(("times", "looked"), [(10, 10), (16, 16), (40, 16)])
def test_of_sixteen_looks_into_the_automatic_cache_it_is_told_how_many_found_something(
    times: int, looked: int
) -> None:
    kept, expected = None, Forecast(1_000, 900)
    for turn in range(times):
        report = Usage(1_000, 30, cached=900)
        kept = fingerprint(
            PREFIX, Prompt(body(turn), 1_000, float(turn)), kept, usage=report, expected=expected
        )
    before = opened(kept)
    assert before is not None
    assert (before.looked, round(before.found)) == (looked, looked)
