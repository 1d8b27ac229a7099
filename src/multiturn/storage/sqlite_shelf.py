"""What of the index of recall lies open in memory? What was asked for more than once, as much as there is
room for.

What lies open is kept with the rows it was made of, and is asked for with those that are stored: who has
written in between, in whatever process, needs to declare nothing invalid.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..search.terms import NAMES
from .sqlite_terms import BLOCK, PLACE_BITS, SPAN, SUB_BITS, Tail
from .sqlite_words import COUNT_BITS, MOST

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Floats = NDArray[np.float64]

__all__ = ["Opened", "Shelf"]

ROOM = 8 << 20
"""Bytes of what lies open: some 50,000 messages."""
FEW = 1 << 16
"""Messages that are told apart by two bytes."""
MET = 4_096
"""Names of what was asked for once."""
Name = tuple[int, ...]
"""Of chunks their segment, of blocks the first and the last, too."""
Rows = Sequence[tuple[int, bytes]]


class Opened(NamedTuple):
    """Messages by term: their ``keys``, how long they are and when they were said; the ``terms`` there are,
    in order, where the records of each start, and these: ``owners``, the messages by their place, and
    ``counts``, how often the term stands there."""

    keys: Numbers
    lengths: Floats
    times: Floats
    terms: NDArray[np.uint32]
    starts: NDArray[np.uint32]
    owners: NDArray[np.unsignedinteger[Any]]
    counts: NDArray[np.uint8]

    @classmethod
    def of_tail(cls, tail: Tail) -> Opened:
        """Messages that lie one by one."""
        import numpy as np

        messages = len(tail.keys)
        terms = tail.records >> np.uint32(COUNT_BITS)
        counts = (tail.records & np.uint32(MOST)).astype(np.uint8)
        owners = np.repeat(np.arange(messages), tail.sizes)
        lengths = np.bincount(owners, counts * (terms < NAMES), messages).astype(float)
        return cls(
            tail.keys, lengths, tail.said.astype(np.float64), *_by_term(terms, owners, counts, messages)
        )

    @classmethod
    def of_blocks(cls, base: int, spans: Rows, rows: Iterable[tuple[int, int, bytes]]) -> Opened:
        """What lies in these spans, each with the number of its block, and in all their rows, each with
        bucket and block. ``base`` is the key of the segment's first message."""
        import numpy as np

        numbers = np.array([block for block, _ in spans], np.int64)
        bodies = np.frombuffer(b"".join([body[:SPAN] for _, body in spans]), np.uint8).reshape(-1, SPAN)
        lengths = bodies[:, : 2 * BLOCK].copy().view("<u2").ravel()
        held = np.flatnonzero(lengths)
        places = np.full(len(lengths), -1, np.int64)
        places[held] = np.arange(len(held))
        terms, owners, counts = _by_message(rows, numbers)
        inside = places[owners] >= 0
        return cls(
            base + (numbers[:, None] * BLOCK + np.arange(BLOCK)).ravel()[held],
            lengths[held].astype(np.float64),
            bodies[:, 2 * BLOCK :].copy().view("<u4").ravel()[held].astype(np.float64),
            *_by_term(terms[inside], places[owners[inside]], counts[inside], len(held)),
        )

    @property
    def size(self) -> int:
        """Bytes it takes."""
        return sum(each.nbytes for each in self)

    def runs(self, wanted: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """Which of the wanted terms, which are in order, are there, where their records start, and how many
        they are."""
        import numpy as np

        if not len(self.terms):
            return (np.zeros(0, np.int64),) * 3
        at = np.minimum(self.terms.searchsorted(wanted), len(self.terms) - 1)
        which = (self.terms[at] == wanted).nonzero()[0]
        at = at[which]
        starts = self.starts[at].astype(np.int64)
        return which, starts, self.starts[at + 1] - starts

    def holders(self, which: Numbers, starts: Numbers, sizes: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """The messages of some runs: which term stands there, which message it is, and how often."""
        import numpy as np

        ends = sizes.cumsum()
        records = (starts - ends + sizes).repeat(sizes) + np.arange(int(ends[-1]) if len(ends) else 0)
        own, counts = self.owners[records], self.counts[records]
        return which.repeat(sizes), own.astype(np.int64), counts.astype(np.int64)


def _by_message(
    rows: Iterable[tuple[int, int, bytes]], numbers: Numbers
) -> tuple[NDArray[np.uint32], Numbers, NDArray[np.uint8]]:
    """Of each record in these rows the term, the place of its message among those of all blocks, and how
    often it stands there."""
    import numpy as np

    lots = [(bucket << SUB_BITS, block, np.frombuffer(body, "<u4")) for bucket, block, body in rows]
    sizes = [len(lot) for _, _, lot in lots]
    found = np.concatenate([np.zeros(0, np.uint32), *(lot for _, _, lot in lots)])
    upper = np.repeat(np.array([upper for upper, _, _ in lots], np.uint32), sizes)
    block = np.repeat(numbers.searchsorted([block for _, block, _ in lots]), sizes)
    inside = found >> np.uint32(COUNT_BITS) & np.uint32(BLOCK - 1)
    terms = upper | found >> np.uint32(PLACE_BITS + COUNT_BITS)
    return terms, block * BLOCK + inside, (found & np.uint32(MOST)).astype(np.uint8)


def _by_term(
    terms: NDArray[np.uint32], owners: Numbers, counts: NDArray[np.uint8], messages: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.unsignedinteger[Any]], NDArray[np.uint8]]:
    """Records as they lie open, those of each term in the order of the messages."""
    import numpy as np

    shifts = np.uint64(32 + COUNT_BITS), np.uint64(COUNT_BITS)
    records = terms.astype(np.uint64) << shifts[0] | owners.astype(np.uint64) << shifts[1] | counts
    records.sort()
    terms = (records >> shifts[0]).astype(np.uint32)
    starts = np.flatnonzero(np.diff(terms, prepend=np.uint32(0xFFFFFFFF)))
    return (
        terms[starts],
        np.append(starts, len(terms)).astype(np.uint32),
        (records >> shifts[1]).astype(np.uint16 if messages <= FEW else np.uint32),
        (records & np.uint64(MOST)).astype(np.uint8),
    )


class Shelf:
    """What lies open of the index of one store. Any thread may ask."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._kept: OrderedDict[Name, tuple[Rows, Opened, int]] = OrderedDict()
        self._met: OrderedDict[Name, None] = OrderedDict()
        self._size = 0

    def get(self, name: Name, rows: Rows) -> Opened | None:
        """What was made of these rows, if it lies open under this name."""
        with self._lock:
            kept = self._kept.get(name)
            if kept is None:
                return None
            self._kept.move_to_end(name)
        return kept[1] if kept[0] == rows else None

    def wants(self, name: Name) -> bool:
        """Whether what has this name is worth opening: it was asked for before."""
        with self._lock:
            if name in self._kept:
                return True
            if name in self._met:
                del self._met[name]
                return True
            self._met[name] = None
            if len(self._met) > MET:
                self._met.popitem(last=False)
            return False

    def put(self, name: Name, rows: Rows, opened: Opened) -> None:
        """Keep what was made of these rows, in the place of what had the name before. What was not asked
        for longest makes room."""
        size = opened.size + sum(len(body) for _, body in rows)
        with self._lock:
            if name in self._kept:
                self._size -= self._kept.pop(name)[2]
            self._kept[name] = rows, opened, size
            self._size += size
            while self._size > self._room:
                self._size -= self._kept.popitem(last=False)[1][2]
