"""What if? The command replay: stored conversations under other policies and models, without calling
anyone."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ..catalog import Card, Catalog
from ..conversations import Conversation, Owner
from ..errors import ConversationNotFound
from ..policy import ContextPolicy
from ..providers import Provider
from ..replay import Case, Dialogue, Outcome, Said, Use, billed, read, total, uses, worst
from ..replay import replay as replayed
from ..storage import Store, open_store
from ..terms import Engine, Input, policy_of, terms_of
from .comparison import Comparison, show
from .schemes import Scheme, schemes
from .session import Session

__all__ = ["replay"]

PAGE = 100


@dataclass(slots=True)
class _Collected:
    """What a walk through the store gave: for each scheme its outcomes, and every stored turn without its
    words."""

    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    said: dict[tuple[str, int], Said] = field(default_factory=dict)
    apart: frozenset[str] = frozenset()

    def take(
        self,
        engine: Engine,
        dialogue: Dialogue,
        scheme: Scheme,
        used: Sequence[Sequence[Use]],
        since: float,
        tick: Callable[[int], None],
    ) -> None:
        """One conversation under one scheme."""
        policy = scheme.policy or policy_of(dialogue.settings, engine)
        self.apart |= _apart(policy, dialogue)
        case = _case(engine, dialogue, scheme, policy)
        self.outcomes[scheme.name].append(replayed(dialogue, case, used, since=since, tick=tick))

    def compared(self, *, with_bill: bool) -> Comparison:
        """The schemes beside the first, which is what is stored."""
        first, *others = self.outcomes
        base = self.outcomes[first]
        return Comparison(
            totals=[total(name, outcomes) for name, outcomes in self.outcomes.items()],
            outcomes=self.outcomes,
            worst={name: worst(base, self.outcomes[name]) for name in others},
            billed=billed(base, self.said) if with_bill else None,
            apart=self.apart,
        )


async def replay(
    session: Session,
    policies: Sequence[str],
    models: Sequence[str],
    since: float | None,
    conversation: str | None,
    against: str | None,
    picture: str | None,
    show_text: bool,
) -> int | None:
    """``replay``: totals of each scheme, the worst differences to what is stored, predicted against
    billed."""
    screen = session.screen
    plan = schemes(policies, models, screen.say("replay.as_stored"))
    catalog = Catalog(session.config.overrides)
    _check_models(plan, catalog)
    await session.stored().close()
    store = open_store(session.config.store)
    try:
        found = [each async for each in _conversations(store, session, conversation, since)]
        collected = await _walk(session, store, catalog, plan, found, since or 0.0)
        comparison = collected.compared(with_bill=bool(against))
        if not comparison.totals[0].turns:
            screen.note(screen.say("replay.nothing"))
            return None
        await show(screen, comparison, _reader(store, found) if show_text else None)
    finally:
        await store.close()
    if picture:
        Path(picture).write_text(comparison.picture(screen), "utf-8")  # noqa: ASYNC240  (the work is done)
        screen.note(screen.say("replay.drawn", path=picture))
    return None


def _check_models(plan: Sequence[Scheme], catalog: Catalog) -> None:
    """Raise what a scheme's model would be refused with before anything is read."""
    for scheme in plan:
        if scheme.model:
            catalog.card(scheme.model)


def _reader(store: Store, found: Sequence[Conversation]) -> Callable[[str], Awaitable[Dialogue]]:
    """Reads a conversation again, for whoever wants to see its words."""
    by_id = {each.id: each for each in found}
    return lambda name: read(store, by_id[name])


# ---------------------------------------------------------------------------------------- the walk


async def _conversations(
    store: Store, session: Session, wanted: str | None, since: float | None
) -> AsyncIterator[Conversation]:
    """The conversations to replay, the most recently used first."""
    owner = Owner("", session.config.user or None)
    if wanted is not None and wanted != "last":
        yield await store.conversation(owner, wanted)
        return
    before = None
    while page := await store.conversations(owner, limit=1 if wanted else PAGE, before=before):
        for each in page:
            if since is not None and each.updated_at < since:
                return
            yield each
        if wanted:
            return
        before = page[-1].id
    if wanted:
        raise ConversationNotFound(conversation=wanted)


async def _walk(
    session: Session,
    store: Store,
    catalog: Catalog,
    plan: Sequence[Scheme],
    found: Sequence[Conversation],
    since: float,
) -> _Collected:
    collected = _Collected({scheme.name: [] for scheme in plan})
    engine = Engine(
        store=store,
        catalog=catalog,
        provider=_nobody,
        model=session.config.model or "demo",
        policy=session.config.policy,
    )
    await engine.calibration.load(store.model_facts)
    turns = sum(each.turns for each in found)
    with _progress(session.screen.say("replay.progress"), turns * len(plan)) as show:
        done = 0
        for each in found:
            dialogue = await read(store, each)
            used = uses(dialogue.turns)
            for scheme in plan:
                collected.take(engine, dialogue, scheme, used, since, partial(show, done))
                done += each.turns
            for said in dialogue.turns:
                collected.said[dialogue.id, said.turn.number] = replace(said, rows=())
    return collected


def _case(engine: Engine, dialogue: Dialogue, scheme: Scheme, policy: ContextPolicy) -> Case:
    """What one conversation is replayed under; ``policy`` is the one that is in force there."""
    model = scheme.model or dialogue.model
    terms = terms_of(engine, dialogue.settings, Input(policy=scheme.policy, model=model))
    named = policy.summarize.model if policy.summarize else None
    writer = engine.catalog.card(named) if named else None
    return Case(scheme.name, terms, writer, engine.calibration.of(terms.card.name).ratio)


def _apart(policy: ContextPolicy, dialogue: Dialogue) -> frozenset[str]:
    """Codes of what a replay leaves out of this conversation."""
    if policy.recall is None:
        return frozenset()
    apart = {"embedding": policy.recall.embedding, "memory": dialogue.settings.memory}
    return frozenset(code for code, there in apart.items() if there)


def _nobody(card: Card, _: str) -> Provider:
    raise AssertionError(f"a replay calls nobody, not even {card.name}")


@contextmanager
def _progress(words: str, turns: int) -> Iterator[Callable[[int, int], None]]:
    """A bar on the standard error, where a person looks at it: hears of the turns that were done before,
    and of those of this conversation."""
    if not sys.stderr.isatty():
        yield lambda before, here: None  # noqa: ARG005  (nobody looks)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(words), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(words, total=turns)
        yield lambda before, here: bar.update(task, completed=before + here)
