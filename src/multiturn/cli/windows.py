"""What did the model see, and why? The command context, and the table of a ledger."""

from __future__ import annotations

from collections.abc import Sequence

from ..chat import AsyncConversation
from ..errors import TurnNotFound
from ..ledger import Ledger, Span
from .figures import UNKNOWN, count
from .screen import Screen
from .session import Session, handle

__all__ = ["context", "ledger_of", "show_ledger"]


async def context(session: Session, conversation: str, turn: int | None) -> None:
    """``context``: the ledger of a turn, the newest where none is named."""
    screen = session.screen
    async with session.client() as client:
        chat = handle(client, await session.find(client, conversation))
        ledger = await ledger_of(chat, turn)
    if ledger is None:
        screen.note(screen.say("list.no_step"))
    else:
        show_ledger(screen, ledger)


async def ledger_of(chat: AsyncConversation, turn: int | None) -> Ledger | None:
    """The ledger of a turn; ``None`` for one in which nothing was sent. Raises `TurnNotFound`."""
    try:
        return await chat.ledger(turn)
    except TurnNotFound:
        if await chat.history(after=(turn or 1) - 1, limit=1):
            return None
        raise


def show_ledger(screen: Screen, ledger: Ledger) -> None:
    """Sent, in the order sent; then left out, and why."""
    if screen.as_json:
        for span in ledger.spans:
            screen.record(_record(span, screen))
        screen.record({"tokens": ledger.tokens, "budget": ledger.budget, "notes": list(ledger.notes)})
        return
    for heading, spans in (
        ("ledger.sent", [s for s in ledger.spans if s.sent]),
        ("ledger.left", [s for s in ledger.spans if not s.sent]),
    ):
        if spans:
            screen.line(screen.say(heading))
            _table(screen, spans)
            screen.line()
    screen.line(screen.say("window.total", tokens=ledger.tokens, limit=ledger.budget))
    for note in ledger.notes:
        screen.line(screen.say(f"note.{note}"))


def _table(screen: Screen, spans: Sequence[Span]) -> None:
    rows = [
        [_turns(span), count(span.messages), count(span.tokens), span.code.value, _reason(span, screen)]
        for span in spans
    ]
    screen.table(("span", "messages", "tokens", "code", "reason"), rows, right=(0, 1, 2))


def _turns(span: Span) -> str:
    if span.turns is None:
        return UNKNOWN
    first, last = span.turns
    return str(first) if first == last else f"{first}–{last}"


def _reason(span: Span, screen: Screen) -> str:
    reason = screen.say(f"decision.{span.code}", **span.figures)
    if span.omitted:
        parts = screen.say("word.and").join(screen.say(f"omitted.{word}") for word in span.omitted)
        reason = f"{reason}; {screen.say('ledger.omitted', parts=parts)}"
    return reason


def _record(span: Span, screen: Screen) -> dict[str, object]:
    return {
        "sent": span.sent,
        "code": span.code.value,
        "turns": list(span.turns) if span.turns else None,
        "place": span.place,
        "messages": span.messages,
        "tokens": span.tokens,
        "reason": screen.say(f"decision.{span.code}", **span.figures),
        "figures": dict(span.figures),
        "omitted": list(span.omitted),
    }
