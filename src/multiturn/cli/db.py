"""What can be done to the database itself? The command db: vectors made anew."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from ..catalog import Catalog
from ..embedding import Embedder
from ..endpoints import Endpoints
from ..errors import SettingInvalid
from ..phrases import Reason
from ..reembedding import Plan, plan, reembed
from ..storage import open_store
from .figures import count, money
from .session import Session

__all__ = ["db"]

ACTIONS = ("reembed",)


async def db(session: Session, action: str, embedding: str | None, *, yes: bool) -> int | None:
    """``db reembed``: give every message a vector of one model. Gives 1 when nothing was done."""
    if action not in ACTIONS:
        raise click.BadParameter(action, param=click.Argument(["action"]))
    await session.stored().close()
    recall = session.config.policy.recall
    name = embedding or (recall.embedding if recall else None)
    if name is None:
        raise SettingInvalid(Reason("why.embedding_unnamed"), name="policy.recall")
    store = open_store(session.config.store)
    catalog = Catalog(session.config.overrides)
    endpoints = Endpoints(catalog, session.config, session.environment, store, "demo")
    try:
        embedder = endpoints.embedder(name)
        if embedder is None:
            raise SettingInvalid(Reason("why.no_vectors"), name="store")
        return await _reembed(session, embedder, yes=yes)
    finally:
        await endpoints.close()
        await store.close()


async def _reembed(session: Session, embedder: Embedder, *, yes: bool) -> int | None:
    screen = session.screen
    planned = await plan(embedder)
    figures = {"model": embedder.name, "dimension": planned.dimension, "others": count(planned.others)}
    work = planned.messages or planned.others
    if planned.messages and not screen.as_json:
        screen.note(screen.say("db.plan", **_told(planned), **figures))
    if planned.messages and not yes:
        if not screen.asks:
            screen.note(screen.say("db.yes_needed"))
            return 1
        if not click.confirm(screen.say("db.ask"), default=False):
            return 1
    with _progress(screen.say("db.progress"), planned.messages) as told:
        made = await reembed(embedder, planned, told) if work else 0
    if screen.as_json:
        screen.record(
            {
                "model": embedder.name,
                "dimension": planned.dimension,
                "embedded": made,
                "removed": planned.others,
            }
        )
    else:
        screen.line(screen.say("db.done" if work else "db.nothing", made=count(made), **figures))
    return None


def _told(planned: Plan) -> dict[str, object]:
    return {
        "messages": count(planned.messages),
        "conversations": count(planned.conversations),
        "tokens": count(planned.tokens),
        "cost": money(planned.cost),
    }


@contextmanager
def _progress(words: str, messages: int) -> Iterator[Callable[[int], None]]:
    """A bar on the standard error, where a person looks at it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(words), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(words, total=messages)
        yield lambda passed: bar.advance(task, passed)
