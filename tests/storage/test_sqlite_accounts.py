"""A day has an end, and then nothing was consumed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

from multiturn.storage.sqlite import SQLiteStore
from multiturn.usage import Cost, Spending, Usage

SPENT = Spending("", Usage(10, 1), (Cost(Decimal("0.5"), "CNY"),), 2)


async def test_what_was_consumed_yesterday_is_not_counted_today(tmp_path: Path) -> None:
    store = SQLiteStore(str(tmp_path / "chats.db"))
    await store.accounts.add({"shop": SPENT})
    with closing(sqlite3.connect(tmp_path / "chats.db")) as db, db:
        db.execute("UPDATE accounts SET day = day - 1")
    nothing = await store.accounts.today("shop")
    assert (nothing.usage, nothing.costs, nothing.calls) == (Usage(), (), 0)
    await store.accounts.add({"shop": SPENT})
    today = await store.accounts.today("shop")
    assert (today.usage, today.costs, today.calls) == (SPENT.usage, SPENT.costs, 2)
    await store.close()
