"""Of which branches is a summary due, and who is writing it?

A mark is a row's own: the time since when it is due, and until when nobody may claim it, because
somebody writes or because it failed. One that is made while somebody writes outlives that claim.
"""

from __future__ import annotations

import sqlite3

from ..conversations import Owner
from .records import Due
from .sqlite_rows import LASTS, NOW

__all__ = ["claim", "end_claim", "fall_due", "holds", "settle"]

MARK = f"""
UPDATE branches SET due = MAX({NOW}, COALESCE(due, 0) + 1)
WHERE segment = ? AND (due IS NULL OR due = due_claimed)"""


def fall_due(db: sqlite3.Connection, segment: int) -> None:
    """A summary of this branch is due."""
    db.execute(MARK, (segment,))


OLDEST = f"""
SELECT b.segment, c.tenant, c.user, c.name, b.number, b.due_failures, b.due
FROM branches b CROSS JOIN conversations c ON c.id = b.conversation
WHERE b.due IS NOT NULL AND b.due_until <= {NOW} AND {LASTS}
    AND (:tenant IS NULL OR c.tenant = :tenant) AND (:user IS NULL OR c.user = :user)
    AND (:name IS NULL OR c.name = :name)
ORDER BY b.due, b.segment LIMIT 1"""


def claim(db: sqlite3.Connection, owner: Owner | None, name: str | None, hold: float) -> Due | None:
    """See `Store.claim_due`."""
    values = {"tenant": owner and owner.tenant, "user": owner and owner.user, "name": name}
    row = db.execute(OLDEST, values).fetchone()
    if row is None:
        return None
    segment, tenant, user, conversation, number, failures, mark = row
    db.execute(
        f"UPDATE branches SET due_claimed = due, due_until = {NOW} + ? WHERE segment = ?",
        (int(hold * 1000), segment),
    )
    return Due(Owner(tenant, user), conversation, number, failures, mark)


def holds(db: sqlite3.Connection, segment: int, due: Due) -> bool:
    """Whether the claim on this branch is still ``due``'s."""
    claimed = db.execute("SELECT due_claimed FROM branches WHERE segment = ?", (segment,)).fetchone()[0]
    return not due.mark or bool(claimed == due.mark)


def end_claim(db: sqlite3.Connection, segment: int) -> None:
    """Whoever writes the summary of this branch has read what is no longer so; it is due anew."""
    db.execute(
        "UPDATE branches SET due = due + 1, due_claimed = NULL, due_until = 0"
        " WHERE segment = ? AND due_claimed IS NOT NULL",
        (segment,),
    )


CLAIMED = """
due_claimed = NULL WHERE due_claimed IS NOT NULL AND :mark IN (0, due_claimed)
    AND number = :branch AND conversation =
    (SELECT id FROM conversations WHERE tenant = :tenant AND user = :user AND name = :name)"""
DONE = f"""
UPDATE branches SET due = CASE WHEN due > due_claimed THEN due END, due_until = 0, due_failures = 0,
{CLAIMED}"""
NOT_DONE = f"""
UPDATE branches SET due_until = {NOW} + :wait, due_failures = due_failures + (:wait > 0), {CLAIMED}"""


def settle(db: sqlite3.Connection, due: Due, wait: float, *, done: bool) -> None:
    """See `Store.settle_due`. Where the conversation is gone there is nothing to settle."""
    values = {
        "branch": due.branch,
        "mark": due.mark,
        "tenant": due.owner.tenant,
        "user": due.owner.user,
        "name": due.conversation,
        "wait": int(wait * 1000),
    }
    db.execute(DONE if done else NOT_DONE, values)
