"""The rules of the house that no other tool checks."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import multiturn

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src" / "multiturn").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
SCRIPTS = sorted([*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run"])
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
LOCKS = sorted((ROOT / "requirements").glob("*/package-lock.json"))
TEXT = {".py", ".md", ".toml", ".txt", ".sql", ".json", ".jsonl", ".yml", ".yaml", ".cfg", ".sh", ""}
LAZY = ("aiohttp", "rich", "prompt_toolkit", "click", "asyncpg", "openai", "dashscope")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def long_functions(source: str) -> list[str]:
    return [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in functions(ast.parse(source))
        if node.end_lineno and node.end_lineno - node.lineno + 1 > 45
    ]


def evasions(source: str) -> list[str]:
    """Uses of pytest's and unittest's ways not to run a test."""
    words = {"skip", "skipif", "xfail", "importorskip", "skipTest", "skipIf", "skipUnless", "expectedFailure"}
    return [
        f"line {node.lineno}: {node.attr}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and node.attr in words
    ]


def files() -> Iterator[Path]:
    """Every text file of the project, found without git."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [
            f for f in folders if f == ".ci" or not (f.startswith((".", "__")) or f in ("build", "dist"))
        ]
        for each in names:
            path = Path(folder, each)
            if path.suffix in TEXT and not each.startswith("."):
                yield path


# ------------------------------------------------------------------------------ what is loaded


def test_importing_multiturn_loads_no_network_and_no_screen() -> None:
    code = f"import multiturn, sys; print([m for m in {LAZY!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_the_public_names_are_sorted_and_complete() -> None:
    assert multiturn.__all__ == sorted(multiturn.__all__)
    public = {
        each
        for each, value in vars(multiturn).items()
        if not each.startswith("_") and not inspect.ismodule(value) and each != "annotations"
    }
    assert public == set(multiturn.__all__) - {"__version__"}


def test_the_names_the_documents_promise_are_there() -> None:
    promised = {"AsyncMultiTurn", "ContextPolicy", "MultiTurn", "Recall", "Summarize", "fit"}
    assert promised <= set(multiturn.__all__)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_what_a_module_lists_exists(path: Path) -> None:
    dotted = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    if dotted.endswith("__main__"):
        return
    module = importlib.import_module(dotted)
    listed = getattr(module, "__all__", [])
    assert [each for each in listed if not hasattr(module, each)] == []


# -------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_files_and_functions_stay_small(path: Path) -> None:
    source = path.read_text("utf-8")
    assert len(source.splitlines()) <= 500
    assert long_functions(source) == []


def test_a_long_function_would_be_found() -> None:
    body = "    x = 1\n" * 45
    assert long_functions(f"def short():\n{body[10:]}") == []
    assert long_functions(f"async def long():\n{body}") == ["long: 46 lines"]


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_module_says_which_question_it_answers(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_names_say_something(path: Path) -> None:
    assert path.stem not in {"utils", "helpers", "common", "manager", "base", "misc"}


# -------------------------------------------------------------------------------------- tests


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_every_test_runs(path: Path) -> None:
    assert evasions(path.read_text("utf-8")) == []


def test_an_evasion_would_be_found() -> None:
    assert evasions("import pytest\n@pytest.mark.skipif(True)\ndef test(): pytest.skip()\n") == [
        "line 2: skipif",
        "line 3: skip",
    ]


# ------------------------------------------------------------------------------------ scripts


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_scripts_are_clean_shell(path: Path) -> None:
    subprocess.run(["/bin/sh", "-n", path], check=True)
    sourced = path.name == "environment"
    assert os.access(path, os.X_OK) != sourced
    assert sourced or path.read_text("utf-8").startswith("#!/bin/sh\n")


# ------------------------------------------------------------------------------- requirements


def pins(path: Path) -> set[str]:
    lines = path.read_text("utf-8").splitlines()
    return {line.split(" ;")[0] for line in lines if not line.lstrip().startswith("#")}


@pytest.mark.parametrize("path", REQUIREMENTS, ids=name)
def test_requirements_are_exact_and_carry_no_address(path: Path) -> None:
    assert [pin for pin in pins(path) if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", pin)] == []
    assert "://" not in path.read_text("utf-8")


@pytest.mark.parametrize("path", LOCKS, ids=name)
def test_locks_of_npm_are_exact_and_carry_no_address(path: Path) -> None:
    packages = json.loads(path.read_text("utf-8"))["packages"]
    assert packages.pop("")["dependencies"]
    assert [each for each, found in packages.items() if {"version", "integrity"} - found.keys()] == []
    assert [each for each, found in packages.items() if "resolved" in found] == []


def test_tests_run_with_what_users_get() -> None:
    run, dev = (pins(ROOT / "requirements" / f"{each}.txt") for each in ("run", "dev"))
    assert run <= dev


def test_every_dependency_is_pinned() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8").split("dependencies = [", 1)[1].split("]", 1)[0]
    wanted = set(re.findall(r'"([a-z0-9-]+)', project))
    assert wanted <= {pin.split("==")[0] for pin in pins(ROOT / "requirements" / "run.txt")}


# ----------------------------------------------------------------------------------- secrecy


def strays(text: str) -> list[str]:
    """Addresses of package registries, and paths and names of one machine."""
    words = [
        *(f"{host}." + "org" for host in ("pypi", "pythonhosted", "npmjs")),
        *(f"/{folder}/" for folder in ("root", "work")),
        *(f"/home/{user}" for user in ("user", "ubuntu")),
        "find-" + "links",
        "--index" + "-url",
        "mirrors" + ".",
    ]
    return [word for word in words if word in text]


def test_no_file_names_a_registry_or_a_machine() -> None:
    found = {name(path): strays(path.read_text("utf-8")) for path in files()}
    assert {path: words for path, words in found.items() if words} == {}


def test_a_stray_would_be_found() -> None:
    host, folder = "pypi." + "org", "/" + "root/"
    assert strays(f"see https://{host}/simple and {folder}x") == [host, folder]
