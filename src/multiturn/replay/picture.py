"""How does a replay look? One drawing as SVG: cost of a turn, cached against new tokens, evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

from .report import Total

__all__ = ["picture"]

WIDTH, LEFT, RIGHT, ROW, BAR, TOP = 760, 190, 90, 30, 16, 46
INK, PALE, GRID = "#1f2933", "#6b7785", "#e4e7eb"
COLOURS = {
    "cost": "#2f6f4f",
    "summary": "#b7791f",
    "cached": "#9fb3c8",
    "new": "#2b6cb0",
    "sent": "#2f6f4f",
    "quoted": "#68b38a",
    "folded": "#e0b252",
    "gone": "#e4e7eb",
}
Part = tuple[str, float]


@dataclass(slots=True)
class _Canvas:
    """Elements as they come, and how far down they reach."""

    height: float = 20
    elements: list[str] = field(default_factory=list)

    def text(
        self, x: float, y: float, words: str, *, size: int = 12, fill: str = INK, end: bool = False
    ) -> None:
        anchor = ' text-anchor="end"' if end else ""
        self.elements.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}"{anchor}>{escape(words)}</text>'
        )

    def bar(self, x: float, y: float, width: float, fill: str, words: str) -> None:
        if width > 0:
            self.elements.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BAR}" fill="{fill}">'
                f"<title>{escape(words)}</title></rect>"
            )

    def line(self, y: float) -> None:
        self.elements.append(
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="{GRID}"/>'
        )


def picture(totals: Sequence[Total], say: Callable[[str], str], figure: Callable[[str, Total], str]) -> str:
    """The drawing. ``say`` gives the words for a code (titles and legends), ``figure`` the number beside a
    bar: of the panel ``cost``, ``tokens`` or ``evidence``."""
    canvas = _Canvas()
    canvas.text(20, 28, say("title"), size=16)
    canvas.height = 40
    panels: list[tuple[str, Callable[[Total], list[Part]]]] = [
        ("cost", _cost),
        ("tokens", _tokens),
        ("evidence", _evidence),
    ]
    for name, parts in panels:
        _panel(canvas, name, totals, parts, say, figure)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {canvas.height:.0f}" width="{WIDTH}" '
        f'height="{canvas.height:.0f}" role="img" font-family="system-ui, sans-serif">'
        f"<title>{escape(say('title'))}</title>"
        f'<rect width="100%" height="100%" fill="#ffffff"/>'
    )
    return "\n".join([head, *canvas.elements, "</svg>"]) + "\n"


def _panel(
    canvas: _Canvas,
    name: str,
    totals: Sequence[Total],
    parts: Callable[[Total], list[Part]],
    say: Callable[[str], str],
    figure: Callable[[str, Total], str],
) -> None:
    top = canvas.height
    canvas.text(20, top + 20, say(name), size=13)
    _legend(canvas, top + 20, [kind for kind, _ in parts(totals[0])], say)
    drawn = {total.scheme: parts(total) for total in totals}
    most = max((sum(size for _, size in each) for each in drawn.values()), default=0) or 1
    for number, total in enumerate(totals):
        y = top + TOP - 12 + number * ROW
        canvas.text(LEFT - 10, y + 12, _short(total.scheme), end=True)
        x = float(LEFT)
        for kind, size in drawn[total.scheme]:
            width = size / most * (WIDTH - LEFT - RIGHT)
            canvas.bar(x, y, width, COLOURS[kind], f"{total.scheme}: {say(kind)}")
            x += width
        canvas.text(x + 6, y + 12, figure(name, total), fill=PALE)
    canvas.height = top + TOP + len(totals) * ROW
    canvas.line(canvas.height - 14)


def _legend(canvas: _Canvas, y: float, kinds: Sequence[str], say: Callable[[str], str]) -> None:
    x = float(LEFT + 130)
    for kind in kinds:
        canvas.elements.append(
            f'<rect x="{x:.1f}" y="{y - 9:.1f}" width="10" height="10" fill="{COLOURS[kind]}"/>'
        )
        canvas.text(x + 14, y, say(kind), size=11, fill=PALE)
        x += 28 + 7 * sum(2 if ord(letter) > 0x2E80 else 1 for letter in say(kind))


def _cost(total: Total) -> list[Part]:
    """Money of one turn. Currencies are not mixed: with several, nothing is drawn."""
    if len(total.costs) != 1 or not total.turns:
        return [("cost", 0.0), ("summary", 0.0)]
    all_of_it = float(total.costs_a_turn[0].amount)
    written = sum(float(cost.amount) for cost in total.summaries) / max(1, total.turns - total.unpriced)
    return [("cost", all_of_it - written), ("summary", written)]


def _tokens(total: Total) -> list[Part]:
    turns, cached = max(1, total.turns), total.cached or 0
    return [("cached", cached / turns), ("new", (total.input - cached) / turns)]


def _evidence(total: Total) -> list[Part]:
    whole = total.used or 1
    counts = (("sent", total.sent), ("quoted", total.quoted), ("folded", total.folded), ("gone", total.gone))
    return [(kind, count / whole) for kind, count in counts]


def _short(name: str, most: int = 26) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
