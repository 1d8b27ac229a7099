"""What do we remember? Conversations, their branches, turns and steps, and the ids of all of them.

Ids carry their place: a conversation has a ULID (26 characters that sort by creation time), and the
id of a turn, a message or a response is that ULID with branch, turn and place behind it. So no id is
stored twice, and an id alone says where to look.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum

from .messages import Message
from .usage import Cost, Usage

__all__ = [
    "DECLARABLE",
    "Address",
    "Branch",
    "Conversation",
    "Declared",
    "Hit",
    "Owner",
    "Settings",
    "Step",
    "Summary",
    "Turn",
    "TurnState",
    "new_ulid",
]

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
NUMBER = "0|[1-9][0-9]{0,8}"
ID = re.compile(
    rf"(?P<kind>msg|turn|resp)_(?P<ulid>[{CROCKFORD}]{{26}})"
    rf"_(?P<branch>{NUMBER})_(?P<turn>{NUMBER})(?:_(?P<place>{NUMBER}))?"
)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose conversations: every call to a store names one. ``user=None`` means every user of the
    tenant (an operator's view); conversations made so belong to the user ``""``."""

    tenant: str = ""
    user: str | None = ""


class TurnState(IntEnum):
    """Where a turn stands. The last three are final."""

    ACCEPTED = 0
    """The user's input is stored; no answer yet."""
    STREAMING = 1
    WAITING = 2
    """Tool calls are open; the lease is free."""
    COMPLETED = 3
    INCOMPLETE = 4
    """Stopped by the user, or left behind by a crash."""
    FAILED = 5

    @property
    def final(self) -> bool:
        """Whether nothing more will happen to the turn by itself."""
        return self >= TurnState.COMPLETED


@dataclass(frozen=True, slots=True)
class Settings:
    """What is in force for a conversation. ``instructions`` are the system and developer messages,
    each as wire JSON; ``policy`` is the form of `ContextPolicy.to_dict`; ``version`` counts changes."""

    instructions: tuple[bytes, ...] = ()
    opening: str | None = None
    policy: Mapping[str, object] | None = None
    model: str | None = None
    memory: str | None = None
    version: int = 0


DECLARABLE = tuple(each.name for each in fields(Settings) if each.name != "version")
"""What of settings a caller can state: all but their version."""


@dataclass(frozen=True, slots=True)
class Declared:
    """Settings a caller states with a turn. ``None`` keeps what is stored; what differs applies from
    this turn on, as a new version."""

    instructions: tuple[bytes, ...] | None = None
    opening: str | None = None
    policy: Mapping[str, object] | None = None
    model: str | None = None
    memory: str | None = None
    metadata: Mapping[str, str] | None = None
    """What a conversation that is made now is noted with; for one that is there it says nothing."""
    expires_after: float | None = None
    """For how many seconds without use a conversation that is made now is kept; 0: for ever."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as lists show it. Times are seconds since 1970 (UTC)."""

    id: str
    ulid: str
    user: str
    created_at: float
    updated_at: float
    settings: Settings
    branch: int
    """The branch in use; 0 is the first."""
    turns: int
    """How many turns the branch in use has, shared ones included."""
    messages: int
    title: str
    """The beginning of the first user message."""
    held_until: float | None = None
    """Until when a running turn holds it, unless its holder gives a sign of life; ``None``: none runs."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What the application noted about it."""
    expires_after: float | None = None
    """For how many seconds without use it is kept; ``None``: for ever."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A path through the tree of turns: it shares the turns up to ``fork`` with ``parent``."""

    number: int
    parent: int | None
    fork: int
    """The last shared turn; 0 shares none."""
    turns: int
    """How many turns the whole path has."""
    in_use: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """One user input and everything until the final reply."""

    id: str
    number: int
    """Its place on the path, from 1."""
    branch: int
    state: TurnState
    created_at: float
    messages: int
    tokens: int
    """Uncalibrated count of its messages, reasoning apart."""
    traits: int = 0
    model: str | None = None
    key: str | None = None
    error: str | None = None
    """Code of the error that ended it."""
    reason: str | None = None
    """Why it was retracted."""
    usage: Usage | None = None
    cost: Cost | None = None
    open_calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that a search found: in which conversation and turn, and how well it fits (``score``,
    best 1; a search for exact words finds nothing in between)."""

    conversation: str
    message: Message
    turn: int
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What stands for the turns from the first to ``upto`` of a path. ``version`` counts the summaries of
    a conversation from 1, older ones are kept; ``tokens`` is the uncalibrated count of ``text``;
    ``model`` wrote it (``None`` where a person did)."""

    version: int
    upto: int
    text: str
    tokens: int
    model: str | None = None
    created_at: float = 0.0

    @property
    def edited(self) -> bool:
        """Whether a person wrote it."""
        return self.model is None


@dataclass(frozen=True, slots=True)
class Step:
    """One request to a provider inside a turn, as it is stored.

    ``ledger`` is the window's ledger as JSON (`Window.ledger`); ``usage`` what the call consumed.
    ``seconds`` is the time to the end of the reply.
    """

    model: str
    ledger: bytes
    usage: Usage | None = None
    cost: Cost | None = None
    finish_reason: str | None = None
    response_id: str | None = None
    error: str | None = None
    seconds: float | None = None
    number: int = 0
    turn: int = 0
    branch: int = 0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a turn or a message is: the parts of its id.

    >>> Address.parse("msg_01JCXV3Q8Z0000000000000000_0_3_1").turn
    3
    """

    ulid: str
    branch: int
    turn: int
    place: int | None = None

    @property
    def message_id(self) -> str:
        """The id of a message."""
        return f"msg_{self.ulid}_{self.branch}_{self.turn}_{self.place}"

    @property
    def turn_id(self) -> str:
        """The id of a turn."""
        return f"turn_{self.ulid}_{self.branch}_{self.turn}"

    @property
    def response_id(self) -> str:
        """The id of a step's response; ``place`` is the step's number."""
        return f"resp_{self.ulid}_{self.branch}_{self.turn}_{self.place}"

    @classmethod
    def parse(cls, text: str) -> Address | None:
        """The address in a turn, message or response id, or ``None`` for any other text."""
        found = ID.fullmatch(text)
        if not found or (found["kind"] == "turn") != (found["place"] is None):
            return None
        place = None if found["place"] is None else int(found["place"])
        return cls(found["ulid"], int(found["branch"]), int(found["turn"]), place)


def new_ulid(at: float | None = None) -> str:
    """26 characters: 48 bits of milliseconds, 80 random bits, so ids sort by creation time.

    >>> new_ulid(0.0) < new_ulid(1.0)
    True
    """
    millis = int((time.time() if at is None else at) * 1000)
    number = (millis << 80) | secrets.randbits(80)
    return "".join(CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))
