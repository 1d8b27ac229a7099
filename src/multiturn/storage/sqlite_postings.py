"""What does the index of recall say of a stretch of messages? Their lengths and times, and which of them
have the wanted terms."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..terms import NAMES
from .sqlite_rows import SEGMENT
from .sqlite_terms import BLOCK, BUCKET_SHIFT, COUNT_BITS, MOST, PLACE_BITS, SUB_BITS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Pair = tuple[Numbers, Numbers]
    Holders = Iterator[tuple[int, Numbers, Numbers]]
    """A term, the keys of messages that have it, and how often."""

__all__ = ["Extract", "read"]

SPANS = "SELECT id, body FROM recall_spans WHERE id BETWEEN ? AND ? ORDER BY id"
TAIL = "SELECT id, said, terms FROM recall_tail WHERE id BETWEEN ? AND ? ORDER BY id"
BUCKET = "SELECT id & 8388607, terms FROM recall_blocks WHERE id BETWEEN ? AND ? ORDER BY id"


class Extract(NamedTuple):
    """The messages of a stretch that can be found, in order of their keys, with the number of their
    terms and the time they were said; and the wanted terms that are in them: places among these
    messages, and how often."""

    keys: Numbers
    lengths: NDArray[np.float64]
    times: NDArray[np.float64]
    holders: dict[int, tuple[Numbers, Numbers]]


def read(db: sqlite3.Connection, first: int, last: int, wanted: Sequence[int]) -> Extract:
    """Look the terms ``wanted``, in order, up in the messages of a segment from key ``first`` to ``last``."""
    import numpy as np

    blocks = _Blocks(db, first, last)
    tail = _Tail(db, first, last)
    keys = np.concatenate((blocks.keys, tail.keys))
    lengths = np.concatenate((blocks.lengths, tail.lengths))
    times = np.concatenate((blocks.times, tail.times))
    can_be_found = (lengths > 0) & (keys >= first) & (keys <= last)
    keys = keys[can_be_found]
    place = np.full(last - first + 1, -1, np.int64)
    place[keys - first] = np.arange(len(keys))
    holders: dict[int, tuple[Numbers, Numbers]] = {}
    for term, held, often in (*blocks.holders(db, wanted), *tail.holders(wanted)):
        inside = (held >= first) & (held <= last)
        added = place[held[inside] - first], often[inside]
        before = holders.get(term)
        holders[term] = added if before is None else _joined(before, added)
    return Extract(keys, lengths[can_be_found], times[can_be_found], holders)


def _joined(one: Pair, other: Pair) -> Pair:
    import numpy as np

    return np.concatenate((one[0], other[0])), np.concatenate((one[1], other[1]))


class _Blocks:
    """Messages that lie by term."""

    def __init__(self, db: sqlite3.Connection, first: int, last: int) -> None:
        import numpy as np

        self.base = first // SEGMENT * SEGMENT
        self.first, self.last = (first - self.base) // BLOCK, (last - self.base) // BLOCK
        rows = db.execute(SPANS, (self.base + self.first, self.base + self.last)).fetchall()
        bodies = np.frombuffer(b"".join(row[1] for row in rows), np.uint8).reshape(len(rows), 6 * BLOCK)
        starts = self.base + (np.array([row[0] for row in rows], np.int64) - self.base) * BLOCK
        self.keys = (starts[:, None] + np.arange(BLOCK)).ravel()
        self.lengths = bodies[:, : 2 * BLOCK].copy().view("<u2").ravel().astype(np.float64)
        self.times = bodies[:, 2 * BLOCK :].copy().view("<u4").ravel().astype(np.float64)

    def holders(self, db: sqlite3.Connection, wanted: Sequence[int]) -> Holders:
        """The wanted terms."""
        if not len(self.keys):
            return
        buckets: dict[int, list[int]] = {}
        for term in wanted:
            buckets.setdefault(term >> SUB_BITS, []).append(term)
        for bucket, terms in buckets.items():
            yield from self._of_bucket(db, bucket, terms)

    def _of_bucket(self, db: sqlite3.Connection, bucket: int, wanted: Sequence[int]) -> Holders:
        import numpy as np

        key = self.base + (bucket << BUCKET_SHIFT)
        rows = db.execute(BUCKET, (key + self.first, key + self.last)).fetchall()
        records = np.frombuffer(b"".join(row[1] for row in rows), "<u4")
        ends = np.cumsum([len(row[1]) // 4 for row in rows])
        blocks = np.array([row[0] for row in rows], np.int64)
        terms = records >> np.uint32(PLACE_BITS + COUNT_BITS)
        for term in wanted:
            here = np.flatnonzero(terms == (term & ((1 << SUB_BITS) - 1)))
            if len(here):
                found = records[here].astype(np.int64)
                block = blocks[np.searchsorted(ends, here, "right")]
                keys = self.base + block * BLOCK + (found >> COUNT_BITS & BLOCK - 1)
                yield term, keys, found & MOST


class _Tail:
    """The newest messages, which lie one by one."""

    def __init__(self, db: sqlite3.Connection, first: int, last: int) -> None:
        import numpy as np

        rows = db.execute(TAIL, (first, last)).fetchall()
        self.keys = np.array([row[0] for row in rows], np.int64)
        self.times = np.array([row[1] for row in rows], np.float64)
        records = np.frombuffer(b"".join(row[2] for row in rows), "<u4").astype(np.int64)
        self.owners = np.repeat(np.arange(len(rows)), [len(row[2]) // 4 for row in rows])
        self.terms = records >> COUNT_BITS
        self.counts = records & MOST
        said = self.counts * (self.terms < NAMES)
        self.lengths: NDArray[np.float64] = np.bincount(self.owners, said, len(rows)).astype(np.float64)

    def holders(self, wanted: Sequence[int]) -> Holders:
        """The wanted terms."""
        import numpy as np

        if not len(self.terms) or not wanted:
            return
        sought = np.array(wanted, np.int64)
        nearest = np.minimum(np.searchsorted(sought, self.terms), len(sought) - 1)
        here = np.flatnonzero(sought[nearest] == self.terms)
        here = here[np.argsort(nearest[here], kind="stable")]
        starts = np.flatnonzero(np.diff(nearest[here], prepend=-1))
        for held in np.split(here, starts[1:]):
            if len(held):
                yield int(self.terms[held[0]]), self.keys[self.owners[held]], self.counts[held]
