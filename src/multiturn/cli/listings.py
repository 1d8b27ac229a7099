"""What is stored? The commands list, show, search and usage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..usage import Spending
from .figures import UNKNOWN, count, money, when
from .records import conversation_record, message_record, message_text, turn_of, usage_record
from .screen import Screen
from .session import Session, handle

__all__ = ["conversations", "search", "show", "usage", "usage_table"]

EXCERPT = 60
"""Cells of text around what a search found."""


async def conversations(session: Session, limit: int) -> None:
    """``list``: conversations, the most recently used first."""
    screen = session.screen
    async with session.client() as client:
        found = await client.conversations(user=session.config.user, limit=limit)
    if screen.as_json:
        for each in found:
            screen.record(conversation_record(each))
        return
    if not found:
        screen.note(screen.say("list.empty"))
        return
    rows = [
        [c.id, str(c.turns), when(c.updated_at), c.settings.model or UNKNOWN, excerpt(c.title)] for c in found
    ]
    screen.table(("id", "turns", "updated", "model", "title"), rows, right=(1,))


async def show(session: Session, conversation: str) -> None:
    """``show``: the messages of a conversation."""
    screen = session.screen
    async with session.client() as client:
        found = await session.find(client, conversation)
        messages = await handle(client, found).history()
    if screen.as_json:
        for message in messages:
            screen.record(message_record(message))
        return
    before: int | None = None
    for message in messages:
        turn = turn_of(message)
        head = f"{turn if turn != before else '':>4}  {screen.say(f'role.{message.role}')}"
        screen.line(f"{head}: {message_text(message, screen.language)}")
        before = turn


async def search(session: Session, text: str, limit: int) -> None:
    """``search``: messages that contain a text."""
    screen = session.screen
    async with session.client() as client:
        hits = await client.search(text, user=session.config.user, limit=limit)
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


async def usage(
    session: Session,
    conversation: str | None,
    by: Literal["day", "model", "user", "conversation"] | None,
) -> None:
    """``usage``: tokens and cost added up, of one conversation, one user, or everybody."""
    user = session.config.user or None
    async with session.client() as client:
        if conversation is None:
            groups = await client.usage(by=by or "all", user=user)
        else:
            groups = [await handle(client, await session.find(client, conversation)).usage()]
    usage_table(session.screen, groups)


def usage_table(screen: Screen, groups: Sequence[Spending]) -> None:
    """Usage as a table or as JSON lines."""
    if screen.as_json:
        for group in groups:
            screen.record(usage_record(group))
        return
    if not any(group.calls for group in groups):
        screen.note(screen.say("list.nothing_used"))
        return
    screen.table(
        ("group", "turns", "calls", "input", "cached", "output", "cost"),
        [_usage_cells(screen, group) for group in groups],
        right=(1, 2, 3, 4, 5, 6),
    )


def _usage_cells(screen: Screen, group: Spending) -> list[str]:
    usage = group.usage
    return [
        group.group if group.group not in ("", "all") else screen.say("word.all"),
        count(group.turns),
        count(group.calls),
        count(usage.input, estimated=usage.estimated),
        count(usage.cached),
        count(usage.output, estimated=usage.estimated),
        " + ".join(map(money, group.costs)) or UNKNOWN,
    ]


def excerpt(text: str, around: str = "") -> str:
    """One line of a text, cut to a readable length, with ``around`` inside it."""
    flat = " ".join(text.split())
    place = max(0, flat.lower().find(around.lower()) - EXCERPT // 3) if around else 0
    piece = flat[place : place + EXCERPT]
    return f"{'…' if place else ''}{piece}{'…' if place + EXCERPT < len(flat) else ''}"
