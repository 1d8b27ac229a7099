"""Are the keys of a provider found, all of them, and the model that follows from them?"""

from __future__ import annotations

import pytest

from multiturn.catalog import Catalog, Profile
from multiturn.config import Config
from multiturn.credentials import api_key, api_keys, choose_model, variables_of
from multiturn.errors import SettingInvalid

QWEN = Profile("qwen", "openai_chat", keys=("DASHSCOPE_API_KEY",), default_model="qwen-plus")
NATIVE = Profile("dashscope", "dashscope", keys=("DASHSCOPE_API_KEY",), default_model="qwen-plus")
KIMI = Profile("kimi", "openai_chat", keys=("MOONSHOT_API_KEY",), default_model="kimi/kimi-k2")
STEP = Profile("stepfun", "openai_chat", keys=("STEP_API_KEY", "STEPFUN_API_KEY"))
PROFILES = (QWEN, NATIVE, KIMI, STEP)


def test_a_key_is_found_under_its_alias_and_blank_counts_as_unset() -> None:
    assert api_key(STEP.keys, {"STEP_API_KEY": " ", "STEPFUN_API_KEY": " sk-1\n"}) == (
        "sk-1",
        "STEPFUN_API_KEY",
    )
    assert api_key(STEP.keys, {}) is None


def test_the_model_where_none_is_named() -> None:
    nothing = Config(store="")
    assert choose_model(nothing, PROFILES, {}) == "demo"
    assert choose_model(nothing, PROFILES, {"DASHSCOPE_API_KEY": "k"}) == "qwen/qwen-plus"
    assert choose_model(nothing, PROFILES, {"MOONSHOT_API_KEY": "k"}) == "kimi/kimi-k2"
    assert (
        choose_model(Config(store="", model="glm/glm-5"), PROFILES, {"MOONSHOT_API_KEY": "k"}) == "glm/glm-5"
    )


def test_the_catalogue_names_a_model_for_each_single_key() -> None:
    profiles = Catalog().profiles()
    for profile in profiles:
        for variable in profile.keys if profile.default_model else ():
            chosen = choose_model(Config(store=""), profiles, {variable: "k"})
            assert Catalog().card(chosen).known


def test_several_keys_and_no_model_must_be_decided() -> None:
    with pytest.raises(SettingInvalid, match="DASHSCOPE_API_KEY, MOONSHOT_API_KEY") as caught:
        choose_model(Config(store=""), PROFILES, {"DASHSCOPE_API_KEY": "k", "MOONSHOT_API_KEY": "k"})
    assert caught.value.figures["models"] == ["qwen/qwen-plus", "kimi/kimi-k2"]
    with pytest.raises(SettingInvalid, match="stepfun/NAME"):
        choose_model(Config(store=""), PROFILES, {"STEPFUN_API_KEY": "k"})


def test_several_keys_stand_behind_the_single_one_and_none_counts_twice() -> None:
    environment = {"DASHSCOPE_API_KEY": "sk-a", "DASHSCOPE_API_KEYS": " sk-b,, sk-a ,sk-c\n"}
    found = api_keys(QWEN.keys, environment)
    assert [key.value for key in found] == ["sk-a", "sk-b", "sk-c"]
    assert [key.variable for key in found] == [
        "DASHSCOPE_API_KEY",
        "DASHSCOPE_API_KEYS",
        "DASHSCOPE_API_KEYS",
    ]
    assert variables_of("DASHSCOPE_API_KEY", environment) == ["DASHSCOPE_API_KEY", "DASHSCOPE_API_KEYS"]
    assert variables_of("DASHSCOPE_API_KEY", {"DASHSCOPE_API_KEYS": " "}) == ["DASHSCOPE_API_KEY"]


def test_a_single_key_is_not_divided_at_its_commas() -> None:
    assert [key.value for key in api_keys(QWEN.keys, {"DASHSCOPE_API_KEY": "a,b"})] == ["a,b"]


def test_an_alias_is_asked_only_where_the_first_name_holds_nothing() -> None:
    environment = {"STEP_API_KEYS": "a", "STEPFUN_API_KEYS": "b,c"}
    assert [key.value for key in api_keys(STEP.keys, environment)] == ["a"]
    assert [key.value for key in api_keys(STEP.keys, environment | {"STEP_API_KEYS": " , "})] == ["b", "c"]


def test_several_keys_of_one_provider_choose_its_model() -> None:
    assert choose_model(Config(store=""), PROFILES, {"DASHSCOPE_API_KEYS": "a,b"}) == "qwen/qwen-plus"
