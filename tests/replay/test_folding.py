"""What would the summaries have been, and what would they have cost?"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.replay.told import dialogue, terms

from multiturn import ContextPolicy, Summarize
from multiturn.messages import Trait
from multiturn.replay import Dialogue
from multiturn.replay.dialogue import spoken
from multiturn.replay.folding import folded
from multiturn.replay.windows import windows

POLICY = ContextPolicy(budget=500, recall=None, summarize=Summarize(max_tokens=100))
TALK = [(f"Question {n}: what about it, please?", f"Answer {n}, quite long and friendly.") for n in range(40)]


def test_nothing_is_folded_while_it_fits() -> None:
    assert folded(spoken(dialogue(*TALK[:3]).turns), terms(POLICY), None, None) is None


@given(st.integers(20, 40), st.integers(20, 120))
def test_a_summary_stands_for_the_oldest_turns_and_is_not_longer(count: int, most: int) -> None:
    policy = ContextPolicy(budget=500, recall=None, summarize=Summarize(max_tokens=most))
    told = dialogue(*TALK[:count])
    fold = folded(spoken(told.turns), terms(policy), None, None)
    assert fold is not None
    summary, usage = fold
    covered = sum(said.turn.tokens for said in told.turns[: summary.upto])
    assert 0 < summary.upto < count
    assert summary.tokens <= min(most, covered)
    assert summary.tokens >= 0.8 * min(most, covered) - 3
    assert usage.input > covered
    assert usage.output == summary.tokens


def test_a_short_beginning_gets_a_short_summary() -> None:
    policy = ContextPolicy(budget=5000, max_turns=2, recall=None, summarize=Summarize(max_tokens=500))
    fold = folded(spoken(dialogue(*TALK[:6]).turns), terms(policy), None, None)
    assert fold is not None
    assert fold[0].tokens < 200


def test_the_next_summary_reads_the_one_before() -> None:
    past = spoken(dialogue(*TALK).turns)
    first = folded(past, terms(POLICY), None, None)
    assert first is not None
    early = replace(first[0], upto=10)
    second = folded(past, terms(POLICY), None, early)
    assert second is not None
    assert second[0].version == 2
    assert second[0].text != first[0].text
    told = sum(turn.tokens for turn in past.turns[10 : second[0].upto])
    request = first[1].input - sum(turn.tokens for turn in past.turns[: first[0].upto])
    assert second[1].input == request + told + early.tokens


def test_withdrawn_turns_are_not_told_to_the_summariser() -> None:
    told = dialogue(*TALK).turns
    gone = replace(told[0], turn=told[0].turn._replace(traits=int(Trait.RETRACTED)))
    plain = folded(spoken(told), terms(POLICY), None, None)
    less = folded(spoken([gone, *told[1:]]), terms(POLICY), None, None)
    assert plain is not None
    assert less is not None
    assert plain[0].upto == less[0].upto
    assert plain[1].input - less[1].input == told[0].turn.tokens


def test_thinking_that_is_not_sent_back_folds_nothing() -> None:
    """Only the words of a reply come back in the next window."""
    told = dialogue(*TALK[:4])
    last = told.turns[-1]
    rows = [last.rows[0], last.rows[1]._replace(reasoning=b"Hm.", reasoning_tokens=400)]
    turn = last.turn._replace(traits=int(Trait.REASONING), reasoning_tokens=400)
    thinking = Dialogue("c", turns=[*told.turns[:-1], replace(last, rows=rows, turn=turn)])
    assert not any(each.fold for each in windows(thinking, terms(POLICY)))
