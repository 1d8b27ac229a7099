"""What use teaches of models."""

from __future__ import annotations

import pytest

from multiturn.conversations import Step, TurnState
from multiturn.storage import ModelFacts, Reach, Store
from multiturn.usage import Usage

from .talk import ALICE, assistant, begin, finish


async def call(
    store: Store, counted: int | None, reported: int, model: str = "m", *, estimated: bool = False
) -> None:
    step = Step(model, b"[]", usage=Usage(reported, 5, estimated=estimated))
    await finish(store, await begin(store, "u"), assistant("a"), step=step, counted=counted)


async def test_nothing_is_known_of_models_that_taught_nothing(store: Store) -> None:
    assert await store.model_facts() == []
    await call(store, None, 100)
    assert await store.model_facts() == []


async def test_the_first_call_gives_the_ratio_and_later_ones_move_it(store: Store) -> None:
    await call(store, 100, 150)
    assert await store.model_facts() == [ModelFacts("m", 1.5, 1)]
    await call(store, 200, 200)
    (facts,) = await store.model_facts()
    assert facts.ratio == pytest.approx(1.5 + 0.2 * (1 - 1.5))
    assert facts.samples == 2


@pytest.mark.parametrize(("counted", "reported", "ratio"), [(10, 1000, 4.0), (1000, 10, 0.25)])
async def test_a_sample_beyond_belief_counts_as_the_bound(
    store: Store, counted: int, reported: int, ratio: float
) -> None:
    await call(store, counted, reported)
    await call(store, 100, 100)
    (facts,) = await store.model_facts()
    assert facts.ratio == pytest.approx(ratio + 0.2 * (1 - ratio))


async def test_what_was_not_measured_teaches_nothing(store: Store) -> None:
    await call(store, 100, 150, estimated=True)
    await call(store, 100, 0)
    await call(store, 0, 100)
    await finish(store, await begin(store, "u"), assistant("a"), counted=100)
    await finish(store, await begin(store, "u"), state=TurnState.FAILED, counted=100)
    assert await store.model_facts() == []


async def test_each_model_has_its_own(store: Store) -> None:
    await call(store, 100, 120, "b")
    await call(store, 100, 140, "a")
    assert await store.model_facts() == [ModelFacts("a", 1.4, 1), ModelFacts("b", 1.2, 1)]


async def test_a_limit_is_learned_and_learned_anew(store: Store) -> None:
    await store.learn_limit("new", 8_000)
    assert await store.model_facts() == [ModelFacts("new", 1.0, 0, 8_000)]
    await store.learn_limit("new", 4_000)
    await call(store, 100, 120, "new")
    assert await store.model_facts() == [ModelFacts("new", 1.2, 1, 4_000)]


async def test_a_path_brings_what_use_has_taught_where_it_is_asked_to(store: Store) -> None:
    await call(store, 100, 120)
    for conversation in ("c", "no conversation"):
        path = await store.gather(ALICE, conversation, Reach(facts=True))
        assert path.facts is None or list(path.facts) == [ModelFacts("m", 1.2, 1)]
        assert (await store.gather(ALICE, conversation, Reach())).facts is None
