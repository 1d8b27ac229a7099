"""Which turns before what was read are never sent, wherever they stand? Their own reason is told, not that
of the range they lie in.

A conversation that has any carries a bit in ``standing``, and they have an index of their own: where there
are none nothing is asked, and where there are some no other turn is read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from ..conversations import TurnState
from ..messages import Trait
from ..path import MessageRow, TurnRow, Withheld
from .sqlite_rows import ROLES, SEGMENT, STANDING

__all__ = ["MOST", "STANDS", "WITHHELD", "note_standing", "withheld_before"]

STANDS, WITHHELD = 1, 2
"""The bits of ``standing``: a pin or an instruction was ever on a path; a turn that is never sent was."""
MOST = 256
"""So many are told one by one, the newest: a ledger is kept with every step and must not grow without end."""
GONE = Trait.RETRACTED | Trait.MODERATED | Trait.EXCLUDED
EXCLUDED, STOPPED = Trait.EXCLUDED, Trait.STOPPED
FAILED, INCOMPLETE = TurnState.FAILED, TurnState.INCOMPLETE

TURNS = f"""
SELECT id & 4294967295, state, traits, tokens, reasoning_tokens, messages, before
FROM turns INDEXED BY turns_withheld WHERE id BETWEEN ? AND ?
    AND ((traits & {GONE}) <> 0 OR state = 5 OR (state = 4 AND (traits & {STOPPED}) = 0))
ORDER BY id DESC LIMIT ?"""
"""The condition is that of the index, letter by letter: SQLite compares no meaning."""
MESSAGES = "SELECT role, traits FROM messages WHERE id >= ? AND id < ? ORDER BY id"


def note_standing(db: sqlite3.Connection, conversation: int, traits: int, state: int | None = None) -> None:
    """What a turn with these traits, which ends in this state, makes gathering look for from now on."""
    badly = state == FAILED or (state == INCOMPLETE and not traits & STOPPED)
    bits = (STANDS if traits & STANDING else 0) | (WITHHELD if traits & GONE or badly else 0)
    if bits:
        db.execute("UPDATE conversations SET standing = standing | ? WHERE id = ?", (bits, conversation))


def withheld_before(
    db: sqlite3.Connection, ranges: Iterable[tuple[int, int, int]]
) -> tuple[Sequence[Withheld], int]:
    """Those in these ranges of a path, newest first (keys of the first and last turn, and how many messages
    the path has before the segment), in time order; and from which turn on they are all of them."""
    found: list[Withheld] = []
    for first, last, shared in ranges:
        for row in db.execute(TURNS, (first, last, MOST + 1 - len(found))).fetchall():
            if len(found) == MOST:
                return found[::-1], found[-1].turn.number
            turn = TurnRow(*row[:6])
            found.append(Withheld(turn, shared + row[6], _rows(db, first // SEGMENT, turn, row[6])))
    return found[::-1], 1


def _rows(db: sqlite3.Connection, segment: int, turn: TurnRow, before: int) -> Sequence[MessageRow]:
    """The messages of a turn of which some were left out by hand, without what they say."""
    if not turn.traits & EXCLUDED:
        return ()
    first = segment * SEGMENT + before
    rows = db.execute(MESSAGES, (first, first + turn.messages))
    return [
        MessageRow(turn.number, place, ROLES[role], traits, 0, 0, b"", None, None)
        for place, (role, traits) in enumerate(rows)
    ]
