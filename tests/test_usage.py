"""What did a turn consume, and what did it cost? To the last decimal."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.usage import Cost, Price, Spending, Tier, Usage

counts = st.integers(0, 10**9)
shares = st.none() | st.integers(0, 10**6)
amounts = st.decimals(0, 1000, places=4)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    cached, written, thought = draw(shares), draw(shares), draw(shares)
    return Usage(
        input=draw(counts) + (cached or 0) + (written or 0),
        output=draw(counts) + (thought or 0),
        cached=cached,
        cache_write=written,
        reasoning=thought,
        estimated=draw(st.booleans()),
    )


def price(*tiers: Tier, multiplier: str = "1") -> Price:
    return Price("CNY", tiers, multiplier=Decimal(multiplier))


def tier(input: str = "1", output: str = "2", up_to: int | None = None, **more: str) -> Tier:
    extra = {name: Decimal(value) for name, value in more.items()}
    return Tier(Decimal(input), Decimal(output), up_to, **extra)


# -------------------------------------------------------------------------------------- usage


@given(usages(), usages())
def test_usage_adds_up_and_remembers_that_a_part_was_estimated(one: Usage, other: Usage) -> None:
    both = one + other
    assert both == other + one
    assert both.total == one.total + other.total
    assert both.estimated == (one.estimated or other.estimated)
    assert (both.cached or 0) == (one.cached or 0) + (other.cached or 0)


@given(usages())
def test_nothing_adds_nothing(one: Usage) -> None:
    assert one + Usage() == one


def test_what_no_provider_said_stays_unknown() -> None:
    both = Usage(input=1, cached=0) + Usage(input=1)
    assert (both.cached, both.cache_write, both.reasoning) == (0, None, None)


def test_the_raw_object_belongs_to_one_call() -> None:
    assert (Usage(raw={"x": 1}) + Usage(raw={"x": 2})).raw is None


# --------------------------------------------------------------------------------------- price


@given(usages(), amounts, amounts, amounts, amounts, amounts)
def test_a_cost_is_the_sum_of_its_shares(
    usage: Usage, input: Decimal, output: Decimal, cached: Decimal, written: Decimal, thought: Decimal
) -> None:
    cost = Price("USD", (Tier(input, output, None, cached, written, thought),)).cost(usage)
    c, w, r = usage.cached or 0, usage.cache_write or 0, usage.reasoning or 0
    exact = (
        (usage.input - c - w) * input + c * cached + w * written + (usage.output - r) * output + r * thought
    )
    assert cost.amount * 1_000_000 == exact
    assert (cost.currency, cost.estimated) == ("USD", usage.estimated)


@given(usages(), amounts, amounts)
def test_a_share_without_a_price_of_its_own_costs_what_its_kind_costs(
    usage: Usage, input: Decimal, output: Decimal
) -> None:
    cost = Price("USD", (Tier(input, output),)).cost(usage)
    assert cost.amount * 1_000_000 == usage.input * input + usage.output * output


def test_each_rate_is_used_for_its_own_share() -> None:
    rates = tier("1", "10", cached="0.1", cache_write="1.25", reasoning="30")
    usage = Usage(input=1_000_000, output=1_000_000, cached=400_000, cache_write=200_000, reasoning=500_000)
    assert price(rates).cost(usage).amount == Decimal("0.4") + Decimal("0.04") + Decimal("0.25") + 5 + 15


def test_a_rate_of_zero_is_free_and_not_missing() -> None:
    rates = tier("1", "10", cached="0", cache_write="0", reasoning="0")
    usage = Usage(input=1_000_000, output=1_000_000, cached=500_000, cache_write=500_000, reasoning=1_000_000)
    assert price(rates).cost(usage).amount == 0


def test_a_relay_multiplies_the_whole() -> None:
    assert price(tier(), multiplier="1.5").cost(Usage(1_000_000, 1_000_000)).amount == Decimal("4.5")


@pytest.mark.parametrize(
    ("tokens", "expected"), [(0, "1"), (128_000, "1"), (128_001, "4"), (256_000, "4"), (256_001, "9")]
)
def test_the_whole_request_is_billed_at_the_tier_of_its_input(tokens: int, expected: str) -> None:
    tiers = (tier("1", up_to=128_000), tier("4", up_to=256_000), tier("9"))
    assert price(*tiers).tier(tokens).input == Decimal(expected)
    assert price(*tiers).cost(Usage(input=tokens)).amount == tokens * Decimal(expected) / 1_000_000


def test_a_request_above_the_last_tier_is_billed_at_the_last() -> None:
    assert price(tier("1", up_to=10), tier("2", up_to=20)).tier(21).input == 2


# ------------------------------------------------------------------------------------ spending


def test_spending_is_added_up_currency_by_currency() -> None:
    parts = [
        Spending("a", Usage(1, 2), (Cost(Decimal("0.1"), "CNY"),), calls=2, turns=1),
        Spending(
            "b", Usage(3, 4), (Cost(Decimal("0.2"), "USD", estimated=True), Cost(Decimal("0.3"), "CNY"))
        ),
        Spending("c", Usage(5, 6), (), calls=1, turns=1),
    ]
    total = Spending.total("all", parts)
    assert (total.group, total.usage, total.calls, total.turns) == ("all", Usage(9, 12), 3, 2)
    assert total.costs == (Cost(Decimal("0.4"), "CNY"), Cost(Decimal("0.2"), "USD", estimated=True))


def test_an_estimate_among_the_parts_marks_the_sum_of_its_currency() -> None:
    sure, guess = Cost(Decimal(1), "CNY"), Cost(Decimal(1), "CNY", estimated=True)
    for costs in ([sure, guess], [guess, sure]):
        total = Spending.total("x", [Spending("", Usage(), (cost,)) for cost in costs])
        assert total.costs == (Cost(Decimal(2), "CNY", estimated=True),)


def test_nothing_spent_has_no_costs() -> None:
    assert Spending.total("x", []) == Spending("x", Usage())
