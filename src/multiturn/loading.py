"""How does a file become conversations? What is stored already is passed over; all of the rest is taken in,
or nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .chat import AsyncConversation
from .conversations import Address, Declared, Owner, Summary, Turn
from .errors import ConversationNotFound, InputInvalid
from .marks import Mark
from .memory import message_of
from .messages import Entry, Trait
from .phrases import Reason
from .policy import ContextPolicy
from .sealing import check_results, seal, split_turns
from .storage import Extent, Store, Told
from .tokens import count_message, count_text
from .transcript import Aside, Retelling, Transcript, imported

__all__ = ["load"]

GONE = Trait.RETRACTED | Trait.EXCLUDED
NEW = Extent()
TOGETHER = 64
"""Conversations that are stored at once."""
BREATH = 256
"""Messages after which whatever else waits has its chance."""


async def load(
    store: Store,
    text: bytes,
    name: str,
    conversation: Callable[..., AsyncConversation],
    alone: asyncio.Lock,
    user: str | None = None,
    most: int | None = None,
) -> list[AsyncConversation]:
    """Take in what a file of this ``name`` says; ``conversation`` makes handles as
    `AsyncMultiTurn.conversation` does. Whoever holds ``alone`` stores nothing that another finds missing
    at the same moment: a file that is taken in twice at once is stored once; where another process takes it
    in, the store tells. Raises `InputInvalid`, also where there are more than ``most`` messages; then nothing
    was stored."""
    found = await asyncio.to_thread(imported, text, name)
    if most is not None and _size(found) > most:
        raise InputInvalid(Reason("why.file_long", file=name, limit=most))
    loaded = [Loading(store, _handle(conversation, one, user), one) for one in found]
    async with alone:
        for each in loaded:
            await each.check()
        for at in range(0, len(loaded), TOGETHER):
            await _together(loaded[at : at + TOGETHER])
    return [each.chat for each in loaded]


async def _together(some: Sequence[Loading]) -> None:
    """Take in several conversations at once, so that they share their commits."""
    for outcome in await asyncio.gather(*(each.stored() for each in some), return_exceptions=True):
        if outcome is not None:
            raise outcome


def _size(found: Sequence[Transcript]) -> int:
    """How many messages there are, or marks, summaries or branches, where those are more: each of them is
    stored by itself."""
    parts: list[Transcript | Aside] = [*found, *(aside for one in found for aside in one.asides)]
    return max(
        len(parts),
        sum(len(part.messages) for part in parts),
        sum(len(part.marks) for part in parts),
        sum(len(part.summaries) for part in parts),
    )


def _handle(
    conversation: Callable[..., AsyncConversation], transcript: Transcript, user: str | None
) -> AsyncConversation:
    """The handle of a conversation in a file."""
    settings = transcript.settings
    policy = settings.get("policy")
    return conversation(
        transcript.id,
        user=user,
        system=settings.get("instructions") or None,
        opening=settings.get("opening"),
        policy=None if policy is None else ContextPolicy.from_dict(policy),
        model=settings.get("model"),
        memory=settings.get("memory"),
        metadata=settings.get("metadata"),
        expires_after=settings.get("expires_after"),
    )


@dataclass(slots=True)
class Loading:
    """One conversation of a file on its way into the store; ``chat`` is its handle."""

    store: Store
    chat: AsyncConversation
    transcript: Transcript
    rest: list[dict[str, Any]] = field(default_factory=list)
    """The messages of the path in use that are not stored yet."""
    asides: list[Aside] = field(default_factory=list)
    new: bool = True
    found: Extent = NEW
    marks: list[Mark] = field(default_factory=list)
    """Those of messages that were stored here."""
    summaries: list[tuple[int | None, Sequence[Retelling]]] = field(default_factory=list)
    """Those of the branches that were."""
    gone: set[tuple[int, int]] = field(default_factory=set)
    """Branch and number of the turns that were withdrawn before they came here."""

    @property
    def owner(self) -> Owner:
        """Whose it is going to be."""
        return self.chat.at[0]

    async def check(self) -> None:
        """Find out what is not stored yet. Raises `InputInvalid` for a conversation that holds something
        else, or that has gone on since, and for a branch that grows out of nothing; `MessageInvalid` for
        what is no message; `ConversationNotFound` for an id that is somebody else's."""
        messages, asides = self.transcript.messages, self.transcript.asides
        for place, message in enumerate((*messages, *(one for aside in asides for one in aside.messages)), 1):
            seal(message, count_message)
            if place % BREATH == 0:
                await asyncio.sleep(0)
        check_results(messages)
        path, everywhere = await self._stored()
        self.new = path is None
        known = _shared(_ids(messages), path or [])
        self.rest = messages[known:]
        if self.rest and (len(path or []) > known or everywhere & set(_ids(self.rest))):
            raise InputInvalid(Reason("why.file_there", conversation=self.chat.id))
        self.asides = [a for a in asides if self.new or not everywhere & set(_ids(a.messages[-1:]))]
        there = everywhere | set(_ids(messages))
        for aside in self.asides:
            if aside.after is not None and aside.after not in there:
                raise InputInvalid(Reason("why.file_branch", after=aside.after))
            there |= set(_ids(aside.messages))

    async def _stored(self) -> tuple[list[str] | None, set[str]]:
        """The ids of the messages on the path in use (``None``: there is no such conversation), and of
        those on any branch."""
        try:
            one = await self.store.conversation(self.owner, self.chat.id)
            branches = await self.store.branches(self.owner, self.chat.id)
            path = await self._ids_of(None)
        except ConversationNotFound:
            if self.owner.user is not None:
                await self._check_free()
            self.found = NEW
            return None, set()
        self.found = Extent(one.messages, len(branches))
        return path, {one for branch in branches for one in await self._ids_of(branch.number)}

    async def _check_free(self) -> None:
        """Raise `ConversationNotFound` where the id is taken by another user of the tenant."""
        try:
            await self.store.conversation(Owner(self.owner.tenant, None), self.chat.id)
        except ConversationNotFound:
            return
        raise ConversationNotFound(conversation=self.chat.id)

    async def _ids_of(self, branch: int | None) -> list[str]:
        rows = await self.store.history(self.owner, self.chat.id, branch=branch)
        return [message_of(told).id for told in rows]

    async def stored(self) -> None:
        """Store what is not there yet. Where somebody else stores something meanwhile, see anew what that
        is."""
        while not await self._take_in():
            await self.check()

    async def _take_in(self) -> bool:
        """Store the path in use, then every other branch beside it, what is marked of them, and last the
        summaries, since a branch would share those that are there when it is made. Gives ``False`` where the
        conversation is not as it was found."""
        if self.new or self.rest:
            if await self._add(*await self.chat.made_ready(self.rest)) is None:
                return False
            self.marks += self._of(self.rest, self.transcript.marks)
            self.summaries.append((None, self.transcript.summaries))
        for aside in self.asides:
            turns = split_turns(seal(message, count_message) for message in aside.messages)
            branch = await self._add(turns, Declared(), await self._behind(aside.after))
            if branch is None:
                return False
            self.marks += self._of(aside.messages, aside.marks)
            self.summaries.append((branch, aside.summaries))
        for mark in self.marks:
            await self._mark(mark)
        for where, retellings in self.summaries:
            if retellings:
                await self._retell(where, retellings)
        return True

    async def _add(
        self,
        turns: Sequence[Sequence[Entry]],
        declared: Declared,
        fork: tuple[int, int | None] | None = None,
    ) -> int | None:
        """Add turns to the conversation as it was found; gives the branch, ``None`` where it has changed."""
        branch = await self.store.take_in(self.owner, self.chat.id, turns, declared, self.found, fork=fork)
        if fork is None:
            more = sum(len(turn) for turn in turns)
            self.found = self.found._replace(messages=self.found.messages + more)
        else:
            self.found = self.found._replace(branches=self.found.branches + 1)
        return branch

    def _of(self, messages: Sequence[dict[str, Any]], marks: Sequence[Mark]) -> list[Mark]:
        """The marks of messages that are stored now; what was there before is marked as people want it."""
        names = set(_ids(messages))
        return [mark for mark in marks if mark.message in names]

    async def _mark(self, mark: Mark) -> None:
        """Mark a turn or a message as it was."""
        at = await self._address(mark.message)
        place = None if mark.whole else at.place
        await self.store.mark(
            self.owner,
            self.chat.id,
            at.turn,
            place=place,
            set=mark.trait,
            reason=mark.reason,
            branch=at.branch,
        )
        if mark.trait & GONE:
            self.gone.add((at.branch, at.turn))

    async def _retell(self, branch: int | None, retellings: Sequence[Retelling]) -> None:
        """Put the summaries of a path in force one after the other: those that go on from what is in force
        here. None that stands for a turn withdrawn only here: it may tell what was taken back."""
        rows = await self.store.history(self.owner, self.chat.id, branch=branch)
        turns = await self.store.turns(self.owner, self.chat.id, branch=branch)
        most = next((turn.number - 1 for turn in turns if self._withdrawn_here(turn)), len(turns))
        there = list(reversed(await self.store.summaries(self.owner, self.chat.id, branch)))
        told = [(_upto(rows, one.messages), one.text, one.model) for one in retellings]
        if [(one.upto, one.text, one.model) for one in there] != told[: len(there)]:
            return
        expected = there[-1].version if there else None
        for upto, text, model in told[len(there) :]:
            if 1 <= upto <= most:
                summary = Summary(0, upto, text, count_text(text), model)
                written = await self.store.write_summary(self.owner, self.chat.id, summary, expected, branch)
                if written is None:  # somebody else was quicker
                    return
                expected = written.version

    def _withdrawn_here(self, turn: Turn) -> bool:
        return bool(turn.traits & GONE) and (turn.branch, turn.number) not in self.gone

    async def _behind(self, after: str | None) -> tuple[int, int | None]:
        """The turn, and its branch, of the message with the id ``after``: a branch begins behind it."""
        if after is None:
            return 0, None
        at = await self._address(after)
        return at.turn, at.branch

    async def _address(self, message: str) -> Address:
        """Where the message is that has this id, or brought it along."""
        address = Address.parse(message)
        if address is None or address.ulid != (await self.chat.info()).ulid:
            return await self.store.locate(self.owner, self.chat.id, message)
        return address


def _ids(messages: Sequence[dict[str, Any]]) -> list[str]:
    return [str(message["id"]) if message.get("id") else "" for message in messages]


def _shared(ids: Sequence[str], path: Sequence[str]) -> int:
    """How many messages are the same at the beginning."""
    return next(
        (n for n, (one, other) in enumerate(zip(ids, path, strict=False)) if one != other),
        min(len(ids), len(path)),
    )


def _upto(rows: Sequence[Told], messages: int) -> int:
    """The last turn that ends within the first ``messages`` messages of a path; 0 where there is none, or
    there are not so many."""
    if not 1 <= messages <= len(rows):
        return 0
    last = rows[messages - 1].row.turn
    whole = messages == len(rows) or rows[messages].row.turn != last
    return last if whole else last - 1
