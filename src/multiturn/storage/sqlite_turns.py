"""How does a turn begin, go on and end?

Every function here runs inside one transaction of the writer. What a lease writes is guarded by its
epoch: a holder that lost it changes no row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..conversations import Owner, Settings, Step, Turn, TurnState
from ..errors import (
    KeyReused,
    MessageEmpty,
    ToolCallUnknown,
    ToolResultsIncomplete,
    TurnClosed,
    TurnNotFound,
)
from ..messages import Trait
from ..phrases import Reason
from ..usage import Cost, Usage
from .records import Begun, Ending, Lease, Partial, Reach, Start, Upon
from .sqlite_branches import new_branch
from .sqlite_conversations import Here, declare, find, find_held, head_key, require, settings_of, title_of
from .sqlite_dues import fall_due
from .sqlite_exchanges import keep_asked, keep_course, step_of_key
from .sqlite_following import followed
from .sqlite_leases import Queued, Running, fenced, line_up, recover, running
from .sqlite_models import calibrate, model_number
from .sqlite_paths import gather
from .sqlite_quotes import keep_quote
from .sqlite_rows import (
    NOW,
    SEGMENT,
    STEP_TOTALS,
    TURN,
    TURN_SOURCES,
    read_calls,
    read_turn,
    total,
    totals,
    usage_columns,
    write_calls,
)
from .sqlite_segments import close_waiting, drop_reply, extend, new_turn, own_head
from .sqlite_terms import CHUNK, index
from .sqlite_withheld import note_standing

__all__ = ["abandon", "append", "begin", "finish", "record", "was_made"]

OPEN = Trait.OPEN
ENDED_BADLY = (TurnState.FAILED, TurnState.INCOMPLETE)


# ------------------------------------------------------------------------------------------ begin


def begin(
    db: sqlite3.Connection,
    owner: Owner,
    name: str,
    start: Start,
    ticket: int | None,
    reach: Reach | None = None,
) -> Begun | Queued:
    """See `Store.begin`; `Queued` where somebody else is at it."""
    here = require(db, owner, name, start.branch, make=start.declared if start.make else None)
    made = _made(db, here, start)
    if made is not None and made.done:
        told = _turn(db, made.turn, here.ulid)
        return Begun(None, told, settings_of(here), step_of_key(db, here.key, start.key))
    unended = running(db, here)
    beside = start.upon is not None and not start.switch
    hindrances = _hindering(db, here, start, made, unended) if beside else unended
    wait, interrupt = start.wait > 0, start.interrupt
    queued = line_up(db, here, ticket, hindrances, wait=wait, interrupt=interrupt, beside=beside)
    if queued is not None:
        return queued
    before, here = here, recover(db, owner, name, here, hindrances)
    settings = declare(db, here, start.declared)
    here = followed(db, owner, name, here, start)
    if start.results is not None:
        here = _go_on(db, here, start)
    elif start.again:
        here = _again(db, here, name)
    else:
        here = _new(db, owner, name, here, start)
    lease = _take(db, owner, name, here, start)
    turn = here.segment * SEGMENT + here.head
    if start.key is not None:
        _remember_key(db, here, start.key, start.digest, made)
    at = keep_asked(db, here, turn, lease.step, start)
    accepted = _turn(db, turn, here.ulid, (None, None) if lease.step == 1 else None)
    path = None if reach is None else gather(db, owner, name, reach.held(lease), lease.branch)
    alone = made is None and not unended and _is_alone(before, start, settings)
    return Begun(lease, accepted, settings, asked_at=at, path=path, alone=alone)


def _is_alone(before: Here, start: Start, settings: Settings) -> bool:
    """Whether beginning this turn changes nothing of what was before it."""
    goes_on = start.results is not None or start.again or start.upon is not None or start.after is not None
    closes = before.head_state in (None, TurnState.WAITING)
    return not (goes_on or closes or start.earlier or settings.version != settings_of(before).version)


def _hindering(
    db: sqlite3.Connection, here: Here, start: Start, made: _Made | None, unended: Sequence[Running]
) -> Sequence[Running]:
    """The turns for which a turn has to wait that follows a step: that of the step itself, while that is
    being made or made anew, and the one that the same request key made. It goes beside all others."""
    segments = {made.turn // SEGMENT} if made else set[int]()
    if here.held_until is not None and start.upon is not None and _is_being_made(db, here, start.upon):
        segments.add(here.segment)
    return [each for each in unended if each.segment in segments]


BEING_MADE = """
SELECT 1 FROM turns t LEFT JOIN exchanges e ON e.turn = t.id AND e.step = :step
WHERE t.id = :turn AND (t.steps = :step OR e.output >= t.messages)"""


def _is_being_made(db: sqlite3.Connection, here: Here, upon: Upon) -> bool:
    """Whether the last turn of the path, which runs, makes this step, or makes its answer anew."""
    values = {"step": upon.step, "turn": head_key(here)}
    return upon.turn == here.head and db.execute(BEING_MADE, values).fetchone() is not None


class _Made(NamedTuple):
    """The turn that a request key made; one that is ``done`` need not be made again."""

    turn: int
    done: bool


MADE = """
SELECT k.digest, k.turn, t.state FROM request_keys k JOIN turns t ON t.id = k.turn
WHERE k.conversation = ? AND k.key = ?"""
DONE = (TurnState.COMPLETED, TurnState.WAITING)


def _made(db: sqlite3.Connection, here: Here, start: Start) -> _Made | None:
    if start.key is None:
        return None
    row = db.execute(MADE, (here.key, start.key)).fetchone()
    if row is None:
        return None
    if row[0] != start.digest:
        raise KeyReused(key=start.key)
    return _Made(row[1], row[2] in DONE)


def was_made(db: sqlite3.Connection, owner: Owner, name: str, key: str) -> bool:
    """See `Store.was_made`."""
    here = find(db, owner, name)
    row = None if here is None else db.execute(MADE, (here.key, key)).fetchone()
    return row is not None and row[2] in DONE


def _remember_key(db: sqlite3.Connection, here: Here, key: str, digest: bytes, made: _Made | None) -> None:
    """The key is that of the last turn now, and no longer that of the one it made before."""
    turn = here.segment * SEGMENT + here.head
    if made is not None:
        db.execute("UPDATE turns SET key = NULL WHERE id = ? AND key = ?", (made.turn, key))
    db.execute("INSERT OR REPLACE INTO request_keys VALUES (?, ?, ?, ?)", (here.key, key, digest, turn))
    db.execute("UPDATE turns SET key = ? WHERE id = ?", (key, turn))


def _new(db: sqlite3.Connection, owner: Owner, name: str, here: Here, start: Start) -> Here:
    """A new turn, on a new branch where one is wanted."""
    if not start.entries:
        raise MessageEmpty
    if start.after is not None:
        number, segment = new_branch(db, here, name, start.after)
        db.execute("UPDATE conversations SET segment = ? WHERE id = ?", (segment, here.key))
        here = require(db, owner, name, number)
    close_waiting(db, here)
    for entries in start.earlier:
        new_turn(db, here, entries, TurnState.COMPLETED)
        here = here._replace(head=here.head + 1, messages=here.messages + len(entries))
    new_turn(db, here, start.entries, TurnState.ACCEPTED)
    return here._replace(head=here.head + 1)


def _head(db: sqlite3.Connection, here: Here) -> tuple[TurnState, tuple[str, ...]] | None:
    row = db.execute("SELECT state, open_calls FROM turns WHERE id = ?", (head_key(here),)).fetchone()
    return None if row is None else (TurnState(row[0]), read_calls(row[1]))


def _go_on(db: sqlite3.Connection, here: Here, start: Start) -> Here:
    """The waiting turn gets the results of its calls, and its next step."""
    head = _head(db, here)
    open_calls = head[1] if head and head[0] is TurnState.WAITING else ()
    results = start.results or ()
    _check_results(results, open_calls)
    here = own_head(db, here)
    extend(db, here, start.entries)
    db.execute(
        "UPDATE turns SET state = ?, open_calls = NULL, marks = marks & ~?, traits = traits & ~?,"
        " steps = steps + 1 WHERE id = ?",
        (TurnState.STREAMING, OPEN, OPEN, here.segment * SEGMENT + here.head),
    )
    return here


def _check_results(results: Sequence[str], open_calls: Sequence[str]) -> None:
    left = list(open_calls)
    for call in results:
        if call not in left:
            raise ToolCallUnknown(call=call, open=", ".join(open_calls) or Reason("why.none_open"))
        left.remove(call)
    if left:
        raise ToolResultsIncomplete(missing=", ".join(left))
    if not open_calls:
        raise TurnClosed(Reason("why.no_open_call"))


def _again(db: sqlite3.Connection, here: Here, name: str) -> Here:
    """The last turn, which failed, once more from its input."""
    head = _head(db, here)
    if head is None:
        raise TurnNotFound(wanted=1, conversation=name)
    if head[0] not in ENDED_BADLY:
        raise TurnClosed(Reason("why.not_failed", turn=here.head))
    here = own_head(db, here)
    gone = Trait.STOPPED | Trait.MODERATED | Trait.OPEN
    db.execute(
        "UPDATE turns SET state = ?, open_calls = NULL, marks = marks & ~?, error = NULL, model = NULL,"
        " steps = steps + 1 WHERE id = ?",
        (TurnState.ACCEPTED, gone, here.segment * SEGMENT + here.head),
    )
    drop_reply(db, here)
    return here


def _take(db: sqlite3.Connection, owner: Owner, name: str, here: Here, start: Start) -> Lease:
    """Take the lease on the last turn of the path."""
    turn, epoch = here.segment * SEGMENT + here.head, here.epoch + 1
    title, until = here.title or title_of(start.entries), here.now + int(start.hold * 1000)
    db.execute(
        "UPDATE branches SET epoch = ?, held_until = ?, stop = 0 WHERE segment = ?",
        (epoch, until, here.segment),
    )
    db.execute("UPDATE conversations SET updated_at = ?, title = ? WHERE id = ?", (here.now, title, here.key))
    step = db.execute("SELECT steps FROM turns WHERE id = ?", (turn,)).fetchone()[0]
    at = (here.key, here.segment, here.ulid, here.branch, here.head)
    return Lease(owner, name, *at, step, epoch, start.limited)


_Spent = tuple[Usage | None, Cost | None]


def _turn(db: sqlite3.Connection, key: int, ulid: str, spent: _Spent | None = None) -> Turn:
    """The turn with this key; ``spent`` is what its steps consumed, where that is known."""
    row = db.execute(f"SELECT {TURN} FROM {TURN_SOURCES} WHERE t.id = ?", (key,)).fetchone()
    return read_turn(row, ulid, _spent(db, key) if spent is None else spent)


def _spent(db: sqlite3.Connection, turn: int) -> _Spent:
    rows = db.execute(f"SELECT {STEP_TOTALS} FROM steps WHERE turn = ? GROUP BY turn, currency", (turn,))
    return totals(rows).get(turn, (None, None))


# ----------------------------------------------------------------------------------- while it runs


def append(db: sqlite3.Connection, lease: Lease, partial: Partial) -> bool:
    """See `Store.append`."""
    going = fenced(db, lease)
    if partial.text or partial.reasoning is not None or partial.course:
        thoughts = None if partial.reasoning is None else partial.reasoning.encode("utf-8", "replace")
        db.execute(
            "INSERT INTO partials SELECT ?1, COALESCE(MAX(number), 0) + 1, ?2, ?3, ?4 FROM partials"
            " WHERE segment = ?1",
            (lease.segment, partial.text.encode("utf-8", "replace"), thoughts, partial.course or None),
        )
    turn = lease.segment * SEGMENT + lease.turn
    db.execute("UPDATE turns SET state = 1 WHERE state = 0 AND id = ?", (turn,))
    return going


# -------------------------------------------------------------------------------------------- end

INSERT_STEP = f"""
INSERT INTO steps (turn, number, created_at, model, input, output, cached, cache_write, reasoning, estimated,
    amount, currency, raw, finish_reason, response_id, error, seconds, ledger)
VALUES (?, ?, COALESCE(?, {NOW}), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""


def finish(db: sqlite3.Connection, lease: Lease, ending: Ending) -> Turn:
    """See `Store.finish`."""
    turn, here = _release(db, lease)
    step = ending.step
    model = model_number(db, step.model or None)
    extend(db, here, ending.entries, step.model or None)
    marks = ending.traits | (OPEN if ending.open_calls else 0)
    db.execute(
        "UPDATE turns SET state = ?, marks = (marks & ~?) | ?, traits = (traits & ~?) | ?, open_calls = ?,"
        " error = ?, model = ? WHERE id = ?",
        (ending.state, OPEN, marks, OPEN, marks, write_calls(ending.open_calls), ending.error, model, turn),
    )
    note_standing(db, here.key, ending.traits, ending.state)
    consumed = usage_columns(step)
    _keep_step(db, turn, lease.step, model, step, consumed, here.now)
    keep_course(db, turn, lease.step, ending.course)
    calibrate(db, model, step.usage, ending.counted)
    if ending.quote is not None:
        keep_quote(db, lease, turn, ending.quote)
    _keep_with_branch(db, here.segment, ending)
    if here.messages - here.indexed >= CHUNK:
        index(db, here.segment)
    return _turn(db, turn, lease.ulid, total(consumed) if lease.step == 1 else None)


def _keep_step(
    db: sqlite3.Connection,
    turn: int,
    number: int,
    model: int | None,
    step: Step,
    consumed: Sequence[Any],
    now: int | None = None,
) -> None:
    told = (step.finish_reason, step.response_id, step.error, step.seconds, step.ledger)
    db.execute(INSERT_STEP, (turn, number, now, model, *consumed, *told))


def record(db: sqlite3.Connection, owner: Owner, name: str, step: Step, branch: int | None) -> None:
    """See `Store.record`."""
    key = require(db, owner, name, branch).segment * SEGMENT
    number = db.execute("SELECT COALESCE(MAX(number), 0) + 1 FROM steps WHERE turn = ?", (key,)).fetchone()[0]
    _keep_step(db, key, number, model_number(db, step.model or None), step, usage_columns(step))


def _keep_with_branch(db: sqlite3.Connection, segment: int, ending: Ending) -> None:
    if ending.cut is not None:
        db.execute(
            "UPDATE branches SET cut_turn = ?, cut_key = ?, cut_scale = ? WHERE segment = ?",
            (*ending.cut, segment),
        )
    if ending.request is not None:
        db.execute("UPDATE branches SET request = ? WHERE segment = ?", (ending.request, segment))
    if ending.due:
        fall_due(db, segment)


def abandon(db: sqlite3.Connection, lease: Lease) -> None:
    """Whoever began the turn left before anything was asked of a model."""
    turn, here = _release(db, lease)
    db.execute("UPDATE turns SET state = ? WHERE id = ?", (TurnState.INCOMPLETE, turn))
    note_standing(db, here.key, 0, TurnState.INCOMPLETE)


def _release(db: sqlite3.Connection, lease: Lease) -> tuple[int, Here]:
    """Free the lease, if it still holds: the key of its turn, and where that is."""
    here = find_held(db, lease)
    db.execute("UPDATE branches SET held_until = NULL WHERE segment = ?", (lease.segment,))
    db.execute("UPDATE conversations SET updated_at = ? WHERE id = ?", (here.now, lease.key))
    db.execute("DELETE FROM partials WHERE segment = ?", (lease.segment,))
    return here.segment * SEGMENT + here.head, here
