"""Does the nearest word win, and does each value know where it came from?"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn import settings
from multiturn.catalog import Catalog
from multiturn.errors import SettingInvalid
from multiturn.phrases import error_sentence
from multiturn.policy import ContextPolicy
from multiturn.settings import Timing, load


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".config" / "multiturn").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    return tmp_path


def write(home: Path, *, own: str = "", personal: str = "") -> tuple[dict[str, str], Path]:
    """Settings files; gives the environment and the working directory that see them."""
    (home / "work" / "multiturn.toml").write_text(own, encoding="utf-8")
    (home / ".config" / "multiturn" / "config.toml").write_text(personal, encoding="utf-8")
    return {"HOME": str(home)}, home / "work"


def test_nothing_chosen_gives_the_defaults(home: Path) -> None:
    config = load({}, {"HOME": str(home)}, home / "work")
    assert config.model is None
    assert config.language == "en"
    assert config.policy == ContextPolicy()
    assert config.timing == Timing(15, 5, 30, 600, 10, 120, 60, 600)
    assert config.keep_reasoning is True
    assert (config.tokenizer, config.vocabulary, config.search_vectors) == ("estimate", "", False)
    assert config.expires_after == 0
    assert config.store == f"sqlite:///{home}/.local/share/multiturn/multiturn.db"
    assert set(config.origins.values()) == {"default"}
    assert (
        load({}, {"HOME": str(home), "XDG_DATA_HOME": "/data"}).store
        == "sqlite:////data/multiturn/multiturn.db"
    )


def test_the_nearest_word_wins(home: Path) -> None:
    environment, work = write(home, own='model = "own"', personal='model = "personal"\nuser = "ada"')
    config = load({}, environment, work)
    assert (config.model, config.origins["model"]) == ("own", str(work / "multiturn.toml"))
    assert (config.user, config.origins["user"]) == ("ada", str(home / ".config/multiturn/config.toml"))
    config = load({}, environment | {"MULTITURN_MODEL": "variable"}, work)
    assert (config.model, config.origins["model"]) == ("variable", "MULTITURN_MODEL")
    config = load({"model": "argument"}, environment | {"MULTITURN_MODEL": "variable"}, work)
    assert (config.model, config.origins["model"]) == ("argument", "argument")
    config = load({"model": None}, environment, work)
    assert config.model == "own"


def test_a_policy_is_put_together_from_all_places(home: Path) -> None:
    environment, work = write(
        home,
        own="[policy]\nbudget = 8000\nmax_turns = 4\n[policy.summarize]\nmax_tokens = 300\n",
        personal="[policy]\nmax_turns = 9\nhigh = 0.9\n",
    )
    environment |= {"MULTITURN_POLICY_RECALL": "false", "MULTITURN_POLICY_IMAGES": "last"}
    config = load({"policy": {"budget": 500}}, environment, work)
    assert config.policy.budget == 500
    assert config.policy.max_turns == 4
    assert config.policy.high == 0.9
    assert config.policy.summarize is not None
    assert config.policy.summarize.max_tokens == 300
    assert config.policy.recall is None
    assert config.policy.images == "last"
    assert config.origins["policy.recall"] == "MULTITURN_POLICY_RECALL"
    assert config.origins["policy.low"] == "default"


def test_a_whole_policy_as_argument_stands_alone(home: Path) -> None:
    environment, work = write(home, own="[policy]\nbudget = 8000\n")
    config = load({"policy": ContextPolicy.last_turns(2)}, environment, work)
    assert config.policy == ContextPolicy.last_turns(2)
    assert config.origins["policy.budget"] == "argument"


def test_what_the_operator_overrides_of_a_provider(home: Path) -> None:
    environment, work = write(
        home,
        own='[providers.qwen]\nbase_url = "https://one/v1"\n',
        personal='[providers]\nqwen = {base_url = "https://two", region = "sg"}\nkimi = {region = "cn"}',
    )
    config = load({}, environment, work)
    assert config.providers == {
        "qwen": {"base_url": "https://one/v1", "region": "sg"},
        "kimi": {"region": "cn"},
    }
    assert config.origins["providers.qwen.base_url"] == str(work / "multiturn.toml")


@pytest.mark.parametrize(
    ("own", "variables", "words"),
    [
        ("model = 3", {}, ["model", "3", "multiturn.toml"]),
        ("keep_reasoning = 1", {}, ["keep_reasoning", "true nor false"]),
        ('language = "fr"', {}, ["language", "en or zh"]),
        ('tokenizer = "guess"', {}, ["tokenizer", "guess", "neither estimate nor exact"]),
        ("search_vectors = 1", {}, ["search_vectors", "true nor false"]),
        ("expires_after = -1", {}, ["expires_after", "-1"]),
        ("expires_after = false", {}, ["expires_after", "False"]),
        ("", {"MULTITURN_EXPIRES_AFTER": "soon"}, ["MULTITURN_EXPIRES_AFTER", "soon"]),
        ("vocabulary = 1", {}, ["vocabulary", "not a text"]),
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
    home: Path, own: str, variables: dict[str, str], words: list[str]
) -> None:
    environment, work = write(home, own=own)
    with pytest.raises(SettingInvalid) as caught:
        load({}, environment | variables, work)
    for word in words:
        assert word in str(caught.value)
    chinese = error_sentence(caught.value, "zh")
    assert chinese != str(caught.value)
    assert str(caught.value.figures["detail"]) not in chinese


def test_a_wrong_argument_is_named_in_both_languages(home: Path) -> None:
    with pytest.raises(SettingInvalid, match=r"not 0 \(argument\)") as caught:
        load({"policy": {"budget": 0}}, {"HOME": str(home)}, home)
    assert "（来自 命令行）" in error_sentence(caught.value, "zh")


@pytest.mark.parametrize(
    "text",
    [
        'api_key = "sk-hidden"',
        'DASHSCOPE_API_KEY = "sk-hidden"',
        '[providers.qwen]\napi_key = "sk-hidden"',
        '[providers.qwen]\nkey = "sk-hidden"',
        '[policy]\napi_key = "sk-hidden"',
        '[providers]\napi_key = "sk-hidden"',
    ],
)
def test_a_key_in_a_file_is_refused_and_not_repeated(home: Path, text: str) -> None:
    environment, work = write(home, personal=text)
    with pytest.raises(SettingInvalid, match="do not belong") as caught:
        load({}, environment, work)
    assert "sk-hidden" not in str(caught.value)
    assert "sk-hidden" not in error_sentence(caught.value, "zh")


def test_a_file_that_cannot_be_read_is_named(home: Path) -> None:
    (home / "work" / "multiturn.toml").mkdir()
    with pytest.raises(SettingInvalid, match="cannot be read"):
        load({}, {"HOME": str(home)}, home / "work")
    (home / "work" / "multiturn.toml").rmdir()
    (home / "work" / "multiturn.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingInvalid, match="cannot be read"):
        load({}, {"HOME": str(home)}, home / "work")


def test_a_file_may_begin_with_a_byte_order_mark(home: Path) -> None:
    (home / "work" / "multiturn.toml").write_bytes(b'\xef\xbb\xbfuser = "ada"')
    assert load({}, {"HOME": str(home)}, home / "work").user == "ada"


def test_the_low_mark_is_held_against_the_high_one_that_was_chosen(home: Path) -> None:
    environment, work = write(home)
    assert load({"policy": {"high": 0.9, "low": 0.8}}, environment, work).policy.marks() == (0.9, 0.8)
    assert load({"policy": {"low": 0.8, "summarize": False}}, environment, work).policy.marks() == (1.0, 0.8)
    with pytest.raises(SettingInvalid) as refused:
        load({"policy": {"high": 0.5, "low": 0.8}}, environment, work)
    assert "low (0.8) is above high (0.5)" in str(refused.value)


def test_the_language_follows_the_system_unless_something_nearer_is_set(home: Path) -> None:
    environment, work = write(home, own='language = "en"')
    assert load({}, environment | {"LANG": "zh_CN.UTF-8"}, work).language == "en"
    assert load({}, environment | {"MULTITURN_LANG": "zh_CN"}, work).language == "zh"
    config = load({}, environment | {"LANG": "zh_CN.UTF-8"}, home)
    assert (config.language, config.origins["language"]) == ("zh", "LANG")


def test_models_can_be_described_whose_names_hold_dots(home: Path) -> None:
    environment, work = write(home, own='[models."compatible/llama-3.1"]\nwindow = 32768')
    config = load({}, environment, work)
    assert Catalog(config.overrides).card("compatible/llama-3.1").window == 32768
    assert config.origins["models.compatible/llama-3.1.window"] == str(work / "multiturn.toml")


def test_counting_and_vectors_can_be_chosen(home: Path) -> None:
    environment, work = write(
        home, own='tokenizer = "exact"\n[embeddings."compatible/bge-1.5"]\ndimension = 512\nbatch = 4'
    )
    given = {"MULTITURN_SEARCH_VECTORS": "yes", "MULTITURN_VOCABULARY": "/vocabularies"}
    config = load({}, environment | given, work)
    assert (config.tokenizer, config.vocabulary, config.search_vectors) == ("exact", "/vocabularies", True)
    card = Catalog(config.overrides).embedding("compatible/bge-1.5")
    assert (card.dimension, card.batch) == (512, 4)


@given(st.sampled_from(settings.NAMES), st.text(min_size=1, max_size=12))
def test_a_variable_gives_a_setting_or_one_clear_error(name: str, text: str) -> None:
    environment = {"HOME": "/nowhere", settings.variable_of(name): text}
    try:
        config = load({}, environment, Path("/nowhere"))
    except SettingInvalid as refusal:
        named = str(refusal.figures["name"])
    else:
        named = name
        expected = settings.variable_of(name) if text.strip() else "default"
        assert config.origins[name] == expected
    assert (
        name in (named, *(f"{named}.{leaf}" for leaf in [name.rpartition(".")[2]])) or named == "timing.renew"
    )
