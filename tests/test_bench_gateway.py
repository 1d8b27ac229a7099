"""The gateway's benchmark works, at the smallest size, and its checks can fail: no figure is judged here."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import uvloop
from bench import stateful
from bench.gateway import SCENARIOS, main, measured
from bench.load import calling, request
from bench.servers import Servers, installed_peer, servers
from bench.talk import SYSTEM, Talk, answer, asked, history_is_wrong, said
from bench.verdicts import Verdict, table

TALK = Talk(7, 3)
Messages = list[dict[str, str]]


def history(turns: int, first: int = 1) -> Messages:
    """What the model should be shown in a turn."""
    messages = [{"role": "system", "content": SYSTEM}]
    for turn in range(first, turns + 1):
        messages.append({"role": "user", "content": said(TALK, turn)})
        if turn < turns:
            messages.append({"role": "assistant", "content": answer(TALK, turn)})
    return messages


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Servers]:
    with servers(tmp_path) as found:
        yield found


# ------------------------------------------------------------------------------------------ scenarios


def found(*names: str) -> list[Verdict]:
    verdicts = uvloop.run(measured(names, 1, 0.03, peer=False, crowd=40))
    assert all(math.isfinite(each.ours) and each.ours >= 0 for each in verdicts)
    assert verdicts[-1].what == "turns with a wrong history"
    assert verdicts[-1].keeps(verdicts[-1].must)
    return verdicts[:-1]


def test_requests_streams_and_first_tokens_are_measured_beside_the_plain_gateway() -> None:
    verdicts = found("requests", "streams", "first", "thousand")
    assert {each.beside for each in verdicts} == {"Y"}
    assert all(each.base is not None for each in verdicts)
    assert {each.what.split(",")[0] for each in verdicts} >= {"requests per core", "memory"}


def test_turns_are_measured_beside_two_commits_and_beside_earlier_turns() -> None:
    verdicts = found("turns", "growth", "long")
    assert [each.beside for each in verdicts] == ["S", "S", "turn 1", "turn 10", "turn 10", "turn 10"]


def test_what_is_stored_and_held_is_measured() -> None:
    verdicts = found("stored", "memory")
    assert [each.what for each in verdicts] == [
        "bytes stored ÷ bytes of text",
        "the same, beside half as many turns",
        "memory, stateful",
    ]
    assert all(each.ours > 0 for each in verdicts)


def test_the_command_writes_the_table_and_the_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.gateway.on_core", lambda _: None)
    files = {kind: tmp_path / f"figures.{kind}" for kind in ("json", "table")}
    options = [part for kind in files for part in (f"--{kind}", str(files[kind]))]
    main(["first", "--quick", "--no-peer", "--rounds", "1", *options])
    stored = json.loads(files["json"].read_text("utf-8"))
    lines = files["table"].read_text("utf-8").splitlines()
    assert len(lines) == len(stored["figures"]) + 2
    assert capsys.readouterr().out.splitlines() == lines


def test_an_unknown_scenario_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["speed"])
    assert f"there are {', '.join(SCENARIOS)}" in capsys.readouterr().err


def test_a_peer_that_cannot_be_installed_takes_no_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pip").write_text("#!/bin/sh\necho no such package >&2\nexit 1\n")
    (tmp_path / "bin" / "pip").chmod(0o755)
    assert installed_peer(tmp_path, make=("true",)) is None
    assert "litellm takes no part, it cannot be installed: no such package" in capsys.readouterr().err


# -------------------------------------------------------------------------------------------- histories


def test_the_newest_input_tells_which_turn_it_is() -> None:
    assert asked(said(TALK, 4)) == (TALK, 4)
    assert asked(f"{said(TALK, 2)}\n\n{said(TALK, 4)}") == (TALK, 4)
    assert asked("hello") is None


@pytest.mark.parametrize("turns", [1, 2, 5])
def test_what_was_said_is_no_wrong_history(turns: int) -> None:
    assert not history_is_wrong(history(turns), TALK, turns)


def test_a_history_without_its_beginning_is_wrong_unless_it_may_be_cut() -> None:
    talk = TALK._replace(least=4)
    messages = [{**each, "content": each["content"].replace(" 9999]", " 4]")} for each in history(6, first=3)]
    assert history_is_wrong(history(6, first=3), TALK, 6)
    assert not history_is_wrong(messages, talk, 6)
    assert history_is_wrong([messages[0], *messages[3:]], talk, 6)
    messages[1]["content"] = f"<summary>they spoke</summary>\n\n{messages[1]['content']}"
    assert not history_is_wrong(messages, talk, 6)


def broken() -> Iterator[tuple[str, Messages]]:
    yield "no instructions", history(3)[1:]
    yield "an answer is missing", [*history(3)[:2], *history(3)[3:]]
    yield "a turn is missing", [*history(4)[:3], *history(4)[5:]]
    yield "a turn came twice", [*history(3)[:3], *history(3)[1:]]
    yield "turns changed places", [history(3)[place] for place in (0, 3, 4, 1, 2, 5)]
    yield "another role", [{**each, "role": "user"} for each in history(3)]
    yield "another's words", [{**each, "content": each["content"] + "!"} for each in history(3)]
    yield "nothing", []


@pytest.mark.parametrize(
    ("what", "messages"), list(broken()), ids=lambda each: each if isinstance(each, str) else ""
)
def test_anything_else_is_wrong(what: str, messages: Messages) -> None:
    assert history_is_wrong(messages, TALK, 3), what


def test_the_model_counts_wrong_histories(started: Servers) -> None:
    async def ask(turn: int) -> None:
        clients = await calling(started.model.port, 1)
        await clients.one_after_the_other([request(TALK, turn, stream=False)])
        clients.close()

    uvloop.run(ask(1))
    assert stateful.wrong(started.model.told()).keeps(0)
    uvloop.run(ask(2))  # a second turn without the first
    assert stateful.wrong(started.model.told()).ours == 1


def test_an_answer_that_is_no_success_ends_the_measurement(started: Servers) -> None:
    async def ask() -> None:
        clients = await calling(started.ours().port, 1)
        try:
            await clients.one_after_the_other([request(TALK, 1, stream=False, model="nobody/knows")])
        finally:
            clients.close()

    with pytest.raises(ConnectionError, match="404"):
        uvloop.run(ask())


def test_servers_end_with_the_benchmark(tmp_path: Path) -> None:
    with ExitStack() as stack:
        process = Servers(tmp_path, stack).model.process
        assert process.poll() is None
    assert process.poll() is not None


# --------------------------------------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("verdict", "marks"),
    [
        (Verdict("a", "b", "s", 1, 0.9, must=1, aim=0.75), ["✓", "✗"]),
        (Verdict("a", "b", "s", 1, 1.5, must=1, aim=1.4, least=True), ["✓", "✓"]),
        (Verdict("a", "b", "s", 1, 0.9, must=1, aim=1.4, least=True), ["✗", "✗"]),
        (Verdict("a", "b", "s", 1, 0.9), ["", ""]),
    ],
)
def test_the_table_says_which_limits_are_kept(verdict: Verdict, marks: list[str]) -> None:
    cells = [cell.strip() for cell in table([verdict]).splitlines()[2].split("|")[1:-1]]
    assert [cells[6], cells[8]] == marks
