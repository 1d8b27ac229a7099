"""How does a replay look? One drawing as SVG: cost of a turn, cached against new tokens, evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

from .report import Total

__all__ = ["picture"]

BARS, MARGIN, GAP, ROW, BAR, TOP = 480, 20, 10, 30, 16, 46
LONGEST = 340
"""How much room a name may take; of a longer one beginning and end are shown."""
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
WIDE = 0x2E80
"""From here on letters are about square."""
Part = tuple[str, float]


@dataclass(slots=True)
class _Canvas:
    """Elements as they come, and how far down they reach."""

    left: float
    width: float
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
            f'<line x1="{self.left:.1f}" y1="{y:.1f}" x2="{self.left + BARS:.1f}" y2="{y:.1f}" '
            f'stroke="{GRID}"/>'
        )


def picture(totals: Sequence[Total], say: Callable[[str], str], figure: Callable[[str, Total], str]) -> str:
    """The drawing. ``say`` gives the words for a code (titles and legends), ``figure`` the number beside a
    bar: of the panel ``cost``, ``tokens`` or ``evidence``."""
    left = MARGIN + GAP + max(_extent(_short(total.scheme)) for total in totals)
    beside = max(_extent(figure(name, total)) for name, _ in PANELS for total in totals)
    canvas = _Canvas(left, left + BARS + GAP + beside + MARGIN)
    canvas.text(MARGIN, 28, say("title"), size=16)
    canvas.height = 40
    for name, parts in PANELS:
        _panel(canvas, name, totals, parts, say, figure)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {canvas.width:.0f} {canvas.height:.0f}" '
        f'width="{canvas.width:.0f}" height="{canvas.height:.0f}" role="img" '
        'font-family="system-ui, sans-serif">'
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
    canvas.text(MARGIN, top + 20, say(name), size=13)
    _legend(canvas, top + 20, [kind for kind, _ in parts(totals[0])], say)
    drawn = {total.scheme: parts(total) for total in totals}
    most = max((sum(size for _, size in each) for each in drawn.values()), default=0) or 1
    for number, total in enumerate(totals):
        y = top + TOP - 12 + number * ROW
        canvas.text(canvas.left - GAP, y + 12, _short(total.scheme), end=True)
        x = canvas.left
        for kind, size in drawn[total.scheme]:
            width = size / most * BARS
            canvas.bar(x, y, width, COLOURS[kind], f"{total.scheme}: {say(kind)}")
            x += width
        canvas.text(x + 6, y + 12, figure(name, total), fill=PALE)
    canvas.height = top + TOP + len(totals) * ROW
    canvas.line(canvas.height - 14)


def _legend(canvas: _Canvas, y: float, kinds: Sequence[str], say: Callable[[str], str]) -> None:
    x = max(canvas.left, MARGIN + 170.0)
    for kind in kinds:
        canvas.elements.append(
            f'<rect x="{x:.1f}" y="{y - 9:.1f}" width="10" height="10" fill="{COLOURS[kind]}"/>'
        )
        canvas.text(x + 14, y, say(kind), size=11, fill=PALE)
        x += 28 + _extent(say(kind))


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


def _extent(words: str) -> float:
    """About how wide words are drawn: letters differ, and each viewer has its own."""
    return sum(13.0 if ord(letter) > WIDE else 7.2 for letter in words)


def _short(name: str) -> str:
    """The name, or its beginning and its end: that is where two long ones differ.

    >>> _short("a" * 60 + " · qwen/qwen-plus")
    'aaaaaaaaaaaaaaaaaaaaaaa…aaaaaa · qwen/qwen-plus'
    """
    kept = len(name)
    while _extent(_ends(name, kept)) > LONGEST:
        kept -= 1
    return _ends(name, kept)


def _ends(name: str, kept: int) -> str:
    """``kept`` letters of a name, from both ends."""
    return name if kept >= len(name) else f"{name[: kept - kept // 2]}…{name[len(name) - kept // 2 :]}"


PANELS: Sequence[tuple[str, Callable[[Total], list[Part]]]] = (
    ("cost", _cost),
    ("tokens", _tokens),
    ("evidence", _evidence),
)
