"""In what order do these run? Spend what cannot be saved, keep the newest turns, put them together.

The ordinary window (text by the user, text by the assistant) is put together from stored bytes
without opening one of them, but for the one that a summary stands in. Everything else is put together by
`assembly`, message by message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, cast

from ..decision import Code, Span, Spans
from ..errors import ContextOverflow
from ..messages import Trait
from ..path import MessageRow, TurnRow
from ..window import Limits, Material, Target, Window
from .assembly import Assembly, Made, Recounted, listed
from .budget import Spent, overflow, quoted, scaled, spend
from .decisions import Decided, joined_spans
from .outgoing import Piece, quoting, with_note
from .recency import Kept, newest_turns
from .summary import note

__all__ = ["build", "enough"]

Recount = Callable[[Sequence[bytes]], int]
"""Counts messages that were merged, marked or closed: JSON in, uncalibrated tokens out."""
TRIES = 8
NOTHING_CHANGED = Recounted()
ORDINARY_TURNS: tuple[list[str], ...] = (["user"], ["user", "assistant"])


def build(
    material: Material, limits: Limits, target: Target, recount: Recount, chosen: Chosen | None = None
) -> Window:
    """The window that these rows make under these limits for this target.

    The same arguments give the same bytes. Messages that had to be changed are counted again as they will
    be sent, and the window is built once more with less where it grew above the budget: with less of the
    earlier turns first, then without summary, pins and old tool groups. ``chosen`` is what `enough`
    found for the same arguments. Raises `ContextOverflow` where instructions, tools and the new input
    alone are above the budget.
    """
    allowed, sent, least = limits, 0, False
    for _ in range(TRIES):
        try:
            if chosen is None:
                chosen = _choose(material, allowed, target)
        except ContextOverflow as error:
            if allowed is limits:
                raise
            if least:
                break
            allowed, least = _tightened(allowed, cast("int", error.figures["needed"]) + 1), True
            continue
        made = _put_together(material, limits, target, chosen)
        sent, changed = made.tokens, made.changed
        if changed.sent:
            sent += recount(changed.sent) - (recount(changed.counted) if changed.counted else 0)
        tokens = scaled(sent, limits)
        if tokens <= limits.budget:
            return _finished(made, tokens, material, limits, target, chosen)
        counted = scaled(chosen.spent.room.fixed + chosen.kept.tokens, limits)
        mark = min(limits.budget - (tokens - counted), counted - 1)
        allowed = _less_memory(allowed, mark) if chosen.kept.tokens else _tightened(allowed, mark)
        chosen = None
    raise overflow(material, limits, sent)


def _finished(
    made: Made, tokens: int, material: Material, limits: Limits, target: Target, chosen: Chosen
) -> Window:
    """The window with what it costs, and with what else it says of itself."""
    path, spent, kept = material.path, chosen.spent, chosen.kept
    quotes = spent.quoted and material.recalled and material.recalled.text
    return Window(
        body=made.body,
        spans=made.spans,
        tokens=tokens,
        limits=limits,
        target=target,
        cut=kept.cut,
        notes=("oldest_told_together",) if path.told_from > 1 else (),
        traits=made.traits,
        recalled=material.recalled if quotes else None,
        summary=path.summary if spent.noted else None,
        waiting=max(0, kept.first - 1 - (path.summary.upto if path.summary else 0)),
        caching=material.caching,
        past=path.request,
        at=material.at,
        instructions=material.instructions,
    )


def _less_memory(limits: Limits, mark: int) -> Limits:
    """The limits with less to spend on earlier turns."""
    return replace(limits, high=max(0, mark), low=max(0, min(limits.low, mark)))


def _tightened(limits: Limits, budget: int) -> Limits:
    """The limits with less to spend on everything."""
    budget = max(1, budget)
    return replace(limits, budget=budget, high=min(limits.high, budget), low=min(limits.low, budget))


class Chosen(NamedTuple):
    """What is spent in any case, and the turns that the rest is spent on."""

    spent: Spent
    kept: Kept


def _choose(material: Material, limits: Limits, target: Target) -> Chosen:
    spent = spend(material, limits, target)
    return Chosen(spent, newest_turns(material.path, spent.turns, limits, spent.room))


def _put_together(material: Material, limits: Limits, target: Target, chosen: Chosen) -> Made:
    if _is_plain(material, target) and _is_told_in_ranges(material, chosen):
        return _plain(material, limits, chosen)
    return Assembly(material, limits, target, *chosen).made()


def enough(material: Material, limits: Limits, target: Target) -> Chosen | None:
    """What is chosen, if the path was read far enough back for these limits; ``None``: it must be
    gathered again with a longer reach."""
    chosen = _choose(material, limits, target)
    return chosen if chosen.kept.settled else None


def _is_plain(material: Material, target: Target) -> bool:
    """Whether every byte can be sent as it was stored."""
    path = material.path
    if path.rows is not None or path.standing or material.opening or material.context:
        return False
    if target.reasoning_required == "always" or len(material.instructions) > 1:
        return False
    for entry in material.instructions:
        if entry.role != "system" or entry.traits != Trait.INSTRUCTION:
            return False
    if not material.current:
        return True
    roles = [row.role for row in material.current]
    return roles in ORDINARY_TURNS and not any(row.traits or row.quote for row in material.current)


def _is_told_in_ranges(material: Material, chosen: Chosen) -> bool:
    """Whether nothing is quoted, or all turns that were read are sent: of those that are not, each that was
    found has a line of its own."""
    path, recalled = material.path, material.recalled
    if not path.quotes and not (recalled and recalled.text):
        return True
    return len(_recent(material, chosen.kept)) == len(path.turns)


def _plain(material: Material, limits: Limits, chosen: Chosen) -> Made:
    path, (spent, kept) = material.path, chosen
    turns_sent = path.bodies[len(path.bodies) - 2 * len(_recent(material, kept)) :]
    new = [quoting(row.body, row.quote) if row.quote else row.body for row in _new(material, spent)]
    bodies = [*[entry.body for entry in material.instructions], *turns_sent, *new]
    if path.quotes:
        first = len(bodies) - len(new) - len(path.bodies)
        for place, quote in path.quotes:
            bodies[first + place] = quoting(bodies[first + place], quote)
    changed = NOTHING_CHANGED
    if spent.noted and path.summary:
        place = len(material.instructions)
        plain = Piece("user", bodies[place], counted=None) if bodies[place:] else None
        piece = with_note(plain, note(path.summary.text, path.summary.upto))
        bodies[place : place + 1] = [piece.body]
        changed = Recounted([piece.body], piece.origin)
    spans = Spans(partial(_plain_spans, material, limits, chosen))
    return Made(listed(bodies), spans, spent.room.fixed - spent.noted + kept.tokens, changed)


def _new(material: Material, spent: Spent) -> Sequence[MessageRow]:
    """The messages of the turn being answered, the first with what is quoted in front of it."""
    return quoted(material) if spent.quoted else material.current


def _recent(material: Material, kept: Kept) -> Sequence[TurnRow]:
    """The ordinary turns that are sent, newest first."""
    turns = material.path.turns
    return turns[: turns[0].number + 1 - kept.first] if turns else ()


def _plain_spans(material: Material, limits: Limits, chosen: Chosen) -> list[Span]:
    """The lines of the ledger of a plain window."""
    path, (spent, kept) = material.path, chosen
    new, recent = _new(material, spent), _recent(material, kept)
    decided = Decided(material, limits, spent, kept)
    spans = decided.head()
    unsent = path.earlier_messages + len(path.bodies) - 2 * len(recent)
    if unsent:
        spans += joined_spans(decided.earlier(unsent, max(1, kept.first - 1)))
    if recent:
        turns = (recent[-1].number, recent[0].number)
        spans.append(Span(Code.RECENT, 2 * len(recent), scaled(kept.tokens, limits), turns))
    spans += decided.quoted_elsewhere()
    if new:
        cost = scaled(sum(row.tokens for row in new), limits)
        spans.append(Span(Code.NEW, len(new), cost, (new[0].turn, new[0].turn)))
    return spans
