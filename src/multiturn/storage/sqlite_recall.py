"""Which old messages fit a question? Those of a path, and of conversations that share its memory."""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from ..messages import Trait
from ..search.postings import Postings
from ..search.ranking import Talk, certainties, ranked, sought
from ..search.terms import Query
from .records import Found, Scope
from .sqlite_conversations import find
from .sqlite_pieces import pieces
from .sqlite_postings import Extract, read
from .sqlite_rows import LASTS, MESSAGE, SEGMENT, to_message, told
from .sqlite_shelf import Shelf
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
    db: sqlite3.Connection, shelf: Shelf, scope: Scope, query: Query, limit: int, least: float
) -> Finds:
    """See `Store.recall`."""
    paths = searched(db, scope)
    stretches = [stretch for path in paths for stretch in path]
    wanted = sorted({*query.terms, *query.names})
    extract = read(db, [stretch[:2] for stretch in stretches], wanted, shelf)
    firsts = accumulate(map(len, paths), initial=0)
    openings = [extract.starts[number] for number in firsts if number < len(stretches)]
    found: list[Found] = []
    for some in _lots(_scores(extract, openings, wanted, query), limit, least):
        keys = extract.keys[[place for place, _ in some]].tolist()
        belongs = [stretches[bisect_right(extract.starts, place) - 1] for place, _ in some]
        scores = [score for _, score in some]
        found += as_found(db, list(zip(belongs, keys, scores, strict=True)))
        if len(found) >= limit or (found and found[0].score < least):
            break
    behind = extract.waiting if sum(extract.waiting.values()) > BEHIND else ()
    return Finds(found[:limit], tuple(behind))


def _lots(scores: NDArray[np.float32], limit: int, least: float) -> Iterator[Sequence[tuple[int, float]]]:
    """Places and their scores, best first: ``limit`` at one time where one has at least the score ``least``,
    else those that have the same."""
    best = _best(scores)
    top = float(scores.max()) if len(scores) else 0.0
    if top >= least:
        while some := list(islice(best, limit)):
            yield some
    elif top > 0:
        yield [(place, top) for place in (scores == top).nonzero()[0][: -limit - 1 : -1].tolist()]
        for score, equals in groupby(best, key=itemgetter(1)):
            if score < top:
                yield list(islice(equals, limit))


def _best(scores: NDArray[np.float32]) -> Iterator[tuple[int, float]]:
    """Places and their scores, best first, of two equal ones the newer; none without any score."""
    import numpy as np

    given: set[int] = set()
    for size in (64, 4096, len(scores)):
        few = min(size, len(scores))
        top = scores.argpartition(len(scores) - few)[len(scores) - few :] if few else np.zeros(0, np.int64)
        order = np.lexsort((top, scores[top]))[::-1]
        for place, score in zip(top[order].tolist(), scores[top[order]].tolist(), strict=True):
            if score > 0 and place not in given:
                given.add(place)
                yield place, score


# ------------------------------------------------------------------------------------------ paths

ENDS = "SELECT a.before, z.before + z.messages FROM turns a JOIN turns z ON z.id = ? WHERE a.id = ?"
SHARING = f"""
SELECT c.name, c.ulid, c.segment FROM conversations c
WHERE c.tenant = ? AND c.user = ? AND c.memory = ? AND c.id <> ? AND {LASTS}
ORDER BY c.updated_at DESC LIMIT ?"""


def searched(db: sqlite3.Connection, scope: Scope) -> list[list[Stretch]]:
    """The paths among whose messages is searched, the one asked about first."""
    owner, name, branch, before, memory = scope
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
STAND = f"""
SELECT {MESSAGE}, m.facts, t.created_at, j.key FROM json_each(?) j CROSS JOIN messages m ON m.id = j.value
    CROSS JOIN turns t ON t.id = (m.id & ~4294967295) + m.turn
WHERE (t.traits & {WITHDRAWN}) = 0 AND (m.traits & {EXCLUDED}) = 0
    AND (t.marks & {EXCLUDED}) = 0
    AND {FINDABLE}
    AND NOT EXISTS (SELECT 1 FROM messages u WHERE (t.traits & {EXCLUDED}) <> 0
        AND u.id >= (t.id & ~4294967295) + t.before AND u.id < (t.id & ~4294967295) + t.before + t.messages
        AND u.role = 0 AND (u.traits & {EXCLUDED}) <> 0)"""
"""Messages that may be shown: not withdrawn, refused, failed or left out by hand, itself or with its
turn; a user message that is left out takes its turn with it."""


def _scores(
    extract: Extract, openings: Sequence[int], wanted: Sequence[int], query: Query
) -> NDArray[np.float32]:
    """How well each message fits. Words of a date that is known by its day, and what is too common, count for
    nothing."""
    import numpy as np

    talk = Talk(extract.lengths, extract.times, openings)
    weights = sought(query, talk)
    told = [weights.get(term, 0.0) if term not in extract.common else 0.0 for term in wanted]
    spreads = np.array([term not in query.names for term in wanted], bool)
    which, places, counts = extract.holders
    counted = np.array(told) > 0 if len(weights) else np.zeros(len(wanted), bool)
    counted |= ~spreads
    if not counted.all():
        inside = counted[which]
        which, places, counts = which[inside], places[inside], counts[inside]
    return ranked(
        talk,
        Postings(
            np.where(spreads, told, 1.0),
            spreads,
            np.array(certainties(query, wanted), np.float64),
            which,
            places,
            counts.astype(np.float32),
        ),
        query,
    )


def as_found(db: sqlite3.Connection, places: Sequence[tuple[Stretch, int, float]]) -> list[Found]:
    """The messages with these keys and scores as they are found, without those that may not be shown."""
    found: list[Found] = []
    for *row, place in db.execute(STAND, (json.dumps([key for _, key, _ in places]),)):
        stretch, key, score = places[place]
        at = None if stretch.shared is None else stretch.shared + key % SEGMENT
        message = told(to_message(db, row), row[-2], row[-1], stretch.ulid, stretch.branch)
        found.append(Found(stretch.conversation, message, score, at))
    return found
