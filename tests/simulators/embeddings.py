"""What does a simulator embed? Texts by the beginnings of their words and characters, always the same.

A vector counts the runs of one to three characters of a text, each at a place its hash gives: texts that
share words are alike, and nobody had to be trained.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from aiohttp import web

from . import counting
from .problems import Problem, Refusal
from .script import Received
from .server import Handler, Simulator


@dataclass(frozen=True)
class Embedding:
    """What a simulator knows of an embedding model. ``gives`` is a dimension it changes to, whatever was
    asked for; ``stall`` seconds pass before each answer; ``usage`` says whether it is reported."""

    dimension: int = 1024
    dimensions: tuple[int, ...] = ()
    batch: int = 10
    max_tokens: int = 8_192
    gives: int = 0
    stall: float = 0
    usage: bool = True


def embedded(text: str, dimension: int) -> list[float]:
    """The vector of a text.

    >>> sum(embedded("好", 8))
    1.0
    """
    vector = [0.0] * dimension
    for gram in grams(text.lower()):
        vector[zlib.crc32(gram.encode("utf-8", "replace")) % dimension] += 1.0
    return vector


def grams(text: str) -> Iterator[str]:
    """Its runs of one to three characters, blanks apart."""
    letters = "".join(text.split()) or " "
    for length in (1, 2, 3):
        yield from (letters[at : at + length] for at in range(len(letters) - length + 1))


class Embeds(Simulator):
    """A simulator with an endpoint that embeds texts."""

    embeddings: ClassVar[Mapping[str, Embedding]] = {}

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.embedding_models = dict(self.embeddings)
        self.texts: list[str] = []
        """Every text that was embedded."""

    def routes(self) -> Mapping[str, Handler]:
        """With the endpoint."""
        return {**super().routes(), "/embeddings": self._embed}

    def embeds(self, name: str, **changes: Any) -> None:
        """Change what is known of an embedding model while the simulator runs."""
        self.embedding_models[name] = replace(self.embedding_models[name], **changes)

    async def _embed(self, request: web.Request, received: Received) -> web.StreamResponse:
        body = self.read(received)
        model, texts = self.embedding_asked(body.get("model"), body.get("input"), body.get("dimensions"))
        await asyncio.sleep(model.stall)
        dimension = model.gives or body.get("dimensions") or model.dimension
        rows = [
            {"object": "embedding", "index": place, "embedding": embedded(text, dimension)}
            for place, text in enumerate(texts)
        ]
        tokens = sum(map(counting.count, texts))
        self.texts += texts
        answer: dict[str, Any] = {"object": "list", "model": body["model"], "data": rows[::-1]}
        if model.usage:
            answer["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
        return web.json_response(answer, headers=self.headers(received))

    def embedding_asked(self, name: object, given: object, size: object) -> tuple[Embedding, Sequence[str]]:
        """The model and the texts that are asked about; what a real provider refuses is refused."""
        if not isinstance(name, str) or name not in self.embedding_models:
            raise self.refuse("model", model=name)
        model = self.embedding_models[name]
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not texts or not all(isinstance(t, str) and t for t in texts):
            raise self.refusal("input.contents is empty or not a text")
        if len(texts) > model.batch:
            raise self.refusal(
                f"batch size is invalid, it should not be larger than {model.batch}.: input.contents"
            )
        if size is not None and size not in model.dimensions:
            raise self.refusal(
                f"Value error, dimension: {json.dumps(size)} is not in {list(model.dimensions)}"
            )
        if any(counting.count(text) > model.max_tokens for text in texts):
            raise self.refusal(f"Range of input length should be [1, {model.max_tokens}]")
        return model, texts

    def refusal(self, words: str) -> Exception:
        """A refusal of the input, with the code of any wrong parameter."""
        known = self.problems.get("bad_request") or Problem(400, "")
        return Refusal(known._replace(message=words))
