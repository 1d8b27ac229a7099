"""How do our records lie in SQLite's rows? Composed keys, roles, settings, usage and money."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

import orjson

from ..conversations import Address, Declared, Settings, Step, Summary, Turn, TurnState
from ..messages import Trait
from ..path import MessageRow
from ..usage import Cost, Usage
from .records import Told
from .sqlite_media import put_back

__all__ = [
    "LASTS",
    "MESSAGE",
    "MESSAGE_COLUMNS",
    "NOW",
    "ROLES",
    "ROLE_NUMBERS",
    "SEGMENT",
    "STANDING",
    "STEP_TOTALS",
    "TURN",
    "TURN_SOURCES",
    "last_key",
    "read_calls",
    "read_settings",
    "read_step",
    "read_summary",
    "read_turn",
    "to_message",
    "told",
    "total",
    "totals",
    "usage_columns",
    "write_calls",
    "write_metadata",
    "write_seconds",
    "write_settings",
]

NOW = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"
"""The database's clock in milliseconds."""
LASTS = f"""(c.expires_after IS NULL OR c.updated_at + c.expires_after > {NOW}
    OR EXISTS (SELECT 1 FROM branches h WHERE h.conversation = c.id AND h.held_until >= {NOW}))"""
"""A conversation ``c`` whose time is not over; no turn that runs loses its conversation."""
SEGMENT = 1 << 32
"""Turns and messages of a segment have the keys ``segment * SEGMENT + number``."""
LOW = SEGMENT - 1
STANDING = Trait.PINNED | Trait.INSTRUCTION
"""Traits for which rows before the window must be looked at; the index of the schema has the number."""

ROLES = ("user", "assistant", "system", "developer", "tool")
ROLE_NUMBERS = {role: number for number, role in enumerate(ROLES)}
BILLION = 1_000_000_000


def last_key(segment: int) -> int:
    """The largest key a row of the segment can have."""
    return segment * SEGMENT + LOW


# --------------------------------------------------------------------------------------- messages

MESSAGE = """m.turn, (m.id & 4294967295) - t.before, m.role, m.traits, m.tokens, m.reasoning_tokens,
    m.body, m.reasoning, (SELECT name FROM models WHERE id = m.model),
    CASE WHEN (m.traits & 262144) <> 0 THEN (SELECT text FROM quotes WHERE message = m.id) END,
    CASE WHEN (m.traits & 120) <> 0 THEN m.id END"""
"""Columns of a message ``m`` of the turn ``t`` in the order of `MessageRow`, and its key where it holds
media, which may be kept elsewhere. 262144: QUOTED, 120: MEDIA."""
MESSAGE_COLUMNS = 11


def to_message(db: sqlite3.Connection, row: Sequence[Any]) -> MessageRow:
    """The first columns of ``row`` as `MESSAGE` names them."""
    turn, place, role, *rest, holds_media = row[:MESSAGE_COLUMNS]
    message = MessageRow(turn, place, ROLES[role], *rest)
    if holds_media is None:
        return message
    return message._replace(body=put_back(db, holds_media, message.body))


def told(row: MessageRow, facts: bytes | None, millis: int, ulid: str, branch: int) -> Told:
    """A message for somebody to look at."""
    return Told(row, facts, millis / 1000, Address(ulid, branch, row.turn, row.place).message_id)


# --------------------------------------------------------------------------- summaries, settings


def read_summary(row: Sequence[Any]) -> Summary:
    """A summary from its version, last turn, text, tokens, model and time."""
    version, upto, text, tokens, model, millis = row
    return Summary(version, upto, text.decode(), tokens, model, millis / 1000)


@lru_cache(maxsize=256)
def read_settings(version: int | None, body: bytes | None) -> Settings:
    """The settings of a row of ``settings``; of none, the empty ones. A row never changes, so a window
    after a window need not read it again."""
    if body is None or version is None:
        return Settings()
    value = orjson.loads(body)
    return Settings(
        instructions=tuple(text.encode() for text in value["instructions"]),
        opening=value["opening"],
        policy=value["policy"],
        model=value["model"],
        memory=value["memory"],
        version=version,
    )


def write_settings(before: Settings, declared: Declared) -> bytes | None:
    """The row body of what is in force with ``declared``; ``None`` where nothing differs."""
    after = {name: value for name in SETTINGS if (value := getattr(declared, name)) is not None}
    if all(value == getattr(before, name) for name, value in after.items()):
        return None
    body = _settings_body(replace(before, **after))
    return None if body == _settings_body(before) else body


SETTINGS = ("instructions", "opening", "policy", "model", "memory")


def _settings_body(settings: Settings) -> bytes:
    value: dict[str, Any] = {name: getattr(settings, name) for name in SETTINGS}
    value["instructions"] = [instruction.decode() for instruction in settings.instructions]
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def write_metadata(metadata: Mapping[str, str]) -> str | None:
    """What was noted, for a row."""
    return orjson.dumps(dict(metadata)).decode() if metadata else None


def write_seconds(seconds: float | None) -> int | None:
    """For how many milliseconds a conversation is kept, for a row; 0 and ``None`` are for ever."""
    return round(seconds * 1000) if seconds else None


def write_calls(calls: Sequence[str]) -> bytes | None:
    """Ids of open calls for a row."""
    return orjson.dumps(list(calls)) if calls else None


def read_calls(body: bytes | None) -> tuple[str, ...]:
    """Ids of open calls of a row."""
    return tuple(orjson.loads(body)) if body else ()


# ---------------------------------------------------------------------------------- usage, money

STEP_TOTALS = """turn, currency, SUM(amount), COUNT(input), SUM(input), SUM(output), SUM(cached),
    SUM(cache_write), SUM(reasoning), MAX(estimated & 1), MAX(estimated & 2)"""


def totals(rows: Iterable[Sequence[Any]]) -> dict[int, tuple[Usage | None, Cost | None]]:
    """Usage and cost by turn, of rows in the order of `STEP_TOTALS`, one a turn and currency.

    A turn that was paid in two currencies has no single cost.
    """
    found: dict[int, tuple[Usage | None, list[Cost]]] = {}
    for turn, currency, amount, reported, *counts, cost_estimated in rows:
        usage, costs = found.get(turn, (None, []))
        if reported:
            added = _usage(counts)
            usage = added if usage is None else usage + added
        if amount is not None:
            costs.append(Cost(Decimal(amount) / BILLION, currency, bool(cost_estimated)))
        found[turn] = usage, costs
    return {turn: (usage, costs[0] if len(costs) == 1 else None) for turn, (usage, costs) in found.items()}


def total(consumed: Sequence[Any]) -> tuple[Usage | None, Cost | None]:
    """The same of a turn with a single step, from its `usage_columns`."""
    *counts, estimated, amount, currency, _ = consumed
    row = (0, currency, amount, counts[0] is not None, *counts, estimated & 1, estimated & 2)
    return totals([row])[0]


def _usage(columns: Sequence[Any], raw: bytes | None = None) -> Usage:
    """Input, output, cached, cache_write, reasoning, estimated."""
    given, made, cached, cache_write, reasoning, estimated = columns
    opened = None if raw is None else orjson.loads(raw)
    return Usage(given, made, cached, cache_write, reasoning, bool(estimated), opened)


def usage_columns(step: Step) -> tuple[Any, ...]:
    """What a step consumed, in the order of the columns from ``input`` to ``currency``, then ``raw``."""
    usage, cost = step.usage, step.cost
    counts: tuple[Any, ...] = (None,) * 5
    if usage is not None:
        counts = (usage.input, usage.output, usage.cached, usage.cache_write, usage.reasoning)
    estimated = (1 if usage and usage.estimated else 0) | (2 if cost and cost.estimated else 0)
    money = (round(cost.amount * BILLION), cost.currency) if cost else (None, None)
    raw = orjson.dumps(usage.raw) if usage and usage.raw is not None else None
    return (*counts, estimated, *money, raw)


def read_step(row: Sequence[Any], branch: int) -> Step:
    """A step from its columns: turn, number, model, input … currency, finish_reason … seconds, raw,
    ledger."""
    turn, number, model, *counts, estimated, amount, currency = row[:11]
    finish_reason, response_id, error, seconds, raw, ledger = row[11:]
    usage = None
    if counts[0] is not None:
        usage = _usage((*counts, estimated & 1), raw)
    cost = None if amount is None else Cost(Decimal(amount) / BILLION, currency, bool(estimated & 2))
    return Step(
        model=model,
        ledger=ledger,
        usage=usage,
        cost=cost,
        finish_reason=finish_reason,
        response_id=response_id,
        error=error,
        seconds=seconds,
        number=number,
        turn=turn & LOW,
        branch=branch,
    )


# ------------------------------------------------------------------------------------------ turns

TURN = """t.id, b.number, t.state, t.created_at, t.messages, t.tokens, t.traits, t.key, t.error,
    t.reason, t.open_calls, (SELECT name FROM models WHERE id = t.model)"""
TURN_SOURCES = "turns t JOIN branches b ON b.segment = t.id >> 32"


def read_turn(row: Sequence[Any], ulid: str, spent: tuple[Usage | None, Cost | None] = (None, None)) -> Turn:
    """A turn from the columns of `TURN`, with what its steps consumed."""
    key, branch, state, created_at, messages, tokens, traits, request, error, reason, calls, model = row
    number = key & LOW
    return Turn(
        id=Address(ulid, branch, number).turn_id,
        number=number,
        branch=branch,
        state=TurnState(state),
        created_at=created_at / 1000,
        messages=messages,
        tokens=tokens,
        traits=traits,
        model=model,
        key=request,
        error=error,
        reason=reason,
        usage=spent[0],
        cost=spent[1],
        open_calls=read_calls(calls),
    )
