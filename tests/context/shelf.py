"""A list of messages on a store's shelf: turns and rows as a store would hand them over, with a summary,
pinned turns, quotations, and only the newest part of it read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from multiturn.catalog import Catalog
from multiturn.context import Passage, limits, quotation, reserve
from multiturn.conversations import Summary
from multiturn.messages import Trait
from multiturn.path import Cut, MessageRow, Path, TurnRow, sealed
from multiturn.policy import ContextPolicy
from multiturn.sealing import seal, split_turns
from multiturn.window import Limits, Material, Quotation, Target

__all__ = ["Count", "Kept", "Shelf", "terms"]

Json = dict[str, Any]
Count = Callable[[Mapping[str, Any]], int]
INSTRUCTIONS = ("system", "developer")
COMPLETED = 3


def terms(policy: ContextPolicy, model: str) -> tuple[Limits, Target]:
    """What a step of this model works with."""
    card = Catalog().card(model)
    target = Catalog().target(card, {})
    free = reserve(policy, None, target.thinking, card.window)
    bounds = limits(policy, input_limit=card.input_limit(free), reserved=free, model=card.name)
    return bounds, target


@dataclass(frozen=True)
class Kept:
    """What a store keeps of a conversation beside its messages. ``upto`` turns are folded into ``text``;
    ``quoting`` are turns that something was recalled for, ``pinned`` those the user pinned; from turn
    ``read`` on the messages were read. ``stored``: the quotation of the new input was stored already."""

    upto: int = 0
    text: str = "They talked about phones."
    quoting: frozenset[int] = frozenset()
    pinned: frozenset[int] = frozenset()
    read: int = 1
    cut: int | None = None
    stored: bool = False


@dataclass
class Shelf:
    """A history on the shelf. ``turns`` are the places of the messages of each turn, the new one last."""

    history: list[Json]
    count: Count
    model: str
    blocks: dict[int, Quotation] = field(default_factory=dict)
    """What was recalled for each turn: it is frozen."""
    turns: list[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        entries = [seal(message, self.count) for message in self.history]
        roles = [message["role"] for message in self.history]
        self.entries = entries
        self.lead = next((at for at, role in enumerate(roles) if role not in INSTRUCTIONS), len(roles))
        begin = self.lead
        self.turns = []
        for group in split_turns(entries[self.lead :]):
            self.turns.append(list(range(begin, begin + len(group))))
            begin += len(group)

    @property
    def earlier(self) -> int:
        """How many turns stand before the new one."""
        return len(self.turns) - 1

    def unique(self, turn: int) -> bool:
        """Whether the messages of a turn can be told from all others by what they say."""
        said = [self.history[at].get("content") for at in self.turns[turn - 1]]
        return all(sum(words == message.get("content") for message in self.history) == 1 for words in said)

    def folded(self, kept: Kept) -> frozenset[int]:
        """Places of the messages that the summary stands for."""
        return frozenset(at for turn in self.turns[: kept.upto] for at in turn)

    def pinned(self, kept: Kept) -> frozenset[int]:
        """Places of the messages of pinned turns, instructions apart."""
        places = [at for turn in kept.pinned for at in self.turns[turn - 1]]
        return frozenset(at for at in places if self.history[at]["role"] not in INSTRUCTIONS)

    def quoting(self, turn: int) -> int | None:
        """The place of the message that a quotation of this turn stands in."""
        users = [at for at in self.turns[turn - 1] if self.history[at]["role"] == "user"]
        return users[0] if users else None

    def block(self, turn: int) -> Quotation:
        """What is recalled for a turn: something of the turns before it, with strange words in it."""
        if turn not in self.blocks:
            self.blocks[turn] = self._block(turn)
        return self.blocks[turn]

    def _block(self, turn: int) -> Quotation:
        said = [(n, at) for n in range(1, turn) for at in self.turns[n - 1]]
        passages = [self._passage(n, at, turn) for n, at in said[: 3 * turn : 3]]
        passages = passages or [Passage(1, 0, "user", "ada", 1e9, f"{turn} ~~~ elsewhere", 0.5, "other")]
        bounds = Limits(9_999, 9_999, 9_999, recall_tokens=400, recall_turns=3)
        made = quotation(passages, "so?", bounds, len)
        at = self.quoting(turn)
        assert at is not None
        plain = orjson.loads(self.entries[at].body)
        quoting = quoted(plain, made.text.decode())
        exact = tuple(s._replace(at=self.turns[s.turn - 1][0] - self.lead + s.place) for s in made.sources)
        sources = made.sources if any(s.conversation for s in made.sources) else exact
        return replace(made, tokens=self.count(quoting) - self.count(plain), sources=sources)

    def _passage(self, turn: int, at: int, by: int) -> Passage:
        content = self.history[at].get("content")
        words = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        return Passage(turn, at - self.turns[turn - 1][0], "user", None, None, f"{by} {words}", 0.5)

    def material(self, kept: Kept, bounds: Limits) -> Material:
        """What a window is built from."""
        rows = [self._rows(number, kept) for number in range(1, len(self.turns) + 1)]
        turns = [_figures(number, of, kept) for number, of in enumerate(rows, 1)]
        earlier = turns[:-1][kept.read - 1 :]
        unread = [row for of in rows[: kept.read - 1] for row in of]
        standing = [
            (at, row)
            for at, row in enumerate(unread)
            if row.traits & Trait.INSTRUCTION or (row.turn in kept.pinned and _sendable(rows[row.turn - 1]))
        ]
        read = [row for of in rows[kept.read - 1 : -1] for row in of]
        plain = not any(turn.traits for turn in earlier) and not standing
        new = self.quoting(len(turns)) if len(turns) in kept.quoting else None
        return Material(
            path=Path(
                turns=earlier[::-1],
                bodies=[row.body for row in read] if plain else (),
                rows=None if plain else read,
                standing=[row for _, row in standing],
                standing_at=[at for at, _ in standing],
                cut=None if kept.cut is None else Cut(kept.cut, bounds.key),
                earlier_turns=kept.read - 1,
                earlier_messages=len(unread),
                summary=self._summary(kept),
                summarised=len(self.folded(kept)),
            ),
            instructions=self.entries[: self.lead],
            current=rows[-1],
            recalled=self.block(len(turns)) if new is not None and not kept.stored else None,
        )

    def _summary(self, kept: Kept) -> Summary | None:
        if not kept.upto:
            return None
        tokens = self.count({"role": "user", "content": kept.text})
        return Summary(1, kept.upto, kept.text, tokens, "demo")

    def _rows(self, number: int, kept: Kept) -> list[MessageRow]:
        places = self.turns[number - 1]
        rows = sealed([self.entries[at] for at in places], number, self.model)
        quoting = number in kept.quoting and (number < len(self.turns) or kept.stored)
        at = self.quoting(number) if quoting else None
        if at is None:
            return rows
        block = self.block(number)
        place = at - places[0]
        tokens = rows[place].tokens + block.tokens
        rows[place] = rows[place]._replace(quote=block.text, tokens=tokens)
        return rows


def quoted(message: Json, block: str) -> Json:
    """The message with a quotation in front."""
    content = message.get("content")
    if isinstance(content, list):
        return {**message, "content": [{"type": "text", "text": block}, *content]}
    return {**message, "content": f"{block}\n\n{content}" if content else block}


def _sendable(rows: Sequence[MessageRow]) -> bool:
    return not any(row.role == "user" and row.traits & Trait.BARE for row in rows)


def _figures(number: int, rows: Sequence[MessageRow], kept: Kept) -> TurnRow:
    traits = 0 if [row.role for row in rows] == ["user", "assistant"] else Trait.IRREGULAR
    traits |= Trait.PINNED if number in kept.pinned else 0
    tokens = reasoning = 0
    for row in rows:
        traits |= row.traits | (Trait.QUOTED if row.quote else 0)
        tokens += row.tokens
        reasoning += row.reasoning_tokens
    return TurnRow(number, COMPLETED, traits, tokens, reasoning, len(rows))
