"""Which terms are in stored messages, and when was each of them said?"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from functools import lru_cache
from struct import pack

import orjson

from ..conversations import TurnState
from ..messages import Trait
from ..search.terms import names, searchable, terms
from .sqlite_rows import ROLE_NUMBERS

__all__ = ["COUNT_BITS", "FINDABLE", "MOST", "Said", "words"]

Said = tuple[int, int, bytes]
"""The key of a message, when it was said (seconds since 1970), and its terms, of 32 bits each: the term
and how often it stands there."""

COUNT_BITS = 4
MOST = (1 << COUNT_BITS) - 1
"""A term that stands in a message more often is counted as so many."""

USER, ASSISTANT = ROLE_NUMBERS["user"], ROLE_NUMBERS["assistant"]
STOPPED = Trait.STOPPED
LATEST = (1 << 32) - 1
SHORT = 1024
"""Bytes of a message up to which its terms are kept in memory for a while."""

FINDABLE = f"""(t.state = {int(TurnState.COMPLETED)}
    OR t.state = {int(TurnState.INCOMPLETE)} AND (t.traits & {STOPPED}) <> 0)"""
"""Whether what a turn ``t`` says may be found: it is completed, or was stopped by its user."""
OPENING = """
SELECT (m.id & ~4294967295) + t.before FROM messages m
    JOIN turns t ON t.id = (m.id & ~4294967295) + m.turn WHERE m.id = ?"""
MESSAGES = f"""
SELECT m.id, m.body, m.facts, t.id, t.created_at FROM messages m
    JOIN turns t ON t.id = (m.id & ~4294967295) + m.turn
WHERE m.id BETWEEN ? AND ? AND m.role IN ({USER}, {ASSISTANT})
    AND {FINDABLE}
ORDER BY m.id"""


def words(db: sqlite3.Connection, first: int, last: int) -> list[Said]:
    """The messages between these keys, of one segment, that have words and may be found. One that does not
    know when it was said was said with the one before it in its turn."""
    opening = db.execute(OPENING, (first,)).fetchone()
    found: list[Said] = []
    turn = said = 0
    for key, body, facts, its_turn, created_at in db.execute(
        MESSAGES, (opening[0] if opening else first, last)
    ):
        if its_turn != turn:
            turn, said = its_turn, created_at // 1000
        if facts is not None:
            said = _said_at(facts, said)
        packed = _packed(body) if key >= first else b""
        if packed:
            found.append((key, said, packed))
    return found


def _packed(body: bytes) -> bytes:
    """The terms of a message; one without words has none."""
    return _packed_lately(body) if len(body) <= SHORT else _packed_anew(body)


@lru_cache(maxsize=256)
def _packed_lately(body: bytes) -> bytes:
    """What waits is read by each question until it goes into the index: its terms are worked out once."""
    return _packed_anew(body)


def _packed_anew(body: bytes) -> bytes:
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


def _opened(body: bytes) -> Mapping[str, object]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = _opened_leniently(body)
    return value if isinstance(value, dict) else {}


def _opened_leniently(body: bytes) -> object:
    """Bodies are kept as they came, with numbers of any size."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def _said_at(facts: bytes, otherwise: int) -> int:
    """When the message was said, in seconds: an imported one may know it."""
    moment = _opened(facts).get("created_at")
    if isinstance(moment, int | float) and 0 <= moment <= LATEST:
        return int(moment)
    return otherwise
