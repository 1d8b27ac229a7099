"""What can be done of a window while the beginning of its turn is being stored? All of it, where what lies
outside is searched by its words: nobody, no embedding model either, is asked before the turn is durable."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from .step import Gathered, Place, window_of
from .storage import Begun, Reach, Start
from .terms import Engine, Input, Terms
from .window import Window

__all__ = ["Ahead"]


@dataclass(slots=True)
class Ahead:
    """The window of a turn under these terms, built from what is read as soon as that is known."""

    engine: Engine
    terms: Terms
    given: Input
    reach: Reach
    task: asyncio.Task[Window] | None = None

    async def accept(self, place: Place, start: Start) -> Begun:
        """Have the turn stored, and its window built meanwhile where that takes a search by words."""
        searched = self.terms.limits.recall_tokens and self.terms.embedder is None
        store, early = self.engine.store, self._begin if searched else None
        try:
            return await store.begin(place.owner, place.conversation, start, self.reach, early)
        except BaseException:
            self.drop()
            raise

    def gathered(self, begun: Begun) -> Gathered | None:
        """What was read with the beginning of the turn."""
        if begun.lease is None or begun.path is None:
            return None
        return Gathered(self.reach.held(begun.lease), begun.path)

    def _begin(self, begun: Begun) -> None:
        """The turn is about to be stored, and was ``begun`` like this. Only a window that leaves something
        out has anything to search."""
        gathered = self.gathered(begun)
        if begun.lease is not None and gathered is not None and gathered.path.earlier_turns:
            work = window_of(self.engine, self.terms, self.given, begun.lease, gathered)
            self.task = asyncio.create_task(work)

    def take(self, terms: Terms, given: Input) -> asyncio.Task[Window] | None:
        """The window, if it is built under these terms for this input; else it is not built any more."""
        task, self.task = self.task, None
        if task is not None and not (given is self.given and terms == self.terms):
            task.cancel()
            return None
        return task

    def drop(self) -> None:
        """Nobody wants it."""
        task, self.task = self.task, None
        if task is not None:
            task.cancel()
