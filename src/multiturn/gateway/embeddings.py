"""``/v1/embeddings``: the vectors of texts, handed on from whoever makes them. Nothing is kept."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .access.foresight import embedding_foreseen
from .access.principal import check_user
from .conversations.addressed import known_fields, text_in
from .gateway import gateway_of
from .http.answers import answered
from .http.presence import staying
from .http.refusal import Refusal

__all__ = ["ROUTES"]

MOST = 2048
LARGEST_TOKEN = 1 << 31
LARGEST_SIZE = 1 << 16


async def embedded(request: Request) -> Response:
    """Embed texts."""
    fields = await known_fields(request, "model", "input", "encoding_format", "dimensions", "user")
    given, size = _inputs(fields.get("input")), fields.get("dimensions")
    form = text_in(fields, "encoding_format", "float")
    if form not in ("float", "base64"):
        raise Refusal(400, "invalid_value", param="encoding_format", known="float, base64")
    if size is not None and not (_whole(size) and 1 <= size <= LARGEST_SIZE):
        raise Refusal(400, "number_range", param="dimensions", least=1, longest=LARGEST_SIZE)
    check_user(request.scope, text_in(fields, "user", "") or None)
    gateway = gateway_of(request)
    client = gateway.client_of(request.scope)
    card = client.catalog.embedding(text_in(fields, "model"))
    await gateway.expect(lambda: embedding_foreseen(card, len(orjson.dumps(given))))
    async with staying(request.receive):
        rows, usage = await client.endpoints.embeddings(card).rows(given, size)
    consumed = gateway.consumed(client, card)
    if consumed is not None:
        consumed(usage)
    data = [
        {"object": "embedding", "index": place, "embedding": _packed(row) if form == "base64" else row}
        for place, row in enumerate(rows)
    ]
    spent = {"prompt_tokens": usage.input, "total_tokens": usage.input}
    return answered({"object": "list", "data": data, "model": card.name, "usage": spent})


def _inputs(value: object) -> list[Any]:
    """The texts, or tokens, one by one. Raises `Refusal`."""
    single = isinstance(value, str) or (isinstance(value, list) and _tokens(value))
    given = [value] if single else value
    if not isinstance(given, list) or not 1 <= len(given) <= MOST:
        raise Refusal(400, "embedding_input", param="input", limit=MOST)
    texts = all(isinstance(each, str) and each for each in given)
    if not texts and not all(isinstance(each, list) and _tokens(each) for each in given):
        raise Refusal(400, "embedding_input", param="input", limit=MOST)
    return given


def _tokens(value: Sequence[object]) -> bool:
    return bool(value) and all(_whole(each) and 0 <= each < LARGEST_TOKEN for each in value)  # type: ignore[operator]  # a number


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _packed(row: Sequence[float]) -> str:
    """Numbers as OpenAI's clients ask for them by default."""
    return base64.b64encode(struct.pack(f"<{len(row)}f", *row)).decode()


ROUTES = [Route("/v1/embeddings", embedded, methods=["POST"])]
