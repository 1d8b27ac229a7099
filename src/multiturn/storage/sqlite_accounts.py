"""What has each tenant consumed today? One row a tenant, day and currency; a trigger adds every step."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from ..usage import Cost, Spending, Usage
from .sqlite_rows import NOW

__all__ = ["SQLiteAccounts"]

T = TypeVar("T")
Run = Callable[[Callable[[sqlite3.Connection], T]], Awaitable[T]]
BILLION = 1_000_000_000
TODAY = f"({NOW}) / 86400000"
SPENT = f"""
SELECT currency, calls, input, output, amount FROM accounts WHERE tenant = ? AND day = {TODAY}"""
ADD = f"""
INSERT INTO accounts (tenant, day, currency, calls, input, output, amount)
VALUES (?, {TODAY}, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, day, currency) DO UPDATE SET calls = calls + excluded.calls,
    input = input + excluded.input, output = output + excluded.output, amount = amount + excluded.amount"""


class SQLiteAccounts:
    """The `AccountStore` of a SQLite file; ``read`` and ``write`` run work in its transactions."""

    def __init__(self, read: Run[Any], write: Run[Any]) -> None:
        self._read: Run[Any] = read
        self._write: Run[Any] = write

    async def today(self, tenant: str) -> Spending:
        """See `AccountStore.today`."""

        def work(db: sqlite3.Connection) -> tuple[str, list[tuple[Any, ...]]]:
            return db.execute("SELECT date('now')").fetchone()[0], db.execute(SPENT, (tenant,)).fetchall()

        day, rows = await self._read(work)
        return Spending.total(day, (_spending(*row) for row in rows))

    async def add(self, spent: Mapping[str, Spending]) -> None:
        """See `AccountStore.add`."""
        rows = [row for tenant, each in spent.items() for row in _rows(tenant, each)]
        await self._write(lambda db: db.executemany(ADD, rows))


def _spending(currency: str, calls: int, given: int, made: int, amount: int) -> Spending:
    costs = (Cost(Decimal(amount) / BILLION, currency),) if currency else ()
    return Spending("", Usage(given, made), costs, calls)


def _rows(tenant: str, spent: Spending) -> Iterator[tuple[object, ...]]:
    """Tokens and calls stand with the first currency; the others add their amounts only."""
    usage, calls = spent.usage, spent.calls
    for cost in spent.costs or (Cost(Decimal(0), ""),):
        yield tenant, cost.currency, calls, usage.input, usage.output, int(cost.amount * BILLION)
        usage, calls = Usage(), 0
