"""Which old messages mean what the question means? Vectors of messages, made after the turn, rerank what the
words found.

Nothing here may fail a turn: an endpoint that is slow, gone or changed leaves the ranking by words, and
a note. What lacks a vector is what the store holds without one, so a crash loses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .conversations import Owner, Step
from .errors import EmbeddingChanged, Error, ProviderTimeout
from .phrases import Reason
from .search.vectors import dimension_of, likenesses
from .storage import Found, Scope, Store
from .storage.vector_store import Kept, VectorStore, Waiting, digest_of, words_of
from .usage import Cost, Usage

if TYPE_CHECKING:
    from .providers.embeddings import Embedded, Embeddings

__all__ = ["EMBEDDING", "RERANKED", "Advance", "Embedder", "fused"]

EMBEDDING = "embedding"
"""How a call for vectors ends, among those that belong to no turn (`Store.record`)."""
RERANKED = 200
"""So many of what the words found are reranked."""
WEIGHT = 0.5
"""Of the vectors; the words have the rest."""
PATIENCE = 1.5
"""Seconds a question may wait for its vector."""
SLIGHT = 0.01
"""The best score where no word fits: below every margin."""
REST = 30.0
"""Seconds in which an endpoint that failed is not asked again for a question."""
REMEMBERED = 256
"""Vectors of questions that are remembered: what is asked is embedded as a message afterwards."""
PORTION = 64
"""Messages that are caught up at one time."""


Place = tuple[Owner, str]
"""A conversation."""


@dataclass(slots=True)
class Embedder:
    """Recall by meaning, with one embedding model. ``everything`` goes through all vectors of a
    conversation instead of only the first 200 that the words found."""

    embeddings: Embeddings
    store: Store
    vectors: VectorStore
    everything: bool = False
    patience: float = PATIENCE
    problem: Error | None = None
    """What went wrong last, ``None`` once it went well again."""
    _known: OrderedDict[bytes, bytes] = field(default_factory=OrderedDict)
    _spent: dict[Place, Spent] = field(default_factory=dict)
    _resting: float = 0.0
    _woken: bool = False
    _busy: set[Place] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The model, as ``provider/model``."""
        return self.embeddings.name

    # -- a question

    async def vector(self, text: str, scope: Scope | None = None) -> bytes | None:
        """The vector of a question; ``None`` where it cannot be had in time. What it costs is counted for the
        conversation of ``scope``, with what is caught up next."""
        words = text.strip()
        digest = digest_of(words)
        if digest in self._known:
            self._known.move_to_end(digest)
            return self._known[digest]
        now = asyncio.get_running_loop().time
        if not words or now() < self._resting:
            return None
        try:
            async with asyncio.timeout(self.patience):
                answer = await self.embeddings.embed([words])
        except Error as problem:
            self._rest(problem)
            return None
        except TimeoutError:
            why = Reason("why.no_answer", seconds=self.patience)
            self._rest(ProviderTimeout(why, provider=self.embeddings.card.provider))
            return None
        self._remember(digest, answer.vectors[0])
        if scope is not None:
            self._count((scope.owner, scope.conversation), answer)
        return answer.vectors[0]

    async def rerank(
        self,
        found: Sequence[Found],
        query: str,
        scope: Scope | None = None,
        notes: list[str] | None = None,
    ) -> list[Found]:
        """What the words found, best first, in the order of words and meaning together. The best score stays
        what it was, so a margin means what it meant. Where there is no vector for the question, the order
        is that of the words, and ``notes`` gets the code of why."""
        notes = [] if notes is None else notes
        if not found and not (self.everything and scope):
            return []
        wanted = await self.vector(query, scope)
        if wanted is None:
            notes.append("embedding_failed")
            return list(found)
        try:
            return await self._reranked(found, wanted, scope)
        except EmbeddingChanged as problem:
            self.problem = problem
            notes.append("embedding_changed")
        except Error as problem:
            self.problem = problem
            notes.append("embedding_failed")
        return list(found)

    async def _reranked(self, found: Sequence[Found], wanted: bytes, scope: Scope | None) -> list[Found]:
        await self._check(dimension_of(wanted))
        candidates = list(found[:RERANKED])
        if self.everything and scope is not None:
            near = await self.vectors.near(
                scope.owner,
                scope.conversation,
                self.name,
                wanted,
                branch=scope.branch,
                before=scope.before,
                memory=scope.memory,
                limit=RERANKED,
            )
            there = {each.told.id for each in found}
            candidates += [replace(each, score=0.0) for each in near if each.told.id not in there]
        digests = [digest_of(words_of(each.told.row.body)) for each in candidates]
        kept = await self.vectors.look_up(self.name, dimension_of(wanted), list(dict.fromkeys(digests)))
        likeness = dict(zip(kept, likenesses(wanted, list(kept.values())), strict=True))
        cosines = [likeness.get(digest) for digest in digests]
        return [*fused(candidates, cosines), *found[RERANKED:]]

    async def _check(self, dimension: int) -> int | None:
        """The dimension of the vectors that are kept, ``None`` where there are none; raises
        `EmbeddingChanged` for any other."""
        stored = [each.dimension for each in await self.vectors.models() if each.name == self.name]
        if stored and dimension not in stored:
            raise EmbeddingChanged(model=self.name, found=dimension, stored=stored[-1])
        return dimension if stored else None

    def _rest(self, problem: Error) -> None:
        """Something failed: leave the endpoint alone for a while."""
        self.problem = problem
        self._resting = asyncio.get_running_loop().time() + REST

    def _remember(self, digest: bytes, vector: bytes) -> None:
        self._known[digest] = vector
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        self._resting, self.problem = 0.0, None

    # -- afterwards

    async def catch_up(self, owner: Owner, conversation: str, limit: int = PORTION) -> int:
        """Embed messages of a conversation that have no vector yet, at most ``limit``; how many got one. Once
        in the life of a program other conversations follow that an earlier one left behind. Never fails:
        what could not be done stays to be done (`problem` says why)."""
        done = 0
        places = [(owner, conversation)]
        with contextlib.suppress(Error):
            if not self._woken:
                self._woken = True
                dimension = await self._stored_dimension()
                places += await self.vectors.lagging(self.name, dimension, begun=True, limit=limit)
            for place in dict.fromkeys(places):
                if done < limit and self._may_go_on(place):
                    done += await self._caught_up(place, limit - done)
        return done

    def _may_go_on(self, place: Place) -> bool:
        """Whether asking makes sense: not while the endpoint rests, gives vectors that cannot be kept, or is
        being asked for the same conversation already."""
        resting = asyncio.get_running_loop().time() < self._resting
        return not (resting or isinstance(self.problem, EmbeddingChanged) or place in self._busy)

    async def _caught_up(self, place: Place, limit: int) -> int:
        self._busy.add(place)
        try:
            return (await self.advance(*place, limit=limit)).embedded
        except Error as problem:
            self._rest(problem)
            raise
        finally:
            self._busy.discard(place)

    async def advance(
        self,
        owner: Owner,
        conversation: str,
        *,
        limit: int = PORTION,
        dimension: int | None = None,
    ) -> Advance:
        """Embed the next messages of a conversation; raises what went wrong, and what was embedded before
        that is kept. ``dimension`` is that of the vectors to add to (``None``: of those that are there)."""
        place = (owner, conversation)
        dimension = dimension or await self._stored_dimension()
        backlog = await self.vectors.backlog(*place, self.name, dimension, limit)
        try:
            made, dimension = await self._embed_all(place, backlog.waiting, dimension)
            if backlog.marks and dimension is not None:
                await self.vectors.keep(self.name, dimension, (), backlog.marks)
        finally:
            await self._record(place)
        self.problem = None
        return Advance(backlog.passed if dimension is not None else 0, made)

    async def dimension(self) -> int:
        """How many numbers the model's vectors have now: it is asked. Raises what went wrong."""
        return dimension_of((await self.embeddings.embed(["."])).vectors[0])

    async def _stored_dimension(self) -> int | None:
        """The dimension in use: the newest where several are kept, which a re-embedding is making."""
        stored = [each.dimension for each in await self.vectors.models() if each.name == self.name]
        return stored[-1] if stored else None

    async def _embed_all(
        self, place: Place, waiting: Sequence[Waiting], dimension: int | None
    ) -> tuple[int, int | None]:
        """Give each message its vector: one that is known, or a new one. How many, and their dimension."""
        made = 0
        known = await self._already(waiting, dimension)
        ready = [Kept(each.key, each.digest, known[each.digest]) for each in waiting if each.digest in known]
        if ready:
            dimension = dimension_of(ready[0].vector) if dimension is None else dimension
            await self.vectors.keep(self.name, dimension, ready)
            made += len(ready)
        missing: dict[bytes, list[Waiting]] = {}
        for each in waiting:
            if each.digest not in known:
                missing.setdefault(each.digest, []).append(each)
        groups = list(missing.values())
        for batch in list(self.embeddings.batches([group[0].words for group in groups])):
            some = [groups[number] for number in batch]
            answer = await self.embeddings.embed([group[0].words for group in some])
            self._count(place, answer)
            found = dimension_of(answer.vectors[0])
            if dimension is not None and found != dimension:
                raise EmbeddingChanged(model=self.name, found=found, stored=dimension)
            dimension = found
            pairs = zip(some, answer.vectors, strict=True)
            kept = [Kept(each.key, each.digest, vector) for group, vector in pairs for each in group]
            await self.vectors.keep(self.name, dimension, kept)
            made += len(kept)
        return made, dimension

    async def _already(self, waiting: Sequence[Waiting], dimension: int | None) -> Mapping[bytes, bytes]:
        """Vectors of these words that need not be made: of other messages, or of a question."""
        digests = list(dict.fromkeys(each.digest for each in waiting))
        asked = {digest: self._known[digest] for digest in digests if digest in self._known}
        if dimension is None:
            return asked if len({len(vector) for vector in asked.values()}) <= 1 else {}
        fitting = {digest: each for digest, each in asked.items() if dimension_of(each) == dimension}
        return {**fitting, **await self.vectors.look_up(self.name, dimension, digests)}

    # -- what it costs

    def _count(self, place: Place, answer: Embedded) -> None:
        before = self._spent.get(place)
        spent = Spent(answer.usage, answer.cost)
        self._spent[place] = spent if before is None else before.plus(spent)
        while len(self._spent) > REMEMBERED:  # a question in a conversation that was never caught up
            del self._spent[next(iter(self._spent))]

    async def _record(self, place: Place) -> None:
        """Count what was used for the conversation; one that is gone meanwhile keeps no account."""
        spent = self._spent.pop(place, None)
        if spent is not None:
            step = Step(self.name, b"", spent.usage, spent.cost, finish_reason=EMBEDDING)
            with contextlib.suppress(Error):
                await self.store.record(*place, step)

    async def close(self) -> None:
        """Count what was not yet counted, and close connections. The store is still open."""
        for place in list(self._spent):
            await self._record(place)
        await self.embeddings.close()


@dataclass(frozen=True, slots=True)
class Advance:
    """What was done of a conversation: messages ``passed`` (those without words, too), vectors kept."""

    passed: int
    embedded: int


@dataclass(frozen=True, slots=True)
class Spent:
    """Used so far. The cost is unknown as soon as one part of it is."""

    usage: Usage
    cost: Cost | None

    def plus(self, other: Spent) -> Spent:
        """Both together."""
        cost = other.cost
        if cost is not None:
            cost = None if self.cost is None else replace(cost, amount=cost.amount + self.cost.amount)
        return Spent(self.usage + other.usage, cost)


def fused(found: Sequence[Found], cosines: Sequence[float | None], weight: float = WEIGHT) -> list[Found]:
    """Words and meaning together: scores by words as a share of their best, cosines between their least and
    their greatest. A message without a vector keeps its words' share for both. The best score of all is
    the words' best one; where the words found nothing, meaning alone gives next to none."""
    best = max((each.score for each in found), default=0.0)
    known = [cosine for cosine in cosines if cosine is not None]
    if not known:
        return list(found)
    least, most = min(known), max(known)
    shares = []
    for each, cosine in zip(found, cosines, strict=True):
        words = each.score / best if best else 0.0
        meaning = words if cosine is None or most == least else (cosine - least) / (most - least)
        shares.append((1 - weight) * words + weight * meaning)
    top = max(shares, default=0.0) or 1.0
    reach = best or SLIGHT
    order = sorted(range(len(found)), key=lambda place: (-shares[place], place))
    return [replace(found[place], score=reach * shares[place] / top) for place in order]
