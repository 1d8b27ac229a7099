"""Pauses grow, respect what the provider asks for, and repetitions stay a small share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from multiturn.errors import ProviderError, RateLimited
from multiturn.providers.patience import Budget, Retry


def test_a_repetition_that_comes_back_as_a_request_makes_no_room_for_others() -> None:
    budget, told = Budget(Retry(memory=1e12)), 0
    for _ in range(1000):
        asked = 1
        while asked:
            budget.ask(0.0)
            asked = int(budget.take(0.0, comes_back=True))
            told += asked
    assert 99 <= told <= 103


def test_asking_somebody_else_is_always_allowed_and_leaves_less_for_repetitions() -> None:
    budget = Budget(Retry(floor=3))
    for _ in range(2):
        budget.spend(0.0)
    assert [budget.take(0.0) for _ in range(2)] == [True, False]
    for _ in range(9):
        budget.spend(0.0)
    assert not budget.take(0.0)


def test_pauses_double_with_jitter_up_to_the_longest() -> None:
    retry = Retry(base=1, longest_backoff=8)
    for repetition, middle in ((0, 1), (1, 2), (2, 4), (3, 8), (9, 8)):
        pauses = {retry.pause(ProviderError(), repetition) for _ in range(50)}
        assert all(0.75 * middle <= pause <= 1.25 * middle for pause in pauses)
        assert len(pauses) > 1


def test_a_burst_wants_a_longer_pause() -> None:
    assert Retry().pause(RateLimited(burst=True), 0) > 3


def test_what_the_provider_asks_for_counts_up_to_the_cap() -> None:
    assert Retry().pause(RateLimited(retry_after=12.5), 0) == 12.5
    assert Retry().pause(RateLimited(retry_after=0), 1) == 0
    assert Retry().pause(RateLimited(retry_after=3600), 0) == 60


def test_a_fresh_client_may_repeat_a_little() -> None:
    budget = Budget(Retry(floor=3))
    budget.ask(0)
    assert [budget.take(0) for _ in range(4)] == [True, True, True, False]


def test_in_a_storm_one_tenth_is_repeated() -> None:
    budget, repeated = Budget(Retry()), 0
    for request in range(1000):
        budget.ask(request / 1000)
        repeated += budget.take(request / 1000) + budget.take(request / 1000)
    assert 90 <= repeated <= 100


def test_time_heals() -> None:
    budget = Budget(Retry(floor=3, memory=60))
    assert [budget.take(0) for _ in range(4)][-1] is False
    assert budget.take(30) is True
    assert budget.take(30) is False


@given(st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=200))
def test_never_more_than_the_share_or_the_floor(steps: list[tuple[float, bool]]) -> None:
    budget, now, requests, repeated = Budget(Retry(memory=1e12)), 0.0, 0, 0
    for pause, asks in steps:
        now += pause
        if asks:
            budget.ask(now)
            requests += 1
        elif budget.take(now):
            repeated += 1
        assert repeated <= max(3, 0.1 * requests + 1e-6)
