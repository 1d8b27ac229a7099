"""What passes between a store and those who use it: a turn's beginning and end, its lease, how far back to
read, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ..conversations import Address, Declared, Owner, Settings, Step, Turn, TurnState
from ..messages import Entry
from ..path import Cut, MessageRow, Path
from ..usage import ModelFacts
from ..window import Quotation

__all__ = [
    "DELTAS",
    "Asked",
    "Begun",
    "Due",
    "Ending",
    "Exchange",
    "Extent",
    "Found",
    "Grouping",
    "Hit",
    "Lease",
    "ModelFacts",
    "Partial",
    "Reach",
    "Scope",
    "Start",
    "Told",
    "Upon",
    "UsageRow",
]


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write one turn, until somebody else takes its branch over, who may when its time is
    over; a ``limited`` one ends with its time. ``key`` is the backend's own name of the conversation,
    ``segment`` that of the branch."""

    owner: Owner
    conversation: str
    key: int
    segment: int
    ulid: str
    branch: int
    turn: int
    step: int
    epoch: int
    limited: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What a door was asked for beside the words, in its own form: ``common`` is kept once for all steps of
    the conversation that were asked for alike, ``own`` is what only this step says."""

    common: bytes
    own: bytes | None = None


DELTAS = Asked(b"")
"""By a door that keeps nothing but the deltas in which the answer came (`multiturn.rendition`)."""


class Upon(NamedTuple):
    """The step that a turn follows."""

    turn: int
    step: int


class Extent(NamedTuple):
    """How far a conversation had come when somebody looked: the messages of the branch in use, and how many
    branches there were."""

    messages: int = 0
    branches: int = 1


@dataclass(frozen=True, slots=True)
class Start:
    """What a turn begins with.

    Exactly one of five things happens:

    - a **new turn** with ``entries`` as its input (``results`` and ``again`` unset);
    - the **waiting turn goes on**: ``results`` are the ids of the tool calls that ``entries`` answer,
      which must be exactly the open ones (else `ToolCallUnknown` or `ToolResultsIncomplete`); the
      turn keeps its number and gets its next step;
    - a **failed turn is repeated** (``again``): the newest turn of the path must be failed or
      incomplete; its user input stays, whatever else it held is dropped, it gets its next step;
    - with ``after`` set, a **new branch** is made whose path shares the turns up to ``after`` (0:
      none) with the branch in use, it becomes the one in use, and the new turn is its first own turn;
    - with ``upon`` set, the turn **follows a step**: on ``branch`` itself where nothing came after that
      step, with ``results`` as the waiting turn that goes on; else on a new branch that shares the path up
      to that step, and becomes the one in use only with ``switch``. A turn that went on since is repeated
      there as far as that step.

    ``earlier`` are whole turns that were spoken elsewhere; they come before a new turn, in the same
    transaction. ``asked`` is kept with the step, which is then told of by `Store.exchange`.

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
    upon: Upon | None = None
    switch: bool = False
    earlier: Sequence[Sequence[Entry]] = ()
    asked: Asked | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """What ``begin`` gives: the lease of an accepted turn, or (``lease`` is ``None``) the completed
    turn that the same request key made before. ``settings`` are those in force now; ``step`` is the step
    that the key made, where it was ``asked`` for; ``asked_at`` when what was asked was kept; ``path`` what
    was to be read of the path of an accepted turn."""

    lease: Lease | None
    turn: Turn
    settings: Settings
    step: int | None = None
    asked_at: float | None = None
    path: Path | None = None
    alone: bool = False
    """Whether nothing is written but a new turn: all that was there before it stays as it was."""


@dataclass(frozen=True, slots=True)
class Partial:
    """What arrived since the last ``append``. Pieces of tool calls are not kept: a call that was not
    finished cannot be answered. ``course`` says in what pieces it came (`multiturn.course`), where that is
    wanted."""

    text: str = ""
    reasoning: str | None = None
    course: bytes = b""


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
    stopped can be recalled from then on. ``course`` says in what pieces the whole answer came.
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
    course: bytes | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """A branch whose summary is to be written, after ``failures`` in a row; ``mark`` is the claim's own."""

    owner: Owner
    conversation: str
    branch: int
    failures: int = 0
    mark: int = field(default=0, compare=False)


class Told(NamedTuple):
    """A stored message for somebody to look at: its row, its facts (see `Entry.facts`), the time of
    its turn, and its id by place (`Address.message_id`, with the branch that holds it)."""

    row: MessageRow
    facts: bytes | None
    created_at: float
    id: str


class Scope(NamedTuple):
    """Where is searched: a conversation, one of its branches (``None``: the one in use), turns before
    ``before``, and the user's conversations that share a ``memory``."""

    owner: Owner
    conversation: str
    branch: int | None = None
    before: int | None = None
    memory: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A message that was recalled: from which conversation, and how well it fits the question, from 0
    to 1; ``at`` is how many messages stand before it on the path that was asked about (``None``: it is
    on another)."""

    conversation: str
    told: Told
    score: float
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """One step as it was asked for and answered: ``asked`` and ``course`` as they were kept, the messages
    that went in and the one that came out.

    ``step`` is what ended it (``None``: it has not ended, or its holder is gone). ``state`` is that of its
    turn, ``last`` whether no later step of the turn was begun, ``running`` whether somebody holds it.
    """

    conversation: str
    user: str
    address: Address
    asked: Asked
    state: TurnState
    last: bool
    running: bool
    created_at: float
    ended_at: float | None = None
    step: Step | None = None
    input: Sequence[Told] = ()
    output: Told | None = None
    course: bytes = b""


class Reach(NamedTuple):
    """How far back ``gather`` reads: whole turns, newest first, until one of the bounds is passed
    (the turn that passes it is still read, so the builder sees that there is more).

    ``tokens`` are uncalibrated, reasoning included. ``key``: where the branch's stored cut carries
    this key, nothing before the cut is read. ``before``: only turns before this number (the turn
    being answered is read as ``current`` instead). ``summary``: whether a summary counts, before whose
    end nothing is read then; a policy without one wants the turns themselves.
    ``facts``: whether the path is to bring what use has taught of models, too (`Path.facts`): the first
    window of a client need not ask for that apart.
    """

    tokens: int | None = None
    turns: int | None = None
    messages: int | None = None
    key: str = ""
    before: int | None = None
    current: int | None = None
    summary: bool = True
    facts: bool = False

    def held(self, lease: Lease) -> Reach:
        """The same for the turn that is held: what comes before it, and of its own steps those that were."""
        return self._replace(before=lease.turn, current=lease.turn if lease.step > 1 else None)

    def farther(self) -> Reach:
        """Four times as far back: turns that are never sent used this reach up."""
        return self._replace(
            tokens=None if self.tokens is None else self.tokens * 4 + 1024,
            turns=None if self.turns is None else self.turns * 4 + 4,
            messages=None if self.messages is None else self.messages * 4 + 8,
        )


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that a search found, with its conversation."""

    conversation: str
    told: Told


Grouping = Literal["all", "day", "model", "user", "conversation", "tag"]
"""By what usage is added up."""


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
