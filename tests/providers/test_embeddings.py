"""Texts and their vectors, as providers give them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.simulators import Fault, Script, Simulator, counting, simulate
from tests.simulators.embeddings import Embeds, embedded

from multiturn import (
    KeyMissing,
    KeyRefused,
    ModelUnknown,
    ProviderFailed,
    ProviderOverflow,
    ProviderTimeout,
    RequestRefused,
)
from multiturn.cards import EmbeddingCard
from multiturn.catalog import Catalog
from multiturn.providers import Patience, Retry, open_embeddings
from multiturn.providers.embeddings import Embeddings
from multiturn.search.vectors import dimension_of, likeness, packed
from multiturn.tokens import count_text

from .loopback import Exchange, loopback

QUICK = Retry(base=0.001, burst=0.001, longest_backoff=0.001, longest_wait=0.001)
MODELS = {
    "qwen": "text-embedding-v4",
    "dashscope": "text-embedding-v4",
    "openai": "text-embedding-3-small",
    "siliconflow": "BAAI/bge-m3",
    "glm": "embedding-3",
}


def client_of(server: Any, model: str, *, key: str | None = None, **given: Any) -> Embeddings:
    catalog = Catalog(given.pop("overrides", None))
    card = catalog.embedding(model)
    return open_embeddings(
        card,
        catalog.profile(card.provider),
        key=key or getattr(server, "key", "sk-x"),
        base_url=getattr(server, "base_url", "") or server.url,
        **{"retry": QUICK, **given},
    )


@asynccontextmanager
async def embedding(
    name: str = "qwen", model: str = "", script: Script | None = None, **given: Any
) -> AsyncIterator[tuple[Embeddings, Embeds]]:
    async with simulate(name, script) as server:
        assert isinstance(server, Embeds)
        client = client_of(server, f"{name}/{model or MODELS[name]}", **given)
        try:
            yield client, server
        finally:
            await client.close()


def sizes(server: Simulator) -> list[int]:
    """How many texts each request brought."""
    return [len(received.body["input"]) for received in server.requests]


@pytest.mark.parametrize("name", MODELS)
async def test_each_provider_gives_each_text_its_vector(name: str) -> None:
    texts = ["我今年 27 岁。", "你好", "I am 27 years old."]
    async with embedding(name) as (client, server):
        answer = await client.embed(texts)
        dimension = client.card.dimension
        assert dimension is not None
        assert [dimension_of(vector) for vector in answer.vectors] == [dimension] * 3
        for text, vector in zip(texts, answer.vectors, strict=True):
            assert likeness(vector, packed(embedded(text, dimension))) == pytest.approx(1, abs=0.002)
        assert answer.usage.input == sum(map(counting.count, texts))
        assert not answer.usage.estimated
        assert len(server.requests) == 1


async def test_usage_has_its_price() -> None:
    async with embedding() as (client, _):
        answer = await client.embed(["一二三四五六七八九十"])
        assert answer.cost is not None
        assert (answer.cost.currency, answer.cost.amount) == ("USD", Decimal("0.07") * 10 / 1_000_000)
    async with embedding("siliconflow") as (client, _):
        assert (await client.embed(["好"])).cost is None


async def test_usage_that_is_not_reported_is_estimated() -> None:
    async with embedding() as (client, server):
        server.embeds("text-embedding-v4", usage=False)
        answer = await client.embed(["一二三四", "五六"])
        assert answer.usage.estimated
        assert answer.usage.input == count_text("一二三四") + count_text("五六")


async def test_more_texts_than_a_request_takes_are_parted() -> None:
    texts = [f"第{number}句" for number in range(23)]
    async with embedding() as (client, server):
        answer = await client.embed(texts)
        assert sizes(server) == [10, 10, 3]
        assert server.texts == texts
        assert answer.usage.input == sum(map(counting.count, texts))
        assert len(answer.vectors) == 23


async def test_an_endpoint_that_takes_fewer_than_we_knew_teaches_us() -> None:
    async with embedding() as (client, server):
        server.embeds("text-embedding-v4", batch=4)
        await client.embed([f"第{number}句" for number in range(10)])
        assert sizes(server) == [10, 4, 4, 2]
        assert client.batch == 4
        assert list(client.batches(["x"] * 9)) == [range(4), range(4, 8), range(8, 9)]


async def test_rows_are_asked_for_in_batches_that_an_endpoint_takes() -> None:
    texts = [f"第{number}句" for number in range(10)]
    async with embedding() as (client, server):
        server.embeds("text-embedding-v4", batch=4)
        rows, usage = await client.rows(texts)
        assert sizes(server) == [10, 4, 4, 2]
        assert (len(rows), usage.input) == (10, sum(map(counting.count, texts)))
        with pytest.raises(RequestRefused):
            await client.rows([""])


@pytest.mark.parametrize(
    ("words", "tried"), [("too many inputs", [8, 4, 4]), ("batch size must be at most 3", [8, 3, 3, 2])]
)
async def test_other_words_for_too_many(words: str, tried: list[int]) -> None:
    received: list[int] = []

    async def answer(exchange: Exchange) -> None:
        texts = (await exchange.request.json())["input"]
        received.append(len(texts))
        if len(texts) > 4:
            await exchange.whole({"error": {"message": words}}, status=400)
        else:
            await exchange.whole({"data": [{"index": n, "embedding": [1, n]} for n in range(len(texts))]})

    async with loopback(answer) as server:
        card = EmbeddingCard("compatible/e", "compatible", "e", batch=8)
        client = open_embeddings(card, Catalog().profile("compatible"), base_url=server.url, retry=QUICK)
        await client.embed(["x"] * 8)
        await client.close()
    assert received == tried


async def test_a_refusal_of_something_else_is_not_tried_in_smaller_pieces() -> None:
    async with embedding(overrides={"embeddings": {"qwen/text-embedding-v4": {"dimension": 100}}}) as (
        client,
        server,
    ):
        with pytest.raises(RequestRefused, match="dimension"):
            await client.embed(["一", "二"])
        assert len(server.requests) == 1


async def test_a_single_text_is_not_parted() -> None:
    async with embedding(script=Script(faults=Fault(400, message="batch is wrong"))) as (client, server):
        with pytest.raises(RequestRefused):
            await client.embed(["一"])
        assert len(server.requests) == 1


async def test_the_operator_chooses_a_dimension() -> None:
    overrides = {"embeddings": {"qwen/text-embedding-v4": {"dimension": 256}}}
    async with embedding(overrides=overrides) as (client, server):
        assert dimension_of((await client.embed(["好"])).vectors[0]) == 256
        assert server.requests[0].body["dimensions"] == 256
    async with embedding("siliconflow") as (client, server):
        await client.embed(["好"])
        assert "dimensions" not in server.requests[0].body


async def test_a_text_that_is_too_long_is_embedded_by_its_beginning() -> None:
    async with embedding("siliconflow", "BAAI/bge-large-zh-v1.5") as (client, server):
        await client.embed(["好" * 5000, "短"])
        assert server.texts[1] == "短"
        assert 200 < len(server.texts[0]) <= 512
        learned = len(server.requests)
        await client.embed(["好" * 5000])
        assert len(server.requests) == learned + 1
    async with embedding("siliconflow") as (client, server):
        server.embeds("BAAI/bge-m3", max_tokens=0)
        with pytest.raises(ProviderOverflow):
            await client.embed(["好好", "短"])


async def test_a_busy_endpoint_is_asked_again_and_a_refused_key_is_not() -> None:
    async with embedding(script=Script(faults={1: Fault(429), 2: Fault(503)})) as (client, server):
        assert len((await client.embed(["好"])).vectors) == 1
        assert len(server.requests) == 3
    async with embedding(key="sk-wrong") as (client, server):
        with pytest.raises(KeyRefused) as caught:
            await client.embed(["好"])
        assert "sk-wrong" not in str(caught.value)
        assert len(server.requests) == 1


async def test_an_endpoint_that_stalls_is_left() -> None:
    patience, once = Patience(total=0.2), Retry(times=0)
    async with embedding(patience=patience, retry=once) as (client, server):
        server.embeds("text-embedding-v4", stall=30)
        with pytest.raises(ProviderTimeout):
            await client.embed(["好"])


def row(*values: object, index: int = 0) -> dict[str, object]:
    return {"index": index, "embedding": list(values)}


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        [row(1, 2)],
        [row(1, 2), row(1, 2, 3, index=1)],
        [row(1, 2), row(0, 0, index=1)],
        [row(1, 2), row("x", 1, index=1)],
        [row(1, 2), row(None, 1, index=1)],
        [row(1, 2), row(index=1)],
        [row(1, 2), {"index": 1, "embedding": "AAAA"}],
        [row(1, 2), {"index": 1, "embedding": "12"}],
        [row(1, 2), {"index": 1}],
        [row(1, 2), "x"],
        [row(1, 2), row(1, 3, index=1), row(1, 4, index=2)],
    ],
)
async def test_vectors_that_cannot_be_right_are_a_failure(data: object) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.whole({"data": data, "usage": {"total_tokens": 3}})

    async with loopback(answer) as server:
        client = client_of(server, "qwen/text-embedding-v4", retry=Retry(times=0))
        with pytest.raises(ProviderFailed, match="vector"):
            await client.embed(["一", "二"])
        await client.close()


@pytest.mark.parametrize(("name", "place"), [("qwen", "index"), ("dashscope", "text_index")])
async def test_each_text_has_the_vector_that_names_its_place(name: str, place: str) -> None:
    rows = [{place: 1, "embedding": [0, 1]}, {place: 0, "embedding": [1, 0]}]

    async def answer(exchange: Exchange) -> None:
        await exchange.whole({"data": rows, "output": {"embeddings": rows}})

    async with loopback(answer) as server:
        client = client_of(server, f"{name}/text-embedding-v4")
        assert (await client.rows(["一", "二"]))[0] == [[1, 0], [0, 1]]
        await client.close()


def test_keys_and_providers_are_checked_first() -> None:
    catalog = Catalog()
    with pytest.raises(KeyMissing, match="DASHSCOPE_API_KEY"):
        open_embeddings(catalog.embedding("qwen/text-embedding-v4"), catalog.profile("qwen"))
    with pytest.raises(ModelUnknown):
        open_embeddings(catalog.embedding("demo/x"), catalog.profile("demo"))


@given(
    st.lists(st.text(alphabet="ab 好，", min_size=1, max_size=60), max_size=40),
    st.integers(1, 12),
    st.none() | st.integers(5, 80),
)
def test_batches_are_whole_and_within_the_limits(
    texts: Sequence[str], batch: int, tokens: int | None
) -> None:
    card = EmbeddingCard("qwen/e", "qwen", "e", batch=batch, max_batch_tokens=tokens)
    client = open_embeddings(card, Catalog().profile("qwen"), key="sk-x")
    places = list(client.batches(texts))
    assert [place for each in places for place in each] == list(range(len(texts)))
    for each in places:
        assert 1 <= len(each) <= batch
        cost = sum(count_text(texts[place]) * 1.15 for place in each)
        assert tokens is None or len(each) == 1 or cost <= tokens
    capped = open_embeddings(replace(card, max_tokens=1), Catalog().profile("qwen"), key="sk-x")
    assert [place for each in capped.batches(texts) for place in each] == list(range(len(texts)))
