"""What is known of a conversation without asking: what a handle declares, on top of what was stored when it
was looked at last, also by the handle before; and what holds is found out in time."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn import AsyncMultiTurn, ContextPolicy
from multiturn.caching import Caching, Prompt, fingerprint
from multiturn.catalog import Catalog
from multiturn.conversations import DECLARABLE, Declared, Owner, Settings
from multiturn.errors import ContextOverflow
from multiturn.known import MEETINGS, Acquaintance, Known, in_force
from multiturn.providers.demo import DemoProvider
from multiturn.storage import open_store
from multiturn.terms import Engine, Input

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
    request = fingerprint(Caching("kimi/kimi-k2.6"), Prompt(b"[]", 1, 0.0), None)
    assert known.learn(Settings(model="kimi/kimi-k2.6", version=2), request)
    assert known.model(engine) == "kimi/kimi-k2.6"


@pytest.mark.parametrize(
    "own",
    [
        {"policy": ContextPolicy(budget=500)},
        {"params": {"max_tokens": 9}},
        {"tools": [{"type": "function", "function": {"name": "weather", "parameters": {}}}]},
        {"instructions": (b'{"role":"system","content":"Be brief."}',)},
        {"model": "openai/gpt-5.4-mini"},
    ],
    ids=lambda own: next(iter(own)),
)
def test_what_one_step_brings_holds_for_this_step_alone(own: dict[str, Any]) -> None:
    engine = Engine(open_store(":memory:"), Catalog(), lambda card, name: DemoProvider(), "qwen/qwen-plus")
    known = Known()
    plain = known.terms_of(engine, Input())
    assert known.terms_of(engine, Input(**own)) != plain
    assert known.terms_of(engine, Input()) is plain


ADA = Owner("", "ada")
SMALL, LARGE = ContextPolicy(budget=60), ContextPolicy(budget=2_000)
LONG = "What do you think of this? " * 20


def test_the_next_handle_knows_what_the_one_before_has_learned() -> None:
    met = Acquaintance()
    met.of(ADA, "c", Declared()).learn(Settings(model="a", version=1))
    assert met.of(ADA, "c", Declared()).settings == Settings(model="a", version=1)
    declared = Declared(opening="hello")
    assert met.of(ADA, "c", declared).settings == Settings(model="a", version=1)
    assert met.of(ADA, "c", declared).declared == declared
    assert met.of(ADA, "d", declared).settings is None
    assert met.of(Owner("", "bob"), "c", declared).settings is None


def test_only_the_conversations_that_were_met_lately_are_known() -> None:
    met = Acquaintance(most=2)
    for name in ("a", "b"):
        met.of(ADA, name, Declared()).learn(Settings(version=1))
    assert met.of(ADA, "a", Declared()).settings is not None
    met.of(ADA, "c", Declared())
    assert met.of(ADA, "a", Declared()).settings is not None
    assert met.of(ADA, "b", Declared()).settings is None


def test_long_instructions_are_kept_of_few() -> None:
    met = Acquaintance(room=10_000)
    spoken = Settings(instructions=(bytes(1_000),), version=1)
    names = [f"c{number}" for number in range(2 * MEETINGS)]
    for name in names:
        met.of(ADA, name, Declared()).learn(spoken)
    known = [name for name in names if met.of(ADA, name, Declared()).settings is not None]
    assert known == names[-10:]


async def test_nothing_is_refused_for_settings_that_hold_no_longer(tmp_path: Path) -> None:
    file = f"sqlite:///{tmp_path}/c.db"
    async with AsyncMultiTurn("demo", file) as here, AsyncMultiTurn("demo", file) as elsewhere:
        await here.conversation("c", policy=SMALL).send("hi")
        with pytest.raises(ContextOverflow) as refused:
            await here.conversation("c").send(LONG)
        assert refused.value.turn is None
        await elsewhere.conversation("c", policy=LARGE).send("hello")
        assert (await here.conversation("c").send(LONG)).turn.number == 3


async def test_what_holds_now_is_sent_whatever_was_known(tmp_path: Path) -> None:
    file = f"sqlite:///{tmp_path}/c.db"
    async with AsyncMultiTurn("demo", file) as here, AsyncMultiTurn("demo", file) as elsewhere:
        for text in ("one", "two", "three"):
            await here.conversation("c").send(text)
        for text, turns in (("four", 1), ("six", 3)):
            policy = ContextPolicy(max_turns=turns, summarize=None, recall=None)
            await elsewhere.conversation("c", policy=policy).send(text)
            reply = await here.conversation("c").send("more")
            said = [message["content"] for message in reply.window.messages[::2]]
            assert said == ["four", "more"] if turns == 1 else ["four", "more", "six", "more"]
