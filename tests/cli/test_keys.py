"""Are keys made, listed and revoked, and is the key itself shown once only?"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from tests.cli.terminal import Shell

from multiturn.storage.key_store import Key, digest_of
from multiturn.storage.sqlite import SQLiteStore

STORE = ("--store", "sqlite:///chats.db")
CREATE = ("keys", "create", *STORE)


def kept(shell: Shell) -> list[Key]:
    async def look() -> list[Key]:
        store = SQLiteStore(str(shell.home / "chats.db"))
        found = list(await store.keys.listed())
        await store.close()
        return found

    return asyncio.run(look())


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_new_key_stands_alone_on_standard_output(shell: Shell) -> None:
    done = shell.run(*CREATE, "--tenant", "shop", "--label", "the till")
    assert re.fullmatch(r"mt_[\w-]{43}\n", done.stdout)
    (key,) = kept(shell)
    assert key.digest == digest_of(done.stdout.strip())
    assert (key.tenant, key.user, key.scopes, key.label) == (
        "shop",
        None,
        ("chat", "read", "inspect"),
        "the till",
    )
    assert key.id in done.stderr
    assert done.stdout.strip() not in done.stderr


def test_a_key_can_be_bound_and_narrow(shell: Shell) -> None:
    shell.variables["MULTITURN_USER"] = "carol"
    shell.run(*CREATE)
    shell.run(*CREATE, "--user", "ada", "--scope", "admin", "--scope", "read")
    free, bound = kept(shell)
    assert (free.tenant, free.user) == ("", None)  # who happens to be logged in is not meant
    assert (bound.user, bound.scopes) == ("ada", ("read", "admin"))


def test_a_list_never_shows_a_key(shell: Shell) -> None:
    secrets = [shell.run(*CREATE, "--tenant", f"t{number}").stdout.strip() for number in range(2)]
    for options in ((), ("--json",)):
        shown = shell.run("keys", "list", *STORE, *options).stdout
        assert "t0" in shown
        assert not [secret for secret in secrets if secret in shown or digest_of(secret).hex() in shown]
    assert [each["prefix"] for each in records(shown)] == [secret[:11] for secret in secrets]


def test_a_revoked_key_is_told_so(shell: Shell) -> None:
    (made,) = records(shell.run(*CREATE, "--json").stdout)
    assert digest_of(made["key"]) == kept(shell)[0].digest
    (gone,) = records(shell.run("keys", "revoke", made["id"], *STORE, "--json").stdout)
    assert gone["revoked_at"] is not None
    assert "key" not in gone
    assert kept(shell)[0].revoked_at is not None
    done = shell.run("keys", "revoke", "key_none", *STORE, check=False)
    assert done.returncode == 1
    assert "key_unknown" in done.stderr


def test_where_there_are_none_it_says_so(shell: Shell) -> None:
    shell.run("list", "--store", "sqlite:///chats.db", check=False)
    asyncio.run(_opened(shell))
    done = shell.run("keys", "list", *STORE)
    assert done.stdout == ""
    assert "multiturn keys create" in done.stderr


async def _opened(shell: Shell) -> None:
    store = SQLiteStore(str(shell.home / "chats.db"))
    await store.open()
    await store.close()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("make",), "make"),
        (("revoke",), "ID"),
        (("list", "key_1"), "--help"),
        (("create", "--scope", "root"), "root"),
    ],
)
def test_wrong_usage_is_told(shell: Shell, arguments: tuple[str, ...], named: str) -> None:
    done = shell.run("keys", *arguments, *STORE, check=False)
    assert done.returncode == 2
    assert named in done.stderr


def test_a_store_in_memory_keeps_no_keys(shell: Shell) -> None:
    done = shell.run("keys", "create", "--store", ":memory:", check=False)
    assert done.returncode == 1
    assert "setting_invalid" in done.stderr
    assert done.stdout == ""


def test_a_store_that_is_not_there_is_no_empty_one(shell: Shell) -> None:
    done = shell.run("keys", "list", "--store", "sqlite:///elsewhere.db", check=False)
    assert done.returncode == 1
    assert not (shell.home / "elsewhere.db").exists()
