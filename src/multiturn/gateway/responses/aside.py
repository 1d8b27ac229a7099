"""A response that nobody keeps: it is answered from what is remembered, and its id is unknown afterwards."""

from __future__ import annotations

import time
from typing import Any

import orjson

from ...catalog import Card
from ...conversations import Address, new_ulid
from ...course import Course, Reader
from ...phrases import phrase
from ...reply import Delta, Draft
from ...usage import Usage
from ...window import Request, Window
from ...wire import written
from ..completions.form import Named
from ..completions.routed import one_after_another
from ..completions.stateless import answer_request
from ..gateway import Asker
from ..http.refusal import Said
from ..http.sse import Beside
from ..items.items import Item, derived_items
from .events import Events
from .prepared import Prepared, prepared
from .request import Wanted
from .response import CUT, Progress, incomplete, responded
from .window import check_room, window_for
from .words import check_new

__all__ = ["answer_aside"]


async def answer_aside(asker: Asker, wanted: Wanted) -> None:
    """Answer a request with ``store: false``."""
    gateway, client, *_ = asker
    ready = await prepared(client, wanted, new_ulid())
    check_new(ready.words)
    if wanted.strict:
        await check_room(client, ready.spot, ready.words, ready.given, ready.model)
    seed = f"{client.tenant}\0{ready.spot.conversation}"
    attempts = client.endpoints.routing.attempts(ready.model, seed=seed)

    async def ask(card: Card, key: str, beside: Beside) -> None:
        window = await window_for(client, ready.spot, ready.words, ready.given, card.name)
        form = Aside(wanted, ready, gateway.language, keep_reasoning=client.config.keep_reasoning)
        request = _request(ready, card, window, attempts.elsewhere, streamed=form.streamed)
        provider = client.endpoints.provider(card, key)
        await answer_request(asker, provider, card, request, form, beside)

    await one_after_another(attempts, ask, lambda: ready.told)


def _request(
    ready: Prepared, card: Card, window: Window, elsewhere: tuple[type[Exception], ...], *, streamed: bool
) -> Request:
    return Request(
        model=card.model,
        body=window.body,
        tools=ready.given.tools,
        tool_choice=ready.given.tool_choice,
        params=ready.given.params,
        stream=streamed or card.stream_only,
        traits=window.traits,
        elsewhere=elsewhere,
    )


class Aside:
    """Writes a response that is not kept. Its id is an address at which nothing is."""

    says_repeats = True

    def __init__(self, wanted: Wanted, ready: Prepared, language: str, *, keep_reasoning: bool) -> None:
        self.streamed = wanted.get("stream") is True
        self._asked = wanted.asked(ready.model, 0, ready.dropped)
        self._conversation = ready.spot.conversation
        self._language = language
        self._keep_reasoning = keep_reasoning
        self._at = Address(new_ulid(), 0, 1, 1)
        self._begun = time.time()
        self._draft, self._events = Draft(), Events(self._at.message_id)

    def pieces(self, named: Named) -> Aside:
        """What writes the events."""
        self._model = named.model
        self._course = Course(self._draft, keep_reasoning=self._keep_reasoning)
        self._reader = Reader.live(self._course)
        self._first = self._events.begin(self._response(Progress(model=self._model)))
        return self

    def of(self, delta: Delta) -> bytes:
        """One delta as whole events."""
        self._draft.add(delta)
        self._course.add(delta)
        first, self._first = self._first, b""
        return first + self._events.of(self._reader.pieces())

    def end(self, usage: Usage | None) -> bytes:
        """The last events."""
        self._course.close()
        status = "incomplete" if self._draft.finish_reason in CUT else "completed"
        told = self._first + self._events.of(self._reader.pieces())
        told += self._events.close(status, str(self._draft.extra.get("refusal") or ""))
        return told + self._events.end(self._ended(self._draft, usage))

    def whole(self, named: Named, draft: Draft, usage: Usage | None) -> bytes:
        """The whole response."""
        self._model = named.model
        return orjson.dumps(self._ended(draft, usage))

    def failed(self, said: Said) -> bytes:
        """The response of an answer that broke off."""
        words = phrase("gateway.response_failed", self._language, code=said.code)
        error = {"code": "server_error", "message": words}
        told = self._events.close("failed")
        failed = Progress("failed", self._model, self._events.items, error=error)
        return told + self._events.end(self._response(failed))

    def _ended(self, draft: Draft, usage: Usage | None) -> dict[str, Any]:
        reason = CUT.get(draft.finish_reason or "")
        items = self._items(draft)
        ended = Progress(
            "incomplete" if reason else "completed",
            self._model,
            incomplete(items) if reason else items,
            usage or Usage(),
            time.time(),
            reason,
        )
        return self._response(ended)

    def _items(self, draft: Draft) -> list[Item]:
        message = written(draft.message())
        thought = message.pop("reasoning_content", None)
        return derived_items(message, thought if self._keep_reasoning else None, self._at.message_id)

    def _response(self, progress: Progress) -> dict[str, Any]:
        at = self._at.response_id
        return responded(at, self._begun, self._asked, self._conversation, progress, stored=False)
