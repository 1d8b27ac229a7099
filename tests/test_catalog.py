"""The catalogue: every file says only what is known, and the operator has the last word."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import multiturn
from multiturn import catalog
from multiturn.catalog import PROVIDERS, Card, Catalog, Profile
from multiturn.errors import ModelUnknown, SettingInvalid
from multiturn.messages import Trait
from multiturn.profile_fields import CODE_CLASSES
from multiturn.usage import Usage

FOLDER = Path(multiturn.__file__).parent / "profiles"
LISTED = [card for card in Catalog().cards() if card.provider != "demo"]


def raw(provider: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{provider}.toml").read_text("utf-8"))


# ------------------------------------------------------------------------------------ the data


def test_there_is_one_file_for_each_provider() -> None:
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(PROVIDERS)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_file_is_a_valid_profile(provider: str) -> None:
    profile = Catalog().profile(provider)
    assert profile.id == provider
    assert set(profile.codes.values()) <= CODE_CLASSES
    if profile.key_required:
        assert profile.keys
        assert profile.base_url_variable
        assert profile.base_url.startswith("https://")
    assert profile.default_model is None or profile.default_model in profile.cards


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_model_says_when_and_where_it_was_read(provider: str) -> None:
    for name, entry in raw(provider).get("models", {}).items():
        assert entry["as_of"], name
        assert entry["source"], name


@pytest.mark.parametrize("card", LISTED, ids=lambda card: card.name)
def test_every_listed_model_is_plausible(card: Card) -> None:
    assert card.known
    assert card.name == f"{card.provider}/{card.model}"
    assert 0 < card.max_input <= card.window
    assert card.max_output is None or 0 < card.max_output <= card.window
    assert card.as_of >= "2026"
    if card.price:
        assert card.price.as_of >= "2026"
        assert card.price.source
        assert card.price.currency in ("CNY", "USD")
        for tier in card.price.tiers:
            assert tier.input <= tier.output
            assert tier.cached is None or tier.cached < tier.input
    if card.thinks == "no":
        assert card.reasoning == "drop"


def test_no_field_is_without_use() -> None:
    """What a profile may say is used somewhere in the sources, its definition apart."""
    root = Path(multiturn.__file__).parent
    sources = "".join(
        path.read_text("utf-8") for path in root.rglob("*.py") if path.name != "profile_fields.py"
    )
    for record in (Profile, Card):
        for field in fields(record):
            if field.name not in ("as_of", "source", "status", "tools", "tokenizer", "can_summarise"):
                assert sources.count(f".{field.name}") or f'"{field.name}"' in sources, field.name


def test_a_wrong_field_is_found() -> None:
    with pytest.raises(SettingInvalid, match="no such field"):
        Catalog({"models": {"qwen/qwen-plus": {"windw": 5}}})


def test_the_data_is_read_only_when_it_is_asked_for() -> None:
    catalog._data.cache_clear()
    catalog._as_published.cache_clear()
    Catalog()
    assert catalog._data.cache_info().currsize == 0
    Catalog().card("kimi-k2.6")
    assert catalog._data.cache_info().currsize == 1


# --------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("qwen-plus", "qwen/qwen-plus"),
        ("qwen3-vl-plus", "qwen/qwen3-vl-plus"),
        ("kimi-k2.6", "kimi/kimi-k2.6"),
        ("moonshot-v1-8k", "kimi/moonshot-v1-8k"),
        ("step-3.7-flash", "stepfun/step-3.7-flash"),
        ("deepseek-chat", "deepseek/deepseek-chat"),
        ("glm-4.7", "glm/glm-4.7"),
        ("doubao-seed-2-0-pro-260215", "ark/doubao-seed-2-0-pro-260215"),
        ("ep-20260101-abc", "ark/ep-20260101-abc"),
        ("gpt-4o", "openai/gpt-4o"),
        ("o3-mini", "openai/o3-mini"),
        ("dashscope/qwen-plus", "dashscope/qwen-plus"),
        ("siliconflow/Qwen/Qwen3-8B", "siliconflow/Qwen/Qwen3-8B"),
        ("compatible/meta/llama", "compatible/meta/llama"),
        ("demo", "demo"),
        ("demo?fail=429", "demo?fail=429"),
        ("scripted", "scripted"),
    ],
)
def test_a_name_finds_its_provider(name: str, full: str) -> None:
    assert Catalog().card(name).name == full


@pytest.mark.parametrize(
    "name", ["llama3", "nobody/qwen-plus", "", "qwen/", "/qwen-plus", "demo/demo", "Qwen/x"]
)
def test_a_name_without_a_provider_is_refused(name: str) -> None:
    with pytest.raises(ModelUnknown) as caught:
        Catalog().card(name)
    assert caught.value.figures["model"] == name


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(ModelUnknown):
        Catalog().profile("nobody")


def test_the_demo_keeps_its_options() -> None:
    card = Catalog().card("demo?fail=429&slow=50ms")
    assert card.options == {"fail": "429", "slow": "50ms"}
    assert (card.provider, card.model, card.price, card.can_summarise) == ("demo", "demo", None, True)
    assert card.input_limit(4096) == 1024


def test_an_unknown_model_of_a_known_provider() -> None:
    card = Catalog().card("kimi/kimi-k9")
    assert (card.window, card.max_input, card.price, card.known) == (8192, 8192, None, False)
    assert card.media == Trait.MEDIA
    assert Catalog().target(card).parts


def test_cards_of_models_that_are_not_listed_are_kept_but_not_without_end() -> None:
    known = Catalog()
    card = known.card("kimi/kimi-k9")
    for number in range(catalog.OTHERS - 1):
        known.card(f"kimi/kimi-k9.{number}")
    assert known.card("kimi/kimi-k9") is card
    known.card("kimi/kimi-k10")
    assert known.card("kimi/kimi-k9") is not card


def test_an_alias_is_the_same_model_under_its_own_name() -> None:
    card, named = Catalog().card("deepseek/deepseek-flash"), Catalog().card("deepseek/deepseek-v4-flash")
    assert card.name == "deepseek/deepseek-flash"
    assert card.model == "deepseek-flash"
    assert (card.price, card.window) == (named.price, named.window)


def test_the_keys_are_in_order() -> None:
    assert Catalog().profile("stepfun").keys == ("STEP_API_KEY", "STEPFUN_API_KEY")
    assert Catalog().profile("dashscope").keys == Catalog().profile("qwen").keys == ("DASHSCOPE_API_KEY",)


# ---------------------------------------------------------------------------------- the figures


def test_the_input_limit_is_the_tighter_of_two() -> None:
    plus, flash = Catalog().card("qwen-plus"), Catalog().card("qwen3.5-plus")
    assert plus.input_limit(4096) == 129_024
    assert flash.input_limit(4096) == 991_808
    assert flash.input_limit(16_384) == 983_616
    assert Catalog().card("kimi-k2.6").input_limit(4096) == 262_144 - 4096


def test_prices_are_exact() -> None:
    price = Catalog().card("deepseek-v4-pro").price
    assert price
    assert price.tiers[0].cached == Decimal("0.003625")
    assert price.cost(Usage(1_000_000, 1_000_000)).amount == Decimal("1.305")


def test_a_price_has_tiers() -> None:
    card = Catalog().card("qwen3-max")
    assert card.first_tier == 32_000
    assert card.price
    assert card.price.tier(32_001).input == 4
    assert card.price.currency == "CNY"
    assert card.price.as_of == "2026-04"
    assert card.as_of == "2026-07-02"
    assert Catalog().card("gpt-4o").first_tier is None
    assert Catalog().card("compatible/x").first_tier is None


def test_a_relay_reads_its_makers_card_but_not_the_price() -> None:
    card, maker = Catalog().card("zhizengzeng/kimi-k2.6"), Catalog().card("kimi-k2.6")
    assert card.name == "zhizengzeng/kimi-k2.6"
    assert (card.provider, card.model, card.price) == ("zhizengzeng", "kimi-k2.6", None)
    assert (card.window, card.media, card.thinks) == (maker.window, maker.media, maker.thinks)
    assert card.drop_params == maker.drop_params == ("temperature", "top_p")
    assert Catalog().card("qwen-plus").cache
    assert Catalog().card("zhizengzeng/qwen-plus").cache is None  # nothing is known of a relay's caches
    shaped = Catalog().target(card)
    assert (shaped.bare_calls, shaped.reasoning_required) == ("omit", "tool_calls")
    assert shaped.model == "zhizengzeng/kimi-k2.6"
    assert Catalog().target(Catalog().card("zhizengzeng/gpt-4o")).developer
    assert not Catalog().card("zhizengzeng/claude-opus").known


def test_both_doors_of_qwen_have_the_same_models() -> None:
    known = Catalog()
    qwen, native = known.profile("qwen"), known.profile("dashscope")
    assert qwen.cards.keys() == native.cards.keys()
    assert qwen.codes == native.codes
    assert known.card("dashscope/qwen3-vl-plus").native == "multimodal"
    assert known.card("dashscope/qwen-plus").native is None


# --------------------------------------------------------------------------------- the operator


def test_the_operator_overrides_what_is_out_of_date() -> None:
    known = Catalog(
        {
            "providers": {"qwen": {"base_url": "https://eu.example/v1/"}},
            "models": {
                "qwen/qwen-plus": {
                    "max_input": 997_952,
                    "price": {"currency": "CNY", "input": 0.8, "output": 2},
                },
                "compatible/mine": {"window": 32_768, "media": []},
                "kimi/kimi-k2.6": {"multiplier": 2},
            },
        }
    )
    assert known.profile("qwen").base_url == "https://eu.example/v1"
    plus = known.card("qwen-plus")
    assert (plus.window, plus.max_input) == (1_000_000, 997_952)
    assert plus.price
    assert plus.price.tiers[0].input == Decimal("0.8")
    assert (known.card("compatible/mine").max_input, known.card("compatible/mine").media) == (32_768, 0)
    dear = known.card("kimi-k2.6").price
    assert dear
    assert dear.cost(Usage(1_000_000)).amount == Decimal("1.90")
    assert Catalog().card("qwen-plus").max_input == 129_024


def test_a_multiplier_gives_a_relay_its_prices() -> None:
    known = Catalog(
        {
            "providers": {"zhizengzeng": {"multiplier": 1.2}},
            "models": {"zhizengzeng/gpt-4o-mini": {"window": 9000}},
        }
    )
    price = known.card("zhizengzeng/gpt-4o").price
    assert price
    assert price.cost(Usage(1_000_000)).amount == Decimal("3.00")
    small = known.card("zhizengzeng/gpt-4o-mini")
    assert small.window == 9000
    assert small.price
    assert small.price.multiplier == Decimal("1.2")
    assert known.card("zhizengzeng/claude").price is None


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ({"models": {"qwen/qwen-plus": {"window": 0}}}, "models.qwen/qwen-plus.window"),
        ({"models": {"qwen/qwen-plus": {"window": True}}}, "models.qwen/qwen-plus.window"),
        ({"models": {"qwen/qwen-plus": {"window": "8k"}}}, "models.qwen/qwen-plus.window"),
        ({"models": {"qwen/qwen-plus": 5}}, "models.qwen/qwen-plus"),
        ({"models": {"nobody/x": {"window": 5}}}, "models.nobody/x"),
        ({"models": 5}, "models"),
        ({"models": {"qwen/qwen-plus": {"thinks": "maybe"}}}, "models.qwen/qwen-plus.thinks"),
        ({"models": {"qwen/qwen-plus": {"media": ["smell"]}}}, "models.qwen/qwen-plus.media"),
        ({"models": {"qwen/qwen-plus": {"media": "image"}}}, "models.qwen/qwen-plus.media"),
        ({"models": {"qwen/qwen-plus": {"tools": "yes"}}}, "models.qwen/qwen-plus.tools"),
        ({"models": {"qwen/qwen-plus": {"source": 5}}}, "models.qwen/qwen-plus.source"),
        ({"models": {"qwen/qwen-plus": {"multiplier": "2"}}}, "models.qwen/qwen-plus.multiplier"),
        ({"models": {"qwen/qwen-plus": {"multiplier": float("nan")}}}, "models.qwen/qwen-plus.multiplier"),
        ({"models": {"qwen/qwen-plus": {"keep_all_if": {"x": 5}}}}, "models.qwen/qwen-plus.keep_all_if"),
        ({"models": {"qwen/qwen-plus": {"price": 5}}}, "models.qwen/qwen-plus.price"),
        ({"models": {"qwen/qwen-plus": {"price": {"input": 1, "output": 2}}}}, "models.qwen/qwen-plus.price"),
        (
            {"models": {"qwen/qwen-plus": {"price": {"currency": "CNY", "input": 1}}}},
            "models.qwen/qwen-plus.price",
        ),
        (
            {"models": {"qwen/qwen-plus": {"price": {"currency": "CNY", "input": -1, "output": 2}}}},
            "models.qwen/qwen-plus.price",
        ),
        (
            {"models": {"qwen/qwen-plus": {"price": {"currency": "CNY", "input": 1, "output": 2, "x": 3}}}},
            "models.qwen/qwen-plus.price",
        ),
        (
            {"models": {"qwen/qwen-plus": {"price": {"currency": "CNY", "tiers": []}}}},
            "models.qwen/qwen-plus.price",
        ),
        (
            {
                "models": {
                    "qwen/qwen-plus": {
                        "price": {
                            "currency": "CNY",
                            "tiers": [{"input": 1, "output": 2}, {"up_to": 5, "input": 1, "output": 2}],
                        }
                    }
                }
            },
            "models.qwen/qwen-plus.price",
        ),
        ({"providers": {"qwen": {"base_url": "ftp://x"}}}, "providers.qwen.base_url"),
        ({"providers": {"qwen": {"base_url": "https://user:word@x/v1"}}}, "providers.qwen.base_url"),
        ({"providers": {"qwen": {"base_url": "https://"}}}, "providers.qwen.base_url"),
        ({"providers": {"qwen": {"protocol": "demo"}}}, "providers.qwen.protocol"),
        ({"providers": {"nobody": {"base_url": "https://x"}}}, "providers.nobody"),
        ({"provider": {}}, "provider"),
    ],
)
def test_an_override_that_cannot_be_is_refused(overrides: dict[str, Any], name: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        Catalog(overrides)
    assert caught.value.figures["name"] == name


# ------------------------------------------------------------------------- embeddings and counting


def test_an_embedding_model_says_what_one_request_takes() -> None:
    card = Catalog().embedding("qwen/text-embedding-v4")
    assert (card.dimension, card.batch, card.max_tokens) == (1024, 10, 8192)
    assert card.dimensions[-1] == 2048
    assert card.price
    assert card.price.cost(Usage(1_000_000)).amount == Decimal("0.07")
    assert card.price.as_of == card.as_of == "2026-07-02"
    assert card.known


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("text-embedding-v4", "qwen/text-embedding-v4"),
        ("text-embedding-3-small", "openai/text-embedding-3-small"),
        ("embedding-3", "glm/embedding-3"),
        ("dashscope/text-embedding-v4", "dashscope/text-embedding-v4"),
        ("siliconflow/BAAI/bge-m3", "siliconflow/BAAI/bge-m3"),
    ],
)
def test_the_name_of_an_embedding_model_finds_its_provider(name: str, full: str) -> None:
    assert Catalog().embedding(name).name == full
    assert Catalog().embedding(name).known


@pytest.mark.parametrize("name", ["bge-m3", "nobody/x", "", "qwen/"])
def test_an_embedding_model_without_a_provider_is_refused(name: str) -> None:
    with pytest.raises(ModelUnknown):
        Catalog().embedding(name)


def test_of_an_unknown_embedding_model_nothing_is_assumed() -> None:
    card = Catalog().embedding("compatible/bge-m3")
    assert (card.dimension, card.batch, card.price, card.known) == (None, 1, None, False)


def test_the_operator_describes_an_embedding_model() -> None:
    described = {
        "compatible/bge-m3": {"dimension": 1024, "batch": 16},
        "qwen/text-embedding-v4": {"batch": 5},
    }
    known = Catalog({"embeddings": described})
    assert known.embedding("compatible/bge-m3").batch == 16
    assert known.embedding("text-embedding-v4").batch == 5
    assert known.embedding("text-embedding-v4").dimension == 1024
    with pytest.raises(SettingInvalid):
        Catalog({"embeddings": {"qwen/text-embedding-v4": {"dimensions": 5}}})


def test_a_relay_reads_its_makers_embedding_card_but_not_the_price() -> None:
    card = Catalog().embedding("zhizengzeng/text-embedding-3-small")
    assert (card.name, card.upstream, card.dimension) == (
        "zhizengzeng/text-embedding-3-small",
        "openai",
        1536,
    )
    assert card.price is None
    dear = Catalog({"providers": {"zhizengzeng": {"multiplier": 2}}})
    price = dear.embedding("zhizengzeng/text-embedding-3-small").price
    assert price
    assert price.cost(Usage(1_000_000)).amount == Decimal("0.04")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_embedding_model_is_plausible(provider: str) -> None:
    for card in Catalog().profile(provider).embeddings.values():
        assert card.dimension, card.name
        assert not card.dimensions or card.dimension in card.dimensions, card.name
        assert card.as_of >= "2025", card.name
        assert card.source, card.name


@pytest.mark.parametrize(
    ("provider", "address"),
    [
        ("qwen", "https://dashscope.aliyuncs.com/api/v1/tokenizer"),
        ("dashscope", "https://dashscope.aliyuncs.com/api/v1/tokenizer"),
        ("kimi", "https://api.moonshot.cn/v1/tokenizers/estimate-token-count"),
        ("stepfun", "https://api.stepfun.com/v1/token/count"),
        ("glm", "https://open.bigmodel.cn/api/paas/v4/tokenizer"),
        ("deepseek", ""),
        ("compatible", ""),
    ],
)
def test_where_tokens_are_counted(provider: str, address: str) -> None:
    profile = Catalog().profile(provider)
    assert profile.counting_url() == address
    if address:
        assert profile.counting_url("http://127.0.0.1:1/x/v1/").startswith("http://127.0.0.1:1/")


# ----------------------------------------------------------------------------- caches and images


@pytest.mark.parametrize(
    ("model", "match", "minimum", "step", "ttl"),
    [
        ("qwen/qwen-plus", "prefix", 256, 1, None),
        ("dashscope/qwen-plus", "prefix", 256, 1, None),
        ("stepfun/step-3.7-flash", "prefix", 257, 1, None),
        ("deepseek/deepseek-v4-flash", "unit", 1, 1, None),
        ("openai/gpt-5.4", "prefix", 1_024, 128, 300),
        ("openai/gpt-5.6", "breakpoint", 1_024, 1, 1_800),
    ],
)
def test_each_provider_has_its_cache_rule(
    model: str, match: str, minimum: int, step: int, ttl: float | None
) -> None:
    rule = Catalog().card(model).cache
    assert rule
    assert (rule.match, rule.minimum, rule.step, rule.ttl) == (match, minimum, step, ttl)
    assert rule.as_of
    assert rule.source


@pytest.mark.parametrize(
    "model",
    ["kimi/kimi-k2.6", "glm/glm-4.7", "ark/doubao-seed-2-1-turbo-260628", "compatible/x", "qwen/new", "demo"],
)
def test_unknown_rules_are_none(model: str) -> None:
    assert Catalog().card(model).cache is None


def test_markers_have_rules_and_prices() -> None:
    rule = Catalog().card("qwen3-max").cache
    assert rule
    assert rule.explicit
    assert (rule.explicit.minimum, rule.explicit.ttl, rule.explicit.markers, rule.explicit.reach) == (
        1_024,
        300,
        4,
        20,
    )
    assert (rule.explicit.write, rule.explicit.hit, rule.hit) == (1.25, 0.1, 0.2)
    for card in LISTED:
        if card.cache and card.cache.explicit:
            assert card.price
            for tier in card.price.tiers:
                assert tier.cache_write
                assert tier.marked
                assert tier.cached
                assert tier.marked < tier.cached < tier.input < tier.cache_write, card.name


def test_the_operator_knows_a_cache_that_is_not_published() -> None:
    known = Catalog(
        {
            "models": {
                "kimi/kimi-k2.6": {
                    "cache": {"minimum": 128, "step": 64, "ttl": 60, "explicit": {"minimum": 1, "ttl": 5}}
                },
                "qwen/qwen-plus": {"cache": False, "image": {"kind": "fixed", "extra": 5}},
                "openai/gpt-4o": {"image": False},
            }
        }
    )
    rule = known.card("kimi-k2.6").cache
    assert rule
    assert rule.explicit
    assert (rule.minimum, rule.step, rule.ttl, rule.explicit.markers) == (128, 64, 60, 4)
    assert known.card("qwen-plus").cache is None
    assert known.target(known.card("qwen-plus")).image
    assert known.target(known.card("gpt-4o")).image is None


@pytest.mark.parametrize(
    "values",
    [
        {"cache": 5},
        {"cache": {"minimum": 0}},
        {"cache": {"match": "magic"}},
        {"cache": {"size": 5}},
        {"cache": {"explicit": {"ttl": -1}}},
        {"image": {"side": 32}},
        {"image": {"kind": "round"}},
        {"image": True},
    ],
)
def test_a_rule_that_cannot_be_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(SettingInvalid):
        Catalog({"models": {"qwen/qwen-plus": values}})
