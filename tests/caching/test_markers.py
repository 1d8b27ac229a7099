"""When markers for a prompt cache pay, and which messages carry them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from multiturn.caching.fingerprints import fingerprint
from multiturn.caching.markers import marks
from multiturn.caching.prefix import forecast
from multiturn.caching.prompt import Prompt
from multiturn.caching.rules import CacheRule, Caching, MarkerRule
from multiturn.usage import Usage

PLAIN = Caching("m", CacheRule(minimum=256, ttl=600), head=500)
MARKED = Caching("m", CacheRule(256, explicit=MarkerRule(1024, 300, odds=0.8)), head=1_100)


def body(turns: int, first: int = 1) -> bytes:
    messages = [{"role": "system", "content": "你是店员。" * 40}]
    for turn in range(first, turns + 1):
        messages += [
            {"role": "user", "content": f"question {turn} 😀"},
            {"role": "assistant", "content": f"answer {turn}"},
        ]
    return orjson.dumps([*messages, {"role": "user", "content": f"question {turns + 1} 😀"}])


def chat(
    gap: float, turns: int, *, tokens: int = 5_000, cached: float = 1.0, until: int = 1_000
) -> tuple[bytes, float]:
    """The fingerprint after so many turns with this pause; ``cached``: how much of what should be cached the
    automatic cache has had, ``until`` that turn."""
    before, at = None, 0.0
    for turn in range(1, turns + 1):
        counted = tokens + 100 * turn
        prompt = Prompt(body(turn), counted, at)
        expected = forecast(MARKED, before, prompt)
        report = Usage(counted, 40, cached=int((expected.cached or 0) * cached) if turn <= until else 0)
        before = fingerprint(MARKED, prompt, before, usage=report, expected=expected)
        at += gap
    assert before
    return before, at


def wanted(before: bytes | None, at: float, turn: int, **more: Any) -> tuple[int, ...]:
    return marks(MARKED, before, Prompt(body(turn), 5_000 + 100 * turn, at), **more)


def test_markers_pay_in_a_quick_conversation_that_the_automatic_cache_fails() -> None:
    before, at = chat(30, 8, cached=0.0)
    assert wanted(before, at, 9) == (0, 19)


@pytest.mark.parametrize(
    ("gap", "turns", "cached"), [(30, 1, 0.0), (400, 8, 0.0), (30, 12, 1.0)], ids=["early", "slow", "cached"]
)
def test_markers_do_not_pay(gap: float, turns: int, cached: float) -> None:
    before, at = chat(gap, turns, cached=cached)
    assert wanted(before, at, turns + 1) == ()


def test_an_automatic_cache_that_fails_lately_is_not_trusted_for_what_it_did_long_ago() -> None:
    before, at = chat(30, 200)
    assert wanted(before, at, 201) == ()
    before, at = chat(30, 203, until=200)
    assert wanted(before, at, 204) != ()


def test_no_marker_without_a_rule_a_past_or_enough_tokens() -> None:
    before, at = chat(30, 8, cached=0.0)
    assert wanted(None, at, 9) == ()
    assert marks(PLAIN, before, Prompt(body(9), 5_900, at)) == ()
    assert marks(MARKED, before, Prompt(body(9), 1_000, at)) == ()


def test_a_window_that_is_about_to_be_cut_is_not_worth_a_block() -> None:
    before, at = chat(30, 8, cached=0.0)
    assert wanted(before, at, 9, room=10_000) != ()
    assert wanted(before, at, 9, room=50) == ()


def test_a_block_that_is_dead_is_not_read() -> None:
    before, at = chat(30, 8, cached=0.0)
    report = Usage(5_900, 40, cached=0, cache_write=5_899)
    written = fingerprint(MARKED, Prompt(body(9), 5_900, at), before, usage=report)
    assert wanted(written, at + 299, 10, room=50) != ()
    assert wanted(written, at + 301, 10, room=50) == ()


def test_short_instructions_are_no_block() -> None:
    before, at = chat(30, 8, cached=0.0)
    assert marks(replace(MARKED, head=900), before, Prompt(body(9), 5_900, at)) == (19,)


def test_a_block_that_lives_is_read_again_even_before_a_cut() -> None:
    before, at = chat(30, 8, cached=0.0)
    report = Usage(5_900, 40, cached=0, cache_write=5_899)
    written = fingerprint(MARKED, Prompt(body(9), 5_900, at), before, usage=report)
    assert wanted(written, at + 30, 10, room=50) != ()
    found = forecast(MARKED, written, Prompt(body(10), 6_000, at + 30), marked=True)
    assert (found.cached, found.written, found.miss) == (5_899, 101, None)
    late = forecast(MARKED, written, Prompt(body(10), 6_000, at + 301), marked=True)
    assert (late.cached, late.miss) == (0, "expired")
    unmarked = forecast(MARKED, written, Prompt(body(10), 6_000, at + 30))
    assert unmarked.cached == 0  # the two caches do not know each other
    cut = forecast(MARKED, written, Prompt(body(10, first=5), 4_000, at + 30, "5.0"), marked=True)
    assert cut.cached == 1_100


def test_the_summary_and_at_most_four_messages_are_marked() -> None:
    before, at = chat(30, 8, cached=0.0)
    assert wanted(before, at, 9, summary=True) == (0, 1, 19)


@pytest.mark.parametrize(("parts", "places"), [(18, (0, 1, 19)), (20, (0, 1, 17, 19))])
def test_the_end_of_the_last_request_is_marked_where_the_server_does_not_look_back_so_far(
    parts: int, places: tuple[int, ...]
) -> None:
    before, at = chat(30, 8, cached=0.0)
    messages = orjson.loads(body(9))
    messages[18]["content"] = [{"type": "text", "text": f"part {number}"} for number in range(parts)]
    found = marks(MARKED, before, Prompt(orjson.dumps(messages), 5_900, at), summary=True)
    assert found == places


def test_only_messages_with_words_of_people_and_models_are_marked() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    loop = [
        *orjson.loads(body(8)),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "5"},
    ]
    before, at = chat(30, 8, cached=0.0)
    places = marks(MARKED, before, Prompt(orjson.dumps(loop), 5_900, at))
    assert places == (0, 17)
    assert [loop[place]["role"] for place in places] == ["system", "user"]
