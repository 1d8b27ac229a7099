"""What holds for a step? What a handle declares, on top of what is stored."""

from __future__ import annotations

from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from multiturn.conversations import Declared, Settings
from multiturn.terms import in_force

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
