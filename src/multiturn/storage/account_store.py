"""The contract of what adds up a day's consumption by tenant, in a store that offers it (``store.accounts``).

Every call that is kept as a step is in it from the moment the step is there, and stays in it when the
conversation is deleted: an allowance is not given back by forgetting. Calls that are no step are added by
whoever made them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..usage import Spending

__all__ = ["AccountStore"]


class AccountStore(Protocol):
    """Where daily sums live. All methods may raise `multiturn.errors.StoreError`. Days are UTC's, by the
    database's clock."""

    async def today(self, tenant: str) -> Spending:
        """What a tenant has consumed today; ``group`` is the day (``"2026-11-21"``)."""
        ...

    async def add(self, spent: Mapping[str, Spending]) -> None:
        """Add calls of tenants to today's, all in one transaction."""
        ...
