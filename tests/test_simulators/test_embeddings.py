"""Do the real SDKs understand the simulated embedding endpoints, and are wrong requests refused as told?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import openai
import pytest
from dashscope import TextEmbedding
from dashscope.api_entities.http_request import close_shared_sync_session
from openai.types import CreateEmbeddingResponse
from tests.simulators import FAMILY, Fault, Script, serve
from tests.simulators.embeddings import Embeds, embedded

NAMES = [name for name, kind in FAMILY.items() if issubclass(kind, Embeds) and name != "dashscope"]


@pytest.fixture(params=NAMES)
def server(request: pytest.FixtureRequest) -> Iterator[Embeds]:
    with serve(request.param) as simulator:
        assert isinstance(simulator, Embeds)
        yield simulator


def model(simulator: Embeds) -> str:
    return next(iter(simulator.embedding_models))


def embed(simulator: Embeds, given: Any, *, key: str = "", **asked: Any) -> CreateEmbeddingResponse:
    """What the openai package gets for ``given``."""
    with openai.OpenAI(base_url=simulator.base_url, api_key=key or simulator.key, max_retries=0) as sdk:
        named = {"model": model(simulator), "encoding_format": "float", **asked}
        return sdk.embeddings.create(input=given, **named)


def test_the_providers_that_embed() -> None:
    assert NAMES == ["qwen", "glm", "siliconflow", "openai"]


def test_the_openai_package_gets_its_vectors(server: Embeds) -> None:
    answer = embed(server, ["猫", "狗和猫"])
    rows = sorted(answer.data, key=lambda row: row.index)
    dimension = server.embedding_models[model(server)].dimension
    assert [row.embedding for row in rows] == [embedded("猫", dimension), embedded("狗和猫", dimension)]
    assert answer.usage.total_tokens == 4
    assert embed(server, "猫").data[0].index == 0


def test_a_batch_that_is_too_large_is_refused(server: Embeds) -> None:
    limit = server.embedding_models[model(server)].batch
    with pytest.raises(openai.BadRequestError, match=f"should not be larger than {limit}"):
        embed(server, ["猫"] * (limit + 1))


@pytest.mark.parametrize("given", [[], "", ["猫", ""]])
def test_nothing_to_embed_is_refused(server: Embeds, given: Any) -> None:
    with pytest.raises(openai.BadRequestError):
        embed(server, given)


def test_a_dimension_the_model_has_not_is_refused(server: Embeds) -> None:
    with pytest.raises(openai.BadRequestError, match="7 is not in"):
        embed(server, "猫", dimensions=7)


def test_other_models_and_keys_are_refused(server: Embeds) -> None:
    with pytest.raises(openai.APIStatusError):
        embed(server, "猫", model="nobody")
    with pytest.raises(openai.AuthenticationError):
        embed(server, "猫", key="sk-x")


def test_faults_come_as_scripted() -> None:
    with serve("qwen", Script(faults={1: Fault(503)})) as simulator:
        assert isinstance(simulator, Embeds)
        with pytest.raises(openai.InternalServerError):
            embed(simulator, "猫")
        simulator.embeds(model(simulator), gives=8)
        assert len(embed(simulator, "猫").data[0].embedding) == 8


def test_the_dashscope_package_gets_its_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve("dashscope") as simulator:
        monkeypatch.setattr("dashscope.base_http_api_url", simulator.base_url)
        found: Any = TextEmbedding.call(
            model="text-embedding-v4", input=["猫", "狗"], dimension=64, api_key=simulator.key
        )
        assert found.status_code == HTTPStatus.OK
        assert [row["embedding"] for row in found.output["embeddings"]] == [
            embedded("猫", 64),
            embedded("狗", 64),
        ]
        refused: Any = TextEmbedding.call(model="text-embedding-v4", input=["猫"] * 11, api_key=simulator.key)
        assert (refused.status_code, refused.code) == (400, "InvalidParameter")
        assert "should not be larger than 10" in refused.message
    close_shared_sync_session()


def test_texts_that_share_words_are_alike() -> None:
    def cosine(one: str, other: str) -> float:
        pair = embedded(one, 256), embedded(other, 256)
        product = sum(a * b for a, b in zip(*pair, strict=True))
        return product / math.hypot(*pair[0]) / math.hypot(*pair[1])

    assert cosine("我的猫叫小白", "小白是一只猫") > cosine("我的猫叫小白", "明天下雨") + 0.1
