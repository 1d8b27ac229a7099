"""Which old turns should be quoted beside the new input? Search by words, quote what fits.

The search is the store's, the quotation is made by `context.recall`; this file asks both, and only where
something lies outside the window.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from .context.recall import Passage, quotation
from .conversations import Owner
from .embedding import RERANKED, Embedder, Scope
from .messages import Trait
from .ranking import margin
from .storage import Found, Store, Told
from .terms import query
from .tokens import count_text
from .window import Limits, MessageRow, Path, Quotation
from .wire import opened

__all__ = ["quoted"]

CANDIDATES = 24
"""Messages that are looked at: several of them may be of one turn, or stand in the window already."""


async def quoted(
    store: Store,
    owner: Owner,
    conversation: str,
    path: Path,
    current: Sequence[MessageRow],
    limits: Limits,
    *,
    first: int,
    memory: str | None,
    embedder: Embedder | None = None,
    notes: list[str] | None = None,
) -> Quotation | None:
    """What is quoted in front of the new input: of the turns before ``first``, which are not sent, and of
    the user's conversations that share the ``memory``. ``None`` where there is nothing to look through.

    An ``embedder`` ranks anew what the words found; where it cannot, ``notes`` gets the code of why."""
    question = words_of(current)
    nowhere = first <= 1 and memory is None
    if nowhere or not limits.recall_tokens or not question.strip():
        return None
    asked = query(question, now=time.time())
    found = await store.recall(
        owner,
        conversation,
        asked,
        branch=path.branch,
        before=first,
        memory=memory,
        limit=CANDIDATES if embedder is None else RERANKED,
    )
    least = margin(asked)
    if embedder is not None and found and found[0].score >= least:  # else nothing will be quoted
        scope = Scope(owner, conversation, path.branch, first)
        found = await embedder.rerank(found, question, scope, notes)
    fresh = list(_unsent(found[:CANDIDATES], conversation, path))
    passages = [passage_of(one.told, one.score, _other(one, conversation), one.at) for one in fresh]
    passages += [passage_of(*each) for each in await _beside(store, owner, conversation, path, fresh, least)]
    return quotation(passages, question, limits, count_text, least)


def words_of(current: Sequence[MessageRow]) -> str:
    """The words of the new input."""
    return "\n".join(opened(row.body).text for row in current if row.role == "user")


def passage_of(told: Told, score: float, conversation: str | None, at: int | None = None) -> Passage:
    """A stored message as something that could be quoted."""
    row = told.row
    message = opened(row.body, None, told.facts, created_at=told.created_at)
    return Passage(
        row.turn, row.place, row.role, message.name, message.created_at, message.text, score, conversation, at
    )


def _other(found: Found, conversation: str) -> str | None:
    return None if found.conversation == conversation else found.conversation


def _unsent(found: Sequence[Found], conversation: str, path: Path) -> Iterable[Found]:
    """What does not stand in the window already: in a pinned turn, or in the quotation of a turn that is
    sent again."""
    pinned = {row.turn for row in path.standing if not row.traits & Trait.INSTRUCTION}
    quotes = [row.quote.decode() for row in path.rows or () if row.quote]
    for one in found:
        words = opened(one.told.row.body).text.strip()
        here = one.conversation == conversation
        if not (here and one.told.row.turn in pinned) and not any(words in quote for quote in quotes):
            yield one


async def _beside(
    store: Store, owner: Owner, conversation: str, path: Path, found: Sequence[Found], least: float
) -> list[tuple[Told, float, str | None]]:
    """What stands beside the best finds in their turns: the answer to a question, the question of an
    answer."""
    known = {one.told.id for one in found}
    turns = {(one.conversation, one.told.row.turn) for one in found if one.score >= least}
    beside: list[tuple[Told, float, str | None]] = []
    for name, turn in sorted(turns):
        here = name == conversation
        branch = path.branch if here else None
        rows = await store.history(owner, name, after=turn - 1, limit=1, branch=branch)
        beside += [
            (told, 0.0, None if here else name)
            for told in rows
            if told.id not in known and told.row.turn == turn and _quotable(told)
        ]
    return beside


def _quotable(told: Told) -> bool:
    return told.row.role in ("user", "assistant") and not told.row.traits & Trait.EXCLUDED
