"""Each benchmark works, at the smallest size: no figure is judged here, it only has to be one."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from bench.__main__ import BENCHMARKS, main, measured
from bench.corpus import dialogues, invented, with_tools
from bench.figures import Figure, table
from bench.fitting import count_length, plain_slice
from bench.rounds import Times, ratio
from bench.scale import Scale

TINY = Scale(sizes=(12, 40), rounds=2, slice=0.0001, turns=110)


def figures_of(name: str) -> list[Figure]:
    found = measured(name, TINY)
    assert found
    assert all(math.isfinite(figure.ours) and figure.ours >= 0 for figure in found)
    return found


def named(figures: Sequence[Figure], what: str) -> list[Figure]:
    return [figure for figure in figures if figure.what == what]


def test_storing_is_measured_at_each_length_and_by_both_clocks() -> None:
    found = named(figures_of("add"), "add a turn")
    assert [(figure.data, figure.clock) for figure in found] == [
        (f"{size} messages", clock) for clock in ("CPU", "wall") for size in TINY.sizes
    ]
    assert all(figure.ratio and figure.target == 2 for figure in found)


def test_what_many_turns_cost_is_measured_with_the_index() -> None:
    found = [figure for figure in figures_of("add") if "index included" in figure.what]
    assert [(figure.data, figure.clock) for figure in found] == [
        ("40 messages", "CPU"),
        ("40 messages", "wall"),
    ]
    assert all(figure.ratio for figure in found)


def test_files_are_compared_by_their_bytes() -> None:
    apart, all_of_it = figures_of("disk")
    assert (apart.target, all_of_it.target) == (1.6, None)
    assert apart.ours < all_of_it.ours
    for figure in (apart, all_of_it):
        assert figure.base
        assert figure.ratio == figure.ours / figure.base
        assert figure.unit == "bytes"


def test_windows_are_measured_warm_and_cold_by_messages_and_by_tokens() -> None:
    found = figures_of("window")
    assert {figure.what for figure in found if "growth" not in figure.what} == {
        f"window, {kind}, {state}" for kind in ("last 20", "8,000 tokens") for state in ("warm", "cold")
    }


def test_fit_is_measured_with_two_counters_with_and_without_tools() -> None:
    words = " ".join(figure.what for figure in figures_of("fit"))
    assert all(word in words for word in ("budget 8,000", "everything fits", "reading", "length", "tools"))


def test_a_whole_turn_is_measured_beside_two_commits() -> None:
    assert {figure.beside for figure in figures_of("send")} == {"two commits", "two commits and a window"}


def test_turns_at_once_from_two_processes_lose_and_mix_nothing() -> None:
    found = figures_of("together")
    assert [figure.ours for figure in found if figure.clock == "count"] == [0, 0, 0]
    assert all(figure.met for figure in found if figure.clock == "count")


def test_memory_is_measured_by_the_system_and_by_the_interpreter() -> None:
    assert [figure.clock for figure in figures_of("memory")] == ["resident", "tracemalloc"]


def test_an_import_is_measured_and_loads_nothing_lazy() -> None:
    assert figures_of("import")[-1].ours == 0


def test_the_command_writes_the_table_and_the_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {kind: tmp_path / f"figures.{kind}" for kind in ("json", "table")}
    main(["fit", *(part for kind in files for part in (f"--{kind}", str(files[kind])))], TINY)
    stored = json.loads(files["json"].read_text("utf-8"))
    lines = files["table"].read_text("utf-8").splitlines()
    assert len(lines) == len(stored["figures"]) + 2
    assert capsys.readouterr().out.splitlines() == lines


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["speed"], TINY)
    assert f"there are {', '.join(BENCHMARKS)}" in capsys.readouterr().err


# ------------------------------------------------------------------------------- what is measured


def test_the_invented_talk_is_the_same_each_time_and_60_to_200_bytes_long() -> None:
    said = invented(400)
    assert said == invented(400)
    assert all(60 <= len(message["content"].encode()) <= 200 for message in said)
    assert [message["role"] for message in said[:3]] == ["user", "assistant", "user"]


def test_dialogues_of_a_file_are_told_again_when_they_are_used_up(tmp_path: Path) -> None:
    told = [{"role": "user", "content": "还有货吗？", "id": "8288"}, {"role": "assistant", "content": "有。"}]
    file = tmp_path / "dialogues.json"
    file.write_text(json.dumps([{"messages": told}]), "utf-8")
    plain = [{name: each[name] for name in ("role", "content")} for each in told]
    assert dialogues(file, 5) == [*plain, *plain, plain[0]]


def test_dialogues_in_which_somebody_speaks_twice_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "dialogues.json"
    file.write_text(json.dumps([{"messages": [{"role": "user", "content": "a"}] * 2}]), "utf-8")
    with pytest.raises(ValueError, match="take turns"):
        dialogues(file, 4)


def test_talk_with_tools_answers_each_call() -> None:
    said = with_tools(invented(16))
    assert [message["role"] for message in said[:4]] == ["user", "assistant", "tool", "assistant"]
    assert said[2].get("tool_call_id") == "call_0"
    assert len(said) == 16 + 2 * 2


def test_the_slice_keeps_the_instructions_and_the_newest() -> None:
    listed = [{"role": "system", "content": "s"}, *invented(4)]
    budget = sum(map(count_length, (listed[0], *listed[-2:])))
    assert plain_slice(listed, budget, count_length) == [listed[0], *listed[-2:]]


# ------------------------------------------------------------------------------------ how it is told


def test_a_ratio_is_the_middle_one_of_the_rounds() -> None:
    assert ratio(Times([2.0, 9.0, 2.0]), Times([1.0, 1.0, 2.0]), "CPU") == 2.0


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        (Figure("a", "b", "CPU", "µs", 1, ratio=2, target=2), "✓"),
        (Figure("a", "b", "CPU", "µs", 1, ratio=2.1, target=2), "✗"),
        (Figure("a", "b", "CPU", "µs", 1, ratio=1, target=2, peer=1, peer_ratio=0.9, ahead=True), "✗"),
        (Figure("a", "b", "CPU", "µs", 1, ratio=1, target=2, peer=1, peer_ratio=0.9), "✓"),
        (Figure("a", "b", "CPU", "µs", 1, ratio=9), ""),
    ],
)
def test_the_table_says_whether_a_target_is_met(figure: Figure, verdict: str) -> None:
    assert table([figure]).splitlines()[2].split("|")[8].strip() == verdict


def test_a_cut_at_a_low_water_mark_repeats_what_a_sliding_window_sends_anew() -> None:
    found = {(figure.what, figure.data): figure for figure in figures_of("prefix")}
    ours = found["prefix: repeated ÷ sent", "110 turns, low-water mark"]
    slides = found["prefix: repeated ÷ sent", "110 turns, sliding"]
    assert ours.met
    assert ours.ours > 88
    assert 10 > slides.ours > 0
    assert found["prefix: fill", "110 turns, low-water mark"].met
