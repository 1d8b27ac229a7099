"""What is stored? The commands list, show, search and usage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

import orjson

from ..conversations import Turn, TurnState
from ..messages import Trait
from ..storage import Grouping
from ..usage import Spending
from .figures import UNKNOWN, count, monies, when
from .records import conversation_record, message_record, message_text, turn_of, usage_record
from .screen import Screen
from .session import Session, handle

__all__ = ["conversations", "excerpt", "marks", "search", "show", "usage", "usage_table"]

EXCERPT = 60
"""Characters of a text that is shown in part."""


async def conversations(session: Session, limit: int) -> None:
    """``list``: conversations, the most recently used first."""
    screen, everybody = session.screen, session.user is None
    async with session.stored() as client:
        found = await client.conversations(user=session.user, everybody=everybody, limit=limit)
    if screen.as_json:
        for each in found:
            screen.record(conversation_record(each))
        return
    if not found:
        screen.note(screen.say("list.empty"))
        return
    rows = [
        [
            c.id,
            *([c.user or UNKNOWN] if everybody else []),
            str(c.turns),
            when(c.updated_at),
            c.settings.model or UNKNOWN,
            excerpt(c.title),
        ]
        for c in found
    ]
    heads = ("id", *(("user",) if everybody else ()), "turns", "updated", "model", "title")
    screen.table(heads, rows, right=(heads.index("turns"),))


async def show(session: Session, conversation: str) -> None:
    """``show``: the messages of a conversation, and what became of each turn that did not go well."""
    screen = session.screen
    async with session.stored() as client:
        chat = handle(client, await session.find(client, conversation))
        messages = await chat.history()
        turns = {turn.number: turn for turn in await chat.turns()}
    before: int | None = None
    for message, after in zip_longest(messages, messages[1:]):
        number = turn_of(message)
        turn = turns.get(number or 0)
        if screen.as_json:
            screen.record(message_record(message, turn))
            continue
        head = f"{number if number != before else '':>4}  {screen.say(f'role.{message.role}')}"
        screen.line(f"{head}: {message_text(message, screen.language)}")
        if turn and (after is None or turn_of(after) != number):
            for mark in marks(turn, screen):
                screen.line(f"      [{mark}]")
        before = number


def marks(turn: Turn, screen: Screen) -> Iterator[str]:
    """What became of a turn, where that is not simply an answer; and what somebody said of it."""
    if turn.state is TurnState.FAILED:
        yield screen.say("decision.failed", **{"error": turn.error} if turn.error else {})
    elif turn.state is TurnState.WAITING:
        yield screen.say("show.waiting", calls=", ".join(turn.open_calls))
    elif not turn.state.final:
        yield screen.say("show.running")
    elif turn.traits & Trait.STOPPED:
        yield screen.say("show.stopped")
    elif turn.state is TurnState.INCOMPLETE:
        yield screen.say("decision.incomplete")
    if turn.traits & Trait.MODERATED:
        yield screen.say("decision.moderated")
    if turn.traits & Trait.RETRACTED:
        yield screen.say("decision.retracted", **{"reason": turn.reason} if turn.reason else {})
    if turn.traits & Trait.PINNED:
        yield screen.say("decision.pinned")


async def search(session: Session, text: str, limit: int) -> None:
    """``search``: messages that contain a text."""
    screen, everybody = session.screen, session.user is None
    async with session.stored() as client:
        hits = await client.search(text, user=session.user, everybody=everybody, limit=limit)
    if screen.as_json:
        for hit in hits:
            screen.record({"conversation": hit.conversation, **message_record(hit.message)})
        return
    if not hits:
        screen.note(screen.say("list.nothing_found", text=text))
        return
    rows = [
        [
            hit.conversation,
            str(hit.turn),
            screen.say(f"role.{hit.message.role}"),
            excerpt(message_text(hit.message, screen.language), around=text),
        ]
        for hit in hits
    ]
    screen.table(("conversation", "turn", "role", "text"), rows, right=(1,))


async def usage(session: Session, conversation: str | None, by: Sequence[Grouping]) -> None:
    """``usage``: tokens and cost added up, of one conversation, one user, or everybody."""
    wanted = list(dict.fromkeys(by))
    several = len(wanted) > 1
    grouped: Grouping | list[Grouping] = wanted if several else wanted[0] if wanted else "all"
    async with session.stored() as client:
        one = None if conversation is None else await session.find(client, conversation)
        if one is not None and not wanted:
            groups = [await handle(client, one).usage()]
        elif one is not None:
            groups = await client.usage(by=grouped, user=one.user, conversation=one.id)
        else:
            groups = await client.usage(by=grouped, user=session.user)
    usage_table(session.screen, groups, several=several)


def usage_table(screen: Screen, groups: Sequence[Spending], *, several: bool = False) -> None:
    """Usage as a table or as JSON lines; where it is by ``several``, a group is the JSON list of its
    values."""
    if screen.as_json:
        for group in groups:
            named = {"group": orjson.loads(group.group)} if several else {}
            screen.record(usage_record(group) | named)
        return
    if not any(group.calls for group in groups):
        screen.note(screen.say("list.nothing_used"))
        return
    screen.table(
        ("group", "turns", "calls", "input", "cached", "output", "cost"),
        [_usage_cells(screen, group, several=several) for group in groups],
        right=(1, 2, 3, 4, 5, 6),
    )


def _usage_cells(screen: Screen, group: Spending, *, several: bool) -> list[str]:
    usage = group.usage
    values = orjson.loads(group.group) if several else [group.group]
    return [
        screen.say("word.all") if group.group == "all" else " · ".join(value or UNKNOWN for value in values),
        count(group.turns),
        count(group.calls),
        count(usage.input, estimated=usage.estimated),
        count(usage.cached),
        count(usage.output, estimated=usage.estimated),
        monies(group.costs),
    ]


def excerpt(text: str, around: str = "") -> str:
    """One line of a text, cut to a readable length, with ``around`` inside it."""
    flat = " ".join(text.split())
    place = max(0, flat.lower().find(around.lower()) - EXCERPT // 3) if around else 0
    piece = flat[place : place + EXCERPT]
    return f"{'…' if place else ''}{piece}{'…' if place + EXCERPT < len(flat) else ''}"
