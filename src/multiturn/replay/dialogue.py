"""What was said in a stored conversation, and what was it billed? Read once, then grown turn by turn."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

import orjson

from ..context import left_out_as
from ..conversations import Conversation, Owner, Settings, Step, Summary, Turn, TurnState
from ..decision import Code
from ..ledger import Ledger
from ..messages import Trait
from ..path import Cut, MessageRow, Path, TurnRow
from ..storage import Reach, Store, Told
from ..usage import Cost, Usage

__all__ = ["Dialogue", "Said", "Spoken", "read", "spoken"]

COMPLETED = int(TurnState.COMPLETED)
EXCLUDED = Trait.EXCLUDED
NO_BOUND = 1 << 62


@dataclass(frozen=True, slots=True)
class Said:
    """One stored turn: its figures, its messages, when it began and (``times``) when each message was said,
    and what was billed for it (``None``: nothing is known, as for imported turns). ``model`` answered it.
    ``besides`` is what each of its requests held that is not stored: tool definitions, and material for
    that step only, in the tokens that the ledger counted."""

    turn: TurnRow
    rows: Sequence[MessageRow]
    at: float = 0.0
    model: str | None = None
    billed: Usage | None = None
    cost: Cost | None = None
    besides: Sequence[int] = ()
    times: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One stored conversation: its id, the settings in force, its turns in time order."""

    id: str
    settings: Settings = Settings()
    turns: Sequence[Said] = ()

    @property
    def model(self) -> str | None:
        """The model in force: the conversation's own, else the last one that answered."""
        answered = (said.model for said in reversed(self.turns))
        return self.settings.model or next(filter(None, answered), None)


async def read(store: Store, found: Conversation) -> Dialogue:
    """The path in use of a conversation, whole."""
    owner = Owner("", found.user)
    turns = await store.turns(owner, found.id)
    told = await store.history(owner, found.id)
    rows = {number: list(group) for number, group in groupby(told, key=lambda each: each.row.turn)}
    said = []
    for turn in turns:
        answered = turn.model is not None and turn.usage is not None
        steps = await store.steps(owner, found.id, turn.number) if answered else ()
        said.append(_said(turn, rows.get(turn.number, []), steps))
    return Dialogue(found.id, found.settings, said)


def _said(turn: Turn, told: Sequence[Told], steps: Sequence[Step]) -> Said:
    rows, times = [each.row for each in told], [_said_at(each) for each in told]
    return Said(
        turn=TurnRow(
            turn.number,
            int(turn.state),
            turn.traits,
            turn.tokens,
            sum(row.reasoning_tokens for row in rows),
            len(rows),
        ),
        rows=rows,
        at=times[0] if times else turn.created_at,
        model=turn.model,
        billed=turn.usage,
        cost=turn.cost,
        times=times,
        besides=[_besides(Ledger.from_json(s.ledger)) for s in steps if s.ledger and s.error is None],
    )


def _said_at(told: Told) -> float:
    """When a message was said: an imported one knows it, else its turn."""
    facts = orjson.loads(told.facts) if told.facts else {}
    return float(facts.get("created_at", told.created_at))


def _besides(ledger: Ledger) -> int:
    """Tokens of a window that belong to no stored message."""
    stored = [span for span in ledger.spans if span.sent and span.code not in (Code.CONTEXT, Code.RECALLED)]
    rest = ledger.tokens - sum(span.tokens or 0 for span in stored)
    return max(0, rest)


def spoken(turns: Iterable[Said]) -> Spoken:
    """The turns as a path that can be asked for any part of its past."""
    past = Spoken()
    for said in turns:
        past.add(said)
    return past


@dataclass(slots=True)
class Spoken:
    """The turns that have been spoken so far. `path` gives what a store would read of them: as many of
    the newest as the reach asks for, so a walk through a conversation costs what its windows hold."""

    turns: list[TurnRow] = field(default_factory=list)
    rows: list[MessageRow] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    """How many messages stand before each turn."""
    standing: list[tuple[int, MessageRow]] = field(default_factory=list)
    """Messages that are considered however old they are, each with its place among all."""

    def add(self, said: Said) -> None:
        """One turn more."""
        start = len(self.rows)
        self.starts.append(start)
        self.turns.append(said.turn)
        self.rows += said.rows
        self.bodies += [row.body for row in said.rows]
        self.standing += [(start + place, row) for place, row in enumerate(said.rows) if _stands(row, said)]

    def path(self, reach: Reach, cut: Cut | None, summary: Summary | None = None) -> Path:
        """What a store would read: nothing from before a cut that holds, nor what a summary covers."""
        first = self._first(reach, cut, summary.upto if summary else 0)
        start = self.starts[first] if first < len(self.starts) else len(self.rows)
        turns = self.turns[first:][::-1]
        ordinary = all(t.state == COMPLETED and not t.traits and not t.reasoning_tokens for t in turns)
        apart = self.standing[: bisect_left(self.standing, start, key=itemgetter(0))]
        return Path(
            turns=turns,
            bodies=self.bodies[start:] if ordinary else (),
            rows=None if ordinary else self.rows[start:],
            standing=[row for _, row in apart],
            standing_at=[place for place, _ in apart],
            cut=cut,
            earlier_turns=first,
            earlier_messages=start,
            summary=summary,
        )

    def _first(self, reach: Reach, cut: Cut | None, folded: int) -> int:
        """The index of the oldest turn that is read: the first that passes a bound, or the cut's."""
        held = cut.turn - 1 if cut is not None and cut.key == reach.key else 0
        least = max(held, folded)
        tokens = NO_BOUND if reach.tokens is None else reach.tokens
        messages = NO_BOUND if reach.messages is None else reach.messages
        count = NO_BOUND if reach.turns is None else reach.turns
        index = len(self.turns)
        while index > least and tokens >= 0 and messages >= 0 and count >= 0:
            index -= 1
            turn = self.turns[index]
            tokens -= turn.tokens + turn.reasoning_tokens
            messages -= turn.messages
            count -= 1
        return index


def _stands(row: MessageRow, said: Said) -> bool:
    """Whether a message is considered however old it is: an instruction, or part of a pinned turn that
    may be sent."""
    turn = said.turn
    if row.traits & Trait.INSTRUCTION:
        return True
    return bool(turn.traits & Trait.PINNED and not turn.traits & EXCLUDED) and left_out_as(turn) is None
