"""What holds for a step? What a handle declares, on top of what is stored."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from multiturn.caching import Caching, fingerprint
from multiturn.catalog import Catalog
from multiturn.conversations import DECLARABLE, Declared, Settings
from multiturn.providers.demo import DemoProvider
from multiturn.storage import open_store
from multiturn.terms import Engine, Known, in_force

texts = st.none() | st.text(max_size=3)
policies = st.none() | st.dictionaries(st.just("budget"), st.integers(1, 9))
instructions = st.tuples() | st.tuples(st.binary(max_size=3))
settings = st.builds(Settings, instructions, texts, policies, texts, texts, st.integers(0, 3))
declarations = st.builds(Declared, st.none() | instructions, texts, policies, texts, texts)


@given(settings, declarations)
def test_what_is_declared_applies_and_the_rest_stays_as_it_is_stored(
    stored: Settings, given: Declared
) -> None:
    now = in_force(stored, given)
    for field in fields(Settings):
        declared = getattr(given, field.name, None)
        assert getattr(now, field.name) == (getattr(stored, field.name) if declared is None else declared)


def test_every_setting_can_be_stated_and_is_in_force_then() -> None:
    assert {field.name for field in fields(Settings)} == {*DECLARABLE, "version"}
    for name in DECLARABLE:
        stated: Any = object()
        assert getattr(in_force(Settings(), Declared(**{name: stated})), name) is stated


def test_what_was_learned_last_is_in_force_whatever_it_was_learned_with() -> None:
    engine = Engine(open_store(":memory:"), Catalog(), lambda card, name: DemoProvider(), "demo/demo")
    known = Known(Declared(opening="hello"))
    assert known.model(engine) == "demo/demo"
    assert known.learn(Settings(model="qwen/qwen-plus"))
    assert known.model(engine) == "qwen/qwen-plus"
    request = fingerprint(Caching("kimi/kimi-k2.6"), b"[]", 1, 0.0, None)
    assert known.learn(Settings(model="kimi/kimi-k2.6", version=2), request)
    assert known.model(engine) == "kimi/kimi-k2.6"
