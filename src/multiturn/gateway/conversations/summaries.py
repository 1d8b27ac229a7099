"""``/v1/conversations/…/summary``: what stands for the oldest turns? It is read, put right, and undone."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...chat import AsyncConversation
from ..http.answers import answered
from .addressed import handle_of, known_fields, text_in, there
from .written import summary_written

__all__ = ["ROUTES"]


async def one(request: Request) -> Response:
    """The summary in force, and those it replaced, newest first."""
    return await _told(handle_of(request))


async def edited(request: Request) -> Response:
    """Words of a person's own in its place."""
    fields, chat = await known_fields(request, "text"), await there(request)
    await chat.edit_summary(text_in(fields, "text"))
    return await _told(chat)


async def undone(request: Request) -> Response:
    """The summary again that this one replaced, or none."""
    chat = handle_of(request)
    await chat.undo_summary()
    return await _told(chat)


async def _told(chat: AsyncConversation) -> Response:
    versions = [summary_written(each) for each in await chat.summaries()]
    return answered(
        {
            "object": "conversation.summary",
            "conversation": chat.id,
            "summary": versions[0] if versions else None,
            "replaced": versions[1:],
            "error": await chat.summary_error(),
        }
    )


SUMMARY = "/v1/conversations/{id}/summary"
ROUTES = [
    Route(SUMMARY, one),
    Route(SUMMARY, edited, methods=["PUT"]),
    Route(SUMMARY, undone, methods=["DELETE"]),
]
