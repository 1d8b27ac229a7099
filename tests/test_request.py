"""What a provider is asked: markers, cache keys, parameters a model refuses; what is remembered of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from multiturn.caching.fingerprints import fingerprint
from multiturn.caching.prompt import Prompt
from multiturn.caching.rules import CacheRule, Caching, MarkerRule
from multiturn.catalog import Catalog
from multiturn.providers.dashscope import native_messages
from multiturn.providers.parameters import marked
from multiturn.request import answered, caching_of, remembered, request_of, unmarked
from multiturn.usage import Usage
from multiturn.window import Limits, Request, Window

LIMITS = Limits(100_000, 100_000, 50_000, scale=1.25)
RULE = CacheRule(256, explicit=MarkerRule(1024, 300, odds=0.8))
SYSTEM = {"role": "system", "content": "x" * 9_000}


def window(
    turns: int = 1, caching: Caching | None = None, past: bytes | None = None, at: float = 0.0
) -> Window:
    said = [{"role": "user", "content": f"q{place}"} for place in range(turns)]
    return Window(orjson.dumps([SYSTEM, *said]), (), 5_000, LIMITS, caching=caching, past=past, at=at)


def request(model: str, params: dict[str, Any] | None = None, **more: Any) -> Request:
    known = Catalog()
    card = known.card(model)
    return request_of(
        card,
        known.profile(card.provider),
        more.pop("window", window()),
        conversation="01JD",
        params=params or {},
        **more,
    )


# -------------------------------------------------------------------------------------- requests


@pytest.mark.parametrize("model", ["kimi/kimi-k2.6", "openai/gpt-4o"])
def test_a_conversation_has_one_cache_key_where_the_provider_takes_one(model: str) -> None:
    key = request(model).params["prompt_cache_key"]
    assert key == request(model).params["prompt_cache_key"]
    assert "01JD" not in key
    assert request(model, {"prompt_cache_key": "mine"}).params["prompt_cache_key"] == "mine"


@pytest.mark.parametrize("model", ["qwen/qwen-plus", "zhizengzeng/gpt-4o", "compatible/x", "demo"])
def test_others_get_no_key(model: str) -> None:
    assert "prompt_cache_key" not in request(model).params


@pytest.mark.parametrize("model", ["kimi/kimi-k2.6", "zhizengzeng/kimi-k2.6"])
def test_what_a_model_refuses_is_not_sent_through_a_relay_either(model: str) -> None:
    params = request(model, {"temperature": 0.3, "seed": 7}).params
    assert "temperature" not in params
    assert params["seed"] == 7


def test_the_request_is_the_window() -> None:
    made = request("qwen/qwen-plus", tools=[{"type": "function"}], tool_choice="auto", stream=False)
    assert made.model == "qwen-plus"
    assert (made.body, made.tools, made.tool_choice, made.stream) == (
        window().body,
        [{"type": "function"}],
        "auto",
        False,
    )
    assert made.markers == ()


# --------------------------------------------------------------------------------------- markers


def quick(turns: int) -> Window:
    """A window after so many quick requests, none of which the automatic cache helped."""
    caching, past, at = Caching("m", RULE, head=2_000), None, 0.0
    for turn in range(1, turns + 1):
        past = fingerprint(caching, Prompt(window(turn).body, 4_000, at), past)
        at += 10
    return window(turns + 1, caching, past, at)


def test_the_window_says_what_is_marked_and_the_request_carries_it() -> None:
    marks = quick(9).markers
    assert marks == (0, 10)
    assert request("qwen/qwen-plus", window=quick(9)).markers == marks
    assert quick(1).markers == ()
    assert window().markers == ()


def test_who_sets_no_markers_is_told_of_none() -> None:
    plain = unmarked(quick(9))
    assert plain.markers == ()
    assert plain.cached_prefix == 4_000
    assert unmarked(window()) == window()


def test_marked_content_becomes_a_list_whose_last_part_is_marked() -> None:
    parts: list[dict[str, Any]] = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "https://x/y"}},
    ]
    body = orjson.dumps([SYSTEM, {"role": "user", "content": parts}, {"role": "user", "content": "b"}])
    messages = orjson.loads(marked(Request("m", body, markers=(0, 1))))
    ephemeral = {"cache_control": {"type": "ephemeral"}}
    assert messages[0]["content"] == [{"type": "text", "text": SYSTEM["content"], **ephemeral}]
    assert messages[1]["content"] == [parts[0], {**parts[1], **ephemeral}]
    assert messages[2] == {"role": "user", "content": "b"}
    assert native_messages(messages)[0]["content"] == [{"text": SYSTEM["content"], **ephemeral}]


def test_without_markers_the_bytes_are_the_same() -> None:
    body = b'[ {"role":"user", "content":"as it came"} ]'
    assert marked(Request("m", body)) is body


# ------------------------------------------------------------------------------------ remembering


def test_a_window_nobody_asked_a_forecast_of_is_not_remembered() -> None:
    assert remembered(window(), Usage(10, 5), 1.0) is None
    assert remembered(None, None, 1.0) is None
    assert (window().cached_prefix, window().cost, window().forecast) == (None, None, None)
    assert answered(window(), Usage(10, 5)) == window()


def test_what_is_remembered_predicts_the_next_request() -> None:
    card = Catalog().card("stepfun/step-3.7-flash")
    caching = caching_of(card, [], 2_000)
    past = remembered(window(1, caching), Usage(3_000, 50, cached=0), 10.0)
    later = window(2, caching, past, 20.0)
    assert later.cached_prefix == 3_000
    assert later.cost
    assert later.cost.estimated
    told = answered(later, Usage(3_100, 50, cached=1_000))
    assert told.ledger.cache == {
        "predicted": 3_000,
        "reported": 1_000,
        "verdict": "short",
        "cause": "expired",
    }
    assert "only 1,000 tokens were read" in told.explain()


def test_without_a_rule_the_price_is_that_of_an_empty_cache() -> None:
    card = Catalog().card("kimi/kimi-k2.6")
    shown = window(1, caching_of(card, [], 2_000))
    assert shown.cached_prefix is None
    assert shown.cost
    assert shown.cost.amount == 5_000 * card.price.tiers[0].input / 1_000_000  # type: ignore[union-attr]  # it has one


def test_an_unknown_price_is_none() -> None:
    assert window(1, Caching("m", RULE)).cost is None
