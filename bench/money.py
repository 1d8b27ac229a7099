"""What does each policy cost, and what does it keep, at each provider whose cache rules are known?

``python -m bench.money FOLDER`` loads real conversations into a store through the public API, and has the
command ``multiturn replay`` say what they would have cost. FOLDER holds ``locomo/locomo_dev.json`` (very
long chats of two people; the first is taken for the user) and ``crosswoz/crosswoz_dev.recall.json``
(Chinese task dialogues, thirty joined to one history). Neither is part of this project.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

from multiturn import ContextPolicy, MultiTurn
from multiturn.catalog import Catalog

__all__ = ["BUDGETS", "MODELS", "POLICIES", "Row", "crosswoz", "locomo", "main", "rows", "table", "verdicts"]

MODELS = (
    "qwen/qwen3.7-plus",
    "dashscope/qwen-plus",
    "stepfun/step-3.7-flash",
    "deepseek/deepseek-v4-flash",
    "openai/gpt-5.4-mini",
    "openai/gpt-6-luna",
)
"""One model for each provider and kind of cache whose rules and prices are known."""
BUDGETS = (4_000, 8_000)
"""A quarter and a half of what these conversations come to in the end: with more, everything fits."""
SYSTEM = "You are a helpful and attentive assistant. Answer briefly, and remember what you were told."
PAUSE = 30.0
"""Seconds between two messages of one sitting, where the data names no time."""
DAY = 86_400.0
BEGUN = datetime(2026, 1, 1, 9, tzinfo=UTC).timestamp()

Talk = tuple[str, list[dict[str, Any]]]


def policies(budget: int) -> dict[str, ContextPolicy]:
    """The policies that are compared at one budget."""
    return {
        "everything": ContextPolicy.full(),
        "last 20 messages": ContextPolicy.last_messages(20),
        "sliding budget": ContextPolicy(budget=budget, high=1.0, low=1.0, summarize=None, recall=None),
        "ours": ContextPolicy(budget=budget),
        "ours, no summary, no recall": ContextPolicy(
            budget=budget, high=1.0, low=0.55, summarize=None, recall=None
        ),
        "ours, 3 × the budget": ContextPolicy(budget=3 * budget),
        "ours, small cuts": ContextPolicy(budget=budget, high=1.0, low=0.97, summarize=None, recall=None),
        "ours, small cuts, 1.25 × the budget": ContextPolicy(
            budget=budget + budget // 4, high=1.0, low=0.9, summarize=None, recall=None
        ),
    }


POLICIES = tuple(policies(BUDGETS[0]))
SLIDING = "sliding budget"
OURS = ("ours", "ours, small cuts", "ours, small cuts, 1.25 × the budget", "ours, 3 × the budget")
"""What is set beside the sliding budget: the same budget, and larger ones that cost less than the other all
the same, because their tokens come from the cache."""

# --------------------------------------------------------------------------------------------- the data


def locomo(file: Path) -> Iterator[Talk]:
    """Chats of two people over months, with the times of their sittings."""
    for each in json.loads(file.read_text("utf-8")):
        told = each["conversation"]
        messages: list[dict[str, Any]] = []
        for number in range(1, 1 + sum(f"session_{n}" in told for n in range(1, 100))):
            begun = datetime.strptime(told[f"session_{number}_date_time"], "%I:%M %p on %d %B, %Y")  # noqa: DTZ007
            said = [(one["speaker"], one["text"]) for one in told[f"session_{number}"]]
            messages += _sitting(said, told["speaker_a"], begun.replace(tzinfo=UTC).timestamp())
        yield each["sample_id"], messages


def crosswoz(file: Path) -> Iterator[Talk]:
    """Task dialogues, one a day."""
    for each in json.loads(file.read_text("utf-8"))["conversations"]:
        messages: list[dict[str, Any]] = []
        for day, (_, turns) in enumerate(groupby(each["turns"], key=lambda turn: turn["session"])):
            said = [(turn["role"], turn["text"]) for turn in turns]
            messages += _sitting(said, "user", BEGUN + day * DAY)
        yield each["id"], messages


def _sitting(said: Sequence[tuple[str, str]], user: str, begun: float) -> Iterator[dict[str, Any]]:
    """The messages of one sitting; what one person says in several pieces is one message."""
    for number, (speaker, pieces) in enumerate(groupby(said, key=lambda one: one[0])):
        text = "\n".join(text for _, text in pieces)
        role = "user" if speaker == user else "assistant"
        yield {"role": role, "content": text, "created_at": begun + number * PAUSE}


DATA = {
    "LoCoMo": ("locomo/locomo_dev.json", locomo),
    "CrossWOZ": ("crosswoz/crosswoz_dev.recall.json", crosswoz),
}

# -------------------------------------------------------------------------------------------- the replay


@dataclass(frozen=True, slots=True)
class Row:
    """One policy at one model: cost of a turn, shares of the input and of the evidence."""

    data: str
    budget: int
    policy: str
    model: str
    turns: int
    currency: str
    cost: Decimal
    summaries: Decimal
    input: float
    cached: float
    sent: float
    quoted: float
    folded: float
    used: int

    @property
    def kept(self) -> float:
        """Evidence in the window, word by word."""
        return self.sent + self.quoted


def rows(folder: Path, place: Path, models: Sequence[str] = MODELS, only: int | None = None) -> Iterator[Row]:
    """Load the data and replay it; ``only`` so many conversations of each set."""
    for name, (file, told) in DATA.items():
        store = f"sqlite:///{place / name}.db"
        _load(store, list(told(folder / file))[:only])
        for budget in BUDGETS:
            stated = policies(budget)
            files = [_written(place, policy, stated[policy]) for policy in stated]
            for scheme in _replayed(store, files, models):
                policy, model = scheme["scheme"].split(" · ")
                yield _row(name, budget, policy, model, scheme)


def _load(store: str, talks: Sequence[Talk]) -> None:
    with MultiTurn(model="demo", store=store, environment={}) as client:
        for name, messages in talks:
            client.conversation(name, system=SYSTEM).add(messages)


def _written(place: Path, name: str, policy: ContextPolicy) -> Path:
    """A policy as the file that the command reads."""
    file = place / f"{name}.toml"
    lines = [f"{field} = {json.dumps(value)}" for field, value in policy.to_dict().items()]
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return file


def _replayed(store: str, files: Sequence[Path], models: Sequence[str]) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "multiturn", "replay", "--json", "--store", store]
    for file in files:
        command += ["--policy", str(file)]
    for model in models:
        command += ["--model", model]
    told = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    found = [json.loads(line) for line in told.splitlines()]
    return (each for each in found if each["kind"] == "scheme" and " · " in each["scheme"])


def _row(data: str, budget: int, policy: str, model: str, scheme: Mapping[str, Any]) -> Row:
    (cost,), turns, used = scheme["costs"], scheme["turns"], scheme["used"] or 1
    written = sum(Decimal(each["amount"]) for each in scheme["summary_costs"])
    return Row(
        data,
        budget,
        policy,
        model,
        turns,
        cost["currency"],
        Decimal(cost["amount"]) / turns,
        written / turns,
        scheme["input"] / turns,
        scheme["cached"] / scheme["input"],
        scheme["sent"] / used,
        scheme["quoted"] / used,
        scheme["folded"] / used,
        used,
    )


# ---------------------------------------------------------------------------------------------- the table


def table(found: Sequence[Row]) -> str:
    """The figures as Markdown: a line for each policy, cost and cached share of each model."""
    models = list(dict.fromkeys(row.model for row in found))
    heads = ["data", "budget", "policy", "tokens in a turn", "evidence kept", "only summarised"]
    lines = [_line([*heads, *models]), _line(["---"] * 3 + ["---:"] * (3 + len(models)))]
    seen = set()
    for (data, budget, policy), group in groupby(found_by_policy(found), key=_place):
        limited = policy not in ("everything", "last 20 messages")
        here = (data, budget if limited else 0, policy)
        rows_here = list(group)
        if here in seen:
            continue
        seen.add(here)
        one = rows_here[0]
        cells = [data, f"{budget:,}" if limited else "", policy, f"{one.input:,.0f}"]
        cells += [f"{_percent(one.kept)}", _percent(one.folded)]
        lines.append(_line([*cells, *(_money(row) for row in rows_here)]))
    return "\n".join(lines) + "\n"


def found_by_policy(found: Sequence[Row]) -> list[Row]:
    """The rows of one policy together, in the order in which they came."""
    order = {place: number for number, place in enumerate(dict.fromkeys(map(_place, found)))}
    return sorted(found, key=lambda row: order[_place(row)])


def _place(row: Row) -> tuple[str, int, str]:
    return row.data, row.budget, row.policy


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _money(row: Row) -> str:
    """Thousandths of the currency a turn, and the cached share."""
    return f"{1000 * row.cost:.3f} ({100 * row.cached:.0f} %)"


def verdicts(found: Sequence[Row]) -> str:
    """What ours keeps beside the sliding budget, what it costs as a multiple of that at each model, and
    whether it is better in both everywhere."""
    by = {(*_place(row), row.model): row for row in found}
    models = list(dict.fromkeys(row.model for row in found))
    heads = ["data", "sliding budget", "ours", "evidence kept", "with summaries", *models, "better in both"]
    lines = [_line(heads), _line(["---", "---:", "---", *["---:"] * (2 + len(models)), "---"])]
    for policy in OURS:
        for data, budget, name in dict.fromkeys(map(_place, found)):
            if name == policy:
                pairs = [(by[data, budget, policy, m], by[data, budget, SLIDING, m]) for m in models]
                lines.append(_line([data, f"{budget:,}", policy, *_compared(pairs)]))
    return "\n".join(lines) + "\n"


def _compared(pairs: Sequence[tuple[Row, Row]]) -> list[str]:
    """Ours and the sliding budget at each model."""
    ours, sliding = pairs[0]
    better = all(one.cost < other.cost and one.kept > other.kept for one, other in pairs)
    return [
        f"{_percent(ours.kept)} : {_percent(sliding.kept)}",
        f"{_percent(ours.kept + ours.folded)} : {_percent(sliding.kept)}",
        *(f"{one.cost / other.cost:.2f}×" for one, other in pairs),
        "✓" if better else "✗",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.money", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the conversations are")
    parser.add_argument("--model", action="append", help="these models instead")
    parser.add_argument("--only", type=int, help="so many conversations of each set")
    given = parser.parse_args(arguments)
    models = tuple(given.model or MODELS)
    unknown = [each for each in models if Catalog().card(each).cache is None]
    if unknown:
        parser.error(f"the cache rules of {unknown[0]} are not known")
    with tempfile.TemporaryDirectory(prefix="multiturn-bench-") as place:
        found = list(rows(given.folder, Path(place), models, given.only))
    one = {row.data: row for row in found}
    for data, row in one.items():
        print(f"{data}: {row.turns:,} turns, {row.used:,} old turns that replies used")
    print("Cost in thousandths of a US dollar a turn (share of the input that is cached).\n")
    print(table(found))
    print(verdicts(found), end="")


if __name__ == "__main__":
    main()
