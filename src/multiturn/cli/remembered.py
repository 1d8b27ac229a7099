"""What does a conversation know beside its newest turns? The commands /summary and /recall."""

from __future__ import annotations

from collections.abc import Sequence

from ..chat import AsyncConversation
from ..conversations import Hit, Summary
from ..phrases import table
from .figures import UNKNOWN, count, when
from .listings import excerpt
from .screen import Screen

__all__ = ["show_hits", "show_summary"]


async def show_summary(screen: Screen, chat: AsyncConversation) -> None:
    """The summary in force, or why there is none."""
    summary = await chat.summary()
    if summary is None:
        screen.note(screen.say("slash.summary_none"))
    else:
        screen.line(_heading(screen, summary))
        screen.line(summary.text)
    error = await chat.summary_error()
    if error is not None:
        why = f"summary.{error}" if f"summary.{error}" in table() else "summary.other"
        screen.note(screen.say("slash.summary_failed", why=screen.say(why, code=error)))


def _heading(screen: Screen, summary: Summary) -> str:
    return screen.say(
        "slash.summary_heading",
        version=summary.version,
        upto=summary.upto,
        tokens=count(summary.tokens),
        author=summary.model or screen.say("slash.summary_by_hand"),
        when=when(summary.created_at),
    )


def show_hits(screen: Screen, hits: Sequence[Hit]) -> None:
    """What was recalled, best first."""
    if not hits:
        screen.note(screen.say("slash.recall_nothing"))
        return
    rows = [
        [
            str(hit.turn),
            screen.say(f"role.{hit.message.role}"),
            f"{hit.score:.2f}",
            excerpt(hit.message.text) or UNKNOWN,
        ]
        for hit in hits
    ]
    screen.table(("turn", "role", "score", "text"), rows, right=(0, 2))
