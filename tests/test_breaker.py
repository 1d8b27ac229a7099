"""Is somebody who failed left alone for a while, and tried again in time?"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from multiturn.breaker import MOST, Breaker, Circuit, Rest

REST = Rest(failures=3, first=5.0, longest=40.0, longest_asked=100.0, trial=10.0)


def opened(now: float = 0.0, **how: object) -> Circuit:
    circuit = Circuit()
    circuit.fail(now, REST, at_once=True, **how)  # type: ignore[arg-type]  # a keyword of its own
    return circuit


def test_it_opens_after_some_failures_in_a_row_and_no_sooner() -> None:
    breaker = Breaker(REST)
    for _ in range(2):
        breaker.fail("a", 0.0)
    breaker.succeed("a")
    for _ in range(2):
        breaker.fail("a", 1.0)
        assert breaker.ready("a", 1.0)
    breaker.fail("a", 1.0)
    assert not breaker.ready("a", 5.9)
    assert breaker.ready("a", 6.0)


def test_one_request_is_let_through_and_the_others_wait_for_it() -> None:
    circuit = opened()
    circuit.enter(5.0)
    assert not circuit.ready(14.9, REST)
    assert circuit.ready(15.0, REST)  # the one that tried was never heard of again
    circuit.leave()
    assert circuit.ready(5.0, REST)


def test_each_time_in_a_row_it_stays_open_twice_as_long_up_to_a_limit() -> None:
    circuit, now, pauses = opened(), 0.0, []
    for _ in range(5):
        pauses.append(circuit.until - now)
        now = circuit.until
        circuit.enter(now)
        circuit.fail(now, REST)
    assert pauses == [5.0, 10.0, 20.0, 40.0, 40.0]
    assert REST.seconds(10_000) == 40.0


def test_who_names_a_time_gets_it() -> None:
    assert opened(wait=33.0).until == 33.0
    assert opened(wait=5000.0).until == 100.0
    circuit = Circuit()
    circuit.fail(0.0, REST, wait=7.0)
    assert not circuit.ready(6.9, REST)


def test_failures_of_requests_from_before_do_not_prolong_it() -> None:
    circuit = opened()
    for _ in range(32):
        circuit.fail(1.0, REST)
    assert circuit.until == 5.0
    circuit.fail(1.0, REST, wait=20.0)
    assert circuit.until == 21.0


class Life(RuleBasedStateMachine):
    """One circuit through all that may happen to it until it is answered, beside what must hold then."""

    def __init__(self) -> None:
        super().__init__()
        self.circuit = Circuit()
        self.now = 0.0
        self.row = 0

    @rule(seconds=st.floats(0.0, 60.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(wait=st.none() | st.floats(0.0, 500.0), at_once=st.booleans())
    def fail(self, wait: float | None, at_once: bool) -> None:
        self.circuit.fail(self.now, REST, wait=wait, at_once=at_once)
        self.row += 1
        if at_once or wait or self.row >= REST.failures:
            assert self.circuit.opened is not None
        if wait:
            assert not self.circuit.ready(self.now, REST) or min(wait, REST.longest_asked) < 1e-9

    @precondition(lambda self: self.circuit.ready(self.now, REST))
    @rule()
    def enter(self) -> None:
        self.circuit.enter(self.now)
        assert self.circuit.ready(self.now, REST) == (self.circuit.opened is None)

    @rule()
    def leave(self) -> None:
        self.circuit.leave()

    @invariant()
    def nobody_is_left_alone_for_ever(self) -> None:
        assert self.circuit.ready(self.now + max(REST.longest, REST.longest_asked) + REST.trial, REST)

    @invariant()
    def it_is_open_only_where_something_failed(self) -> None:
        assert self.circuit.opened is None or self.row


TestLife = Life.TestCase


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40))
def test_names_have_nothing_to_do_with_each_other(happened: list[tuple[str, bool]]) -> None:
    breaker, alone = Breaker(REST), {name: Breaker(REST) for name in "abc"}
    for place, (name, good) in enumerate(happened):
        for each in (breaker, alone[name]):
            each.enter(name, place)
            each.succeed(name) if good else each.fail(name, place)
    for name in "abc":
        assert breaker.ready(name, len(happened)) == alone[name].ready(name, len(happened))
        assert breaker.opened(name) == alone[name].opened(name)


def test_what_is_closed_opened_before_everything_else() -> None:
    breaker = Breaker(REST)
    assert breaker.opened("a") == float("-inf")
    breaker.fail("a", 3.0)
    assert breaker.opened("a") == float("-inf")
    breaker.fail("a", 4.0, at_once=True)
    assert breaker.opened("a") == 4.0


def test_names_without_end_do_not_fill_the_memory() -> None:
    breaker = Breaker(REST)
    for number in range(MOST + 5):
        breaker.fail(number, 0.0, at_once=True)
    assert breaker.ready(4, 0.0)
    assert not breaker.ready(5, 0.0)
