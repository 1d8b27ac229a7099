"""Can what is stored be seen, found, counted and removed?"""

from __future__ import annotations

import json

import pytest
from tests.cli.terminal import Shell, Terminal

from multiturn.cli.listings import excerpt

ANSWERED = "I am 27 years old.\nHow old am I?\n"


@pytest.fixture
def talked(shell: Shell) -> Shell:
    """A user who talked once."""
    shell.run("chat", typed=ANSWERED)
    return shell


def newest(shell: Shell) -> str:
    return str(json.loads(shell.run("list", "--json").stdout.splitlines()[0])["id"])


def test_the_most_recently_used_conversation_comes_first(talked: Shell) -> None:
    first = newest(talked)
    talked.run("ask", "A second one.")
    second = newest(talked)
    assert second != first
    talked.run("ask", "-c", first, "And again.")
    rows = talked.run("list").stdout.splitlines()
    assert len(rows) == 3
    assert rows[1].startswith(first)
    assert "I am 27 years old." in rows[1]
    assert " 3 " in rows[1]
    assert len(talked.run("list", "--limit", "1").stdout.splitlines()) == 2


def test_an_empty_store_says_so(shell: Shell) -> None:
    done = shell.run("list")
    assert done.stdout == ""
    assert "multiturn chat" in done.stderr
    assert shell.run("list", "--json").stdout == ""
    assert shell.run("usage").stdout == ""
    assert "nothing was used" in shell.run("usage").stderr
    assert "no message contains" in shell.run("search", "x").stderr


def test_show_tells_who_said_what_in_which_turn(talked: Shell) -> None:
    lines = talked.run("show", "last").stdout.splitlines()
    assert lines[0] == "   1  user: I am 27 years old."
    assert lines[1].startswith("      assistant: ")
    assert lines[2] == "   2  user: How old am I?"
    talked.variables["MULTITURN_LANG"] = "zh"
    assert "用户: I am 27" in talked.run("show", newest(talked)).stdout


def test_search_finds_a_message_and_its_place(talked: Shell) -> None:
    row = talked.run("search", "27 YEARS").stdout.splitlines()[-1]
    assert row.startswith(newest(talked))
    assert row.split(maxsplit=3)[1:] == ["1", "user", "I am 27 years old."]
    found = json.loads(talked.run("search", "How old", "--json").stdout)
    assert found["turn"] == 2
    assert found["role"] == "user"
    assert talked.run("search", "nowhere").stdout == ""


def test_context_says_what_was_sent_and_why(talked: Shell) -> None:
    shown = talked.run("context", "last").stdout
    assert "Sent, in the order sent" in shown
    assert "the new input" in shown
    assert "of 1,024 tokens" in shown
    assert talked.run("context", "last", "--turn", "1").stdout.count("recent") == 0
    told = talked.refused("context", "last", "--turn", "9")
    assert told.endswith("[turn_not_found]")
    talked.variables["MULTITURN_LANG"] = "zh"
    assert "新的输入" in talked.run("context", "last").stdout


def test_a_limit_of_turns_is_named_where_it_decided(talked: Shell) -> None:
    talked.run("ask", "-c", "last", "--max-turns", "1", "Hello.")
    assert "older than the newest 1 turns" in talked.run("context", "last").stdout


def test_a_turn_in_which_nothing_was_sent_says_so(shell: Shell) -> None:
    shell.run("chat", typed="/fill 2\n")
    assert "nothing was sent" in shell.run("context", "last").stderr
    assert "nothing was sent" in shell.run("context", "last", "--turn", "1").stderr


def test_usage_adds_up_tokens_and_shows_no_price_where_none_is_known(talked: Shell) -> None:
    row = talked.run("usage").stdout.splitlines()[-1].split()
    assert row[:3] == ["all", "2", "2"]
    assert row[-1] == "—"
    assert "demo" in talked.run("usage", "--by", "model").stdout
    for by in ("day", "user", "conversation"):
        assert len(talked.run("usage", "--by", by).stdout.splitlines()) == 2
    one = json.loads(talked.run("usage", "last", "--json").stdout)
    assert one["calls"] == 2
    assert one["costs"] == []


def test_users_do_not_see_each_other(talked: Shell) -> None:
    talked.run("ask", "I am Ada.", "--user", "ada")
    assert "Ada" in talked.run("list", "--user", "ada").stdout
    assert "Ada" not in talked.run("list").stdout
    assert talked.run("search", "27", "--user", "ada").stdout == ""
    assert talked.refused("show", newest(talked), "--user", "ada").endswith("[conversation_not_found]")
    groups = talked.run("usage", "--by", "user").stdout
    assert "ada" in groups
    assert len(groups.splitlines()) == 3


def test_delete_wants_a_yes(talked: Shell) -> None:
    name = newest(talked)
    refused = talked.run("delete", name, check=False)
    assert refused.returncode == 1
    assert "--yes" in refused.stderr
    with Terminal(talked, ["delete", name]) as terminal:
        terminal.until("2 turns?")
        terminal.type("n\n")
        assert terminal.leave() == 1
    assert newest(talked) == name
    with Terminal(talked, ["delete", name]) as terminal:
        terminal.until("2 turns?")
        terminal.type("y\n")
        assert terminal.leave() == 0
    assert talked.run("list").stdout == ""
    assert talked.refused("delete", name, "--yes").endswith("[conversation_not_found]")


def test_delete_without_a_question(talked: Shell) -> None:
    done = talked.run("delete", "last", "--yes", "--json")
    assert json.loads(done.stdout)["deleted"].startswith("conv_")


def test_an_excerpt_shows_what_was_found() -> None:
    text = "word " * 50 + "needle" + " word" * 50
    assert "needle" in excerpt(text, around="NEEDLE")
    assert excerpt(text, around="NEEDLE").startswith("…")
    assert excerpt("a\nb") == "a b"
    assert excerpt("x" * 100).endswith("…")
