"""What of a long message is quoted? Whole sentences around what was asked, and marks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.context.excerpt import CUT, shortened, terms


def count(text: str) -> int:
    return len(text)


def test_the_terms_of_a_question_are_words_and_pairs_of_ideographs() -> None:
    assert terms("Where is the Red one? 红色的") == {"where", "is", "the", "red", "one", "红色", "色的"}
    assert terms("?") == set()


TEXT = "The weather is fine. We bought a red bicycle. It cost 300 yuan! Then we went home."


@pytest.mark.parametrize(
    ("text", "terms", "room", "expected"),
    [
        ("short", {"x"}, 5, "short"),
        (TEXT, {"bicycle"}, 45, f"{CUT} We bought a red bicycle. {CUT}"),
        (TEXT, {"bicycle"}, 60, f"{CUT} We bought a red bicycle. It cost 300 yuan! {CUT}"),
        (TEXT, {"bicycle"}, 70, f"The weather is fine. We bought a red bicycle. It cost 300 yuan! {CUT}"),
        (TEXT, {"none"}, 30, f"The weather is fine. {CUT}"),
        (TEXT, {"home"}, 30, f"{CUT} Then we went home."),
        (
            "今天天气好。我买了红色的自行车！后来回家了。",
            {"红色", "自行"},
            19,
            f"{CUT} 我买了红色的自行车！ {CUT}",
        ),
        ("a\nthe red one\nb", {"red"}, 14, f"{CUT} red on {CUT}"),
        ("x" * 99, set(), 20, "x" * 16 + f" {CUT}"),
        ("x" * 40 + " Red " + "y" * 40, {"red"}, 20, f"{CUT} Red yyyyyyyy {CUT}"),
    ],
)
def test_a_long_message_is_cut_around_what_was_asked(
    text: str, terms: set[str], room: int, expected: str
) -> None:
    made = shortened(text, frozenset(terms), room, count)
    assert made == expected
    assert len(made) <= room


def test_a_message_of_a_megabyte_is_not_counted_again_and_again() -> None:
    counted: list[int] = []

    def counting(text: str) -> int:
        counted.append(len(text))
        return len(text) // 4

    made = shortened("word " * 200_000, frozenset(["word"]), 100, counting)
    assert 90 <= len(made) // 4 <= 100
    assert max(counted) <= 2_000


WORDS = st.text(max_size=120).filter(str.strip)


@given(WORDS, st.integers(12, 90), st.frozensets(st.sampled_from(["a", "b", "好"])))
def test_what_is_cut_fits_and_is_marked(text: str, room: int, terms: frozenset[str]) -> None:
    made = shortened(text, terms, room, count)
    assert len(made) <= room
    if made != text and made != text.strip():  # white space around the words is no words
        assert made.startswith(f"{CUT} ") or made.endswith(f" {CUT}")
        assert made.removeprefix(f"{CUT} ").removesuffix(f" {CUT}") in text
