"""How is a replay told? Tables, JSON lines, a picture."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from ..replay import Billed, Dialogue, Difference, Errors, Outcome, Total, picture
from .figures import UNKNOWN, count, money, monies
from .listings import excerpt
from .outcomes import (
    BOUNDS,
    Words,
    classes,
    difference_record,
    errors_record,
    total_record,
    turn_record,
)
from .screen import Screen

__all__ = ["Comparison", "show"]

Reader = Callable[[str], Awaitable[Dialogue]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a replay found: totals of each scheme, what is stored first; the worst differences to it.
    ``apart`` are codes of what a replay leaves out."""

    totals: Sequence[Total]
    outcomes: Mapping[str, Sequence[Outcome]] = field(default_factory=dict)
    worst: Mapping[str, Sequence[Difference]] = field(default_factory=dict)
    billed: Billed | None = None
    apart: frozenset[str] = frozenset()

    @property
    def notes(self) -> list[tuple[str, str]]:
        """What a reader should know besides, as a code and a name it speaks of."""
        notes = [("limits", "")]
        priced = {o.model: o.price_known for all_of in self.outcomes.values() for o in all_of}
        ruled = {o.model: o.rules_known for all_of in self.outcomes.values() for o in all_of}
        notes += [("no_price", model) for model, known in sorted(priced.items()) if not known]
        notes += [("no_rules", model) for model, known in sorted(ruled.items()) if not known]
        notes += [("summary", total.scheme) for total in self.totals if total.folds]
        notes += [("refused", total.scheme) for total in self.totals if total.refused]
        notes += [(code, "") for code in sorted(self.apart)]
        if self.billed is not None and not self.billed.turns:
            notes.append(("nothing_billed", ""))
        return notes

    def picture(self, screen: Screen) -> str:
        """The drawing."""
        return picture(self.totals, lambda code: screen.say(f"replay.draw_{code}"), _beside)


def _beside(panel: str, total: Total) -> str:
    if panel == "cost":
        return monies(total.costs_a_turn)
    if panel == "tokens":
        return f"{count(round(total.input / max(1, total.turns)))} · {percent(total.cached_share)}"
    return percent(total.kept_share)


def percent(share: float | None) -> str:
    """A share with one decimal.

    >>> percent(0.1234), percent(None)
    ('12.3%', '—')
    """
    return UNKNOWN if share is None else f"{100 * share:.1f}%"


async def show(screen: Screen, found: Comparison, reader: Reader | None) -> None:
    """Everything a replay found; ``reader`` gives the words, where they are asked for."""
    words = await _words(found, reader) if reader else {}
    if screen.as_json:
        _records(screen, found, words)
        return
    screen.table(
        (
            "scheme",
            "model",
            "turns",
            "cost_a_turn",
            "cost",
            "input_a_turn",
            "cached_share",
            "kept",
            "folded",
            "refused",
        ),
        [_cells(total) for total in found.totals],
        right=tuple(range(2, 10)),
    )
    for scheme, differences in found.worst.items():
        _show_worst(screen, scheme, differences, words)
    if found.billed is not None and found.billed.turns:
        _show_billed(screen, found.billed)
    screen.line()
    for code, name in found.notes:
        screen.line(screen.say(f"replay.note_{code}", name=name))


def _cells(total: Total) -> list[str]:
    return [
        total.scheme,
        ", ".join(total.models),
        count(total.turns),
        monies(total.costs_a_turn),
        monies(total.costs),
        count(round(total.input / total.turns) if total.turns else 0),
        percent(total.cached_share),
        percent(total.kept_share),
        percent(total.folded / total.used if total.used else None),
        count(total.refused),
    ]


def _show_worst(screen: Screen, scheme: str, differences: Sequence[Difference], words: Words) -> None:
    screen.line()
    if not differences:
        screen.line(screen.say("replay.no_difference", name=scheme))
        return
    screen.line(screen.say("replay.worst", name=scheme))
    rows = [
        [
            each.conversation,
            str(each.turn),
            ", ".join(map(str, each.lost)) or UNKNOWN,
            f"{count(each.tokens_before)} → {count(each.tokens_after)}",
            f"{money(each.before)} → {money(each.after)}",
        ]
        for each in differences
    ]
    screen.table(("conversation", "turn", "lost", "tokens", "cost"), rows, right=(1, 3, 4))
    told = sorted({(d.conversation, turn) for d in differences for turn in (d.turn, *d.lost)})
    for name, turn in told:
        if (name, turn) in words:
            screen.line(f"{name} {turn}: {excerpt(words[name, turn])}")


def _show_billed(screen: Screen, found: Billed) -> None:
    screen.line()
    screen.line(screen.say("replay.billed", turns=found.turns))
    heads = ("quantity", "turns", "bias", "median", "p90", *(f"error_{n}" for n in range(len(BOUNDS) + 1)))
    parts = (("input", found.input), ("cached", found.cached), ("cost", found.cost))
    rows = [
        [
            screen.say(f"column.{name}"),
            count(errors.count),
            _signed(errors.bias),
            percent(errors.median),
            percent(errors.p90),
            *map(count, classes(errors)),
        ]
        for name, errors in parts
    ]
    screen.table(heads, rows, right=tuple(range(1, len(heads))))


def _signed(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:+.1f}%"


# ---------------------------------------------------------------------------------- words, asked for


async def _words(found: Comparison, reader: Reader) -> dict[tuple[str, int], str]:
    """What was said in the turns of the worst differences."""
    wanted: dict[str, set[int]] = {}
    for differences in found.worst.values():
        for each in differences:
            wanted.setdefault(each.conversation, set()).update((each.turn, *each.lost))
    words: dict[tuple[str, int], str] = {}
    for name, turns in wanted.items():
        for said in (await reader(name)).turns:
            if said.turn.number in turns:
                words[name, said.turn.number] = " / ".join(_text(row.body) for row in said.rows)
    return words


def _text(body: bytes) -> str:
    content = orjson.loads(body).get("content")
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text") or "") for part in content or ())


def _records(screen: Screen, found: Comparison, words: Words) -> None:
    for each in found.totals:
        screen.record({"kind": "scheme", **total_record(each)})
    for scheme, outcomes in found.outcomes.items():
        for outcome in outcomes:
            for turn in outcome.turns:
                head = {"kind": "turn", "scheme": scheme, "conversation": outcome.conversation}
                screen.record({**head, "model": outcome.model, **turn_record(turn)})
    for scheme, differences in found.worst.items():
        for one in differences:
            screen.record({"kind": "difference", "scheme": scheme, **difference_record(one, words)})
    if found.billed is not None:
        for name in ("input", "cached", "cost"):
            errors: Errors = getattr(found.billed, name)
            screen.record({"kind": "billed", "quantity": name, **errors_record(errors)})
    for code, name in found.notes:
        text = screen.say(f"replay.note_{code}", name=name)
        screen.record({"kind": "note", "code": code, "name": name, "text": text})
