"""Does the nearest word win, and does each value know where it came from?"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.homes import settled

from multiturn.catalog import Catalog
from multiturn.errors import SettingInvalid
from multiturn.phrases import error_sentence
from multiturn.settings import load


def test_the_nearest_word_wins(tmp_path: Path) -> None:
    environment, work = settled(tmp_path, own='model = "own"', personal='model = "personal"\nuser = "ada"')
    config = load({}, environment, work)
    assert (config.model, config.origins["model"]) == ("own", str(work / "multiturn.toml"))
    assert (config.user, config.origins["user"]) == ("ada", str(tmp_path / ".config/multiturn/config.toml"))
    config = load({}, environment | {"MULTITURN_MODEL": "variable"}, work)
    assert (config.model, config.origins["model"]) == ("variable", "MULTITURN_MODEL")
    config = load({"model": "argument"}, environment | {"MULTITURN_MODEL": "variable"}, work)
    assert (config.model, config.origins["model"]) == ("argument", "argument")
    config = load({"model": None}, environment, work)
    assert config.model == "own"


def test_a_policy_is_put_together_from_all_places(tmp_path: Path) -> None:
    environment, work = settled(
        tmp_path,
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


def test_what_the_operator_overrides_of_a_provider(tmp_path: Path) -> None:
    environment, work = settled(
        tmp_path,
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
def test_a_key_in_a_file_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    environment, work = settled(tmp_path, personal=text)
    with pytest.raises(SettingInvalid, match="do not belong") as caught:
        load({}, environment, work)
    assert "sk-hidden" not in str(caught.value)
    assert "sk-hidden" not in error_sentence(caught.value, "zh")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "multiturn.toml"
    file.mkdir()
    with pytest.raises(SettingInvalid, match="cannot be read"):
        load({}, {"HOME": str(tmp_path)}, tmp_path)
    file.rmdir()
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingInvalid, match="cannot be read"):
        load({}, {"HOME": str(tmp_path)}, tmp_path)


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "multiturn.toml").write_bytes(b'\xef\xbb\xbfuser = "ada"')
    assert load({}, {"HOME": str(tmp_path)}, tmp_path).user == "ada"


def test_the_language_follows_the_system_unless_something_nearer_is_set(tmp_path: Path) -> None:
    environment, work = settled(tmp_path, own='language = "en"')
    assert load({}, environment | {"LANG": "zh_CN.UTF-8"}, work).language == "en"
    assert load({}, environment | {"MULTITURN_LANG": "zh_CN"}, work).language == "zh"
    config = load({}, environment | {"LANG": "zh_CN.UTF-8"}, tmp_path)
    assert (config.language, config.origins["language"]) == ("zh", "LANG")


def test_models_can_be_described_whose_names_hold_dots(tmp_path: Path) -> None:
    environment, work = settled(tmp_path, own='[models."compatible/llama-3.1"]\nwindow = 32768')
    config = load({}, environment, work)
    assert Catalog(config.overrides).card("compatible/llama-3.1").window == 32768
    assert config.origins["models.compatible/llama-3.1.window"] == str(work / "multiturn.toml")
