"""Which summary is in force on a path, and which did it replace?

A branch points at its summary, and a summary at the one that it replaced: that is the chain along which
undoing goes back. A branch made later takes the newest link that covers only turns it shares.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from ..conversations import Owner, Summary
from ..errors import TurnNotFound
from .sqlite_conversations import Here, require
from .sqlite_rows import NOW, read_summary

__all__ = ["give_up", "inherited", "summaries", "undo_summary", "write_summary"]


class _Link(NamedTuple):
    key: int
    segment: int
    replaced: int | None
    summary: Summary


LINK = """
SELECT id, segment, replaced, version, upto, text, tokens, model, created_at FROM summaries WHERE id = ?"""


def _chain(db: sqlite3.Connection, here: Here) -> Iterator[_Link]:
    """The summary in force and those it replaced, newest first; of those that another branch wrote, only
    what covers shared turns."""
    bound, key = here.fork, here.summary
    while key is not None:
        link_key, segment, replaced, *row = db.execute(LINK, (key,)).fetchone()
        link = _Link(link_key, segment, replaced, read_summary(row))
        if link.segment == here.segment:
            yield link
        elif link.summary.upto <= bound:
            bound = link.summary.upto
            yield link
        key = link.replaced


def inherited(db: sqlite3.Connection, here: Here, upto: int) -> int | None:
    """The key of the newest summary of this path that stands for no turn after ``upto``."""
    links = (link.key for link in _chain(db, here) if link.summary.upto <= upto)
    return next(links, None)


def give_up(db: sqlite3.Connection, here: Here, turn: int) -> Here:
    """This turn is about to change: what was summarised of it no longer holds."""
    if here.summary is None:
        return here
    return _put_in_force(db, here, inherited(db, here, turn - 1))


def _put_in_force(db: sqlite3.Connection, here: Here, key: int | None) -> Here:
    db.execute("UPDATE branches SET summary = ? WHERE segment = ?", (key, here.segment))
    return here._replace(summary=key)


def summaries(db: sqlite3.Connection, owner: Owner, name: str, branch: int | None) -> Sequence[Summary]:
    """See `Store.summaries`."""
    return [link.summary for link in _chain(db, require(db, owner, name, branch))]


INSERT = f"""
INSERT INTO summaries (conversation, version, segment, replaced, upto, tokens, created_at, model, text)
SELECT :key, COALESCE(MAX(version), 0) + 1, :segment, :replaced, :upto, :tokens, {NOW}, :model, :text
FROM summaries WHERE conversation = :key
RETURNING id, version, created_at"""


def write_summary(
    db: sqlite3.Connection,
    owner: Owner,
    name: str,
    summary: Summary,
    expected: int | None,
    branch: int | None,
) -> Summary | None:
    """See `Store.write_summary`."""
    here = require(db, owner, name, branch)
    present = next(_chain(db, here), None)
    if expected != (present and present.summary.version):
        return None
    if not 1 <= summary.upto <= here.head:
        raise TurnNotFound(wanted=summary.upto, conversation=name)
    values = {
        "key": here.key,
        "segment": here.segment,
        "replaced": present and present.key,
        "upto": summary.upto,
        "tokens": summary.tokens,
        "model": summary.model,
        "text": summary.text.encode(),
    }
    key, version, millis = db.execute(INSERT, values).fetchone()
    _put_in_force(db, here, key)
    return Summary(version, summary.upto, summary.text, summary.tokens, summary.model, millis / 1000)


def undo_summary(db: sqlite3.Connection, owner: Owner, name: str, branch: int | None) -> Summary | None:
    """See `Store.undo_summary`."""
    here = require(db, owner, name, branch)
    links = list(islice(_chain(db, here), 2))
    before = links[1] if len(links) > 1 else None
    if links:
        _put_in_force(db, here, before and before.key)
    return before and before.summary
