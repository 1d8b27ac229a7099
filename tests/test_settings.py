"""Is every setting what it has to be, or refused with its origin?"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.homes import settled

from multiturn.catalog import Catalog
from multiturn.config import NAMES, SINGLE, Timing, variable_of
from multiturn.errors import SettingInvalid
from multiturn.phrases import error_sentence
from multiturn.policy import ContextPolicy
from multiturn.settings import load


def test_nothing_chosen_gives_the_defaults(tmp_path: Path) -> None:
    config = load({}, {"HOME": str(tmp_path)}, tmp_path / "work")
    assert config.model is None
    assert config.language == "en"
    assert config.policy == ContextPolicy()
    assert config.timing == Timing(15, 5, 30, 600, 10, 120, 60, 600)
    assert config.keep_reasoning is True
    assert (config.tokenizer, config.vocabulary, config.search_vectors) == ("estimate", "", False)
    assert config.expires_after == 0
    assert config.store == f"sqlite:///{tmp_path}/.local/share/multiturn/multiturn.db"
    assert set(config.origins.values()) == {"default"}
    assert (
        load({}, {"HOME": str(tmp_path), "XDG_DATA_HOME": "/data"}).store
        == "sqlite:////data/multiturn/multiturn.db"
    )


def test_a_whole_policy_as_argument_stands_alone(tmp_path: Path) -> None:
    environment, work = settled(tmp_path, own="[policy]\nbudget = 8000\n")
    config = load({"policy": ContextPolicy.last_turns(2)}, environment, work)
    assert config.policy == ContextPolicy.last_turns(2)
    assert config.origins["policy.budget"] == "argument"


@pytest.mark.parametrize(
    ("own", "variables", "words"),
    [
        ("model = 3", {}, ["model", "3", "multiturn.toml"]),
        ("keep_reasoning = 1", {}, ["keep_reasoning", "true nor false"]),
        ('language = "fr"', {}, ["language", "en or zh"]),
        ('tokenizer = "guess"', {}, ["tokenizer", "guess", "neither estimate nor exact"]),
        ("search_vectors = 1", {}, ["search_vectors", "true nor false"]),
        ("expires_after = -1", {}, ["expires_after", "-1"]),
        ("expires_after = 1e300", {}, ["expires_after", "1e+300", "from 0 (for ever) to 3153600000"]),
        ("expires_after = false", {}, ["expires_after", "False"]),
        ("", {"MULTITURN_EXPIRES_AFTER": "soon"}, ["MULTITURN_EXPIRES_AFTER", "soon"]),
        ("vocabulary = 1", {}, ["vocabulary", "not a text"]),
        ("modelsx = 1", {}, ["modelsx", "no setting has this name"]),
        ("colour = 1", {}, ["colour", "no setting has this name", "policy.budget"]),
        ("[policy]\nbudgett = 1", {}, ["policy.budgett", "policy.budget"]),
        ("policy = 3", {}, ["policy", "table"]),
        ("providers = 3", {}, ["providers", "table"]),
        ("[providers]\nqwen = 3", {}, ["providers.qwen", "table"]),
        ("[policy]\nbudget = -1", {}, ["policy.budget", "at least 1", "multiturn.toml"]),
        ("[policy]\nhigh = 0.2\nlow = 0.5", {}, ["policy", "low (0.5) is above high (0.2)"]),
        ("[timing]\nlease = 0", {}, ["timing.lease", "above 0"]),
        ("[timing]\nlease = 4", {}, ["timing.renew", "below timing.lease"]),
        ("[timing]\nidle = inf", {}, ["timing.idle", "number of seconds"]),
        ("not toml", {}, ["multiturn.toml", "cannot be read", "line 1, column 5"]),
        ("a = [", {}, ["multiturn.toml", "cannot be read", "ends too early"]),
        ("", {"MULTITURN_POLICY_BUDGET": "many"}, ["policy.budget", "'many'", "MULTITURN_POLICY_BUDGET"]),
        ("", {"MULTITURN_TIMING_QUEUE": "soon"}, ["timing.queue", "soon", "MULTITURN_TIMING_QUEUE"]),
        ("", {"MULTITURN_TIMING_QUEUE": "true"}, ["timing.queue", "MULTITURN_TIMING_QUEUE"]),
        ("", {"MULTITURN_LANG": "fr"}, ["language", "fr", "MULTITURN_LANG"]),
        ("", {"MULTITURN_KEEP_REASONING": "perhaps"}, ["keep_reasoning", "perhaps"]),
    ],
)
def test_a_wrong_value_is_named_with_its_origin(
    tmp_path: Path, own: str, variables: dict[str, str], words: list[str]
) -> None:
    environment, work = settled(tmp_path, own=own)
    with pytest.raises(SettingInvalid) as caught:
        load({}, environment | variables, work)
    for word in words:
        assert word in str(caught.value)
    chinese = error_sentence(caught.value, "zh")
    assert chinese != str(caught.value)
    assert str(caught.value.figures["detail"]) not in chinese


def test_a_wrong_argument_is_named_in_both_languages(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match=r"not 0 \(argument\)") as caught:
        load({"policy": {"budget": 0}}, {"HOME": str(tmp_path)}, tmp_path)
    assert "（来自 命令行）" in error_sentence(caught.value, "zh")


def test_the_low_mark_is_held_against_the_high_one_that_was_chosen(tmp_path: Path) -> None:
    environment, work = settled(tmp_path)
    assert load({"policy": {"high": 0.9, "low": 0.8}}, environment, work).policy.marks() == (0.9, 0.8)
    assert load({"policy": {"low": 0.8, "summarize": False}}, environment, work).policy.marks() == (1.0, 0.8)
    with pytest.raises(SettingInvalid) as refused:
        load({"policy": {"high": 0.5, "low": 0.8}}, environment, work)
    assert "low (0.8) is above high (0.5)" in str(refused.value)


def test_counting_and_vectors_can_be_chosen(tmp_path: Path) -> None:
    environment, work = settled(
        tmp_path, own='tokenizer = "exact"\n[embeddings."compatible/bge-1.5"]\ndimension = 512\nbatch = 4'
    )
    given = {"MULTITURN_SEARCH_VECTORS": "yes", "MULTITURN_VOCABULARY": "/vocabularies"}
    config = load({}, environment | given, work)
    assert (config.tokenizer, config.vocabulary, config.search_vectors) == ("exact", "/vocabularies", True)
    card = Catalog(config.overrides).embedding("compatible/bge-1.5")
    assert (card.dimension, card.batch) == (512, 4)


@given(st.sampled_from(NAMES), st.text(min_size=1, max_size=12))
def test_a_variable_gives_a_setting_or_one_clear_error(name: str, text: str) -> None:
    environment = {"HOME": "/nowhere", variable_of(name): text}
    try:
        config = load({}, environment, Path("/nowhere"))
    except SettingInvalid as refusal:
        named = str(refusal.figures["name"])
    else:
        named = name
        expected = variable_of(name) if text.strip() else "default"
        assert config.origins[name] == expected
    assert (
        name in (named, *(f"{named}.{leaf}" for leaf in [name.rpartition(".")[2]])) or named == "timing.renew"
    )


@pytest.mark.parametrize("name", SINGLE)
def test_every_setting_can_be_chosen(name: str) -> None:
    default = load({}, {"HOME": "/nowhere"}, Path("/nowhere"))
    others = {bool: not getattr(default, name), float: 60.0}
    chosen = {"language": "zh", "tokenizer": "exact"}.get(name) or others.get(
        type(getattr(default, name)), "another"
    )
    config = load({name: chosen}, {"HOME": "/nowhere"}, Path("/nowhere"))
    assert getattr(config, name) == chosen != getattr(default, name)
