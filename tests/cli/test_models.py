"""Does the command line tell what is known, what is set, and what is wrong?"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.cli.terminal import Shell

from multiturn.catalog import Catalog
from multiturn.cli.doctor import _disk
from multiturn.cli.models import plain, shown
from multiturn.cli.screen import Screen
from multiturn.config import NAMES


def test_every_model_of_the_catalogue_is_listed(shell: Shell) -> None:
    rows = shell.run("models").stdout.splitlines()
    assert [row.split()[0] for row in rows[1:]] == [card.name for card in Catalog().cards()]
    kimi = shell.run("models", "--provider", "kimi", "--json").stdout.splitlines()
    assert all(json.loads(line)["model"].startswith("kimi/") for line in kimi)
    assert shell.refused("models", "--provider", "frob").endswith("[model_unknown]")


def test_the_operators_routes_are_listed_first(shell: Shell) -> None:
    (shell.home / "multiturn.toml").write_text(
        '[routes.chat-fast]\ntargets = ["kimi/kimi-k2.6", "demo"]\n[routes.own]\ntargets = ["demo"]\n'
    )
    catalog = Catalog()
    least = min(catalog.card(name).window for name in ("kimi/kimi-k2.6", "demo"))
    rows = shell.run("models").stdout.splitlines()
    assert rows[1].split() == ["chat-fast", f"{least:,}", rows[1].split()[2], "→", "kimi/kimi-k2.6,", "demo"]
    assert [row.split()[0] for row in rows[1:]] == ["chat-fast", "own", *(c.name for c in catalog.cards())]
    records = [json.loads(line) for line in shell.run("models", "--json").stdout.splitlines()]
    assert records[0]["model"] == "chat-fast"
    assert records[0]["targets"] == ["kimi/kimi-k2.6", "demo"]
    assert records[0]["window"] == least
    assert [each["model"] for each in records if "targets" in each] == ["chat-fast", "own"]
    assert "chat-fast" not in shell.run("models", "--provider", "kimi").stdout


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
    values = {record["setting"]: record["value"] for record in records}
    assert {"setting": "policy.max_turns", "value": 7, "origin": "MULTITURN_POLICY_MAX_TURNS"} in records
    assert values["policy.budget"] == 8000
    assert values["policy.max_messages"] is None
    assert values["keep_reasoning"] is True
    assert values["timing.lease"] == 15.0
    assert values["policy.summarize"] == {"model": None, "max_tokens": 600}
    assert values["providers.qwen.base_url"] == "https://host/v1"
    assert (values["DASHSCOPE_API_KEY"], values["MOONSHOT_API_KEY"]) == (True, False)


def test_config_shows_the_marks_in_force(shell: Shell) -> None:
    def marks() -> list[tuple[str, object]]:
        records = [json.loads(line) for line in shell.run("config", "--json").stdout.splitlines()]
        return [(r["origin"], r["value"]) for r in records if r["setting"] in ("policy.high", "policy.low")]

    assert marks() == [("default", 0.7), ("default", 0.35)]
    shell.variables["MULTITURN_POLICY_SUMMARIZE"] = "false"
    assert marks() == [("default", 1.0), ("default", 0.55)]
    shell.variables["MULTITURN_POLICY_HIGH"] = "0.8"
    assert marks() == [("MULTITURN_POLICY_HIGH", 0.8), ("default", pytest.approx(0.44))]
    assert "policy.high" in shell.run("config").stdout
    assert "0.7 with a summary" in shell.run("chat", "--help").stdout


def test_an_address_is_shown_without_its_password() -> None:
    assert shown("postgresql://ada:secret@host/db") == "postgresql://…@host/db"
    assert plain({"a": ["https://key@host"]}) == {"a": ["https://…@host"]}


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
    (said,) = [
        sentence for sentence in found if sentence.startswith("no key is set: the model demo answers; ")
    ]
    assert found[said] == "note"
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


def test_keys_of_several_providers_without_a_model_are_wrong(shell: Shell) -> None:
    shell.variables |= {"DASHSCOPE_API_KEY": "k", "MOONSHOT_API_KEY": "k"}
    found = findings(shell, code=1)
    (wrong,) = [sentence for sentence, level in found.items() if level == "wrong"]
    assert "it must be said which model to use" in wrong
    assert shell.refused("ask", "hi").startswith(wrong)
    findings(shell, "--model", "kimi/kimi-k2.6", code=0)


def test_the_only_key_decides_the_model_and_the_doctor_names_it(shell: Shell) -> None:
    shell.variables["MOONSHOT_API_KEY"] = "k"
    found = findings(shell, code=0)
    assert any(sentence.startswith("model kimi/") for sentence, level in found.items() if level == "ok")


def test_the_addresses_that_would_be_called_are_named(shell: Shell) -> None:
    shell.variables |= {
        "DASHSCOPE_API_KEY": "k",
        "MOONSHOT_API_KEY": "k",
        "MOONSHOT_BASE_URL": "http://proxy:1/v1/",
    }
    (shell.home / "multiturn.toml").write_text('[providers.qwen]\nbase_url = "https://host/v1"\n')
    found = findings(shell, "--model", "kimi/kimi-k2.6", code=0)
    file = shell.home / "multiturn.toml"
    assert found["kimi is called at http://proxy:1/v1 (MOONSHOT_BASE_URL)"] == "ok"
    assert found[f"qwen is called at https://host/v1 ({file})"] == "ok"
    assert any(s.startswith("dashscope is called at https://dashscope") and "(default)" in s for s in found)
    assert not any(sentence.startswith("demo is called") for sentence in found)
    shell.variables["HTTPS_PROXY"] = "http://ada:secret@proxy.test:3128"
    found = findings(shell, "--model", "kimi/kimi-k2.6", code=0)
    assert found["qwen is called through the proxy http://…@proxy.test:3128"] == "ok"
    assert not any(sentence.startswith("kimi is called through") for sentence in found), "it speaks http"
    shell.variables["MOONSHOT_BASE_URL"] = "nowhere"
    found = findings(shell, "--model", "kimi/kimi-k2.6", code=1)
    assert [s for s, level in found.items() if level == "wrong" and "providers.kimi.base_url" in s]


def test_the_doctor_names_broken_settings_and_looks_at_the_rest(shell: Shell) -> None:
    (shell.home / "multiturn.toml").write_text("[policy\n")
    found = findings(shell, code=1)
    (wrong,) = [sentence for sentence, level in found.items() if level == "wrong"]
    assert "multiturn.toml cannot be read: it is no TOML at line 1, column 8" in wrong
    assert any(sentence.startswith("store ") for sentence, level in found.items() if level == "ok")
    (shell.home / "multiturn.toml").write_text("[policy]\nbudget = -3\n")
    assert any(
        "policy.budget" in sentence for sentence, level in findings(shell, code=1).items() if level == "wrong"
    )
    done = shell.run("doctor", check=False)
    assert done.returncode == 1
    assert "policy.budget" in done.stdout
    assert "language" not in done.stdout, "nobody knows which one was chosen"


def test_a_damaged_database_is_found(shell: Shell, tmp_path: Path) -> None:
    shell.run("chat", typed="/fill 400\nhi\n")
    path = next(tmp_path.rglob("multiturn.db"))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    data = bytearray(path.read_bytes())
    for page in range(len(data) // 6144, len(data) // 4096):  # what is read at opening stays
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


@pytest.mark.parametrize(("free", "level"), [(100 << 20, "ok"), ((100 << 20) - 1, "wrong")])
def test_a_disk_that_is_nearly_full_is_found(
    free: int, level: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    assert _disk(Screen(), tmp_path / "chats.db").level == level


def own(shell: Shell, text: str) -> None:
    (shell.home / "multiturn.toml").write_text(text, encoding="utf-8")


ROUTES = '[routes.chat-fast]\ntargets = ["qwen/qwen-plus", "kimi/kimi-k2.6"]\n'


def test_the_doctor_names_routes_and_the_targets_that_lack_a_key(shell: Shell) -> None:
    own(shell, ROUTES)
    found = findings(shell, code=1)
    assert found["route chat-fast has no target that can be asked: qwen/qwen-plus, kimi/kimi-k2.6"] == "wrong"
    shell.variables["MOONSHOT_API_KEYS"] = "a,b"
    found = findings(shell, "--model", "chat-fast", code=0)
    note = "route chat-fast passes qwen/qwen-plus over, which needs a key: set DASHSCOPE_API_KEY"
    assert found[note] == "note"
    assert found["model kimi/kimi-k2.6"] == "ok"
    assert any("MOONSHOT_API_KEYS" in sentence for sentence in found)
    shell.variables["DASHSCOPE_API_KEY"] = "k"
    found = findings(shell, "--model", "chat-fast", code=0)
    assert found["route chat-fast: qwen/qwen-plus, kimi/kimi-k2.6"] == "ok"
    own(shell, ROUTES + '[models."qwen/qwen-plus"]\nstatus = "retired"\n')
    found = findings(shell, "--model", "chat-fast", code=0)
    assert found["route chat-fast passes qwen/qwen-plus over, which is no longer offered"] == "note"


def test_routes_and_several_keys_are_shown_and_no_key_itself(shell: Shell) -> None:
    own(shell, ROUTES)
    shell.variables["MOONSHOT_API_KEYS"] = "sk-hidden,sk-secret"
    shown = shell.run("config").stdout
    assert "routes.chat-fast.targets" in shown
    assert "qwen/qwen-plus, kimi/kimi-k2.6" in " ".join(shown.split())
    records = [json.loads(line) for line in shell.run("config", "--json").stdout.splitlines()]
    values = {record["setting"]: record["value"] for record in records}
    assert values["routes.chat-fast.targets"] == ["qwen/qwen-plus", "kimi/kimi-k2.6"]
    assert (values["MOONSHOT_API_KEYS"], values["MOONSHOT_API_KEY"]) == (True, False)
    assert "sk-" not in shown


def test_a_route_answers_on_the_command_line(shell: Shell) -> None:
    own(shell, '[routes.tour]\ntargets = ["qwen/qwen-plus", "demo"]\n')
    assert "收到了" in shell.run("ask", "--model", "tour", "我今年 27 岁。").stdout
    own(shell, '[routes.tour]\ntargets = ["demo?fail=503", "demo"]\n')
    shell.run("ask", "--model", "tour", "hi")
    words = "asked before without success: demo?fail=503 (provider_overloaded)"
    assert words in shell.run("context", "last").stdout
    told = json.loads(shell.run("context", "last", "--json").stdout.splitlines()[-1])
    assert (told["route"], told["tried"]) == (
        "tour",
        [{"model": "demo?fail=503", "code": "provider_overloaded"}],
    )
    own(shell, '[routes.tour]\ntargets = ["qwen/qwen-plus"]\n')
    assert "DASHSCOPE_API_KEY" in shell.refused("ask", "--model", "tour", "hi")
    own(shell, '[routes.tour]\ntargets = ["nobody/x"]\n')
    assert "routes.tour.targets" in shell.refused("ask", "--model", "tour", "hi")
