"""Does the reference tell all that the gateway answers? Routes, codes with their status, headers, figures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from multiturn.gateway.meters import Meters
from multiturn.gateway.openapi import described
from multiturn.phrases import table

ROOT = Path(__file__).parents[2]
SOURCES = [path.read_text("utf-8") for path in sorted((ROOT / "src" / "multiturn" / "gateway").rglob("*.py"))]
TREES = [ROOT / "docs" / language for language in ("en", "zh")]
in_both = pytest.mark.parametrize("tree", TREES, ids=lambda tree: str(tree.name))


def reference(tree: Path) -> str:
    return (tree / "reference" / "http.md").read_text("utf-8")


def how_to(tree: Path) -> str:
    return (tree / "how-to" / "gateway.md").read_text("utf-8")


def operations() -> list[str]:
    """What the description of the gateway holds, as the reference writes it."""
    return [
        f"{method.upper()} {path}"
        for path, answers in described()["paths"].items()
        for method in answers
        if method in ("get", "post", "put", "delete")
    ]


def rows(page: str) -> list[tuple[str, set[str]]]:
    """The tables of errors: a status, and its codes."""
    found = re.findall(r"^\| (\d{3}) \| (.*?) \|", page, re.MULTILINE)
    return [(status, set(re.findall(r"`([a-z_]+)`", codes))) for status, codes in found]


@in_both
def test_every_code_of_a_refusal_is_explained(tree: Path) -> None:
    explained = set(re.findall(r"`([a-z_]+)`", reference(tree)))
    ours = {name.removeprefix("gateway.") for name in table() if name.startswith("gateway.")}
    assert ours - explained == {"model_unknown"}  # for which OpenAI has a word: model_not_found


@in_both
def test_codes_stand_under_their_status(tree: Path) -> None:
    refusals = {each for text in SOURCES for each in re.findall(r'Refusal\((\d{3}), "([a-z_]+)"', text)}
    assert len(refusals) > 50
    explained = {(status, code) for status, codes in rows(reference(tree)) for code in codes}
    assert refusals - explained == set()


@in_both
def test_the_short_table_of_errors_says_nothing_else(tree: Path) -> None:
    explained = {(status, code) for status, codes in rows(reference(tree)) for code in codes}
    short = {(status, code) for status, codes in rows(how_to(tree)) for code in codes}
    assert len(short) > 20
    assert short - explained == set()


@in_both
def test_every_route_is_explained(tree: Path) -> None:
    page = re.sub(r"`([A-Z]+) …/", r"`\1 /v1/conversations/{id}/", reference(tree))
    page = page.replace("`…/multimodal-", "`POST /api/v1/services/aigc/multimodal-")
    assert [route for route in operations() if f"`{route}`" not in page] == []


@in_both
def test_every_header_is_explained(tree: Path) -> None:
    told = {each for text in SOURCES for each in re.findall(r'"(x-multiturn-[a-z-]+)"', text)}
    assert len(told) > 7
    assert {each for each in told if f"`{each}`" not in reference(tree).lower()} == set()


@in_both
def test_every_figure_is_explained(tree: Path) -> None:
    told = set(re.findall(r"^# TYPE (\S+) (\w+)", Meters().text().decode(), re.MULTILINE))
    told = {(name, kind) for name, kind in told if not name.endswith("_created")}
    explained = set(re.findall(r"^\| `(multiturn_\w+)` \| (\w+) \|", how_to(tree), re.MULTILINE))
    assert explained == told
