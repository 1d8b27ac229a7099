"""Does a chat remember: through a pipe, in a new process, at a terminal?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.cli.terminal import COMMAND, Shell, Terminal

AGE = "你好，我今年 27 岁。\n你知道我今年几岁吗？\n"


def test_a_pipe_is_answered_line_by_line_and_remembered_by_the_next_process(shell: Shell) -> None:
    first = shell.run("chat", typed=AGE)
    received, found = first.stdout.splitlines()
    assert "27" not in received
    assert "27" in found
    assert "你好，我今年 27 岁。" in found
    assert "not a language model" in first.stderr
    second = shell.run("ask", "-c", "last", "我几岁？")
    assert "27" in second.stdout
    assert "not a language model" in second.stderr


def test_answers_go_to_standard_output_and_everything_else_beside_it(shell: Shell) -> None:
    done = shell.run("chat", typed="I am Ada.\n\n   \nWho is Ada?")
    assert done.stdout.count("\n") == 2
    assert "1 · " in done.stderr
    assert "2 · " in done.stderr
    assert " in (— cached) · " in done.stderr
    assert "· — ·" in done.stderr
    assert "$0" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_json_lines_for_programs(shell: Shell) -> None:
    done = shell.run("chat", "--json", typed="I am Ada.\nWho am I?\n")
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["turn"] == 1
    assert second["state"] == "completed"
    assert second["usage"]["cached"] is None
    assert second["cost"] is None
    assert second["window"]["budget"] == 1024
    assert first["conversation"] == second["conversation"]


def test_until_ends_the_chat_when_a_reply_contains_the_text(shell: Shell) -> None:
    done = shell.run("chat", "--until", "Ada", typed="I am Ada.\nWho am I?\nWho else?\n")
    assert done.stdout.count("\n") == 2
    assert "Ada" in done.stderr.splitlines()[-1]


def test_an_opening_and_instructions_are_part_of_the_conversation(shell: Shell) -> None:
    done = shell.run("chat", "--opening", "Welcome!", "--system", "The shop opens at nine.", typed="Hello.\n")
    assert done.stdout.startswith("Welcome!\n")
    shown = shell.run("show", "last").stdout
    assert "assistant: Welcome!" in shown
    assert "nine" in shell.run("ask", "-c", "last", "When does the shop open?").stdout


def test_ask_starts_a_conversation_and_names_it(shell: Shell) -> None:
    done = shell.run("ask", "I am Ada.")
    name = done.stderr.splitlines()[-1].split()[-1]
    assert "Ada" in shell.run("ask", "-c", name, "Who am I?").stdout
    assert "Ada" in shell.run("ask", "-c", name, typed="Who am I?\n").stdout


def test_a_failed_turn_is_kept_told_and_the_next_one_works(shell: Shell) -> None:
    done = shell.run("chat", "-m", "demo?fail=429&times=1", typed="I am Ada.\nI am Bob.\n", check=False)
    assert done.returncode == 1
    assert "[rate_limited]" in done.stderr
    assert done.stdout.count("\n") == 1
    assert "user: I am Ada." in shell.run("show", "last").stdout


def test_a_new_conversation_whose_first_turn_failed_is_named(shell: Shell) -> None:
    done = shell.run("ask", "I am Ada.", "-m", "demo?fail=500", check=False)
    assert done.returncode == 1
    *_, named, told = done.stderr.splitlines()
    assert told.endswith("[provider_failed]")
    shell.run("show", named.split()[-1])


def test_a_conversation_keeps_its_model_until_another_is_named(shell: Shell) -> None:
    shell.run("ask", "I am Ada.", "-m", "demo?slow=1ms")
    shell.variables["MULTITURN_MODEL"] = "compatible/llama"
    assert "Ada" in shell.run("ask", "-c", "last", "Who am I?").stdout
    shell.run("ask", "-c", "last", "-m", "demo", "Who am I?")
    assert json.loads(shell.run("list", "--json").stdout)["model"] == "demo"


@pytest.mark.parametrize(
    ("arguments", "typed", "words"),
    [
        (("chat", "-m", "qwen/qwen-plus"), "hi\n", ["DASHSCOPE_API_KEY", "[key_missing]"]),
        (("ask", "hi", "-m", "frob"), None, ["frob", "[model_unknown]"]),
        (("ask", "-c", "last", "hi"), None, ["last", "[conversation_not_found]"]),
        (("ask", "-c", "nix", "hi"), None, ["nix", "[conversation_not_found]"]),
        (("ask",), "", ["[message_empty]"]),
        (("ask", " "), None, ["[message_empty]"]),
        (("ask", "hi", "--budget", "0"), None, ["policy.budget", "at least 1", "[setting_invalid]"]),
        (("ask", "word " * 3000), None, ["1,024", "[context_overflow]"]),
        (("chat",), b"\xff\xfe\n", ["UTF-8", "[message_invalid]"]),
        (("chat", "--store", "sqlite:////dev/null/x"), "hi\n", ["/dev/null/x", "[store_unavailable]"]),
    ],
)
def test_what_cannot_be_is_one_sentence_with_its_code(
    shell: Shell, arguments: tuple[str, ...], typed: str | None, words: list[str]
) -> None:
    told = shell.refused(*arguments, typed=typed)
    for word in words:
        assert word in told.replace("1024", "1,024")
    shell.variables["MULTITURN_LANG"] = "zh"
    chinese = shell.refused(*arguments, typed=typed)
    assert chinese.endswith(words[-1])
    assert chinese != told


def test_what_would_fail_in_every_line_is_told_once(shell: Shell) -> None:
    done = shell.run("chat", "--store", "sqlite:////dev/null/x", typed="one\ntwo\n", check=False)
    assert done.stderr.count("[store_unavailable]") == 1


def test_a_model_that_cannot_answer_is_refused_before_anything_is_typed(shell: Shell) -> None:
    assert shell.refused("chat", "-m", "qwen/qwen-plus", typed="").endswith("[key_missing]")


def test_keys_of_two_providers_and_no_model_must_be_decided(shell: Shell) -> None:
    shell.variables |= {"DASHSCOPE_API_KEY": "k", "MOONSHOT_API_KEY": "k"}
    told = shell.refused("chat", typed="hi\n")
    assert "DASHSCOPE_API_KEY, MOONSHOT_API_KEY" in told
    assert "--model" in told
    with Terminal(shell, ["chat"]) as terminal:
        seen = terminal.until("›")
        assert "qwen/" in seen
        assert "kimi/" in seen
        terminal.type("2\n")
        assert "kimi/" in terminal.until("conversation")


def test_ctrl_c_ends_a_pipe_and_keeps_what_had_arrived(shell: Shell) -> None:
    with subprocess.Popen(
        [*COMMAND, "chat", "-m", "demo?slow=300ms"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=shell.environment,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"I am Ada.\n")
        process.stdin.flush()
        first = os.read(process.stdout.fileno(), 100)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    assert first.decode().strip() in shell.run("show", "last").stdout
    turn = json.loads(shell.run("context", "last", "--json").stdout.splitlines()[-1])
    assert turn["budget"] == 1024


def test_ctrl_c_works_while_the_pipe_is_silent(shell: Shell) -> None:
    with subprocess.Popen(
        [*COMMAND, "chat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=shell.environment,
    ) as process:
        assert process.stderr is not None
        assert b"conversation" in process.stderr.readline()
        process.stderr.readline()
        _wait_until_it_rests(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read().strip() == b""


def _wait_until_it_rests(pid: int) -> None:
    """Nothing else tells from outside that a program waits for a line: it uses no time of the processor."""
    before, used = -1.0, 0.0
    while used != before:
        time.sleep(0.5)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        before, used = used, float(fields[11]) + float(fields[12])


def test_at_a_terminal_keys_do_what_they_say(shell: Shell) -> None:
    with Terminal(shell, ["chat"]) as terminal:
        assert "not a language model" in terminal.until("Ctrl-D leaves")
        terminal.until("›")
        terminal.type("I am Ada.\r")
        terminal.until("1 · ")
        terminal.until("›")
        terminal.type("first\\\rsecond\x1b\rthird\r")
        terminal.until("2 · ")
        terminal.until("›")
        terminal.type("\x1b[200~pasted\nwhole\n\x1b[201~")
        terminal.until("whole")
        terminal.type("\r")
        terminal.until("3 · ")
        terminal.until("›")
        terminal.type("half a thought\x03")
        terminal.until("Ctrl-D leaves")
        terminal.until("›")
        terminal.type("\x04")
        terminal.until("multiturn chat -c conv_")
        assert terminal.leave() == 0
    messages = [json.loads(line) for line in shell.run("show", "last", "--json").stdout.splitlines()]
    said = [message["content"] for message in messages if message["role"] == "user"]
    assert said[:2] == ["I am Ada.", "first\nsecond\nthird"]
    assert said[2].strip() == "pasted\nwhole"
    assert len(said) == 3


def test_ctrl_c_at_a_terminal_stops_the_reply_and_the_chat_goes_on(shell: Shell) -> None:
    with Terminal(shell, ["chat", "-m", "demo?slow=250ms"]) as terminal:
        terminal.until("›")
        terminal.type("I am Ada.\r")
        terminal.until("Received")
        terminal.type("\x03")
        terminal.until("stopped; what had arrived is kept")
        terminal.until("›")
        terminal.type("/model\r")
        terminal.until("answers")
        terminal.until("›")
        terminal.type("\x04")
        assert terminal.leave() == 0
    messages = [json.loads(line) for line in shell.run("show", "last", "--json").stdout.splitlines()]
    assert messages[1]["role"] == "assistant"
    assert messages[1]["content"].startswith("Received")
    assert not messages[1]["content"].endswith("about it.")


def test_a_terminal_that_wants_no_colour_gets_plain_text(shell: Shell) -> None:
    shell.variables["NO_COLOR"] = "1"
    with Terminal(shell, ["demo"]) as terminal:
        assert terminal.leave() == 0
        assert "27" in terminal.shown
        assert b"\x1b" not in terminal.received
    del shell.variables["NO_COLOR"]
    with Terminal(shell, ["demo"]) as terminal:
        assert terminal.leave() == 0
        assert b"\x1b[2m" in terminal.received
