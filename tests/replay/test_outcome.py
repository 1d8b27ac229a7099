"""What would a turn have cost under other terms?"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from tests.replay.told import MODEL, dialogue, said, terms

from multiturn import ContextPolicy, Summarize, Usage
from multiturn.caching.rules import CacheRule
from multiturn.messages import Trait
from multiturn.replay import Case, Dialogue, Outcome, replay, uses
from multiturn.tokens import REPLY_OVERHEAD

RULE = CacheRule(minimum=1)
TALK = [(f"Question {n}: what about it, please?", f"Answer {n}, quite long and friendly.") for n in range(40)]


def outcome(
    told: Dialogue,
    policy: ContextPolicy,
    rule: CacheRule | None = RULE,
    ratio: float = 1.0,
    **more: Any,
) -> Outcome:
    stated = terms(policy)
    stated = replace(
        stated, card=replace(stated.card, cache=rule), caching=replace(stated.caching, rule=rule)
    )
    return replay(told, Case("s", stated, ratio=ratio), uses(told.turns), **more)


FULL = ContextPolicy.full()
SLIDING = ContextPolicy(budget=300, high=1.0, low=1.0, summarize=None, recall=None)
STEPS = ContextPolicy(budget=300, high=1.0, low=0.55, summarize=None, recall=None)


def test_all_but_the_new_of_an_uncut_conversation_is_cached() -> None:
    found = outcome(dialogue(*TALK), FULL).turns
    assert found[0].cached == 0
    for before, after in pairwise(found):
        assert after.cached == pytest.approx(before.usage.input, rel=0.05, abs=8)


def test_a_sliding_window_pays_for_what_steps_find_in_the_cache() -> None:
    sliding, steps = (outcome(dialogue(*TALK), policy).turns for policy in (SLIDING, STEPS))
    cost = [sum(turn.cost.amount for turn in turns if turn.cost) for turns in (sliding, steps)]
    assert cost[1] < cost[0]
    share = [
        sum(turn.cached or 0 for turn in t) / sum(turn.usage.input for turn in t) for t in (sliding, steps)
    ]
    assert share[0] < 0.2 < 0.6 < share[1]


def test_unknown_rules_leave_cached_open_and_bill_everything_as_new() -> None:
    (first,) = outcome(dialogue(*TALK[:1]), FULL, None).turns
    assert first.cached is None
    price = terms().card.price
    assert price is not None
    assert first.cost == price.cost(Usage(first.usage.input, first.usage.output, estimated=True))


def test_without_a_price_there_is_no_cost() -> None:
    told = dialogue(*TALK[:3])
    found = replay(told, Case("s", terms(FULL, model="compatible/llama")), uses(told.turns))
    assert not found.price_known
    assert all(turn.cost is None for turn in found.turns)


def test_counts_are_told_without_the_margin_and_with_the_ratio_that_was_learned() -> None:
    plain, seen = (outcome(dialogue(*TALK[:1]), FULL, ratio=ratio).turns[0].usage for ratio in (1.0, 2.0))
    counted = dialogue(*TALK[:1]).turns[0].rows[0].tokens + REPLY_OVERHEAD
    assert plain.input == pytest.approx(counted, abs=1)
    assert seen.input == pytest.approx(2 * plain.input, abs=1)
    assert seen.output == pytest.approx(2 * plain.output, abs=1)


def test_a_reply_costs_what_its_own_model_reported() -> None:
    told = dialogue(TALK[0], billed=Usage(10, 777, reasoning=700))
    assert replay(told, Case("s", terms(FULL)), uses(told.turns)).turns[0].usage.output == 777
    other = replay(told, Case("s", terms(FULL, model="deepseek/deepseek-chat")), uses(told.turns)).turns[0]
    assert other.usage.output < 50
    guessed = dialogue(TALK[0], billed=Usage(10, 777, estimated=True))
    assert replay(guessed, Case("s", terms(FULL)), uses(guessed.turns)).turns[0].usage.output < 50


def test_only_turns_since_then_are_told_but_all_are_walked_through() -> None:
    told = dialogue(*TALK, gap=100.0)
    late = outcome(told, FULL, since=3_900.0).turns
    assert [turn.turn for turn in late] == [39, 40]
    assert late == outcome(told, FULL).turns[-2:]


def test_a_refused_turn_is_told_and_costs_nothing() -> None:
    told = dialogue(TALK[0], ("long " * 400, "no"), TALK[1])
    first, second, third = outcome(told, SLIDING).turns
    assert second.refused == "context_overflow"
    assert second.requests == 0
    assert second.cost is None
    assert first.refused is third.refused is None


def test_evidence_falls_out_of_a_short_window() -> None:
    told = dialogue(("My dog is called Rex.", "Nice."), *TALK, ("Remind me: what of Rex?", "He is fine."))
    assert outcome(told, FULL).turns[-1].fates.sent == (1,)
    gone = outcome(told, SLIDING).turns[-1].fates
    assert (gone.sent, gone.gone) == ((), (1,))


def test_the_model_that_is_tried_is_named() -> None:
    assert outcome(dialogue(*TALK[:1]), FULL).model == MODEL
    assert outcome(dialogue(), FULL).turns == []


def test_silence_longer_than_the_cache_lasts_costs() -> None:
    rule = replace(RULE, ttl=300.0)
    quick, slow = (outcome(dialogue(*TALK[:9], gap=gap), FULL, rule).turns[-1] for gap in (10.0, 1000.0))
    assert slow.cached == 0
    assert quick.cost
    assert slow.cost
    assert quick.cost.amount < slow.cost.amount
    assert isinstance(quick.cost.amount, Decimal)


def test_the_requests_of_a_turn_share_what_was_billed_for_it() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    turn = said(
        1,
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sun"},
        {"role": "assistant", "content": "It is sunny, and it will stay so for the whole of the day."},
        billed=Usage(90, 100, reasoning=40),
    )
    (found,) = outcome(Dialogue("c", turns=[turn]), FULL).turns
    assert found.requests == 2
    assert found.usage.output == pytest.approx(100, abs=1)
    assert found.usage.reasoning == pytest.approx(40, abs=1)


def test_a_reply_that_was_thought_over_is_no_unit_of_the_cache() -> None:
    """Its thinking does not come back, so what follows it stands elsewhere."""
    rule = CacheRule(match="unit")
    plain = dialogue(*TALK[:2])
    first = plain.turns[0]
    rows = [first.rows[0], first.rows[1]._replace(reasoning=b"Hm.", reasoning_tokens=9)]
    turn = first.turn._replace(traits=int(Trait.REASONING), reasoning_tokens=9)
    thinking = Dialogue("c", turns=[replace(first, rows=rows, turn=turn), plain.turns[1]])
    cached = [outcome(told, FULL, rule).turns[1].cached or 0 for told in (plain, thinking)]
    assert cached[0] - cached[1] == first.rows[1].tokens


def test_markers_are_set_where_they_pay_and_cost_what_they_write() -> None:
    """Long requests in quick succession, to a provider that takes markers and has missed once."""
    policy = ContextPolicy(budget=2400, high=1.0, low=0.55, summarize=None, recall=None)
    talk = [(f"{n}: " + "what about it, please? " * 8, "Well, well, and so on.") for n in range(80)]
    told = dialogue(*talk, gap=20.0)
    rule = terms(FULL).card.cache
    assert rule is not None
    assert rule.explicit is not None
    marked = outcome(told, policy, rule).turns
    assert any(turn.usage.cache_write for turn in marked)
    plain = outcome(told, policy, replace(rule, explicit=None)).turns
    assert all(turn.usage.cache_write is None for turn in plain)
    written = [turn for turn in marked if turn.usage.cache_write]
    assert all((turn.cached or 0) + (turn.usage.cache_write or 0) == turn.usage.input for turn in written)


def test_a_summary_is_paid_by_the_turn_that_is_followed_by_it() -> None:
    policy = ContextPolicy(budget=500, recall=None, summarize=Summarize(max_tokens=60))
    found = outcome(dialogue(*TALK), policy).turns
    folding = [turn for turn in found if turn.folds]
    assert folding
    for turn in folding:
        assert turn.cost
        assert turn.summary
        assert 0 < turn.summary.amount < turn.cost.amount
    told = dialogue(*TALK)
    writer = terms(model="compatible/llama").card
    unpriced = replay(told, Case("s", terms(policy), writer), uses(told.turns)).turns
    assert [turn.turn for turn in unpriced if turn.cost is None] == [turn.turn for turn in folding]
