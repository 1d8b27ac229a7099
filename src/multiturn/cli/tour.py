"""What does multiturn do for a conversation? The command demo: a short tour, kept in memory only."""

from __future__ import annotations

from dataclasses import replace

from ..policy import ContextPolicy
from .session import Session
from .slash import invented
from .talk import Talk
from .windows import show_ledger

__all__ = ["demo"]

TURNS = 40


async def demo(session: Session) -> None:
    """``demo``: remembering, the ledger, a window that is full, a pin. Nothing is kept."""
    screen = session.screen
    session = replace(session, config=replace(session.config, store=":memory:", policy=ContextPolicy()))
    screen.line(screen.say("tour.intro"))
    async with session.client() as client:
        talk = Talk(session, client, client.conversation(model="demo"), "demo")
        _heading(talk, "tour.step_remember")
        await _say(talk, "tour.say_age")
        await _say(talk, "tour.ask_age")
        _heading(talk, "tour.step_ledger")
        await _ledger(talk)
        budget = (await talk.chat.window()).limits.budget
        _heading(talk, "tour.step_fill", turns=TURNS, budget=budget)
        await talk.chat.add(invented(screen, TURNS))
        await _say(talk, "tour.ask_age")
        await _ledger(talk)
        _heading(talk, "tour.step_pin")
        await talk.chat.pin(1)
        await _say(talk, "tour.ask_age")
    screen.line()
    screen.line(screen.say("tour.outro"))


def _heading(talk: Talk, code: str, **figures: object) -> None:
    talk.screen.line()
    talk.screen.line(talk.screen.say(code, **figures))
    talk.screen.line()


async def _say(talk: Talk, code: str) -> None:
    text = talk.screen.say(code)
    talk.screen.line(f"{talk.screen.say('tour.you')}: {text}")
    await talk.say(text)


async def _ledger(talk: Talk) -> None:
    show_ledger(talk.screen, await talk.chat.ledger())
