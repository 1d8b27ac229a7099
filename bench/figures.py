"""How are figures kept and shown?"""

from __future__ import annotations

import json
import platform
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from .rounds import Clock, Times, ratio

__all__ = ["Figure", "compared", "number", "report", "table"]

UNITS = {"s": 1.0, "ms": 1e3, "µs": 1e6}


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured thing. ``ours`` beside ``base`` (what ``beside`` says) in ``unit``; ``ratio`` of the
    two and the most it may be; ``peer`` is SQLiteSession, ``peer_ratio`` its figure over ours."""

    what: str
    data: str
    clock: str
    unit: str
    ours: float
    beside: str = ""
    base: float | None = None
    ratio: float | None = None
    target: float | None = None
    peer: float | None = None
    peer_ratio: float | None = None
    ahead: bool = field(default=False, metadata={"help": "whether the peer must be slower"})

    @property
    def met(self) -> bool | None:
        """Whether the target is met; ``None`` where there is none."""
        if self.target is None or self.ratio is None:
            return None
        behind = self.ahead and self.peer_ratio is not None and self.peer_ratio < 1
        return self.ratio <= self.target and not behind


def compared(
    what: str,
    data: str,
    clock: Clock,
    times: Mapping[str, Times],
    names: tuple[str, str, str],
    *,
    beside: str,
    target: float | None = None,
    ahead: bool = False,
) -> Figure:
    """The figure of one clock: ours, the base and the peer by their names in ``times``; who did not
    take part is left out."""
    ours, base, peer = names
    its_peer = times.get(peer)
    scale = 1e6
    return Figure(
        what,
        data,
        clock,
        "µs",
        times[ours].median(clock) * scale,
        beside,
        times[base].median(clock) * scale,
        ratio(times[ours], times[base], clock),
        target,
        its_peer.median(clock) * scale if its_peer else None,
        ratio(its_peer, times[ours], clock) if its_peer else None,
        ahead,
    )


# ------------------------------------------------------------------------------------------ table

HEAD = ("what", "data", "clock", "ours", "beside", "ratio", "target", "", "SQLiteSession")


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table."""
    rows = [HEAD, tuple("---" for _ in HEAD), *map(_row, figures)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(figure: Figure) -> tuple[str, ...]:
    base = "" if figure.base is None else f": {number(figure.base)} {figure.unit}"
    peer = ""
    if figure.peer is not None:
        peer = f"{number(figure.peer)} {figure.unit}"
        peer += "" if figure.peer_ratio is None else f" ({figure.peer_ratio:.2f}×)"
    verdict = {True: "✓", False: "✗", None: ""}[figure.met]
    return (
        figure.what,
        figure.data,
        figure.clock,
        f"{number(figure.ours)} {figure.unit}",
        f"{figure.beside}{base}",
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        "" if figure.target is None else f"≤ {figure.target:g}",
        verdict,
        peer,
    )


def number(value: float) -> str:
    """A figure as it stands in a table: three digits say enough."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def report(figures: Sequence[Figure]) -> str:
    """The figures as JSON, with what they were measured on."""
    return json.dumps(
        {
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "platform": sys.platform,
            "processor": platform.machine(),
            "figures": [{**asdict(figure), "met": figure.met} for figure in figures],
        },
        ensure_ascii=False,
        indent=1,
    )
