"""Do the commands inside a chat do what they say?"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.terminal import Shell

from multiturn.cli import slash


@given(st.text())
def test_only_a_word_behind_a_slash_is_a_command(text: str) -> None:
    command = slash.read(text)
    if command is None:
        return
    name, rest = command
    assert text.strip().startswith(f"/{name}")
    assert name.isascii()
    assert text.strip().endswith(rest)


def test_paths_and_doubled_slashes_are_texts() -> None:
    assert slash.read("/usr/bin is full") is None
    assert slash.read("//help") is None
    assert slash.read("/ help") is None
    assert slash.read(" /edit 3  no\nmore ") == ("edit", "3  no\nmore")


def messages(shell: Shell) -> list[str]:
    """What the newest conversation holds."""
    shown = shell.run("show", "last", "--json").stdout.splitlines()
    return [json.loads(line)["content"] for line in shown]


def test_fill_pushes_out_and_context_says_why(shell: Shell) -> None:
    typed = "I am 27 years old.\n/fill 40\nHow old am I?\n/context\n/context 1\n"
    done = shell.run("chat", "--summarize", "off", "--recall", "off", typed=typed)
    assert "am 27" not in done.stdout
    assert "over_budget" in done.stdout
    assert "Left out, and why" in done.stdout
    assert "40 invented turns" in done.stderr
    assert done.stdout.count("Sent, in the order sent") == 2


def test_a_pinned_turn_is_found_again(shell: Shell) -> None:
    typed = "I am 27 years old.\n/pin 1\n/fill 40\nHow old am I?\n/context\n"
    done = shell.run("chat", "--recall", "off", typed=typed)
    assert "I am 27 years old." in done.stdout
    assert "pinned by you" in done.stdout


def test_recall_finds_what_was_pushed_out(shell: Shell) -> None:
    typed = (
        "I am 27 years old.\n/fill 40\nDo you know how old I am?\n/recall years old\n/recall\n/recall xyzzy\n"
    )
    done = shell.run("chat", "--summarize", "off", typed=typed)
    assert "I found in message" in done.stdout
    found = done.stdout.splitlines()
    assert any(line.split()[:2] == ["1", "user"] and "27 years" in line for line in found)
    assert "/recall TEXT" in done.stderr
    assert "no old message fits" in done.stderr


def test_the_summary_is_shown_rewritten_and_taken_back(shell: Shell) -> None:
    shell.run("chat", "--recall", "off", typed="/summary\nI am 27 years old.\n/fill 40\nThank you.\n")
    typed = "/summary\n/summary edit She is 27.\nHow old is she?\n/summary undo\n/summary rubbish\n"
    done = shell.run("chat", "-c", "last", typed=typed)
    before, edited, undone = done.stdout.split("summary 1 of turns 1–")[1], "", ""
    assert "I am 27 years old." in before
    edited = done.stdout.split("written by hand")[1]
    assert "She is 27." in edited
    undone = done.stdout.split("summary 1 of turns 1–")[2]
    assert "I am 27 years old." in undone
    assert "/summary [edit TEXT | undo]" in done.stderr


def test_a_conversation_without_a_summary_says_so(shell: Shell) -> None:
    assert "there is no summary" in shell.run("chat", typed="I am Ada.\n/summary\n").stderr


def test_context_tells_what_differs_from_the_turn_before(shell: Shell) -> None:
    off = ("--summarize", "off", "--recall", "off")
    done = shell.run("chat", *off, typed="I am 27.\n/fill 40\nHow old am I?\nAnd Bob?\n/context\n")
    difference = done.stdout.split("Different from the turn before")[1]
    assert "tokens" in difference
    asked = shell.run("context", "last", "--next", "And how old is Bob?")
    assert "the new input" in asked.stdout
    assert "what the input costs" in asked.stdout
    record = json.loads(shell.run("context", "last", "--next", "And?", "--json").stdout.splitlines()[-1])
    assert record["next"]["tokens"] > 0
    assert record["next"]["cost"] is None
    changes = json.loads(shell.run("context", "last", "--json").stdout.splitlines()[-1])["changes"]
    assert changes[-1]["code"] == "tokens"


def test_a_dropped_turn_is_left_out(shell: Shell) -> None:
    done = shell.run("chat", typed="I am 27 years old.\n/drop 1\nHow old am I?\n/context\n")
    assert "am 27" not in done.stdout
    assert "excluded_by_user" in done.stdout


def test_what_was_pinned_or_dropped_can_be_taken_back(shell: Shell) -> None:
    off = ("--summarize", "off", "--recall", "off")
    typed = "I am 27 years old.\n/drop 1\n/include 1\nHow old am I?\n/pin 1\n/unpin 1\n/fill 40\n/context 2\n"
    done = shell.run("chat", *off, typed=typed)
    assert "I found in message 1: I am 27 years old." in done.stdout
    assert "turn 1 may be sent again" in done.stderr
    asked = shell.run("chat", "-c", "last", *off, typed="How old am I?\n/context\n")
    assert "am 27" not in asked.stdout
    assert "pinned" not in asked.stdout


def test_a_conversation_is_exported_from_inside(shell: Shell) -> None:
    done = shell.run("chat", typed="I am Ada.\n/export openai\n/export markdown\n/export\n/export pdf\n")
    assert '"content":"I am Ada."' in done.stdout.replace('": "', '":"')
    assert "/export [jsonl|openai|markdown]" in done.stderr


def test_undo_goes_on_without_the_newest_turn_also_in_the_next_process(shell: Shell) -> None:
    done = shell.run("chat", typed="I am Ada.\nI am Bob.\n/undo\n/branch\n")
    assert "turn 2 was taken back" in done.stderr
    assert "  branch 0: 2 turns" in done.stdout
    assert "* branch 1: 1 turns" in done.stdout
    assert "Bob" not in " ".join(messages(shell))
    shell.run("chat", "-c", "last", typed="/branch 0\n")
    assert "Bob" in " ".join(messages(shell))


def test_edit_says_something_else_instead(shell: Shell) -> None:
    shell.run("chat", typed="I am Ada.\nWho am I?\n/edit 1 I am Bob.\nWho am I?\n")
    said = messages(shell)
    assert said[0] == "I am Bob."
    assert "Bob" in said[-1]
    assert "Ada" not in " ".join(said)
    shell.run("chat", "-c", "last", typed="/edit Who is Ada?\n")
    assert messages(shell)[-2] == "Who is Ada?"


def test_retry_repeats_a_failed_turn(shell: Shell) -> None:
    done = shell.run("chat", "-m", "demo?fail=503&times=1", typed="I am Ada.\n/retry\n", check=False)
    assert "[provider_overloaded]" in done.stderr
    assert "Received" in done.stdout
    assert len(messages(shell)) == 2


def test_retry_answers_a_finished_turn_again(shell: Shell) -> None:
    done = shell.run("chat", typed="I am Ada.\n/retry\n/branch\n")
    assert done.stdout.count("Received") == 2
    assert "* branch 1" in done.stdout


def test_cost_and_model_and_help(shell: Shell) -> None:
    done = shell.run(
        "chat", typed="I am Ada.\n/cost\n/model\n/model demo?slow=0s\n/model\n/help\nWho am I?\n"
    )
    assert "demo answers" in done.stderr
    assert "demo?slow=0s answers" in done.stderr
    for name in slash.COMMANDS:
        assert f"/{name}" in done.stdout
    assert done.stdout.count("\n1 ") == 0
    assert done.stdout.rstrip().endswith("I am Ada.")


LONG = f"/edit {'9' * 5000}"
"""A number with more digits than Python reads."""


@pytest.mark.parametrize(
    "typed",
    [
        "/nope",
        "/pin",
        "/pin x",
        "/drop",
        "/fill",
        "/fill 0",
        "/edit",
        "/undo 3",
        "/branch 7",
        "/edit 3",
        LONG,
        f"{LONG} x",
    ],
)
def test_a_command_that_cannot_be_is_explained(shell: Shell, typed: str) -> None:
    done = shell.run("chat", typed=f"I am Ada.\n{typed}\n")
    assert typed.split(maxsplit=1)[0] in done.stderr.splitlines()[-1]
    assert len(messages(shell)) == 2


def test_before_anything_was_said_there_is_nothing_to_undo(shell: Shell) -> None:
    done = shell.run("chat", typed="/branch\n/undo\n/retry\n/context\n/edit no\n/pin 1\n/drop 1\n")
    assert done.stderr.count("nothing has been said yet") == 7
    assert done.stdout == ""


def test_a_model_without_its_key_is_refused_and_the_old_one_stays(shell: Shell) -> None:
    done = shell.run("chat", typed="/model kimi/kimi-k2.6\nI am Ada.\n", check=False)
    assert done.returncode == 1
    assert "MOONSHOT_API_KEY" in done.stderr


def test_a_text_may_begin_with_a_slash(shell: Shell) -> None:
    shell.run("chat", typed="//help me\n/usr is a folder of /usr/bin\n/etc/hosts names hosts\n")
    assert "/help me" in messages(shell)
    assert "/etc/hosts names hosts" in messages(shell)
