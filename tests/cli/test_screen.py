"""Is output as its reader needs it, and can nobody's text play with a terminal?"""

from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.cli.screen import Screen, clean, width


class Glass(io.StringIO):
    """A terminal that shows what it got."""

    def isatty(self) -> bool:
        return True


def glass(patch: pytest.MonkeyPatch) -> Glass:
    """From here on, the three standard streams are a terminal."""
    glass = Glass()
    for name in ("stdin", "stdout", "stderr"):
        patch.setattr(sys, name, glass)
    return glass


@pytest.mark.parametrize(
    ("environment", "as_json", "rich", "asks"),
    [
        ({}, False, True, True),
        ({"NO_COLOR": "1"}, False, False, True),
        ({"NO_COLOR": ""}, False, True, True),
        ({"TERM": "dumb"}, False, False, True),
        ({}, True, False, False),
    ],
)
def test_a_terminal_is_used_as_its_owner_wants(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], as_json: bool, rich: bool, asks: bool
) -> None:
    glass(monkeypatch)
    screen = Screen.of("en", as_json=as_json, environment=environment)
    assert (screen.rich, screen.asks) == (rich, asks)


def test_a_pipe_gets_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen.of("en", as_json=False, environment={})
    assert not screen.rich
    assert not screen.asks
    screen.line("out\x1b[2m")
    screen.quiet("beside")
    shown = capsys.readouterr()
    assert shown.out == "out\x1b[2m\n"
    assert shown.err == "beside\n"


def test_what_a_model_writes_cannot_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, shown = Screen("en"), glass(monkeypatch)
    screen.line("\x1b]0;title\x07a\x9b31mb\r\tc")
    screen.table(("title",), [["\x1b[2Jx"]])
    screen.record({"text": "\x1b\x9b"})
    assert "\x1b" not in shown.getvalue()
    assert "\x9b" not in shown.getvalue()
    assert shown.getvalue().startswith("]0;titlea31mb\tc\n")


@given(st.text())
def test_words_survive_cleaning(text: str) -> None:
    assert clean(text) == text  # no terminal here


def test_columns_stand_under_their_heads_in_both_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [["多轮对话", "1", "x"], ["ab", "1,234", "y"]]
    Screen("zh").table(("title", "turns", "id"), rows, right=(1,))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("开头")
    assert {width(line) for line in lines[1:]} == {len("多轮对话") * 2 + 2 + 5 + 2 + 1}
    assert lines[1].startswith("多轮对话      1")


def test_json_keeps_what_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    Screen("en", as_json=True).record({"text": "多轮\n"})
    assert capsys.readouterr().out == '{"text": "多轮\\n"}\n'
