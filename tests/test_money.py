"""The benchmark of money works, on a few invented dialogues: no figure is judged here, it only has to be
one."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from bench.money import BUDGETS, POLICIES, Row, crosswoz, locomo, main, rows, table, verdicts

MODELS = ("qwen/qwen3.7-plus", "openai/gpt-6-luna")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files as the two sets have them; in the first somebody speaks twice in a row."""
    folder = tmp_path_factory.mktemp("data")
    said: list[dict[str, Any]] = [
        {
            "speaker": ("Ann", "Bob")[number % 2],
            "text": f"{number}: the story of Rex the dog goes on, and on." * 2,
        }
        for number in range(200)
    ]
    said[4]["text"] = said[160]["text"] = "The order has the number 770012."
    said.insert(1, {"speaker": "Ann", "text": "And one more thing."})
    talk = {
        "speaker_a": "Ann",
        "speaker_b": "Bob",
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": said[:100],
        "session_2_date_time": "10:30 am on 9 May, 2023",
        "session_2": said[100:],
    }
    turns = [
        {
            "role": ("user", "assistant")[number % 2],
            "session": number // 10,
            "text": f"第 {number} 句：酒店{number}号。" * 3,
        }
        for number in range(60)
    ]
    turns[2]["text"] = turns[50]["text"] = "莲泽舫餐厅怎么样？"
    for name, value in (
        ("locomo/locomo_dev.json", [{"sample_id": "a", "conversation": talk}]),
        ("crosswoz/crosswoz_dev.recall.json", {"conversations": [{"id": "b", "turns": turns}]}),
    ):
        (folder / name).parent.mkdir()
        (folder / name).write_text(json.dumps(value), "utf-8")
    return folder


def test_dialogues_are_read_with_their_times(data: Path) -> None:
    ((name, messages),) = locomo(data / "locomo/locomo_dev.json")
    assert name == "a"
    assert messages[0]["content"].endswith("And one more thing.")
    assert [message["role"] for message in messages[:3]] == ["user", "assistant", "user"]
    assert messages[1]["created_at"] - messages[0]["created_at"] == 30
    gaps = [b["created_at"] - a["created_at"] for a, b in pairwise(messages)]
    assert max(gaps) > 70_000
    ((_, messages),) = crosswoz(data / "crosswoz/crosswoz_dev.recall.json")
    assert len(messages) == 60


def test_every_policy_is_replayed_at_every_model(data: Path, tmp_path: Path) -> None:
    found = list(rows(data, tmp_path, MODELS))
    assert {(row.data, row.budget, row.policy, row.model) for row in found} == {
        (name, budget, policy, model)
        for name in ("LoCoMo", "CrossWOZ")
        for budget in BUDGETS
        for policy in POLICIES
        for model in MODELS
    }
    assert all(row.cost > 0 and 0 <= row.cached <= 1 for row in found)
    everything = [row for row in found if row.policy == "everything"]
    assert {row.kept for row in everything} == {1.0}
    lines = table(found).splitlines()
    assert len(lines) == 2 + 2 * (2 + (len(POLICIES) - 2) * len(BUDGETS))
    assert all(line.count("|") == 7 + len(MODELS) for line in lines)


def row(policy: str, cost: str, kept: float, folded: float = 0.0) -> Row:
    return Row("d", 4000, policy, "m", 1, "USD", Decimal(cost), Decimal(0), 1.0, 0.5, kept, 0.0, folded, 9)


@pytest.mark.parametrize(
    ("cost", "kept", "verdict"), [("1", 0.6, "✓"), ("1", 0.5, "✗"), ("2", 0.6, "✗"), ("3", 0.4, "✗")]
)
def test_better_is_cheaper_and_keeps_more(cost: str, kept: float, verdict: str) -> None:
    told = verdicts([row("sliding budget", "2", 0.5), row("ours", cost, kept, 0.2)]).splitlines()[2]
    assert told.split("|")[-2].strip() == verdict
    assert f"{100 * (kept + 0.2):.1f} %" in told


def test_a_model_whose_rules_are_unknown_is_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(data), "--model", "kimi/kimi-k2.6"])
    assert "not known" in capsys.readouterr().err
