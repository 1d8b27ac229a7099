"""Which windows would have been sent? A stored conversation walked through under other terms, without
calling anyone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..context import build, check_input, due, enough
from ..conversations import Summary
from ..errors import ContextOverflow, MessageInvalid
from ..messages import Trait
from ..path import Cut, MessageRow, Path
from ..recall import question_of
from ..storage import Reach
from ..terms import Terms
from ..tokens import count_bodies
from ..window import Material, Quotation, Window
from .dialogue import Dialogue, Said, Spoken
from .folding import Fold, folded
from .recalling import Index

__all__ = ["Asked", "windows"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that would have been made in a turn: its window (``None``: refused, with the code of
    the error in ``refused``), and the uncalibrated tokens of the stored reply to it, ``thought`` of them
    of reasoning. ``fold`` is the summary that would have been written afterwards; ``quotes`` are the
    turns that the blocks of earlier turns quote."""

    said: Said
    window: Window | None
    reply: int = 0
    thought: int = 0
    refused: str | None = None
    fold: Fold | None = None
    quotes: Mapping[int, Sequence[int]] = field(default_factory=dict)


def windows(dialogue: Dialogue, terms: Terms) -> Iterator[Asked]:
    """Every request of a conversation, in time order, as these terms would have made it. A turn has one
    request for each message of the assistant that follows its user's."""
    walk = _Walk(terms, Index() if terms.limits.recall_tokens else None)
    for said in dialogue.turns:
        yield from walk.turn(unquoted(said))


@dataclass(slots=True)
class _Walk:
    """The state that a branch carries from turn to turn."""

    terms: Terms
    index: Index | None
    past: Spoken = field(default_factory=Spoken)
    cut: Cut | None = None
    summary: Summary | None = None
    quotes: dict[int, list[int]] = field(default_factory=dict)

    def turn(self, said: Said) -> Iterator[Asked]:
        """The requests of one turn; then it is part of the past."""
        told: Said | None = None
        asked: Asked | None = None
        for step, (current, reply) in enumerate(_steps(said.rows)):
            if asked is not None:
                yield asked
            rows = [*told.rows[: len(current)]] if told else current
            asked = self._asked(said, rows, reply, step)
            if told is None and asked.window is not None:
                told = _with_quote(said, asked.window.recalled)
        self.past.add(told or said)
        if self.index is not None:
            self.index.add(said)
        if asked is not None:
            yield self._folded(asked)

    def _asked(self, said: Said, current: Sequence[MessageRow], reply: MessageRow, step: int) -> Asked:
        try:
            check_input(current, self.terms.target)
            window = self._window(said, current, step)
        except (ContextOverflow, MessageInvalid) as error:
            return Asked(said, None, refused=error.code)
        self.cut = window.cut
        if window.recalled is not None:
            self.quotes[said.turn.number] = [source.turn for source in window.recalled.sources]
        whole = reply.tokens + reply.reasoning_tokens
        return Asked(said, window, whole, reply.reasoning_tokens, quotes=self.quotes)

    def _window(self, said: Said, current: Sequence[MessageRow], step: int) -> Window:
        terms, overhead = self.terms, self._overhead(said, step)
        reach = _reach(terms, current, overhead)
        while True:
            material = self._material(self.past.path(reach, self.cut, self.summary), current, overhead)
            chosen = enough(material, terms.limits, terms.target)
            if chosen is not None:
                break
            reach = reach.farther()
        if step == 0:
            quotation = self._recalled(said, current, chosen.kept.first, material.path)
            if quotation is not None:
                return build(material._replace(recalled=quotation), terms.limits, terms.target, count_bodies)
        return build(material, terms.limits, terms.target, count_bodies, chosen)

    def _overhead(self, said: Said, step: int) -> int:
        """Uncalibrated tokens of what frames the messages, with tools and material that were sent then
        and are not stored."""
        if not said.besides:
            return self.terms.overhead
        then = said.besides[min(step, len(said.besides) - 1)]
        return max(self.terms.overhead, round(then / self.terms.limits.scale))

    def _recalled(
        self, said: Said, current: Sequence[MessageRow], first: int, path: Path
    ) -> Quotation | None:
        """What would be quoted; nothing is looked for while everything is in the window."""
        if self.index is None or first <= 1:
            return None
        return self.index.quoted(question_of(current), said.at, first, path, self.terms.limits)

    def _material(self, path: Path, current: Sequence[MessageRow], overhead: int) -> Material:
        return Material(
            path=path,
            instructions=self.terms.instructions,
            opening=self.terms.opening,
            current=current,
            overhead=overhead,
        )

    def _folded(self, asked: Asked) -> Asked:
        """The last request of a turn, with the summary that is written after it. It is in force in the
        next turn: in truth it may come later."""
        if asked.window is None or not due(asked.window, asked.reply - asked.thought):
            return asked
        fold = folded(self.past, self.terms, self.cut, self.summary)
        if fold is None:
            return asked
        self.summary = fold[0]
        return replace(asked, fold=fold)


# ----------------------------------------------------------------------------------- one turn's rows


def _steps(rows: Sequence[MessageRow]) -> Iterator[tuple[Sequence[MessageRow], MessageRow]]:
    """The requests of a turn: what had been said when each was made, and the reply to it."""
    asked = False
    for place, row in enumerate(rows):
        asked = asked or row.role == "user"
        if row.role == "assistant" and asked:
            yield rows[:place], row


def unquoted(said: Said) -> Said:
    """The turn without what was recalled for it then."""
    if not said.turn.traits & Trait.QUOTED:
        return said
    rows = [_bare(row) if row.quote else row for row in said.rows]
    traits = said.turn.traits & ~Trait.QUOTED
    tokens = sum(row.tokens for row in rows)
    return replace(said, rows=rows, turn=said.turn._replace(traits=int(traits), tokens=tokens))


def _bare(row: MessageRow) -> MessageRow:
    return row._replace(quote=None, tokens=count_bodies([row.body]), traits=int(row.traits & ~Trait.QUOTED))


def _with_quote(said: Said, quotation: Quotation | None) -> Said:
    """The turn as it is stored: with what was recalled in front of its user's words."""
    place = next((at for at, row in enumerate(said.rows) if row.role == "user"), None)
    if quotation is None or not quotation.text or place is None:
        return said
    row = said.rows[place]
    quoting = row._replace(
        quote=quotation.text,
        tokens=row.tokens + quotation.tokens,
        traits=int(row.traits | Trait.QUOTED),
    )
    turn = said.turn._replace(
        traits=int(said.turn.traits | Trait.QUOTED), tokens=said.turn.tokens + quotation.tokens
    )
    return replace(said, turn=turn, rows=[*said.rows[:place], quoting, *said.rows[place + 1 :]])


# --------------------------------------------------------------------------------------------- reach


def _reach(terms: Terms, current: Sequence[MessageRow], overhead: int) -> Reach:
    limits = terms.limits
    head = overhead + sum(entry.tokens for entry in terms.instructions)
    own = sum(row.tokens for row in current)
    return Reach(
        tokens=max(0, int(limits.high / limits.scale) - head - own),
        turns=limits.max_turns,
        messages=None if limits.max_messages is None else max(0, limits.max_messages - len(current)),
        key=limits.key,
    )
