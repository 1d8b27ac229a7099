"""``/v1/search`` and ``/v1/conversations/…/recall``: where was something said?"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..gateway import client_of
from ..http.answers import listing
from ..http.refusal import Refusal
from .addressed import number_of, there
from .asked import LONGEST_PAGE, limit_of
from .written import hit_written

__all__ = ["ROUTES"]

LONGEST_TEXT = 8000
"""Characters."""
FOUND = 10
"""How many messages are recalled where nobody says."""


async def searched(request: Request) -> Response:
    """Messages of a user's conversations that hold a text, newest first."""
    text, limit = _text(request), limit_of(request)
    client = client_of(request)
    hits = await client.search(text, user=request.query_params.get("user"), limit=limit)
    return listing([hit_written(each) for each in hits])


async def recalled(request: Request) -> Response:
    """Messages that fit a text best, of this conversation and of those that share its memory."""
    text, chat = _text(request), await there(request)
    wanted = number_of(request.query_params.get("k", str(FOUND)), "k", least=1, most=LONGEST_PAGE)
    hits = await chat.recall(text, wanted)
    return listing([hit_written(each) for each in hits])


def _text(request: Request) -> str:
    text = request.query_params.get("text", "")
    if not text.strip():
        raise Refusal(400, "search_text", param="text")
    if len(text) > LONGEST_TEXT:
        raise Refusal(400, "text_too_long", param="text", limit=LONGEST_TEXT)
    return text


ROUTES = [
    Route("/v1/search", searched),
    Route("/v1/conversations/{id}/recall", recalled),
]
