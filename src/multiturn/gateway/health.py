"""Is the gateway alive, can it answer, and what has it done?"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .gateway import gateway_of
from .http.answers import answered
from .meters import KIND

__all__ = ["ROUTES"]


async def alive(_: Request) -> Response:
    """The process answers."""
    return answered({"status": "ok"})


async def ready(request: Request) -> Response:
    """The store answers, and nobody has told the gateway to stop."""
    await gateway_of(request).client.conversations(everybody=True, limit=1)
    return answered({"status": "ok"})


async def meters(request: Request) -> Response:
    """The figures, for Prometheus."""
    return Response(gateway_of(request).meters.text(), media_type=KIND)


ROUTES = [Route("/healthz", alive), Route("/readyz", ready), Route("/metrics", meters)]
