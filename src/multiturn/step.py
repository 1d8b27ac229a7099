"""What is sent in a step? The store is asked for as much of the path as the limits reach; old turns that fit
are recalled; the window is built from that."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from .context import build, check_input, enough
from .conversations import Declared, Owner
from .known import Known
from .messages import Trait
from .path import MessageRow, Path, sealed
from .recall import quoted
from .storage import Lease, Reach, Scope
from .terms import Engine, Input, Terms
from .window import Material, Window

__all__ = ["Gathered", "Place", "preview", "reach_of", "refuse_early", "window_of"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a handle points: a conversation of an owner, one of its branches (``None``: the one in
    use), and the settings the handle declares."""

    owner: Owner
    conversation: str
    declared: Declared = Declared()
    branch: int | None = None


def refuse_early(terms: Terms, given: Input) -> None:
    """Raises what can be known before anything is stored: `ContextOverflow` for an input above the
    window, `MessageInvalid` for one that the model cannot see."""
    check_input(given.entries, terms.target)
    if _fits_as_counted(terms, given):
        return
    enough(_material(terms, given, Path(), sealed(given.entries, 1)), terms.limits, terms.target)


def _fits_as_counted(terms: Terms, given: Input) -> bool:
    """Whether it fits by the counts that are there, as nearly every input does: then nothing that cuts or
    counts anew needs to look at it."""
    new = (*given.context, *given.entries)
    if terms.counter is not None or any(entry.traits & Trait.MEDIA for entry in new):
        return False
    bounds = terms.limits
    return terms.head_tokens + sum([entry.tokens for entry in new]) <= int(bounds.budget / bounds.scale)


class Gathered(NamedTuple):
    """A path, and how far back it was read."""

    reach: Reach
    path: Path


async def window_of(
    engine: Engine, terms: Terms, given: Input, lease: Lease, gathered: Gathered | None = None
) -> Window:
    """The window of the step that is held by ``lease``. What was ``gathered`` for it is not read again."""
    place = Place(lease.owner, lease.conversation, branch=lease.branch)
    reach = reach_of(terms, given).held(lease)
    while True:
        if gathered is not None and gathered.reach == reach:
            path = gathered.path
        else:
            path = await engine.store.gather(lease.owner, lease.conversation, reach, lease.branch)
        current = _in_spite(path.current) if lease.step > 1 else sealed(given.entries, lease.turn)
        window = await _built(engine, place, terms, given, path, current)
        if window is not None:
            return window
        reach = reach.farther()


def _in_spite(rows: Sequence[MessageRow]) -> list[MessageRow]:
    """The turn being answered: what its user says is sent, also where it is to be left out later."""
    return [row._replace(traits=row.traits & ~Trait.EXCLUDED) if row.role == "user" else row for row in rows]


async def preview(
    engine: Engine, place: Place, given: Input, known: Known, before: int | None = None
) -> Window:
    """A dry run: the window that would be sent now, or after no more than the turns ``before`` that number.
    ``known`` learns from it."""
    terms = known.terms_of(engine, given)
    reach = reach_of(terms, given, before)
    while True:
        path = await _gathered(engine, place, reach)
        learned = known.learn(path.settings, path.request if engine.catalog.routes else None)
        if learned or path.facts:
            terms = known.terms_of(engine, given)
            wanted = reach_of(terms, given, before)
            if wanted != reach:
                reach = wanted
                continue
        newest = path.turns[0].number if path.turns else path.earlier_turns
        current = sealed(given.entries, newest + 1)
        window = await _built(engine, place, terms, given, path, current)
        if window is not None:
            return window
        reach = reach.farther()


async def _gathered(engine: Engine, place: Place, reach: Reach) -> Path:
    """The path; the first time with what use has taught of models, so that a client that looks once asks its
    store once. A store that does not bring it is asked for it."""
    calibration, store = engine.calibration, engine.store
    if calibration.loaded:
        return await store.gather(place.owner, place.conversation, reach, place.branch)
    reach = reach._replace(facts=True)
    path = await store.gather(place.owner, place.conversation, reach, place.branch)
    if path.facts is None:
        path = path._replace(facts=await store.model_facts())
    calibration.take(path.facts or ())
    return path


async def _built(
    engine: Engine, place: Place, terms: Terms, given: Input, path: Path, current: Sequence[MessageRow]
) -> Window | None:
    """The window, with what is recalled for an input that nobody has answered yet; ``None`` where the path
    was not read far enough back."""
    terms = terms.calibrated(path.cut)
    bounds, target = terms.limits, terms.target
    material = _material(terms, given, path, current)
    notes: list[str] = []
    chosen = enough(material, bounds, target)
    if chosen is not None and bounds.recall_tokens and _unanswered(current):
        scope = Scope(place.owner, place.conversation, path.branch, chosen.kept.first, terms.memory)
        recalled = await quoted(engine.store, scope, path, current, bounds, terms.embedder, notes)
        if recalled is not None:
            material = material._replace(recalled=recalled)
            if recalled.text:
                chosen = enough(material, bounds, target)
    if chosen is None:
        return None
    window = build(material, bounds, target, terms.recount, chosen)
    if notes:
        window = replace(window, notes=(*window.notes, *notes))
    return window


def _unanswered(current: Sequence[MessageRow]) -> bool:
    """Whether this is new input: the first step of a turn, for which nothing was recalled yet."""
    return bool(current) and not any(row.quote or row.role in ("assistant", "tool") for row in current)


def _material(terms: Terms, given: Input, path: Path, current: Sequence[MessageRow]) -> Material:
    material = Material(
        path=path,
        instructions=terms.instructions,
        opening=terms.opening,
        context=given.context,
        current=current,
        overhead=terms.overhead,
        caching=terms.caching,
        at=time.time(),
    )
    return terms.counted(material)


def reach_of(terms: Terms, given: Input, before: int | None = None) -> Reach:
    """How far back the path is read for the window of a step, or of one after no more than the turns
    ``before`` that number."""
    bounds = terms.limits
    own = len(given.entries)
    head = terms.overhead + sum([entry.tokens for entry in terms.instructions])
    if own or given.context:
        head += sum([entry.tokens for entry in (*given.context, *given.entries)])
    return Reach(
        tokens=max(0, int(bounds.high / bounds.scale) - head),
        turns=bounds.max_turns,
        messages=None if bounds.max_messages is None else max(0, bounds.max_messages - own),
        key=bounds.key,
        before=before,
        summary=bounds.fold is not None,
    )
