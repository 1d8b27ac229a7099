"""Does it cost less to go on with the request that the provider's cache still holds than to tell the folded
turns anew? Then the summary is asked for at the end of the conversation itself."""

from __future__ import annotations

from typing import Literal

from ..cards import Card
from ..context import NOTE_TOKENS
from ..errors import Error
from ..known import Known
from ..messages import Trait
from ..path import Path
from ..policy import ContextPolicy
from ..prompts import continued, language_of
from ..request import request_of
from ..sealing import seal
from ..step import Place, preview
from ..storage import Due
from ..terms import Engine, Input
from ..tokens import count_message
from ..usage import Cost, Usage
from ..wire import opened
from .summariser import Summariser, Writing

__all__ = ["cheaper_way", "continuation"]

INSTRUCTIONS = 250
"""About what the instructions cost that a request of its own begins with."""
AROUND = 8
"""Turns from which the language is told."""


def cheaper_way(
    card: Card, folded_tokens: int, prefix: Cost | None, reply_tokens: int
) -> Literal["warm", "anew"]:
    """Which request for a summary costs less with this model: one that goes on with the conversation, whose
    input costs ``prefix`` with what the cache holds of it, or one of its own with ``folded_tokens`` of input.
    Where a price is not known, the one of its own.

    >>> from decimal import Decimal
    >>> from multiturn import Catalog
    >>> cheaper_way(Catalog().card("qwen/qwen-plus"), 10_000, Cost(Decimal("0.002"), "USD"), 600)
    'warm'
    """
    if card.price is None or prefix is None or prefix.currency != card.price.currency:
        return "anew"
    anew = card.price.cost(Usage(folded_tokens, reply_tokens)).amount
    warm = prefix.amount + card.price.cost(Usage(0, reply_tokens)).amount
    return "warm" if warm < anew else "anew"


async def continuation(
    engine: Engine, due: Due, writer: Summariser, policy: ContextPolicy, path: Path, upto: int
) -> Writing | None:
    """The request that goes on with the conversation; ``None`` where one of its own is better: where it
    costs less, where the cache's rules are not known, or where not every turn up to ``upto`` is sent."""
    card = writer.card
    if card.cache is None or card.price is None or path.turns[-1].number > _first(path):
        return None
    given = await _given(engine, due, writer, policy, upto)
    place = Place(due.owner, due.conversation, branch=due.branch)
    try:
        window = await preview(engine, place, given, Known())
    except Error:  # such as a window that has no room for the request
        return None
    if window.waiting or window.summary != path.summary or window.traits & Trait.MEDIA:
        return None
    folded = sum(turn.tokens for turn in path.turns if _first(path) <= turn.number <= upto)
    anew = folded + (path.summary.tokens if path.summary else 0) + NOTE_TOKENS + INSTRUCTIONS
    if cheaper_way(card, anew, window.cost, writer.tokens) == "anew":
        return None
    conversation = await engine.store.conversation(due.owner, due.conversation)
    request = request_of(
        card,
        engine.catalog.profile(card.provider),
        window,
        conversation=conversation.ulid,
        params=writer.params,
        elsewhere=writer.elsewhere,
    )
    return Writing(writer, request, int(window.tokens / window.limits.scale), due.branch)


def _first(path: Path) -> int:
    """The first turn that no summary stands for."""
    return path.summary.upto + 1 if path.summary else 1


async def _given(engine: Engine, due: Due, writer: Summariser, policy: ContextPolicy, upto: int) -> Input:
    """The request as the input of a turn, without anything recalled for it."""
    told = await engine.store.history(
        due.owner, due.conversation, after=max(0, upto - AROUND), limit=AROUND, branch=due.branch
    )
    said = [(one.row.turn, opened(one.row.body).text) for one in told if one.row.role == "user"]
    language = language_of(" ".join(words for _, words in said))
    last = next((words for turn, words in reversed(said) if turn == upto), "")
    words = continued(language, upto, last, writer.length(language))
    entry = seal({"role": "user", "content": words}, count_message)
    return Input(entries=[entry], params=writer.params, policy=policy)
