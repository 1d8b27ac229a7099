"""How is a conversation removed? The command delete: it asks first."""

from __future__ import annotations

import click

from .session import Session, handle

__all__ = ["delete"]


async def delete(session: Session, conversation: str, *, yes: bool) -> int | None:
    """``delete``: remove one conversation. Gives 1 when nothing was deleted."""
    screen = session.screen
    async with session.stored() as client:
        found = await session.find(client, conversation)
        if not yes:
            if not screen.asks:
                screen.note(screen.say("list.delete_yes_needed"))
                return 1
            question = screen.say("list.delete_ask", conversation=found.id, turns=found.turns)
            if not click.confirm(question, default=False):
                screen.note(screen.say("list.kept"))
                return 1
        await handle(client, found).delete()
    if screen.as_json:
        screen.record({"deleted": found.id})
    else:
        screen.line(screen.say("list.deleted", conversation=found.id))
    return None
