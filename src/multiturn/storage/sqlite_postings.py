"""What does the index of recall say of some stretches of messages? How long each is and when it was said,
and which of them have the wanted terms."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..search.ranking import passed_over, telling
from ..search.terms import NAMES
from .sqlite_rows import SEGMENT
from .sqlite_shelf import Opened, Shelf
from .sqlite_terms import (
    BLOCK,
    BUCKET_SHIFT,
    BUCKETS,
    CHUNK,
    CHUNKS,
    PLACE_BITS,
    SPAN,
    SUB_BITS,
    opened,
)
from .sqlite_words import COUNT_BITS, MOST, words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Holders = tuple[Numbers, Numbers, Numbers]
    """Of each record which of the wanted terms it is, the place of a message that has it, and how often."""

__all__ = ["Extract", "read"]

Rows = Sequence[tuple[int, bytes]]

SPANS = "SELECT id & 4294967295, body FROM recall_spans WHERE id BETWEEN ? AND ? ORDER BY id"
INDEXED = "SELECT indexed FROM branches WHERE segment = ?"
ROWS = """
SELECT b.id & 8388607, b.terms, j.value FROM json_each(?1) j
    CROSS JOIN recall_blocks b ON b.id BETWEEN j.value + ?2 AND j.value + ?3"""


FEW_BLOCKS = 8
"""Blocks that are looked through for all terms together, and opened where they are asked for again."""
WAITING = 8_192
"""Messages whose words are read from the messages themselves, the newest of each stretch: so many wait only
where conversations are older than the index, or many share a memory for the first time."""


class Extract(NamedTuple):
    """The messages that can be found, stretch after stretch: their keys, how many terms they have, when
    they were said; the place of the first of each stretch; of the wanted terms (by their place among them)
    the places where each stands and how often; and those that are too common to be looked up.
    ``waiting`` are segments of which messages are not in the index, each with how many."""

    keys: Numbers
    lengths: Floats
    times: Floats
    starts: list[int]
    holders: Holders
    common: set[int]
    waiting: dict[int, int]


def read(
    db: sqlite3.Connection, stretches: Sequence[tuple[int, int]], wanted: Sequence[int], shelf: Shelf
) -> Extract:
    """Look up the terms ``wanted``, which are in order, in stretches of messages, each of one segment and
    given by the keys of its first and last message."""
    import numpy as np

    parts: list[_Part] = []
    starts: list[int] = []
    waiting: dict[int, int] = {}
    size, left = 0, WAITING
    for first, last in stretches:
        starts.append(size)
        if spans := _spans(db, first, last):
            parts.append(_blocks(db, shelf, spans, first, last, size))
            size += len(parts[-1].keys)
        opened, count = _tail(db, shelf, first, last, left)
        for each in opened:
            parts.append(_Open(each, first, last, size))
            size += len(parts[-1].keys)
        if count:
            waiting[first // SEGMENT] = count
            left -= count
    sought = np.array(wanted, np.int64)
    lots = [lot for part in parts for lot in part.lots(sought)]
    kept = _worth_reading(lots, sought, size)
    return Extract(
        np.concatenate([np.zeros(0, np.int64), *(part.keys for part in parts)]),
        np.concatenate([np.zeros(0), *(part.lengths for part in parts)]),
        np.concatenate([np.zeros(0), *(part.times for part in parts)]),
        starts,
        _joined([lot.read(kept[lot.which]) for lot in lots]),
        set(sought[~kept].tolist()).union(*(part.common for part in parts)),
        waiting,
    )


class _Part(Protocol):
    """Some of the messages: their keys, how many terms they have, when they were said; and which of the
    wanted terms are too common to be looked up."""

    keys: Numbers
    lengths: Floats
    times: Floats
    common: set[int]

    def lots(self, wanted: Numbers) -> Iterator[_Lot]:
        """The wanted terms."""


class _Lot(NamedTuple):
    """Which of the wanted terms stand in some messages, and in how many of them; ``exact`` where all of these
    can be found. ``read`` gives the places of those terms that are marked."""

    which: Numbers
    sizes: Numbers
    exact: bool
    read: Callable[[NDArray[np.bool_]], Holders]


def _worth_reading(lots: Sequence[_Lot], wanted: Numbers, messages: int) -> NDArray[np.bool_]:
    """The wanted terms, names and words, but for words that are too common to be looked at."""
    import numpy as np

    least, most = np.zeros((2, len(wanted)), np.int64)
    for lot in lots:
        most[lot.which] += lot.sizes
        if lot.exact:
            least[lot.which] += lot.sizes
    words = wanted < NAMES
    kept = ~words
    kept[words] = ~passed_over(least[words], most[words], messages)
    return kept


def _lot(which: Numbers, places: Numbers, counts: Numbers) -> _Lot:
    """Terms whose places are known."""
    import numpy as np

    sizes = np.bincount(which)
    there = sizes.nonzero()[0]

    def read(kept: NDArray[np.bool_]) -> Holders:
        if kept.all():
            return which, places, counts
        chosen = np.zeros(len(sizes), bool)
        chosen[there[kept]] = True
        here = chosen[which]
        return which[here], places[here], counts[here]

    return _Lot(there, sizes[there], exact=True, read=read)


def _joined(found: Sequence[Holders]) -> Holders:
    """All of them: those of each term in the order of the messages."""
    import numpy as np

    if len(found) == 1:
        return found[0]
    nothing = np.zeros(0, np.int64)
    which, places, counts = (np.concatenate(each) for each in zip((nothing,) * 3, *found, strict=True))
    return which, places, counts


def _tail(db: sqlite3.Connection, shelf: Shelf, first: int, last: int, most: int) -> tuple[list[Opened], int]:
    """What lies message by message: all chunks from the beginning of a stretch on, and of its messages that
    are not in the index yet at ``most`` so many; and how many those are."""
    segment = first // SEGMENT
    row = db.execute(INDEXED, (segment,)).fetchone()
    done = segment * SEGMENT + (row[0] if row else 0)
    since = max(first, done, last + 1 - most)
    count = max(0, last + 1 - since)
    found: list[Opened] = []
    if rows := db.execute(CHUNKS, (first - first % CHUNK, done - 1)).fetchall():
        found.append(_open_chunks(shelf, segment, rows))
    if count and (said := words(db, since, last)):
        found.append(Opened.of_tail(opened([], said)))
    return found, count


def _open_chunks(shelf: Shelf, segment: int, rows: Rows) -> Opened:
    kept = shelf.get((segment,), rows)
    if kept is not None:
        return kept
    made = Opened.of_tail(opened(rows, []))
    if shelf.wants((segment,)):
        shelf.put((segment,), rows, made)
    return made


def _spans(db: sqlite3.Connection, first: int, last: int) -> Rows:
    base = first // SEGMENT * SEGMENT
    blocks = base + (first - base) // BLOCK, base + (last - base) // BLOCK
    return db.execute(SPANS, blocks).fetchall()


def _blocks(db: sqlite3.Connection, shelf: Shelf, spans: Rows, first: int, last: int, start: int) -> _Part:
    """The messages of these blocks with keys from ``first`` to ``last``; the first of them has the place
    ``start``. Few blocks lie open, if all have a name, or are opened where they are asked for again."""
    if len(spans) <= FEW_BLOCKS and all(len(body) > SPAN for _, body in spans):
        base = first // SEGMENT * SEGMENT
        name = (base, spans[0][0], spans[-1][0])
        kept = shelf.get(name, spans)
        if kept is None and shelf.wants(name):
            rows = _rows(db, base, range(BUCKETS), *name[1:])
            lots = [(key - base >> BUCKET_SHIFT, block, body) for block, body, key in rows]
            kept = Opened.of_blocks(base, spans, lots)
            shelf.put(name, spans, kept)
        if kept is not None:
            return _Open(kept, first, last, start)
    return _Closed(db, spans, first, last, start)


class _Open:
    """Messages that lie open; the first of them has the place ``start``."""

    def __init__(self, opened: Opened, first: int, last: int, start: int) -> None:
        self.common: set[int] = set()
        self.opened = opened
        self.start = start
        self.begin, self.end = opened.keys.searchsorted([first, last + 1]).tolist()
        self.keys: Numbers = opened.keys[self.begin : self.end]
        self.lengths: Floats = opened.lengths[self.begin : self.end]
        self.times: Floats = opened.times[self.begin : self.end]

    def lots(self, wanted: Numbers) -> Iterator[_Lot]:
        """The wanted terms."""
        which, starts, sizes = self.opened.runs(wanted)
        whole = len(self.keys) == len(self.opened.keys)

        def read(kept: NDArray[np.bool_]) -> Holders:
            found, own, counts = self.opened.holders(which[kept], starts[kept], sizes[kept])
            if not whole:
                inside = (own >= self.begin) & (own < self.end)
                found, own, counts = found[inside], own[inside], counts[inside]
            return found, own + (self.start - self.begin), counts

        yield _Lot(which, sizes, whole, read)


class _Closed:
    """Messages of blocks that are looked up; the first of them has the place ``start``."""

    def __init__(self, db: sqlite3.Connection, spans: Rows, first: int, last: int, start: int) -> None:
        import numpy as np

        self.db = db
        self.common: set[int] = set()
        self.many = len(spans) > FEW_BLOCKS
        self.base = first // SEGMENT * SEGMENT
        self.first, self.last = spans[0][0], spans[-1][0]
        bodies = np.frombuffer(b"".join([body[:SPAN] for _, body in spans]), np.uint8).reshape(-1, SPAN)
        numbers = np.array([block for block, _ in spans], np.int64)[:, None] * BLOCK + np.arange(BLOCK)
        keys = self.base + numbers.ravel()
        lengths = bodies[:, : 2 * BLOCK].copy().view("<u2").ravel()
        held = (lengths > 0) & (keys >= first) & (keys <= last)
        self.keys: Numbers = keys[held]
        self.lengths: Floats = lengths[held].astype(np.float64)
        self.times: Floats = bodies[:, 2 * BLOCK :].copy().view("<u4").ravel()[held].astype(np.float64)
        self.places = np.full((self.last - self.first + 1) * BLOCK, -1, np.int64)
        self.places[self.keys - self.base - self.first * BLOCK] = start + np.arange(len(self.keys))

    def lots(self, wanted: Numbers) -> Iterator[_Lot]:
        """The wanted terms; among many messages without the commonest."""
        if self.many:
            yield from self._telling(wanted)
        else:
            yield self._all(wanted)

    def _inside(self, which: Numbers, numbers: Numbers, counts: Numbers) -> Holders:
        """Only the messages that can be found, by their places."""
        places = self.places[numbers]
        inside = places >= 0
        return which[inside], places[inside], counts[inside]

    def _all(self, wanted: Numbers) -> _Lot:
        """The wanted terms."""
        import numpy as np

        rows = self._rows([bucket for bucket, _ in groupby(wanted.tolist(), key=_bucket)])
        sizes = [len(row[1]) // 4 for row in rows]
        found = np.frombuffer(b"".join([row[1] for row in rows]), "<u4").astype(np.int64)
        upper = np.array([self._bucket_of(row[2]) << SUB_BITS for row in rows], np.int64)
        block = np.repeat(np.array([row[0] - self.first for row in rows], np.int64), sizes)
        terms = np.repeat(upper, sizes) | found >> PLACE_BITS + COUNT_BITS
        here, which = _among(terms, wanted)
        found = found[here]
        numbers = block[here] * BLOCK + (found >> COUNT_BITS & BLOCK - 1)
        return _lot(*self._inside(which, numbers, found & MOST))

    def _telling(self, wanted: Numbers) -> Iterator[_Lot]:
        """The wanted terms, without those that are too common to be looked up."""
        import numpy as np

        found = list(self._hits(wanted.tolist()))
        kept = telling(np.array([len(hits.here) for hits in found]), len(self.keys)).tolist()
        self.common = {hits.term for hits, keep in zip(found, kept, strict=True) if not keep}
        for hits in (hits for hits, keep in zip(found, kept, strict=True) if keep):
            records = hits.records[hits.here].astype(np.int64)
            blocks = hits.blocks[np.searchsorted(hits.ends, hits.here, "right")]
            which = np.full(len(records), wanted.searchsorted(hits.term))
            numbers = blocks * BLOCK + (records >> COUNT_BITS & BLOCK - 1)
            yield _lot(*self._inside(which, numbers, records & MOST))

    def _hits(self, wanted: Sequence[int]) -> Iterator[_Hits]:
        import numpy as np

        rows: dict[int, list[tuple[int, bytes, int]]] = {}
        for row in self._rows([bucket for bucket, _ in groupby(wanted, key=_bucket)]):
            rows.setdefault(self._bucket_of(row[2]), []).append(row)
        for bucket, terms in groupby(wanted, key=_bucket):
            here = rows.get(bucket, [])
            records = np.frombuffer(b"".join([row[1] for row in here]), "<u4")
            ends = np.cumsum([len(row[1]) // 4 for row in here])
            blocks = np.array([row[0] for row in here], np.int64) - self.first
            subs = records >> np.uint32(PLACE_BITS + COUNT_BITS)
            for term in terms:
                places = np.flatnonzero(subs == (term & ((1 << SUB_BITS) - 1)))
                if len(places):
                    yield _Hits(term, places, records, ends, blocks)

    def _rows(self, buckets: Sequence[int]) -> list[tuple[int, bytes, int]]:
        """Block, records and first key of these buckets."""
        return _rows(self.db, self.base, buckets, self.first, self.last)

    def _bucket_of(self, key: int) -> int:
        return key - self.base >> BUCKET_SHIFT


def _rows(
    db: sqlite3.Connection, base: int, buckets: Sequence[int], first: int, last: int
) -> list[tuple[int, bytes, int]]:
    """Block, records and first key of these buckets of the blocks ``first`` to ``last``."""
    keys = json.dumps([base + (bucket << BUCKET_SHIFT) for bucket in buckets])
    return db.execute(ROWS, (keys, first, last)).fetchall()


def _bucket(term: int) -> int:
    return term >> SUB_BITS


class _Hits(NamedTuple):
    """Where a term stands among the records of its bucket, whose blocks end where ``ends`` says."""

    term: int
    here: Numbers
    records: NDArray[np.uint32]
    ends: Numbers
    blocks: Numbers


def _among(terms: NDArray[np.integer[Any]], wanted: Numbers) -> tuple[Numbers, Numbers]:
    """The places of wanted terms, which are in order, and which of them stand there."""
    import numpy as np

    likely = np.zeros(1 << 16, bool)
    likely[wanted & 0xFFFF] = True
    maybe = likely[terms & 0xFFFF].nonzero()[0]
    nearest = np.minimum(np.searchsorted(wanted, terms[maybe]), len(wanted) - 1)
    sure = (wanted[nearest] == terms[maybe]).nonzero()[0]
    return maybe[sure], nearest[sure]
