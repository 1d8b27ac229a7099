"""What does multiturn do for a conversation? The command demo: window, summary, recall, cache; kept in
memory only."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from ..client import AsyncMultiTurn
from ..policy import ContextPolicy, Recall, Summarize
from ..window import Window
from .remembered import show_summary
from .session import Session
from .slash import invented
from .talk import Talk
from .windows import show_ledger

__all__ = ["demo"]

TURNS, FEW = 40, 12
"""Turns that are invented: more than the window takes, and so few that it takes them all."""
MOMENT = 0.05
"""Seconds between two looks at what is written beside the turns."""
PATIENCE = 100
"""Moments that a summary, which is written beside the turns, may take."""


async def demo(session: Session) -> None:
    """``demo``: a window that is full, then the same with a summary, with recall, and what a prompt cache
    makes of it. Nothing is kept."""
    screen = session.screen
    session = replace(session, config=replace(session.config, store=":memory:", policy=ContextPolicy()))
    screen.line(screen.say("tour.intro"))
    async with session.client() as client:
        await _window(_talk(session, client, ContextPolicy(summarize=None, recall=None)))
        await _summary(_talk(session, client, ContextPolicy(summarize=Summarize(), recall=None)))
        await _recall(_talk(session, client, ContextPolicy(summarize=None, recall=Recall())))
        await _cache(_talk(session, client, ContextPolicy(summarize=None, recall=None)))
    screen.line()
    screen.line(screen.say("tour.outro"))


def _talk(session: Session, client: AsyncMultiTurn, policy: ContextPolicy) -> Talk:
    return Talk(session, client, client.conversation(model="demo", policy=policy), "demo")


async def _window(talk: Talk) -> None:
    _heading(talk, "tour.step_window")
    await _say(talk, "tour.say_age")
    await _say(talk, "tour.ask_age")
    budget = (await talk.chat.window()).limits.budget
    _remark(talk, "tour.fill", turns=TURNS, budget=budget)
    await talk.chat.add(invented(talk.screen, TURNS))
    await _say(talk, "tour.ask_age")
    await _ledger(talk)


async def _summary(talk: Talk) -> None:
    _heading(talk, "tour.step_summary")
    await _say(talk, "tour.say_age")
    await talk.chat.add(invented(talk.screen, TURNS))
    await _say(talk, "tour.say_thanks")
    for _ in range(PATIENCE):
        if await talk.chat.summary() is not None:
            break
        await asyncio.sleep(MOMENT)
    await show_summary(talk.screen, talk.chat)
    talk.screen.line()
    await _say(talk, "tour.ask_age")
    await _ledger(talk)


async def _recall(talk: Talk) -> None:
    _heading(talk, "tour.step_recall")
    await _say(talk, "tour.say_age")
    await talk.chat.add(invented(talk.screen, TURNS))
    await _say(talk, "tour.ask_age")
    await _ledger(talk)


async def _cache(talk: Talk) -> None:
    _heading(talk, "tour.step_cache")
    await talk.chat.add(invented(talk.screen, FEW))
    before = await _say(talk, "tour.say_age")
    after = await _say(talk, "tour.ask_age")
    if before is not None and after is not None:
        _remark(talk, "tour.repeated", same=_repeated(before, after), all=len(after.messages))


def _repeated(before: Window, after: Window) -> int:
    """How many messages at the head of a request are those of the request before."""
    pairs = zip(before.messages, after.messages, strict=False)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), len(before.messages))


def _heading(talk: Talk, code: str) -> None:
    talk.screen.line()
    _remark(talk, code)
    talk.screen.line()


def _remark(talk: Talk, code: str, **figures: object) -> None:
    talk.screen.line(talk.screen.say(code, **figures))


async def _say(talk: Talk, code: str) -> Window | None:
    text = talk.screen.say(code)
    talk.screen.line(f"{talk.screen.say('tour.you')}: {text}")
    reply = await talk.say(text)
    return reply.window if reply else None


async def _ledger(talk: Talk) -> None:
    show_ledger(talk.screen, await talk.chat.ledger())
