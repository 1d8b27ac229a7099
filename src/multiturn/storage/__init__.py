"""Stores: where conversations live. This is the door: it picks the backend that a URL names."""

from __future__ import annotations

from ..errors import SettingInvalid
from ..phrases import Reason
from .records import (
    DELTAS,
    Asked,
    Begun,
    Due,
    Ending,
    Exchange,
    Extent,
    Found,
    Grouping,
    Hit,
    Lease,
    ModelFacts,
    Partial,
    Reach,
    Scope,
    Start,
    Told,
    Upon,
    UsageRow,
)
from .store import Store

__all__ = [
    "DELTAS",
    "Asked",
    "Begun",
    "Due",
    "Ending",
    "Exchange",
    "Extent",
    "Found",
    "Grouping",
    "Hit",
    "Lease",
    "ModelFacts",
    "Partial",
    "Reach",
    "Scope",
    "Start",
    "Store",
    "Told",
    "Upon",
    "UsageRow",
    "open_store",
]

MEMORY = ":memory:"
SQLITE = "sqlite:///"


def open_store(url: str) -> Store:
    """The store at ``url``; nothing is touched before its first use.

    ``"sqlite:///chats.db"`` is a file beside the program, ``"sqlite:////var/lib/chats.db"`` an absolute
    one, ``":memory:"`` (or ``"sqlite:///:memory:"``) forgets everything with the store. Raises
    `SettingInvalid` for anything else.

    >>> open_store(":memory:").path
    ':memory:'
    """
    path = url.removeprefix(SQLITE)
    if path == url and url != MEMORY:
        raise SettingInvalid(Reason("why.store_url", url=repr(url)), name="store")
    if not path or "\0" in path:
        raise SettingInvalid(Reason("why.store_file", url=repr(url)), name="store")
    from .sqlite import SQLiteStore

    return SQLiteStore(path)
