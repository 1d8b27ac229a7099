"""The contract of a store, in the words of conversations.

Everything multiturn remembers passes through these methods. People may bring their own database: a
store is right when ``tests/conformance`` passes for it unchanged.

The turn protocol (what makes "acknowledged" mean "durable"):

1. ``begin`` commits the user's input and takes the conversation's lease in one transaction. Only
   then may a provider be called.
2. ``append`` keeps what has arrived so far, in batches, while the answer streams.
3. ``finish`` commits the answer, the ledger, usage and state in one transaction and frees the lease.
4. Whoever begins next finds a turn whose lease ran out and closes it as `TurnState.INCOMPLETE`, with
   the text that had arrived and without ever an empty assistant message.

Every write of a turn carries the epoch of its lease: a holder that lost it to another writes nothing
and gets `TurnExpired`. One that only slept past its time, while nobody came, goes on. Time is the
database's. An owner's id that belongs to somebody else is answered
exactly like one that does not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

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
    TurnState,
)
from ..messages import Entry
from ..search.terms import Query
from ..window import Cut, MessageRow, Path, Quotation

__all__ = [
    "Begun",
    "Due",
    "Ending",
    "Found",
    "Hit",
    "Lease",
    "ModelFacts",
    "Partial",
    "Reach",
    "Start",
    "Store",
    "Told",
    "UsageRow",
]


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write one turn, until somebody else takes the conversation over, who may when its
    time is over; a ``limited`` one ends with its time. ``key`` is the backend's own name of the
    conversation."""

    owner: Owner
    conversation: str
    key: int
    ulid: str
    branch: int
    turn: int
    step: int
    epoch: int
    limited: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """What a turn begins with.

    Exactly one of four things happens:

    - a **new turn** with ``entries`` as its input (``results`` and ``again`` unset);
    - the **waiting turn goes on**: ``results`` are the ids of the tool calls that ``entries`` answer,
      which must be exactly the open ones (else `ToolCallUnknown` or `ToolResultsIncomplete`); the
      turn keeps its number and gets its next step;
    - a **failed turn is repeated** (``again``): the newest turn of the path must be failed or
      incomplete; its user input stays, whatever else it held is dropped, it gets its next step;
    - with ``after`` set, a **new branch** is made whose path shares the turns up to ``after`` (0:
      none) with the branch in use, it becomes the one in use, and the new turn is its first own turn.

    A waiting turn on which a new turn begins becomes incomplete with `Trait.STOPPED` (the calls stay
    open in history; windows close them).

    ``key`` with ``digest`` (a hash of the input): a turn of this conversation with the same key and
    digest that completed, or waits for tool results, is not repeated, ``begin`` gives it back instead;
    while it is still running, ``begin`` waits for it like for the lease; failed or incomplete, it is
    repeated as a new turn that takes the key over; with another digest: `KeyReused`.

    ``wait`` is how many seconds to queue for the lease, first come first served across all
    processes, before `ConversationBusy`; ``interrupt`` asks the running turn to stop first.
    ``hold`` is how many seconds the lease lasts; where that is ``limited``, its holder may write no
    longer, even if nobody took over. ``make`` whether a conversation that does not exist
    is made (else `ConversationNotFound`).
    """

    entries: Sequence[Entry] = ()
    results: tuple[str, ...] | None = None
    again: bool = False
    after: int | None = None
    branch: int | None = None
    """The branch to work on; ``None``: the one in use."""
    key: str | None = None
    digest: bytes = b""
    declared: Declared = Declared()
    wait: float = 30.0
    interrupt: bool = False
    hold: float = 15.0
    limited: bool = False
    make: bool = True


@dataclass(frozen=True, slots=True)
class Begun:
    """What ``begin`` gives: the lease of an accepted turn, or (``lease`` is ``None``) the completed
    turn that the same request key made before. ``settings`` are those in force now."""

    lease: Lease | None
    turn: Turn
    settings: Settings


@dataclass(frozen=True, slots=True)
class Partial:
    """What arrived since the last ``append``. Pieces of tool calls are not kept: a call that was not
    finished cannot be answered."""

    text: str = ""
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a step ends.

    ``state``: ``WAITING`` when tool calls are open (then ``open_calls`` names them), else a final
    state. ``entries`` are the assistant's messages of this step (none when nothing arrived; never an
    empty one). ``traits`` are set on the turn beside those of its messages (`Trait.STOPPED`,
    `Trait.MODERATED`). ``cut`` is kept with the branch. Partials of the step are dropped.

    ``quote`` is what was recalled for the turn's user message: it is kept with that message, counted
    with it, and read back as `MessageRow.quote` (the turn gets `Trait.QUOTED`). ``request`` is the
    fingerprint of what was sent, kept with the branch. ``counted`` is what the window was counted to
    cost before calibration: with the reported usage it calibrates the model (`Store.model_facts`).
    ``due`` marks the branch: a summary is to be written. The words of a turn that ends completed or
    stopped can be recalled from then on.
    """

    state: TurnState
    step: Step
    entries: Sequence[Entry] = ()
    open_calls: tuple[str, ...] = ()
    traits: int = 0
    cut: Cut | None = None
    error: str | None = None
    quote: Quotation | None = None
    request: bytes | None = None
    counted: int | None = None
    due: bool = False


@dataclass(frozen=True, slots=True)
class Due:
    """A branch whose summary is to be written, after ``failures`` in a row; ``mark`` is the claim's own."""

    owner: Owner
    conversation: str
    branch: int
    failures: int = 0
    mark: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What use has taught of a model: ``ratio`` is reported tokens by counted ones (a moving mean of
    ``samples`` calls), ``limit`` how many tokens of input it takes, where an overflow told."""

    name: str
    ratio: float = 1.0
    samples: int = 0
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A message that was recalled: from which conversation, and how well it fits the question, from 0
    to 1; ``at`` is how many messages stand before it on the path that was asked about (``None``: it is
    on another)."""

    conversation: str
    told: Told
    score: float
    at: int | None = None


class Reach(NamedTuple):
    """How far back ``gather`` reads: whole turns, newest first, until one of the bounds is passed
    (the turn that passes it is still read, so the builder sees that there is more).

    ``tokens`` are uncalibrated, reasoning included. ``key``: where the branch's stored cut carries
    this key, nothing before the cut is read. ``before``: only turns before this number (the turn
    being answered is read as ``current`` instead). ``summary``: whether a summary counts, before whose
    end nothing is read then; a policy without one wants the turns themselves.
    """

    tokens: int | None = None
    turns: int | None = None
    messages: int | None = None
    key: str = ""
    before: int | None = None
    current: int | None = None
    summary: bool = True


class Told(NamedTuple):
    """A stored message for somebody to look at: its row, its facts (see `Entry.facts`), the time of
    its turn, and its id by place (`Address.message_id`, with the branch that holds it)."""

    row: MessageRow
    facts: bytes | None
    created_at: float
    id: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that a search found, with its conversation."""

    conversation: str
    told: Told


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Usage and cost added up over a group. ``amount`` is in billionths of ``currency`` (``None``:
    no price was known); ``estimated`` whether any count was."""

    group: str
    currency: str | None
    amount: int | None
    calls: int
    turns: int
    input: int
    output: int
    cached: int | None
    cache_write: int | None
    reasoning: int | None
    estimated: bool


class Store(Protocol):
    """Where conversations live. All methods may raise `multiturn.errors.StoreError`."""

    async def open(self) -> None:
        """Connect and bring the schema up to date. Other methods do it at first use."""
        ...

    async def close(self) -> None:
        """Finish what is being written and let go of everything. Safe to call twice."""
        ...

    # -- one turn

    async def begin(self, owner: Owner, conversation: str, start: Start) -> Begun:
        """Accept a turn and take the conversation's lease, in one transaction."""
        ...

    async def gather(self, owner: Owner, conversation: str, reach: Reach, branch: int | None = None) -> Path:
        """Read what a window may be built from, in one snapshot, touching no other row.

        A conversation that does not exist gives an empty path; somebody else's raises
        `ConversationNotFound`.
        """
        ...

    async def renew(self, lease: Lease, hold: float) -> bool:
        """Hold on for ``hold`` more seconds. Gives ``False`` once the turn was asked to stop."""
        ...

    async def append(self, lease: Lease, partial: Partial) -> bool:
        """Keep what has arrived. Gives ``False`` once the turn was asked to stop."""
        ...

    async def finish(self, lease: Lease, ending: Ending) -> Turn:
        """End the step and free the lease, in one transaction."""
        ...

    async def cancel(self, owner: Owner, conversation: str) -> bool:
        """Ask the running turn to stop; whether there was one."""
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
    ) -> Sequence[Told]:
        """Append whole turns that were spoken elsewhere to the branch in use, or to ``branch``, in one
        transaction, without a lease.

        A first group that does not begin with a user or instruction message goes on with the newest
        turn, which is completed by it. Gives the stored messages.
        """
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
        """Where the message is that brought this id of its own along (`Entry.facts`); the newest, if
        several did. Raises `TurnNotFound` where none did."""
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

    # -- conversations

    async def conversation(self, owner: Owner, conversation: str) -> Conversation:
        """One conversation."""
        ...

    async def conversations(
        self, owner: Owner, *, limit: int = 100, before: str | None = None
    ) -> Sequence[Conversation]:
        """Conversations, most recently used first; ``before`` is the id of the last one seen."""
        ...

    async def declare(self, owner: Owner, conversation: str, declared: Declared) -> Settings:
        """Change settings without a turn; makes the conversation if it does not exist."""
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
    ) -> Sequence[Found]:
        """Messages of the path that fit ``query``, best first: of turns before ``before``; with a
        ``memory`` also messages of this user's other conversations that share it. What was withdrawn,
        left out by hand, refused or failed is never found."""
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
        by: Literal["all", "day", "model", "user", "conversation"] = "all",
    ) -> Sequence[UsageRow]:
        """Usage and cost added up, one row a group and currency."""
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
