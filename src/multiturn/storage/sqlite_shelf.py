"""Which blocks of the index of recall lie open in memory? Those asked for more than once, as many as there is
room for.

A block is named by a digest of what it holds, which is stored beside it. What is found under a name is what
was stored under it, whoever has written in between: a block that was written anew has another name.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from .sqlite_terms import PLACE_BITS, SUB_BITS
from .sqlite_words import COUNT_BITS, MOST

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

__all__ = ["Block", "Shelf"]

ROOM = 8 << 20
"""Bytes of open blocks: about a hundred of them, of 50,000 messages."""
MET = 4_096
"""Names of blocks that were asked for once."""


class Block(NamedTuple):
    """512 messages by term: the ``terms`` there are, in order, where the ``records`` of each start, and
    these: the number of a message, and how often the term stands there."""

    terms: NDArray[np.uint32]
    starts: NDArray[np.uint32]
    records: NDArray[np.uint16]

    @classmethod
    def of(cls, buckets: Iterable[tuple[int, bytes]]) -> Block:
        """The block that lies in these buckets, each with its number, in order."""
        import numpy as np

        rows = [(bucket << SUB_BITS, np.frombuffer(body, "<u4")) for bucket, body in buckets]
        uppers = np.repeat(np.array([upper for upper, _ in rows], np.uint32), [len(row) for _, row in rows])
        found = np.concatenate([np.zeros(0, np.uint32), *(row for _, row in rows)])
        records = (found & np.uint32((1 << PLACE_BITS + COUNT_BITS) - 1)).astype(np.uint16)
        terms, starts = np.unique(uppers | found >> np.uint32(PLACE_BITS + COUNT_BITS), return_index=True)
        return cls(terms, np.append(starts, len(found)).astype(np.uint32), records)

    @property
    def size(self) -> int:
        """Bytes it takes."""
        return self.terms.nbytes + self.starts.nbytes + self.records.nbytes

    def runs(self, wanted: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """Which of the wanted terms, which are in order, are there, where their records start, and how many
        they are."""
        import numpy as np

        if not len(self.terms):
            return (np.zeros(0, np.int64),) * 3
        at = np.minimum(self.terms.searchsorted(wanted), len(self.terms) - 1)
        which = np.flatnonzero(self.terms[at] == wanted)
        starts = self.starts[at[which]].astype(np.int64)
        return which, starts, self.starts[at[which] + 1] - starts

    def holders(self, which: Numbers, starts: Numbers, sizes: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """The messages of some runs: which term stands there, the number of the message, and how often."""
        import numpy as np

        ends = np.cumsum(sizes)
        places = np.repeat(starts - ends + sizes, sizes) + np.arange(int(ends[-1]) if len(ends) else 0)
        records = self.records[places].astype(np.int64)
        return np.repeat(which, sizes), records >> COUNT_BITS, records & MOST


class Shelf:
    """The open blocks of one store. Any thread may ask."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._blocks: OrderedDict[bytes, Block] = OrderedDict()
        self._met: OrderedDict[bytes, None] = OrderedDict()
        self._size = 0

    def get(self, name: bytes) -> Block | None:
        """The block of this name, if it is there."""
        with self._lock:
            if name not in self._blocks:
                return None
            self._blocks.move_to_end(name)
            return self._blocks[name]

    def wants(self, name: bytes) -> bool:
        """Whether a block is worth opening: it was asked for before."""
        with self._lock:
            if name in self._met:
                del self._met[name]
                return True
            self._met[name] = None
            if len(self._met) > MET:
                self._met.popitem(last=False)
            return False

    def put(self, name: bytes, block: Block) -> None:
        """Keep a block; those that were not asked for longest make room."""
        with self._lock:
            if name in self._blocks or block.size > self._room:
                return
            self._blocks[name] = block
            self._size += block.size
            while self._size > self._room:
                self._size -= self._blocks.popitem(last=False)[1].size
