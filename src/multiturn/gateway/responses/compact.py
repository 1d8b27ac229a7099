"""``/v1/responses/compact``: everything up to here as one item, for a client that keeps its history itself or
wants to begin anew with less."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from ...client import AsyncMultiTurn
from ...conversations import new_ulid
from ...errors import ContentFiltered, HistoryRefused, ProviderError, ProviderOverflow, RequestRefused
from ...messages import Message
from ...policy import Summarize
from ...prompts import Asked, language_of, narrated
from ...storage import Reach, Told
from ...summary import Flaw, Writers, Writing, spoken
from ...tokens import count_text
from ...usage import Usage
from ...wire import opened as read
from ..gateway import Gateway, gateway_of
from ..http.answers import answered
from ..http.body import read_body
from ..http.presence import staying
from ..http.refusal import Refusal
from .compactions import MARK, compaction_item
from .prepared import Prepared, prepared
from .request import foresight_of, wanted_of
from .response import usage_told

__all__ = ["compacted"]

SECONDS = 120.0
"""How long all requests together may take."""
MOST_REQUESTS = 16
INSTRUCTING = ("system", "developer")
"""Instructions stay in force; they are no part of what was said."""
OURS = (ContentFiltered, HistoryRefused, ProviderOverflow, RequestRefused)
"""What a provider says of the request that we wrote; everything else is told as the provider's."""
NARROW = 500
"""Characters of one message, where a turn alone is too much to read."""


async def compacted(request: Request) -> Response:
    """Summarise a conversation, and what is posted with it."""
    body = await read_body(request.scope, request.receive)
    gateway = gateway_of(request)
    client = gateway.client_of(request.scope)
    if "model" not in body.fields:  # the one parameter that must be named, if only by null
        raise Refusal(400, "missing_required_parameter", param="model")
    wanted = wanted_of(body.fields, empty=True)
    await gateway.expect(foresight_of(client, wanted, len(body.raw)))
    async with staying(request.receive):
        ready = await prepared(client, wanted, new_ulid())
        past = await _past(client, ready)
        if not past.turns and not past.so_far:
            raise Refusal(400, "items_missing", param="input")
        text, usage = await _summary(gateway, client, ready, past)
    name = new_ulid()
    return answered(
        {
            "id": f"resp_{name}",
            "object": "response.compaction",
            "created_at": int(time.time()),
            "output": [compaction_item(f"{MARK}{name}", text, past.before + len(past.turns))],
            "usage": usage_told(usage),
        }
    )


class _Past(NamedTuple):
    """The turns that no summary tells of yet, without what is never sent again; the summary there is, and how
    many turns ``before`` it tells of."""

    turns: Sequence[Sequence[Message]]
    so_far: str
    before: int


async def _past(client: AsyncMultiTurn, ready: Prepared) -> _Past:
    """What is to be told in the one item."""
    store, spot = client.engine.store, ready.spot
    found: list[list[Message]] = []
    so_far, before = "", 0
    if not spot.make:
        last = spot.upon.turn if spot.upon else None
        path = await store.gather(spot.owner, spot.conversation, Reach(turns=0), spot.branch)
        if path.summary is not None and (last is None or path.summary.upto <= last):
            so_far, before = path.summary.text, path.summary.upto
        limit = None if last is None else last - before
        at = (spot.owner, spot.conversation)
        turns = await store.turns(*at, after=before, limit=limit, branch=spot.branch)
        rows: defaultdict[int, list[Told]] = defaultdict(list)
        for told in await store.history(*at, after=before, limit=limit, branch=spot.branch):
            rows[told.row.turn].append(told)
        found += [spoken(turn, rows[turn.number]) for turn in turns]
    found += [[read(entry.body) for entry in group] for group in (*ready.words.earlier, ready.words.entries)]
    said = [[message for message in turn if message.role not in INSTRUCTING] for turn in found]
    return _Past([turn for turn in said if turn], so_far, before)


async def _summary(
    gateway: Gateway, client: AsyncMultiTurn, ready: Prepared, past: _Past
) -> tuple[str, Usage]:
    """One text for all of it, and what that consumed: what is shorter than its summary stays as it is. Raises
    `Refusal` where the model writes none."""
    turns, so_far, before = past
    words = " ".join(m.text for turn in turns for m in turn if m.role == "user")
    language, spent, spot = language_of(words or so_far), Usage(), ready.spot
    at = (spot.owner, spot.conversation)
    writers = Writers.of(client.engine, ready.model, None, *at, Summarize().max_tokens)
    lines = [narrated(before + n, turn, language) for n, turn in enumerate(turns, 1)]
    end = asyncio.get_running_loop().time() + SECONDS
    for _ in range(MOST_REQUESTS):
        if not lines:
            break
        writer = writers.writer
        told = _fitting(lines, writer.room(so_far, language))
        writing = writer.writing(Asked(so_far, "\n".join(lines[:told]), language), 0)
        text = await writers.ask(writing, end)
        if writing.flaw == Flaw.GREW:
            text = "\n".join([*filter(None, [so_far]), *lines[:told]])
        used = writing.step.usage or Usage()
        spent = spent + used
        if (consumed := gateway.consumed(client, writer.card)) is not None:
            consumed(used)
        if text is not None:
            so_far, lines = text, lines[told:]
        elif not writers.moved:
            raise _failure(writing)
    if lines:
        raise Refusal(400, "context_length_exceeded", param="input")
    return so_far, spent


def _failure(writing: Writing) -> Exception:
    """Why there is no summary: what the provider says, unless it says it of the request that we wrote."""
    if isinstance(writing.error, ProviderError) and not isinstance(writing.error, OURS):
        return writing.error
    return Refusal(502, "compaction_failed", flaw=writing.flaw)


def _fitting(lines: list[str], room: int) -> int:
    """How many of the turns can be read at once; of one that alone is too long, its beginning."""
    spent = 0
    for place, line in enumerate(lines):
        spent += count_text(line) + 1
        if spent > room:
            if place == 0:
                lines[0] = line[: max(NARROW, room // 3)]
                return 1
            return place
    return len(lines)
