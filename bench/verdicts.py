"""How are the gateway's figures kept and shown? Beside each stands what it must be, and what it should be."""

from __future__ import annotations

import json
import platform
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from .figures import number

__all__ = ["Verdict", "report", "table"]

HEAD = ("what", "data", "ours", "beside", "figure", "must", "", "aim", "", "litellm")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One measured thing: ``ours`` in ``unit``, what stands ``beside`` it, and the ``figure`` that is
    judged (their ratio, or ours itself), which must be at most ``must`` and should be at most ``aim``; with
    ``least`` at least. ``peer`` is litellm's in the same unit, ``peer_figure`` how many times ours it is."""

    what: str
    data: str
    unit: str
    ours: float
    figure: float
    beside: str = ""
    base: float | None = None
    must: float | None = None
    aim: float | None = None
    least: bool = False
    peer: float | None = None
    peer_figure: float | None = None

    def keeps(self, limit: float | None) -> bool | None:
        """Whether a limit is kept; ``None`` where there is none."""
        if limit is None:
            return None
        return self.figure >= limit if self.least else self.figure <= limit


def table(verdicts: Sequence[Verdict]) -> str:
    """The figures as a Markdown table."""
    rows = [HEAD, tuple("---" for _ in HEAD), *map(_row, verdicts)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(verdict: Verdict) -> tuple[str, ...]:
    base = "" if verdict.base is None else f": {number(verdict.base)} {verdict.unit}"
    peer = "" if verdict.peer is None else f"{number(verdict.peer)} {verdict.unit}"
    if verdict.peer_figure is not None:
        peer += f" ({number(verdict.peer_figure)}×)"
    return (
        verdict.what,
        verdict.data,
        f"{number(verdict.ours)} {verdict.unit}",
        f"{verdict.beside}{base}",
        number(verdict.figure),
        *_limit(verdict, verdict.must),
        *_limit(verdict, verdict.aim),
        peer,
    )


def _limit(verdict: Verdict, limit: float | None) -> tuple[str, str]:
    if limit is None:
        return "", ""
    return f"{'≥' if verdict.least else '≤'} {limit:g}", "✓" if verdict.keeps(limit) else "✗"


def report(verdicts: Sequence[Verdict]) -> str:
    """The figures as JSON, with what they were measured on."""
    return json.dumps(
        {
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "processor": platform.machine(),
            "figures": [
                {**asdict(each), "must_kept": each.keeps(each.must), "aim_kept": each.keeps(each.aim)}
                for each in verdicts
            ],
        },
        ensure_ascii=False,
        indent=1,
    )
