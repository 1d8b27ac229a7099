"""How do the words of messages get into the index of recall, and out of it?

The messages themselves are the queue: each segment knows how many of its messages are in the index, and a
question reads the words of the others from the messages. So a turn that is stored leaves its words
alone, and every 32 messages they go in together, within the transaction that stores the turn.

Chunks of 32 messages lie by message, in ``recall_chunks``. A block of 512 messages that cannot change any
more is turned round to lie by term, in ``recall_blocks``: only the last turn of a segment ever changes. It
is written again where words are deleted from a message, so that nothing of them stays.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import groupby
from struct import pack
from typing import TYPE_CHECKING, NamedTuple

from ..search.terms import NAMES
from .sqlite_rows import SEGMENT, last_key
from .sqlite_words import COUNT_BITS, FINDABLE, MOST, Said, words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Words = NDArray[np.uint32]

__all__ = [
    "BLOCK",
    "BUCKETS",
    "BUCKET_SHIFT",
    "CHUNK",
    "CHUNKS",
    "PLACE_BITS",
    "SPAN",
    "SUB_BITS",
    "Tail",
    "forget",
    "forget_segment",
    "index",
    "opened",
    "renew",
]

CHUNK = 32
"""Messages whose words go into the index at one time, and lie in one row."""
BLOCK_BITS = PLACE_BITS = 9
BLOCK = 1 << BLOCK_BITS
BACKLOG = 4_096
"""Messages of before there was an index that go in at one time: a tenth of a second."""
SUB_BITS = 19
"""Lower bits of a term, which are written out in a block; the upper ones are in the key of its row."""
BUCKET_SHIFT = 23
BUCKETS = 512
SPAN = 6 * BLOCK
"""Bytes in which a span tells of its messages. Behind them stands the name of the block, a digest of all its
records; blocks that were written by earlier versions have none."""
NAME = 16

STAND = f"""
SELECT b.indexed, t.before, CASE WHEN {FINDABLE} THEN b.messages ELSE t.before END FROM branches b
    JOIN turns t ON t.id = (b.segment << 32) + b.head WHERE b.segment = ?"""
LAST = """
SELECT t.before FROM turns t JOIN branches b ON b.segment = t.id >> 32
WHERE t.id = ? AND b.indexed > t.before"""


def index(db: sqlite3.Connection, segment: int, added: int = 0, *, whole: bool = False) -> None:
    """Put the words in that wait: of full chunks of turns that cannot change any more, or ``whole``, of
    all turns that may be found. Of what waited before ``added`` messages came, `BACKLOG` messages at most."""
    stand = db.execute(STAND, (segment,)).fetchone()
    if stand is None:
        return
    done, settled, findable = stand
    end = min(findable if whole else settled, done + BACKLOG + added)
    if not whole:
        end -= end % CHUNK
    if end <= done:
        return
    base = segment * SEGMENT
    for first in range(done - done % CHUNK, end, BLOCK):
        _put_in(db, words(db, base + first, base + min(first + BLOCK, end) - 1))
    db.execute("UPDATE branches SET indexed = ? WHERE segment = ?", (end, segment))
    _turn_round(db, base, min(settled, end))


def forget(db: sqlite3.Connection, turn: int) -> None:
    """The turn with this key, the last of its segment, will change: its words wait again."""
    segment = turn // SEGMENT
    row = db.execute(LAST, (turn,)).fetchone()
    if row is not None:
        first = row[0] - row[0] % CHUNK
        db.execute("UPDATE branches SET indexed = ? WHERE segment = ?", (first, segment))
        keys = segment * SEGMENT + first, last_key(segment)
        db.execute("DELETE FROM recall_chunks WHERE id BETWEEN ? AND ?", keys)


def renew(db: sqlite3.Connection, message: int) -> None:
    """The message with this key says something else now: nothing stays of the words that are gone."""
    segment, number = divmod(message, SEGMENT)
    base, block = segment * SEGMENT, number >> BLOCK_BITS
    done = db.execute("SELECT indexed FROM branches WHERE segment = ?", (segment,)).fetchone()[0]
    if number >= done:
        return
    if db.execute("DELETE FROM recall_spans WHERE id = ?", (base + block,)).rowcount:
        buckets = [(base + (bucket << BUCKET_SHIFT) + block,) for bucket in range(BUCKETS)]
        db.executemany("DELETE FROM recall_blocks WHERE id = ?", buckets)
        first = base + block * BLOCK
        _put_in(db, words(db, first, first + BLOCK - 1))
        _turn_round(db, base, (block + 1) * BLOCK)
    else:
        first = message - message % CHUNK
        db.execute("DELETE FROM recall_chunks WHERE id = ?", (first,))
        _put_in(db, words(db, first, min(first + CHUNK, base + done) - 1))


def forget_segment(db: sqlite3.Connection, segment: int) -> None:
    """Nothing of the segment can be found any more."""
    keys = segment * SEGMENT, last_key(segment)
    for table in ("recall_chunks", "recall_blocks", "recall_spans"):
        db.execute(f"DELETE FROM {table} WHERE id BETWEEN ? AND ?", keys)


# ----------------------------------------------------------------------------------------- chunks


class Tail(NamedTuple):
    """Messages that lie one by one: their keys, when they were said, how many records each has, and the
    records of all of them."""

    keys: NDArray[np.int64]
    said: NDArray[np.uint32]
    sizes: NDArray[np.int64]
    records: Words


def _put_in(db: sqlite3.Connection, said: Iterable[Said]) -> None:
    """Write the chunks of these messages, which are all that have words there."""
    chunks = groupby(said, key=lambda one: one[0] - one[0] % CHUNK)
    rows = [(first, _closed(first, list(messages))) for first, messages in chunks]
    db.executemany("INSERT OR REPLACE INTO recall_chunks VALUES (?, ?)", rows)


def _closed(first: int, messages: Sequence[Said]) -> bytes:
    """A chunk: of each of its messages when it was said and how many records it has, then all records."""
    times, sizes = [0] * CHUNK, [0] * CHUNK
    for key, said, packed in messages:
        times[key - first] = said
        sizes[key - first] = len(packed) // 4
    return pack(f"<{2 * CHUNK}I", *times, *sizes) + b"".join(packed for _, _, packed in messages)


def opened(rows: Sequence[tuple[int, bytes]], waiting: Sequence[Said]) -> Tail:
    """The messages of these chunks, and those that wait."""
    import numpy as np

    bodies = [np.frombuffer(body, "<u4") for _, body in rows]
    heads = np.array([body[: 2 * CHUNK] for body in bodies]).reshape(len(rows), 2 * CHUNK)
    keys = (np.array([key for key, _ in rows], np.int64)[:, None] + np.arange(CHUNK)).ravel()
    said, sizes = heads[:, :CHUNK].ravel(), heads[:, CHUNK:].ravel().astype(np.int64)
    held = sizes > 0
    records = np.concatenate([np.zeros(0, "<u4"), *(body[2 * CHUNK :] for body in bodies)])
    return Tail(
        np.concatenate([keys[held], np.array([one[0] for one in waiting], np.int64)]),
        np.concatenate([said[held], np.array([one[1] for one in waiting], "<u4")]),
        np.concatenate([sizes[held], np.array([len(one[2]) // 4 for one in waiting], np.int64)]),
        np.concatenate([records, np.frombuffer(b"".join([one[2] for one in waiting]), "<u4")]),
    )


# ----------------------------------------------------------------------------------------- blocks

OLDEST = "SELECT MIN(id) FROM recall_chunks WHERE id BETWEEN ? AND ?"
CHUNKS = "SELECT id, body FROM recall_chunks WHERE id BETWEEN ? AND ? ORDER BY id"


def _turn_round(db: sqlite3.Connection, base: int, settled: int) -> None:
    """Have the blocks lie by term whose messages are all before the segment's message ``settled``."""
    while True:
        oldest = db.execute(OLDEST, (base, base + SEGMENT - 1)).fetchone()[0]
        if oldest is None:
            return
        block = (oldest - base) >> BLOCK_BITS
        if (block + 1) * BLOCK > settled:
            return
        keys = base + block * BLOCK, base + (block + 1) * BLOCK - 1
        _write_block(db, base, block, opened(db.execute(CHUNKS, keys).fetchall(), []))
        db.execute("DELETE FROM recall_chunks WHERE id BETWEEN ? AND ?", keys)


def _write_block(db: sqlite3.Connection, base: int, block: int, messages: Tail) -> None:
    import numpy as np

    places = messages.keys % BLOCK
    records = messages.records.astype(np.uint64)
    owners = np.repeat(places.astype(np.uint64), messages.sizes)
    found = records >> np.uint64(COUNT_BITS)
    counts = records & np.uint64(MOST)
    packed = np.sort((found << np.uint64(PLACE_BITS) | owners) << np.uint64(COUNT_BITS) | counts)
    buckets = packed >> np.uint64(SUB_BITS + PLACE_BITS + COUNT_BITS)
    lows = packed.astype("<u4")
    held, starts = np.unique(buckets, return_index=True)
    ends = [*starts[1:].tolist(), len(lows)]
    rows = [
        (base + (bucket << BUCKET_SHIFT) + block, lows[start:end].tobytes())
        for bucket, start, end in zip(held.tolist(), starts.tolist(), ends, strict=True)
    ]
    db.executemany("INSERT INTO recall_blocks VALUES (?, ?)", rows)
    lengths = np.bincount(owners.astype(np.int64), (counts * (found < NAMES)).astype(np.float64), BLOCK)
    said = np.zeros(BLOCK, "<u4")
    said[places] = messages.said
    body = np.minimum(lengths, 0xFFFF).astype("<u2").tobytes() + said.tobytes()
    name = blake2b(packed.tobytes(), digest_size=NAME).digest()
    db.execute("INSERT INTO recall_spans VALUES (?, ?)", (base + block, body + name))
