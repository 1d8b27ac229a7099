"""What does a conversation remember, and how is that changed? Look back, branch, pin, leave out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal, Self

import orjson

from .asking import check_metadata, check_seconds, check_whole, turn_of
from .conversations import Branch, Conversation, Declared, Hit, Owner, Settings, Summary, Turn
from .embedding import RERANKED
from .errors import ConversationError, ParameterInvalid, TurnNotFound
from .intake import made_ready, take_in
from .known import Known, in_force
from .ledger import Ledger
from .messages import Entry, Message, Trait
from .path import MessageRow
from .phrases import Reason
from .policy import ContextPolicy
from .reference import References, TurnLike
from .sealing import encoded, seal, seal_input
from .search.terms import query
from .step import Place, preview
from .storage import Reach, Scope, Told, UsageRow
from .summary import TOLERANCE, last_call
from .terms import Engine, Input, embedder_of, policy_of
from .tokens import count_message, count_text
from .transcript import exported
from .usage import Cost, Spending, Usage
from .window import Window
from .wire import opened

__all__ = ["Memory", "message_of", "spending"]

BILLION = Decimal(10) ** 9
NOTHING_GIVEN = Input()


class Memory:
    """What one conversation remembers. `multiturn.AsyncConversation` adds the model to it.

    Every method may raise `ConversationNotFound` (also for an id that belongs to somebody else) and
    `StoreError`.
    """

    def __init__(
        self,
        engine: Engine,
        id: str,
        owner: Owner,
        declared: Declared,
        branch: int | None = None,
        known: Known | None = None,
    ) -> None:
        self.id = id
        self._engine = engine
        self._store = engine.store
        self._place = Place(owner, id, declared, branch)
        self._at = self.at = (owner, id)  # an attribute, for the doors above: how a store finds it
        self.take_in = self._take_in  # likewise
        self.made_ready = self._made_ready  # likewise
        self.declared = declared  # likewise
        self._known = known or Known(declared)
        self._meant = References(engine.store, owner, id)
        self._tools: Sequence[Mapping[str, Any]] = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id!r}>"

    # -- looking back

    async def history(self, *, after: int = 0, limit: int | None = None) -> list[Message]:
        """The messages of the path in time order, the opening first; of turns after ``after``, at most
        ``limit`` turns."""
        rows = await self._rows(after=after, limit=limit)
        messages = [message_of(told) for told in rows if not told.row.traits & Trait.DELETED]
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
            raise TurnNotFound(wanted=Reason("why.newest"), conversation=self.id)
        return turns[-1]

    async def branches(self) -> list[Branch]:
        """All branches, oldest first."""
        return list(await self._store.branches(*self._at))

    async def window(
        self,
        content: object = None,
        policy: ContextPolicy | None = None,
        model: str | None = None,
        *,
        messages: Sequence[object] | None = None,
    ) -> Window:
        """A dry run: what would be sent now, with ``content`` as new input where given, or whole
        ``messages`` (see `AsyncConversation.turn`)."""
        if content is None and messages is None and policy is None and model is None:
            return await preview(self._engine, self._place, NOTHING_GIVEN, self._known)
        entries = [] if messages is None else turn_of(messages)[0]
        given = Input(
            entries=entries if content is None else [seal_input(content, count_message)],
            policy=policy,
            model=model,
        )
        return await preview(self._engine, self._place, given, self._known)

    async def recall(self, text: str, k: int = 10) -> list[Hit]:
        """The ``k`` messages that fit ``text`` best, best first, of the whole path and of the user's
        conversations that share this one's memory key; each with a ``score`` from 0 to 1. Found by words,
        names and dates; the embedding model of the policy, if it names one, ranks them anew. Raises
        `ParameterInvalid`."""
        if _says_nothing(text):
            raise ParameterInvalid(Reason("why.search_empty"), name="text")
        if not _counts(k):
            raise ParameterInvalid(Reason("why.not_number", least=1, value=k), name="k")
        settings = in_force((await self.info()).settings, self._place.declared)
        embedder = embedder_of(self._engine, policy_of(settings, self._engine))
        found = await self._store.recall(
            *self._at,
            query(text, now=time.time()),
            branch=self._place.branch,
            memory=settings.memory,
            limit=k if embedder is None else max(k, RERANKED),
        )
        if embedder is not None:
            scope = Scope(*self._at, self._place.branch, memory=settings.memory)
            found = (await embedder.rerank(found, text, scope))[:k]
        return [Hit(one.conversation, message_of(one.told), one.told.row.turn, one.score) for one in found]

    async def ledger(self, turn: TurnLike | None = None, step: int | None = None) -> Ledger:
        """Why each message was sent or left out in a stored turn (by default the newest), in its last
        step or the one named."""
        number, branch = await self._find(await self._newest() if turn is None else turn)
        steps = await self._store.steps(*self._at, number, branch)
        chosen = [s for s in steps if s.ledger and (step is None or s.number == step)]
        if not chosen:
            raise TurnNotFound(wanted=number, conversation=self.id)
        return Ledger.from_json(chosen[-1].ledger)

    async def summary(self) -> Summary | None:
        """The summary in force, which is sent in place of the oldest turns; ``None`` where there is none."""
        path = await self._store.gather(*self._at, Reach(turns=0), self._place.branch)
        return path.summary

    async def summaries(self) -> list[Summary]:
        """The summary in force and those it replaced, newest first."""
        return list(await self._store.summaries(*self._at, self._place.branch))

    async def summary_error(self) -> str | None:
        """Why the last attempt to write a summary gave none, as a code; ``None`` where it gave one, or there
        was no attempt. It is tried again after a pause, with a later turn."""
        last = await last_call(self._store, *self._at, self._place.branch)
        return last.error if last else None

    async def usage(self) -> Spending:
        """Tokens and cost of the whole conversation, all branches."""
        rows = await self._store.usage(self._place.owner, conversation=self.id)
        return Spending.total(self.id, [spending(row) for row in rows])

    async def export(self, format: Literal["jsonl", "openai", "markdown"] = "jsonl") -> str:
        """The path as text: lossless JSON lines, with its summaries, what was quoted and what is marked; an
        OpenAI-style list; or Markdown to read."""
        summaries = await self.summaries()  # before the messages, so that these hold all they stand for
        return exported(format, await self.info(), await self._rows(), summaries, await self.turns())

    # -- changing what is remembered

    async def update(
        self, *, metadata: Mapping[str, str] | None = None, expires_after: float | None = None
    ) -> Conversation:
        """Note something else about the conversation: ``metadata`` takes the place of what was noted.
        ``expires_after``: for how many seconds without use it is kept from now on, 0 for ever; then it is
        as if it had never been. Gives the conversation. Raises `ParameterInvalid`."""
        return await self._store.describe(
            *self._at,
            metadata=check_metadata(metadata),
            expires_after=check_seconds("expires_after", expires_after),
        )

    async def add(
        self, messages: Sequence[object], *, instructions: bool = True, make: bool = True
    ) -> list[Message]:
        """Store messages that were spoken elsewhere, without calling a model; gives them with their ids.

        OpenAI-style dictionaries, SDK objects or dumps full of nulls, with ``name``, ``created_at`` and
        ``id`` where you have them. Leading system messages become the instructions of a conversation
        that has none, or stay where they are if ``instructions`` is false. A handle of a branch adds to
        that branch; a conversation that does not exist is made, if ``make`` is true. Raises
        `MessageInvalid` also for a tool's result whose call is neither among the messages nor in the
        newest turn.
        """
        told = await self._take_in(messages, instructions=instructions, make=make)
        return [message_of(one) for one in told]

    async def _take_in(self, messages: Sequence[object], *, instructions: bool, make: bool) -> Sequence[Told]:
        """See `add`; gives the messages as they are stored."""
        wait = self._engine.queue
        return await take_in(
            self._store, self._place, messages, instructions=instructions, make=make, wait=wait
        )

    async def _made_ready(self, messages: Sequence[object]) -> tuple[Sequence[Sequence[Entry]], Declared]:
        """Messages as the turns that `add` would store, and what is declared with them."""
        return await made_ready(self._store, self._place, messages, instructions=True)

    async def branch(self, at: TurnLike) -> Self:
        """A new branch that shares everything up to and with turn ``at``; gives a handle of it. This
        handle, and the branch in use, stay where they are."""
        return self._on(await self._store.fork(*self._at, *await self._find(at)))

    def _on(self, branch: int | None) -> Self:
        """Another handle of the same conversation, on a branch of its own."""
        return type(self)(self._engine, self.id, self._place.owner, self._place.declared, branch)

    async def switch(self, turn: str | Turn | Branch) -> None:
        """Go on with a branch: the one that ``turn`` (an id or a `Turn`) belongs to, or the one given."""
        number = turn.number if isinstance(turn, Branch) else (await self._meant.address(turn)).branch
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

    async def erase(self, message: Message | TurnLike) -> None:
        """Delete for good what a message says, with its pictures and what was made of it (a summary, a
        quotation). It keeps its place, and what belongs to it is left out as by `exclude`: the results of
        its calls are deleted, too."""
        number, place, branch = await self._meant.message(message, self._place.branch)
        rows = [told.row for told in await self._rows(after=number - 1, limit=1, branch=branch)]
        chosen = [row for row in rows if (row.turn, row.place) == (number, place)]
        if not chosen:
            raise TurnNotFound(wanted=number, conversation=self.id)
        called = {call["id"] for call in orjson.loads(chosen[0].body).get("tool_calls") or ()}
        answers = [row for row in rows if row.role == "tool" and _answers(row) in called]
        entries = {row.place: _erased(row) for row in (*chosen, *answers)}
        await self._store.rewrite(*self._at, number, entries, branch)

    async def retract(self, turn: TurnLike, reason: str = "") -> None:
        """Withdraw a turn: it stays in the history, with the reason, and is never sent again."""
        await self._mark(turn, set=Trait.RETRACTED, reason=reason)

    async def _mark(self, turn: TurnLike, *, set: int = 0, clear: int = 0, reason: str | None = None) -> None:
        number, branch = await self._find(turn)
        await self._store.mark(
            *self._at, number, set=int(set), clear=int(clear), reason=reason, branch=branch
        )

    async def _mark_message(self, message: Message | TurnLike, *, set: int = 0, clear: int = 0) -> None:
        number, place, branch = await self._meant.message(message, self._place.branch)
        await self._store.mark(*self._at, number, place=place, set=int(set), clear=int(clear), branch=branch)

    async def edit_summary(self, text: str) -> Summary:
        """Put words of your own in the place of the summary; they stand for the same turns, and the next
        summary goes on from them. Raises `ConversationError` where there is no summary yet, and
        `ParameterInvalid` for words that the policy has no room for."""
        if not isinstance(text, str):
            raise ParameterInvalid(Reason("why.not_text", value=f"{text!r:.60}"), name="text")
        words, branch = text.strip(), self._place.branch
        if not words:
            raise ParameterInvalid(Reason("why.summary_empty"), name="text")
        check_whole("text", words)
        while True:
            path = await self._store.gather(*self._at, Reach(turns=0), branch)
            if path.summary is None:
                raise ConversationError(Reason("why.no_summary"))
            edited = Summary(0, path.summary.upto, words, self._summary_tokens(path.settings, words))
            written = await self._store.write_summary(*self._at, edited, path.summary.version, branch)
            if written is not None:  # else somebody else was quicker
                return written

    def _summary_tokens(self, settings: Settings, words: str) -> int:
        """The tokens of a summary that the policy has room for."""
        self._known.learn(settings)
        room = self._known.terms_of(self._engine, Input()).limits.summary_tokens
        tokens, most = count_text(words), int(room * TOLERANCE)
        if most and tokens > most:
            raise ParameterInvalid(Reason("why.summary_long", tokens=tokens, most=most), name="text")
        return tokens

    async def undo_summary(self) -> Summary | None:
        """Put the summary in force again that the present one replaced; gives it, ``None`` where none was.
        Nothing is forgotten: turns that no summary stands for are folded again in time."""
        return await self._store.undo_summary(*self._at, self._place.branch)

    async def cancel(self) -> bool:
        """Ask the turn that runs now, in whatever process, to stop; whether there was one."""
        return await self._store.cancel(*self._at)

    async def delete(self) -> None:
        """Remove the conversation and everything that belongs to it."""
        await self._store.delete(*self._at)

    async def _find(self, turn: TurnLike) -> tuple[int, int | None]:
        """The number of a turn, and the branch on whose path it has that number."""
        return await self._meant.turn(turn, self._place.branch)


def _answers(row: MessageRow) -> str:
    return str(orjson.loads(row.body)["tool_call_id"])


def _erased(row: MessageRow) -> Entry:
    """A message that only keeps its place."""
    answered = {"tool_call_id": _answers(row)} if row.role == "tool" else {}
    entry = seal({"role": row.role, "content": None, **answered}, count_message)
    return entry._replace(traits=entry.traits | Trait.EXCLUDED | Trait.DELETED)


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


def _says_nothing(text: object) -> bool:
    return not isinstance(text, str) or not text.strip()


def _counts(number: object) -> bool:
    return isinstance(number, int) and number >= 1
