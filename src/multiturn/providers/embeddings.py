"""Which vector does a text have? Any endpoint that embeds texts, asked in batches as large as it takes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..catalog import EmbeddingCard
from ..errors import ProviderOverflow, RequestRefused
from ..search.vectors import packed
from ..tokens import count_text
from ..usage import Cost, Usage
from .access import Access
from .inquiry import Inquiry

__all__ = ["Embedded", "Embeddings"]

TOO_MANY = re.compile(
    r"(?:not be larger than|at most|maximum(?: of)?|max(?:imum)? (?:batch )?size)\D{0,20}(\d+)",
    re.IGNORECASE,
)
"""How an endpoint says how many texts it takes."""
BATCH = re.compile(r"batch|too many|input.*(?:array|length|size)", re.IGNORECASE)
MARGIN = 1.15
"""A text is cut with this margin, for its tokens are an estimate."""
WIDEST = 4.0
"""No vocabulary makes more tokens than this of what we count as one."""
NATIVE = "services/embeddings/text-embedding/text-embedding"


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors as they are kept (`search.vectors`), in the order of the texts, and what they cost."""

    vectors: Sequence[bytes]
    usage: Usage
    cost: Cost | None = None


@dataclass(slots=True)
class Embeddings:
    """An embedding model at its provider.

    ``batch`` is how many texts one request takes, ``margin`` how far their estimated tokens may be off; where
    the provider turns out to take less, the first shrinks and the second grows.
    """

    card: EmbeddingCard
    access: Access
    batch: int = field(init=False)
    margin: float = field(default=MARGIN, init=False)
    _inquiry: Inquiry = field(init=False)

    def __post_init__(self) -> None:
        self.batch = max(1, self.card.batch)
        self._inquiry = Inquiry(self.access)

    @property
    def name(self) -> str:
        """``provider/model``."""
        return self.card.name

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """The vectors of one batch of texts, none of them empty; one that is too long is embedded by its
        beginning. Raises a `ProviderError`."""
        vectors: list[bytes] = []
        usage = Usage()
        left = list(texts)
        alone = False
        while left:
            taken = [self._cut(text) for text in left[: 1 if alone else self.batch]]
            try:
                answer = await self._inquiry.ask(self._url, self._question(taken))
            except RequestRefused as refused:
                if not self._shrink(refused, len(taken)):
                    raise
                continue
            except ProviderOverflow:
                if alone and len(taken[0]) == 1:
                    raise
                left[0] = self._shorten(taken[0]) if alone else left[0]
                alone = True
                continue
            vectors += self._read(answer, len(taken))
            usage = usage + _spent(answer, taken)
            left = left[len(taken) :]
        return Embedded(vectors, usage, self.card.price.cost(usage) if self.card.price else None)

    async def rows(
        self, given: Sequence[str | Sequence[int]], size: int | None = None
    ) -> tuple[list[list[float]], Usage]:
        """The vectors of texts, or of their tokens, as the provider gives them, ``size`` numbers each where
        that is said: nothing is cut, nothing kept. Raises a `ProviderError`."""
        found: list[list[float]] = []
        usage, left = Usage(), list(given)
        while left:
            taken = left[: self.batch]
            try:
                answer = await self._inquiry.ask(self._url, self._question(taken, size))
            except RequestRefused as refused:
                if not self._shrink(refused, len(taken)):
                    raise
                continue
            found += self._floats(answer, len(taken))
            usage, left = usage + _spent(answer, taken), left[len(taken) :]
        return found, usage

    def batches(self, texts: Sequence[str]) -> Iterator[range]:
        """Places of texts that may go into one request together."""
        most = self.card.max_batch_tokens or math.inf
        first, tokens = 0, 0.0
        for place, text in enumerate(texts):
            cost = min(count_text(text) * MARGIN, self.card.max_tokens or math.inf)
            if place > first and (place - first >= self.batch or tokens + cost > most):
                yield range(first, place)
                first, tokens = place, 0.0
            tokens += cost
        if texts:
            yield range(first, len(texts))

    async def close(self) -> None:
        """Close connections."""
        await self._inquiry.close()

    # -- asking

    @property
    def _native(self) -> bool:
        return self.access.profile.protocol == "dashscope"

    @property
    def _url(self) -> str:
        return f"{self.access.address}/{NATIVE if self._native else 'embeddings'}"

    def _question(self, texts: Sequence[str | Sequence[int]], size: int | None = None) -> dict[str, Any]:
        if size is None and self.card.dimensions:
            size = self.card.dimension
        if self._native:
            parameters = {} if size is None else {"dimension": size}
            return {"model": self.card.model, "input": {"texts": texts}, "parameters": parameters}
        wanted = {} if size is None else {"dimensions": size}
        return {"model": self.card.model, "input": texts, "encoding_format": "float", **wanted}

    def _cut(self, text: str) -> str:
        """The beginning of a text that the model can read."""
        most = self.card.max_tokens
        while most is not None and (tokens := count_text(text) * self.margin) > most and len(text) > 1:
            text = text[: max(1, min(len(text) - 1, int(len(text) * most / tokens)))]
        return text

    def _shorten(self, text: str) -> str:
        """A text that was too long by itself: half of it, and longer ones are cut further from now on."""
        self.margin = min(self.margin * 1.5, WIDEST)
        return text[: len(text) // 2]

    def _shrink(self, refused: RequestRefused, sent: int) -> bool:
        """Whether fewer texts at once may be taken."""
        text = str(refused.figures["detail"])
        if sent == 1 or not BATCH.search(text):
            return False
        named = TOO_MANY.search(text)
        limit = int(named[1]) if named else sent // 2
        self.batch = max(1, min(limit, sent - 1))
        return True

    # -- reading

    def _read(self, answer: Mapping[str, Any], wanted: int) -> list[bytes]:
        try:
            return [packed(values) for values in self._floats(answer, wanted)]
        except (ValueError, OverflowError) as problem:
            raise self._inquiry.faults.unreadable("embedding_values", problem=problem) from problem

    def _floats(self, answer: Mapping[str, Any], wanted: int) -> list[list[float]]:
        rows = _rows(answer, native=self._native)
        try:
            vectors = [_floats(row["embedding"]) for row in rows]
        except (KeyError, TypeError, ValueError, OverflowError) as problem:
            raise self._inquiry.faults.unreadable("embedding_values", problem=problem) from problem
        if len(vectors) != wanted or len({len(vector) for vector in vectors}) > 1:
            raise self._inquiry.faults.unreadable("embedding_number", wanted=wanted, found=len(vectors))
        return vectors


def _spent(answer: Mapping[str, Any], texts: Sequence[str | Sequence[int]]) -> Usage:
    """What the provider reported; else an estimate, marked as one."""
    reported = answer.get("usage")
    tokens = reported.get("total_tokens") if isinstance(reported, Mapping) else None
    if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0:
        return Usage(tokens)
    counted = [count_text(text) if isinstance(text, str) else len(text) for text in texts]
    return Usage(sum(counted), estimated=True)


def _rows(answer: Mapping[str, Any], *, native: bool) -> list[Mapping[str, Any]]:
    """What an answer holds, in the order of the texts."""
    output = answer.get("output") if native else answer
    found = output.get("embeddings" if native else "data") if isinstance(output, Mapping) else None
    rows = [row for row in found if isinstance(row, Mapping)] if isinstance(found, list) else []
    place = "text_index" if native else "index"
    if all(isinstance(row.get(place), int) for row in rows):
        rows.sort(key=lambda row: int(row[place]))
    return rows


def _floats(values: object) -> list[float]:
    if not isinstance(values, list) or not values:
        raise TypeError("no list of numbers")
    return [float(value) for value in values]
