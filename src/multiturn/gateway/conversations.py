"""``/v1/conversations``: which there are, what turns they have, what was sent in a turn and why."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..chat import AsyncConversation
from ..conversations import Conversation, Turn
from ..errors import ConversationNotFound, TurnNotFound
from ..ledger import Ledger
from ..phrases import decision_reason
from ..usage import Cost
from .answers import answered, listing
from .completions import usage_written
from .gateway import gateway_of
from .refusal import Refusal

__all__ = ["ROUTES"]

LONGEST_PAGE = 100
PAGE = 20


async def listed(request: Request) -> Response:
    """The conversations of a user, most recently used first."""
    query, limit = request.query_params, _limit(request)
    client = gateway_of(request).client_of(request.scope)
    found = await client.conversations(
        user=query.get("user"), limit=limit + 1, before=query.get("after") or None
    )
    return listing([_conversation(each) for each in found[:limit]], more=len(found) > limit)


async def turns(request: Request) -> Response:
    """The turns of a conversation in time order; with ``limit`` the newest ones."""
    limit = _limit(request)
    found = await _chat(request).turns(limit=limit + 1)
    more = len(found) > limit
    return listing([_turn(each) for each in found[-limit:]], more=more)


async def context(request: Request) -> Response:
    """What was sent in a turn, and why."""
    chat, number = _chat(request), _number(request)
    ledger = await chat.ledger(number)
    turn = await _turn_of(chat, number)
    before = await _before(chat, number)
    language = gateway_of(request).language
    summary = await chat.summary()
    return answered(
        {
            "object": "conversation.turn.context",
            "conversation": chat.id,
            "turn": _turn(turn),
            "tokens": ledger.tokens,
            "budget": ledger.budget,
            "ledger": _spans(ledger, language),
            "notes": list(ledger.notes),
            "cache": ledger.cache,
            "usage": usage_written(turn.usage) if turn.usage else None,
            "cost": _cost(turn.cost),
            "summary": None
            if summary is None
            else {
                "version": summary.version,
                "upto": summary.upto,
                "text": summary.text,
                "tokens": summary.tokens,
            },
            "recalled": [each for each in _spans(ledger, language) if each["code"] == "recalled"],
            "changes": []
            if before is None
            else [{"code": each.code, "figures": dict(each.figures)} for each in ledger.diff(before)],
        }
    )


async def deleted(request: Request) -> Response:
    """Remove a conversation and everything that belongs to it."""
    chat = _chat(request)
    await chat.delete()
    return answered({"id": chat.id, "object": "conversation.deleted", "deleted": True})


async def one(request: Request) -> Response:
    """A conversation."""
    return answered(_conversation(await _chat(request).info()))


def _chat(request: Request) -> AsyncConversation:
    name = request.path_params["id"]
    if not name.strip():
        raise ConversationNotFound(conversation=name)
    return (
        gateway_of(request).client_of(request.scope).conversation(name, user=request.query_params.get("user"))
    )


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(PAGE))
    if not text.isdecimal() or not 1 <= int(text[:9]) <= LONGEST_PAGE:
        raise Refusal(400, "limit_range", param="limit", least=1, longest=LONGEST_PAGE)
    return int(text)


def _number(request: Request) -> int:
    text = request.path_params["n"]
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise TurnNotFound(wanted=text, conversation=request.path_params["id"])
    return int(text)


async def _turn_of(chat: AsyncConversation, number: int) -> Turn:
    found = [each for each in await chat.turns() if each.number == number]
    if not found:
        raise TurnNotFound(wanted=number, conversation=chat.id)
    return found[0]


async def _before(chat: AsyncConversation, number: int) -> Ledger | None:
    try:
        return await chat.ledger(number - 1) if number > 1 else None
    except TurnNotFound:  # a turn that was imported, or one that failed before its window was built
        return None


def _spans(ledger: Ledger, language: str) -> list[dict[str, Any]]:
    return [
        {
            "code": str(span.code),
            "sent": span.sent,
            "messages": span.messages,
            "tokens": span.tokens,
            "turns": None if span.turns is None else list(span.turns),
            "omitted": list(span.omitted),
            "figures": dict(span.figures),
            "reason": decision_reason(span.code, span.figures, language),
        }
        for span in ledger.spans
    ]


def _conversation(one: Conversation) -> dict[str, Any]:
    return {
        "id": one.id,
        "object": "conversation",
        "created_at": int(one.created_at),
        "updated_at": int(one.updated_at),
        "metadata": {},
        "model": one.settings.model,
        "turns": one.turns,
        "messages": one.messages,
        "title": one.title,
        "user": one.user,
    }


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "id": turn.id,
        "object": "conversation.turn",
        "number": turn.number,
        "branch": turn.branch,
        "state": turn.state.name.lower(),
        "created_at": int(turn.created_at),
        "messages": turn.messages,
        "tokens": turn.tokens,
        "model": turn.model,
        "error": turn.error,
        "usage": usage_written(turn.usage) if turn.usage else None,
        "cost": _cost(turn.cost),
        "open_calls": list(turn.open_calls),
    }


def _cost(cost: Cost | None) -> dict[str, Any] | None:
    return None if cost is None else {"amount": str(cost.amount), "currency": cost.currency}


ROUTES = [
    Route("/v1/conversations", listed),
    Route("/v1/conversations/{id}", one),
    Route("/v1/conversations/{id}", deleted, methods=["DELETE"]),
    Route("/v1/conversations/{id}/turns", turns),
    Route("/v1/conversations/{id}/turns/{n}/context", context),
]
