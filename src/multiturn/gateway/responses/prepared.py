"""What is there to do for a request for a response? Its place, its words, who is asked and with what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...asking import Asking, input_of
from ...client import AsyncMultiTurn
from ...conversations import new_ulid
from ...terms import Input
from ..completions.routed import may_answer
from ..items.items import Item
from ..items.references import resolved
from ..items.stored import Items, unshared
from .compactions import MARK
from .request import Wanted
from .spot import Spot, held, settled, spot_of
from .words import Words, words_of

__all__ = ["Prepared", "prepared"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """``model`` is what is asked, a model by its whole name or a route, and ``first`` the model of that which
    is asked before others; ``dropped`` are the names of what has no effect."""

    spot: Spot
    words: Words
    model: str
    first: str
    given: Input
    dropped: tuple[str, ...] = ()

    @property
    def told(self) -> dict[str, str]:
        """What stands beside the answer of it."""
        return {"x-multiturn-dropped": ", ".join(self.dropped)} if self.dropped else {}


async def prepared(client: AsyncMultiTurn, wanted: Wanted, key: str) -> Prepared:
    """Everything a response needs before it begins. Raises `Refusal`, `ModelUnknown` and `InputInvalid`."""
    spot = await spot_of(client, wanted, key)
    there = None if spot.make else spot.conversation
    items = await resolved(client, wanted.items, "input", there, spot.owner)
    spot, open_calls = await settled(client, spot, items)
    items = await _distinct(client, spot, items, kept=wanted.stored)
    words = words_of(items, open_calls, await held(client, spot, items, open_calls))
    model = await _model(client, wanted, spot)
    models = may_answer(client.catalog, model)
    first = models[0][0].name
    asking: Asking = {"tools": wanted.tools, "params": wanted.params(models)}
    if wanted.chosen is not None:
        asking["tool_choice"] = wanted.chosen
    given = replace(
        input_of(asking), entries=words.entries, policy=wanted.step_policy, instructions=wanted.instructed
    )
    whole = model if model in client.catalog.routes else first
    return Prepared(spot, words, whole, first, given, wanted.dropped(models))


async def _distinct(client: AsyncMultiTurn, spot: Spot, items: Sequence[Item], *, kept: bool) -> list[Item]:
    """The items, each with an id that no other item has where they will be ``kept``, or without one that a
    client gave. A compaction always has one: it is what it is told by."""
    looked = kept and not spot.make
    there = Items(client.engine.store, spot.owner, spot.conversation) if looked else None
    return [
        {"id": f"{MARK}{new_ulid()}", **item} if item["type"] == "compaction" else item
        for item in await unshared(items, there)
    ]


async def _model(client: AsyncMultiTurn, wanted: Wanted, spot: Spot) -> str:
    """The model that is named, else the conversation's, else the client's."""
    if (named := wanted.get("model")) is not None:
        return str(named)
    if spot.make:
        return client.model
    one = await client.engine.store.conversation(spot.owner, spot.conversation)
    return one.settings.model or client.model
