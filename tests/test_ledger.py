"""Is the ledger of a window stored whole, and does it explain itself?"""

from __future__ import annotations

import pytest
from hypothesis import given
from tests.ledgers import EXAMPLE, ledgers

from multiturn.decision import Code, Decisions, Span
from multiturn.ledger import Ledger


@given(ledgers)
def test_a_ledger_survives_being_stored(ledger: Ledger) -> None:
    assert Ledger.from_json(ledger.to_json()) == ledger


def test_a_ledger_that_was_stored_without_notes_has_none() -> None:
    stored = b'{"tokens":5,"budget":9,"spans":[["new",1,5,[3,3],null]]}'
    assert Ledger.from_json(stored) == Ledger((Span(Code.NEW, 1, 5, (3, 3)),), 5, 9)
    assert Ledger.from_json(stored).to_json() == stored


def test_a_ledger_does_not_grow_with_the_conversation() -> None:
    short, long = (Ledger((Span(Code.OVER_BUDGET, n, None, (1, n)),), 5, 9).to_json() for n in (10, 10**6))
    assert len(long) <= len(short) + 10


def test_a_ledger_explains_itself_in_a_table() -> None:
    ledger = Ledger(tuple(EXAMPLE), 1_255, 8_000, ("fit_ignores_summary_and_recall",))
    rows = ledger.explain().splitlines()
    assert rows[0].split() == ["✓", "system", "1", "12", "the", "instructions", "in", "force"]
    assert rows[1].split()[:5] == ["✗", "over_budget", "1–20", "40", "—"]
    assert rows[2].split()[:5] == ["✓", "recent", "21–22", "3", "1,234"]
    assert rows[3].split()[:5] == ["✓", "new", "23", "1", "9"]
    assert "1,255" in rows[4]
    assert "8,000" in rows[4]
    assert "summary" in rows[5]
    assert len(rows) == 6


def test_a_ledger_explains_itself_in_chinese() -> None:
    rows = (
        Ledger(tuple(EXAMPLE), 1_255, 8_000, ("fit_ignores_summary_and_recall",)).explain("zh").splitlines()
    )
    assert "当前生效的指令" in rows[0]
    assert "摘要" in rows[5]


def test_the_decisions_of_a_ledger_are_those_of_its_spans() -> None:
    assert list(Ledger(tuple(EXAMPLE), 1, 2).decisions) == list(Decisions(EXAMPLE))


@pytest.mark.parametrize(
    ("cache", "line"),
    [
        ({"predicted": 1_200}, "prompt cache: 1,200 tokens should be read from it"),
        (
            {"predicted": 1_200, "reported": 1_100, "verdict": "hit"},
            "prompt cache: 1,100 tokens were read from it, 1,200 predicted",
        ),
        (
            {"predicted": 1_200, "reported": 0, "verdict": "miss", "cause": "tools_changed"},
            "prompt cache: nothing was read from it, 1,200 tokens predicted; the tool definitions changed",
        ),
        ({"predicted": 0}, None),
        ({"cause": "tools_changed"}, None),
    ],
)
def test_a_ledger_tells_what_the_prompt_cache_held(cache: dict[str, object], line: str | None) -> None:
    without = Ledger(EXAMPLE, 1, 2).explain()
    assert Ledger(EXAMPLE, 1, 2, cache=cache).explain() == (without if line is None else f"{without}\n{line}")
