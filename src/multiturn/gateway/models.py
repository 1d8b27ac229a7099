"""``/v1/models``: what can be asked here? The models whose key is set."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..catalog import Card
from ..errors import ConfigurationInvalid
from .answers import answered, listing
from .gateway import Gateway, gateway_of
from .refusal import Refusal

__all__ = ["ROUTES"]


async def listed(request: Request) -> Response:
    """All models of the catalogue whose provider can be called."""
    gateway = gateway_of(request)
    return listing([_model(card) for card in gateway.client.catalog.cards() if _callable(gateway, card)])


async def one(request: Request) -> Response:
    """One model, also one that is not in the catalogue."""
    gateway = gateway_of(request)
    card = gateway.client.catalog.card(request.path_params["model"])
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


def _model(card: Card) -> dict[str, object]:
    return {
        "id": card.name,
        "object": "model",
        "created": 0,
        "owned_by": card.provider,
        "context_window": card.window,
    }


ROUTES = [Route("/v1/models", listed), Route("/v1/models/{model:path}", one)]
