"""What would be sent for a response? A dry run from where it would go; nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from ...client import AsyncMultiTurn
from ...conversations import Declared
from ...decision import Code
from ...errors import ContextOverflow, ToolCallUnknown, ToolResultsIncomplete
from ...known import Known
from ...messages import Entry, Trait
from ...phrases import Reason
from ...policy import ContextPolicy
from ...step import Place, preview
from ...storage import Told
from ...terms import Input, policy_of
from ...window import Limits, Window
from ..completions.posted import INSTRUCTIONS
from ..http.refusal import Refusal
from .spot import Spot
from .words import Words

__all__ = ["check_room", "window_for"]


async def check_room(client: AsyncMultiTurn, spot: Spot, words: Words, given: Input, model: str) -> None:
    """Raises `Refusal` where something would have to be left out."""
    window = await _window(client, spot, words, given, model)
    if any(span.code is Code.OVER_BUDGET for span in window.spans):
        raise Refusal(400, "context_length_exceeded", param="input")


async def window_for(client: AsyncMultiTurn, spot: Spot, words: Words, given: Input, model: str) -> Window:
    """The window for these words, in this place. Of turns that were spoken elsewhere those are left out that
    are more than the policy keeps, and then the older half until the rest fits; but for instructions and what
    is pinned."""
    earlier, left = words.earlier, 0
    while True:
        standing = [each for each in chain.from_iterable(earlier[:left]) if _stands(each)]
        said = replace(words, earlier=[standing, *earlier[left:]])
        try:
            window = await _window(client, spot, said, given, model)
        except ContextOverflow:
            if left == len(earlier):
                raise
            left += (len(earlier) - left + 1) // 2
            continue
        posted, kept = len(earlier) - left, _kept(window.limits, earlier, len(words.entries))
        if posted > kept:
            left = len(earlier) - kept
            continue
        most = window.limits.max_turns
        if most is None or not posted or spot.make:
            return window
        fewer = replace(await _policy(client, spot, given), max_turns=most - posted)
        return await _window(client, spot, said, replace(given, policy=fewer), model)


async def _policy(client: AsyncMultiTurn, spot: Spot, given: Input) -> ContextPolicy:
    """The policy in force where the response goes."""
    if given.policy is not None:
        return given.policy
    one = await client.engine.store.conversation(spot.owner, spot.conversation)
    return policy_of(one.settings, client.engine)


def _kept(limits: Limits, earlier: Sequence[Sequence[Entry]], new: int) -> int:
    """How many of these turns the policy keeps before ``new`` messages."""
    most = len(earlier) if limits.max_turns is None else min(limits.max_turns, len(earlier))
    if limits.max_messages is None:
        return most
    kept, room = 0, limits.max_messages - new
    for turn in reversed(earlier[len(earlier) - most :]):
        room -= sum(each.role not in INSTRUCTIONS for each in turn)
        if room < 0:
            break
        kept += 1
    return kept


def _stands(entry: Entry) -> bool:
    return entry.role in INSTRUCTIONS or bool(entry.traits & Trait.PINNED)


async def _window(client: AsyncMultiTurn, spot: Spot, words: Words, given: Input, model: str) -> Window:
    entries, before = await _current(client, spot, words)
    declared = Declared(model=model)
    place = Place(spot.owner, spot.conversation, declared, spot.branch)
    return await preview(client.engine, place, replace(given, entries=entries), Known(declared), before)


async def _current(client: AsyncMultiTurn, spot: Spot, words: Words) -> tuple[Sequence[Entry], int | None]:
    """The turn that would be answered, and the number before which the turns are that come before it."""
    new = [*chain.from_iterable(words.earlier), *words.entries]
    _check_results(words.results, words.open_calls)
    followed = spot.followed
    if followed is not None and (words.results is not None or not followed.last):
        turn, upto = followed.address.turn, followed.output.row.place if followed.output else -1
    elif followed is not None:
        return new, followed.address.turn + 1
    elif words.results is None:
        return new, None
    else:
        turns = await client.engine.store.turns(spot.owner, spot.conversation, limit=1, newest=True)
        turn, upto = turns[-1].number, 1 << 30
    rows = await client.engine.store.history(
        spot.owner, spot.conversation, after=turn - 1, limit=1, branch=spot.branch
    )
    return [*(_anew(told) for told in rows if told.row.place <= upto), *new], turn


def _anew(told: Told) -> Entry:
    row = told.row
    traits = row.traits & ~Trait.QUOTED
    return Entry(row.role, traits, row.tokens, row.body, row.reasoning, row.reasoning_tokens, told.facts)


def _check_results(results: Sequence[str] | None, open_calls: Sequence[str]) -> None:
    left = list(open_calls)
    for call in results or ():
        if call not in left:
            raise ToolCallUnknown(call=call, open=", ".join(open_calls) or Reason("why.none_open"))
        left.remove(call)
    if left:
        raise ToolResultsIncomplete(missing=", ".join(left))
