"""Which summary is in force on a path, and which did it replace?

A branch points at its summary, and a summary at the one that it replaced: that is the chain along which
undoing goes back. A branch made later takes the newest link that covers only turns it shares.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from ..conversations import Owner, Summary
from ..errors import TurnNotFound
from .records import Due
from .sqlite_conversations import Here, require
from .sqlite_dues import end_claim, holds
from .sqlite_rows import NOW, read_summary

__all__ = ["give_up", "inherited", "summaries", "undo_summary", "write_summary"]


class _Link(NamedTuple):
    key: int
    summary: Summary


LINK = """
SELECT id, segment, replaced, version, upto, text, tokens, model, created_at FROM summaries WHERE id = ?"""


def _chain(db: sqlite3.Connection, segment: int, fork: int, key: int | None) -> Iterator[_Link]:
    """The summary in force and those it replaced, newest first; of those that another branch wrote, only
    what covers shared turns."""
    bound = fork
    while key is not None:
        link_key, writer, replaced, *row = db.execute(LINK, (key,)).fetchone()
        link = _Link(link_key, read_summary(row))
        if writer == segment:
            yield link
        elif link.summary.upto <= bound:
            bound = link.summary.upto
            yield link
        key = replaced


def _links(db: sqlite3.Connection, here: Here) -> Iterator[_Link]:
    return _chain(db, here.segment, here.fork, here.summary)


def inherited(db: sqlite3.Connection, here: Here, upto: int) -> int | None:
    """The key of the newest summary of this path that stands for no turn after ``upto``."""
    return _newest(_links(db, here), upto)


def _newest(links: Iterable[_Link], upto: int) -> int | None:
    return next((link.key for link in links if link.summary.upto <= upto), None)


SHARING = """
WITH RECURSIVE sharing (segment, fork) AS (
    SELECT :segment, 0
    UNION ALL
    SELECT b.segment, b.fork FROM branches b JOIN sharing s ON b.parent = s.segment
        AND b.fork >= CASE WHEN s.segment = :segment THEN :turn ELSE s.fork + 1 END
    WHERE b.conversation = :key
)
SELECT segment, fork, summary FROM branches WHERE segment IN (SELECT segment FROM sharing)"""


def give_up(db: sqlite3.Connection, here: Here, turn: int, *, gone: bool = False) -> None:
    """This turn, which the branch owns, is about to change: nobody who shares it has it summarised. If it
    is ``gone``, or back again, what is being written now does not know of that."""
    values = {"segment": here.segment, "turn": turn, "key": here.key}
    for segment, fork, key in db.execute(SHARING, values).fetchall():
        if key is not None:
            _put_in_force(db, segment, _newest(_chain(db, segment, fork, key), turn - 1))
        if gone:
            end_claim(db, segment)


def _put_in_force(db: sqlite3.Connection, segment: int, key: int | None) -> None:
    db.execute("UPDATE branches SET summary = ? WHERE segment = ?", (key, segment))


def summaries(db: sqlite3.Connection, owner: Owner, name: str, branch: int | None) -> Sequence[Summary]:
    """See `Store.summaries`."""
    return [link.summary for link in _links(db, require(db, owner, name, branch))]


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
    due: Due | None = None,
) -> Summary | None:
    """See `Store.write_summary`."""
    here = require(db, owner, name, branch)
    if due is not None and not holds(db, here.segment, due):
        return None
    present = next(_links(db, here), None)
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
    _put_in_force(db, here.segment, key)
    return Summary(version, summary.upto, summary.text, summary.tokens, summary.model, millis / 1000)


def undo_summary(db: sqlite3.Connection, owner: Owner, name: str, branch: int | None) -> Summary | None:
    """See `Store.undo_summary`."""
    here = require(db, owner, name, branch)
    links = list(islice(_links(db, here), 2))
    before = links[1] if len(links) > 1 else None
    if links:
        _put_in_force(db, here.segment, before and before.key)
    return before and before.summary
