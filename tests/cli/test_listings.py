"""Can what is stored be seen, found, counted and removed?"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tests.cli.terminal import Shell, Terminal

from multiturn import AsyncMultiTurn, ProviderError, RateLimited
from multiturn.cli.listings import excerpt, marks
from multiturn.cli.screen import Screen
from multiturn.conversations import Turn, TurnState
from multiturn.messages import Trait
from multiturn.providers.scripted import ScriptedProvider
from multiturn.reply import CallPiece, Delta

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
    assert "--next" in shell.run("context", "last", "--turn", "1").stderr
    assert shell.run("context", "last", "--turn", "1", "--next", "hello", check=False).returncode == 2


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


def test_usage_is_told_by_tags_and_by_several_at_once(shell: Shell) -> None:
    url = f"sqlite:///{shell.home / 's.db'}"

    async def talk() -> None:
        async with AsyncMultiTurn(store=url, model="demo", environment={}) as client:
            await client.conversation("a", metadata={"tag": "shop"}).send("One.")
            await client.conversation("b").send("Two.")

    asyncio.run(talk())
    usage = ("usage", "--store", url, "--by", "tag")
    assert {row.split()[0] for row in shell.run(*usage).stdout.splitlines()} == {"group", "shop", "—"}
    rows = shell.run(*usage, "--by", "model", "--by", "tag").stdout.splitlines()
    assert [row.split()[:3] for row in rows[1:]] == [["—", "·", "demo"], ["shop", "·", "demo"]]
    told = shell.run(*usage, "--by", "model", "--json").stdout
    assert [json.loads(line)["group"] for line in told.splitlines()] == [["", "demo"], ["shop", "demo"]]
    one = shell.run("usage", "a", *usage[1:], "--by", "model", "--json").stdout
    assert [json.loads(line)["group"] for line in one.splitlines()] == [["shop", "demo"]]
    assert shell.run("usage", "b", *usage[1:3], "--by", "model").stdout.splitlines()[1].split()[0] == "demo"


def test_users_do_not_see_each_other(talked: Shell) -> None:
    talked.run("ask", "I am Ada.", "--user", "ada")
    assert "Ada" in talked.run("list", "--user", "ada").stdout
    assert "am 27" not in talked.run("list", "--user", "ada").stdout
    assert talked.run("search", "27", "--user", "ada").stdout == ""
    listed = [json.loads(line) for line in talked.run("list", "--json").stdout.splitlines()]
    ids = {each["user"]: each["id"] for each in listed}
    assert talked.refused("show", ids[""], "--user", "ada").endswith("[conversation_not_found]")
    assert talked.refused("show", ids["ada"], "--user", "bob").endswith("[conversation_not_found]")
    groups = talked.run("usage", "--by", "user").stdout
    assert {row.split()[0] for row in groups.splitlines()} == {"group", "ada", "—"}


def test_everybody_is_looked_at_where_no_user_is_named(talked: Shell) -> None:
    talked.run("ask", "I am Ada.", "--user", "ada")
    rows = talked.run("list").stdout.splitlines()
    assert rows[0].split()[:3] == ["id", "user", "turns"]
    assert [row.split()[1] for row in rows[1:]] == ["ada", "—"]
    hers = rows[1].split()[0]
    assert talked.run("list", "--user", "ada").stdout.splitlines()[0].split()[:2] == ["id", "turns"]
    assert "I am Ada." in talked.run("show", hers).stdout
    assert "I am Ada." in talked.run("show", "last").stdout
    assert hers in talked.run("search", "Ada").stdout
    talked.run("ask", "-c", hers, "Who am I?")
    assert "Who am I?" in talked.run("show", hers, "--user", "ada").stdout
    assert len(talked.run("list").stdout.splitlines()) == 3
    talked.variables["MULTITURN_USER"] = "bob"
    assert talked.run("list").stdout == ""


def test_a_named_store_that_is_not_there_is_no_empty_one(shell: Shell) -> None:
    missing = shell.home / "typo.db"
    for command in (
        ["list"],
        ["search", "x"],
        ["usage"],
        ["show", "last"],
        ["context", "last"],
        ["delete", "last"],
        ["ask", "-c", "last", "x"],
    ):
        told = shell.refused(*command, "--store", f"sqlite:///{missing}")
        assert "there is no such file" in told
        assert told.endswith("[store_unavailable]")
        assert not missing.exists()
    shell.run("ask", "hi", "--store", f"sqlite:///{missing}")
    assert "hi" in shell.run("list", "--store", f"sqlite:///{missing}").stdout


CALLS = [Delta(calls=(CallPiece(0, "call_1", "look", "{}"),)), Delta(finish_reason="tool_calls")]


async def troubled(path: Path) -> None:
    """A conversation in which hardly anything went well."""
    provider = ScriptedProvider(["fine", RateLimited("x", provider="p"), [Delta("half")], "withdrawn", CALLS])
    async with AsyncMultiTurn(model="scripted", provider=provider, store=f"sqlite:///{path}") as client:
        chat = client.conversation("c")
        await chat.send("one")
        for text in ("two", "three"):
            with pytest.raises(ProviderError):
                await chat.send(text)
        await chat.send("four")
        await chat.retract(4, "a slip")
        await chat.pin(1)
        await chat.send("five")


def test_show_says_what_became_of_turns(shell: Shell) -> None:
    path = shell.home / "s.db"
    asyncio.run(troubled(path))
    store = ("--store", f"sqlite:///{path}")
    assert shell.run("show", "c", *store).stdout.splitlines() == [
        "   1  user: one",
        "      assistant: fine",
        "      [pinned by you]",
        "   2  user: two",
        "      [this turn failed (rate_limited)]",
        "   3  user: three",
        "      assistant: half",
        "      [this turn was cut off before it finished]",
        "   4  user: four",
        "      assistant: withdrawn",
        "      [retracted: a slip]",
        "   5  user: five",
        "      assistant: [calls look]",
        "      [this turn waits for the results of call_1]",
    ]
    records = [json.loads(line) for line in shell.run("show", "c", *store, "--json").stdout.splitlines()]
    states = {record["turn"]: record["state"] for record in records}
    assert states == {1: "completed", 2: "failed", 3: "incomplete", 4: "completed", 5: "waiting"}
    shell.variables["MULTITURN_LANG"] = "zh"
    assert "[这一轮失败了（rate_limited）]" in shell.run("show", "c", *store).stdout


def test_marks_of_turns_that_were_stopped_refused_or_run() -> None:
    def told(state: TurnState, traits: int = 0) -> list[str]:
        turn = Turn("t", 1, 0, state, 0.0, 1, 1, traits=traits)
        return list(marks(turn, Screen()))

    assert told(TurnState.COMPLETED) == []
    assert told(TurnState.INCOMPLETE, Trait.STOPPED) == ["stopped; what had arrived is kept"]
    assert told(TurnState.COMPLETED, Trait.MODERATED) == ["the provider refused its content"]
    assert told(TurnState.STREAMING) == ["this turn is running, or its program was ended"]
    assert told(TurnState.FAILED) == ["this turn failed"]
    assert told(TurnState.COMPLETED, Trait.RETRACTED) == ["retracted"]


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
    assert excerpt("x" * 60) == "x" * 60
    assert excerpt("x" * 61) == "x" * 60 + "…"
