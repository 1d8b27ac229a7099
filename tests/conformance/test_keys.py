"""Keys of a gateway: made, found by their digest, revoked, listed."""

from __future__ import annotations

from multiturn.storage import Store
from multiturn.storage.key_store import SCOPES, Key, KeyStore, digest_of, new_key


def keys(store: Store) -> KeyStore:
    found: KeyStore = store.keys  # type: ignore[attr-defined]  # what a store may offer beside its contract
    return found


async def made(store: Store, tenant: str, user: str | None = None) -> tuple[str, Key]:
    secret, key = new_key(tenant, user, ["read", "chat"], "a label")
    return secret, await keys(store).keep(key)


async def test_a_key_is_found_by_its_digest_and_by_nothing_else(store: Store) -> None:
    secret, key = await made(store, "shop", "ada")
    await made(store, "bank")
    assert await keys(store).find(digest_of(secret)) == key
    assert await keys(store).find(digest_of(secret + " ")) is None
    assert await keys(store).find(secret.encode()) is None
    assert (key.tenant, key.user, key.scopes, key.label) == ("shop", "ada", ("chat", "read"), "a label")
    assert (key.revoked_at, key.created_at > 1_700_000_000) == (None, True)


async def test_a_revoked_key_stays_to_be_seen_with_its_first_time(store: Store) -> None:
    secret, key = await made(store, "")
    gone = await keys(store).revoke(key.id)
    assert gone is not None
    assert gone.revoked_at is not None
    assert gone.revoked_at >= key.created_at
    assert await keys(store).revoke(key.id) == gone
    assert await keys(store).find(digest_of(secret)) == gone
    assert await keys(store).revoke("key_none") is None


async def test_keys_are_listed_oldest_first(store: Store) -> None:
    assert await keys(store).listed() == []
    names = [(await made(store, str(number)))[1] for number in range(3)]
    await keys(store).revoke(names[0].id)
    assert [key.tenant for key in await keys(store).listed()] == ["0", "1", "2"]


async def test_a_store_whose_last_key_was_revoked_still_has_keys(store: Store) -> None:
    assert not await keys(store).any()
    _, key = await made(store, "")
    await keys(store).revoke(key.id)
    assert await keys(store).any()


def test_every_key_is_another_and_says_nothing_of_its_secret() -> None:
    secrets = [new_key("t") for _ in range(100)]
    assert len({secret for secret, _ in secrets}) == len({key.digest for _, key in secrets}) == 100
    for secret, key in secrets:
        assert len(secret) == len("mt_") + 43  # 256 bits in base 64
        assert secret not in repr(key)
        assert key.prefix == secret[: len("mt_") + 8], "told apart by it, and not guessed with it"
        assert key.scopes == SCOPES
