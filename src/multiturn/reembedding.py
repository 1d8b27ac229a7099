"""How does every message of a store get a vector of one model? In one go that may be interrupted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .embedding import Embedder
from .usage import Cost, Usage

__all__ = ["Plan", "plan", "reembed"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done: so many messages of about so many tokens, in so many conversations, and what that
    should cost (``None``: no price is known). ``dimension`` is that of the model now; ``others`` counts the
    vectors of other models and dimensions, which go when all is done."""

    dimension: int
    conversations: int
    messages: int
    tokens: int
    cost: Cost | None
    others: int


async def plan(embedder: Embedder) -> Plan:
    """Ask the model, and see what the store lacks. Raises a `ProviderError` or a `StoreError`."""
    dimension = await embedder.dimension()
    vectors, name = embedder.vectors, embedder.name
    messages, tokens = await vectors.remaining(name, dimension)
    kept = await vectors.models()
    price = embedder.embeddings.card.price
    return Plan(
        dimension=dimension,
        conversations=len(await vectors.lagging(name, dimension, begun=False, limit=-1)),
        messages=messages,
        tokens=tokens,
        cost=price.cost(Usage(tokens, estimated=True)) if price else None,
        others=sum(each.vectors for each in kept if each[:2] != (name, dimension)),
    )


async def reembed(embedder: Embedder, planned: Plan, told: Callable[[int], None]) -> int:
    """Do it: how many vectors were kept. ``told`` hears of messages as they are passed. Whatever ends it
    early, what was done stays, and the next run goes on from there; the old vectors go last."""
    vectors, dimension = embedder.vectors, planned.dimension
    await vectors.keep(embedder.name, dimension, ())
    made = 0
    for place in await vectors.lagging(embedder.name, dimension, begun=False, limit=-1):
        while (advance := await embedder.advance(*place, dimension=dimension)).passed:
            made += advance.embedded
            told(advance.passed)
    await vectors.forget_others(embedder.name, dimension)
    return made
