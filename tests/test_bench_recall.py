"""The recall benchmark reads other people's conversations, asks, and counts what was found."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from bench import recall
from bench.__main__ import measured
from bench.histories import History, Question, dialogues, histories
from bench.recall import Quality, injected, table
from bench.scale import Scale

TINY = Scale(sizes=(12, 40), rounds=2, slice=0.0001, turns=110)


def turn(id: str, text: str, role: str = "user", **more: str) -> dict[str, str]:
    return {"id": id, "speaker": "", "role": role, "session": "s1", "text": text, **more}


def written(folder: Path, name: str, value: Any) -> None:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(value, ensure_ascii=False), "utf-8")


TOLD = {
    "conversations": [
        {
            "turns": [
                turn("1", "八度空间是谁的专辑？", time="2023-05-08"),
                turn("2", "周杰伦的。", "assistant"),
                turn("3", "tea", "memory", time="2023-06-01"),
                *(turn(f"x{number}", f"chatter {number}") for number in range(60)),
            ],
            "queries": [
                {"text": "八度空间是谁唱的？", "evidence": ["2"]},
                {"text": "coffee", "evidence": ["3"]},
            ],
        }
    ]
}
LOCOMO = [
    {
        "conversation": {
            "speaker_a": "Ann",
            "speaker_b": "Bob",
            "session_1_date_time": "1:56 pm on 8 May, 2023",
            "session_1": [
                {"speaker": "Ann", "dia_id": "D1:1", "text": "Look!", "blip_caption": "a red kite"},
                {"speaker": "Bob", "dia_id": "D1:2", "text": "Nice."},
            ],
        },
        "qa": [
            {"question": "What did Ann show?", "evidence": ["D:1:1; D1:02"]},
            {"question": "Nothing?", "evidence": ["D9:9"]},
        ],
    }
]


def test_histories_are_read_in_both_formats(tmp_path: Path) -> None:
    written(tmp_path, "kd/kd.recall.json", TOLD)
    written(tmp_path, "locomo/locomo_x.json", LOCOMO)
    found = dict(histories(tmp_path))
    assert found.keys() == {"kd", "locomo_x"}
    first, second, third = found["kd"][0].messages[:3]
    assert first == {"role": "user", "content": "八度空间是谁的专辑？", "id": "1", "created_at": "2023-05-08"}
    assert (second["role"], third["role"]) == ("assistant", "user")
    (history,) = found["locomo_x"]
    assert history.messages[0]["content"] == "Look! [shares a red kite]"
    assert history.messages[0]["created_at"] == "2023-05-08T13:56:00+00:00"
    assert [message["role"] for message in history.messages] == ["user", "assistant"]
    assert history.questions == [Question("What did Ann show?", frozenset({"D1:1", "D1:2"}))]


def test_a_history_is_asked_through_the_public_door(tmp_path: Path) -> None:
    written(tmp_path, "kd/kd.recall.json", TOLD)
    ((name, told),) = histories(tmp_path)
    found = asyncio.run(recall.measured(name, told, tmp_path))
    assert (found.questions, found.first_ten, found.in_tokens, found.quoted) == (2, 0.5, 0.5, 0.5)


def test_only_what_fits_the_tokens_counts(tmp_path: Path) -> None:
    long = "tea " * 2_000
    told = History(
        [{"role": "user", "content": long, "id": "a"}, {"role": "user", "content": "tea", "id": "b"}],
        [Question("tea", frozenset({"a"}))],
    )
    found = asyncio.run(recall.measured("x", [told], tmp_path))
    assert (found.first_ten, found.in_tokens) == (1.0, 0.0)


def test_a_question_that_was_asked_in_the_same_words_counts_as_quoted() -> None:
    chat = [[{"role": r, "content": f"{r} {n} words"} for r in ("user", "assistant")] for n in range(39)]
    same = [
        {"role": "user", "content": "Wangfujing cathedral telephone"},
        {"role": "assistant", "content": "1"},
    ]
    assert asyncio.run(injected([same, *chat], joined=40)) == (0, 20)
    assert asyncio.run(injected([same, *chat[:-1], same], joined=40)) == (1, 20)


def test_the_command_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, "kd/kd.recall.json", TOLD)
    written(
        tmp_path, "crosswoz/crosswoz_dialogues_x.json", [{"messages": [{"role": "user", "content": "tea"}]}]
    )
    assert dialogues(tmp_path) == [[{"role": "user", "content": "tea"}]]
    recall.main([str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| kd | 2 | 50.0% | 50.0% | 50% |")
    assert lines[3].startswith("| ordinary dialogues | 1 | | | 0.0% |")


def test_figures_are_shares() -> None:
    assert "| x | 4 | 25.0% | 50.0% | 75% | 1.5 ms |" in table([Quality("x", 4, 0.25, 0.5, 0.75, 0.0015)])


def test_searching_is_measured_at_each_length() -> None:
    found = measured("recall", TINY)
    searches = [(figure.data, figure.clock) for figure in found if figure.what == "a search, p50"]
    assert searches == [(f"{size} messages", clock) for size in TINY.sizes for clock in ("CPU", "wall")]
    assert {figure.unit for figure in found} == {"ms", "µs", "turns", "bytes"}
    assert all(figure.ours > 0 for figure in found)
