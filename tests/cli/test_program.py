"""Are all commands there, in both languages, and does the program start lightly?"""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest
from tests.cli.terminal import Shell

from multiturn import __version__
from multiturn.cli.program import COMMANDS, program
from multiturn.phrases import LANGUAGES

HEAVY = ("aiohttp", "rich", "prompt_toolkit", "openai", "dashscope")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_command_explains_itself_and_its_options(language: str) -> None:
    group = program(language)
    assert list(group.commands) == list(COMMANDS)
    for command in group.commands.values():
        assert command.help
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help


def test_help_speaks_the_language_of_the_reader(shell: Shell) -> None:
    english = shell.run("chat", "--help").stdout
    assert english.startswith("Usage: multiturn chat")
    assert "Options:" in english
    shell.variables["LANG"] = "zh_CN.UTF-8"
    chinese = shell.run("chat", "-h").stdout
    assert chinese.startswith("用法： multiturn chat")
    assert "选项：" in chinese
    assert not re.search(r"[A-Z][a-z]+ [a-z]+ [a-z]+", chinese)
    assert "命令：" in shell.run().stdout
    (shell.home / "multiturn.toml").write_text('language = "en"\n')
    assert shell.run("--help").stdout.startswith("Usage:")


def test_the_version_is_told(shell: Shell) -> None:
    assert shell.run("--version").stdout == f"multiturn {__version__}\n"


def loaded(statement: str) -> str:
    code = f"{statement}; import sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    return subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()[-1]


def test_starting_loads_neither_network_nor_screen() -> None:
    assert loaded("import multiturn.cli") == "[]"
    assert loaded("from multiturn.cli.program import run; run(['models'])") == "[]"
    assert loaded("from multiturn.cli.program import run; run(['list', '--store', ':memory:'])") == "[]"


@pytest.mark.parametrize(("language", "age"), [("en", "am 27"), ("zh", "27 岁")])
def test_the_tour_shows_window_summary_recall_and_cache(shell: Shell, language: str, age: str) -> None:
    shell.variables["MULTITURN_LANG"] = language
    done = shell.run("demo")
    window, summary, recall, cache = re.split(r"\n(?:[1-4]\.|[一二三四]、) ?", done.stdout)[1:]
    assert window.count(age) == 2
    assert "over_budget" in window
    assert summary.count(age) == 3
    assert "summarised" in summary
    assert recall.count(age) == 2
    assert "recalled" in recall
    counts = [int(number) for number in re.findall(r"\d+", cache.splitlines()[-4])]
    assert max(counts) - min(counts) == 2  # the newest input and the answer before it
    assert min(counts) > 20
    assert shell.run("list").stdout == ""
