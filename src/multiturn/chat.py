"""A conversation as you hold it in your hand: send, stream, prepare.

A handle does no I/O until a method is awaited; the conversation is made on first use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Unpack

import orjson

from .asking import Asking, digest_of, entries_of, input_of, turn_of
from .conversations import Address, Step
from .errors import ConfigurationInvalid, ContextOverflow, CountingUnavailable, InputInvalid, TurnNotFound
from .ledger import Ledger
from .memory import Memory, message_of
from .messages import Entry, Message, Trait
from .path import MessageRow
from .reference import TurnLike
from .rendition import retold
from .reply import Reply
from .storage import DELTAS, Begun, Reach, Start
from .stream import AsyncPreparedTurn, AsyncStream, Opened, Retold
from .terms import Input, terms_of
from .tokens import count_message
from .turn import OpenTurn, begin
from .window import Window

__all__ = ["AsyncConversation"]


class Said(NamedTuple):
    """What goes into a turn: messages, sealed, and the calls whose results are among them (``None``: there
    are no results). ``again``: it is the newest turn, with the input that it has."""

    entries: Sequence[Entry]
    results: tuple[str, ...] | None = None
    again: bool = False


AGAIN = Said((), again=True)


def _said(content: object, asking: Asking) -> Said:
    return Said(entries_of(content, asking.get("tool_results")))


class AsyncConversation(Memory):
    """One conversation of a user. Made by `multiturn.AsyncMultiTurn.conversation`.

    Every method may raise `ConversationNotFound` (also for an id that belongs to somebody else) and
    `StoreError`; what calls a model also `ProviderError`, and `ConversationBusy` after the queue time.
    """

    # -- asking the model

    async def send(self, content: object = None, **asking: Unpack[Asking]) -> Reply:
        """Send text (or a list of parts) and wait for the whole reply, which is stored when it comes.

        Raises `MessageEmpty`, `MessageInvalid` or `ContextOverflow` before anything is stored.
        """
        return await self._whole(self._asked(_said(content, asking), asking))

    def stream(self, content: object = None, **asking: Unpack[Asking]) -> AsyncStream:
        """Like `send`, with the reply as it arrives: ``async with chat.stream(…) as stream``."""
        return AsyncStream(self._asked(_said(content, asking), asking))

    def turn(
        self,
        messages: Sequence[object] | None = None,
        *,
        stream: bool = True,
        anew: TurnLike | None = None,
        retold: bytes | None = None,
        **asking: Unpack[Asking],
    ) -> AsyncStream:
        """A turn whose input are whole messages, as `add` takes them: words of the user with the
        instructions that stand between them, or the results of all open calls. ``None`` asks again for the
        newest turn, as `retry` does; with ``stream`` false the answer comes in one piece. ``anew`` names a
        turn in whose place it is, on a new branch, as `edit` does, and without messages `regenerate`. With
        ``retold``, a digest of what was asked, a repeated ``key`` gives the very deltas of the first time,
        not their sum, and stands for that request, not for the messages alone.

        Raises `MessageInvalid` for an assistant's message, and as `send`."""
        said = AGAIN if messages is None else Said(*turn_of(messages))
        if anew is not None:
            opened = self._anew(anew, asking, said.entries or None, retold)
        else:
            opened = self._asked(said, asking, retold=retold)
        return AsyncStream(opened, stream=stream)

    def prepare(self, content: object = None, **asking: Unpack[Asking]) -> AsyncPreparedTurn:
        """Begin a turn whose model you call yourself: ``async with chat.prepare(…) as turn``."""
        return AsyncPreparedTurn(self._asked(_said(content, asking), asking, prepared=True))

    async def count(self, content: object = None) -> int:
        """How many tokens the provider itself counts for what would be sent now, with ``content`` as new
        input where given. It is asked once for the same list; nothing is stored. Raises
        `CountingUnavailable` where it has no endpoint for that, `KeyMissing` or a `ProviderError`."""
        window = await self.window(content)
        card = self._known.terms_of(self._engine, Input()).card
        if self._engine.counting is None:
            raise CountingUnavailable(provider=card.provider, known="")
        endpoint = self._engine.counting(card)
        return 0 if window.body == b"[]" else await endpoint.count(card.model, window.body)

    async def retry(self, **asking: Unpack[Asking]) -> Reply:
        """Ask again for the newest turn, which failed or was stopped; its input stays as it is."""
        return await self._whole(self._asked(AGAIN, asking))

    async def edit(self, turn: TurnLike, content: object, **asking: Unpack[Asking]) -> Reply:
        """Say something else in an earlier turn: a new branch from there, which is then in use."""
        return await self._whole(self._anew(turn, asking, _said(content, asking).entries))

    async def regenerate(self, turn: TurnLike | None = None, **asking: Unpack[Asking]) -> Reply:
        """Have an earlier turn (by default the newest) answered anew, on a new branch."""
        return await self._whole(self._anew(await self._newest() if turn is None else turn, asking))

    def _anew(
        self,
        turn: TurnLike,
        asking: Asking,
        entries: Sequence[Entry] | None = None,
        retold: bytes | None = None,
    ) -> Opened:
        """A turn in the place of another one, on a new branch, with other words or with its own."""

        async def opened() -> OpenTurn | Retold:
            number, branch = await self._find(turn)
            own = await self._input_of(number, branch)
            said = Said(own if entries is None else entries)
            return await self._asked(said, asking, after=number - 1, branch=branch, retold=retold)()

        return opened

    async def _input_of(self, number: int, branch: int | None) -> list[Entry]:
        """What the user said in a turn; raises `TurnNotFound` where there is none."""
        rows = [told.row for told in await self._rows(after=number - 1, limit=1, branch=branch)]
        said = [row for row in rows if row.role not in ("assistant", "tool") and row.turn == number]
        if not said:
            raise TurnNotFound(wanted=number, conversation=self.id)
        return [_said_anew(row) for row in said]

    async def _whole(self, asked: Opened) -> Reply:
        async with AsyncStream(asked, stream=False) as stream:
            async for _ in stream:
                pass
        return stream.reply

    def _asked(
        self,
        said: Said,
        asking: Asking,
        *,
        prepared: bool = False,
        after: int | None = None,
        branch: int | None = None,
        retold: bytes | None = None,
    ) -> Opened:
        """The turn, checked and ready to begin; nothing happens before it is called. ``retold`` is as for
        `turn`."""
        given = input_of(asking)
        start = self._start(said, asking, prepared=prepared, after=after, branch=branch)
        if "tools" not in asking and (start.again or start.results is not None):
            given = replace(given, tools=self._tools)
        if retold is not None:
            start = replace(start, asked=DELTAS, digest=digest_of(said.entries, after, retold))

        async def open_turn() -> OpenTurn | Retold:
            return await self._begin(start, replace(given, entries=said.entries), prepared=prepared)

        return open_turn

    def _start(
        self, said: Said, asking: Asking, *, prepared: bool, after: int | None, branch: int | None
    ) -> Start:
        """What the turn begins with, as a store takes it."""
        key, busy, results = asking.get("key"), asking.get("on_busy"), asking.get("tool_results")
        return Start(
            entries=said.entries,
            results=said.results if results is None else tuple(results),
            again=said.again,
            after=after,
            branch=self._place.branch if branch is None else branch,
            key=key,
            digest=b"" if key is None else digest_of(said.entries, after),
            declared=self._place.declared,
            wait=0.0 if busy == "reject" else self._engine.queue,
            interrupt=busy == "interrupt",
            hold=self._engine.prepare if prepared else self._engine.lease,
            limited=prepared,
            make=not said.again,
        )

    async def _begin(self, start: Start, given: Input, *, prepared: bool) -> OpenTurn | Retold:
        begun = await self._accepted(start, given, prepared=prepared)
        if isinstance(begun, Begun):
            return await self._retold(begun)
        self._tools = given.tools
        if start.after is not None and self._place.branch is not None:
            self._place = replace(self._place, branch=begun.lease.branch)
        return begun

    async def _accepted(self, start: Start, given: Input, *, prepared: bool) -> OpenTurn | Begun:
        """The turn, begun. What is impossible with the stored settings is refused before anything is stored:
        by what was known of them, and where it is refused for that, once more by what holds now."""
        looked = self._known.settings is None or bool(self._engine.catalog.routes)
        if looked:
            await self._look()
        try:
            return await begin(self._engine, self._place, start, given, self._known, prepared=prepared)
        except (ConfigurationInvalid, ContextOverflow, InputInvalid) as error:
            if looked or error.turn is not None or not await self._look():
                raise
        return await begin(self._engine, self._place, start, given, self._known, prepared=prepared)

    async def _look(self) -> bool:
        """Learn what is stored for the conversation; whether other terms follow."""
        path = await self._store.gather(*self._at, Reach(turns=0))
        return self._known.learn(path.settings, path.request if self._engine.catalog.routes else None)

    async def _retold(self, begun: Begun) -> Retold:
        """What the same request key made before: its step where one is known, else the newest of the turn."""
        turn, at = begun.turn, Address.parse(begun.turn.id)
        if begun.step is not None and at is not None:
            found = await self._store.exchange(self._at[0], replace(at, place=begun.step))
            answer = message_of(found.output) if found.output else None
            if found.step and (deltas := retold(found.course, answer, found.step.finish_reason)):
                return Retold(self._stored_reply(begun, found.step, answer), deltas)
        rows = await self._rows(after=turn.number - 1, limit=1, branch=turn.branch)
        answers = [message for message in map(message_of, rows) if message.role == "assistant"]
        steps = await self._store.steps(*self._at, turn.number, turn.branch)
        return Retold(self._stored_reply(begun, steps[-1], answers[-1] if answers else None))

    def _stored_reply(self, begun: Begun, step: Step, answer: Message | None) -> Reply:
        """The reply that a step gave."""
        last = answer or Message("assistant", ())
        ledger = Ledger.from_json(step.ledger)
        terms = terms_of(self._engine, begun.settings, Input(model=step.model))
        window = Window(
            b"[]",
            ledger.spans,
            ledger.tokens,
            terms.limits,
            target=replace(terms.target, model=step.model),
            notes=("stored_reply",),
            cache=ledger.cache,
            route=ledger.route,
            tried=ledger.tried,
        )
        return Reply(
            text=last.text,
            reasoning=last.reasoning,
            tool_calls=last.tool_calls,
            finish_reason=step.finish_reason,
            usage=step.usage,
            cost=step.cost,
            window=window,
            turn=begun.turn,
            model=step.model,
        )


def _said_anew(row: MessageRow) -> Entry:
    """A stored input as new input: what was recalled for it, and that it was left out, stay behind."""
    tokens = count_message(orjson.loads(row.body)) if row.quote else row.tokens
    return Entry(row.role, row.traits & ~(Trait.QUOTED | Trait.EXCLUDED), tokens, row.body)
