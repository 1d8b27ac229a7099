"""A conversation as you hold it in your hand: send, stream, prepare; look back, branch, pin, leave out.

A handle does no I/O until a method is awaited; the conversation is made on first use.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal, Unpack

from .asking import Asking, digest_of, entries_of, input_of, listed
from .conversations import Address, Branch, Conversation, Declared, Owner, Settings, Turn
from .errors import TurnNotFound
from .ledger import Ledger
from .messages import Entry, Message, Trait
from .policy import ContextPolicy
from .reply import Reply
from .sealing import encoded, seal, seal_input, split_turns
from .step import Engine, Input, Known, Place, preview, terms_of
from .storage import Reach, Start, Told, UsageRow
from .stream import AsyncPreparedTurn, AsyncStream
from .tokens import count_message
from .transcript import exported
from .turn import OpenTurn, begin
from .usage import Cost, Spending, Usage
from .window import Window
from .wire import opened, plain

__all__ = ["AsyncConversation", "TurnLike", "message_of", "spending"]

BILLION = Decimal(10) ** 9
TurnLike = int | str | Turn
"""A turn by its number on the path, by its id, or itself."""


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
        self._known = Known(declared)
        self._ulid = ""
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
        return AsyncPreparedTurn(self._asked(content, asking, prepared=True))

    async def retry(self, **asking: Unpack[Asking]) -> Reply:
        """Ask again for the newest turn, which failed or was stopped; its input stays as it is."""
        return await self._whole(self._asked(None, asking, entries=[], again=True))

    async def edit(self, turn: TurnLike, content: object, **asking: Unpack[Asking]) -> Reply:
        """Say something else in an earlier turn: a new branch from there, which is then in use."""
        number, branch = await self._find(turn)
        await self._input_of(number, branch)
        return await self._whole(self._asked(content, asking, after=number - 1, branch=branch))

    async def regenerate(self, turn: TurnLike | None = None, **asking: Unpack[Asking]) -> Reply:
        """Have an earlier turn (by default the newest) answered anew, on a new branch."""
        number, branch = await self._find(await self._newest() if turn is None else turn)
        entries = await self._input_of(number, branch)
        return await self._whole(self._asked(None, asking, entries=entries, after=number - 1, branch=branch))

    async def _input_of(self, number: int, branch: int | None) -> list[Entry]:
        """What the user said in a turn; raises `TurnNotFound` where there is none."""
        rows = [told.row for told in await self._rows(after=number - 1, limit=1, branch=branch)]
        said = [row for row in rows if row.role not in ("assistant", "tool") and row.turn == number]
        if not said:
            raise TurnNotFound(wanted=number, conversation=self.id)
        return [Entry(row.role, row.traits, row.tokens, row.body) for row in said]

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
        entries: Sequence[Entry] | None = None,
        prepared: bool = False,
        again: bool = False,
        after: int | None = None,
        branch: int | None = None,
    ) -> Callable[[], Awaitable[OpenTurn | Reply]]:
        """The turn, checked and ready to begin; nothing happens before it is called. ``entries`` are an
        input that is stored already."""
        given = input_of(asking)
        results = asking.get("tool_results")
        said = entries_of(content, results) if entries is None else entries
        key, busy = asking.get("key"), asking.get("on_busy")
        start = Start(
            entries=said,
            results=None if results is None else tuple(results),
            again=again,
            after=after,
            branch=self._place.branch if branch is None else branch,
            key=key,
            digest=b"" if key is None else digest_of(said, after),
            declared=self._place.declared,
            wait=0.0 if busy == "reject" else self._engine.queue,
            interrupt=busy == "interrupt",
            hold=self._engine.prepare if prepared else self._engine.lease,
            limited=prepared,
        )
        if "tools" not in asking and (again or results is not None):
            given = replace(given, tools=self._tools)

        async def open_turn() -> OpenTurn | Reply:
            return await self._begin(start, replace(given, entries=said), prepared=prepared)

        return open_turn

    async def _begin(self, start: Start, given: Input, *, prepared: bool) -> OpenTurn | Reply:
        await self._settings()
        begun = await begin(self._engine, self._place, start, given, self._known, prepared=prepared)
        if isinstance(begun, Turn):
            return await self._stored_reply(begun)
        self._tools = given.tools
        if start.after is not None and self._place.branch is not None:
            self._place = replace(self._place, branch=begun.lease.branch)
        return begun

    async def _settings(self) -> Settings:
        """What is stored for the conversation, as far as this handle knows: what is impossible with it
        is refused before anything is stored."""
        if self._known.settings is None:
            settings = (await self._store.gather(*self._at, Reach(turns=0))).settings
            self._known.learn(settings)
            return settings
        return self._known.settings

    async def _stored_reply(self, turn: Turn) -> Reply:
        """The reply of a turn that the same request key made before."""
        rows = await self._rows(after=turn.number - 1, limit=1)
        messages = [message_of(told) for told in rows]
        steps = await self._store.steps(*self._at, turn.number, turn.branch)
        answers = [m for m in messages if m.role == "assistant"]
        last = answers[-1] if answers else Message("assistant", ())
        ledger = Ledger.from_json(steps[-1].ledger)
        terms = terms_of(self._engine, await self._settings(), Input(model=steps[-1].model))
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

    async def _rows(
        self, *, after: int = 0, limit: int | None = None, branch: int | None = None
    ) -> Sequence[Told]:
        branch = self._place.branch if branch is None else branch
        return await self._store.history(*self._at, after=after, limit=limit, branch=branch)

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
        return await preview(self._engine, self._place, given, self._known)

    async def ledger(self, turn: TurnLike | None = None, step: int | None = None) -> Ledger:
        """Why each message was sent or left out in a stored turn (by default the newest), in its last
        step or the one named."""
        number, branch = await self._find(await self._newest() if turn is None else turn)
        steps = await self._store.steps(*self._at, number, branch)
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
        return exported(format, await self.info(), await self._rows())

    # -- changing what is remembered

    async def add(self, messages: Sequence[object]) -> list[Message]:
        """Store messages that were spoken elsewhere, without calling a model; gives them with their ids.

        OpenAI-style dictionaries, SDK objects or dumps full of nulls, with ``name``, ``created_at`` and
        ``id`` where you have them. Leading system messages become the instructions of a conversation
        that has none.
        """
        plains = [plain(message) for message in listed("messages", messages)]
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
        return self._on(await self._store.fork(*self._at, *await self._find(at)))

    def _on(self, branch: int | None) -> AsyncConversation:
        """Another handle of the same conversation, on a branch of its own."""
        return type(self)(self._engine, self.id, self._place.owner, self._place.declared, branch)

    async def switch(self, turn: str | Turn | Branch) -> None:
        """Go on with a branch: the one that ``turn`` (an id or a `Turn`) belongs to, or the one given."""
        number = turn.number if isinstance(turn, Branch) else (await self._addressed(turn)).branch
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
        await self._mark_message(message, set=Trait.EXCLUDED)

    async def include(self, message: Message | TurnLike) -> None:
        """Undo `exclude`."""
        await self._mark_message(message, clear=Trait.EXCLUDED)

    async def retract(self, turn: TurnLike, reason: str = "") -> None:
        """Withdraw a turn: it stays in the history, with the reason, and is never sent again."""
        await self._mark(turn, set=Trait.RETRACTED, reason=reason)

    async def _mark(self, turn: TurnLike, *, set: int = 0, clear: int = 0, reason: str | None = None) -> None:
        number, branch = await self._find(turn)
        await self._store.mark(
            *self._at, number, set=int(set), clear=int(clear), reason=reason, branch=branch
        )

    async def _mark_message(self, message: Message | TurnLike, *, set: int = 0, clear: int = 0) -> None:
        number, place, branch = await self._spot(message)
        await self._store.mark(*self._at, number, place=place, set=int(set), clear=int(clear), branch=branch)

    async def _spot(self, message: Message | TurnLike) -> tuple[int, int, int | None]:
        """Turn, place and branch of a message; of a turn, the place of its first user message."""
        wanted = message.id if isinstance(message, Message) else message
        if isinstance(wanted, str) and not wanted.startswith("turn_"):
            address = await self._addressed_here(wanted) or await self._store.locate(*self._at, wanted)
            return address.turn, address.place or 0, address.branch
        number, branch = await self._find(wanted)
        rows = [told.row for told in await self._rows(after=number - 1, limit=1, branch=branch)]
        places = [row.place for row in rows if row.role == "user"]
        if not places:
            raise TurnNotFound(wanted=wanted, conversation=self.id)
        return number, places[0], branch

    async def cancel(self) -> bool:
        """Ask the turn that runs now, in whatever process, to stop; whether there was one."""
        return await self._store.cancel(*self._at)

    async def delete(self) -> None:
        """Remove the conversation and everything that belongs to it."""
        await self._store.delete(*self._at)

    async def _find(self, turn: TurnLike) -> tuple[int, int | None]:
        """The number of a turn, and the branch on whose path it has that number."""
        if isinstance(turn, int):
            return turn, self._place.branch
        address = await self._addressed(turn)
        return address.turn, address.branch

    async def _addressed(self, turn: str | Turn) -> Address:
        name = turn.id if isinstance(turn, Turn) else turn
        address = await self._addressed_here(name)
        if address is None:
            raise TurnNotFound(wanted=name, conversation=self.id)
        return address

    async def _addressed_here(self, name: str) -> Address | None:
        """The place an id speaks of; ``None`` where it is none of this conversation's."""
        address = Address.parse(str(name))
        if address is not None and address.ulid != self._ulid:
            self._ulid = (await self.info()).ulid
        return address if address is not None and address.ulid == self._ulid else None


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
