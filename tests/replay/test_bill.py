"""What does a prompt cache serve, and what does it cost?"""

from __future__ import annotations

from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.caching.rules import CacheRule
from multiturn.replay.bill import Memory, added, common_bytes
from multiturn.usage import Cost


def body(*texts: str) -> bytes:
    return orjson.dumps([{"role": "user", "content": text} for text in texts])


@given(st.binary(max_size=40), st.binary(max_size=20), st.binary(max_size=20))
def test_the_common_beginning_is_the_longest(head: bytes, one: bytes, other: bytes) -> None:
    shared = common_bytes(head + one, head + other)
    assert shared >= len(head)
    assert (head + one)[:shared] == (head + other)[:shared]
    assert (head + one)[shared : shared + 1] != (head + other)[shared : shared + 1] or shared == min(
        len(head + one), len(head + other)
    )


def test_unknown_rules_predict_nothing() -> None:
    cache = Memory(None)
    cache.take(body("a" * 100), 100, 0, 0.0)
    served = cache.take(body("a" * 100, "b"), 110, 0, 1.0)
    assert served.cached is None
    assert served.written is None
    assert served.shared > 80


@pytest.mark.parametrize(
    ("rule", "cached"),
    [
        (CacheRule(), 980),
        (CacheRule(minimum=1024), 0),
        (CacheRule(minimum=256, step=128), 896),
        (CacheRule(ttl=300.0), 0),
        (CacheRule(ttl=600.0), 980),
        (CacheRule(match="unit"), 1000),
        (CacheRule(match="breakpoint"), 980),
    ],
)
def test_a_request_that_extends_the_last_one(rule: CacheRule, cached: int) -> None:
    first, second = body("a" * 1000), body("a" * 1000, "bc")
    cache = Memory(rule)
    assert cache.take(first, 1000, 20, 0.0).cached == 0
    served = cache.take(second, 1000, 0, 400.0)
    assert served.cached == pytest.approx(cached, abs=14)
    if rule.match == "breakpoint":
        assert served.written == 1000 - (served.cached or 0)
    else:
        assert served.written is None


def test_units_find_a_shared_beginning_once_it_was_seen_to_be_shared() -> None:
    cache = Memory(CacheRule(match="unit"))
    found = [cache.take(body("head " * 50, f"{n} " * 50), 1000, 0, float(n)).cached or 0 for n in range(4)]
    assert found[:2] == [0, 0]
    assert 600 < found[2] < 800
    assert found[3] == found[2]
    assert len(cache.parted) == 1


def test_a_breakpoint_finds_whole_requests_alone() -> None:
    cache = Memory(CacheRule(match="breakpoint"))
    cache.take(body("head " * 50, "one"), 1000, 0, 0.0)
    assert cache.take(body("head " * 50, "two"), 1000, 0, 1.0).cached == 0


def test_nothing_is_written_below_the_minimum() -> None:
    served = Memory(CacheRule(minimum=1024, match="breakpoint")).take(body("short"), 1000, 0, 0.0)
    assert (served.cached, served.written) == (0, None)


def test_costs_are_added_only_where_all_are_known() -> None:
    one, two = Cost(Decimal(1), "CNY"), Cost(Decimal(2), "USD")
    assert added([one, one]) == Cost(Decimal(2), "CNY")
    assert added([one, two]) is None
    assert added([one, None]) is None
    assert added([]) is None
