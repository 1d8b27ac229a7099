"""What of a branch may a window be built from?

`gather` is the way of every request: it walks the path (`sqlite_pieces`) backwards and stops as soon as a
bound is passed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from ..conversations import Owner, Settings, Summary, TurnState
from ..errors import ConversationError, ConversationNotFound, TurnNotFound
from ..messages import Trait
from ..path import Cut, MessageRow, Path, Source, TurnRow, Withheld
from ..phrases import Reason
from .records import Reach
from .sqlite_models import model_facts
from .sqlite_pieces import HEAD_COLUMNS, Head, backwards, head_of, messages_before
from .sqlite_rows import (
    LASTS,
    MESSAGE,
    MESSAGE_COLUMNS,
    SEGMENT,
    STANDING,
    read_settings,
    read_summary,
    to_message,
)
from .sqlite_sources import sources
from .sqlite_withheld import STANDS, WITHHELD, withheld_before

__all__ = ["gather"]

INSTRUCTION, PINNED, EXCLUDED = Trait.INSTRUCTION, Trait.PINNED, Trait.EXCLUDED
QUOTED = int(Trait.QUOTED)
WITHDRAWN, STOPPED = Trait.RETRACTED | Trait.MODERATED, Trait.STOPPED

HEAD = f"""
SELECT {HEAD_COLUMNS}
FROM conversations c CROSS JOIN branches b ON b.segment = c.segment
    LEFT JOIN settings s ON s.id = c.settings
WHERE c.tenant = ? AND c.name = ?"""
"""CROSS: SQLite takes them in this order, and a new connection plans no other."""
HEAD_OF_BRANCH = f"""
SELECT {HEAD_COLUMNS}
FROM conversations c LEFT JOIN branches b ON b.conversation = c.id AND b.number = ?
    LEFT JOIN settings s ON s.id = c.settings
WHERE c.tenant = ? AND c.name = ?"""
STILL_THERE = f"SELECT 1 FROM conversations c WHERE c.tenant = ? AND c.name = ? AND {LASTS}"
"""Few conversations end by themselves: those that do are asked apart, since the question takes a third of the
time in which a new connection prepares that of `HEAD`."""
FIGURES = """
SELECT id & 4294967295, state, traits, tokens, reasoning_tokens, messages
FROM turns WHERE id BETWEEN ? AND ? ORDER BY id DESC"""
TOKENS = """
SELECT CASE WHEN state = 3 AND reasoning_tokens = 0 THEN
    CASE traits WHEN 0 THEN tokens WHEN 262144 THEN -1 - tokens END END
FROM turns WHERE id BETWEEN ? AND ? ORDER BY id DESC"""
"""Of a turn that is not ordinary: NULL; of one in front of which something is quoted (262144: QUOTED) less
than nought."""
QUOTES = "SELECT message, text FROM quotes WHERE message >= ? AND message < ? ORDER BY message"
BEFORE = "SELECT before FROM turns WHERE id = ?"
BODIES = "SELECT body FROM messages WHERE id >= ? AND id < ?"
ROWS = f"""
SELECT {MESSAGE}, m.id & 4294967295
FROM turns t CROSS JOIN messages m ON m.id >= (t.id & ~4294967295) + t.before
    AND m.id < (t.id & ~4294967295) + t.before + t.messages
WHERE t.id BETWEEN ? AND ?"""
STANDING_ROWS = f"""{ROWS} AND (t.traits & {STANDING}) <> 0 AND ((m.traits & {INSTRUCTION}) <> 0
    OR (t.traits & {PINNED}) <> 0 AND (t.traits & {WITHDRAWN}) = 0 AND (t.marks & {EXCLUDED}) = 0
    AND (t.state IN (2, 3) OR t.state = 4 AND (t.traits & {STOPPED}) <> 0)
    AND NOT EXISTS (SELECT 1 FROM messages u WHERE u.id >= (t.id & ~4294967295) + t.before
        AND u.id < (t.id & ~4294967295) + t.before + t.messages
        AND u.role = 0 AND (u.traits & {EXCLUDED}) <> 0))"""
"""Instructions, which stay in force whatever became of their turn, and pinned turns whole, where they
may be sent at all: not failed, crashed, withdrawn, refused, nor excluded."""


def gather(db: sqlite3.Connection, owner: Owner, name: str, reach: Reach, branch: int | None) -> Path:
    """See `Store.gather`."""
    path = _gather(db, owner, name, reach, branch)
    return path._replace(facts=model_facts(db)) if reach.facts else path


def _gather(db: sqlite3.Connection, owner: Owner, name: str, reach: Reach, branch: int | None) -> Path:
    if branch is None:
        row = db.execute(HEAD, (owner.tenant, name)).fetchone()
    else:
        row = db.execute(HEAD_OF_BRANCH, (branch, owner.tenant, name)).fetchone()
    if row is None:
        return Path()
    place = head_of(row)
    if place.expires_after is not None and not db.execute(STILL_THERE, (owner.tenant, name)).fetchone():
        return Path()
    if owner.user is not None and owner.user != place.user:
        raise ConversationNotFound(conversation=name)
    if place.segment is None:
        raise ConversationError(Reason("why.no_branch", branch=branch))
    settings = read_settings(place.version, place.settings)
    cut = None if place.cut_turn is None else Cut(place.cut_turn, place.cut_key or "", place.cut_scale)
    first = cut.turn if cut is not None and cut.key == reach.key else 1
    told = place.summary if reach.summary else None
    summary = None if told is None else _summary(db, told, reach)
    if summary is not None:
        first = max(first, summary.upto + 1)
    known = settings, cut, summary, first
    if not place.standing & STANDS and reach.current is None:
        ordinary = _ordinary_path(db, reach, place, known)
        if ordinary is not None:
            return ordinary
    return _path(db, name, reach, place, known)


SUMMARY = "SELECT version, upto, text, tokens, model, created_at FROM summaries WHERE id = ?"
"""Most paths have none: a query for those that do is cheaper than one join for all."""


def _summary(db: sqlite3.Connection, key: int, reach: Reach) -> Summary | None:
    """The one in force, unless it tells of turns that are not to be read."""
    summary = read_summary(db.execute(SUMMARY, (key,)).fetchone())
    return summary if reach.before is None or summary.upto < reach.before else None


_Known = tuple[Settings, Cut | None, Summary | None, int]
"""What is in force on the path, and the first turn that is read."""


def _ordinary_path(db: sqlite3.Connection, reach: Reach, place: Head, known: _Known) -> Path | None:
    """The path, where all that is wanted of it are ordinary turns of the branch's own segment. Nearly
    always they are: then the tokens say everything, and one column is read in half the time of all.
    """
    settings, cut, summary, first = known
    last = place.head if reach.before is None else min(place.head, reach.before - 1)
    low = max(first, place.fork + 1)
    base = place.segment * SEGMENT
    read = _ordinary_turns(db, reach, base + low, base + last)
    if read is None or not read.turns or (first < low and not read.full):
        return None
    turns, number = read.turns, last - len(read.turns)
    end = place.messages if last == place.head else _before(db, base + last + 1)
    start = end - 2 * len(turns)
    quotes = _quotes(db, turns, base + start) if read.quoted else ()
    if quotes is None:
        return None
    withheld, told_from = _withheld(db, place, number)
    return Path(
        settings=settings,
        turns=turns,
        bodies=[body for (body,) in db.execute(BODIES, (base + start, base + end))],
        cut=cut,
        earlier_turns=number,
        earlier_messages=place.shared + start,
        branch=place.number,
        summary=summary,
        summarised=_summarised(db, place, summary, number),
        request=place.request,
        withheld=withheld,
        told_from=told_from,
        quotes=quotes,
    )


class _Ordinary(NamedTuple):
    """Ordinary turns, newest first; whether one passed a bound, and whether something is quoted in them."""

    turns: list[TurnRow]
    full: bool
    quoted: bool


def _ordinary_turns(db: sqlite3.Connection, reach: Reach, low: int, last: int) -> _Ordinary | None:
    """The turns with these keys, none after one that passes a bound; ``None`` where one is not ordinary."""
    turns: list[TurnRow] = []
    tokens = NO_BOUND if reach.tokens is None else reach.tokens
    number, most, quoted = last % SEGMENT, _most_turns(reach), False
    for (its_tokens,) in db.execute(TOKENS, (low, last)):
        if its_tokens is None:
            return None
        if its_tokens >= 0:
            turns.append(turn_row((number, COMPLETED, 0, its_tokens, 0, 2)))
            tokens -= its_tokens
        else:
            turns.append(turn_row((number, COMPLETED, QUOTED, -1 - its_tokens, 0, 2)))
            tokens += 1 + its_tokens
            quoted = True
        number -= 1
        if tokens < 0 or len(turns) > most:
            return _Ordinary(turns, full=True, quoted=quoted)
    return _Ordinary(turns, full=False, quoted=quoted)


def _quotes(
    db: sqlite3.Connection, turns: Sequence[TurnRow], start: int
) -> Sequence[tuple[int, bytes]] | None:
    """What is quoted in front of these turns, whose messages have the keys from ``start`` on, by their place;
    ``None`` where some of it is missing."""
    places = [2 * place for place, turn in enumerate(reversed(turns)) if turn.traits]
    rows = db.execute(QUOTES, (start, start + 2 * len(turns)))
    quotes = [(message - start, text) for message, text in rows]
    return quotes if [place for place, _ in quotes] == places else None


def _summarised(db: sqlite3.Connection, place: Head, summary: Summary | None, unread: int) -> int | None:
    """How many messages a summary stands for, where turns behind those were not read either."""
    if summary is None or summary.upto >= unread:
        return None
    return messages_before(db, place, summary.upto + 1)


def _most_turns(reach: Reach) -> int:
    """So many ordinary turns, of two messages each, pass no bound of their number."""
    most = NO_BOUND if reach.turns is None else reach.turns
    return most if reach.messages is None else min(most, reach.messages // 2)


def _path(db: sqlite3.Connection, name: str, reach: Reach, place: Head, known: _Known) -> Path:
    settings, cut, summary, first = known
    last = place.head if reach.before is None else min(place.head, reach.before - 1)
    turns, read, ordinary = _figures(db, place, last, reach, first)
    oldest = turns[-1].number if turns else max(1, min(first, last + 1))
    bodies: list[bytes] = []
    rows: list[MessageRow] | None = None
    if ordinary:
        for stretch in reversed(read):
            bodies += [body for (body,) in db.execute(BODIES, stretch.messages)]
    else:
        rows = [to_message(db, row) for stretch in reversed(read) for row in db.execute(ROWS, stretch.turns)]
    apart = _standing(db, place, oldest - 1) if place.standing & STANDS else ()
    withheld, told_from = _withheld(db, place, oldest - 1)
    current = () if reach.current is None else _current(db, place, reach.current, name)
    return Path(
        settings=settings,
        turns=turns,
        bodies=bodies,
        rows=rows,
        standing=[row for row, _ in apart],
        standing_at=[index for _, index in apart],
        current=current,
        sources=_sources(db, place, current),
        cut=cut,
        earlier_turns=oldest - 1,
        earlier_messages=read[-1].earlier if read else messages_before(db, place, oldest),
        branch=place.number,
        summary=summary,
        summarised=_summarised(db, place, summary, oldest - 1),
        request=place.request,
        withheld=withheld,
        told_from=told_from,
    )


class _Stretch(NamedTuple):
    """A range of turns that was read, all in one segment: keys of its turns, keys of its messages
    (the last not included), and how many messages the path has before it."""

    turns: tuple[int, int]
    messages: tuple[int, int]
    earlier: int


def _figures(
    db: sqlite3.Connection, place: Head, last: int, reach: Reach, first: int
) -> tuple[list[TurnRow], list[_Stretch], bool]:
    """The turns that are wanted, newest first, where they lie, and whether all are ordinary."""
    room = _Room(db, reach)
    read: list[_Stretch] = []
    for piece in backwards(db, place, last):
        low = max(piece.first, first)
        if piece.last < low:
            break
        base = piece.segment * SEGMENT
        had = room.messages
        room.take(base, low, piece.last)
        oldest = room.turns[-1].number
        start = _before(db, base + oldest)
        read.append(
            _Stretch(
                (base + oldest, base + piece.last),
                (base + start, base + start + had - room.messages),
                piece.shared + start,
            )
        )
        if room.full:
            break
    return room.turns, read, room.ordinary


def _before(db: sqlite3.Connection, turn: int) -> int:
    """How many messages its segment has before the turn with this key."""
    return int(db.execute(BEFORE, (turn,)).fetchone()[0])


class _Room:
    """What was read, and what may still be read: the bounds count down, and below nought is full."""

    def __init__(self, db: sqlite3.Connection, reach: Reach) -> None:
        self.db = db
        self.turns: list[TurnRow] = []
        self.full = False
        self.tokens = NO_BOUND if reach.tokens is None else reach.tokens
        self.messages = NO_BOUND if reach.messages is None else reach.messages
        self.number = NO_BOUND if reach.turns is None else reach.turns

    @property
    def ordinary(self) -> bool:
        """Whether all that was read is text by the user and text by the assistant."""
        return all(t.state == COMPLETED and t.traits == 0 and t.reasoning_tokens == 0 for t in self.turns)

    def take(self, base: int, low: int, last: int) -> None:
        """Add the turns from ``last`` down to ``low``, but none after one that passes a bound."""
        for turn in map(turn_row, self.db.execute(FIGURES, (base + low, base + last))):
            self.turns.append(turn)
            self.tokens -= turn.tokens + turn.reasoning_tokens
            self.messages -= turn.messages
            self.number -= 1
            if self.tokens < 0 or self.messages < 0 or self.number < 0:
                self.full = True
                break


NO_BOUND = 1 << 62
COMPLETED = int(TurnState.COMPLETED)
turn_row: Callable[[Iterable[int]], TurnRow] = partial(tuple.__new__, TurnRow)
"""What ``TurnRow._make`` does, without its call: there is one for every turn of every window."""


def _standing(db: sqlite3.Connection, place: Head, last: int) -> list[tuple[MessageRow, int]]:
    """Rows of turns up to ``last`` that must be considered although they lie before the range, each with
    the number of messages that the path has before it."""
    path = list(backwards(db, place, last)) if last else []
    return [
        (to_message(db, row), piece.shared + row[MESSAGE_COLUMNS])
        for piece in reversed(path)
        for row in db.execute(STANDING_ROWS, piece.keys)
    ]


def _withheld(db: sqlite3.Connection, place: Head, last: int) -> tuple[Sequence[Withheld], int]:
    """The turns up to ``last`` that are never sent, and from which on they are all of them."""
    if not (last and place.standing & WITHHELD):
        return (), 1
    return withheld_before(db, _ranges(db, place, last))


def _ranges(db: sqlite3.Connection, place: Head, last: int) -> Iterator[tuple[int, int, int]]:
    """The keys of the first and last turn of each piece up to ``last``, newest first, and how many messages
    the path has before the segment."""
    return ((*piece.keys, piece.shared) for piece in backwards(db, place, last))


def _sources(db: sqlite3.Connection, place: Head, current: Sequence[MessageRow]) -> Sequence[Source]:
    """What is quoted in front of the turn being answered."""
    if not any(row.quote for row in current):
        return ()
    ranges = list(_ranges(db, place, current[0].turn))
    return sources(db, ranges[0][1], ranges)


def _current(db: sqlite3.Connection, place: Head, turn: int, name: str) -> list[MessageRow]:
    key = next((piece.keys[1] for piece in backwards(db, place, turn) if piece.last == turn), None)
    if key is None or turn > place.head:
        raise TurnNotFound(wanted=turn, conversation=name)
    return [to_message(db, row) for row in db.execute(ROWS, (key, key))]
