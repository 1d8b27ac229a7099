"""Who answers where several can? The next target of a route is asked while nothing was sent to the client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from ...catalog import Card, Catalog, Profile
from ...client import AsyncMultiTurn
from ...errors import ProviderError
from ...routing import Attempts
from ..http.sse import Beside

__all__ = ["attempts_of", "may_answer", "one_after_another", "routed_headers"]

Ask = Callable[[Card, str, Beside], Awaitable[None]]
"""Asks a model with the key of a label, and sends its answer. It raises only where nothing was sent; what
stands beside the answer is asked for when that begins."""


def attempts_of(client: AsyncMultiTurn, model: str, card: Card, fields: Mapping[str, Any]) -> Attempts | None:
    """Who is asked for a chat completion that nobody remembers; ``None`` where there is no choice. The
    requests of one dialogue begin alike, so they go to the same key."""
    endpoints = client.endpoints
    if not client.catalog.routes and len(endpoints.labels(card.provider)) < 2:
        return None
    return endpoints.routing.attempts(model, seed=f"{client.tenant}\0{_beginning(fields.get('messages'))}")


def may_answer(catalog: Catalog, model: str) -> list[tuple[Card, Profile]]:
    """The models that may answer, with their providers: those of a route, or the one."""
    route = catalog.routes.get(model)
    cards = [catalog.card(each) for each in (route.targets if route else (model,))]
    return [(card, catalog.profile(card.provider)) for card in cards]


def _beginning(messages: object) -> str:
    """The messages up to the first of the user."""
    head: list[object] = []
    for message in messages if isinstance(messages, list) else ():
        head.append(message)
        if isinstance(message, dict) and message.get("role") == "user":
            break
    return orjson.dumps(head).decode()


async def one_after_another(attempts: Attempts, ask: Ask, beside: Beside = dict) -> None:
    """Ask until somebody answers; what the last one complains of is raised."""

    def begun() -> Mapping[str, str]:
        attempts.answered()
        return {**beside(), **routed_headers(attempts.route, attempts.current.card.name)}

    attempts.enter()
    while True:
        try:
            await ask(*attempts.current, begun)
        except ProviderError as error:
            if not attempts.failed(error):
                raise
        except BaseException:
            attempts.leave()
            raise
        else:
            return


def routed_headers(route: str | None, model: str) -> dict[str, str]:
    """What a client is told of its route: its name, and the model that answers; nothing without one."""
    return {} if route is None else {"x-multiturn-route": route, "x-multiturn-model": model}
