"""What did the model see, and why? The command context, and the table of a ledger."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ..chat import AsyncConversation
from ..decision import Span
from ..errors import TurnNotFound
from ..ledger import Ledger
from ..window import Window
from .figures import UNKNOWN, count, money
from .screen import Screen
from .session import Session, handle

__all__ = ["context", "ledger_before", "ledger_of", "newest", "show_difference", "show_ledger"]


async def context(
    session: Session, conversation: str, turn: int | None, next: str | None, *, count: bool
) -> None:
    """``context``: the ledger of a turn, the newest where none is named, and what differs from the turn
    before; with ``next`` what would be sent with those words now, and what it would cost; with ``count``
    how many tokens of that the provider counts."""
    if turn is not None and (count or next is not None):  # what would be sent now is no stored turn
        raise click.UsageError("", ctx=click.get_current_context())
    screen = session.screen
    async with session.stored() as client:
        chat = handle(client, await session.find(client, conversation))
        if count:
            _show_count(screen, await chat.count(next), (await chat.window(next)).tokens)
            return
        if next is not None:
            show_next(screen, await chat.window(next))
            return
        number = turn if turn is not None else await newest(chat)
        ledger = await ledger_of(chat, number)
        before = await ledger_before(chat, number)
    if ledger is None:
        screen.note(screen.say("list.no_step"))
        return
    show_ledger(screen, ledger)
    if before is not None:
        show_difference(screen, ledger, before)


def _show_count(screen: Screen, counted: int, taken: int) -> None:
    """What the provider counts, beside what the window is taken to cost."""
    if screen.as_json:
        screen.record({"counted": counted, "taken": taken})
    else:
        screen.line(screen.say("window.counted", counted=counted, taken=taken))


async def newest(chat: AsyncConversation) -> int | None:
    """The number of the newest turn; ``None`` where there is none."""
    turns = await chat.turns(limit=1)
    return turns[-1].number if turns else None


async def ledger_before(chat: AsyncConversation, turn: int | None) -> Ledger | None:
    """The ledger of the turn before; ``None`` where there is none to compare with."""
    if turn is None or turn < 2:
        return None
    try:
        return await chat.ledger(turn - 1)
    except TurnNotFound:
        return None


def show_difference(screen: Screen, ledger: Ledger, before: Ledger) -> None:
    """What was sent differently from the turn before."""
    changes = ledger.diff(before)
    if screen.as_json:
        changed = [{"code": change.code, "figures": dict(change.figures)} for change in changes]
        screen.record({"changes": changed})
        return
    screen.line()
    screen.line(screen.say("ledger.difference"))
    for change in changes:
        screen.line(f"  {change.sentence(screen.language)}")


def show_next(screen: Screen, window: Window) -> None:
    """What would be sent, and what the provider's cache would save of it."""
    show_ledger(screen, window.ledger)
    if screen.as_json:
        cost = window.cost
        figures = {
            "tokens": window.tokens,
            "cached": window.cached_prefix,
            "cost": str(cost.amount) if cost else None,
            "currency": cost.currency if cost else None,
        }
        screen.record({"next": figures})
    else:
        known = {"cached": window.cached_prefix, "cost": window.cost}
        told = {"cached": count(window.cached_prefix), "cost": money(window.cost)}
        screen.line(
            screen.say("ledger.next", **{name: told[name] for name in told if known[name] is not None})
        )


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
        tried = [{"model": model, "code": code} for model, code in ledger.tried]
        told = {"tokens": ledger.tokens, "budget": ledger.budget, "notes": list(ledger.notes)}
        screen.record(told | ({"route": ledger.route, "tried": tried} if ledger.route or tried else {}))
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
    for model, code in ledger.tried:
        screen.line(screen.say("window.tried", model=model, code=code))


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
