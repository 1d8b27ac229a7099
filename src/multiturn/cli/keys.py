"""Who may use the gateway? The command keys: make a key, list them, revoke one."""

from __future__ import annotations

import sys

import click

from ..errors import SettingInvalid
from ..phrases import Reason
from ..storage import open_store
from ..storage.key_store import Key, KeyStore, new_key
from .figures import UNKNOWN, when
from .records import moment
from .session import Session

__all__ = ["has_key", "keys"]

ORDINARY = ("chat", "read", "inspect")
"""What a key is for where nothing is said: everything but what concerns a whole tenant."""


async def keys(
    session: Session, action: str, id: str | None, tenant: str, scopes: tuple[str, ...], label: str
) -> int | None:
    """``keys create``, ``keys list`` and ``keys revoke ID``. Gives 1 where there is no such key."""
    if action not in ("create", "list", "revoke"):
        raise click.BadParameter(action, param=click.Argument(["action"]))
    if (action == "revoke") != (id is not None):
        raise click.MissingParameter(param=click.Argument(["id"])) if id is None else click.UsageError(id)
    if action != "create":
        await session.stored().close()
    store = open_store(session.config.store)
    try:
        found: KeyStore | None = getattr(store, "keys", None)
        if found is None or session.config.store.endswith(":memory:"):
            raise SettingInvalid(Reason("why.no_keys"), name="store")
        if action == "create":
            await _create(session, found, tenant, scopes, label)
        elif action == "list":
            await _list(session, found)
        else:
            return await _revoke(session, found, id or "")
    finally:
        await store.close()
    return None


async def has_key(url: str) -> bool:
    """Whether a store has a key that opens something."""
    store = open_store(url)
    try:
        found: KeyStore | None = getattr(store, "keys", None)
        return found is not None and any(key.revoked_at is None for key in await found.listed())
    finally:
        await store.close()


async def _create(
    session: Session, store: KeyStore, tenant: str, scopes: tuple[str, ...], label: str
) -> None:
    """The key alone goes to standard output, this once."""
    named = session.config.origins.get("user") == "argument"
    secret, key = new_key(tenant, session.config.user if named else None, scopes or ORDINARY, label)
    key = await store.keep(key)
    if session.screen.as_json:
        session.screen.record({"key": secret, **_record(key)})
        return
    sys.stdout.write(secret + "\n")
    sys.stdout.flush()
    told = session.screen.say("keys.created", id=key.id, tenant=key.tenant, scopes=", ".join(key.scopes))
    session.screen.note(told)


async def _list(session: Session, store: KeyStore) -> None:
    screen, found = session.screen, await store.listed()
    if screen.as_json:
        for key in found:
            screen.record(_record(key))
        return
    if not found:
        screen.note(screen.say("keys.none"))
        return
    rows = [
        [
            key.id,
            f"{key.prefix}…",
            key.tenant or UNKNOWN,
            UNKNOWN if key.user is None else key.user,
            ", ".join(key.scopes),
            key.label,
            when(key.created_at),
            UNKNOWN if key.revoked_at is None else when(key.revoked_at),
        ]
        for key in found
    ]
    screen.table(("id", "key", "tenant", "user", "scopes", "label", "created", "revoked"), rows)


async def _revoke(session: Session, store: KeyStore, id: str) -> int | None:
    screen, key = session.screen, await store.revoke(id)
    if key is None:
        screen.note(screen.say("keys.unknown", id=id) + " [key_unknown]")
        return 1
    if screen.as_json:
        screen.record(_record(key))
    else:
        screen.line(screen.say("keys.revoked", id=key.id))
    return None


def _record(key: Key) -> dict[str, object]:
    """A key as JSON: never the key itself, nor its digest."""
    return {
        "id": key.id,
        "prefix": key.prefix,
        "tenant": key.tenant,
        "user": key.user,
        "scopes": list(key.scopes),
        "label": key.label,
        "created_at": moment(key.created_at),
        "revoked_at": moment(key.revoked_at),
    }
