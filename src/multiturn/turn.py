"""ONE TURN, top to bottom: receive, persist, gather, build, call, stream, persist, account.

    begin   the user's input is stored, the conversation held and its path read (`ahead.Ahead.accept`)
    window  the window is built (`question.Question.build`), a search by words while the input is stored
    stream  the provider answers, or who is asked next; deltas are handed on at once and kept in batches
    finish  answer, ledger, usage and cost are stored in one transaction; only then comes the last delta

A turn ends exactly once: completed, waiting for tool results, stopped, or failed. Whatever ends it,
the user's input is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace

from .ahead import Ahead
from .catalog import Card
from .conversations import Step, Turn, TurnState
from .course import Course
from .errors import (
    ContentFiltered,
    Error,
    StreamCut,
    TurnExpired,
)
from .hold import Hold, to_the_end
from .known import Known
from .messages import Trait
from .outcome import Outcome
from .phrases import Reason
from .question import Question, there
from .rendition import Rendition
from .reply import Delta, Draft, Reply
from .request import unmarked
from .routing import Attempts
from .step import Place, reach_of, refuse_early
from .storage import DELTAS, Asked, Begun, Ending, Lease, Start
from .terms import Engine, Input
from .window import Window

__all__ = ["OpenTurn", "begin"]


async def begin(
    engine: Engine, place: Place, start: Start, given: Input, known: Known, *, prepared: bool = False
) -> OpenTurn | Begun:
    """Accept a turn and build its window; or give what the same key began before.

    ``known`` is what the caller knows of the stored settings, and learns from the turn: what they show to
    be impossible is refused before anything is stored. What fails afterwards leaves a failed turn, and the
    error names it. A ``prepared`` turn is answered by somebody else: our own provider is not needed, and
    its time is not prolonged.
    """
    await engine.calibration.load(engine.store.model_facts)
    terms, attempts = known.terms_of(engine, given), _attempts(engine, place, known)
    if not prepared:
        engine.provider(*attempts.current)
    if start.results is None and not start.again:
        refuse_early(terms, given)
    ahead = Ahead(engine, terms, given, reach_of(terms, given))
    begun = await ahead.accept(place, start)
    if begun.lease is None:
        return begun
    gathered = ahead.gathered(begun)
    question = Question(engine, given, begun.lease, known, attempts, gathered=gathered, ahead=ahead)
    hold = _hold(engine, begun.lease, start, prepared=prepared)
    turn = OpenTurn(engine, replace(begun, path=None), hold, question)  # what was read is not kept
    if start.asked is not None:
        turn.course = _course(start.asked, turn.draft, keep_reasoning=engine.keep_reasoning)
    try:
        if known.learn(begun.settings) or attempts.choice:
            question.attempts = _attempts(engine, place, known)
        if not prepared:
            question.attempts.enter()
        await question.build()
        if prepared:
            question.built = unmarked(turn.window)
    except BaseException as error:
        ahead.drop()
        question.attempts.leave()
        await turn.fail(error)
        raise
    return turn


def _hold(engine: Engine, lease: Lease, start: Start, *, prepared: bool) -> Hold:
    return Hold(
        engine.store,
        lease,
        seconds=start.hold,
        renew=None if prepared else engine.renew,
        keep_reasoning=engine.keep_reasoning,
    )


def _attempts(engine: Engine, place: Place, known: Known) -> Attempts:
    return engine.attempts(known.model(engine), known.last, place.owner, place.conversation)


def _course(asked: Asked, draft: Draft, *, keep_reasoning: bool) -> Course:
    kind = Rendition if asked == DELTAS else Course
    return kind(draft, keep_reasoning=keep_reasoning)


@dataclass(slots=True)
class OpenTurn:
    """A turn that was accepted and has not ended."""

    engine: Engine
    begun: Begun
    hold: Hold
    question: Question
    draft: Draft = field(default_factory=Draft)
    closed: Turn | None = None
    ended: bool = False
    course: Course | None = None
    """Takes note of the pieces in which the answer comes, where that is wanted."""
    direct: Callable[[Delta], bool] | None = None
    """Takes the deltas after the first the moment they come, and says whether the next may."""
    _outcome: Outcome | None = None
    _ending: asyncio.Task[Turn] | None = None
    _started: float = field(default_factory=time.monotonic)

    @property
    def lease(self) -> Lease:
        """The right to write this turn."""
        return self.hold.lease

    @property
    def window(self) -> Window:
        """What is sent in this step."""
        return self.question.window

    @property
    def card(self) -> Card:
        """The model of this step."""
        return self.question.card

    # -- stream

    async def deltas(self, *, stream: bool = True) -> AsyncGenerator[Delta, None]:
        """The answer as it arrives; whatever ends it, the turn has ended, too. The last delta, which
        brings the finish reason, is held back until the turn is stored. Ends early, without an error,
        once the turn was told to stop."""
        last: Delta | None = None
        try:
            async with contextlib.aclosing(self.question.answer(stream=stream)) as answer:
                while (delta := await self.hold.next(answer)) is not None:
                    self.take(delta)
                    if last is None and not delta.finish_reason:
                        yield delta
                        await self._flow()
                    else:
                        last = delta if last is None else last + delta
            await self.settle(self.card.provider)
        except BaseException as error:
            await self.fail(error)
            raise
        if last is not None:
            yield last

    async def _flow(self) -> None:
        """Give the deltas to ``direct`` the moment they come, up to the one that brings the finish reason."""
        flow, direct = getattr(self.question.source, "flow", None), self.direct
        if flow is None or direct is None:
            return

        def take(delta: Delta) -> bool | None:
            if delta.finish_reason or self.hold.stopped:
                return None
            self.take(delta)
            return direct(delta)

        await self.hold.during(flow(take))

    def take(self, delta: Delta) -> None:
        """Add a delta to the draft, and to what is stored with the next batch."""
        self.draft.add(delta)
        if self.course is not None:
            self.course.add(delta)
        self.hold.keep(delta, self.course)

    # -- the end

    async def settle(self, provider: str) -> Turn:
        """End the step when nothing more comes: with the whole answer, or as stopped where the turn was
        told to. Raises `StreamCut` where the end of the answer is missing."""
        if self.draft.finish_reason is not None:
            return await self.complete()
        if self.hold.stopped:
            return await self.interrupt()
        raise StreamCut(Reason("why.no_finish"), provider=provider)

    async def complete(self) -> Turn:
        """End the step with the answer in the draft: completed, or waiting where tools are called. One
        that the provider's filter has cut is not sent again."""
        if self.course is not None:
            self.course.close()
        calls = tuple(call.id for call in self.draft.tool_calls)
        state = TurnState.WAITING if calls else TurnState.COMPLETED
        filtered = self.draft.finish_reason == "content_filter"
        return await self._end(state, open_calls=calls, traits=Trait.MODERATED if filtered else 0)

    async def interrupt(self) -> Turn:
        """End the turn as stopped by the user: what arrived is kept and will be sent again."""
        self.draft.drop_calls()
        return await self._end(TurnState.INCOMPLETE, traits=Trait.STOPPED)

    async def abort(self) -> Turn:
        """End a prepared turn that nobody answered: its input is kept and left out of later windows."""
        return await self._end(TurnState.INCOMPLETE)

    async def fail(self, error: BaseException) -> None:
        """End the turn because of an error, which learns the turn's id. What arrived is kept, marked.
        Whoever was cancelled has stopped the turn. This error is the one to tell, so no other is raised."""
        if isinstance(error, Error):
            error.turn = self.begun.turn.id
        if self.ended:
            return
        try:
            if isinstance(error, asyncio.CancelledError | GeneratorExit | KeyboardInterrupt):
                await self.interrupt()
                return
            self.draft.drop_calls()
            state = TurnState.FAILED if self.draft.empty else TurnState.INCOMPLETE
            moderated = isinstance(error, ContentFiltered)
            code = error.code if isinstance(error, Error) else "error"
            await self._end(state, traits=Trait.MODERATED if moderated else 0, error=code)
        except Exception:  # noqa: BLE001  (a provider of somebody else's may say anything)
            await self._give_back()

    async def _give_back(self) -> None:
        """The end cannot be stored, on a full disk for example: whoever comes next need not wait for the
        lease to run out, and finds what was stored while the answer came."""
        await self.hold.release()
        with contextlib.suppress(Error):
            await self.engine.store.renew(self.lease, 0.0)

    async def _end(
        self, state: TurnState, *, open_calls: tuple[str, ...] = (), traits: int = 0, error: str | None = None
    ) -> Turn:
        """Store the end. Whoever is cancelled meanwhile is cancelled afterwards; a second end that comes
        while the first is being stored is the first."""
        if self._ending is None or self._ending.done():
            self._outcome = None
            outcome, terms = self.outcome, self.question.terms
            self._outcome = outcome
            entries = outcome.entries(self.engine.keep_reasoning, unsure=error is not None)
            ending = Ending(
                state=state,
                step=self._step(error),
                entries=entries,
                open_calls=open_calls,
                traits=traits,
                cut=outcome.window.cut if outcome.window and error is None else None,
                error=error,
                quote=outcome.quote if error is None else None,
                request=outcome.fingerprint if error is None else None,
                counted=None if terms and terms.counter else outcome.counted,
                due=error is None and outcome.due,
                course=self.course.whole(stored=bool(entries)) if self.course else None,
            )
            self._ending = asyncio.create_task(self._store_end(ending))
        return await to_the_end(self._ending)

    async def _store_end(self, ending: Ending) -> Turn:
        await self.hold.release()
        try:
            self.closed = await self.engine.store.finish(self.lease, ending)
        except Error as error:
            error.turn = self.begun.turn.id
            self.ended = isinstance(error, TurnExpired)
            if self.ended and ending.step.usage:
                await self._charge(ending.step)
            raise
        self.ended = True
        if ending.due and self.engine.wake:
            self.engine.wake(self.lease.owner, self.lease.conversation)
        counted, terms = self.outcome.counted, self.question.terms
        if counted and ending.step.usage and terms:
            self.engine.calibration.note(terms.gauge, counted, ending.step.usage.input)
        if ending.state is TurnState.COMPLETED and self.engine.index and terms and terms.embedder:
            self.engine.index(self.lease.owner, self.lease.conversation, terms.embedder.name)
        return self.closed

    async def _charge(self, step: Step) -> None:
        """An answer that came too late to be stored was paid for all the same."""
        with contextlib.suppress(Error):
            place = self.lease
            lost = replace(step, ledger=b"", error=TurnExpired.code)
            await self.engine.store.record(place.owner, place.conversation, lost, place.branch)

    @property
    def outcome(self) -> Outcome:
        """What has come of the step, so far or in the end."""
        terms, built = self.question.terms, self.question.built
        return self._outcome or Outcome(self.draft, terms.card if terms else None, built)

    def _step(self, error: str | None) -> Step:
        outcome = self.outcome
        return Step(
            model=outcome.card.name if outcome.card else "",
            ledger=outcome.ledger,
            usage=outcome.usage,
            cost=outcome.cost,
            finish_reason=self.draft.finish_reason,
            response_id=self.draft.response_id,
            error=error,
            seconds=time.monotonic() - self._started,
            number=self.lease.step,
            turn=self.lease.turn,
            branch=self.lease.branch,
        )

    def reply(self) -> Reply:
        """The answer of the ended step."""
        outcome = self.outcome
        return Reply(
            text=self.draft.text,
            reasoning=self.draft.reasoning,
            tool_calls=self.draft.tool_calls,
            finish_reason=self.draft.finish_reason,
            usage=outcome.usage,
            cost=outcome.cost,
            window=there(outcome.told),
            turn=there(self.closed),
            model=self.card.name,
        )
