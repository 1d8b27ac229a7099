"""Any order of calls gives what a model in plain lists gives.

The model knows nothing of rows: a branch is a list of turns, a turn a list of messages. Branches that
share turns share the very objects, so what happens to one shows on all of them.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path as Folder
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from multiturn.conversations import Owner, Step, Summary, TurnState
from multiturn.errors import ConversationBusy, Error, TurnClosed, TurnExpired, TurnNotFound
from multiturn.messages import Entry, Trait
from multiturn.path import Cut, Source
from multiturn.sealing import seal
from multiturn.storage import Ending, Lease, Partial, Reach, Start, Store
from multiturn.tokens import count_message
from multiturn.window import Quotation

from .stores import STORES, Opening
from .talk import assistant, call, held, result, system, user

OWNER = Owner("t", "u")
REGULAR = ["user", "assistant"]
IRREGULAR, OPEN, STOPPED = int(Trait.IRREGULAR), int(Trait.OPEN), int(Trait.STOPPED)
QUOTED, GONE = int(Trait.QUOTED), int(Trait.RETRACTED | Trait.EXCLUDED)
MARKS = st.sampled_from([int(Trait.PINNED), int(Trait.EXCLUDED), int(Trait.RETRACTED)])
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(lambda text: text.strip() != "")


PICTURE = Entry(
    "user",
    int(Trait.IMAGE | Trait.LISTED),
    3,
    b'{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,%s"}}]}'
    % (b"QUJD" * 1_100),
)


@dataclass
class MQuote:
    """What is quoted in front of the message at ``place``: messages of turns."""

    place: int
    text: bytes
    tokens: int
    sources: list[tuple[MTurn, int]]


@dataclass
class MLink:
    """A summary and the one that it replaced."""

    version: int
    upto: int
    replaced: MLink | None

    def before(self, turn: int) -> MLink | None:
        """The newest that says nothing of ``turn`` or later ones."""
        return self if self.upto < turn else self.replaced and self.replaced.before(turn)


@dataclass
class MTurn:
    branch: int
    state: TurnState
    entries: list[Entry]
    marks: int = 0
    traits_of: dict[int, int] = field(default_factory=dict)
    open_calls: tuple[str, ...] = ()
    steps: int = 0
    quote: MQuote | None = None

    @property
    def message_traits(self) -> list[int]:
        traits = [self.traits_of.get(place, entry.traits) for place, entry in enumerate(self.entries)]
        if self.quote is not None:
            traits[self.quote.place] |= QUOTED
        return traits

    def gone(self, place: int) -> bool:
        """Whether the message was taken back: by itself, with its turn, or with the input."""
        marked = [one & GONE for one in self.message_traits]
        inputs = any(m for m, e in zip(marked, self.entries, strict=True) if e.role == "user")
        return bool(self.marks & GONE or marked[place] or inputs)

    @property
    def traits(self) -> int:
        traits = self.marks
        for one in self.message_traits:
            traits |= one
        return traits if [e.role for e in self.entries] == REGULAR else traits | IRREGULAR

    def figures(self, number: int) -> tuple[int, ...]:
        tokens = sum(entry.tokens for entry in self.entries)
        tokens += 0 if self.quote is None else self.quote.tokens
        return (number, self.state, self.traits, tokens, 0, len(self.entries))


class Conversations(RuleBasedStateMachine):
    """One conversation under any order of calls."""

    opening: Opening

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.folder = tempfile.TemporaryDirectory()
        self.paths: list[list[MTurn]] = [[]]
        self.forks: list[int] = [0]
        self.cuts: list[Cut | None] = [None]
        self.summaries: list[MLink | None] = [None]
        self.versions = 0
        self.due: set[int] = set()
        self.in_use = 0
        self.lease: Lease | None = None
        self.stale: Lease | None = None
        self.arrived = ""
        self.calls = 0

    @initialize()
    def begin_with_a_store(self) -> None:
        self.store: Store = self.run(self.stack.enter_async_context(self.opening(Folder(self.folder.name))))
        self.run(self.store.add(OWNER, "c", [[user("first"), assistant("answer")]]))
        self.paths[0].append(MTurn(0, TurnState.COMPLETED, [user("first"), assistant("answer")]))

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()
        self.folder.cleanup()

    # -- what the model does

    def own_last(self, branch: int) -> MTurn:
        """The last turn of the branch, its own: a shared one is repeated there first."""
        path = self.paths[branch]
        last = path[-1]
        if last.branch != branch:
            last = MTurn(
                branch, last.state, list(last.entries), last.marks, dict(last.traits_of), last.open_calls
            )
            last.quote = path[-1].quote
            path[-1] = last
            self.forks[branch] = len(path) - 1
        for number, other in enumerate(self.paths):
            link = self.summaries[number]
            if link is not None and any(turn is last for turn in other):
                self.summaries[number] = link.before(len(path))
        return last

    def close_last(self, branch: int) -> None:
        path = self.paths[branch]
        if path and path[-1].state is TurnState.WAITING:
            path[-1].state = TurnState.INCOMPLETE
            path[-1].marks |= STOPPED
            path[-1].open_calls = ()

    @property
    def held(self) -> Lease:
        assert self.lease is not None
        return self.lease

    @property
    def running(self) -> MTurn | None:
        return None if self.lease is None else self.paths[self.lease.branch][-1]

    def free(self) -> bool:
        return self.lease is None

    # -- turns

    @precondition(free)
    @rule(text=TEXTS, data=st.data(), instruct=st.booleans())
    def begin(self, text: str, data: st.DataObject, instruct: bool) -> None:
        branch = data.draw(st.sampled_from([None, *range(len(self.paths))]))
        entries = [system("s"), user(text)] if instruct else [user(text)]
        working = self.in_use if branch is None else branch
        begun = self.run(self.store.begin(OWNER, "c", Start(entries=entries, branch=branch, wait=2)))
        self.close_last(working)
        self.paths[working].append(MTurn(working, TurnState.ACCEPTED, entries, steps=1))
        self.took(held(begun), working)

    def took(self, lease: Lease, branch: int) -> None:
        self.lease, self.arrived = lease, ""
        path = self.paths[branch]
        assert (lease.branch, lease.turn, lease.step) == (branch, len(path), path[-1].steps)

    @precondition(free)
    @rule(text=TEXTS, data=st.data())
    def edit(self, text: str, data: st.DataObject) -> None:
        branch = data.draw(st.integers(0, len(self.paths) - 1))
        after = data.draw(st.integers(0, len(self.paths[branch])))
        start = Start(entries=[user(text)], after=after, branch=branch, wait=2)
        begun = self.run(self.store.begin(OWNER, "c", start))
        self.forked(branch, after)
        self.in_use = len(self.paths) - 1
        self.close_last(self.in_use)
        self.paths[-1].append(MTurn(self.in_use, TurnState.ACCEPTED, [user(text)], steps=1))
        self.took(held(begun), self.in_use)

    def forked(self, branch: int, after: int) -> None:
        self.paths.append(self.paths[branch][:after])
        self.forks.append(after)
        cut = self.cuts[branch]
        self.cuts.append(cut if cut is not None and cut.turn <= after + 1 else None)
        link = self.summaries[branch]
        self.summaries.append(link and link.before(after + 1))

    @precondition(free)
    @rule(data=st.data())
    def again(self, data: st.DataObject) -> None:
        branch = data.draw(st.integers(0, len(self.paths) - 1))
        path = self.paths[branch]
        start = Start(again=True, branch=branch, wait=2)
        kept = (
            next((n for n, e in enumerate(path[-1].entries) if e.role in ("assistant", "tool")), 99)
            if path
            else 0
        )
        if not path or path[-1].state not in (TurnState.FAILED, TurnState.INCOMPLETE) or not kept:
            with pytest.raises((TurnNotFound, TurnClosed)):
                self.run(self.store.begin(OWNER, "c", start))
            return
        begun = self.run(self.store.begin(OWNER, "c", start))
        turn = self.own_last(branch)
        turn.quote = None
        del turn.entries[kept:]
        turn.traits_of = {place: traits for place, traits in turn.traits_of.items() if place < kept}
        turn.state, turn.open_calls = TurnState.ACCEPTED, ()
        turn.marks &= ~(STOPPED | OPEN)
        turn.steps += 1
        self.took(held(begun), branch)

    @precondition(free)
    @rule(data=st.data())
    def give_results(self, data: st.DataObject) -> None:
        branch = data.draw(st.integers(0, len(self.paths) - 1))
        path = self.paths[branch]
        wanted: tuple[str, ...] = path[-1].open_calls if path else ()
        entries = [result(one, "r") for one in wanted or ("nothing",)]
        start = Start(entries=entries, results=wanted or ("nothing",), branch=branch, wait=2)
        if not wanted:
            with pytest.raises(Error) as caught:
                self.run(self.store.begin(OWNER, "c", start))
            assert caught.value.code == "input_invalid" or "tool_call" in caught.value.code
            return
        begun = self.run(self.store.begin(OWNER, "c", start))
        turn = self.own_last(branch)
        turn.entries += entries
        turn.state, turn.open_calls = TurnState.STREAMING, ()
        turn.marks &= ~OPEN
        turn.steps += 1
        self.took(held(begun), branch)

    @precondition(lambda self: self.lease is not None)
    @rule(text=TEXTS)
    def append(self, text: str) -> None:
        assert self.run(self.store.append(self.held, Partial(text)))
        self.arrived += text
        assert self.running is not None
        if self.running.state is TurnState.ACCEPTED:
            self.running.state = TurnState.STREAMING

    @precondition(lambda self: self.lease is not None)
    @rule(
        state=st.sampled_from(
            [TurnState.COMPLETED, TurnState.WAITING, TurnState.INCOMPLETE, TurnState.FAILED]
        ),
        text=TEXTS,
        stopped=st.booleans(),
        cut=st.none() | st.integers(1, 6),
        due=st.booleans(),
        sources=st.none() | st.lists(st.tuples(st.integers(1, 5), st.integers(0, 2)), max_size=3),
    )
    def finish(
        self,
        state: TurnState,
        text: str,
        stopped: bool,
        cut: int | None,
        due: bool,
        sources: list[tuple[int, int]] | None,
    ) -> None:
        lease, turn = self.lease, self.running
        assert lease is not None
        assert turn is not None
        entries = [assistant(text)]
        calls: tuple[str, ...] = ()
        if state is TurnState.WAITING:
            self.calls += 1
            calls = (f"call-{self.calls}",)
            entries = [call(*calls)]
        elif state is TurnState.FAILED:
            entries = []
        traits = STOPPED if stopped else 0
        held_cut = None if cut is None else Cut(cut, "k")
        step = Step("m", b"[]")
        quote = None
        if sources is not None:
            quote = Quotation(text.encode(), 5, tuple(Source(*source, 0.5) for source in sources))
        ending = Ending(state, step, entries, calls, traits, held_cut, quote=quote, due=due)
        stored = self.run(self.store.finish(lease, ending))
        turn.state, turn.open_calls = state, calls
        turn.entries += entries
        turn.marks |= traits | (OPEN if calls else 0)
        if held_cut is not None:
            self.cuts[lease.branch] = held_cut
        if quote is not None:
            self.quote(turn, quote)
        if due:
            self.due.add(lease.branch)
        assert (stored.state, stored.open_calls, stored.traits) == (state, calls, turn.traits)
        self.lease, self.stale = None, lease

    def quote(self, turn: MTurn, quote: Quotation) -> None:
        """What is quoted is kept if all of it is there, and none of it was taken back."""
        path = self.paths[self.held.branch]
        found: list[tuple[MTurn, int]] = []
        for number, place, *_ in quote.sources:
            if number > len(path) or place >= len(path[number - 1].entries) or path[number - 1].gone(place):
                return
            found.append((path[number - 1], place))
        inputs = [place for place, entry in enumerate(turn.entries) if entry.role == "user"]
        if inputs:
            turn.quote = MQuote(inputs[-1], quote.text, quote.tokens, found)

    @precondition(lambda self: self.lease is not None)
    @rule()
    def lapse(self) -> None:
        """The holder goes away; an import finds that out."""
        lease, turn = self.lease, self.running
        assert lease is not None
        assert turn is not None
        self.run(self.store.renew(lease, 0.001))
        time.sleep(0.004)
        self.lease, self.stale = None, lease
        self.run(self.store.add(OWNER, "c", []))
        turn.state = TurnState.INCOMPLETE
        if self.arrived.strip():
            turn.entries.append(seal({"role": "assistant", "content": self.arrived}, count_message))

    @precondition(lambda self: self.stale is not None)
    @rule(text=TEXTS)
    def write_without_a_lease(self, text: str) -> None:
        assert self.stale is not None
        with pytest.raises(TurnExpired):
            self.run(self.store.append(self.stale, Partial(text)))
        with pytest.raises(TurnExpired):
            self.run(
                self.store.finish(self.stale, Ending(TurnState.COMPLETED, Step("m", b""), [assistant(text)]))
            )

    @precondition(lambda self: self.lease is not None)
    @rule()
    def push_in(self) -> None:
        with pytest.raises(ConversationBusy):
            self.run(self.store.begin(OWNER, "c", Start(entries=[user("x")], wait=0)))
        with pytest.raises(ConversationBusy):
            self.run(self.store.add(OWNER, "c", [[user("x")]], wait=0))

    # -- history

    @precondition(free)
    @rule(groups=st.lists(st.sampled_from(["ua", "u", "a", "sua", "uaa", "pa"]), max_size=3))
    def add(self, groups: list[str]) -> None:
        kinds = {"u": user("u"), "a": assistant("a"), "s": system("s"), "p": PICTURE}
        turns = [[kinds[kind] for kind in group] for group in groups]
        self.run(self.store.add(OWNER, "c", turns))
        path = self.paths[self.in_use]
        for place, entries in enumerate(turns):
            if place == 0 and path and entries[0].role == "assistant":
                turn = self.own_last(self.in_use)
                turn.entries += entries
                turn.state, turn.open_calls = TurnState.COMPLETED, ()
                turn.marks &= ~OPEN
            else:
                self.close_last(self.in_use)
                path.append(MTurn(self.in_use, TurnState.COMPLETED, entries))

    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        branch = data.draw(st.integers(0, len(self.paths) - 1))
        after = data.draw(st.integers(0, len(self.paths[branch])))
        assert self.run(self.store.fork(OWNER, "c", after, branch)) == len(self.paths)
        self.forked(branch, after)

    @rule(data=st.data())
    def switch(self, data: st.DataObject) -> None:
        self.in_use = data.draw(st.integers(0, len(self.paths) - 1))
        self.run(self.store.switch(OWNER, "c", self.in_use))

    @rule(data=st.data(), set=MARKS | st.just(0), clear=MARKS | st.just(0))
    def mark(self, data: st.DataObject, set: int, clear: int) -> None:
        branch = data.draw(st.integers(0, len(self.paths) - 1))
        number = data.draw(st.integers(1, len(self.paths[branch]) + 1))
        if number > len(self.paths[branch]):
            with pytest.raises(TurnNotFound):
                self.run(self.store.mark(OWNER, "c", number, set=set, branch=branch))
            return
        turn = self.paths[branch][number - 1]
        place = data.draw(st.none() | st.integers(0, len(turn.entries) - 1))
        self.run(self.store.mark(OWNER, "c", number, place=place, set=set, clear=clear, branch=branch))
        if place is None:
            turn.marks = (turn.marks & ~clear) | set
        else:
            turn.traits_of[place] = (turn.message_traits[place] & ~clear) | set
        if (set | clear) & GONE:
            for sharing, path in enumerate(self.paths):
                link = self.summaries[sharing]
                if link and any(one is turn for one in path):
                    self.summaries[sharing] = link.before(number)
        if set & GONE:
            whole = place is None or turn.entries[place].role == "user"
            self.unquote(turn, None if whole else place)

    def unquote(self, source: MTurn, place: int | None) -> None:
        for turn in (turn for path in self.paths for turn in path):
            quoted = [] if turn.quote is None else turn.quote.sources
            if any(one is source and place in (None, at) for one, at in quoted):
                turn.quote = None

    # -- summaries

    @rule(data=st.data(), late=st.booleans())
    def summarise(self, data: st.DataObject, late: bool) -> None:
        branch = data.draw(st.integers(0, len(self.paths) - 1))
        link = self.summaries[branch]
        least = link.upto if link else 1
        if least > len(self.paths[branch]):
            return
        summary = Summary(0, data.draw(st.integers(least, len(self.paths[branch]))), "s", 1)
        expected = link.version if link else None
        known = expected if not late else (expected or 0) + 1
        written = self.run(self.store.write_summary(OWNER, "c", summary, known, branch))
        assert (written is None) is late
        if not late:
            self.versions += 1
            assert written.version == self.versions
            self.summaries[branch] = MLink(self.versions, summary.upto, link)

    @rule(data=st.data())
    def undo_summary(self, data: st.DataObject) -> None:
        branch = data.draw(st.integers(0, len(self.paths) - 1))
        link = self.summaries[branch]
        self.summaries[branch] = before = link and link.replaced
        summary = self.run(self.store.undo_summary(OWNER, "c", branch))
        assert (summary and summary.version) == (before and before.version)

    @rule()
    def claim(self) -> None:
        claimed = set()
        while due := self.run(self.store.claim_due()):
            claimed.add(due.branch)
            self.run(self.store.settle_due(due, done=True))
        assert claimed == self.due
        self.due = set()

    # -- what must hold after each of them

    @invariant()
    def every_path_is_the_models(self) -> None:
        if not hasattr(self, "store"):
            return
        branches = self.run(self.store.branches(OWNER, "c"))
        assert [(b.number, b.fork, b.turns) for b in branches] == [
            (number, self.forks[number], len(path)) for number, path in enumerate(self.paths)
        ]
        assert [b.number for b in branches if b.in_use] == [self.in_use]
        for number in range(len(self.paths)):
            self.compare(number)
        conversation = self.run(self.store.conversation(OWNER, "c"))
        path = self.paths[self.in_use]
        assert (conversation.turns, conversation.messages) == (len(path), sum(len(t.entries) for t in path))

    def compare(self, branch: int) -> None:
        path = self.paths[branch]
        turns = self.run(self.store.turns(OWNER, "c", branch=branch))
        assert [(t.branch, t.number, t.state, t.traits, t.messages, t.open_calls) for t in turns] == [
            (t.branch, n, t.state, t.traits, len(t.entries), t.open_calls) for n, t in enumerate(path, 1)
        ]
        told = self.run(self.store.history(OWNER, "c", branch=branch))
        expected = [
            (number, place, turn.message_traits[place], entry.role, entry.body, *self.quoted(turn, place))
            for number, turn in enumerate(path, 1)
            for place, entry in enumerate(turn.entries)
        ]
        rows = [t.row for t in told]
        assert [(r.turn, r.place, r.traits, r.role, r.body, r.quote, r.tokens) for r in rows] == expected
        versions = [s.version for s in self.run(self.store.summaries(OWNER, "c", branch))]
        link = self.summaries[branch]
        while link is not None:
            assert versions.pop(0) == link.version
            link = link.replaced
        assert versions == []

    def quoted(self, turn: MTurn, place: int) -> tuple[bytes | None, int]:
        """What the message quotes, and the tokens of both."""
        tokens = turn.entries[place].tokens
        if turn.quote is None or turn.quote.place != place:
            return None, tokens
        return turn.quote.text, tokens + turn.quote.tokens

    @rule(
        data=st.data(),
        bounds=st.fixed_dictionaries(
            {},
            optional={
                "tokens": st.integers(0, 60),
                "turns": st.integers(0, 5),
                "messages": st.integers(0, 12),
                "before": st.integers(1, 9),
                "key": st.sampled_from(["", "k"]),
            },
        ),
    )
    def gather(self, data: st.DataObject, bounds: dict[str, Any]) -> None:
        branch = data.draw(st.integers(0, len(self.paths) - 1))
        reach = Reach(**bounds)
        path = self.run(self.store.gather(OWNER, "c", reach, branch))
        turns = list(enumerate(self.paths[branch], 1))
        cut = self.cuts[branch]
        first = cut.turn if cut is not None and cut.key == reach.key else 1
        link = self.summaries[branch]
        if link is not None and reach.before is not None and link.upto >= reach.before:
            link = None
        first = max(first, link.upto + 1 if link else 1)
        assert (path.summary and path.summary.version) == (link and link.version)
        wanted: list[tuple[int, MTurn]] = []
        for number, turn in reversed(turns[: None if reach.before is None else reach.before - 1]):
            if number < first or self.full(reach, wanted):
                break
            wanted.append((number, turn))
        assert path.cut == cut
        assert [tuple(turn) for turn in path.turns] == [turn.figures(number) for number, turn in wanted]
        bodies = [e.body for _, turn in reversed(wanted) for e in turn.entries]
        ordinary = all(t.traits == 0 and t.state is TurnState.COMPLETED for _, t in wanted)
        assert (path.rows is None) is ordinary
        read = path.bodies if path.rows is None else [row.body for row in path.rows]
        assert list(read) == bodies
        if wanted:
            oldest = wanted[-1][0]
            assert path.earlier_turns == oldest - 1
            assert path.earlier_messages == sum(len(turn.entries) for _, turn in turns[: oldest - 1])
            self.compare_standing(path.standing, turns[: oldest - 1])

    def full(self, reach: Reach, wanted: list[tuple[int, MTurn]]) -> bool:
        tokens = sum(turn.figures(0)[3] for _, turn in wanted)
        messages = sum(len(turn.entries) for _, turn in wanted)
        return (
            (reach.turns is not None and len(wanted) > reach.turns)
            or (reach.messages is not None and messages > reach.messages)
            or (reach.tokens is not None and tokens > reach.tokens)
        )

    def compare_standing(self, standing: Any, turns: list[tuple[int, MTurn]]) -> None:
        expected = []
        for number, turn in turns:
            sendable = turn.state in (TurnState.COMPLETED, TurnState.WAITING) or (
                turn.state is TurnState.INCOMPLETE and turn.traits & STOPPED
            )
            excluded = turn.marks & Trait.EXCLUDED or any(
                traits & Trait.EXCLUDED and entry.role == "user"
                for traits, entry in zip(turn.message_traits, turn.entries, strict=True)
            )
            pinned = turn.traits & Trait.PINNED and not turn.traits & Trait.RETRACTED
            for place, traits in enumerate(turn.message_traits):
                if traits & Trait.INSTRUCTION or (pinned and sendable and not excluded):
                    expected.append((number, place))
        assert [(row.turn, row.place) for row in standing] == expected


@pytest.mark.parametrize("name", list(STORES))
def test_any_order_of_calls(name: str) -> None:
    machine = type(name, (Conversations,), {"opening": staticmethod(STORES[name])})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
