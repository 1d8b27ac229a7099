"""The contract of a store, in the words of conversations.

Everything multiturn remembers passes through these methods. People may bring their own database: a
store is right when ``tests/conformance`` passes for it unchanged.

How a turn is kept is told in `turn_store`. An owner's id that belongs to somebody else is answered
exactly like one that does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from ..conversations import (
    Address,
    Branch,
    Conversation,
    Declared,
    Owner,
    Settings,
    Step,
    Summary,
    Turn,
)
from ..messages import Entry
from ..search.terms import Query
from .records import (
    Due,
    Extent,
    Found,
    Grouping,
    Hit,
    ModelFacts,
    Told,
    UsageRow,
)
from .turn_store import TurnStore

__all__ = ["Store"]


class Store(TurnStore, Protocol):
    """Where conversations live. All methods may raise `multiturn.errors.StoreError`."""

    async def open(self) -> None:
        """Connect and bring the schema up to date. Other methods do it at first use."""
        ...

    async def close(self) -> None:
        """Finish what is being written and let go of everything. Safe to call twice."""
        ...

    # -- history

    async def add(
        self,
        owner: Owner,
        conversation: str,
        turns: Sequence[Sequence[Entry]],
        declared: Declared = Declared(),
        wait: float = 30.0,
        branch: int | None = None,
        make: bool = True,
    ) -> Sequence[Told]:
        """Append whole turns that were spoken elsewhere to the branch in use, or to ``branch``, in one
        transaction, without a lease.

        A first group that does not begin with a user or instruction message goes on with the newest
        turn, which is completed by it. A last turn whose calls have no result is `TurnState.WAITING`.
        Gives the stored messages. A conversation that does not exist is made, unless ``make`` is false:
        then `ConversationNotFound`.
        """
        ...

    async def take_in(
        self,
        owner: Owner,
        conversation: str,
        turns: Sequence[Sequence[Entry]],
        declared: Declared,
        found: Extent,
        wait: float = 30.0,
        fork: tuple[int, int | None] | None = None,
    ) -> int | None:
        """`add` what is missing from a conversation that was ``found`` so: to the branch in use, or to a new
        one behind a turn (``fork``: its number and its branch). Gives the branch; ``None``, and nothing is
        stored, where the conversation has changed since."""
        ...

    async def history(
        self,
        owner: Owner,
        conversation: str,
        *,
        after: int = 0,
        limit: int | None = None,
        branch: int | None = None,
    ) -> Sequence[Told]:
        """Messages of the path in time order, of turns after ``after``, at most ``limit`` turns; each
        with its facts (see `Entry.facts`; the model is in the row instead) and the time of its turn."""
        ...

    async def turns(
        self,
        owner: Owner,
        conversation: str,
        *,
        after: int = 0,
        limit: int | None = None,
        newest: bool = False,
        branch: int | None = None,
    ) -> Sequence[Turn]:
        """Turns of the path in time order, with usage and cost of their steps added up; with
        ``newest`` the last ``limit`` of them."""
        ...

    async def steps(
        self, owner: Owner, conversation: str, turn: int, branch: int | None = None
    ) -> Sequence[Step]:
        """The steps of one turn, in order; of turn 0: what `record` kept for this branch."""
        ...

    async def locate(self, owner: Owner, conversation: str, message: str) -> Address:
        """Where the message is that brought this id of its own along (`Entry.facts`: its ``id``, or one
        of its ``item_ids``); the newest, if several did. Raises `TurnNotFound` where none did."""
        ...

    async def branches(self, owner: Owner, conversation: str) -> Sequence[Branch]:
        """All branches, oldest first."""
        ...

    async def fork(self, owner: Owner, conversation: str, after: int, branch: int | None = None) -> int:
        """Make a branch that shares the turns up to ``after``; its number. The branch in use stays."""
        ...

    async def switch(self, owner: Owner, conversation: str, branch: int) -> None:
        """Make ``branch`` the one in use."""
        ...

    async def mark(
        self,
        owner: Owner,
        conversation: str,
        turn: int,
        *,
        place: int | None = None,
        set: int = 0,
        clear: int = 0,
        reason: str | None = None,
        branch: int | None = None,
    ) -> None:
        """Set and clear traits of a turn, or of the message at ``place`` in it."""
        ...

    async def rewrite(
        self,
        owner: Owner,
        conversation: str,
        turn: int,
        entries: Mapping[int, Entry],
        branch: int | None = None,
        seen: Sequence[Told] = (),
    ) -> bool:
        """Put messages of a turn, by place, into the place of those that stand there, in one transaction:
        so what was said is deleted, without a number that changes. What was there is gone for good, from
        the quotations of other turns, from summaries and from how answers were told (`DELTAS`), too; what
        a user marked by hand stays marked. A turn waits no more for results of calls that are gone, and is
        `TurnState.INCOMPLETE` if it waited for nothing else. Every branch that shares the turn sees it so.

        ``seen`` are messages of the turn as they were read: where one of them is another by now, nothing
        is done, and the answer is ``False``."""
        ...

    # -- conversations

    async def conversation(self, owner: Owner, conversation: str) -> Conversation:
        """One conversation."""
        ...

    async def conversations(
        self,
        owner: Owner,
        *,
        limit: int = 100,
        before: str | None = None,
        after: str | None = None,
        oldest: bool = False,
        metadata: Mapping[str, str] = MappingProxyType({}),
    ) -> Sequence[Conversation]:
        """Conversations, most recently used first, or least recently with ``oldest``: those used before
        the one with the id ``before``, and after the one with the id ``after``, that are noted with all
        of ``metadata``."""
        ...

    async def describe(
        self,
        owner: Owner,
        conversation: str,
        *,
        metadata: Mapping[str, str] | None = None,
        expires_after: float | None = None,
    ) -> Conversation:
        """Note something else about a conversation, or keep it for another time from now on (`Declared`),
        which counts as use; ``None`` leaves what is. Gives the conversation.

        One that nobody used for ``expires_after`` seconds, and in which no turn runs, is from then on
        like one that does not exist: its id is free, and it is no more listed, found or recalled.
        """
        ...

    async def sweep(self, limit: int = 100) -> int:
        """Remove at most ``limit`` conversations of all tenants whose time is over, with everything that
        belongs to them; how many were."""
        ...

    async def declare(self, owner: Owner, conversation: str, declared: Declared) -> Settings:
        """Change settings without a turn; makes the conversation if it does not exist."""
        ...

    async def settings(self, owner: Owner, conversation: str) -> Sequence[Settings]:
        """The settings that are in force, and before them all that were, oldest first; none where nothing was
        ever declared."""
        ...

    async def search(
        self, owner: Owner, text: str, *, conversation: str | None = None, limit: int = 20
    ) -> Sequence[Hit]:
        """Messages whose JSON contains ``text`` (as JSON writes it), newest first, ASCII case ignored."""
        ...

    async def recall(
        self,
        owner: Owner,
        conversation: str,
        query: Query,
        *,
        branch: int | None = None,
        before: int | None = None,
        memory: str | None = None,
        limit: int = 10,
        least: float = 0.0,
    ) -> Sequence[Found]:
        """Messages of the path that fit ``query``, best first: of turns before ``before``; with a
        ``memory`` also messages of this user's other conversations that share it. What was withdrawn,
        left out by hand, refused or failed is never found. Where none has a score of ``least``, only the
        best is wanted, with those that have the same score."""
        ...

    # -- summaries

    async def summaries(
        self, owner: Owner, conversation: str, branch: int | None = None
    ) -> Sequence[Summary]:
        """The summary in force on the path, then those it replaced, newest first."""
        ...

    async def write_summary(
        self,
        owner: Owner,
        conversation: str,
        summary: Summary,
        expected: int | None,
        branch: int | None = None,
        due: Due | None = None,
    ) -> Summary | None:
        """Put a summary in force, if that is still version ``expected`` (``None``: there is none) and the
        claim ``due`` holds: it ends once a turn of the branch is withdrawn or left out. Gives it, or
        ``None``. Branches made later share it if it covers only turns they share; older ones never do."""
        ...

    async def undo_summary(
        self, owner: Owner, conversation: str, branch: int | None = None
    ) -> Summary | None:
        """Put the summary in force that the present one replaced; gives it, or ``None`` where none was."""
        ...

    async def record(self, owner: Owner, conversation: str, step: Step, branch: int | None = None) -> None:
        """Keep a call that belongs to no turn, such as one for a summary: `usage` counts it, and `steps`
        gives all of a branch, in order, where it is asked for those of turn 0."""
        ...

    async def claim_due(
        self, *, owner: Owner | None = None, conversation: str | None = None, hold: float = 60.0
    ) -> Due | None:
        """Take the oldest mark of a branch whose summary is due, for ``hold`` seconds: of all, or of one
        conversation. ``None`` where none is due, or each is claimed or backing off."""
        ...

    async def settle_due(self, due: Due, *, done: bool, wait: float = 0.0) -> None:
        """Give a claim back: ``done`` removes the mark; else it may be claimed again after ``wait``
        seconds, with one failure more (``wait`` 0: at once, without one)."""
        ...

    # -- models

    async def model_facts(self) -> Sequence[ModelFacts]:
        """What use has taught of every model."""
        ...

    async def learn_limit(self, model: str, limit: int) -> None:
        """Keep how many tokens of input a model takes, as its overflow told."""
        ...

    async def usage(
        self,
        owner: Owner,
        *,
        conversation: str | None = None,
        by: Grouping | Sequence[Grouping] = "all",
    ) -> Sequence[UsageRow]:
        """Usage and cost added up, one row a group and currency. By several, a group is the JSON list of
        its values; ``"tag"`` is what conversations are noted with under that name (`Declared.metadata`)."""
        ...

    async def delete(self, owner: Owner, conversation: str) -> None:
        """Remove a conversation with everything that belongs to it, in one transaction."""
        ...

    async def delete_user(self, owner: Owner) -> int:
        """Remove all conversations of a user; how many there were."""
        ...

    async def lookup(self, owner: Owner, ulid: str) -> str:
        """The id of the conversation with this ULID."""
        ...
