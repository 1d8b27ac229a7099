"""Is a route what the operator says, and is what cannot be told in one clear sentence?"""

from __future__ import annotations

from pathlib import Path

import pytest

from multiturn.catalog import Catalog
from multiturn.errors import SettingInvalid
from multiturn.phrases import error_sentence
from multiturn.settings import load

FAST = {"chat-fast": {"targets": ["qwen/qwen-plus", "deepseek-v4-flash"]}}


def test_a_bare_name_is_a_route_before_it_is_a_makers() -> None:
    catalog = Catalog({"routes": {**FAST, "gpt-4o": {"targets": ["kimi/kimi-k2.6", "gpt-4o"]}}})
    assert catalog.routes["chat-fast"].targets == ("qwen/qwen-plus", "deepseek/deepseek-v4-flash")
    assert catalog.card("chat-fast") == catalog.card("qwen/qwen-plus")
    assert catalog.card("gpt-4o").name == "kimi/kimi-k2.6"
    assert catalog.routes["gpt-4o"].targets == ("kimi/kimi-k2.6", "openai/gpt-4o")
    assert catalog.card("openai/gpt-4o").provider == "openai"


def test_a_model_knows_the_route_of_which_it_is_a_target() -> None:
    catalog = Catalog({"routes": FAST})
    assert catalog.route("chat-fast") == catalog.route("deepseek/deepseek-v4-flash")
    assert catalog.route("deepseek-v4-flash") == catalog.routes["chat-fast"]
    assert catalog.route("kimi/kimi-k2.6") is None
    assert Catalog().route("qwen/qwen-plus") is None


def test_of_routes_that_begin_alike_each_is_found_by_its_name() -> None:
    catalog = Catalog({"routes": {**FAST, "chat-only": {"targets": ["qwen/qwen-plus"]}}})
    assert catalog.route("chat-only") == catalog.routes["chat-only"]


def test_routes_are_settings(tmp_path: Path) -> None:
    file = tmp_path / "multiturn.toml"
    file.write_text('[routes.chat-fast]\ntargets = ["qwen/qwen-plus"]\n[routes."v1.5"]\ntargets = ["demo"]')
    config = load({}, {"HOME": "/nowhere"}, tmp_path)
    assert config.routes == {"chat-fast": {"targets": ["qwen/qwen-plus"]}, "v1.5": {"targets": ["demo"]}}
    assert config.origins["routes.chat-fast.targets"] == str(file)
    assert Catalog(config.overrides).card("v1.5").name == "demo"


@pytest.mark.parametrize(
    ("routes", "words", "chinese"),
    [
        ({"a": {"targets": ["nobody/x"]}}, ["routes.a.targets", "nobody/x is no model"], "不是模型"),
        ({"a": {"targets": ["b"]}, "b": {"targets": ["demo"]}}, ["routes.a.targets", "b is no"], "不是模型"),
        ({"a": {"targets": []}}, ["routes.a.targets", "at least one"], "至少"),
        ({"a": {}}, ["routes.a.targets", "not a list"], "不是列表"),
        ({"a": {"targets": "qwen/qwen-plus"}}, ["routes.a.targets", "not a list"], "不是列表"),
        ({"a": {"targets": [3]}}, ["routes.a.targets", "not a list"], "不是列表"),
        ({"a": {"targets": ["qwen-plus", "qwen/qwen-plus"]}}, ["routes.a.targets", "twice"], "两次"),
        ({"a": {"targets": ["demo"], "weight": 1}}, ["routes.a.weight", "known: targets"], "没有这个字段"),
        ({"a": 3}, ["routes.a", "no table"], "不是"),
        ({"qwen/mine": {"targets": ["demo"]}}, ["routes.qwen/mine", "a provider's"], "路由的名字"),
        ({"qwen": {"targets": ["demo"]}}, ["routes.qwen", "a provider's"], "路由的名字"),
        ({"demo": {"targets": ["qwen/qwen-plus"]}}, ["routes.demo", "a provider's"], "路由的名字"),
        ({"a?b": {"targets": ["demo"]}}, ["routes.a?b"], "路由的名字"),
        ({" ": {"targets": ["demo"]}}, ["routes. "], "路由的名字"),
    ],
)
def test_what_is_no_route_is_refused_with_its_name(
    routes: dict[str, object], words: list[str], chinese: str
) -> None:
    with pytest.raises(SettingInvalid) as refused:
        Catalog({"routes": routes})
    for word in words:
        assert word in str(refused.value)
    assert chinese in error_sentence(refused.value, "zh")
