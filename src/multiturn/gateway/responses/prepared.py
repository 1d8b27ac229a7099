"""What is there to do for a request for a response? Its place, its words, who is asked and with what."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...asking import Asking, input_of
from ...client import AsyncMultiTurn
from ...terms import Input
from ..completions.routed import may_answer
from ..items.references import resolved
from .request import Wanted
from .turn import Spot, Words, held, settled, spot_of, words_of

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
    items = await resolved(client, wanted.items, "input", wanted.get("conversation"), spot.owner)
    spot, open_calls = await settled(client, spot, items)
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


async def _model(client: AsyncMultiTurn, wanted: Wanted, spot: Spot) -> str:
    """The model that is named, else the conversation's, else the client's."""
    if (named := wanted.get("model")) is not None:
        return str(named)
    if spot.make:
        return client.model
    one = await client.engine.store.conversation(spot.owner, spot.conversation)
    return one.settings.model or client.model
