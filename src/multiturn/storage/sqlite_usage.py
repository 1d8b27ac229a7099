"""What did everything cost? Steps added up over a group."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from ..conversations import Owner
from .records import Grouping, UsageRow
from .sqlite_conversations import require
from .sqlite_rows import SEGMENT

__all__ = ["usage"]

GROUPS: dict[Grouping, str] = {
    "all": "'all'",
    "day": "DATE(s.created_at / 1000, 'unixepoch')",
    "model": "COALESCE((SELECT name FROM models WHERE id = s.model), '')",
    "user": "c.user",
    "conversation": "c.name",
    "tag": "COALESCE(json_extract(c.metadata, '$.tag'), '')",
}
TURNS = "COUNT(DISTINCT CASE WHEN s.turn & 4294967295 THEN s.turn END)"
"""How many turns there were; the calls of turn 0 belong to none, and what is noted there without a model
is no call."""
TOTALS = f"""
SELECT {{group}}, s.currency, SUM(s.amount), COUNT(*), {TURNS}, COALESCE(SUM(s.input), 0),
    COALESCE(SUM(s.output), 0), SUM(s.cached), SUM(s.cache_write), SUM(s.reasoning), MAX(s.estimated & 1)
FROM conversations c JOIN branches b ON b.conversation = c.id
    JOIN steps s ON s.turn BETWEEN b.segment * {SEGMENT} AND b.segment * {SEGMENT} + {SEGMENT - 1}
WHERE c.tenant = :tenant AND (:user IS NULL OR c.user = :user)
    AND (s.model IS NOT NULL OR s.turn & 4294967295) AND (:conversation IS NULL OR c.name = :conversation)
GROUP BY 1, 2 ORDER BY 1, 2"""


def usage(
    db: sqlite3.Connection, owner: Owner, conversation: str | None, by: Grouping | Sequence[Grouping]
) -> Sequence[UsageRow]:
    """See `Store.usage`."""
    if conversation is not None:
        require(db, owner, conversation)
    values = {"tenant": owner.tenant, "user": owner.user, "conversation": conversation}
    group = GROUPS[by] if isinstance(by, str) else f"json_array({', '.join(GROUPS[each] for each in by)})"
    rows = db.execute(TOTALS.format(group=group), values)
    return [_row(*row) for row in rows]


def _row(*columns: Any) -> UsageRow:
    group, currency, amount, calls, turns, given, made, cached, written, reasoning, estimated = columns
    return UsageRow(
        group, currency, amount, calls, turns, given, made, cached, written, reasoning, bool(estimated)
    )
