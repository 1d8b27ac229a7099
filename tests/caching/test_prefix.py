"""What a prompt cache should hold: by each kind of rule, with every cause of a miss, compared with what is
reported; and when markers pay."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.caching.requests import PREFIX, SYSTEM, body, past

from multiturn.caching.fingerprints import fingerprint
from multiturn.caching.past import digest_of
from multiturn.caching.prefix import Forecast, compared, forecast
from multiturn.caching.prompt import Prompt
from multiturn.caching.rules import CacheRule, Caching
from multiturn.usage import Price, Tier, Usage

SHORT = replace(PREFIX, head=300)
OTHER_TOOLS = digest_of([{"type": "function", "function": {"name": "weather"}}])


def told(caching: Caching = PREFIX, before: bytes | None = None, **more: Any) -> Forecast:
    given: dict[str, Any] = {"body": body(4), "tokens": 1_200, "at": 160.0} | more
    return forecast(caching, past() if before is None else before, Prompt(**given))


# --------------------------------------------------------------------------------------- forecasts


def test_a_request_that_extends_the_last_one_finds_it_whole() -> None:
    assert told() == Forecast(1_200, 1_000, None, None, 60.0)


def test_what_was_reported_counts_and_scales_the_estimate() -> None:
    before = past(usage=Usage(800, 50, cached=0))
    assert told(before=before) == Forecast(960, 800, None, None, 60.0)
    estimated = past(usage=Usage(800, 50, estimated=True))
    assert told(before=estimated).cached == 1_000


def test_a_first_request_finds_nothing_that_is_known() -> None:
    assert forecast(PREFIX, None, Prompt(body(0), 700, 5.0)) == Forecast(700, 0)
    assert forecast(PREFIX, b"[99,1]", Prompt(body(0), 700, 5.0)) == Forecast(700, 0)


def test_an_unknown_rule_predicts_nothing_but_names_the_cause() -> None:
    unknown = Caching("m")
    assert forecast(unknown, None, Prompt(body(0), 700, 5.0)) == Forecast(700)
    assert told(unknown, past(unknown)) == Forecast(1_200, gap=60.0)
    assert told(Caching("n"), past(unknown)).miss == "model_changed"
    assert told(Caching("n"), past(unknown)).cached is None


@pytest.mark.parametrize(
    ("caching", "given", "cached", "miss"),
    [
        (Caching("n", PREFIX.rule, head=500), {}, 0, "model_changed"),
        (Caching("m", PREFIX.rule, tools=OTHER_TOOLS, head=500), {}, 0, "tools_changed"),
        (PREFIX, {"body": body(4, system={"role": "system", "content": "other"})}, 0, "input_changed"),
        (PREFIX, {"body": body(5, first=3), "anchor": "3.0"}, 500, "context_compacted"),
        (PREFIX, {"body": body(5, first=3)}, 500, "input_changed"),
        (PREFIX, {"body": body(2)}, 500, "input_changed"),
        (PREFIX, {"at": 701.0}, 0, "expired"),
        (PREFIX, {"at": 700.0}, 1_000, None),
        (PREFIX, {"body": body(5, first=3), "anchor": "3.0", "at": 9_000.0}, 0, "context_compacted"),
    ],
)
def test_every_cause_of_a_miss_has_its_name(
    caching: Caching, given: dict[str, Any], cached: int, miss: str | None
) -> None:
    found = told(caching, **given)
    assert (found.cached, found.miss) == (cached, miss)


def test_instructions_of_the_same_length_are_not_the_same() -> None:
    other = {"role": "system", "content": SYSTEM["content"].replace("店", "商")}
    assert told(body=body(5, system=other)).cached == 0


def with_context(turns: int, first: str = "question 1 😀") -> bytes:
    messages = orjson.loads(body(turns))
    messages[1]["content"] = first
    return orjson.dumps([*messages[:-1], {"role": "system", "content": "it is noon"}, messages[-1]])


def test_what_stands_before_material_for_one_step_is_kept() -> None:
    before = fingerprint(SHORT, Prompt(with_context(3), 1_000, 100.0), None, passing=2)
    found = told(SHORT, before)
    assert found.miss == "input_changed"
    assert found.cached
    assert 850 < found.cached < 1_000
    edited = orjson.dumps(
        [{**each, "content": each["content"].replace("n 1", "n 7")} for each in orjson.loads(body(4))]
    )
    assert told(SHORT, before, body=edited).cached == 300


def test_a_breakpoint_is_not_shared() -> None:
    rule = Caching("m", CacheRule(256, match="breakpoint"), head=500)
    parted = fingerprint(rule, Prompt(body(5, first=3), 900, 160.0, "3.0"), past(rule))
    again = forecast(rule, parted, Prompt(body(7, first=6), 900, 170.0, "6.0"))
    assert again.cached == 0


def test_a_prefix_below_the_minimum_is_not_kept_and_hits_come_in_steps() -> None:
    blocks = Caching("m", CacheRule(1_024, 128))
    assert told(blocks, past(blocks, tokens=1_023)).cached == 0
    assert told(blocks, past(blocks, tokens=1_024)).cached == 1_024
    assert told(blocks, past(blocks, tokens=1_300), tokens=1_500).cached == 1_280
    assert told(replace(PREFIX, head=255), body=body(5, first=3)).cached == 0


def test_units_are_whole_requests_and_replies() -> None:
    units = Caching("m", CacheRule(match="unit"), head=500)
    before = past(units, usage=Usage(1_000, 70, cached=0))
    assert told(units, before).cached == 1_070
    thought = past(units, usage=Usage(1_000, 70, cached=0, reasoning=60))
    assert told(units, thought).cached == 1_000  # reasoning is not sent again
    cut = {"body": body(5, first=3), "anchor": "3.0"}
    assert told(units, before, **cut).cached == 0


def test_what_two_requests_shared_is_a_unit_from_then_on() -> None:
    units = Caching("m", CacheRule(match="unit"), head=500)
    parted = fingerprint(units, Prompt(body(5, first=3), 900, 160.0, "3.0"), past(units))
    again = forecast(units, parted, Prompt(body(7, first=6), 900, 170.0, "6.0"))
    assert (again.cached, again.miss) == (500, "context_compacted")


def test_what_was_written_up_to_a_breakpoint_is_what_is_found() -> None:
    rule = Caching("m", CacheRule(1_024, match="breakpoint", ttl=1_800))
    before = past(rule, tokens=1_200, usage=Usage(1_300, 50, cached=1_000, cache_write=297))
    assert told(rule, before).cached == 1_297


def test_a_breakpoint_matches_whole_or_not_at_all_and_writing_is_billed() -> None:
    rule = Caching("m", CacheRule(1_024, match="breakpoint", ttl=1_800), head=1_100)
    assert told(rule, past(rule, tokens=1_100)) == Forecast(1_200, 1_100, 100, None, 60.0)
    cut = told(rule, past(rule, tokens=1_100), body=body(5, first=3), anchor="3.0")
    assert (cut.cached, cut.written, cut.miss) == (0, 1_200, "context_compacted")
    assert told(rule, past(rule, tokens=500), tokens=600).written is None


def test_what_is_forecast_has_a_price() -> None:
    tier = Tier(Decimal(10), Decimal(20), cached=Decimal(2), cache_write=Decimal("12.5"), marked=Decimal(1))
    price = Price("CNY", (tier,))
    assert Forecast(1_000_000, 400_000).cost(price).amount == Decimal("6.8")  # type: ignore[union-attr]  # a price is given
    marked = Forecast(1_000_000, 400_000, 600_000).cost(price)
    assert marked
    assert marked.amount == Decimal("7.9")
    assert marked.estimated
    unknown = Forecast(1_000_000).cost(price)
    assert unknown
    assert unknown.amount == 10
    assert Forecast(5).cost(None) is None


# -------------------------------------------------------------------------------------- comparing


@pytest.mark.parametrize(
    ("expected", "cached", "verdict", "cause"),
    [
        (Forecast(1_000, 900), 900, "hit", None),
        (Forecast(1_000, 900), 860, "hit", None),
        (Forecast(1_000, 900), 999, "hit", None),
        (Forecast(1_000, 900), 500, "short", "expired"),
        (Forecast(1_000, 900), 0, "miss", "expired"),
        (Forecast(1_000, 0), 0, None, None),
        (Forecast(1_000, 0), 300, "hit", None),
        (Forecast(1_000, 300, miss="context_compacted"), 300, "hit", "context_compacted"),
        (Forecast(1_000, 300, miss="context_compacted"), 0, "miss", "context_compacted"),
        (Forecast(1_000, 0, miss="model_changed"), 0, "miss", "model_changed"),
        (Forecast(1_000), 500, None, None),
        (Forecast(1_000, miss="input_changed"), 500, None, "input_changed"),
        (Forecast(1_000, 900), None, None, None),
    ],
)
def test_a_forecast_is_compared_with_the_report(
    expected: Forecast, cached: int | None, verdict: str | None, cause: str | None
) -> None:
    found = compared(expected, Usage(1_000, 5, cached=cached))
    assert (found.verdict, found.cause, found.predicted, found.reported) == (
        verdict,
        cause,
        expected.cached,
        cached,
    )
    assert None not in found.figures.values()


def test_an_estimate_of_ours_is_no_report() -> None:
    assert compared(Forecast(1_000, 900), Usage(1_000, 5, cached=900, estimated=True)).reported is None
    assert compared(Forecast(1_000, 900), None).figures == {"predicted": 900}


# --------------------------------------------------------------------------------------- for all


@given(
    st.integers(0, 6),
    st.integers(0, 6),
    st.integers(1, 5_000),
    st.integers(0, 5_000),
    st.floats(0, 1e6),
    st.sampled_from([PREFIX, Caching("m", CacheRule(64, 64, None, "unit")), Caching("m")]),
)
def test_never_more_is_cached_than_sent(
    before: int, now: int, tokens: int, more: int, gap: float, caching: Caching
) -> None:
    caching = replace(caching, head=tokens // 3)
    kept = fingerprint(caching, Prompt(body(before), tokens, 0.0), None)
    found = forecast(caching, kept, Prompt(body(now), tokens + more, gap))
    assert found.gap == gap
    if caching.rule is None:
        assert found.cached is None
    else:
        assert found.cached is not None
        assert 0 <= found.cached <= found.tokens
    assert (found.miss is None or found.miss == "expired") == (now >= before)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5), st.text(max_size=20))
def test_the_head_is_found_whatever_it_says(instructions: list[str], question: str) -> None:
    leading = [{"role": "system", "content": words} for words in instructions]
    one = orjson.dumps([*leading, {"role": "user", "content": question}])
    other = orjson.dumps([*leading, {"role": "user", "content": question + "!"}])
    kept = fingerprint(PREFIX, Prompt(one, 1_000, 0.0), None)
    assert forecast(PREFIX, kept, Prompt(other, 1_000, 1.0)).cached == 500


def test_a_request_of_instructions_alone_has_a_head() -> None:
    only = orjson.dumps([SYSTEM])
    kept = fingerprint(PREFIX, Prompt(only, 1_000, 0.0), None)
    assert forecast(PREFIX, kept, Prompt(body(0), 1_000, 1.0)).cached == 1_000
