"""``/v1/models``: what can be asked here? The operator's routes, and the models whose key is set."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..catalog import Card
from ..errors import ConfigurationInvalid
from ..route import Route as Named
from .gateway import Gateway, gateway_of
from .http.answers import answered, listing
from .http.names import named
from .http.refusal import Refusal

__all__ = ["ROUTES"]


async def listed(request: Request) -> Response:
    """All routes, and all models of the catalogue, whose provider can be called."""
    gateway = gateway_of(request)
    catalog = gateway.client.catalog
    routes = [_route(gateway, route) for route in catalog.routes.values() if _targets(gateway, route)]
    return listing([*routes, *(_model(card) for card in catalog.cards() if _callable(gateway, card))])


async def one(request: Request) -> Response:
    """One route, or one model, also one that is not in the catalogue."""
    gateway, name = gateway_of(request), named(request, "model")
    catalog = gateway.client.catalog
    if name in catalog.routes and _targets(gateway, catalog.routes[name]):
        return answered(_route(gateway, catalog.routes[name]))
    card = catalog.card(name)
    if not _callable(gateway, card):
        raise Refusal(404, "model_not_found", param="model")
    return answered(_model(card))


def _callable(gateway: Gateway, card: Card) -> bool:
    if card.status == "retired":
        return False
    try:
        gateway.client.endpoints.provider(card)
    except ConfigurationInvalid:
        return False
    return True


def _targets(gateway: Gateway, route: Named) -> list[Card]:
    """The models that can answer for a route."""
    cards = [gateway.client.catalog.card(target) for target in route.targets]
    return [card for card in cards if _callable(gateway, card)]


def _route(gateway: Gateway, route: Named) -> dict[str, object]:
    """A route as a model: what fits all of its targets fits it."""
    cards = _targets(gateway, route)
    return {
        "id": route.name,
        "object": "model",
        "created": 0,
        "owned_by": "route",
        "context_window": min(card.window for card in cards),
        "targets": [card.name for card in cards],
    }


def _model(card: Card) -> dict[str, object]:
    return {
        "id": card.name,
        "object": "model",
        "created": 0,
        "owned_by": card.provider,
        "context_window": card.window,
    }


ROUTES = [Route("/v1/models", listed), Route("/v1/models/{model:path}", one)]
