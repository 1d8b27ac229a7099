"""Which store does a URL open?"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conformance.talk import answer, said

from multiturn.errors import SettingInvalid
from multiturn.storage import open_store
from multiturn.storage.sqlite import SQLiteStore


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///chats.db", "chats.db"),
        ("sqlite:///folder/chats.db", "folder/chats.db"),
        ("sqlite:////var/lib/chats.db", "/var/lib/chats.db"),
        ("sqlite:///:memory:", ":memory:"),
        (":memory:", ":memory:"),
    ],
)
def test_urls(url: str, path: str) -> None:
    store = open_store(url)
    assert isinstance(store, SQLiteStore)
    assert store.path == (path if path == ":memory:" else str(Path.cwd() / path))


@pytest.mark.parametrize(
    "url", ["", "chats.db", "sqlite:///", "sqlite://chats.db", "mysql://x", "sqlite:///a\0b"]
)
def test_urls_that_name_no_store(url: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        open_store(url)
    assert caught.value.figures["name"] == "store"


async def test_a_relative_file_lies_beside_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///chats.db")
    await answer(store, 1)
    assert await said(store) == ["u1", "a1"]
    await store.close()
    assert (tmp_path / "chats.db").exists()


async def test_the_store_stays_where_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that changes its folder later does not find another, empty store."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///chats.db")
    monkeypatch.chdir(tmp_path / "elsewhere")
    await answer(store, 1)
    await store.close()
    assert (tmp_path / "chats.db").exists()
