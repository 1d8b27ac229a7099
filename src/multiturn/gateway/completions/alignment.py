"""Where does a posted history part from the stored one? A client that edits or forgets is followed: the turn
begins on a branch behind the last message both agree on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from ...chat import AsyncConversation
from ...conversations import Address
from ...errors import ConversationNotFound
from ...messages import Message
from ...sealing import seal
from ...tokens import count_message
from ...wire import opened
from .posted import Messages

__all__ = ["Alignment", "aligned", "followed"]

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


async def followed(chat: AsyncConversation, earlier: Messages) -> AsyncConversation:
    """The handle on which the turn is to begin: ``chat`` itself where the posted history is the stored
    one; else a new branch, which is then in use, with what was not stored added to it."""
    if not earlier:
        return chat
    stored: list[Message] = []
    with suppress(ConversationNotFound):
        stored = [message for message in await chat.history() if message.id != "opening"]
    turns = _turns(stored)
    posted = [_likeness(opened(seal(dict(each), count_message).body)) for each in earlier]
    where = aligned([_likeness(message) for message in stored], turns, posted)
    if where.agreed < len(stored):
        chat = await _branched(chat, turns[where.agreed - 1] if where.agreed else 0)
    if where.unknown < len(earlier):
        await chat.add(list(earlier[where.unknown :]))
    return chat


async def _branched(chat: AsyncConversation, turn: int) -> AsyncConversation:
    handle = await chat.branch(turn)
    await chat.switch((await chat.branches())[-1])
    return handle


def _turns(stored: Sequence[Message]) -> list[int]:
    turns: list[int] = []
    for message in stored:
        address = Address.parse(message.id)
        turns.append(address.turn if address else (turns[-1] if turns else 1))
    return turns


def _likeness(message: Message) -> Likeness:
    """What two messages have in common that mean the same: white space apart, ids apart."""
    calls = tuple(f"{call.name} {''.join(call.arguments.split())}" for call in message.tool_calls)
    return message.role, " ".join(message.text.split()), calls
