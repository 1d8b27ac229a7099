"""Is this POST one that came before? OpenAI's SDKs repeat a request by themselves and say so only in
``x-stainless-retry-count``; such a repeat joins or replays the turn of the first, whose end it never saw.
Two equal POSTs that are no repeats are two turns: people do say "go on" twice."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TypeVar

from starlette.types import Receive

from ..chat import AsyncConversation
from ..conversations import Turn, TurnState
from ..errors import ConversationNotFound
from .http.connection import Connection

__all__ = ["ENDED_BADLY", "Repeats", "Seen"]

K = TypeVar("K")
V = TypeVar("V")
REMEMBERED = 4096
PAUSE = 0.05
SOON = 1.0
DOUBT = 10.0
"""Of a connection that ends so soon after its answer nobody knows whether the answer arrived; for so many
seconds, in which SDKs repeat, who says that a request is repeated is believed."""
ENDED_BADLY = (TurnState.FAILED, TurnState.INCOMPLETE)


@dataclass(frozen=True, slots=True)
class Seen:
    """The request key of a POST; ``repeated`` where it came before, ``again`` where its turn is there, ended
    badly, and is to be asked for once more."""

    key: str
    again: bool = False
    repeated: bool = False


@dataclass(slots=True)
class Repeats:
    """What this process knows of the newest POSTs. The keys of turns are stored with them, so that a
    repeat is known after a restart too."""

    posted: OrderedDict[tuple[tuple[str, str], str, str], str] = field(default_factory=OrderedDict)
    told: OrderedDict[str, float] = field(default_factory=OrderedDict)
    process: str = field(default_factory=lambda: secrets.token_hex(8))
    numbers: Iterator[int] = field(default_factory=count)

    async def seen(self, chat: AsyncConversation, body: bytes, count: str | None, wait: float) -> Seen:
        """The key for a POST to a conversation. A repeat waits until the turn of the first has ended.
        ``count`` says how often the client repeated it; where it cannot say (``None``), the newest turn is
        repeated by an equal POST if its answer never reached its end."""
        digest, owner = hashlib.sha256(body).hexdigest()[:32], chat.at[0]
        place = ((owner.tenant, owner.user or ""), chat.id, digest)
        if place in self.posted if count is None else count.isdecimal() and count.strip("0"):
            posted = None if count is None else self.posted.get(place)
            turn = None if posted else await _newest(chat, f"post_{digest}_")
            key = turn.key if turn else posted
            if key is not None and not (key in self.told if count is None else self.arrived(key)):
                turn = await _ended(chat, key, wait)
                return Seen(key, again=turn is not None and turn.state in ENDED_BADLY, repeated=True)
        key = f"post_{digest}_{self.process}{next(self.numbers):x}"
        _keep(self.posted, place, key)
        return Seen(key)

    def remember(self, place: tuple[tuple[str, str], str, str], key: str) -> None:
        """A POST at this place got this key."""
        _keep(self.posted, place, key)

    def was_told(self, key: str, receive: Receive) -> None:
        """The end of the answer was sent to somebody who still listened."""
        if isinstance(receive, Connection):
            if receive.left:
                return
            receive.when_lost(partial(self._doubt, key, time.monotonic()))
        _keep(self.told, key, 0.0)

    def _doubt(self, key: str, told_at: float) -> None:
        now = time.monotonic()
        if now - told_at < SOON:
            _keep(self.told, key, now + DOUBT)

    def arrived(self, key: str) -> bool:
        """Whether the end of the answer reached its client, as far as one knows."""
        doubted_until = self.told.get(key)
        return doubted_until is not None and doubted_until <= time.monotonic()


async def _newest(chat: AsyncConversation, prefix: str) -> Turn | None:
    """The newest turn, if its key begins so."""
    with suppress(ConversationNotFound):
        for turn in await chat.turns(limit=1):
            if (turn.key or "").startswith(prefix):
                return turn
    return None


async def _ended(chat: AsyncConversation, key: str, wait: float) -> Turn | None:
    """The newest turn once it has ended, if it is the one of this key."""
    loop = asyncio.get_running_loop()
    end = loop.time() + wait
    while turn := await _newest(chat, key):
        if turn.state >= TurnState.WAITING or loop.time() >= end:
            return turn
        await asyncio.sleep(PAUSE)
    return None


def _keep(shelf: OrderedDict[K, V], key: K, value: V) -> None:
    shelf[key] = value
    shelf.move_to_end(key)
    while len(shelf) > REMEMBERED:
        shelf.popitem(last=False)
