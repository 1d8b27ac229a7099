"""What became of old turns in a window? By its ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..decision import Code
from ..window import Window

__all__ = ["Fates", "fates"]

FOLDED = (Code.SUMMARY, Code.SUMMARISED)


@dataclass(frozen=True, slots=True)
class Fates:
    """What became of some old turns in a window: ``sent`` word by word, ``quoted`` by recall, under a
    summary (``folded``), or ``gone``. Each is in one of them, the first that applies."""

    sent: tuple[int, ...] = ()
    quoted: tuple[int, ...] = ()
    folded: tuple[int, ...] = ()
    gone: tuple[int, ...] = ()


def fates(window: Window, turns: Sequence[int], quotes: Mapping[int, Sequence[int]]) -> Fates:
    """What became of these turns. ``quotes`` are the turns that the block of each turn quotes: as long as
    that turn is sent, so is its block. A summary that found no place in the window keeps nothing."""
    found: dict[str, list[tuple[int, int]]] = {"sent": [], "quoted": [], "folded": []}
    for span in window.spans:
        if span.turns is None or span.code is Code.SYSTEM:
            continue
        if span.code in FOLDED:
            if window.summary is not None:
                found["folded"].append(span.turns)
        elif span.code is Code.RECALLED:
            found["quoted"].append(span.turns)
        elif span.sent:
            found["sent"].append(span.turns)
    if quotes:
        sent = (turn for first, last in found["sent"] for turn in range(first, last + 1))
        found["quoted"] += [(source, source) for turn in sent for source in quotes.get(turn, ())]
    kinds: dict[str, list[int]] = {"sent": [], "quoted": [], "folded": [], "gone": []}
    for turn in turns:
        kinds[next((kind for kind, held in found.items() if _within(turn, held)), "gone")].append(turn)
    return Fates(**{kind: tuple(numbers) for kind, numbers in kinds.items()})


def _within(turn: int, ranges: Sequence[tuple[int, int]]) -> bool:
    return any(first <= turn <= last for first, last in ranges)
