"""``…/turns/{n}/edit``, ``regenerate``, ``retry`` and ``cancel``: a turn is said or answered anew, or
stopped. The answers are chat completions, whole or streamed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ...asking import Asking
from ...chat import AsyncConversation
from ...conversations import Declared, Turn, TurnState
from ...errors import TurnClosed
from ...messages import Trait
from ...phrases import Reason
from ...reply import Delta, Draft
from ...stream import AsyncStream
from ..access.foresight import foreseen, unless_made
from ..audience import alone, asked_alike, is_detached, mark_of
from ..completions.beside import named_of, window_headers
from ..completions.completions import Completions
from ..completions.form import Pieces
from ..completions.stateless import check_choices, form_of
from ..gateway import client_of, gateway_of
from ..http.answers import answered
from ..http.headers import key_in
from ..http.presence import staying
from ..http.refusal import Refusal
from ..http.sse import send_events, send_whole
from .addressed import check_known, handle_of, turn_of, words_in
from .asked import Fields, fields_of
from .written import turn_written

__all__ = ["ROUTES"]

PAUSE = 0.1
"""Seconds between two looks at a turn that another process writes."""
PATIENCE = 10.0
"""Seconds in which a turn that was told to stop stops."""
ENDED = {
    TurnState.COMPLETED: "why.was_completed",
    TurnState.FAILED: "why.was_failed",
    TurnState.INCOMPLETE: "why.broke_off",
    TurnState.WAITING: "why.waits_for_results",
}
"""Why a turn cannot be stopped."""
NUMBER = (int, float)
KINDS: Mapping[str, tuple[type, ...]] = {
    "temperature": NUMBER,
    "top_p": NUMBER,
    "max_tokens": (int,),
    "max_completion_tokens": (int,),
    "stop": (str, list),
    "seed": (int,),
    "presence_penalty": NUMBER,
    "frequency_penalty": NUMBER,
    "logit_bias": (dict,),
    "logprobs": (bool,),
    "top_logprobs": (int,),
    "response_format": (dict,),
    "reasoning_effort": (str,),
    "parallel_tool_calls": (bool,),
    "tools": (list,),
    "tool_choice": (str, dict),
    "params": (dict,),
}
"""What a request may ask for, and what each value is."""
OWN = frozenset(("model", "stream", "stream_options"))
WORDS = frozenset(("text", "content"))


async def edited(request: Request) -> Response:
    """Say something else in an earlier turn: a new branch from there, which is then in use."""
    fields = await fields_of(request)
    check_known(fields, WORDS | OWN | KINDS.keys())
    words = words_in(fields)
    if words is None:
        raise Refusal(400, "not_text", param="text")
    chat, turn, asking = await _asked(request, fields)
    stream = chat.turn(
        [_said(words)], anew=turn, stream=_streamed(fields), retold=_retold(asking, fields), **asking
    )
    return await _answer(request, fields, chat, stream, asking)


async def regenerated(request: Request) -> Response:
    """Have an earlier turn answered anew, on a new branch."""
    fields = await fields_of(request)
    check_known(fields, OWN | KINDS.keys())
    chat, turn, asking = await _asked(request, fields)
    stream = chat.turn(anew=turn, stream=_streamed(fields), retold=_retold(asking, fields), **asking)
    return await _answer(request, fields, chat, stream, asking)


async def retried(request: Request) -> Response:
    """Ask again for the newest turn, which failed or was stopped."""
    fields = await fields_of(request)
    check_known(fields, OWN | KINDS.keys())
    chat, turn, asking = await _asked(request, fields)
    if (await chat.turns(limit=1))[-1].id != turn.id:
        raise TurnClosed(Reason("why.not_newest"))
    stream = chat.turn(stream=_streamed(fields), retold=_retold(asking, fields), **asking)
    return await _answer(request, fields, chat, stream, asking)


async def cancelled(request: Request) -> Response:
    """Stop a turn that is being answered, wherever that is; one that was stopped is given as it is. Raises
    `TurnClosed` for one that ended in another way."""
    check_known(await fields_of(request), frozenset())
    chat = handle_of(request)
    turn, clock = await turn_of(request, chat), asyncio.get_running_loop().time
    end = clock() + PATIENCE
    while turn.state in (TurnState.ACCEPTED, TurnState.STREAMING) and clock() < end:
        store = client_of(request).engine.store
        if not await store.cancel(*chat.at, turn.number, turn.branch):
            await store.settle(*chat.at)
        await asyncio.sleep(PAUSE)
        turn = await turn_of(request, chat)
    if turn.state in ENDED and not turn.traits & Trait.STOPPED:
        raise TurnClosed(Reason(ENDED[turn.state], turn=turn.number))
    return answered(turn_written(turn))


# ------------------------------------------------------------------------------------------- asking


async def _asked(request: Request, fields: Fields) -> tuple[AsyncConversation, Turn, Asking]:
    """The handle, the turn and what is asked for. Raises `Refusal`."""
    asking = _asking(fields)
    if (key := key_in(request.headers)) is not None:
        asking["key"] = key
    model = fields.get("model")
    if model is not None and not isinstance(model, str):
        raise Refusal(400, "not_text", param="model")
    if model is not None:
        gateway_of(request).client.catalog.card(model)
    chat = handle_of(request, Declared(model=model))
    return chat, await turn_of(request, chat), asking


def _asking(fields: Fields) -> Asking:
    if fields.get("stream") not in (None, True, False):
        raise Refusal(400, "not_a_switch", param="stream")
    if not isinstance(fields.get("stream_options"), dict | None):
        raise Refusal(400, "invalid_type", param="stream_options")
    given: Any = {}
    for name, kinds in KINDS.items():
        value = fields.get(name)
        if value is None:
            continue
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise Refusal(400, "invalid_type", param=name)
        given[name] = value
    check_choices(given.get("params", {}))
    asking: Asking = given
    return asking


def _streamed(fields: Fields) -> bool:
    return fields.get("stream") is True


def _retold(asking: Asking, fields: Fields) -> bytes | None:
    """What the request is known by where its answer may have to be told again as it came."""
    return asked_alike(fields) if "key" in asking else None


def _said(words: str | Sequence[Any]) -> dict[str, Any]:
    return {"role": "user", "content": words}


# ---------------------------------------------------------------------------------------- answering


async def _answer(
    request: Request, fields: Fields, chat: AsyncConversation, stream: AsyncStream, asking: Asking
) -> Response:
    gateway, detached, posted = gateway_of(request), is_detached(request.headers), orjson.dumps(fields)
    mark = mark_of(chat.at, asking.get("key"), request.url.path.encode(), posted)
    if gateway.audiences.get(mark) is None:
        own = {**(fields.get("params") or {}), **fields}
        client, model, sent = client_of(request), fields.get("model"), len(posted)
        foresee = partial(foreseen, client, model, own, sent, chat.id)
        await gateway.expect(partial(unless_made, client, chat.at, asking.get("key"), foresee))
    running = _Running(chat.id, stream, form_of(fields), alone(stream))
    if mark is not None or detached:
        audience = gateway.audiences.of(mark, stream, {}, detached=detached)
        running = _Running(chat.id, audience.stream, form_of(fields), audience.heard())
    return _Answer(running, gateway.language)


@dataclass
class _Running:
    """A turn on its way to the client, as ``deltas``."""

    conversation: str
    stream: AsyncStream
    form: Completions
    deltas: AsyncGenerator[Delta, None]
    draft: Draft = field(default_factory=Draft)

    def headers(self) -> dict[str, str]:
        """What is told beside the answer."""
        turn = self.stream.turn
        told = {"x-conversation-id": self.conversation, "x-multiturn-turn": str(turn.number)}
        return told | {"x-multiturn-turn-id": turn.id} | window_headers(self.stream.window)

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """The answer as events."""
        pieces = None
        async with aclosing(self.deltas):
            async for delta in self.deltas:
                pieces = pieces or self._pieces()
                if part := pieces.of(delta):
                    yield part
        yield (pieces or self._pieces()).end(self.stream.reply.usage)

    def _pieces(self) -> Pieces:
        return self.form.pieces(named_of(self.stream, self.stream.window.target.model))

    async def whole(self) -> bytes:
        """The answer in one piece."""
        async with aclosing(self.deltas):
            async for delta in self.deltas:
                self.draft.add(delta)
        reply = self.stream.reply
        return self.form.whole(named_of(self.stream, reply.model), self.draft, reply.usage)


class _Answer(Response):
    """The answer of a turn as the answer to a request."""

    def __init__(self, running: _Running, language: str) -> None:
        super().__init__()
        self._running, self._language = running, language

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        del scope
        running = self._running
        if running.form.streamed:
            parts = running.parts()
            await send_events(receive, send, parts, running.headers, self._language, running.form.failed)
            return
        async with staying(receive):
            body = await running.whole()
        await send_whole(send, body, running.headers())


TURN = "/v1/conversations/{id}/turns/{n}"
ROUTES = [
    Route(f"{TURN}/edit", edited, methods=["POST"]),
    Route(f"{TURN}/regenerate", regenerated, methods=["POST"]),
    Route(f"{TURN}/retry", retried, methods=["POST"]),
    Route(f"{TURN}/cancel", cancelled, methods=["POST"]),
]
