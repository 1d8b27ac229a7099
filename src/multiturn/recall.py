"""Which old turns should be quoted beside the new input? Search by words, quote what fits.

The search is the store's, the quotation is made by `context.recall`; this file asks both, and only where
something lies outside the window.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from .context import Passage, is_quoted, left_out_as, quotation, quoted_words
from .embedding import RERANKED, Embedder
from .errors import ConversationNotFound
from .messages import Trait
from .path import MessageRow, Path, Source
from .search.ranking import margin
from .search.terms import Query, query
from .storage import Found, Scope, Store, Told
from .tokens import count_text
from .window import Limits, Quotation
from .wire import opened

__all__ = ["AROUND", "CANDIDATES", "Present", "better", "question_of", "quoted"]

K = TypeVar("K")
CANDIDATES = 24
"""Messages that are looked at: several of them may be of one turn, or stand in the window already."""
AROUND = 96
"""… where the window is searched as well."""
NEARLY = 0.4
"""Where the window holds the best answer, others are quoted only when they fit at least so well beside it."""


async def quoted(
    store: Store,
    scope: Scope,
    path: Path,
    current: Sequence[MessageRow],
    limits: Limits,
    embedder: Embedder | None = None,
    notes: list[str] | None = None,
) -> Quotation | None:
    """What is quoted in front of the new input: of what lies in ``scope``, which ends before the first turn
    that is sent. ``None`` where there is nothing to look through.

    An ``embedder`` ranks anew what the words found; where it cannot, ``notes`` gets the code of why."""
    question, first = question_of(current), scope.before or 1
    nowhere = first <= 1 and scope.memory is None
    if nowhere or not limits.recall_tokens or not question.strip():
        return None
    search, conversation = _Search(store, scope, question, embedder), scope.conversation
    present = Present.of(path, first)
    found, fresh = await search.finds(present, notes)
    held = [
        _source(one) for one in found if one.score >= search.least and present.quotes_it(one, conversation)
    ]
    if any(one.score >= search.least for one in fresh):
        fresh = await search.not_outdone(fresh, present)
    made = quotation(await search.passages(fresh, present), question, limits, count_text, search.least)
    return replace(made, held=tuple(held), first=first) if held else made


@dataclass(slots=True)
class _Search:
    """What is asked, and where."""

    store: Store
    scope: Scope
    question: str
    embedder: Embedder | None
    asked: Query = field(init=False)
    least: float = field(init=False)
    """How well a message must fit to be quoted."""

    def __post_init__(self) -> None:
        self.asked = query(self.question, now=time.time())
        self.least = margin(self.asked)

    async def finds(
        self, present: Present, notes: list[str] | None
    ) -> tuple[Sequence[Found], Sequence[Found]]:
        """The best finds, and those of them that do not stand in the window already. Where none is good
        enough to be quoted, the very best alone will do, if it is of this conversation and not sent."""
        scope, here = self.scope, self.scope.conversation
        found = await self.best(scope, CANDIDATES, notes, few=True)
        fresh = list(_unsent(found, here, present))
        if found and found[0].score < self.least and not any(one.conversation == here for one in fresh):
            found = await self.best(scope, CANDIDATES, notes)
            fresh = list(_unsent(found, here, present))
        return found, fresh

    async def best(
        self, scope: Scope, limit: int, notes: list[str] | None = None, *, few: bool = False
    ) -> Sequence[Found]:
        """The best finds; where none is good enough to be quoted, of ``few`` the very best alone."""
        embedder = self.embedder
        found = await self.store.recall(
            scope.owner,
            scope.conversation,
            self.asked,
            branch=scope.branch,
            before=scope.before,
            memory=scope.memory,
            limit=limit if embedder is None else RERANKED,
            least=self.least if few else 0.0,
        )
        if embedder is not None and found and found[0].score >= self.least:  # else nothing will be quoted
            found = await embedder.rerank(found, self.question, scope, notes)
        return found[:limit]

    async def not_outdone(self, fresh: Sequence[Found], present: Present) -> list[Found]:
        """Those of the finds that the window does not outdo: it is searched as well."""
        around = await self.best(self.scope._replace(before=None), AROUND)
        unsent = {one.told.id for one in _unsent(around, self.scope.conversation, present, self.scope.before)}
        sent = {one.told.id for one in around} - unsent
        good = better([(one.told.id, one.score) for one in around], sent)
        return [one for one in fresh if good is None or one.told.id in good]

    async def passages(self, fresh: Sequence[Found], present: Present) -> list[Passage]:
        """What could be quoted: of the finds, and of what stands beside the best of them."""
        here = self.scope.conversation
        telling = _telling(fresh, here, self.least)
        found = [passage_of(one.told, one.score, _other(one, here), one.at) for one in telling]
        beside = [passage_of(*each) for each in await self._beside(fresh)]
        return found + [each for each in beside if not present.holds(None, each.text)]

    async def _beside(self, found: Sequence[Found]) -> list[tuple[Told, float, str | None]]:
        """What stands beside the best finds in their turns: the answer to a question, the question of an
        answer."""
        known = {one.told.id for one in found}
        turns = {(one.conversation, one.told.row.turn) for one in found if one.score >= self.least}
        beside: list[tuple[Told, float, str | None]] = []
        for name, turn in sorted(turns):
            here = name == self.scope.conversation
            branch = self.scope.branch if here else None
            rows: Sequence[Told] = ()
            with suppress(ConversationNotFound):  # another one may be deleted at any time
                rows = await self.store.history(
                    self.scope.owner, name, after=turn - 1, limit=1, branch=branch
                )
            beside += [
                (told, 0.0, None if here else name)
                for told in rows
                if told.id not in known and told.row.turn == turn and _quotable(told)
            ]
        return beside


def question_of(current: Sequence[MessageRow]) -> str:
    """The words of the new input."""
    return "\n".join(opened(row.body).text for row in current if row.role == "user")


def passage_of(told: Told, score: float, conversation: str | None, at: int | None = None) -> Passage:
    """A stored message as something that could be quoted."""
    row = told.row
    message = opened(row.body, None, told.facts, created_at=told.created_at)
    return Passage(
        row.turn, row.place, row.role, message.name, message.created_at, message.text, score, conversation, at
    )


def _telling(found: Sequence[Found], conversation: str, least: float) -> Sequence[Found]:
    """What of the finds is looked at: those of turns of which one is good enough; where none is, the best of
    this conversation."""
    good = {(one.conversation, one.told.row.turn) for one in found if one.score >= least}
    if good:
        return [one for one in found if (one.conversation, one.told.row.turn) in good]
    own = [one for one in found if one.conversation == conversation]
    best = max((one.score for one in own), default=0.0)
    return [one for one in own if one.score == best]


def _source(found: Found) -> Source:
    return Source(found.told.row.turn, found.told.row.place, found.score, at=found.at)


def _other(found: Found, conversation: str) -> str | None:
    return None if found.conversation == conversation else found.conversation


class Present(NamedTuple):
    """What the window holds of the turns that a search may find: ``turns`` that are sent for their pins,
    and the ``quotes`` of those that are sent again."""

    turns: Container[int]
    quotes: Sequence[str]
    said: str = ""
    """All the quotes together."""

    @classmethod
    def of(cls, path: Path, first: int) -> Present:
        """Of the window that begins with the turn ``first``."""
        pinned = {row.turn for row in path.standing if not row.traits & Trait.INSTRUCTION}
        gone: set[int] = set()
        if path.rows is not None:  # else every turn is ordinary
            pinned |= {turn.number for turn in path.turns if turn.traits & Trait.PINNED}
            gone = {turn.number for turn in path.turns if left_out_as(turn)}
        early = range(path.turns[-1].number if path.turns else first, first)
        quotes = [(row.turn, row.quote) for row in (*path.standing, *(path.rows or ())) if row.quote]
        quotes += [(path.earlier_turns + 1 + place // 2, quote) for place, quote in path.quotes]
        told = [
            quote.decode()
            for turn, quote in quotes
            if turn not in gone and (turn in pinned or turn not in early)
        ]
        return cls(pinned, told, "\n".join(told))

    def holds(self, turn: int | None, words: str) -> bool:
        """Whether these ``words`` stand in it, of this turn (``None``: one of another conversation)."""
        if turn in self.turns:
            return True
        if quoted_words(words) not in self.said:
            return False
        return any(is_quoted(words, quote) for quote in self.quotes)

    def quotes_it(self, found: Found, conversation: str) -> bool:
        """Whether this message of the conversation is not sent itself, but quoted by a turn that is."""
        if not self.quotes or found.conversation != conversation or found.told.row.turn in self.turns:
            return False
        return self.holds(None, opened(found.told.row.body).text)


def better(around: Sequence[tuple[K, float]], sent: Container[K]) -> set[K] | None:
    """What may be quoted beside a window that holds ``sent``: messages with their scores, best first, of the
    window and what lies outside. Where the best stands in the window, those that are nearly as good; the
    rest only stand near it. Else all (``None``)."""
    if not around or around[0][0] not in sent:
        return None
    return {key for key, score in around if score >= NEARLY * around[0][1]}


def _unsent(
    found: Sequence[Found], conversation: str, present: Present, first: int | None = None
) -> Iterable[Found]:
    """What does not stand in the window already, which begins with the turn ``first``."""
    for one in found:
        turn = one.told.row.turn if one.conversation == conversation else None
        if turn is not None and first is not None and turn >= first:
            continue
        words = opened(one.told.row.body).text if present.quotes else ""
        if not present.holds(turn, words):
            yield one


def _quotable(told: Told) -> bool:
    return told.row.role in ("user", "assistant") and not told.row.traits & Trait.EXCLUDED
