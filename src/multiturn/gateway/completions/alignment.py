"""Where does a posted history part from the stored one? A client that edits or forgets is followed: the turn
begins on a branch behind the last message both agree on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import orjson

from ...asking import Asking, input_of, turn_of
from ...chat import AsyncConversation
from ...errors import ConversationNotFound
from ...known import Known
from ...memory import message_of
from ...messages import Message, Trait
from ...sealing import check_results, seal
from ...step import refuse_early
from ...storage import Reach, Store, Told
from ...terms import Engine
from ...tokens import count_message
from ...wire import opened
from .posted import Messages

__all__ = ["Alignment", "aligned", "check_turn", "followed"]

Likeness = tuple[str, str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Alignment:
    """``agreed`` stored messages are the posted ones up to ``unknown``, where what is not stored begins."""

    agreed: int
    unknown: int


def aligned(stored: Sequence[Likeness], turns: Sequence[int], posted: Sequence[Likeness]) -> Alignment:
    """Where a posted history stands in the stored one; ``turns`` are those of the stored messages. Newest
    messages alone are enough where all of them are stored; else both are compared from the beginning.

    >>> one, two, other = (("user", text, ()) for text in "abc")
    >>> aligned([one, two], [1, 2], [two]), aligned([one, two], [1, 2], [one, other])
    (Alignment(agreed=2, unknown=1), Alignment(agreed=1, unknown=1))
    """
    whole = list(posted)
    for end in range(len(stored), len(whole) - 1, -1):
        if list(stored[end - len(whole) : end]) == whole and _between(turns, end):
            return Alignment(end, len(whole))
    same = 0
    while same < min(len(stored), len(whole)) and stored[same] == whole[same]:
        same += 1
    while not _between(turns, same):
        same -= 1
    return Alignment(same, same)


def _between(turns: Sequence[int], place: int) -> bool:
    """Whether no turn is torn there."""
    return place in (0, len(turns)) or turns[place - 1] != turns[place]


async def check_turn(engine: Engine, chat: AsyncConversation, messages: Messages, asking: Asking) -> None:
    """Raise what a turn of these messages would raise before anything is stored."""
    entries, results = turn_of(messages)
    given, known = replace(input_of(asking), entries=entries), Known(chat.declared)
    path = await engine.store.gather(*chat.at, Reach(turns=0))
    known.learn(path.settings, path.request if engine.catalog.routes else None)
    await engine.calibration.load(engine.store.model_facts)
    if results is None:
        refuse_early(known.terms_of(engine, given), given)


async def followed(store: Store, chat: AsyncConversation, earlier: Messages) -> AsyncConversation:
    """The handle on which the turn is to begin: ``chat`` itself where the posted history is the stored
    one; else a new branch, which is then in use, with what was not stored added to it. Raises
    `MessageInvalid` for what cannot be added, before a branch is made."""
    if not earlier:
        return chat
    posted = [_likeness(opened(seal(dict(each), count_message).body)) for each in earlier]
    stored, turns = await _stored(store, chat, posted[0])
    where = aligned(stored, turns, posted)
    if where.agreed < len(stored):
        last = turns[where.agreed - 1] if where.agreed else 0
        check_results(earlier[where.unknown :], await _calls_of(store, chat, last))
        chat = await _branched(chat, last)
    if where.unknown < len(earlier):
        await chat.add(list(earlier[where.unknown :]))
    return chat


async def _stored(store: Store, chat: AsyncConversation, first: Likeness) -> tuple[list[Likeness], list[int]]:
    """What is stored, and the turn of each message. The opening is of none, and counts only where it was
    posted, as the ``first`` message."""
    found: list[tuple[Likeness, int]] = []
    with suppress(ConversationNotFound):
        opening = (await chat.info()).settings.opening
        if opening is not None and first == ("assistant", " ".join(opening.split()), ()):
            found.append((first, 0))
        rows = await store.history(*chat.at)
        found += [(_likeness(message_of(told)), told.row.turn) for told in rows if _is_there(told)]
    return [likeness for likeness, _ in found], [turn for _, turn in found]


def _is_there(told: Told) -> bool:
    return not told.row.traits & Trait.DELETED


async def _calls_of(store: Store, chat: AsyncConversation, turn: int) -> list[str]:
    """The calls that a turn makes; none where there is no such turn."""
    rows = await store.history(*chat.at, after=turn - 1, limit=1) if turn else ()
    return [call["id"] for told in rows for call in orjson.loads(told.row.body).get("tool_calls") or ()]


async def _branched(chat: AsyncConversation, turn: int) -> AsyncConversation:
    handle = await chat.branch(turn)
    await chat.switch((await chat.branches())[-1])
    return handle


def _likeness(message: Message) -> Likeness:
    """What two messages have in common that mean the same: white space apart, ids apart."""
    calls = tuple(f"{call.name} {''.join(call.arguments.split())}" for call in message.tool_calls)
    return message.role, " ".join(message.text.split()), calls
