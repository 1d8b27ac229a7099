"""What does the index of recall say of some stretches of messages? How long each is and when it was said,
and which of them have the wanted terms."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

from ..search.terms import NAMES
from .sqlite_rows import SEGMENT
from .sqlite_terms import BLOCK, BUCKET_SHIFT, CHUNK, CHUNKS, PLACE_BITS, SUB_BITS, Tail, opened
from .sqlite_words import COUNT_BITS, MOST, words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Counts = NDArray[np.float32]
    Records = tuple[Numbers, Numbers, Numbers]
    """Terms, the places of messages that have them, and how often."""
    Holders = Iterator[tuple[int, Numbers, Counts]]
    """A term, the places of messages that have it, and how often."""

__all__ = ["Extract", "read"]

SPANS = "SELECT id & 4294967295, body FROM recall_spans WHERE id BETWEEN ? AND ? ORDER BY id"
INDEXED = "SELECT indexed FROM branches WHERE segment = ?"
BUCKETS = """
SELECT b.id & 8388607, b.terms, j.value FROM json_each(?1) j
    CROSS JOIN recall_blocks b ON b.id BETWEEN j.value + ?2 AND j.value + ?3"""


FEW_BLOCKS = 8
"""Blocks that are looked through at one time for all terms."""
MANY = 10_000
"""Messages from which on common terms are left out: they are most of the work and tell little."""
COMMON = 8
"""A term is common that more than one of so many messages has."""
ENOUGH = 4
"""Terms that are kept, however common they are."""
WAITING = 8_192
"""Messages whose words are read from the messages themselves, the newest of each stretch: so many wait only
where conversations are older than the index, or many share a memory for the first time."""


class Extract(NamedTuple):
    """The messages that can be found, stretch after stretch: their keys, how many terms they have, when
    they were said; the place of the first of each stretch; and the wanted terms, each with the places
    where it stands and how often; and terms that are too common to be looked up. ``waiting`` are segments
    of which messages are not in the index, each with how many."""

    keys: Numbers
    lengths: Floats
    times: Floats
    starts: list[int]
    holders: dict[int, list[tuple[Numbers, Counts]]]
    common: set[int]
    waiting: dict[int, int]


def read(db: sqlite3.Connection, stretches: Sequence[tuple[int, int]], wanted: Sequence[int]) -> Extract:
    """Look up the terms ``wanted`` in stretches of messages, each of one segment and given by the keys of
    its first and last message."""
    import numpy as np

    parts: list[_Blocks | _Tail] = []
    starts: list[int] = []
    waiting: dict[int, int] = {}
    size, left = 0, WAITING
    for first, last in stretches:
        starts.append(size)
        spans = _spans(db, first, last)
        if spans:
            parts.append(_Blocks(db, first, last, spans, size))
            size += len(parts[-1].keys)
        tail, count = _tail(db, first, last, left)
        if len(tail.keys):
            parts.append(_Tail(tail, size))
            size += len(tail.keys)
        if count:
            waiting[first // SEGMENT] = count
            left -= count
    holders: dict[int, list[tuple[Numbers, Counts]]] = {}
    blocks = [part for part in parts if isinstance(part, _Blocks)]
    many = [found for block in blocks if block.many for found in block.holders(wanted)]
    few = [block.records(wanted) for block in blocks if not block.many]
    few += [part.records for part in parts if isinstance(part, _Tail)]
    for term, places, often in (*many, *_among(few, wanted)):
        holders.setdefault(term, []).append((places, often))
    return Extract(
        np.concatenate([np.zeros(0, np.int64), *(part.keys for part in parts)]),
        np.concatenate([np.zeros(0), *(part.lengths for part in parts)]),
        np.concatenate([np.zeros(0), *(part.times for part in parts)]),
        starts,
        holders,
        set().union(*(block.common for block in blocks)),
        waiting,
    )


def _tail(db: sqlite3.Connection, first: int, last: int, most: int) -> tuple[Tail, int]:
    """The messages of a stretch that lie by message, ``most`` of them not yet in the index; and how many
    those are."""
    base = first // SEGMENT * SEGMENT
    row = db.execute(INDEXED, (first // SEGMENT,)).fetchone()
    done = base + (row[0] if row else 0)
    since = max(first, done, last + 1 - most)
    count = max(0, last + 1 - since)
    chunks = db.execute(CHUNKS, (first - first % CHUNK, min(last, done - 1))).fetchall()
    return opened(chunks, words(db, since, last) if count else [], first, last), count


def _spans(db: sqlite3.Connection, first: int, last: int) -> list[tuple[int, bytes]]:
    base = first // SEGMENT * SEGMENT
    blocks = base + (first - base) // BLOCK, base + (last - base) // BLOCK
    return db.execute(SPANS, blocks).fetchall()


class _Blocks:
    """Messages that lie by term; the first of them has the place ``start``."""

    def __init__(
        self, db: sqlite3.Connection, first: int, last: int, spans: Sequence[tuple[int, bytes]], start: int
    ) -> None:
        import numpy as np

        self.db = db
        self.common: set[int] = set()
        self.many = len(spans) > FEW_BLOCKS
        self.base = first // SEGMENT * SEGMENT
        self.first, self.last = spans[0][0], spans[-1][0]
        bodies = np.frombuffer(b"".join(body for _, body in spans), np.uint8).reshape(len(spans), 6 * BLOCK)
        numbers = np.array([block for block, _ in spans], np.int64)[:, None] * BLOCK + np.arange(BLOCK)
        keys = self.base + numbers.ravel()
        lengths = bodies[:, : 2 * BLOCK].copy().view("<u2").ravel()
        held = (lengths > 0) & (keys >= first) & (keys <= last)
        self.keys: Numbers = keys[held]
        self.lengths: Floats = lengths[held].astype(np.float64)
        self.times: Floats = bodies[:, 2 * BLOCK :].copy().view("<u4").ravel()[held].astype(np.float64)
        self.places = np.full((self.last - self.first + 1) * BLOCK, -1, np.int64)
        self.places[self.keys - self.base - self.first * BLOCK] = start + np.arange(len(self.keys))

    def holders(self, wanted: Sequence[int]) -> Holders:
        """The wanted terms; among many messages without the commonest, which tell them hardly apart."""
        import numpy as np

        for hits in self._telling(list(self._hits(wanted))):
            found = hits.records[hits.here].astype(np.int64)
            numbers = found >> COUNT_BITS & BLOCK - 1
            if len(hits.blocks) > 1:
                numbers += hits.blocks[np.searchsorted(hits.ends, hits.here, "right")] * BLOCK
            elif hits.blocks[0]:
                numbers += hits.blocks[0] * BLOCK
            places = self.places[numbers]
            inside = places >= 0
            yield hits.term, places[inside], (found & MOST)[inside].astype(np.float32)

    def _telling(self, found: Sequence[_Hits]) -> Sequence[_Hits]:
        messages = len(self.keys)
        if messages < MANY:
            return found
        rarest = sorted(found, key=lambda hits: len(hits.here))
        few = sum(len(hits.here) * COMMON <= messages for hits in rarest)
        self.common = {hits.term for hits in rarest[max(few, ENOUGH) :]}
        return rarest[: max(few, ENOUGH)]

    def _hits(self, wanted: Sequence[int]) -> Iterator[_Hits]:
        import numpy as np

        rows: dict[int, list[tuple[int, bytes, int]]] = {}
        for row in self._rows(wanted):
            rows.setdefault(row[2], []).append(row)
        for bucket, terms in groupby(wanted, key=_bucket):
            here = rows.get(self._key(bucket), [])
            records = np.frombuffer(b"".join([row[1] for row in here]), "<u4")
            ends = np.cumsum([len(row[1]) // 4 for row in here])
            blocks = np.array([row[0] for row in here], np.int64) - self.first
            subs = records >> np.uint32(PLACE_BITS + COUNT_BITS)
            for term in terms:
                places = np.flatnonzero(subs == (term & ((1 << SUB_BITS) - 1)))
                if len(places):
                    yield _Hits(term, places, records, ends, blocks)

    def _rows(self, wanted: Sequence[int]) -> list[tuple[int, bytes, int]]:
        """Block, records and first key of the buckets in which the wanted terms are."""
        keys = [self._key(bucket) for bucket, _ in groupby(wanted, key=_bucket)]
        return self.db.execute(BUCKETS, (json.dumps(keys), self.first, self.last)).fetchall()

    def _key(self, bucket: int) -> int:
        return self.base + (bucket << BUCKET_SHIFT)

    def records(self, wanted: Sequence[int]) -> Records:
        """All records of the buckets in which the wanted terms are."""
        import numpy as np

        rows = self._rows(wanted)
        sizes = [len(row[1]) // 4 for row in rows]
        found = np.frombuffer(b"".join([row[1] for row in rows]), "<u4").astype(np.int64)
        upper = [(row[2] - self.base) >> BUCKET_SHIFT << SUB_BITS for row in rows]
        block = np.repeat(np.array([row[0] - self.first for row in rows], np.int64), sizes)
        places = self.places[block * BLOCK + (found >> COUNT_BITS & BLOCK - 1)]
        inside = places >= 0
        terms = np.repeat(np.array(upper, np.int64), sizes) | found >> PLACE_BITS + COUNT_BITS
        return terms[inside], places[inside], (found & MOST)[inside]


def _bucket(term: int) -> int:
    return term >> SUB_BITS


class _Hits(NamedTuple):
    """Where a term stands among the records of its bucket, whose blocks end where ``ends`` says."""

    term: int
    here: Numbers
    records: NDArray[np.uint32]
    ends: Numbers
    blocks: Numbers


class _Tail:
    """The newest messages, which lie one by one; the first of them has the place ``start``."""

    def __init__(self, tail: Tail, start: int) -> None:
        import numpy as np

        size = len(tail.keys)
        self.keys: Numbers = tail.keys
        self.times: Floats = tail.said.astype(np.float64)
        records = tail.records.astype(np.int64)
        owners = np.repeat(np.arange(size), tail.sizes)
        terms, counts = records >> COUNT_BITS, records & MOST
        self.lengths: Floats = np.bincount(owners, counts * (terms < NAMES), size).astype(np.float64)
        self.records: Records = terms, owners + start, counts


def _among(records: Sequence[Records], wanted: Sequence[int]) -> Holders:
    """The wanted terms, which are in order."""
    import numpy as np

    if not records or not wanted:
        return
    terms, places, counts = (np.concatenate(each) for each in zip(*records, strict=True))
    sought = np.array(wanted, np.int64)
    likely = np.zeros(1 << 16, bool)
    likely[sought & 0xFFFF] = True
    maybe = np.flatnonzero(likely[terms & 0xFFFF])
    nearest = np.minimum(np.searchsorted(sought, terms[maybe]), len(sought) - 1)
    sure = np.flatnonzero(sought[nearest] == terms[maybe])
    which = nearest[sure]
    in_order = np.argsort(which, kind="stable")
    here, which = maybe[sure[in_order]], which[in_order]
    places, counts = places[here], counts[here].astype(np.float32)
    starts = np.flatnonzero(np.diff(which, prepend=-1)).tolist()
    for start, end in pairwise((*starts, len(here))):
        yield wanted[which[start]], places[start:end], counts[start:end]
