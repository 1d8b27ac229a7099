"""How does one talk to a model here? The commands chat (turn after turn) and ask (once)."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import click

from ..errors import ConfigurationInvalid, Error, StoreError
from ..reply import Reply
from . import slash
from .failure import tell
from .inputs import Inputs, Keyboard, Lines, read_all
from .session import Session, is_demo
from .talk import Talk

__all__ = ["ask", "chat"]


async def chat(
    session: Session, conversation: str | None, system: str | None, opening: str | None, until: str | None
) -> int:
    """``chat``: a person at the keyboard, or the lines of a pipe, one turn each. Gives 1 when one of a
    pipe's turns failed."""
    screen = session.screen
    async with _talk(session, conversation, system, opening) as talk:
        screen.note(screen.say("chat.opened", model=talk.model, conversation=talk.chat.id))
        _introduce(session, talk)
        if opening and not screen.as_json:
            screen.line(opening)
        inputs: Inputs = Keyboard(screen) if screen.asks else Lines()
        failed = await _turns(talk, inputs, until)
        if screen.asks and talk.kept:
            screen.note(screen.say("chat.resume", conversation=talk.chat.id))
    return int(failed)


async def _turns(talk: Talk, inputs: Inputs, until: str | None) -> bool:
    """One input after the other; whether a pipe's turn failed."""
    screen, failed = talk.screen, False
    while (text := await inputs.next()) is not None:
        try:
            reply = await _turn(talk, text)
        except Error as problem:
            if not screen.asks and isinstance(problem, ConfigurationInvalid | StoreError):
                raise  # the lines that follow would meet the same
            tell(problem, screen.language, as_json=screen.as_json)
            failed = not screen.asks
        else:
            if until and reply is not None and until in reply.text:
                screen.note(screen.say("chat.until_reached", text=until))
                break
    return failed


async def _turn(talk: Talk, text: str) -> Reply | None:
    command = slash.read(text)
    if command is not None:
        return await slash.run(talk, *command)
    return await talk.say(text[1:] if text.startswith("//") else text)


async def ask(
    session: Session, text: str | None, conversation: str | None, system: str | None, opening: str | None
) -> None:
    """``ask``: one turn. Alone it starts a conversation and tells its id on standard error."""
    if text is None:
        if sys.stdin.isatty():
            argument = click.Argument(["text"])
            raise click.MissingParameter(ctx=click.get_current_context(), param=argument)
        text = read_all()
    async with _talk(session, conversation, system, opening) as talk:
        _introduce(session, talk)
        try:
            await talk.say(text)
        finally:
            if conversation is None and talk.kept and not session.screen.as_json:
                session.screen.note(session.screen.say("chat.conversation", conversation=talk.chat.id))


@asynccontextmanager
async def _talk(
    session: Session, conversation: str | None, system: str | None, opening: str | None
) -> AsyncIterator[Talk]:
    """The conversation that the options name, or a new one, with the model that answers in it."""
    async with session.client() if conversation is None else session.stored() as client:
        if conversation is None:
            name, model = None, session.model()
        else:
            found = await session.find(client, conversation)
            session = replace(session, config=replace(session.config, user=found.user))
            name, model = found.id, session.chosen or found.settings.model or session.model()
        session.check(model)
        handle = client.conversation(
            name, user=session.config.user, system=system, opening=opening, policy=session.policy, model=model
        )
        yield Talk(session, client, handle, model, kept=conversation is not None)


def _introduce(session: Session, talk: Talk) -> None:
    """Say that the model demo is no language model; tell a person which keys do what."""
    screen = session.screen
    if is_demo(talk.model):
        screen.note(screen.say("chat.demo"))
        if screen.asks:
            screen.note(screen.say("chat.demo_next"))
    if screen.asks:
        screen.note(screen.say("chat.keys"))
