"""What do the commands inside a chat do? A line that begins with a slash."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping

from ..conversations import Address, TurnState
from ..errors import ConversationNotFound
from ..reply import Reply
from .listings import usage_table
from .remembered import show_hits, show_summary
from .screen import Screen
from .session import is_demo
from .talk import Talk
from .windows import ledger_before, ledger_of, newest, show_difference, show_ledger

__all__ = ["invented", "read", "run"]

COMMAND = re.compile(r"/([a-z]+)(?:\s+(.*))?", re.DOTALL)
LONG_FILL = 10_000
"""Turns that are invented at most."""
LONGEST_NUMBER = 9
"""Digits of a number of turns, or of one that names a turn or a branch."""

Work = Callable[[Talk, str], Awaitable[Reply | None]]


class Misused(Exception):
    """The command needs something else."""


def read(text: str) -> tuple[str, str] | None:
    """The command in a line and what follows it; ``None`` for a text to be sent.

    >>> read("/edit 3 No, 28."), read("/usr/bin is full"), read("//help")
    (('edit', '3 No, 28.'), None, None)
    """
    match = COMMAND.fullmatch(text.strip())
    return (match[1], (match[2] or "").strip()) if match else None


async def run(talk: Talk, name: str, rest: str) -> Reply | None:
    """Do what a command says; gives the reply if it made one."""
    screen = talk.screen
    if name not in COMMANDS:
        screen.note(screen.say("slash.unknown", name=f"/{name}"))
        return None
    try:
        return await COMMANDS[name](talk, rest)
    except ConversationNotFound:
        if talk.kept:
            raise
        screen.note(screen.say("slash.nothing_yet"))
        return None
    except Misused:
        usage = screen.say(f"slash.help_{name}")
        screen.note(screen.say("slash.needs", usage=usage))
        return None


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > LONGEST_NUMBER:
        raise Misused
    return int(text)


async def _newest(talk: Talk) -> int | None:
    """The number of the newest turn; says so where there is none."""
    number = await newest(talk.chat)
    if number is None:
        talk.screen.note(talk.screen.say("slash.nothing_yet"))
    return number


async def context(talk: Talk, rest: str) -> None:
    """The ledger of a turn."""
    turn = _number(rest) if rest else await _newest(talk)
    if turn is None:
        return
    ledger, before = await ledger_of(talk.chat, turn), await ledger_before(talk.chat, turn)
    if ledger is None:
        talk.screen.note(talk.screen.say("list.no_step"))
        return
    show_ledger(talk.screen, ledger)
    if before is not None:
        show_difference(talk.screen, ledger, before)


async def undo(talk: Talk, rest: str) -> None:
    """Go on from before the newest turn."""
    if rest:
        raise Misused
    turn = await _newest(talk)
    if turn is None:
        return
    left = (await talk.chat.info()).branch
    await talk.chat.branch(turn - 1)
    await _go_to(talk, (await talk.chat.branches())[-1].number)
    talk.screen.note(talk.screen.say("slash.undone", turn=turn, branch=left))


async def _go_to(talk: Talk, number: int) -> None:
    """Make a branch the one in use."""
    ulid = (await talk.chat.info()).ulid
    await talk.chat.switch(Address(ulid, number, 0).turn_id)


async def retry(talk: Talk, rest: str) -> Reply | None:
    """Repeat a failed turn; else answer the newest one again, on a new branch."""
    if rest:
        raise Misused
    turns = await talk.chat.turns(limit=1)
    if not turns:
        talk.screen.note(talk.screen.say("slash.nothing_yet"))
        return None
    broken = turns[-1].state in (TurnState.FAILED, TurnState.INCOMPLETE)
    return await talk.tell(talk.chat.retry() if broken else talk.chat.regenerate())


async def edit(talk: Talk, rest: str) -> Reply | None:
    """Say something else instead of a turn, on a new branch."""
    first, _, text = rest.partition(" ")
    if first.isdecimal() and text.strip():
        return await talk.tell(talk.chat.edit(_number(first), text.strip()))
    if not rest or first.isdecimal():
        raise Misused
    turn = await _newest(talk)
    return None if turn is None else await talk.tell(talk.chat.edit(turn, rest))


async def branch(talk: Talk, rest: str) -> None:
    """List the branches, or go to one."""
    screen = talk.screen
    if rest:
        number = _number(rest)
        if number not in {each.number for each in await talk.chat.branches()}:
            raise Misused
        await _go_to(talk, number)
        screen.note(screen.say("slash.branch", branch=rest))
        return
    for each in await talk.chat.branches():
        mark = "*" if each.in_use else " "
        screen.line(
            screen.say("slash.branch_line", mark=mark, branch=each.number, turns=each.turns, fork=each.fork)
        )


async def summary(talk: Talk, rest: str) -> None:
    """Show the summary of the oldest turns, put another text in its place, or take that back."""
    screen, (verb, _, text) = talk.screen, rest.partition(" ")
    if verb == "edit" and text.strip():
        await talk.chat.edit_summary(text.strip())
    elif rest == "undo":
        await talk.chat.undo_summary()
    elif rest:
        raise Misused
    await show_summary(screen, talk.chat)


async def recall(talk: Talk, rest: str) -> None:
    """Look for old messages that fit."""
    if not rest:
        raise Misused
    show_hits(talk.screen, await talk.chat.recall(rest))


async def cost(talk: Talk, rest: str) -> None:
    """What the conversation consumed so far."""
    if rest:
        raise Misused
    usage_table(talk.screen, [await talk.chat.usage()])


async def model(talk: Talk, rest: str) -> None:
    """Say which model answers, or choose another."""
    screen = talk.screen
    if not rest:
        screen.note(screen.say("slash.model_now", model=talk.model))
        return
    talk.session.check(rest)
    talk.chat = talk.client.conversation(talk.chat.id, user=talk.session.config.user, model=rest)
    talk.model = rest
    screen.note(screen.say("slash.model", model=rest))
    if is_demo(rest):
        screen.note(screen.say("chat.demo"))


async def pin(talk: Talk, rest: str) -> None:
    """Send a turn every time."""
    await talk.chat.pin(_number(rest))
    talk.screen.note(talk.screen.say("slash.pinned", turn=rest))


async def drop(talk: Talk, rest: str) -> None:
    """Leave a turn out from now on."""
    await talk.chat.exclude(_number(rest))
    talk.screen.note(talk.screen.say("slash.dropped", turn=rest))


async def unpin(talk: Talk, rest: str) -> None:
    """No longer send a turn every time."""
    await talk.chat.unpin(_number(rest))
    talk.screen.note(talk.screen.say("slash.unpinned", turn=rest))


async def include(talk: Talk, rest: str) -> None:
    """Take back that a turn is left out."""
    await talk.chat.include(_number(rest))
    talk.screen.note(talk.screen.say("slash.included", turn=rest))


async def export(talk: Talk, rest: str) -> None:
    """The conversation as text, as lossless JSON lines where nothing else is said."""
    formats = {"": "jsonl", "jsonl": "jsonl", "openai": "openai", "markdown": "markdown"}
    if rest not in formats:
        raise Misused
    text = await talk.chat.export(formats[rest])  # type: ignore[arg-type]  # one of the three
    talk.screen.line(text.rstrip("\n"))


async def fill(talk: Talk, rest: str) -> None:
    """Add invented turns, so that one sees what is pushed out of the window."""
    screen, turns = talk.screen, _number(rest)
    if not is_demo(talk.model):
        screen.note(screen.say("slash.only_demo"))
        return
    if not 0 < turns <= LONG_FILL:
        raise Misused
    await talk.chat.add(invented(screen, turns))
    talk.kept = True
    screen.note(screen.say("slash.filled", turns=turns))


def invented(screen: Screen, turns: int) -> list[dict[str, str]]:
    """Turns in which somebody tells what is in boxes: no figures, so that a question for a number finds
    none of them."""
    goods, noted = screen.say("tour.goods").split(", "), screen.say("tour.fill_reply")
    messages: list[dict[str, str]] = []
    for number in range(turns):
        fact = screen.say("tour.fill_user", label=_letters(number), goods=goods[number % len(goods)])
        messages += [{"role": "user", "content": fact}, {"role": "assistant", "content": noted}]
    return messages


def _letters(number: int) -> str:
    """A, B, … Z, AA, AB, …"""
    high, low = divmod(number, 26)
    return (_letters(high - 1) if high else "") + chr(ord("A") + low)


async def show_help(talk: Talk, rest: str) -> None:
    """What there is."""
    del rest
    for name in COMMANDS:
        talk.screen.line(talk.screen.say(f"slash.help_{name}"))


COMMANDS: Mapping[str, Work] = {
    "context": context,
    "undo": undo,
    "retry": retry,
    "edit": edit,
    "branch": branch,
    "summary": summary,
    "recall": recall,
    "cost": cost,
    "model": model,
    "pin": pin,
    "unpin": unpin,
    "drop": drop,
    "include": include,
    "export": export,
    "fill": fill,
    "help": show_help,
}
