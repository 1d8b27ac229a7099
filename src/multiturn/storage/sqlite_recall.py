"""Which old messages fit a question? Those of a path, and of conversations that share its memory."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..conversations import Owner, TurnState
from ..messages import Trait
from ..ranking import Posting, Talk, rank
from ..terms import Query
from .sqlite_conversations import find
from .sqlite_paths import pieces
from .sqlite_postings import read
from .sqlite_rows import MESSAGE, SEGMENT, to_message, told
from .store import Found

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["search"]

SHARED = 200
"""Conversations with the same memory that are searched: those used last."""


class _Stretch(NamedTuple):
    """Messages of one segment, by the keys of the first and the last, and where they belong."""

    first: int
    last: int
    conversation: str
    ulid: str
    branch: int


def search(
    db: sqlite3.Connection,
    owner: Owner,
    name: str,
    query: Query,
    *,
    branch: int | None = None,
    before: int | None = None,
    memory: str | None = None,
    limit: int = 10,
) -> Sequence[Found]:
    """See `Store.recall`."""
    here = find(db, owner, name, branch)
    paths = [] if here is None else [list(_path(db, here.segment, name, here.ulid, before))]
    if memory is not None:
        user = owner.user if here is None else here.user
        paths += _sharing(db, (owner.tenant, user, memory, 0 if here is None else here.key))
    ground = _Ground(db, query, [path for path in paths if path])
    found: list[Found] = []
    for place, score in _best(ground.scores()):
        if len(found) == limit:
            break
        found += ground.message(db, place, score)
    return found


def _best(scores: NDArray[np.float32]) -> Iterator[tuple[int, float]]:
    """Places and their scores, best first, of two equal ones the newer; none without any score."""
    size = 64
    done = 0
    while done < len(scores):
        few = min(done + size, len(scores))
        top = scores.argpartition(len(scores) - few)[len(scores) - few :]
        ordered = sorted(((float(scores[place]), int(place)) for place in top), reverse=True)
        for score, place in ordered[done:]:
            if score <= 0:
                return
            yield place, score
        done, size = few, size * 8


# ------------------------------------------------------------------------------------------ paths

ENDS = "SELECT a.before, z.before + z.messages FROM turns a JOIN turns z ON z.id = ? WHERE a.id = ?"
SHARING = """
SELECT name, ulid, segment FROM conversations
WHERE tenant = ? AND user = ? AND memory = ? AND id <> ? ORDER BY updated_at DESC LIMIT ?"""


def _path(
    db: sqlite3.Connection, segment: int, name: str, ulid: str, before: int | None = None
) -> Iterator[_Stretch]:
    for piece in pieces(db, segment):
        last = piece.last if before is None else min(piece.last, before - 1)
        if piece.first <= last:
            base = piece.segment * SEGMENT
            start, end = db.execute(ENDS, (base + last, base + piece.first)).fetchone()
            yield _Stretch(base + start, base + end - 1, name, ulid, piece.branch)


def _sharing(db: sqlite3.Connection, whose: tuple[str, str | None, str, int]) -> Iterator[list[_Stretch]]:
    """The paths in use of this user's other conversations with the same memory."""
    for name, ulid, segment in db.execute(SHARING, (*whose, SHARED)).fetchall():
        yield list(_path(db, segment, name, ulid))


# --------------------------------------------------------------------------------------- messages

WITHDRAWN = Trait.RETRACTED | Trait.MODERATED
EXCLUDED = Trait.EXCLUDED
STOPPED = Trait.STOPPED
STANDS = f"""
SELECT {MESSAGE}, m.facts, t.created_at FROM messages m
    JOIN turns t ON t.id = (m.id & ~4294967295) + m.turn
WHERE m.id = ? AND (t.traits & {WITHDRAWN}) = 0 AND (m.traits & {EXCLUDED}) = 0
    AND (t.marks & {EXCLUDED}) = 0
    AND (t.state = {int(TurnState.COMPLETED)}
        OR t.state = {int(TurnState.INCOMPLETE)} AND (t.traits & {STOPPED}) <> 0)
    AND NOT EXISTS (SELECT 1 FROM messages u WHERE (t.traits & {EXCLUDED}) <> 0
        AND u.id >= (t.id & ~4294967295) + t.before AND u.id < (t.id & ~4294967295) + t.before + t.messages
        AND u.role = 0 AND (u.traits & {EXCLUDED}) <> 0)"""
"""A message that may be shown: not withdrawn, refused, failed or left out by hand, itself or with its
turn; a user message that is left out takes its turn with it."""


class _Ground:
    """All messages among which is searched, path after path."""

    def __init__(self, db: sqlite3.Connection, query: Query, paths: Sequence[Sequence[_Stretch]]) -> None:
        self.query = query
        wanted = sorted({*query.terms, *query.names})
        self.stretches = [stretch for path in paths for stretch in path]
        self.extracts = [read(db, stretch.first, stretch.last, wanted) for stretch in self.stretches]
        self.starts = [0]
        for extract in self.extracts:
            self.starts.append(self.starts[-1] + len(extract.keys))
        firsts = [sum(map(len, paths[:number])) for number in range(len(paths))]
        self.openings = [self.starts[first] for first in firsts if self.starts[first] < self.starts[-1]]

    def scores(self) -> NDArray[np.float32]:
        """How well each message fits."""
        import numpy as np

        if not self.extracts:
            return np.zeros(0, np.float32)
        lengths = np.concatenate([extract.lengths for extract in self.extracts])
        times = np.concatenate([extract.times for extract in self.extracts])
        postings = [self._posting(term, weight) for term, weight in self.query.terms.items()]
        postings += [self._posting(term, 1.0, spreads=False) for term in self.query.names]
        return rank(Talk(lengths, times, self.openings), postings, self.query)

    def _posting(self, term: int, weight: float, *, spreads: bool = True) -> Posting:
        import numpy as np

        nothing = np.zeros(0, np.int64)
        places, counts = [nothing], [nothing]
        for start, extract in zip(self.starts, self.extracts, strict=False):
            if term in extract.holders:
                held, often = extract.holders[term]
                places.append(held + start)
                counts.append(often)
        return Posting(weight, np.concatenate(places), np.concatenate(counts).astype(np.float32), spreads)

    def message(self, db: sqlite3.Connection, place: int, score: float) -> list[Found]:
        """The message at this place, or nothing where it may not be shown."""
        number = bisect_right(self.starts, place) - 1
        stretch, extract = self.stretches[number], self.extracts[number]
        key = int(extract.keys[place - self.starts[number]])
        row = db.execute(STANDS, (key,)).fetchone()
        if row is None:
            return []
        shown = told(to_message(db, row), row[-2], row[-1], stretch.ulid, stretch.branch)
        return [Found(stretch.conversation, shown, score)]
