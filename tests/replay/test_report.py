"""What does a replay come to?"""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.replay.told import MODEL, dialogue

from multiturn import Usage
from multiturn.replay import Errors, Fates, Outcome, Said, TurnOutcome, billed, total, worst
from multiturn.usage import Cost

NONE = Fates()


def turn(number: int, amount: str | None = "1", fates: Fates = NONE) -> TurnOutcome:
    cost = None if amount is None else Cost(Decimal(amount), "CNY")
    return TurnOutcome(number, 0.0, 1, Usage(100, cached=50), 60, cost, fates=fates)


def outcome(*turns: TurnOutcome, scheme: str = "s") -> Outcome:
    return Outcome("c", scheme, MODEL, turns, rules_known=True, price_known=True)


def test_a_scheme_is_added_up() -> None:
    fates = Fates(sent=(1, 2), quoted=(3,), folded=(4,), gone=(5, 6))
    found = total("s", [outcome(turn(1), turn(2, fates=fates)), outcome(turn(1, "3"))])
    assert (found.conversations, found.turns, found.requests, found.input) == (2, 3, 3, 300)
    assert found.costs == (Cost(Decimal(5), "CNY", estimated=True),)
    assert found.costs_a_turn[0].amount == Decimal(5) / 3
    assert found.cached_share == 0.5
    assert (found.used, found.sent, found.quoted, found.folded, found.gone) == (6, 2, 1, 1, 2)
    assert found.kept_share == 0.5


def test_what_is_unknown_stays_unknown() -> None:
    found = total("s", [outcome(turn(1, None))])
    assert found.costs == found.costs_a_turn == ()
    assert found.unpriced == 1
    unruled = TurnOutcome(1, 0.0, 1, Usage(10), 5, None)
    assert total("s", [outcome(turn(1), unruled)]).cached is None
    assert total("s", []).kept_share is None


def test_the_worst_differences_come_first() -> None:
    had = Fates(sent=(1, 2, 3))
    base = outcome(*(turn(number, "2", had) for number in range(5, 10)))
    other = outcome(
        turn(5, "1", Fates(sent=(1, 2), quoted=(3,))),
        turn(6, "1", Fates(sent=(1,), gone=(2, 3))),
        turn(7, "3", Fates(sent=(1, 2), folded=(3,))),
        turn(8, "1", Fates(sent=(1, 2), gone=(3,))),
        turn(9, "9", had),
    )
    found = worst([base], [other])
    assert [(each.turn, each.lost) for each in found] == [(6, (2, 3)), (7, (3,)), (8, (3,)), (9, ())]
    assert found[0].before == Cost(Decimal(2), "CNY")
    assert len(worst([base], [other], most=2)) == 2


def real(number: int, input: int, cached: int | None = 50, **more: object) -> tuple[tuple[str, int], Said]:
    (one,) = dialogue(("q", "a")).turns
    usage = Usage(input, 10, cached=cached)
    values = {"billed": usage, "cost": Cost(Decimal(2), "CNY"), "model": MODEL, **more}
    return ("c", number), Said(one.turn, (), 0.0, **values)  # type: ignore[arg-type]  # as the test says


def test_predictions_are_set_beside_bills() -> None:
    said = dict([real(1, 100), real(2, 80, None), real(3, 200, 0)])
    found = billed([outcome(turn(1), turn(2), turn(3))], said)
    assert found.turns == 3
    assert found.input.signed == (-0.5, 0.0, 0.25)
    assert found.cached.signed == (0.0, 0.25)
    assert found.cost.signed == (-0.5, -0.5, -0.5)
    assert found.input.bias == 0.0
    assert found.input.median == 0.25
    assert found.input.p90 == 0.5


def test_what_another_model_answered_or_nobody_reported_is_not_compared() -> None:
    guess = Usage(100, 10, estimated=True)
    said = dict(
        [real(1, 100, model="demo"), real(2, 100, billed=None), real(3, 100, billed=guess), real(4, 0)]
    )
    found = billed([outcome(*map(turn, range(1, 5)))], said)
    assert found.turns == 0
    assert found.input.median is None
    assert found.input.bias is None


@pytest.mark.parametrize(("share", "size"), [(0.0, 0.1), (0.5, 0.3), (0.9, 0.5), (1.0, 0.5)])
def test_quantiles_are_of_the_sizes(share: float, size: float) -> None:
    assert Errors((-0.5, -0.4, 0.1, 0.2, 0.3)).quantile(share) == size
