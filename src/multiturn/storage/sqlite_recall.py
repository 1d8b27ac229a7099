"""Which old messages fit a question? Those of a path, and of conversations that share its memory."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from ..conversations import Owner
from ..messages import Trait
from ..search.ranking import Posting, Talk, certainty, rank, sought
from ..search.terms import Query
from .records import Found
from .sqlite_conversations import find
from .sqlite_paths import pieces
from .sqlite_postings import Extract, read
from .sqlite_rows import LASTS, MESSAGE, SEGMENT, to_message, told
from .sqlite_terms import CHUNK
from .sqlite_words import FINDABLE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Finds", "Stretch", "as_found", "search", "searched"]

SHARED = 200
"""Conversations with the same memory that are searched: those used last."""
BEHIND = 2 * CHUNK
"""Messages a question may read that are not in the index; after one that read more they are put there."""


class Stretch(NamedTuple):
    """Messages of one segment, by the keys of the first and the last, and where they belong; ``shared``
    messages of the path asked about stand before the segment (``None``: it belongs to another path)."""

    first: int
    last: int
    conversation: str
    ulid: str
    branch: int
    shared: int | None = None


class Finds(NamedTuple):
    """What was found; and segments of which so much is not in the index yet that it should be put there."""

    found: Sequence[Found]
    behind: Sequence[int]


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
) -> Finds:
    """See `Store.recall`."""
    paths = searched(db, owner, name, branch, before, memory)
    stretches = [stretch for path in paths for stretch in path]
    wanted = sorted({*query.terms, *query.names})
    extract = read(db, [stretch[:2] for stretch in stretches], wanted)
    firsts = accumulate(map(len, paths), initial=0)
    openings = [extract.starts[number] for number in firsts if number < len(stretches)]
    found: list[Found] = []
    for place, score in _best(_scores(extract, openings, query)):
        if len(found) == limit:
            break
        stretch = stretches[bisect_right(extract.starts, place) - 1]
        found += as_found(db, stretch, int(extract.keys[place]), score)
    behind = extract.waiting if sum(extract.waiting.values()) > BEHIND else ()
    return Finds(found, tuple(behind))


def _best(scores: NDArray[np.float32]) -> Iterator[tuple[int, float]]:
    """Places and their scores, best first, of two equal ones the newer; none without any score."""
    given: set[int] = set()
    for size in (64, 4096, len(scores)):
        few = min(size, len(scores))
        top = scores.argpartition(len(scores) - few)[len(scores) - few :] if few else ()
        for score, place in sorted(((float(scores[each]), int(each)) for each in top), reverse=True):
            if score > 0 and place not in given:
                given.add(place)
                yield place, score


# ------------------------------------------------------------------------------------------ paths

ENDS = "SELECT a.before, z.before + z.messages FROM turns a JOIN turns z ON z.id = ? WHERE a.id = ?"
SHARING = f"""
SELECT c.name, c.ulid, c.segment FROM conversations c
WHERE c.tenant = ? AND c.user = ? AND c.memory = ? AND c.id <> ? AND {LASTS}
ORDER BY c.updated_at DESC LIMIT ?"""


def searched(
    db: sqlite3.Connection,
    owner: Owner,
    name: str,
    branch: int | None,
    before: int | None,
    memory: str | None,
) -> list[list[Stretch]]:
    """The paths among whose messages is searched, the one asked about first."""
    here = find(db, owner, name, branch)
    paths = [] if here is None else [list(_path(db, here.segment, name, here.ulid, before))]
    if memory is not None:
        user = owner.user if here is None else here.user
        paths += _sharing(db, (owner.tenant, user, memory, 0 if here is None else here.key))
    return paths


def _path(
    db: sqlite3.Connection, segment: int, name: str, ulid: str, before: int | None = None
) -> Iterator[Stretch]:
    for piece in pieces(db, segment):
        last = piece.last if before is None else min(piece.last, before - 1)
        if piece.first <= last:
            base = piece.segment * SEGMENT
            start, end = db.execute(ENDS, (base + last, base + piece.first)).fetchone()
            yield Stretch(base + start, base + end - 1, name, ulid, piece.branch, piece.shared)


def _sharing(db: sqlite3.Connection, whose: tuple[str, str | None, str, int]) -> Iterator[list[Stretch]]:
    """The paths in use of this user's other conversations with the same memory."""
    for name, ulid, segment in db.execute(SHARING, (*whose, SHARED)).fetchall():
        yield [stretch._replace(shared=None) for stretch in _path(db, segment, name, ulid)]


# --------------------------------------------------------------------------------------- messages

WITHDRAWN = Trait.RETRACTED | Trait.MODERATED
EXCLUDED = Trait.EXCLUDED
STANDS = f"""
SELECT {MESSAGE}, m.facts, t.created_at FROM messages m
    JOIN turns t ON t.id = (m.id & ~4294967295) + m.turn
WHERE m.id = ? AND (t.traits & {WITHDRAWN}) = 0 AND (m.traits & {EXCLUDED}) = 0
    AND (t.marks & {EXCLUDED}) = 0
    AND {FINDABLE}
    AND NOT EXISTS (SELECT 1 FROM messages u WHERE (t.traits & {EXCLUDED}) <> 0
        AND u.id >= (t.id & ~4294967295) + t.before AND u.id < (t.id & ~4294967295) + t.before + t.messages
        AND u.role = 0 AND (u.traits & {EXCLUDED}) <> 0)"""
"""A message that may be shown: not withdrawn, refused, failed or left out by hand, itself or with its
turn; a user message that is left out takes its turn with it."""


def _scores(extract: Extract, openings: Sequence[int], query: Query) -> NDArray[np.float32]:
    """How well each message fits."""
    talk = Talk(extract.lengths, extract.times, openings)
    postings = [
        _posting(extract, term, weight)._replace(tells=certainty(query, term))
        for term, weight in sought(query, talk).items()
        if term not in extract.common
    ]
    postings += [
        _posting(extract, term, 1.0, spreads=False) for term in query.names if term in extract.holders
    ]
    return rank(talk, postings, query)


def _posting(extract: Extract, term: int, weight: float, *, spreads: bool = True) -> Posting:
    import numpy as np

    parts = extract.holders.get(term) or [(np.zeros(0, np.int64), np.zeros(0, np.float32))]
    if len(parts) == 1:
        return Posting(weight, *parts[0], spreads)
    places = np.concatenate([part[0] for part in parts])
    return Posting(weight, places, np.concatenate([part[1] for part in parts]), spreads)


def as_found(db: sqlite3.Connection, stretch: Stretch, key: int, score: float) -> list[Found]:
    """The message with this key as it is found; nothing where it may not be shown."""
    row = db.execute(STANDS, (key,)).fetchone()
    if row is None:
        return []
    at = None if stretch.shared is None else stretch.shared + key % SEGMENT
    message = told(to_message(db, row), row[-2], row[-1], stretch.ulid, stretch.branch)
    return [Found(stretch.conversation, message, score, at)]
