"""A conversation as you hold it in your hand: send, stream, prepare; look back, branch, pin, leave out.

A handle does no I/O until a method is awaited; the conversation is made on first use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal, TypedDict, Unpack

import orjson

from .conversations import Address, Branch, Conversation, Declared, Owner, Settings, Turn
from .errors import InputInvalid, ParameterInvalid, TurnNotFound
from .ledger import Ledger
from .messages import Entry, Message, Trait
from .policy import ContextPolicy
from .reply import Reply
from .sealing import encoded, seal, seal_input, split_turns
from .step import Engine, Input, Place, preview, terms_of
from .storage import Reach, Start, Told, UsageRow
from .stream import AsyncPreparedTurn, AsyncStream
from .tokens import count_message
from .transcript import exported
from .turn import OpenTurn, begin
from .usage import Cost, Spending, Usage
from .window import Window
from .wire import opened, plain

__all__ = ["Asking", "AsyncConversation", "OnBusy", "Sampling", "TurnLike", "message_of", "spending"]

BILLION = Decimal(10) ** 9
OnBusy = Literal["queue", "interrupt", "reject"]
TurnLike = int | str | Turn
"""A turn by its number on the path, by its id, or itself."""


class Sampling(TypedDict, total=False):
    """The standard sampling parameters, by their OpenAI names; anything else goes into ``params``."""

    temperature: float
    top_p: float
    max_tokens: int
    max_completion_tokens: int
    stop: str | Sequence[str]
    seed: int
    presence_penalty: float
    frequency_penalty: float
    logit_bias: Mapping[str, int]
    logprobs: bool
    top_logprobs: int
    response_format: Mapping[str, Any]
    reasoning_effort: str
    parallel_tool_calls: bool


class Asking(Sampling, total=False):
    """What `AsyncConversation.send` and its siblings take beside the input.

    ``tools`` and ``tool_choice`` as OpenAI has them; ``tool_results`` instead of text: the result of
    every open call by its id; ``params``: whatever else the provider understands; ``context``: material
    for this step only, never kept; ``key``: a repeated key returns the stored reply; ``on_busy``: what
    to do while another turn runs.
    """

    tools: Sequence[Mapping[str, Any]]
    tool_choice: str | Mapping[str, Any]
    tool_results: Mapping[str, object]
    params: Mapping[str, Any]
    context: Sequence[object]
    key: str
    on_busy: OnBusy


class AsyncConversation:
    """One conversation of a user. Made by `multiturn.AsyncMultiTurn.conversation`.

    Every method may raise `ConversationNotFound` (also for an id that belongs to somebody else) and
    `StoreError`; what calls a model also `ProviderError`, and `ConversationBusy` after the queue time.
    """

    def __init__(
        self, engine: Engine, id: str, owner: Owner, declared: Declared, branch: int | None = None
    ) -> None:
        self.id = id
        self._engine = engine
        self._store = engine.store
        self._place = Place(owner, id, declared, branch)
        self._at = (owner, id)
        self._known = Settings()
        self._tools: Sequence[Mapping[str, Any]] = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id!r}>"

    # -- asking the model

    async def send(self, content: object = None, **asking: Unpack[Asking]) -> Reply:
        """Send text (or a list of parts) and wait for the whole reply, which is stored when it comes.

        Raises `MessageEmpty`, `MessageInvalid` or `ContextOverflow` before anything is stored.
        """
        return await self._whole(self._asked(content, asking))

    def stream(self, content: object = None, **asking: Unpack[Asking]) -> AsyncStream:
        """Like `send`, with the reply as it arrives: ``async with chat.stream(…) as stream``."""
        return AsyncStream(self._asked(content, asking))

    def prepare(self, content: object = None, **asking: Unpack[Asking]) -> AsyncPreparedTurn:
        """Begin a turn whose model you call yourself: ``async with chat.prepare(…) as turn``."""
        return AsyncPreparedTurn(self._asked(content, asking, hold=self._engine.prepare))

    async def retry(self, **asking: Unpack[Asking]) -> Reply:
        """Ask again for the newest turn, which failed or was stopped; its input stays as it is."""
        return await self._whole(self._asked(None, asking, again=True))

    async def edit(self, turn: TurnLike, content: object, **asking: Unpack[Asking]) -> Reply:
        """Say something else in an earlier turn: a new branch from there, which is then in use."""
        return await self._whole(self._asked(content, asking, after=self._number(turn) - 1))

    async def regenerate(self, turn: TurnLike | None = None, **asking: Unpack[Asking]) -> Reply:
        """Have an earlier turn (by default the newest) answered anew, on a new branch."""
        number = self._number(turn) if turn is not None else (await self._newest()).number
        rows = await self._rows(after=number - 1, limit=1)
        inputs = [told.row for told in rows if told.row.role not in ("assistant", "tool")]
        entries = [Entry(row.role, row.traits, row.tokens, row.body) for row in inputs]
        if not entries:
            raise TurnNotFound(wanted=number, conversation=self.id)
        return await self._whole(self._asked(entries, asking, after=number - 1))

    async def _whole(self, asked: Callable[[], Awaitable[OpenTurn | Reply]]) -> Reply:
        async with AsyncStream(asked, stream=False) as stream:
            async for _ in stream:
                pass
        return stream.reply

    def _asked(
        self,
        content: object,
        asking: Asking,
        *,
        hold: float | None = None,
        again: bool = False,
        after: int | None = None,
    ) -> Callable[[], Awaitable[OpenTurn | Reply]]:
        """The turn, checked and ready to begin; nothing happens before it is called."""
        given = self._input(asking)
        results = asking.get("tool_results")
        entries = [] if again else self._entries(content, results)
        key = asking.get("key")
        start = Start(
            entries=entries,
            results=None if results is None else tuple(results),
            again=again,
            after=after,
            branch=self._place.branch,
            key=key,
            digest=_digest(entries) if key else b"",
            declared=self._place.declared,
            wait=0.0 if asking.get("on_busy") == "reject" else self._engine.queue,
            interrupt=asking.get("on_busy") == "interrupt",
            hold=hold or self._engine.lease,
        )

        async def open_turn() -> OpenTurn | Reply:
            return await self._begin(start, replace(given, entries=entries))

        return open_turn

    async def _begin(self, start: Start, given: Input) -> OpenTurn | Reply:
        prepared = start.hold == self._engine.prepare
        begun = await begin(self._engine, self._place, start, given, self._known, prepared=prepared)
        if isinstance(begun, Turn):
            return await self._stored_reply(begun)
        self._known = begun.begun.settings
        if start.after is not None and self._place.branch is not None:
            self._place = replace(self._place, branch=begun.lease.branch)
        return begun

    def _input(self, asking: Asking) -> Input:
        names = set(asking) - SAMPLING - OTHERS
        if names:
            raise TypeError(f"unexpected keyword {min(names)!r}; extras of a provider go into params={{…}}")
        if asking.get("on_busy", "queue") not in ("queue", "interrupt", "reject"):
            raise ParameterInvalid('it is "queue", "interrupt" or "reject"', name="on_busy")
        sampling = {name: value for name, value in asking.items() if name in SAMPLING and value is not None}
        tools = asking.get("tools")
        if tools is not None:
            self._tools = tools
        elif "tool_results" in asking:
            tools = self._tools
        return Input(
            context=[seal(item, count_message) for item in asking.get("context") or ()],
            tools=tools or (),
            tool_choice=asking.get("tool_choice"),
            params={**(asking.get("params") or {}), **sampling},
        )

    def _entries(self, content: object, results: Mapping[str, object] | None) -> list[Entry]:
        if results is not None:
            if content is not None:
                raise InputInvalid("send text or tool results, not both")
            return [_result(call, value) for call, value in results.items()]
        if isinstance(content, list) and content and isinstance(content[0], Entry):
            return content
        return [seal_input("" if content is None else content, count_message)]

    async def _stored_reply(self, turn: Turn) -> Reply:
        """The reply of a turn that the same request key made before."""
        rows = await self._rows(after=turn.number - 1, limit=1)
        messages = [message_of(told) for told in rows]
        steps = await self._store.steps(*self._at, turn.number, turn.branch)
        answers = [m for m in messages if m.role == "assistant"]
        last = answers[-1] if answers else Message("assistant", ())
        ledger = Ledger.from_json(steps[-1].ledger)
        terms = terms_of(self._engine, self._known, Input(model=steps[-1].model))
        window = Window(b"[]", ledger.spans, ledger.tokens, terms.limits, notes=("stored_reply",))
        return Reply(
            text=last.text,
            reasoning=last.reasoning,
            tool_calls=last.tool_calls,
            finish_reason=steps[-1].finish_reason,
            usage=steps[-1].usage,
            cost=steps[-1].cost,
            window=window,
            turn=turn,
            model=steps[-1].model,
        )

    # -- looking back

    async def history(self, *, after: int = 0, limit: int | None = None) -> list[Message]:
        """The messages of the path in time order, the opening first; of turns after ``after``, at most
        ``limit`` turns."""
        messages = [message_of(told) for told in await self._rows(after=after, limit=limit)]
        opening = (await self.info()).settings.opening if after == 0 else None
        if opening is None:
            return messages
        return [opened(encoded({"role": "assistant", "content": opening}), id="opening"), *messages]

    async def _rows(self, *, after: int, limit: int | None) -> Sequence[Told]:
        return await self._store.history(*self._at, after=after, limit=limit, branch=self._place.branch)

    async def info(self) -> Conversation:
        """The conversation itself: settings, times, how long it is."""
        return await self._store.conversation(*self._at)

    async def turns(self, *, limit: int | None = None) -> list[Turn]:
        """The turns of the path in time order; with ``limit`` the newest ones."""
        return list(
            await self._store.turns(
                *self._at, limit=limit, newest=limit is not None, branch=self._place.branch
            )
        )

    async def _newest(self) -> Turn:
        turns = await self.turns(limit=1)
        if not turns:
            raise TurnNotFound(wanted="newest", conversation=self.id)
        return turns[-1]

    async def branches(self) -> list[Branch]:
        """All branches, oldest first."""
        return list(await self._store.branches(*self._at))

    async def window(
        self, content: object = None, policy: ContextPolicy | None = None, model: str | None = None
    ) -> Window:
        """A dry run: what would be sent now, with ``content`` as new input where given."""
        given = Input(
            entries=[] if content is None else [seal_input(content, count_message)],
            policy=policy,
            model=model,
        )
        window, self._known = await preview(self._engine, self._place, given, self._known)
        return window

    async def ledger(self, turn: TurnLike | None = None, step: int | None = None) -> Ledger:
        """Why each message was sent or left out in a stored turn (by default the newest), in its last
        step or the one named."""
        number = self._number(turn) if turn is not None else (await self._newest()).number
        steps = await self._store.steps(*self._at, number, self._place.branch)
        chosen = [s for s in steps if s.ledger and (step is None or s.number == step)]
        if not chosen:
            raise TurnNotFound(wanted=number, conversation=self.id)
        return Ledger.from_json(chosen[-1].ledger)

    async def usage(self) -> Spending:
        """Tokens and cost of the whole conversation, all branches."""
        rows = await self._store.usage(self._place.owner, conversation=self.id)
        return Spending.total(self.id, [spending(row) for row in rows])

    async def export(self, format: Literal["jsonl", "openai", "markdown"] = "jsonl") -> str:
        """The path as text: lossless JSON lines, an OpenAI-style list, or Markdown to read."""
        return exported(format, await self.info(), await self.history())

    # -- changing what is remembered

    async def add(self, messages: Sequence[object]) -> list[Message]:
        """Store messages that were spoken elsewhere, without calling a model; gives them with their ids.

        OpenAI-style dictionaries, SDK objects or dumps full of nulls, with ``name``, ``created_at`` and
        ``id`` where you have them. Leading system messages become the instructions of a conversation
        that has none.
        """
        plains = [plain(message) for message in messages]
        lead = 0
        while lead < len(plains) and plains[lead].get("role") in ("system", "developer"):
            lead += 1
        entries = [seal(message, count_message) for message in plains]
        declared = await self._declared_with(entries[:lead])
        turns = split_turns(entries if declared is self._place.declared else entries[lead:])
        told = await self._store.add(*self._at, turns, declared, self._engine.queue)
        return [message_of(one) for one in told]

    async def _declared_with(self, lead: Sequence[Entry]) -> Declared:
        """What the handle declares; leading instructions join it in a conversation that has none."""
        declared = self._place.declared
        if not lead or declared.instructions is not None:
            return declared
        path = await self._store.gather(*self._at, Reach(turns=0), self._place.branch)
        if path.settings.instructions or path.earlier_turns or path.turns:
            return declared
        return replace(declared, instructions=tuple(entry.body for entry in lead))

    async def branch(self, at: TurnLike) -> AsyncConversation:
        """A new branch that shares everything up to and with turn ``at``; gives a handle of it. This
        handle, and the branch in use, stay where they are."""
        number = await self._store.fork(*self._at, self._number(at), self._place.branch)
        return type(self)(self._engine, self.id, self._place.owner, self._place.declared, number)

    async def switch(self, turn: str | Turn | Branch) -> None:
        """Go on with a branch: the one that ``turn`` (an id or a `Turn`) belongs to, or the one given."""
        if isinstance(turn, Branch):
            number = turn.number
        else:
            address = Address.parse(turn.id if isinstance(turn, Turn) else str(turn))
            if address is None:
                raise TurnNotFound(wanted=turn, conversation=self.id)
            number = address.branch
        await self._store.switch(*self._at, number)
        self._place = replace(self._place, branch=None)

    async def pin(self, turn: TurnLike) -> None:
        """Keep a turn in every window from now on."""
        await self._mark(turn, set=Trait.PINNED)

    async def unpin(self, turn: TurnLike) -> None:
        """No longer keep a turn in every window."""
        await self._mark(turn, clear=Trait.PINNED)

    async def exclude(self, message: Message | TurnLike) -> None:
        """Leave a message out of later windows without deleting it. A user message takes its turn
        along, an assistant message that calls tools its results."""
        turn, place = await self._spot(message)
        await self._mark(turn, place=place, set=Trait.EXCLUDED)

    async def include(self, message: Message | TurnLike) -> None:
        """Undo `exclude`."""
        turn, place = await self._spot(message)
        await self._mark(turn, place=place, clear=Trait.EXCLUDED)

    async def retract(self, turn: TurnLike, reason: str = "") -> None:
        """Withdraw a turn: it stays in the history, with the reason, and is never sent again."""
        await self._mark(turn, set=Trait.RETRACTED, reason=reason)

    async def _mark(
        self,
        turn: TurnLike,
        *,
        place: int | None = None,
        set: int = 0,
        clear: int = 0,
        reason: str | None = None,
    ) -> None:
        await self._store.mark(
            self._place.owner,
            self.id,
            self._number(turn),
            place=place,
            set=int(set),
            clear=int(clear),
            reason=reason,
            branch=self._place.branch,
        )

    async def _spot(self, message: Message | TurnLike) -> tuple[int, int]:
        """Turn and place of a message; of a turn, the place of its first user message."""
        wanted = message.id if isinstance(message, Message) else message
        if isinstance(wanted, str) and not wanted.startswith("turn_"):
            address = Address.parse(wanted) or await self._store.locate(*self._at, wanted)
            return address.turn, address.place or 0
        number = self._number(wanted)
        rows = [told.row for told in await self._rows(after=number - 1, limit=1)]
        places = [row.place for row in rows if row.role == "user"]
        if not places:
            raise TurnNotFound(wanted=wanted, conversation=self.id)
        return number, places[0]

    async def cancel(self) -> bool:
        """Ask the turn that runs now, in whatever process, to stop; whether there was one."""
        return await self._store.cancel(*self._at)

    async def delete(self) -> None:
        """Remove the conversation and everything that belongs to it."""
        await self._store.delete(*self._at)

    def _number(self, turn: TurnLike) -> int:
        if isinstance(turn, Turn):
            return turn.number
        if isinstance(turn, int):
            return turn
        address = Address.parse(turn)
        if address is None:
            raise TurnNotFound(wanted=turn, conversation=self.id)
        return address.turn


SAMPLING = frozenset(Sampling.__annotations__)
OTHERS = frozenset(Asking.__annotations__) - SAMPLING


def message_of(told: Told) -> Message:
    """A stored message, opened for somebody to look at."""
    row = told.row
    return opened(
        row.body, row.reasoning, told.facts, id=told.id, created_at=told.created_at, model=row.model
    )


def spending(row: UsageRow) -> Spending:
    """One row of a store's usage as people read it."""
    usage = Usage(row.input, row.output, row.cached, row.cache_write, row.reasoning, row.estimated)
    costs: tuple[Cost, ...] = ()
    if row.amount is not None and row.currency:
        costs = (Cost(Decimal(row.amount) / BILLION, row.currency, row.estimated),)
    return Spending(row.group, usage, costs, row.calls, row.turns)


def _digest(entries: Sequence[Entry]) -> bytes:
    return hashlib.sha256(b"\n".join(entry.body for entry in entries)).digest()


def _result(call: str, value: object) -> Entry:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return seal({"role": "tool", "tool_call_id": call, "content": text or "(empty)"}, count_message)
