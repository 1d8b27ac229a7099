"""Whose request is this? The key it came with says so.

Where no key was ever made, whoever reaches a gateway that listens on this machine only may use it. Everywhere
else each request needs a key, which is looked up by its digest and remembered for a moment: so a key that
was revoked opens nothing more after `REMEMBERED` seconds at the latest.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from starlette.types import Scope

from ...client import AsyncMultiTurn
from ...storage.key_store import KeyStore, digest_of
from ..http.refusal import Refusal
from .principal import PRINCIPAL, Principal
from .scopes import ANY, OPEN, rule_of

__all__ = ["REMEMBERED", "Keys"]

REMEMBERED = 5.0
"""Seconds for which what the store said of a key is believed."""
MOST = 10_000
"""Keys that are remembered."""
CHALLENGE = {"www-authenticate": "Bearer"}


class _Known(NamedTuple):
    principal: Principal
    until: float


class Keys:
    """The keys of one gateway. ``needed``: also where none was made yet."""

    def __init__(self, client: AsyncMultiTurn, *, needed: bool) -> None:
        self._client = client
        self._store: KeyStore | None = getattr(client.endpoints.store, "keys", None)
        self._needed = needed
        self._looked = float("-inf")
        self._known: dict[bytes, _Known] = {}

    async def admit(self, scope: Scope) -> None:
        """Say in the scope of a request who sends it. Raises `Refusal` for who may not."""
        now = time.monotonic()
        if not self._needed and now < self._looked + REMEMBERED:
            return
        wanted = rule_of(scope["method"], scope["path"]).scope
        if wanted == OPEN or not (self._needed or await self._were_made(now)):
            return
        principal = await self._principal(_secret_of(scope), now)
        if wanted != ANY and wanted not in principal.scopes:
            raise Refusal(403, "missing_scope", wanted=wanted)
        scope[PRINCIPAL] = principal

    async def _were_made(self, now: float) -> bool:
        """Whether keys are there meanwhile; once they are, that stays so."""
        if self._store is not None and await self._store.any():
            self._needed = True
        self._looked = now
        return self._needed

    async def _principal(self, secret: str | None, now: float) -> Principal:
        if secret is None:
            raise Refusal(401, "invalid_api_key", headers=CHALLENGE, header="Authorization: Bearer")
        digest = digest_of(secret)
        known = self._known.get(digest)
        if known is None or known.until < now:
            self._known.pop(digest, None)
            known = _Known(await self._found(digest), now + REMEMBERED)
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[digest] = known
        return known.principal

    async def _found(self, digest: bytes) -> Principal:
        key = None if self._store is None else await self._store.find(digest)
        if key is None or key.revoked_at is not None:
            raise Refusal(401, "invalid_api_key", headers=CHALLENGE)
        return Principal(self._client.within(key.tenant, user=key.user), key.user, frozenset(key.scopes))


def _secret_of(scope: Scope) -> str | None:
    """The key a request came with: as OpenAI's clients send it, or bare, or as Azure's do."""
    found: str | None = None
    for name, value in scope["headers"]:
        if name in (b"authorization", b"api-key"):
            text = value.decode("latin-1").strip()
            if name == b"authorization" and text[:7].lower() == "bearer ":
                text = text[7:].strip()
            if name == b"authorization" or found is None:
                found = text or found
    return found
