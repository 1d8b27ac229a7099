"""Does every failure leave as one sentence, one code, and an exit code?"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from tests.cli.terminal import COMMAND, Shell

from multiturn.cli.failure import guarded
from multiturn.cli.program import run
from multiturn.errors import MessageEmpty


def raising(problem: BaseException) -> Callable[[], int | None]:
    def run() -> int | None:
        raise problem

    return run


@pytest.mark.parametrize(
    ("problem", "code", "told"),
    [
        (MessageEmpty(), 1, "[message_empty]"),
        (RuntimeError("surprise"), 1, "[internal]"),
        (OSError(28, "No space left on device"), 1, "no space left on the disk [system]"),
        (OSError(13, "Permission denied", "x.db"), 1, "permission denied (x.db) [system]"),
        (click.UsageError("two"), 2, "[usage]"),
        (KeyboardInterrupt(), 130, ""),
        (click.Abort(), 130, ""),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_whatever_happens_is_one_sentence(
    capfd: pytest.CaptureFixture[str], problem: BaseException, code: int, told: str
) -> None:
    assert guarded(raising(problem), "en") == code
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err.endswith(f"{told}\n" if told else "")
    assert shown.err.count("\n") == bool(told)


def test_programs_get_the_failure_as_json(capfd: pytest.CaptureFixture[str]) -> None:
    assert guarded(raising(MessageEmpty()), "en", as_json=True) == 1
    assert json.loads(capfd.readouterr().err)["error"]["code"] == "message_empty"


def test_what_a_command_gives_is_its_exit_code() -> None:
    assert guarded(lambda: None, "en") == 0
    assert guarded(lambda: 1, "en") == 1


@pytest.mark.parametrize(
    ("arguments", "english", "chinese"),
    [
        (("nope",), "there is no command nope", "没有命令 nope"),
        (("chat", "--nope"), "there is no option --nope", "没有选项 --nope"),
        (("chat", "--budget", "many"), "--budget cannot be many", "--budget 不能是 many"),
        (("chat", "--high", "much"), "--high cannot be much", "--high 不能是 much"),
        (
            ("list", "--limit", "0"),
            "--limit is a whole number of at least 1, not 0",
            "--limit 是不小于 1 的整数，不能是 0",
        ),
        (("list", "--limit", "-1"), "at least 1, not -1", "不小于 1 的整数，不能是 -1"),
        (("search", "x", "--limit", "-5"), "at least 1, not -5", "不小于 1 的整数，不能是 -5"),
        (("list", "--limit", "many"), "at least 1, not many", "不小于 1 的整数，不能是 many"),
        (("serve", "--port", "99999"), "--port cannot be 99999", "--port 不能是 99999"),
        (("usage", "--by", "hour"), "--by cannot be hour", "--by 不能是 hour"),
        (("show",), "CONVERSATION is missing", "缺少 CONVERSATION"),
        (("list", "--store"), "--store needs a value", "--store 需要一个值"),
        (("show", "a", "b"), "too much was given", "给出的参数太多"),
    ],
)
def test_wrong_usage_is_told_in_both_languages(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    english: str,
    chinese: str,
) -> None:
    """In this process: nothing is run but the reading of the command."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for language, sentence in (("en", english), ("zh", chinese)):
        monkeypatch.setenv("MULTITURN_LANG", language)
        assert run(arguments) == 2
        shown = capfd.readouterr()
        assert sentence in shown.err
        assert shown.err.endswith(" [usage]\n")
        assert shown.out == ""


def test_wrong_usage_ends_the_process_with_2(shell: Shell) -> None:
    assert shell.run("nope", check=False).returncode == 2


@pytest.mark.parametrize("command", ["models", "doctor"])  # more and less than a buffer holds
def test_a_reader_that_leaves_early_ends_the_command_quietly(shell: Shell, command: str) -> None:
    with subprocess.Popen(
        [*COMMAND, command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=shell.environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


@pytest.mark.parametrize("command", ["models", "doctor"])
def test_a_full_disk_behind_standard_output_is_told(shell: Shell, command: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, command], stdout=full, stderr=subprocess.PIPE, env=shell.environment, check=False
        )
    assert done.returncode == 1
    assert done.stderr.decode().endswith("[system]\n")
    assert b"Traceback" not in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_broken_database_is_told_and_left_alone(shell: Shell, tmp_path: Path) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"not a database, " * 400)
    told = shell.refused("list", "--store", f"sqlite:///{broken}")
    assert str(broken) in told
    assert told.endswith("[store_corrupt]")
    assert broken.read_bytes() == b"not a database, " * 400


def test_a_wrong_settings_file_is_told_by_every_command(shell: Shell) -> None:
    (shell.home / "multiturn.toml").write_text("[policy]\nbudget = -3\n")
    told = shell.refused("list")
    assert "policy.budget" in told
    assert "multiturn.toml" in told
    assert told.endswith("[setting_invalid]")


def test_a_key_in_a_settings_file_is_never_repeated(shell: Shell) -> None:
    (shell.home / "multiturn.toml").write_text('[providers.qwen]\napi_key = "sk-hidden"\n')
    done = shell.run("config", check=False)
    assert done.returncode == 1
    assert "providers.qwen.api_key" in done.stderr
    assert "sk-hidden" not in done.stdout + done.stderr
    assert os.linesep in done.stderr
