"""Is every window right, for every input, policy and model? `fit` under the independent checker."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.checker import MODELS, Count, check, rules_for, smallest_need
from tests.checker.counters import COUNTERS, EXAMPLES, by_words, patient
from tests.checker.histories import generate, histories, long_history
from tests.checker.reading import History, Json
from tests.checker.samples import SAMPLES

from multiturn import ContextPolicy, fit
from multiturn.errors import ContextOverflow, Error, InputInvalid
from multiturn.window import Window

LARGE = 200_000
KNOWN = [model for model in MODELS if not model.startswith("compatible/")]

many = settings(
    max_examples=EXAMPLES // 4,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
some = settings(many, max_examples=EXAMPLES // 10)


@dataclass(frozen=True)
class Case:
    """One input of `fit`."""

    history: list[Json]
    policy: ContextPolicy
    model: str
    count: Count


def policy_of(draw: random.Random) -> ContextPolicy:
    high = draw.choice((None, None, 0.6, 0.9, 1.0))
    low = draw.choice((None, None, 0.2, 0.5))
    images: Literal["all", "last"] | int = draw.choice(("all", "all", "all", "last", 0, 1, 2))
    return ContextPolicy(
        budget=draw.choice((60, 200, 600, 1_500, 4_000, 16_000, LARGE)),
        high=high,
        low=low,
        max_turns=draw.choice((None, None, None, 0, 1, 2, 4)),
        max_messages=draw.choice((None, None, None, 1, 2, 5, 8)),
        images=images,
        **draw.choice(({}, {"summarize": None, "recall": None})),
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    policy = policy_of(draw(st.randoms(use_true_random=False)))
    model, count = draw(st.sampled_from(MODELS)), draw(st.sampled_from(COUNTERS))
    return Case(draw(histories()), policy, model, count)


# ------------------------------------------------------------------------------------ the check


def window_of(case: Case, previous: Window | None = None) -> Window | None:
    """The window of a case, checked; ``None`` where it was rightly refused."""
    before = copy.deepcopy(case.history)
    made = outcome(case, previous)
    assert case.history == before
    if isinstance(made, ContextOverflow):
        limit = made.figures["limit"]
        assert isinstance(limit, int)
        assert limit == case.policy.budget or case.model not in KNOWN or case.policy.budget in (None, LARGE)
        assert smallest_need(case.history, case.count) > limit, str(made)
        return None
    if isinstance(made, InputInvalid):
        assert unusable(case), str(made)
        return None
    assert_right(case, made, standing=previous is not None)
    return made


def outcome(case: Case, previous: Window | None = None) -> Window | ContextOverflow | InputInvalid:
    try:
        return fit(case.history, case.policy, model=case.model, count=case.count, previous=previous)
    except (ContextOverflow, InputInvalid) as error:
        return error


def assert_right(case: Case, window: Window, *, standing: bool = False) -> None:
    asked = case.model in KNOWN and case.policy.budget not in (None, LARGE)
    found = check(
        case.history,
        window.messages,
        policy=case.policy,
        rules=rules_for(case.model),
        count=case.count,
        budget=None
        if case.model in KNOWN and case.policy.budget not in (None, LARGE)
        else window.limits.budget,
        decisions=window.decisions,
        tokens=window.tokens,
        standing_cut=standing,
    )
    assert not found, "\n".join(map(str, found))
    if asked:
        assert window.limits.budget == case.policy.budget


def unusable(case: Case) -> bool:
    """Whether a list holds no input that this model could answer, or a result that answers nothing."""
    history, rules = History(case.history), rules_for(case.model)
    if history.newest is None or history.stray:
        return True
    new = history.items[history.newest :]
    unseen = any(not rules.must_see(kind) for item in new for kind, _ in item.media)
    return unseen or any(item.role == "user" and item.blank for item in new)


# ----------------------------------------------------------------------------- random histories


@patient
@many
@given(cases())
def test_every_window_is_right(case: Case) -> None:
    window_of(case)


@patient
def test_every_window_of_a_seed_is_right() -> None:
    """The other three quarters: ten times as quick to make, but nothing makes a failing one smaller."""
    for seed in range(EXAMPLES // 4, EXAMPLES):
        draw = random.Random(seed)
        window_of(Case(generate(draw), policy_of(draw), draw.choice(MODELS), draw.choice(COUNTERS)))


@patient
def test_large_histories_give_right_windows() -> None:
    for seed in range(EXAMPLES // 4):
        draw = random.Random(seed)
        history = [m for _ in range(3) for m in generate(draw)]
        window_of(Case(history, policy_of(draw), draw.choice(MODELS), draw.choice(COUNTERS)))


def seen(made: Window | Error) -> tuple[bytes, object] | str:
    return str(made) if isinstance(made, Error) else (made.body, made.ledger)


@patient
@some
@given(cases())
def test_the_same_input_gives_the_same_bytes(case: Case) -> None:
    twin = copy.deepcopy(case)
    assert seen(outcome(case)) == seen(outcome(twin))


@patient
@some
@given(histories())
def test_while_nothing_is_cut_each_window_begins_with_the_one_before(history: list[Json]) -> None:
    before: list[Json] = []
    for end in (index + 1 for index, message in enumerate(history) if message["role"] == "user"):
        if History(history[:end]).newest != end - 1 or History(history[:end]).stray:
            continue
        case = Case(history[:end], ContextPolicy.full(), "compatible/some-model", lambda message: 1)
        if any("reasoning" in key for message in case.history for key in message):
            return
        window = window_of(case)
        assert window is not None
        assert window.messages[: len(before)] == before
        before = window.messages


# ------------------------------------------------------------------------------- made by hand

MODES = {
    "everything": ContextPolicy.full(),
    "120 tokens": ContextPolicy(budget=120, summarize=None, recall=None),
    "400 tokens": ContextPolicy(budget=400, summarize=None, recall=None),
    "400 tokens, cut at the half": ContextPolicy(budget=400, high=0.5, low=0.25),
    "no earlier turn": ContextPolicy.last_turns(0),
    "two turns": ContextPolicy.last_turns(2),
    "one message": ContextPolicy.last_messages(1),
    "six messages": ContextPolicy.last_messages(6),
    "six messages in 400 tokens": ContextPolicy(budget=400, max_messages=6, summarize=None, recall=None),
    "the last picture": ContextPolicy(images="last", summarize=None, recall=None),
    "no picture": ContextPolicy(images=0, summarize=None, recall=None),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", SAMPLES)
def test_awkward_conversations_in_every_mode(name: str, mode: str) -> None:
    for model in MODELS:
        window_of(Case(SAMPLES[name], MODES[mode], model, by_words))


def test_there_are_forty_of_them() -> None:
    assert len(SAMPLES) == 40


# ------------------------------------------------------------------------ a change of the model


def talk_of(model: str) -> list[Json]:
    """A conversation held with one model: thoughts, calls in parallel and one after another."""
    rules = rules_for(model)
    field = "reasoning_content" if "reasoning_content" in rules.fields else "reasoning"

    def signed(message: Json, thought: str) -> Json:
        return {**message, "model": model, field: thought}

    def asks(*names: str) -> Json:
        function = {"name": "look_up", "arguments": "{}"}
        calls = [{"id": name, "type": "function", "function": function} for name in names]
        return {"role": "assistant", "content": "", "tool_calls": calls}

    return [
        {"role": "system", "content": "You sell phones."},
        {"role": "user", "content": "Which phones are there?"},
        signed(asks("a", "b"), "look both up"),
        {"role": "tool", "tool_call_id": "b", "content": "blue"},
        {"role": "tool", "tool_call_id": "a", "content": "red"},
        signed(asks("c"), "and the price"),
        {"role": "tool", "tool_call_id": "c", "content": "3999"},
        signed({"role": "assistant", "content": "Red and blue."}, "done"),
        {"role": "user", "content": "Thanks."},
        signed({"role": "assistant", "content": "You are welcome."}, ""),
        {"role": "user", "content": "And a green one?"},
        signed(asks("d"), "look it up"),
        {"role": "tool", "tool_call_id": "d", "content": "none"},
    ]


@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize("source", MODELS)
def test_a_conversation_may_change_its_model(source: str, target: str) -> None:
    history = talk_of(source)
    for end in (len(history), len(history) - 2, 9, 7, 5, 2):
        case = Case(history[:end], ContextPolicy.full(), target, by_words)
        window = window_of(case)
        assert window is not None
        assert [m["role"] for m in window.messages] == [m["role"] for m in history[:end]]


# ---------------------------------------------------------------------------- growth and cuts

CUTTING = ContextPolicy(budget=2_000, summarize=None, recall=None)


def test_a_cut_is_kept_until_the_window_is_full_again() -> None:
    history: list[Json] = [{"role": "system", "content": "Be brief."}]
    previous: Window | None = None
    starts: list[str] = []
    for turn in range(120):
        history.append({"role": "user", "content": f"question {turn} " + "why " * (turn % 7)})
        window = window_of(Case(history, CUTTING, "qwen/qwen-plus", by_words), previous)
        assert window is not None
        start = window.messages[1]["content"]
        if starts and start == starts[-1] and previous is not None:
            assert window.body.startswith(previous.body.removesuffix(b"]"))
        elif starts:
            assert window.tokens <= 0.55 * 2_000
        starts.append(start)
        previous = window
        history.append({"role": "assistant", "content": f"answer {turn}"})
    cuts = len(set(starts)) - 1
    assert 2 <= cuts <= 10


def test_without_the_previous_window_the_cut_is_found_anew() -> None:
    history = long_history(100)
    case = Case(history, CUTTING, "qwen/qwen-plus", by_words)
    window = window_of(case)
    grown = [*history, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "sure?"}]
    kept = window_of(Case(grown, CUTTING, "qwen/qwen-plus", by_words), window)
    anew = window_of(Case(grown, CUTTING, "qwen/qwen-plus", by_words))
    assert window is not None
    assert kept is not None
    assert anew is not None
    assert kept.messages[1] == window.messages[1]
    assert anew.messages[1] != window.messages[1]


def test_a_cut_made_for_another_policy_does_not_hold() -> None:
    history = long_history(100)
    window = window_of(Case(history, CUTTING, "qwen/qwen-plus", by_words))
    assert window is not None
    wide = Case(history, ContextPolicy.full(), "qwen/qwen-plus", by_words)
    again = fit(wide.history, wide.policy, model=wide.model, count=wide.count, previous=window)
    assert len(again.messages) == len(history)


def test_the_counter_decides() -> None:
    history = long_history(100)
    policy = ContextPolicy(budget=100, high=1.0, low=1.0, summarize=None, recall=None)
    window = fit(history, policy, model="qwen/qwen-plus", count=lambda message: 10)
    assert window.tokens == 100
    assert len(window.messages) == 10


def test_the_estimate_keeps_the_budget_too() -> None:
    history = long_history(300)
    for budget in (100, 400, 1_600):
        policy = ContextPolicy(budget=budget, summarize=None, recall=None)
        window = fit(history, policy, model="qwen/qwen-plus")
        assert 0 < window.tokens <= budget
        assert window.messages[-1] == history[-1]
        assert len(window.messages) < len(history)


# ---------------------------------------------------------------------------------- the edges


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(InputInvalid):
        fit([], ContextPolicy(budget=100), model="qwen/qwen-plus")


def test_an_overflow_names_its_numbers() -> None:
    history = [{"role": "system", "content": "rule " * 30}, {"role": "user", "content": "word " * 60}]
    with pytest.raises(ContextOverflow) as caught:
        fit(history, ContextPolicy(budget=50), model="qwen/qwen-plus", count=by_words)
    figures = caught.value.figures
    assert figures["limit"] == 50
    assert figures["instructions"] == by_words(history[0])
    assert figures["input"] == by_words(history[1])
    assert figures["needed"] == by_words(history[0]) + by_words(history[1])


@pytest.mark.parametrize("model", MODELS)
def test_ten_thousand_messages(model: str) -> None:
    case = Case(long_history(5_000), ContextPolicy(budget=3_000), model, by_words)
    window = window_of(case)
    assert window is not None
    assert len(window.decisions) == 10_002
    assert len(window.messages) < 200
