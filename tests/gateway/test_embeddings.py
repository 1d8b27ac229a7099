"""Vectors, handed on from whoever makes them, with the official client."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from tests.gateway.serving import Gate, gate
from tests.simulators import serve

MODEL = "qwen/text-embedding-v4"
LOOSE = {"_strict_response_validation": False}
"""The official client asks for text and checks for numbers before it has read them."""


@pytest.fixture(scope="module")
def nobody() -> Iterator[Gate]:
    """A gateway behind which nobody can be asked: what it says, it says by itself."""
    with gate(model="demo") as one:
        yield one


def test_texts_are_embedded_as_the_client_asks_for_them() -> None:
    with serve("qwen") as sim, gate(sim, model="demo") as one:
        given = ["one", "two two", "three"]
        numbers = one.openai().embeddings.create(
            model=MODEL, input=given, encoding_format="float", dimensions=64
        )
        assert (numbers.model, [each.index for each in numbers.data]) == (MODEL, [0, 1, 2])
        assert numbers.usage.total_tokens > 0
        rows = [each.embedding for each in numbers.data]
        assert [len(row) for row in rows] == [64] * 3
        usual = one.openai(**LOOSE).embeddings.create(model=MODEL, input=given, dimensions=64)
        assert [each.embedding for each in usual.data] == rows
        raw = one.post({"model": MODEL, "input": "one", "encoding_format": "base64"}, "/v1/embeddings")[1]
        text = json.loads(raw)["data"][0]["embedding"]
        assert len(struct.unpack("<1024f", base64.b64decode(text))) == 1024


def test_more_texts_than_one_request_takes() -> None:
    with serve("qwen") as sim, gate(sim, model="demo") as one:
        client = one.openai(**LOOSE)
        answer = client.embeddings.create(model="text-embedding-v4", input=[f"text {n}" for n in range(25)])
        assert [each.index for each in answer.data] == list(range(25))
        assert len(sim.requests) == 3
        alone = client.embeddings.create(model=MODEL, input="text 24")
        assert alone.data[0].embedding == answer.data[24].embedding != answer.data[0].embedding


def test_dashscopes_own_protocol_embeds_too() -> None:
    with serve("dashscope") as sim, gate(sim, model="demo") as one:
        answer = one.openai(**LOOSE).embeddings.create(model="dashscope/text-embedding-v4", input=["a", "b"])
        assert len(answer.data) == 2


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"input": "a"}, 400, "not_text"),
        ({"model": MODEL}, 400, "embedding_input"),
        ({"model": MODEL, "input": ""}, 400, "embedding_input"),
        ({"model": MODEL, "input": []}, 400, "embedding_input"),
        ({"model": MODEL, "input": ["a", ""]}, 400, "embedding_input"),
        ({"model": MODEL, "input": ["a", 7]}, 400, "embedding_input"),
        ({"model": MODEL, "input": ["a"] * 2049}, 400, "embedding_input"),
        ({"model": MODEL, "input": "a", "dimensions": 0}, 400, "number_range"),
        ({"model": MODEL, "input": "a", "dimensions": 65}, 400, "invalid_parameter_error"),
        ({"model": MODEL, "input": "a", "encoding_format": "hex"}, 400, "invalid_value"),
        ({"model": "demo", "input": "a"}, 404, "model_not_found"),
        ({"model": "kimi/nothing", "input": "a"}, 404, "key_missing"),
    ],
)
def test_what_cannot_be_embedded(body: Any, status: int, code: str) -> None:
    with serve("qwen") as sim, gate(sim, model="demo") as one:
        answer, raw, _ = one.post(body, "/v1/embeddings")
        assert (answer, json.loads(raw)["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    "inside",
    [
        {"input": ["a"] * 2048},
        {"input": [0, 2**31 - 1]},
        {"input": "a", "dimensions": 1},
        {"input": "a", "dimensions": 2**16},
    ],
)
def test_what_could_be_embedded_is_not_refused_for_its_size(inside: Any, nobody: Gate) -> None:
    assert nobody.post({"model": "nobody/knows", **inside}, "/v1/embeddings")[0] == 404


@pytest.mark.parametrize(
    "outside", [{"input": [2**31]}, {"input": [-1]}, {"input": "a", "dimensions": 2**16 + 1}]
)
def test_what_no_model_could_embed_is_refused(outside: Any, nobody: Gate) -> None:
    assert nobody.post({"model": "nobody/knows", **outside}, "/v1/embeddings")[0] == 400
