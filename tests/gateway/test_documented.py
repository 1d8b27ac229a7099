"""Does the reference tell all that the gateway answers? Routes, codes with their status, headers, figures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from multiturn.allowance import STREAMS
from multiturn.asking import LONGEST_KEY
from multiturn.client import LONGEST_NAME
from multiturn.config import LONGEST_TIME, Timing
from multiturn.gateway import embeddings
from multiturn.gateway.completions.posted import MOST_MESSAGES
from multiturn.gateway.conversations import imports, items
from multiturn.gateway.conversations.asked import LONGEST_PAGE, PAGE
from multiturn.gateway.conversations.marks import LONGEST_REASON
from multiturn.gateway.conversations.search import FOUND, LONGEST_TEXT
from multiturn.gateway.http.body import (
    DEEPEST,
    LARGEST_BODY,
    LARGEST_INTEGER,
    LARGEST_WITH_MEDIA,
    READ_SECONDS,
)
from multiturn.gateway.meters import Meters
from multiturn.gateway.openapi import described
from multiturn.gateway.responses.fields import LEAST_OUTPUT, LEAST_THRESHOLD, LONGEST_VALUE, MOST_PAIRS
from multiturn.gateway.responses.fields import LONGEST_KEY as LONGEST_FIELD
from multiturn.gateway.server import GRACE, HEAD_SECONDS, LARGEST_HEAD
from multiturn.phrases import table
from multiturn.policy import LARGEST

ROOT = Path(__file__).parents[2]
SOURCES = [path.read_text("utf-8") for path in sorted((ROOT / "src" / "multiturn" / "gateway").rglob("*.py"))]
TREES = [ROOT / "docs" / language for language in ("en", "zh")]
in_both = pytest.mark.parametrize("tree", TREES, ids=lambda tree: str(tree.name))

TIMING = Timing()


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


OTHERWISE = {"conversation_busy", "model_unknown", "store_corrupt", "store_too_new"}
"""What the gateway says of errors of the library for which its own code, or OpenAI's, is another word."""


@in_both
def test_every_code_of_a_refusal_is_explained(tree: Path) -> None:
    explained = set(re.findall(r"`([a-z_]+)`", reference(tree)))
    ours = {name.removeprefix("gateway.") for name in table() if name.startswith("gateway.")}
    assert ours - explained == OTHERWISE


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


LIMITS = (
    (LARGEST_BODY >> 20, LARGEST_WITH_MEDIA >> 20, DEEPEST, LARGEST_INTEGER.bit_length() - 1),
    (LARGEST_WITH_MEDIA >> 20,),
    (LARGEST_HEAD >> 10, HEAD_SECONDS),
    (READ_SECONDS,),
    (GRACE,),
    (MOST_MESSAGES, items.MOST, imports.MOST),
    (LONGEST_NAME,),
    (LONGEST_TEXT, LONGEST_REASON),
    (TIMING.queue,),
    (STREAMS,),
    (TIMING.first_token, TIMING.idle, TIMING.total),
)
"""Those of the table, row by row."""


@in_both
def test_the_limits_that_are_named_are_those_that_hold(tree: Path) -> None:
    [table_of_limits] = re.findall(
        r"\n\| .*\n\|---\|---\|\n((?:\| .*\n)+)\n## (?:Keys|密钥)", reference(tree)
    )
    named = [
        tuple(int(each.replace(",", "")) for each in re.findall(r"\d[\d,]*", row.split("|")[2]))
        for row in table_of_limits.splitlines()
    ]
    assert named == list(LIMITS)
    assert LONGEST_KEY == LONGEST_NAME


@in_both
def test_the_limits_of_metadata_are_named(tree: Path) -> None:
    [line] = re.findall(r"^`metadata`.*$", reference(tree), re.MULTILINE)
    named = [int(each) for each in re.findall(r"\d+", line.split(".")[0].split("。")[0])]
    assert sorted(named) == sorted((MOST_PAIRS, LONGEST_VALUE, LONGEST_FIELD))


@pytest.mark.parametrize(
    ("place", "held"),
    [
        ("Metadata/maxProperties", MOST_PAIRS),
        ("Metadata/propertyNames/maxLength", LONGEST_FIELD),
        ("Metadata/additionalProperties/maxLength", LONGEST_VALUE),
        ("ChatCompletionRequest/properties/messages/maxItems", MOST_MESSAGES),
        ("ContextRequest/properties/input/maxItems", MOST_MESSAGES),
        ("ContextRequest/properties/max_output_tokens/minimum", LEAST_OUTPUT),
        (
            "ContextRequest/properties/context_management/items/properties/compact_threshold/minimum",
            LEAST_THRESHOLD,
        ),
        ("EmbeddingRequest/properties/input/maxItems", embeddings.MOST),
        ("EmbeddingRequest/properties/dimensions/maximum", embeddings.LARGEST_SIZE),
        ("ConversationRequest/properties/items/maxItems", items.MOST),
        ("ConversationRequest/properties/expires_after/maximum", LONGEST_TIME),
        ("ConversationRequest/properties/user/maxLength", LONGEST_NAME),
        ("ConversationRequest/properties/memory/maxLength", LONGEST_NAME),
        ("ItemsRequest/properties/items/maxItems", items.MOST),
        ("Retraction/properties/reason/maxLength", LONGEST_REASON),
        ("Policy/properties/budget/maximum", LARGEST),
    ],
)
def test_the_bounds_that_are_described_are_those_that_hold(place: str, held: int) -> None:
    found = described()["components"]["schemas"]
    for name in place.split("/"):
        found = found[name]
    assert found == held


@pytest.mark.parametrize(
    ("path", "name", "default"),
    [
        ("/v1/conversations", "limit", PAGE),
        ("/v1/search", "limit", PAGE),
        ("/v1/conversations/{id}/recall", "k", FOUND),
    ],
)
def test_the_lengths_of_pages_that_are_described_are_those_that_hold(
    path: str, name: str, default: int
) -> None:
    [found] = [each for each in described()["paths"][path]["get"]["parameters"] if each["name"] == name]
    assert found["schema"] == {"type": "integer", "minimum": 1, "maximum": LONGEST_PAGE, "default": default}


@in_both
def test_the_length_of_a_page_is_named(tree: Path) -> None:
    [line] = re.findall(r"^\| `GET /v1/conversations` .*$", reference(tree), re.MULTILINE)
    assert [int(each) for each in re.findall(r" (\d+)", line)] == [LONGEST_PAGE, PAGE]
