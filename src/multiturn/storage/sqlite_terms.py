"""How do the words of a turn get into the index of recall, and out of it?

The newest messages lie by message, in ``recall_tail``. A block of 512 messages that cannot change any
more is turned round to lie by term, in ``recall_blocks``, within the same transaction, and never
written again: only the last turn of a segment ever changes, and it stays in the tail.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from struct import pack

import orjson

from ..conversations import TurnState
from ..messages import Trait
from ..search.terms import NAMES, names, searchable, terms
from .sqlite_rows import ROLE_NUMBERS, SEGMENT, last_key

__all__ = [
    "BLOCK",
    "BUCKET_SHIFT",
    "COUNT_BITS",
    "MOST",
    "PLACE_BITS",
    "SUB_BITS",
    "forget",
    "forget_segment",
    "index",
]

BLOCK_BITS = PLACE_BITS = 9
BLOCK = 1 << BLOCK_BITS
SLACK = 128
"""Messages more than a block that the tail grows to before a block is turned round."""
COUNT_BITS = 4
MOST = (1 << COUNT_BITS) - 1
"""A term that stands in a message more often is counted as so many."""
SUB_BITS = 19
"""Lower bits of a term, which are written out in a block; the upper ones are in the key of its row."""
BUCKET_SHIFT = 23
BACKLOG_TURNS = 500
"""Turns from before there was an index that are caught up with at one time."""

USER, ASSISTANT = ROLE_NUMBERS["user"], ROLE_NUMBERS["assistant"]
STOPPED = Trait.STOPPED
LATEST = (1 << 32) - 1

TURN = "SELECT state, traits, before, messages, created_at FROM turns WHERE id = ?"
MESSAGES = f"""
SELECT id, body, facts FROM messages WHERE id >= ? AND id < ? AND role IN ({USER}, {ASSISTANT})
ORDER BY id"""


def index(db: sqlite3.Connection, turn: int) -> None:
    """Bring the index up to date with the turn that has this key, the last of its segment. A turn that
    is not completed, nor was stopped by its user, is not in it."""
    before = _put_in(db, turn)
    if before is not None:
        _turn_round(db, turn // SEGMENT, _caught_up(db, turn, before))


def _put_in(db: sqlite3.Connection, turn: int) -> int | None:
    """Put the words of a turn into the tail, if they may be found; gives its first message's number."""
    state, traits, before, count, created_at = db.execute(TURN, (turn,)).fetchone()
    if state != TurnState.COMPLETED and not (state == TurnState.INCOMPLETE and traits & STOPPED):
        return None
    first = turn // SEGMENT * SEGMENT + before
    rows = db.execute(MESSAGES, (first, first + count)).fetchall()
    db.executemany("INSERT OR REPLACE INTO recall_tail VALUES (?, ?, ?)", _tail_rows(rows, created_at))
    return int(before)


def forget(db: sqlite3.Connection, first: int, last: int) -> None:
    """The messages with these keys, the last of their segment, cannot be found any more."""
    db.execute("DELETE FROM recall_tail WHERE id BETWEEN ? AND ?", (first, last))


def forget_segment(db: sqlite3.Connection, segment: int) -> None:
    """Nothing of the segment can be found any more."""
    keys = segment * SEGMENT, last_key(segment)
    for table in ("recall_tail", "recall_blocks", "recall_spans"):
        db.execute(f"DELETE FROM {table} WHERE id BETWEEN ? AND ?", keys)
    db.execute("DELETE FROM recall_backlog WHERE segment = ?", (segment,))


# ------------------------------------------------------------------------------------------ words


def _tail_rows(
    rows: Sequence[tuple[int, bytes, bytes | None]], created_at: int
) -> list[tuple[int, int, bytes]]:
    """Those that have words. One that does not know when it was said was said with the one before it."""
    found = []
    said = created_at // 1000
    for key, body, facts in rows:
        said = _said_at(facts, said)
        packed = _packed(body)
        if packed:
            found.append((key, said, packed))
    return found


def _packed(body: bytes) -> bytes:
    """The terms of a message; one without words has none."""
    message = _opened(body)
    counts = terms(searchable(message.get("content")))
    if not counts:
        return b""
    if max(counts.values()) > MOST:
        counts = {term: min(count, MOST) for term, count in counts.items()}
    found = [term << COUNT_BITS | count for term, count in counts.items()]
    name = message.get("name")
    if isinstance(name, str):
        found += [term << COUNT_BITS | 1 for term in names(name)]
    return pack(f"<{len(found)}I", *found)


def _opened(body: bytes | None) -> Mapping[str, object]:
    try:
        value = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        value = _opened_leniently(body or b"")
    return value if isinstance(value, dict) else {}


def _opened_leniently(body: bytes) -> object:
    """Bodies are kept as they came, with numbers of any size."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def _said_at(facts: bytes | None, otherwise: int) -> int:
    """When the message was said, in seconds: an imported one may know it."""
    moment = _opened(facts).get("created_at") if facts else None
    if isinstance(moment, int | float) and 0 <= moment <= LATEST:
        return int(moment)
    return otherwise


# ----------------------------------------------------------------------------------------- blocks

OLDEST = "SELECT MIN(id) FROM recall_tail WHERE id BETWEEN ? AND ?"
OF_BLOCK = "SELECT id, said, terms FROM recall_tail WHERE id BETWEEN ? AND ? ORDER BY id"


def _turn_round(db: sqlite3.Connection, segment: int, settled: int) -> None:
    """Have the blocks lie by term whose messages are all before the segment's message ``settled``."""
    base = segment * SEGMENT
    while True:
        oldest = db.execute(OLDEST, (base, last_key(segment))).fetchone()[0]
        if oldest is None:
            return
        block = (oldest - base) >> BLOCK_BITS
        if (block + 1) * BLOCK + SLACK > settled:
            return
        first = base + block * BLOCK
        rows = db.execute(OF_BLOCK, (first, first + BLOCK - 1)).fetchall()
        _write_block(db, base, block, rows)
        forget(db, first, first + BLOCK - 1)


def _write_block(
    db: sqlite3.Connection, base: int, block: int, rows: Sequence[tuple[int, int, bytes]]
) -> None:
    import numpy as np

    records = np.frombuffer(b"".join(row[2] for row in rows), "<u4").astype(np.uint64)
    sizes = [len(row[2]) // 4 for row in rows]
    places = np.array([row[0] % BLOCK for row in rows], np.uint64)
    owners = np.repeat(places, sizes)
    found = records >> np.uint64(COUNT_BITS)
    counts = records & np.uint64(MOST)
    packed = np.sort((found << np.uint64(PLACE_BITS) | owners) << np.uint64(COUNT_BITS) | counts)
    buckets = packed >> np.uint64(SUB_BITS + PLACE_BITS + COUNT_BITS)
    lows = packed.astype("<u4")
    held, starts = np.unique(buckets, return_index=True)
    ends = [*starts[1:].tolist(), len(lows)]
    db.executemany(
        "INSERT INTO recall_blocks VALUES (?, ?)",
        [
            (base + (bucket << BUCKET_SHIFT) + block, lows[start:end].tobytes())
            for bucket, start, end in zip(held.tolist(), starts.tolist(), ends, strict=True)
        ],
    )
    lengths = np.bincount(owners.astype(np.int64), (counts * (found < NAMES)).astype(np.float64), BLOCK)
    said = np.zeros(BLOCK, "<u4")
    said[places.astype(np.int64)] = [row[1] for row in rows]
    body = np.minimum(lengths, 0xFFFF).astype("<u2").tobytes() + said.tobytes()
    db.execute("INSERT INTO recall_spans VALUES (?, ?)", (base + block, body))


# ---------------------------------------------------------------------------------------- backlog


def _caught_up(db: sqlite3.Connection, turn: int, before: int) -> int:
    """Put some turns into the index that were stored before there was one; gives the message of the
    segment up to which nothing is missing."""
    segment, number = divmod(turn, SEGMENT)
    row = db.execute("SELECT next FROM recall_backlog WHERE segment = ?", (segment,)).fetchone()
    if row is None:
        return before
    base = segment * SEGMENT
    last = min(row[0] + BACKLOG_TURNS, number)
    for key in range(base + row[0], base + last):
        _put_in(db, key)
    if last == number:
        db.execute("DELETE FROM recall_backlog WHERE segment = ?", (segment,))
        return before
    db.execute("UPDATE recall_backlog SET next = ? WHERE segment = ?", (last, segment))
    return int(db.execute("SELECT before FROM turns WHERE id = ?", (base + last,)).fetchone()[0])
