"""Does the command line tell what is known, what is set, and what is wrong?"""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest
from tests.cli.terminal import Shell

from multiturn.catalog import Catalog
from multiturn.cli.models import shown
from multiturn.cli.screen import Screen
from multiturn.settings import NAMES


def test_every_model_of_the_catalogue_is_listed(shell: Shell) -> None:
    rows = shell.run("models").stdout.splitlines()
    assert [row.split()[0] for row in rows[1:]] == [card.name for card in Catalog().cards()]
    kimi = shell.run("models", "--provider", "kimi", "--json").stdout.splitlines()
    assert all(json.loads(line)["model"].startswith("kimi/") for line in kimi)
    assert shell.refused("models", "--provider", "frob").endswith("[model_unknown]")


def test_a_model_without_a_price_shows_a_dash(shell: Shell) -> None:
    row = next(r for r in shell.run("models").stdout.splitlines() if r.startswith("demo"))
    assert row.split()[-1] == "—"


def test_config_shows_each_value_and_where_it_comes_from(shell: Shell) -> None:
    (shell.home / "multiturn.toml").write_text(
        'model = "kimi/kimi-k2.6"\n[policy]\nbudget = 8000\n[providers.qwen]\nbase_url = "https://host/v1"\n'
    )
    shell.variables |= {"MULTITURN_POLICY_MAX_TURNS": "7", "DASHSCOPE_API_KEY": "sk-hidden"}
    done = shell.run("config", "--user", "ada")
    rows = {row.split()[0]: row for row in done.stdout.splitlines()}
    assert set(NAMES) <= set(rows)
    assert rows["policy.budget"].split()[1:] == ["8000", str(shell.home / "multiturn.toml")]
    assert rows["policy.max_turns"].endswith("MULTITURN_POLICY_MAX_TURNS")
    assert rows["user"].endswith("argument")
    assert rows["timing.lease"].split()[1:] == ["15", "default"]
    assert rows["DASHSCOPE_API_KEY"].split()[1] == "set"
    assert rows["MOONSHOT_API_KEY"].split()[1:3] == ["not", "set"]
    assert "sk-hidden" not in done.stdout
    records = [json.loads(line) for line in shell.run("config", "--json").stdout.splitlines()]
    assert {"setting": "policy.max_turns", "value": "7", "origin": "MULTITURN_POLICY_MAX_TURNS"} in records


def test_an_address_is_shown_without_its_password() -> None:
    assert shown("postgresql://ada:secret@host/db", Screen()) == "postgresql://…@host/db"


def findings(shell: Shell, *arguments: str, code: int) -> dict[str, str]:
    """The doctor's sentences, each with how bad it is."""
    done = shell.run("doctor", *arguments, "--json", check=False)
    assert done.returncode == code, done.stdout
    records = [json.loads(line) for line in done.stdout.splitlines()]
    return {record["message"]: record["level"] for record in records}


def test_a_sound_installation_is_well(shell: Shell) -> None:
    assert "wrong" not in findings(shell, code=0).values()
    shell.run("ask", "hi")
    found = findings(shell, code=0)
    assert any("hang together" in sentence for sentence in found)
    assert found["no key is set: the model demo answers"] == "note"
    assert "正常" in Shell(shell.home, {"MULTITURN_LANG": "zh"}).run("doctor").stdout


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        (("--store", "foo://x"), {}, "foo://x"),
        (("--store", "sqlite:////dev/null/x.db"), {}, "cannot be written"),
        (("--model", "qwen/qwen-plus"), {}, "DASHSCOPE_API_KEY"),
        (("--model", "frob"), {}, "frob"),
    ],
)
def test_what_is_wrong_is_found(
    shell: Shell, arguments: tuple[str, ...], variables: dict[str, str], words: str
) -> None:
    shell.variables |= variables
    found = findings(shell, *arguments, code=1)
    assert [words in sentence for sentence, level in found.items() if level == "wrong"] == [True]


def test_what_is_only_odd_is_a_note(shell: Shell) -> None:
    shell.variables |= {"MULTITURN_BUDGET": "1", "DASHSCOPE_API_KEY": "k"}
    found = findings(shell, "--model", "qwen/brand-new", "--store", ":memory:", code=0)
    notes = [sentence for sentence, level in found.items() if level == "note"]
    assert any("MULTITURN_BUDGET" in note for note in notes)
    assert any("qwen/brand-new" in note and "8,192" in note for note in notes)
    assert any("memory" in note for note in notes)
    assert any("DASHSCOPE_API_KEY" in sentence for sentence, level in found.items() if level == "ok")


def test_a_damaged_database_is_found(shell: Shell, tmp_path: Path) -> None:
    shell.run("chat", typed="/fill 400\nhi\n")
    path = next(tmp_path.rglob("multiturn.db"))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    data = bytearray(path.read_bytes())
    for page in range(len(data) // 8192, len(data) // 4096):  # what is read at opening stays
        data[page * 4096 : page * 4096 + 64] = os.urandom(64)
    path.write_bytes(data)
    found = findings(shell, code=1)
    assert [s for s, level in found.items() if level == "wrong" and s.startswith("the database is damaged")]


def test_a_database_of_a_newer_program_is_found(shell: Shell, tmp_path: Path) -> None:
    shell.run("ask", "hi")
    path = next(tmp_path.rglob("multiturn.db"))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    assert any("999" in sentence for sentence in findings(shell, code=1))
    assert shell.refused("list").endswith("[store_too_new]")
