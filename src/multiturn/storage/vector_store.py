"""The contract of what keeps the vectors of messages, in a store that offers it (``store.vectors``).

A store without it is a whole store: recall then goes by words. What waits for a vector is what the store
holds and has none: no queue has to survive anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple, Protocol

import orjson

from ..conversations import Owner
from ..search.terms import searchable
from .records import Found

__all__ = ["Backlog", "Kept", "VectorModel", "VectorStore", "Waiting", "digest_of", "words_of"]


class VectorModel(NamedTuple):
    """A model with vectors in the store: ``provider/model``, how many numbers each has, how many there
    are."""

    name: str
    dimension: int
    vectors: int


class Waiting(NamedTuple):
    """A message without a vector: its key in the store, its words and their digest."""

    key: int
    words: str
    digest: bytes


class Backlog(NamedTuple):
    """What a conversation lacks: messages that wait for a vector, oldest first, and the ``marks`` to set
    once they have theirs. ``passed`` counts the messages up to the marks, those without words included;
    none: everything is done."""

    waiting: Sequence[Waiting]
    marks: Sequence[tuple[int, int]]
    passed: int


class Kept(NamedTuple):
    """A vector of a message."""

    key: int
    digest: bytes
    vector: bytes


class VectorStore(Protocol):
    """Where vectors live. All methods may raise `multiturn.errors.StoreError`."""

    async def models(self) -> Sequence[VectorModel]:
        """All models with vectors, or with conversations that were begun to be embedded."""
        ...

    async def backlog(
        self, owner: Owner, conversation: str, model: str, dimension: int | None, limit: int
    ) -> Backlog:
        """The next messages of a conversation, on all its branches, that have no vector of this model;
        ``dimension`` is ``None`` where it has none yet. A turn that may still change does not count."""
        ...

    async def keep(
        self, model: str, dimension: int, vectors: Sequence[Kept], marks: Sequence[tuple[int, int]] = ()
    ) -> None:
        """Keep vectors and set marks, in one transaction. Messages that are gone keep nothing."""
        ...

    async def look_up(self, model: str, dimension: int, digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Vectors by the digest of their words, as far as they are there."""
        ...

    async def near(
        self,
        owner: Owner,
        conversation: str,
        model: str,
        vector: bytes,
        *,
        branch: int | None = None,
        before: int | None = None,
        memory: str | None = None,
        limit: int = 200,
    ) -> Sequence[Found]:
        """The messages most like ``vector``, best first, of those that `Store.recall` would search with the
        same arguments; their score is the cosine."""
        ...

    async def lagging(
        self, model: str, dimension: int | None, *, begun: bool, limit: int = 1000
    ) -> Sequence[tuple[Owner, str]]:
        """Conversations with messages that have no vector; with ``begun`` only those that have some. A
        ``limit`` of -1 gives all."""
        ...

    async def remaining(self, model: str, dimension: int | None) -> tuple[int, int]:
        """How many messages of the whole store have not been passed, and about how many tokens they have."""
        ...

    async def forget_others(self, model: str, dimension: int) -> int:
        """Remove the vectors of all other models and dimensions; how many there were."""
        ...


def digest_of(words: str) -> bytes:
    """What words are known by: equal words have equal vectors."""
    return blake2b(words.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def words_of(body: bytes) -> str:
    """The words of a message (JSON): what is embedded of it; empty where it has none.

    >>> words_of(b'{"role": "user", "content": [{"type": "text", "text": " hello "}]}')
    'hello'
    """
    try:
        content = orjson.loads(body)["content"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""
    return searchable(content).strip()
