"""Everything a client talks to is opened when it is first asked, with the right key and address."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from multiturn import CountingUnavailable, KeyMissing, ModelUnknown, SettingInvalid
from multiturn.catalog import Catalog
from multiturn.config import Config
from multiturn.endpoints import Endpoints
from multiturn.phrases import error_sentence
from multiturn.settings import load
from multiturn.storage.sqlite import SQLiteStore

EMBEDDING = "qwen/text-embedding-v4"
KEYS = {"DASHSCOPE_API_KEY": "sk-environment", "MOONSHOT_API_KEY": "sk-kimi"}


def endpoints(
    environment: Mapping[str, str] = KEYS, *, store: Any = None, config: Config | None = None, **given: Any
) -> Endpoints:
    config = config or load({"model": "qwen/qwen-plus"}, {"HOME": "/nowhere"})
    return Endpoints(
        Catalog(config.overrides),
        config,
        environment,
        store or SQLiteStore(":memory:"),
        "qwen/qwen-plus",
        **given,
    )


def bearer(opened: Any) -> str:
    inquiry = opened._inquiry
    return str(inquiry._headers["Authorization"])


async def test_each_is_opened_once_and_closed() -> None:
    one = endpoints()
    card = one.catalog.card("kimi/kimi-k2.6")
    assert one.counting(card) is one.counting(one.catalog.card("kimi/kimi-k2.5"))
    assert one.embedder(EMBEDDING) is one.embedder("text-embedding-v4")
    assert one.provider(card) is one.provider(card)
    before = one.embedder(EMBEDDING)
    await one.close()
    assert one.embedder(EMBEDDING) is not before
    await one.close()


async def test_the_key_of_the_chat_is_the_key_of_what_stands_beside_it() -> None:
    one = endpoints(key="sk-given")
    embedder = one.embedder(EMBEDDING)
    assert embedder is not None
    assert bearer(embedder.embeddings) == "Bearer sk-given"
    assert bearer(one.counting(one.catalog.card("qwen/qwen-plus"))) == "Bearer sk-given"
    assert bearer(one.counting(one.catalog.card("kimi/kimi-k2.6"))) == "Bearer sk-kimi"
    await one.close()


async def test_the_address_of_the_chat_is_the_address_of_what_stands_beside_it() -> None:
    one = endpoints({**KEYS, "MOONSHOT_BASE_URL": "http://kimi.test/v1"}, base_url="http://qwen.test/v1")
    embedder = one.embedder(EMBEDDING)
    assert embedder is not None
    assert embedder.embeddings.access.address == "http://qwen.test/v1"
    assert one.counting(one.catalog.card("kimi/kimi-k2.6"))._url.startswith("http://kimi.test/v1/tokenizers/")
    await one.close()


def test_a_missing_key_is_named() -> None:
    one = endpoints({})
    with pytest.raises(KeyMissing, match="DASHSCOPE_API_KEY"):
        one.embedder(EMBEDDING)
    with pytest.raises(KeyMissing, match="MOONSHOT_API_KEY"):
        one.counting(one.catalog.card("kimi/kimi-k2.6"))
    with pytest.raises(KeyMissing, match="DASHSCOPE_API_KEY"):
        one.provider(one.catalog.card("qwen/qwen-plus"))


def test_what_does_not_exist_is_named_even_without_a_key() -> None:
    one = endpoints({})
    with pytest.raises(CountingUnavailable, match="deepseek"):
        one.counting(one.catalog.card("deepseek/deepseek-v4-flash"))
    with pytest.raises(CountingUnavailable, match="demo"):
        one.counting(one.catalog.card("demo"))
    with pytest.raises(ModelUnknown, match="nobody"):
        one.embedder("nobody")


def test_a_store_that_keeps_no_vectors_recalls_by_words() -> None:
    class Bare:
        """A store of somebody else's."""

    assert endpoints(store=Bare()).embedder(EMBEDDING) is None


async def test_the_operator_lets_recall_go_through_all_vectors() -> None:
    for search in (False, True):
        config = load({"model": "demo", "search_vectors": search}, {"HOME": "/nowhere"})
        one = endpoints(config=config)
        embedder = one.embedder(EMBEDDING)
        assert embedder is not None
        assert embedder.everything is search
        await one.close()


# --------------------------------------------------------------------------------------- counters


def exact(**given: Any) -> Config:
    return load({"model": "demo", "tokenizer": "exact", **given}, {"HOME": "/nowhere"})


def test_counts_are_estimates_unless_the_operator_wants_them_exact() -> None:
    one = endpoints()
    assert one.counter(one.catalog.card("qwen/qwen-plus")) is None
    one = endpoints(config=exact())
    counter = one.counter(one.catalog.card("qwen/qwen-plus"))
    assert counter is not None
    assert counter is one.counter(one.catalog.card("kimi/kimi-k2.6"))
    assert counter({"role": "user", "content": "hello"}) == 6


def test_exact_counts_without_a_vocabulary_are_refused_with_the_way_to_one() -> None:
    one = endpoints({}, config=exact())
    with pytest.raises(SettingInvalid, match=r"openai/gpt-4o.*multiturn\[tokenizers\].*vocabulary") as caught:
        one.counter(one.catalog.card("openai/gpt-4o"))
    assert "multiturn[tokenizers]" in error_sentence(caught.value, "zh")


def test_the_setting_says_where_vocabularies_are(tmp_path: Path) -> None:
    one = endpoints({}, config=exact(vocabulary=str(tmp_path / "gone")))
    with pytest.raises(SettingInvalid, match="neither a file nor a folder"):
        one.counter(one.catalog.card("openai/gpt-4o"))


async def test_several_keys_are_several_providers_and_the_first_one_does_the_rest() -> None:
    one = endpoints({"DASHSCOPE_API_KEYS": "sk-a,sk-b"})
    card = one.catalog.card("qwen/qwen-plus")
    labels = one.labels("qwen")
    assert len(set(labels)) == 2
    assert not any(key in label for key in ("sk-a", "sk-b") for label in labels)
    sent = [one.provider(card, label)._headers["Authorization"] for label in labels]  # type: ignore[attr-defined]  # a look inside
    assert sent == ["Bearer sk-a", "Bearer sk-b"]
    embedder = one.embedder(EMBEDDING)
    assert embedder is not None
    assert bearer(embedder.embeddings) == "Bearer sk-a"
    assert one.labels("kimi") == ()
    assert one.labels("demo") == ("",)
    await one.close()


async def test_a_key_that_was_given_stands_alone() -> None:
    one = endpoints({"DASHSCOPE_API_KEYS": "sk-a,sk-b", "MOONSHOT_API_KEYS": "x,y"}, key="sk-given")
    assert one.labels("qwen") == ("",)
    assert len(one.labels("kimi")) == 2
    card = one.catalog.card("qwen/qwen-plus")
    assert one.provider(card)._headers["Authorization"] == "Bearer sk-given"  # type: ignore[attr-defined]  # a look inside
    await one.close()
