"""Can somebody ask what another policy or model would have cost?"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from tests.cli.terminal import Shell, Terminal

from multiturn import MultiTurn

SLIDING = "budget = 300\nhigh = 1.0\nlow = 1.0\nsummarize = false\nrecall = false\n"


def told(shell: Shell, **stated: Any) -> None:
    """A long conversation, imported, that comes back to its beginning."""
    said = [("My dog is called Rex.", "A fine name.")]
    said += [
        (f"Tell me about subject {number}.", f"It is a subject, and quite long, {number}.")
        for number in range(30)
    ]
    said += [("What was the dog called, Rex?", "Yes, Rex.")]
    messages = [
        {"role": role, "content": text}
        for pair in said
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    with MultiTurn(store=f"sqlite:///{shell.home / 'chats.db'}", environment={}, **stated) as client:
        client.conversation("trip").add(messages)


@pytest.fixture
def talked(shell: Shell) -> Shell:
    told(shell, model="qwen/qwen3.7-plus")
    (shell.home / "sliding.toml").write_text(SLIDING)
    shell.variables["MULTITURN_STORE"] = f"sqlite:///{shell.home / 'chats.db'}"
    return shell


def lines(shell: Shell, *arguments: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in shell.run("replay", "--json", *arguments).stdout.splitlines():
        record = json.loads(line)
        found.setdefault(record["kind"], []).append(record)
    return found


def test_a_policy_is_compared_with_what_is_stored(talked: Shell) -> None:
    shown = talked.run("replay", "--policy", "sliding.toml")
    heads, stored, sliding = shown.stdout.splitlines()[:3]
    assert heads.split()[:3] == ["scheme", "model", "turns"]
    assert stored.startswith("as stored  qwen/qwen3.7-plus     32")
    assert sliding.startswith("sliding ")
    assert "where it differs most" in shown.stdout
    assert "trip" in shown.stdout
    assert shown.stderr == ""


def test_no_word_of_a_conversation_is_shown_unless_asked_for(talked: Shell) -> None:
    arguments = ("replay", "--policy", "sliding.toml")
    for more in ((), ("--json",)):
        assert "Rex" not in talked.run(*arguments, *more).stdout
        assert "My dog is called Rex." in talked.run(*arguments, "--show-text", *more).stdout


def test_json_lines_hold_every_turn_of_every_scheme(talked: Shell) -> None:
    found = lines(talked, "--policy", "sliding.toml", "--model", "qwen/qwen3.7-plus", "--model", "demo")
    names = ["as stored", "sliding · qwen/qwen3.7-plus", "sliding · demo"]
    assert [each["scheme"] for each in found["scheme"]] == names
    assert len(found["turn"]) == 3 * 32
    last = [each for each in found["turn"] if each["turn"] == 32]
    assert [(each["sent"], each["gone"]) for each in last] == [([1], []), ([], [1]), ([], [1])]
    stored, sliding, demo = found["scheme"]
    assert sliding["input"] < stored["input"]
    assert float(sliding["costs"][0]["amount"]) > 0
    assert demo["costs"] == []
    assert {note["code"] for note in found["note"]} >= {"limits", "no_price"}
    worst = [each for each in found["difference"] if each["scheme"] == names[1]]
    assert worst[0]["turn"] == 32
    assert worst[0]["lost"] == [1]
    assert len(worst) <= 20


def test_what_was_billed_is_compared(talked: Shell) -> None:
    assert "No turn has a bill" in talked.run("replay", "--against", "billed").stdout
    talked.run("chat", "--model", "demo", typed="I am 27 years old.\nHow old am I?\n")
    found = lines(talked, "--against", "billed", "--conversation", "last")
    assert {each["quantity"] for each in found["billed"]} == {"input", "cached", "cost"}
    assert sum(found["billed"][0]["classes"]) == found["billed"][0]["turns"]


def test_the_drawing_is_written(talked: Shell) -> None:
    done = talked.run("replay", "--policy", "sliding.toml", "--picture", "what-if.svg")
    assert "what-if.svg" in done.stderr
    drawing = ET.parse(talked.home / "what-if.svg").getroot()
    assert drawing.tag.endswith("svg")
    told = list(drawing.itertext())
    assert sum(words.startswith("~$") for words in told) == 2
    assert sum(" · " in words and words.endswith("%") for words in told) == 2
    assert talked.refused("replay", "--picture", "nowhere/what-if.svg").endswith("[system]")


def test_only_turns_since_then_count(talked: Shell) -> None:
    assert lines(talked, "--since", "1h")["scheme"][0]["turns"] == 32
    done = talked.run("replay", "--since", "2999-01-01")
    assert done.stdout == ""
    assert "no turns" in done.stderr


def test_an_empty_store_says_so(shell: Shell) -> None:
    done = shell.run("replay")
    assert done.stdout == ""
    assert "no turns" in done.stderr
    assert shell.run("replay", "--json").stdout == ""


def test_a_store_that_is_not_there_is_told_and_not_made(shell: Shell) -> None:
    assert shell.refused("replay", "--store", "sqlite:///gone.db").endswith("[store_unavailable]")
    assert not (shell.home / "gone.db").exists()


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("budgets = 3\n", "policy_invalid", "budgets"),
        ("budget = 0\n", "policy_invalid", "budget"),
        ("budget = \n", "input_invalid", "TOML"),
        ("policy = 3\n", "input_invalid", "table"),
        (None, "input_invalid", "cannot be read"),
    ],
)
def test_a_policy_that_is_none_is_refused_with_its_file(
    talked: Shell, text: str | None, code: str, words: str
) -> None:
    if text is not None:
        (talked.home / "bad.toml").write_text(text)
    refused = talked.refused("replay", "--policy", "bad.toml")
    assert refused.endswith(f"[{code}]")
    assert words in refused
    assert "bad.toml" in refused


def test_a_policy_may_stand_in_a_table(talked: Shell) -> None:
    (talked.home / "whole.toml").write_text("[policy]\n" + SLIDING)
    plain, table = (lines(talked, "--policy", f"{name}.toml")["scheme"][1] for name in ("sliding", "whole"))
    assert plain["input"] == table["input"]


@pytest.mark.parametrize("wrong", ["7", "d", "7 days", "soon", "2026-13-01"])
def test_a_time_that_is_none_is_refused(talked: Shell, wrong: str) -> None:
    done = talked.run("replay", "--since", wrong, check=False)
    assert done.returncode == 2
    assert "--since" in done.stderr


def test_names_that_nobody_knows_are_refused(talked: Shell) -> None:
    assert talked.refused("replay", "--model", "nobody/nothing").endswith("[model_unknown]")
    assert talked.refused("replay", "--conversation", "gone").endswith("[conversation_not_found]")
    assert talked.run("replay", "--against", "hope", check=False).returncode == 2


def test_users_are_replayed_one_by_one_or_together(talked: Shell) -> None:
    talked.run("ask", "I am Ada.", "--user", "ada")
    assert lines(talked)["scheme"][0]["conversations"] == 2
    assert lines(talked, "--user", "ada")["scheme"][0]["conversations"] == 1


def test_a_person_sees_progress_and_chinese(talked: Shell) -> None:
    talked.variables["MULTITURN_LANG"] = "zh"
    with Terminal(talked, ["replay", "--policy", "sliding.toml"]) as terminal:
        terminal.until("按现有设置")
        terminal.until("差别最大")
        assert terminal.leave() == 0


def test_files_of_the_same_name_are_told_apart(talked: Shell) -> None:
    (talked.home / "other").mkdir()
    Path(talked.home / "other" / "sliding.toml").write_text(SLIDING)
    found = lines(talked, "--policy", "sliding.toml", "--policy", "other/sliding.toml")
    assert [each["scheme"] for each in found["scheme"]] == ["as stored", "sliding", "sliding (2)"]
