"""Is each block of a growing text printed once, and never changed afterwards?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.cli.markdown import Blocks, LiveMarkdown

LINES = st.sampled_from(
    [
        "",
        "",
        "words",
        "- item",
        "  more",
        "1. one",
        "```",
        "````",
        "```py",
        "~~~",
        "    code",
        " ",
        "# head",
        "\t",
    ]
)
TEXTS = st.lists(LINES, max_size=25).map("\n".join)


def split(text: str, sizes: list[int]) -> tuple[list[str], str]:
    blocks, closed, place = Blocks(), [], 0
    for size in [*sizes, len(text)]:
        closed += blocks.feed(text[place : place + size])
        place += size
    return closed, blocks.open


@given(TEXTS, st.lists(st.integers(1, 7), max_size=40))
def test_nothing_is_lost_and_the_pieces_do_not_matter(text: str, sizes: list[int]) -> None:
    closed, rest = split(text, sizes)
    assert "".join(closed) + rest == text
    assert (closed, rest) == split(text, [])
    assert all(block.strip() for block in closed[1:])


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("One.\n\nTwo.\n\nThree", ["One.\n\n", "Two.\n\n"]),
        ("One.\n\n", []),
        ("```\na\n\nb\n```\n\nEnd", ["```\na\n\nb\n```\n\n"]),
        ("````\n```\n\nb\n````\n\nEnd", ["````\n```\n\nb\n````\n\n"]),
        ("~~~\n```\n\nx\n~~~\n\nEnd", ["~~~\n```\n\nx\n~~~\n\n"]),
        ("- a\n\n  still a\n\n- b", ["- a\n\n  still a\n\n"]),
        ("```\nopen\n\nstill open", []),
    ],
)
def test_a_block_closes_where_nothing_can_change_it(text: str, closed: list[str]) -> None:
    assert split(text, [])[0] == closed


def test_a_reply_on_a_screen_is_drawn_whole(capsys: pytest.CaptureFixture[str]) -> None:
    with LiveMarkdown() as live:
        live.status("thinking …")
        for piece in ("# Head\n\nfirst **bold** ", "line\n\n", "- one\n", "- two"):
            live.feed(piece)
    shown = capsys.readouterr().out
    for word in ("Head", "first bold line", "one", "two"):
        assert shown.count(word) == 1
