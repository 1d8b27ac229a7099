"""What can go wrong, and does each error say it?"""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from collections.abc import Iterator
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn import errors
from multiturn.errors import (
    ContextOverflow,
    Error,
    MessageInvalid,
    ProviderError,
    ProviderOverflow,
    RateLimited,
)

CLASSES: list[type[Error]] = [
    value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, Error)
]
RETRYABLE = {
    "conversation_busy",
    "turn_expired",
    "store_busy",
    "storage_full",
    "store_unavailable",
    "rate_limited",
    "provider_overloaded",
    "provider_failed",
    "provider_timeout",
    "provider_unreachable",
    "stream_cut",
}


def names_of(cls: type[Error]) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(cls.sentence()) if name}


def raised(cls: type[Error], **more: object) -> Error:
    """An error of the class with a figure for every name in its sentence."""
    figures = {name: f"<{name}>" for name in names_of(cls) - {"detail"}}
    return cls("<detail>", **figures, **more)  # type: ignore[arg-type]  # names are data here


def drawn(text: str) -> Iterator[tuple[str, str]]:
    """Child and parent of each line of the tree in a docstring."""
    path: list[tuple[int, str]] = []
    for line in text.splitlines():
        found = re.match(r"^([ │├└─]*)([A-Z]\w+)(\s{2,}.*)?$", line)
        if not found:
            continue
        depth = len(found[1])
        path = [step for step in path if step[0] < depth]
        if path:
            yield found[2], path[-1][1]
        path.append((depth, found[2]))


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    tree = dict(drawn(errors.__doc__ or ""))
    assert tree == {cls.__name__: cls.__mro__[1].__name__ for cls in CLASSES if cls is not Error}


def test_every_error_is_public() -> None:
    assert sorted(errors.__all__) == errors.__all__ == sorted(cls.__name__ for cls in CLASSES)


def test_codes_are_stable_words_and_no_two_are_the_same() -> None:
    codes = [cls.code for cls in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


def test_what_may_succeed_later_without_a_change_says_so() -> None:
    assert {cls.code for cls in CLASSES if cls.retryable} == RETRYABLE


@pytest.mark.parametrize("cls", CLASSES)
def test_the_sentence_holds_every_figure_and_no_brace(cls: type[Error]) -> None:
    sentence = str(raised(cls))
    assert all(f"<{name}>" in sentence for name in names_of(cls))
    assert "{" not in sentence
    assert "  " not in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_can_be_copied_and_sent_to_another_process(cls: type[Error]) -> None:
    error = raised(cls, turn="turn_x")
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is cls
        assert (str(twin), twin.turn, twin.figures) == (str(error), "turn_x", error.figures)


@given(st.text())
def test_a_detail_stands_in_the_sentence_as_it_is(detail: str) -> None:
    error = MessageInvalid(detail)
    assert detail in str(error)
    assert error.figures["detail"] == detail


def test_the_turn_tells_whether_something_was_stored() -> None:
    assert Error("x").turn is None
    assert Error("x", turn="turn_1").turn == "turn_1"


def test_an_overflow_names_all_its_numbers() -> None:
    error = ContextOverflow(needed=900, limit=800, instructions=100, tools=50, input=750, reserve=64)
    assert re.findall(r"\d+", str(error)) == ["900", "800", "100", "50", "750", "64"]
    assert error.figures["needed"] == 900


def test_a_provider_error_keeps_what_the_provider_said() -> None:
    error = RateLimited("slow down", provider="qwen", status=429, provider_code="Throttling", retry_after=2.5)
    assert (error.provider, error.status, error.provider_code, error.retry_after) == (
        "qwen",
        429,
        "Throttling",
        2.5,
    )
    assert error.figures["status"] == 429
    assert error.figures["provider_code"] == "Throttling"
    assert str(error).startswith("qwen limits the rate (slow down).")


def test_a_provider_error_without_an_answer_has_no_status() -> None:
    error = ProviderError("gone", provider="kimi")
    assert (error.status, error.provider_code, error.retry_after) == (None, None, None)


def test_the_true_limit_is_unknown_until_a_provider_names_it() -> None:
    assert ProviderOverflow("too long", provider="qwen").limit is None
