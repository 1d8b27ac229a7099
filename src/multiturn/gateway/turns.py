"""``/v1/conversations/…/turns``: what turns a conversation has, what was sent in a turn and why."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..chat import AsyncConversation
from ..conversations import Summary, Turn
from ..errors import TurnNotFound
from ..ledger import Ledger
from ..phrases import decision_reason
from ..storage import Exchange
from ..usage import Cost
from .answers import answered, listing
from .asked import chat_of, limit_of
from .completions import usage_written
from .gateway import gateway_of

__all__ = ["ROUTES", "step_context"]


async def turns(request: Request) -> Response:
    """The turns of a conversation in time order; with ``limit`` the newest ones."""
    limit = limit_of(request)
    found = await chat_of(request).turns(limit=limit + 1)
    more = len(found) > limit
    return listing([_turn(each) for each in found[-limit:]], more=more)


async def context(request: Request) -> Response:
    """What was sent in a turn, and why."""
    chat, number = chat_of(request), _number(request)
    ledger = await chat.ledger(number)
    turn = await _turn_of(chat, number)
    before = await _before(chat, number)
    told = _told(ledger, before, await chat.summary(), gateway_of(request).language)
    head = {"object": "conversation.turn.context", "conversation": chat.id, "turn": _turn(turn)}
    usage = usage_written(turn.usage) if turn.usage else None
    return answered(head | told | {"usage": usage, "cost": _cost(turn.cost)})


async def step_context(request: Request, exchange: Exchange) -> Response:
    """What was sent for a response, and why; compared with the request before it on its path."""
    client, step, at = gateway_of(request).client_of(request.scope), exchange.step, exchange.address
    if step is None or not step.ledger:
        raise TurnNotFound(wanted=at.turn, conversation=exchange.conversation)
    store, place = client.engine.store, (client.reach, exchange.conversation)
    before = [each for each in await store.steps(*place, at.turn, at.branch) if each.number < step.number]
    if not before and at.turn > 1:
        before = list(await store.steps(*place, at.turn - 1, at.branch))
    ledgers = [Ledger.from_json(each.ledger) for each in before if each.ledger]
    summaries = await store.summaries(*place, at.branch)
    told = _told(
        Ledger.from_json(step.ledger),
        ledgers[-1] if ledgers else None,
        summaries[0] if summaries else None,
        gateway_of(request).language,
    )
    head: dict[str, Any] = {"object": "response.context", "response": at.response_id}
    head["conversation"] = exchange.conversation
    head |= {"turn": at.turn, "step": step.number, "branch": at.branch, "model": step.model}
    usage = usage_written(step.usage) if step.usage else None
    return answered(head | told | {"usage": usage, "cost": _cost(step.cost)})


def _told(ledger: Ledger, before: Ledger | None, summary: Summary | None, language: str) -> dict[str, Any]:
    spans = _spans(ledger, language)
    return {
        "tokens": ledger.tokens,
        "budget": ledger.budget,
        "ledger": spans,
        "notes": list(ledger.notes),
        "cache": ledger.cache,
        "route": ledger.route,
        "tried": [{"model": model, "code": code} for model, code in ledger.tried],
        "summary": None
        if summary is None
        else {
            "version": summary.version,
            "upto": summary.upto,
            "text": summary.text,
            "tokens": summary.tokens,
        },
        "recalled": [each for each in spans if each["code"] == "recalled"],
        "changes": []
        if before is None
        else [{"code": each.code, "figures": dict(each.figures)} for each in ledger.diff(before)],
    }


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
    Route("/v1/conversations/{id}/turns", turns),
    Route("/v1/conversations/{id}/turns/{n}/context", context),
]
