"""``/v1/conversations/…/turns``: what turns a conversation has, what was sent in a turn and why."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...chat import AsyncConversation
from ...errors import TurnNotFound
from ...ledger import Ledger
from ...storage import Exchange
from ..gateway import gateway_of
from ..http.answers import answered, listing
from .addressed import handle_of, number_of, turn_of, wanted_turn
from .asked import limit_of
from .written import cost_written, ledger_written, turn_written, used

__all__ = ["ROUTES", "step_context"]


async def turns(request: Request) -> Response:
    """The turns of a conversation in time order: the newest ones, or the newest ``before`` another one."""
    chat, limit, before = handle_of(request), limit_of(request), request.query_params.get("before")
    if not before:
        found = await chat.turns(limit=limit + 1)
        return listing([turn_written(each) for each in found[-limit:]], more=len(found) > limit)
    last = (await wanted_turn(request, chat, before)).number - 1
    first = max(0, last - limit)
    store = gateway_of(request).client_of(request.scope).engine.store
    branch = request.query_params.get("branch")
    number = None if branch is None else number_of(branch, "branch")
    page = await store.turns(*chat.at, after=first, limit=last - first, branch=number) if last else ()
    return listing([turn_written(each) for each in page], more=first > 0)


async def turn(request: Request) -> Response:
    """One turn."""
    return answered(turn_written(await turn_of(request, handle_of(request))))


async def context(request: Request) -> Response:
    """What was sent in a turn, in its last step or the one that is named, and why."""
    step = request.query_params.get("step")
    number = None if step is None else number_of(step, "step", least=1)
    found = await turn_of(request, handle_of(request))
    chat = handle_of(request, branch=found.branch)  # what came before it, and its summaries, are there
    ledger = await chat.ledger(found, number)
    told = ledger_written(
        ledger,
        await _before(chat, found.number),
        await chat.summaries(),
        gateway_of(request).language,
    )
    head = {"object": "conversation.turn.context", "conversation": chat.id, "turn": turn_written(found)}
    return answered(head | told | {"usage": used(found.usage), "cost": cost_written(found.cost)})


async def _before(chat: AsyncConversation, number: int) -> Ledger | None:
    try:
        return await chat.ledger(number - 1) if number > 1 else None
    except TurnNotFound:  # a turn that was imported, or one that failed before its window was built
        return None


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
    told = ledger_written(
        Ledger.from_json(step.ledger),
        ledgers[-1] if ledgers else None,
        await store.summaries(*place, at.branch),
        gateway_of(request).language,
    )
    head: dict[str, Any] = {"object": "response.context", "response": at.response_id}
    head["conversation"] = exchange.conversation
    head |= {"turn": at.turn, "step": step.number, "branch": at.branch, "model": step.model}
    return answered(head | told | {"usage": used(step.usage), "cost": cost_written(step.cost)})


ROUTES = [
    Route("/v1/conversations/{id}/turns", turns),
    Route("/v1/conversations/{id}/turns/{n}", turn),
    Route("/v1/conversations/{id}/turns/{n}/context", context),
]
