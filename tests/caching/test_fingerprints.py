"""Is what is noted of a request short, and free of words?"""

from __future__ import annotations

from tests.caching.requests import PREFIX, body, past

from multiturn.caching.fingerprints import fingerprint
from multiturn.caching.prompt import Prompt
from multiturn.usage import Usage


def test_a_fingerprint_is_short_and_holds_no_words() -> None:
    kept = past(usage=Usage(1_000, 30, cached=0), anchor="1.0")
    for turn in range(4, 20):
        kept = fingerprint(PREFIX, Prompt(body(turn), 1_000 + turn, 100.0 + turn), kept)
    assert len(kept) < 250
    assert b"question" not in kept
