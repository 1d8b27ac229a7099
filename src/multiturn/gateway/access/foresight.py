"""What may an answer take, before anybody knows? What the conversation was sent last, what was posted, and
the longest answer that was asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ...caching import opened
from ...cards import Card, EmbeddingCard, Profile
from ...client import AsyncMultiTurn
from ...context import reserve
from ...conversations import Address, Owner
from ...errors import ConversationError
from ...path import Path
from ...policy import ContextPolicy
from ...storage import Reach
from ...usage import Price, Spending, Usage
from .consumption import BYTES

__all__ = ["embedding_foreseen", "foreseen", "unless_made"]

LONGEST = ("max_completion_tokens", "max_tokens", "max_output_tokens")
"""How the longest answer is called that a request allows."""
RESPONSE = "resp_"
Said = Callable[[Sequence[tuple[Card, Profile]]], Mapping[str, Any]]
MOST_CHOICES = 128


async def foreseen(
    client: AsyncMultiTurn,
    model: str | None,
    fields: Mapping[str, Any],
    sent: int,
    place: str | None = None,
    *,
    said: Said | None = None,
) -> Spending:
    """What an answer may take that is asked for with ``fields``, a body of ``sent`` bytes; ``place`` is the
    conversation in which it is asked for, or the response it follows. Without a ``model`` it is that of the
    conversation; of a route, the model counts that would be asked now. ``said`` puts fields that are in other
    words into those of models. Raises `ModelUnknown`."""
    path = None if place is None else await _path(client, place)
    card = client.endpoints.routing.first(model or (path and path.settings.model) or client.model)
    past = opened(path.request) if path else None
    before = past.tokens + past.reply if past else 0
    longest = next((fields[name] for name in LONGEST if _whole(fields.get(name))), None)
    if longest is None:
        asked = said([(card, client.catalog.profile(card.provider))]) if said else fields
        thinking = client.catalog.target(card, asked).thinking
        longest = reserve(ContextPolicy(), None, thinking, card.window)
    choices = min(fields["n"], MOST_CHOICES) if _whole(fields.get("n")) else 1
    made = min(longest, card.max_output or card.window) * choices
    return _spending(card.price, Usage(min(before + sent // BYTES, card.max_input), made, estimated=True))


async def unless_made(
    client: AsyncMultiTurn, at: tuple[Owner, str], key: str | None, foresee: Callable[[], Awaitable[Spending]]
) -> Spending | None:
    """What a turn may take; ``None`` where its request key made it before, so that it is told again."""
    if key is not None and await client.engine.store.was_made(*at, key):
        return None
    return await foresee()


async def embedding_foreseen(card: EmbeddingCard, sent: int) -> Spending:
    """What the vectors of ``sent`` bytes may take."""
    return _spending(card.price, Usage(sent // BYTES, estimated=True))


def _spending(price: Price | None, usage: Usage) -> Spending:
    return Spending("", usage, (price.cost(usage),) if price else (), 1)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


async def _path(client: AsyncMultiTurn, place: str) -> Path | None:
    """What is stored of a conversation but for its turns; ``None`` where there is none."""
    store, owner = client.engine.store, client.reach
    with suppress(ConversationError):  # whoever answers tells it
        at = Address.parse(place) if place.startswith(RESPONSE) else None
        name = place if at is None else await store.lookup(owner, at.ulid)
        return await store.gather(owner, name, Reach(turns=0))
    return None
