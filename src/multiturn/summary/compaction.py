"""After a turn: which old turns become part of the summary, who writes it, and when?

A branch whose window grew past its mark is *due*: the mark stands in the store, so whoever comes next
can write the summary, also after a crash. It is written beside the turns, never inside one.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace

from ..context import folding
from ..conversations import Owner, Step, Summary
from ..embedding import EMBEDDING
from ..errors import ConfigurationInvalid, Error
from ..prompts import Asked
from ..request import asked_of
from ..storage import Due, Reach, Store
from ..terms import Engine, Input, policy_of, terms_of
from ..tokens import count_text
from ..window import Material
from .continuation import continuation
from .retelling import retell
from .summariser import Flaw, Writing
from .writers import Writers

__all__ = ["Compactor", "compact", "last_call", "pause"]

HOLD = 90.0
"""Seconds a claim lasts: more than a run may take."""
TOTAL = 60.0
"""Seconds one run may take, all its requests together."""
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 3600.0
"""Seconds until a failed summary may be tried again: the first pause doubles with every failure."""
CHUNKS = 4
"""Requests of one run; what is left then waits for the next turn."""
LEAST_ROOM = 64
"""Tokens that must be left for turns."""
MOST_HALVINGS = 3
"""After failures less is read at once: half with each of them."""
NOTHING = Summary(0, 0, "", 0)


async def compact(engine: Engine, due: Due) -> Summary | None:
    """Write the summary that is due and settle its mark. Gives it, or ``None`` where none was written;
    why, the branch's calls outside any turn tell (`Store.steps` of turn 0). Only the store's errors are
    raised: whatever a model does, the conversation goes on without a new summary."""
    try:
        run = await _begun(engine, due)
        if run is None:
            await engine.store.settle_due(due, done=True)
            return None
        return await run.ended()
    except ConfigurationInvalid as error:  # no model can be asked here; another process may be able to
        await _tell(engine, due, error.code)
        await engine.store.settle_due(due, done=False)
        return None
    except BaseException:
        with contextlib.suppress(Error):
            await engine.store.settle_due(due, done=False)
        raise


def pause(failures: int) -> float:
    """Seconds until a summary is tried again that had failed ``failures`` times before it failed now.

    >>> pause(0), pause(1), pause(20)
    (30.0, 60.0, 3600.0)
    """
    return min(FIRST_PAUSE * 2.0 ** min(failures, 30), LONGEST_PAUSE)


async def last_call(store: Store, owner: Owner, conversation: str, branch: int | None) -> Step | None:
    """The last attempt to write a summary of this branch; ``None`` where there was none."""
    calls = await store.steps(owner, conversation, 0, branch)
    return next((call for call in reversed(calls) if call.finish_reason != EMBEDDING), None)


async def _tell(engine: Engine, due: Due, code: str) -> None:
    """Keep why no summary was asked for, or what was written not used; once, however often it is tried."""
    last = await last_call(engine.store, due.owner, due.conversation, due.branch)
    if last is None or last.error != code:
        await engine.store.record(due.owner, due.conversation, Step("", b"", error=code), due.branch)


async def _begun(engine: Engine, due: Due) -> _Run | None:
    """Read the path as the next window will, and see what is to be folded; ``None``: nothing. Raises
    `ConfigurationInvalid` where no model can be asked."""
    at = (due.owner, due.conversation)
    here = await engine.store.gather(*at, Reach(turns=0), due.branch)
    settings = here.settings
    terms = terms_of(engine, settings, Input(), asked_of(here.request))
    reach = Reach(tokens=int(terms.limits.high / terms.limits.scale), key=terms.limits.key)
    path = await engine.store.gather(*at, reach, due.branch)
    terms = terms.calibrated(path.cut)
    path = terms.counted(Material(path=path)).path
    turns = folding(path, terms.limits, terms.head_tokens)
    if turns is None:
        return None
    policy = policy_of(settings, engine)
    named = policy.summarize.model if policy.summarize else None
    model, last = named or settings.model or engine.model, None if named else asked_of(here.request)
    writers = Writers.of(engine, model, last, due.owner, due.conversation, terms.limits.summary_tokens)
    warm = None
    if named is None and due.failures == 0:
        bare = replace(policy, recall=None)
        warm = await continuation(engine, due, writers.writer, bare, path, turns[1])
    return _Run(engine, due, writers, path.summary or NOTHING, turns[1], warm)


@dataclass(slots=True)
class _Run:
    """One attempt: the turns after those of ``present`` (the summary in force), up to ``upto``, are to
    become part of ``summary``. ``warm`` asks for all of them at once, at the end of the conversation."""

    engine: Engine
    due: Due
    writers: Writers
    present: Summary
    upto: int
    warm: Writing | None = None
    summary: Summary = NOTHING
    language: str = ""

    async def ended(self) -> Summary | None:
        """Fold, oldest turns first, and put the outcome in force: of a run that broke off, what it has."""
        self.summary, flaw = self.present, None
        end = asyncio.get_running_loop().time() + TOTAL
        chunks = CHUNKS
        while chunks:
            flaw = await (self._ask(self.warm, self.upto, end) if self.warm else self._fold(end))
            if self.writers.moved:  # the same again, for whoever is asked now
                self.warm, self.writers.moved = None, False
                continue
            chunks -= 1
            if flaw or self.summary.upto >= self.upto:
                break
        written = None
        if self.summary.text and self.summary.upto > self.present.upto:
            written = await self._write()
            flaw = flaw if written else Flaw.OVERTAKEN
        await self._settle(flaw)
        return written

    async def _fold(self, end: float) -> str | None:
        """Fold the next turns into the summary; gives what went wrong."""
        text = self.summary.text
        writer = self.writers.writer
        room = writer.room(text, self.language or "en") >> min(self.due.failures, MOST_HALVINGS)
        if room < LEAST_ROOM:
            await _tell(self.engine, self.due, Flaw.NO_ROOM)
            return Flaw.NO_ROOM
        turns = await retell(self.engine.store, self.due, self.summary.upto, self.upto, room, self.language)
        self.language = turns.language
        if not turns.words:  # turns that are never sent again have no part in it
            self._folded(turns.last, text, self.summary.model)
            return None
        writing = writer.writing(Asked(text, turns.words, turns.language), self.due.branch)
        return await self._ask(writing, turns.last, end)

    async def _ask(self, writing: Writing, upto: int, end: float) -> str | None:
        """Ask for a summary of the turns up to ``upto``, if its tenant's budget has room for it; gives what
        went wrong."""
        owner, spare = self.due.owner, self.engine.spare
        held = spare(owner.tenant, writing.foreseen) if spare else contextlib.nullcontext(enter_result=True)
        async with held as room:
            if not room:
                await _tell(self.engine, self.due, Flaw.NO_BUDGET)
                return Flaw.NO_BUDGET
            try:
                text = await self.writers.ask(writing, end)
            finally:
                await self.engine.store.record(owner, self.due.conversation, writing.step, self.due.branch)
        if text is not None:
            self._folded(upto, text, writing.summariser.card.name)
        return writing.flaw

    def _folded(self, upto: int, text: str, model: str | None) -> None:
        self.summary = Summary(0, upto, text, count_text(text), model)

    async def _write(self) -> Summary | None:
        """Put the summary in force, unless somebody else has written one meanwhile, or a turn was taken
        back that it may tell of."""
        expected = self.present.version or None
        at = (self.due.owner, self.due.conversation)
        written = await self.engine.store.write_summary(
            *at, self.summary, expected, self.due.branch, self.due
        )
        if written is None:
            await _tell(self.engine, self.due, Flaw.OVERTAKEN)
        return written

    async def _settle(self, flaw: str | None) -> None:
        """Give the claim back: for good, for the next turn that is due, or for later."""
        later = flaw not in (None, Flaw.OVERTAKEN, Flaw.NO_BUDGET)
        await self.engine.store.settle_due(
            self.due,
            done=flaw is None and self.summary.upto >= self.upto,
            wait=pause(self.due.failures) if later else 0.0,
        )


# ---------------------------------------------------------------------------------------- in the background


class Compactor:
    """Writes the summaries of one client, one after the other, beside its turns. Nothing runs before the
    first of a tenant is due; then it also looks for those of this tenant that other processes have left
    behind."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: dict[tuple[Owner, str], None] = {}
        self._looked: set[str] = set()
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    def wake(self, owner: Owner, conversation: str) -> None:
        """A turn of this conversation has left a mark."""
        if self._closed:
            return
        self._waiting[owner, conversation] = None
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    async def drain(self, seconds: float = 10.0) -> None:
        """Wait for what is being written, and take up nothing more; what takes longer is given back, so
        that the next process can write it."""
        self._closed = True
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=seconds)
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _work(self) -> None:
        with contextlib.suppress(Error):  # the store's trouble shows in turns; the mark stays
            while self._waiting:
                owner, conversation = next(iter(self._waiting))
                del self._waiting[owner, conversation]
                seen: set[tuple[Owner, str, int]] = set()
                await self._serve(owner, conversation, seen)
                if owner.tenant not in self._looked:
                    self._looked.add(owner.tenant)
                    await self._serve(Owner(owner.tenant, None), None, seen)

    async def _serve(self, owner: Owner, conversation: str | None, seen: set[tuple[Owner, str, int]]) -> None:
        """Write what is due there, each branch once; what others left behind, only while there is time."""
        store = self._engine.store
        while not self._closed or conversation is not None:
            due = await store.claim_due(owner=owner, conversation=conversation, hold=HOLD)
            if due is None:
                return
            branch = (due.owner, due.conversation, due.branch)
            if branch in seen:
                await store.settle_due(due, done=False)
                return
            seen.add(branch)
            await compact(self._engine, due)
