"""Is this request for a response one that came before? Its place is the conversation or the response it
follows; one that names neither is known by its words alone, and must not make a second conversation."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.datastructures import Headers

from ...client import AsyncMultiTurn
from ...conversations import Address, Owner, Turn
from ...errors import ConversationNotFound
from ..http.headers import key_in
from ..repeats import Repeats, Seen
from .request import Wanted

__all__ = ["seen"]

RECENT = 20
"""Conversations among which the one of a first request is looked for that this process did not see."""


async def seen(
    repeats: Repeats, client: AsyncMultiTurn, owner: Owner, wanted: Wanted, raw: bytes, headers: Headers
) -> Seen:
    """The request key of a request for a response."""
    given = key_in(headers)
    if given is not None:
        return Seen(given)
    digest = hashlib.sha256(raw).hexdigest()[:32]
    place = ((owner.tenant, owner.user or ""), "responses", digest)
    count = headers.get("x-stainless-retry-count", "0")
    if count.isdecimal() and count.strip("0"):
        key = repeats.posted.get(place) or await _stored(client, owner, wanted, f"post_{digest}_")
        if key is not None and not repeats.arrived(key):
            return Seen(key, repeated=True)
    key = f"post_{digest}_{secrets.token_hex(8)}"
    repeats.remember(place, key)
    return Seen(key)


async def _stored(client: AsyncMultiTurn, owner: Owner, wanted: Wanted, prefix: str) -> str | None:
    """The key that begins so, of a turn that was stored before this process began."""
    async for turn in _newest(client, owner, wanted):
        if turn.key is not None and turn.key.startswith(prefix):
            return turn.key
    return None


async def _newest(client: AsyncMultiTurn, owner: Owner, wanted: Wanted) -> AsyncIterator[Turn]:
    """The newest turns of where the request may have gone."""
    store = client.engine.store
    with suppress(ConversationNotFound):
        at = Address.parse(wanted.get("previous_response_id") or "")
        if at is not None:
            name = await store.lookup(client.reach, at.ulid)
            for branch in await store.branches(client.reach, name):
                for turn in await store.turns(client.reach, name, limit=1, newest=True, branch=branch.number):
                    yield turn
        elif wanted.get("conversation") is not None:
            for turn in await store.turns(client.reach, wanted.get("conversation"), limit=1, newest=True):
                yield turn
        else:
            for one in await store.conversations(owner, limit=RECENT):
                for turn in await store.turns(owner, one.id, limit=1, newest=True):
                    yield turn
