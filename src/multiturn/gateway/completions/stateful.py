"""A chat completion as a turn of a conversation: the newest of the posted messages are its input, the
conversation is remembered here."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.datastructures import Headers

from ...asking import Asking
from ...catalog import Card, Profile
from ...chat import AsyncConversation
from ...client import LONGEST_NAME
from ...conversations import Turn
from ...errors import ConversationNotFound
from ...reply import Delta, Draft
from ...stream import AsyncStream
from ...window import Request, Window
from ..access.foresight import foreseen, unless_made
from ..audience import Audience, alone, asked_alike, is_detached, mark_of
from ..gateway import Asker
from ..http.connection import Write
from ..http.headers import conversation_in, key_in, only
from ..http.presence import staying
from ..http.refusal import Refusal
from ..http.sse import Beside, send_events, send_whole
from ..repeats import ENDED_BADLY, Seen
from .alignment import check_turn, followed
from .beside import named_of, window_headers
from .form import Form, Pieces
from .parameters import refused_by
from .posted import Posted, divide
from .routed import may_answer, one_after_another
from .stateless import OURS, answer_request, check_choices

__all__ = ["ChatRequest", "conversation_of", "stateful"]

OWN = OURS | {"conversation", "store", "user"}
"""Fields that we understand ourselves."""
LOST = frozenset(("function_call", "functions", "logprobs", "metadata", "top_logprobs"))
"""What no answer that is remembered can tell of, whoever gives it."""


def conversation_of(headers: Headers, fields: Mapping[str, Any]) -> str | None:
    """The conversation a request opts in to; ``None``: it is stateless. Raises `Refusal`."""
    named = fields.get("conversation")
    if isinstance(named, dict):
        named = named.get("id")
        if named is None:
            raise Refusal(400, "conversation_shape", param="conversation")
    if named is not None and not isinstance(named, str):
        raise Refusal(400, "conversation_shape", param="conversation")
    named = conversation_in(headers, named)
    if named is not None and not named.strip():
        raise Refusal(400, "conversation_shape", param="conversation")
    if named is not None and len(named) > LONGEST_NAME:
        raise Refusal(400, "text_too_long", param="conversation", limit=LONGEST_NAME)
    return named


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat completion that is asked for in a ``conversation``, of a ``model`` that may be a route. ``raw``
    is the body as it was posted, by which a repeat is known; ``dropped`` are the names of what was left out
    of its ``fields`` already."""

    conversation: str
    model: str
    fields: Mapping[str, Any]
    raw: bytes
    headers: Headers
    dropped: Sequence[str] = ()


def stateful(asker: Asker, request: ChatRequest, form: Form) -> Awaitable[None]:
    """Answer as the next turn of a conversation, once that is awaited."""
    client, fields = asker.client, request.fields
    check_choices(fields)
    mode = (only(request.headers, "x-conversation-mode") or "append").lower()
    if mode not in ("append", "align"):
        raise Refusal(400, "mode_unknown", param="X-Conversation-Mode")
    posted = divide(fields.get("messages"))
    user = fields.get("user")
    if user is not None and not isinstance(user, str):
        raise Refusal(400, "not_text", param="user")
    models = may_answer(client.catalog, request.model)
    model = request.model if request.model in client.catalog.routes else models[0][0].name
    chat = client.conversation(request.conversation, user=user, system=posted.instructions, model=model)
    params, dropped = _params(fields, models)
    told = {"x-conversation-id": request.conversation, "x-multiturn-ignored": str(len(posted.earlier))}
    if dropped or request.dropped:
        told["x-multiturn-dropped"] = ", ".join(sorted({*dropped, *request.dropped}))
    answering = _Answering(asker, chat, model, form, told, fields, posted, params, aligns=mode == "align")
    if fields.get("store") is False:
        return answering.read_only(len(request.raw))
    return answering.answer(request)


def _params(
    fields: Mapping[str, Any], models: Sequence[tuple[Card, Profile]]
) -> tuple[dict[str, Any], list[str]]:
    """What is handed on, and the names of what one of the models does not know or nobody would be told of."""
    given = {name: value for name, value in fields.items() if name not in OWN and value is not None}
    refused = LOST | refused_by(models)
    dropped = sorted(given.keys() & refused)
    return {name: value for name, value in given.items() if name not in refused}, dropped


@dataclass(slots=True)
class _Answering:
    """One stateful request on the way to its answer. ``told`` are the headers of that so far."""

    asker: Asker
    chat: AsyncConversation
    model: str
    form: Form
    told: dict[str, str]
    fields: Mapping[str, Any]
    posted: Posted
    params: Mapping[str, Any]
    aligns: bool
    """Whether the posted history is compared with the stored one."""

    async def answer(self, request: ChatRequest) -> None:
        """A turn that is stored."""
        gateway = self.asker.gateway
        key, detached = key_in(request.headers), is_detached(request.headers)
        mark = None if key is None else mark_of(self.chat.at, key, request.raw)
        if mark is not None and (audience := gateway.audiences.get(mark)):
            await self._before(audience)
            return
        async with staying(self.asker.receive):
            seen = await self._seen(key, request)
        await self._expect(len(request.raw), None if seen.again else seen.key)
        retold = None if key is None else asked_alike(self.fields)
        del request  # what was posted is not kept while the answer comes
        stream = await self._asked(seen, retold)
        if mark is not None or detached:
            audience = gateway.audiences.of(mark, stream, self.told, detached=detached)
            told = await self._before(audience)
        else:
            told = await self._send(stream, alone(stream), self.asker.direct)
        if told:
            gateway.repeats.was_told(seen.key, self.asker.receive)

    async def _expect(self, sent: int, key: str | None = None) -> None:
        """Keep back what the answer may take; whoever hears one that runs, or that is stored, takes nothing
        more."""
        gateway, client = self.asker.gateway, self.asker.client
        foresee = partial(foreseen, client, self.model, self.fields, sent, self.chat.id)
        await gateway.expect(partial(unless_made, client, self.chat.at, key, foresee))

    async def _asked(self, seen: Seen, retold: bytes | None) -> AsyncStream:
        """The turn that is asked for, which begins with its first delta. Nothing of what was posted is kept
        here any more."""
        asking: Asking = {"params": self.params}
        if self.fields.get("tools"):
            asking["tools"] = self.fields["tools"]
        if self.fields.get("tool_choice") is not None:
            asking["tool_choice"] = self.fields["tool_choice"]
        if not seen.again:
            asking["key"] = seen.key
        if self.aligns and not seen.repeated:
            async with staying(self.asker.receive):
                engine = self.asker.client.engine
                await check_turn(engine, self.chat, self.posted.new, asking)  # before a branch is made
                self.chat = await followed(engine.store, self.chat, self.posted.earlier)
        async with staying(self.asker.receive):
            await self._take_results(seen.key)
        if self.aligns:
            self.told["x-multiturn-ignored"] = "0"
        new = None if seen.again else self.posted.new
        self.fields, self.params, self.posted = {}, {}, Posted(None, (), ())
        return self.chat.turn(new, stream=self.form.streamed, retold=retold, **asking)

    async def _seen(self, key: str | None, request: ChatRequest) -> Seen:
        """The request key, and whether the request came before. Where that would be aligned once more, it
        matters for a ``key`` of the client's own, too."""
        if key is None:
            gateway = self.asker.gateway
            count = request.headers.get("x-stainless-retry-count", "0" if self.form.says_repeats else None)
            return await gateway.repeats.seen(
                self.chat, request.raw, count, gateway.client.config.timing.queue
            )
        if self.aligns:
            there = [turn for turn in await self._turns() if turn.key == key]
            return Seen(key, repeated=any(turn.state not in ENDED_BADLY for turn in there))
        return Seen(key)

    async def _turns(self) -> list[Turn]:
        """The turns of all branches, each once."""
        store, found = self.asker.client.engine.store, list[Turn]()
        with suppress(ConversationNotFound):
            for branch in await self.chat.branches():
                found += await store.turns(*self.chat.at, after=branch.fork, branch=branch.number)
        return found

    async def _before(self, audience: Audience) -> bool:
        """Send the answer of a turn that may have more listeners; whether all of it was."""
        self.told = dict(audience.told)
        return await self._send(audience.stream, audience.heard(), None)

    async def _take_results(self, key: str) -> None:
        """Results that the stored turn waits for go on with it, also where the user says more behind them;
        and those with which this request went on before."""
        called = {str(each.get("tool_call_id")) for each in self.posted.results}
        if not called or self.posted.new[0]["role"] == "tool":
            return
        with suppress(ConversationNotFound):
            for turn in await self.chat.turns(limit=1):
                if set(turn.open_calls) == called or turn.key == key:
                    self.posted = self.posted.with_results()
                    self.told["x-multiturn-ignored"] = str(len(self.posted.earlier))

    async def _send(
        self, stream: AsyncStream, deltas: AsyncGenerator[Delta, None], direct: Write | None
    ) -> bool:
        """Send the answer of a turn; whether all of it was."""
        gateway, _, receive, send = self.asker
        if self.form.streamed:
            parts = self._parts(stream, deltas, direct)
            return await send_events(
                receive, send, parts, lambda: self._headers(stream), gateway.language, self.form.failed
            )
        draft = Draft()
        async with staying(receive), aclosing(deltas):
            async for delta in deltas:
                draft.add(delta)
        reply = stream.reply
        whole = self.form.whole(named_of(stream, reply.model), draft, reply.usage)
        await send_whole(send, whole, self._headers(stream))
        return True

    async def _parts(
        self, stream: AsyncStream, deltas: AsyncGenerator[Delta, None], direct: Write | None
    ) -> AsyncGenerator[bytes, None]:
        """The pieces of an answer. Once the first was sent, ``direct`` writes the others the moment they
        come, as long as the client keeps up."""
        pieces: Pieces | None = None
        async with aclosing(deltas):
            async for delta in deltas:
                pieces = pieces or self._pieces(stream)
                if part := pieces.of(delta):
                    yield part
                    if direct is not None:
                        stream.hand_to(_writing(pieces, direct))
                        direct = None
        pieces = pieces or self._pieces(stream)
        yield pieces.end(stream.reply.usage)

    def _pieces(self, stream: AsyncStream) -> Pieces:
        return self.form.pieces(named_of(stream, stream.window.target.model))

    def _headers(self, stream: AsyncStream) -> dict[str, str]:
        turn = {"x-multiturn-turn": str(stream.turn.number), "x-multiturn-turn-id": stream.turn.id}
        return self.told | turn | window_headers(stream.window)

    async def read_only(self, sent: int) -> None:
        """An answer from what the conversation remembers, of which nothing is kept. ``sent`` bytes were
        posted."""
        await self._expect(sent)
        client, told = self.asker.client, self.told
        async with staying(self.asker.receive):
            first = await self.chat.window(messages=self.posted.new)
        seed, last = f"{client.tenant}\0{self.chat.id}", first.target.model
        attempts = client.endpoints.routing.attempts(self.model, last=last, seed=seed)

        async def ask(card: Card, key: str, beside: Beside) -> None:
            window = first
            if card.name != last:
                async with staying(self.asker.receive):
                    window = await self.chat.window(messages=self.posted.new, model=card.name)
            told.update(window_headers(window))
            provider = client.endpoints.provider(card, key)
            request = self._request(card, window, attempts.elsewhere)
            await answer_request(self.asker, provider, card, request, self.form, beside)

        await one_after_another(attempts, ask, lambda: told)

    def _request(self, card: Card, window: Window, elsewhere: tuple[type[Exception], ...]) -> Request:
        return Request(
            model=card.model,
            body=window.body,
            tools=self.fields.get("tools") or (),
            tool_choice=self.fields.get("tool_choice"),
            params=self.params,
            stream=self.form.streamed or card.stream_only,
            traits=window.traits,
            elsewhere=elsewhere,
        )


def _writing(pieces: Pieces, write: Write) -> Callable[[Delta], bool]:
    """What writes the next delta, and says whether another may come."""

    def direct(delta: Delta) -> bool:
        part = pieces.of(delta)
        return write(part) if part else True

    return direct
