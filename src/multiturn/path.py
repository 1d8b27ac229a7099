"""What is read of a branch for a window? Turns in figures, messages as they are stored; the record Path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from .conversations import Settings, Summary
from .messages import Entry
from .usage import ModelFacts

__all__ = ["Cut", "MessageRow", "Path", "Source", "TurnRow", "Withheld", "sealed"]


class TurnRow(NamedTuple):
    """A stored turn as a builder sees it: figures only. ``tokens`` counts its messages, reasoning
    apart; ``traits`` are `Trait` bits of the turn and of all its messages together."""

    number: int
    state: int
    traits: int
    tokens: int
    reasoning_tokens: int
    messages: int


class MessageRow(NamedTuple):
    """A stored message, still sealed: an `Entry` with its place. ``model`` is the one it came from;
    ``quote`` the block of recalled turns that goes in front of its words (UTF-8), whose tokens are part
    of ``tokens``."""

    turn: int
    place: int
    role: str
    traits: int
    tokens: int
    reasoning_tokens: int
    body: bytes
    reasoning: bytes | None
    model: str | None
    quote: bytes | None = None


class Cut(NamedTuple):
    """The first turn that is still sent, and the key of the policy and model it was made for: under
    another key it does not hold. ``scale`` is the calibration at that time, which holds until the next
    cut (0: unknown)."""

    turn: int
    key: str
    scale: float = 0.0


class Source(NamedTuple):
    """A message that is quoted: its place, how well it fits (0 to 1), and the conversation it comes from
    where that is another one. ``at`` is how many messages of the path stand before it, where that is
    known."""

    turn: int
    place: int
    score: float
    conversation: str | None = None
    at: int | None = None


class Withheld(NamedTuple):
    """A turn from before what was read that is never sent, or some messages of which are not: withdrawn,
    refused, failed, cut off, or left out by hand. ``at`` is how many messages of the path stand before it;
    ``rows`` are its messages without what they say, where one of them was left out by hand."""

    turn: TurnRow
    at: int
    rows: Sequence[MessageRow] = ()


class Path(NamedTuple):
    """What a store read of one branch: the newest turns, as far back as the limits could reach.

    ``turns`` are newest first and contiguous; ``rows`` are their messages in time order. Where every
    turn is ordinary (completed, of no trait but `Trait.QUOTED`) only the bodies may have been read: then
    ``rows`` is ``None``, ``bodies`` holds them, and ``quotes`` what is quoted in front of some of them, by
    their place there. ``standing`` are rows from before the oldest of ``turns`` that must be
    considered all the same: messages of pinned turns and instructions in the middle of the path.
    ``standing_at`` says how many messages of the path stand before each of them. ``current`` are the
    rows of the turn that is being answered. ``earlier_turns`` and ``earlier_messages`` count what lies
    before the oldest of ``turns``. ``summary`` is the one in force on this path and ``summarised`` how
    many messages it stands for, where that is known; ``request`` the fingerprint of the last request on
    this branch (`multiturn.caching`). ``facts`` is what use has taught of models, where that was asked for.
    ``withheld`` are turns from before the oldest of ``turns`` that are never sent, in time order: all from
    the turn ``told_from`` on. ``sources`` are what is quoted in front of ``current`` already.
    """

    settings: Settings = Settings()
    turns: Sequence[TurnRow] = ()
    bodies: Sequence[bytes] = ()
    rows: Sequence[MessageRow] | None = None
    standing: Sequence[MessageRow] = ()
    standing_at: Sequence[int] = ()
    current: Sequence[MessageRow] = ()
    cut: Cut | None = None
    earlier_turns: int = 0
    earlier_messages: int = 0
    branch: int = 0
    summary: Summary | None = None
    summarised: int | None = None
    request: bytes | None = None
    facts: Sequence[ModelFacts] | None = None
    withheld: Sequence[Withheld] = ()
    told_from: int = 1
    sources: Sequence[Source] = ()
    quotes: Sequence[tuple[int, bytes]] = ()


def sealed(rows: Sequence[Entry], turn: int, model: str | None = None) -> list[MessageRow]:
    """Entries that are not stored yet as the rows a builder reads; ``model`` is where those come from
    that name none."""
    return [
        MessageRow(
            turn,
            place,
            e.role,
            e.traits,
            e.tokens,
            e.reasoning_tokens,
            e.body,
            e.reasoning,
            _model(e) or model,
        )
        for place, e in enumerate(rows)
    ]


def _model(entry: Entry) -> str | None:
    facts = orjson.loads(entry.facts) if entry.facts else {}
    model: str | None = facts.get("model")
    return model
