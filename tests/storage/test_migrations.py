"""The schema is brought up to date once, in order, as a whole."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from multiturn.errors import StoreTooNew
from multiturn.storage import migrations
from multiturn.storage.connections import connect
from multiturn.storage.migrations import bring_up_to_date

FIRST = "CREATE TABLE first (a); -- with a comment; and a semicolon in it\nINSERT INTO first VALUES (';');\n"
SECOND = "ALTER TABLE first ADD COLUMN b;\nUPDATE first SET b = a || 'x';\n"
BROKEN = "ALTER TABLE first ADD COLUMN c;\nINSERT INTO nowhere VALUES (1);\n"


def use(monkeypatch: pytest.MonkeyPatch, *scripts: str) -> None:
    monkeypatch.setattr(migrations, "_scripts", lambda: scripts)


def opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=1)


def bring(path: Path) -> None:
    connection = opened(path)
    try:
        bring_up_to_date(connection, str(path), 1)
    finally:
        connection.close()


def rows(path: Path) -> list[tuple[object, ...]]:
    connection = opened(path)
    try:
        return connection.execute("SELECT * FROM first").fetchall()
    finally:
        connection.close()


def version(path: Path) -> int:
    connection = opened(path)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


def test_each_script_is_applied_once_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.db"
    use(monkeypatch, FIRST)
    bring(path)
    bring(path)
    assert rows(path) == [(";",)]
    use(monkeypatch, FIRST, SECOND)
    bring(path)
    bring(path)
    assert rows(path) == [(";", ";x")]
    assert version(path) == 2


def test_a_script_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.db"
    use(monkeypatch, FIRST)
    bring(path)
    use(monkeypatch, FIRST, SECOND, BROKEN)
    with pytest.raises(sqlite3.OperationalError, match="no such table: nowhere"):
        bring(path)
    assert version(path) == 1
    assert rows(path) == [(";",)]
    use(monkeypatch, FIRST, SECOND)
    bring(path)
    assert rows(path) == [(";", ";x")]


def test_an_older_program_leaves_a_newer_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.db"
    use(monkeypatch, FIRST, SECOND)
    bring(path)
    use(monkeypatch, FIRST)
    before = path.read_bytes()
    with pytest.raises(StoreTooNew, match="schema 2"):
        bring(path)
    assert path.read_bytes() == before


def test_one_that_was_overtaken_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two programs find the old schema; the second to get the lock finds the new one."""
    path = tmp_path / "x.db"
    use(monkeypatch, FIRST)
    waited = migrations._use_write_ahead_log

    def overtaken(connection: sqlite3.Connection, patience: float) -> None:
        waited(connection, patience)
        monkeypatch.setattr(migrations, "_use_write_ahead_log", waited)
        bring(path)

    monkeypatch.setattr(migrations, "_use_write_ahead_log", overtaken)
    bring(path)
    assert rows(path) == [(";",)]


def test_all_who_start_together_find_one_schema(tmp_path: Path) -> None:
    """None takes the half-made file of another for the file of another program."""
    paths = [tmp_path / f"{number}.db" for number in range(40)]
    start = threading.Barrier(4)

    def open_all() -> None:
        for path in paths:
            start.wait(60)
            connect(str(path), 5).close()

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(open_all) for _ in range(4)]:
            done.result()
    assert {version(path) for path in paths} == {len(migrations._scripts())}


def test_a_file_that_somebody_reads_is_waited_for_in_vain_no_longer_than_asked(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    reader = opened(path)
    reader.execute("BEGIN")
    assert reader.execute("SELECT COUNT(*) FROM sqlite_master").fetchone() == (0,)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        connect(str(path), 0.05)
    reader.close()
    connect(str(path), 0.05).close()
    assert path.read_bytes()[68:72] == b"mtur", "the mark of all our files, also those of earlier versions"


def test_the_scripts_are_numbered_without_a_gap() -> None:
    folder = Path(migrations.__file__).parent / "sql" / "sqlite"
    names = sorted(file.name for file in folder.iterdir())
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    assert len(migrations._scripts()) == len(names)
