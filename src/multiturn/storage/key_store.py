"""The contract of what keeps the keys of a gateway, in a store that offers it (``store.keys``).

A key is shown once, to whoever makes it. What is kept is its digest: 256 random bits cannot be guessed, so
one round of SHA-256 is enough, and a look-up by digest tells nothing by the time it takes.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..conversations import new_ulid

__all__ = ["SCOPES", "Key", "KeyStore", "digest_of", "new_key"]

SCOPES = ("chat", "read", "inspect", "admin")
"""What a key may be for: to talk and to change conversations, to read them, to see what was sent and why,
and what concerns a whole tenant."""
MARK = "mt_"
SHOWN = 8
"""Characters by which people tell keys apart; the others are secret."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept: without the secret.

    ``user`` is the only one it acts for, ``None``: it may name any user of its ``tenant``. ``prefix`` is
    how the key begins. Times are seconds since 1970 (UTC); ``revoked_at`` is ``None`` while it is good.
    """

    id: str
    digest: bytes
    prefix: str
    tenant: str = ""
    user: str | None = None
    scopes: tuple[str, ...] = ()
    label: str = ""
    created_at: float = 0.0
    revoked_at: float | None = None


def new_key(
    tenant: str, user: str | None = None, scopes: Iterable[str] = SCOPES, label: str = ""
) -> tuple[str, Key]:
    """A new key: the secret, which nobody can tell again, and what is to be kept.

    >>> secret, key = new_key("shop", scopes=["chat"])
    >>> secret.startswith(key.prefix), key.digest == digest_of(secret)
    (True, True)
    """
    secret = MARK + secrets.token_urlsafe(32)
    wanted = frozenset(scopes)
    kept = tuple(each for each in SCOPES if each in wanted)
    prefix = secret[: len(MARK) + SHOWN]
    return secret, Key(f"key_{new_ulid()}", digest_of(secret), prefix, tenant, user, kept, label)


def digest_of(secret: str) -> bytes:
    """What is kept of a key, and looked up by."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


class KeyStore(Protocol):
    """Where keys live. All methods may raise `multiturn.errors.StoreError`."""

    async def keep(self, key: Key) -> Key:
        """Keep a new key; gives it with the time, which is the database's."""
        ...

    async def find(self, digest: bytes) -> Key | None:
        """The key with this digest, also one that was revoked."""
        ...

    async def revoke(self, id: str) -> Key | None:
        """Let a key open nothing any more; gives it, or ``None`` where there is none. One that was revoked
        before keeps its time."""
        ...

    async def listed(self) -> Sequence[Key]:
        """All keys, oldest first, revoked ones too."""
        ...

    async def any(self) -> bool:
        """Whether a key was ever made here. One that was revoked counts: whoever revokes the last key wants
        nobody in."""
        ...
