"""Which commands are there, and what do they take? Built anew in the reader's language at each start."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import click

from .. import __version__
from ..errors import SettingInvalid
from ..phrases import language as spoken
from ..phrases import phrase
from ..settings import load
from ..storage.key_store import SCOPES
from . import chat, db, doctor, keys, listings, models, removal, replay, serve, tour, windows
from .failure import guarded
from .screen import Screen
from .session import POLICY, Session
from .values import GROUPS, Amount, against, decimals, grouping, port, scope, since, switch, whole

__all__ = ["run"]

Run = Callable[..., Awaitable[int | None] | int]


OPTIONS: Mapping[str, tuple[tuple[str, ...], Mapping[str, Any]]] = {
    "store": (("--store",), {"metavar": "URL"}),
    "user": (("--user",), {"metavar": "NAME"}),
    "json": (("--json", "as_json"), {"is_flag": True}),
    "model": (("-m", "--model"), {"metavar": "PROVIDER/MODEL"}),
    "conversation": (("-c", "--conversation"), {"metavar": "ID|last"}),
    "system": (("--system",), {"metavar": "TEXT"}),
    "opening": (("--opening",), {"metavar": "TEXT"}),
    "until": (("--until",), {"metavar": "TEXT"}),
    "budget": (("--budget",), {"type": whole, "metavar": "N"}),
    "reserve_output": (("--reserve-output",), {"type": whole, "metavar": "N"}),
    "high": (("--high",), {"type": decimals, "metavar": "0.7"}),
    "low": (("--low",), {"type": decimals, "metavar": "0.35"}),
    "max_turns": (("--max-turns",), {"type": whole, "metavar": "N"}),
    "max_messages": (("--max-messages",), {"type": whole, "metavar": "N"}),
    "images": (("--images",), {"metavar": "all|last|N"}),
    "summarize": (("--summarize",), {"type": switch, "metavar": "on|off"}),
    "recall": (("--recall",), {"type": switch, "metavar": "on|off"}),
    "host": (("--host",), {"metavar": "ADDRESS"}),
    "names": (("--allow-host", "names"), {"multiple": True, "metavar": "NAME"}),
    "port": (("--port",), {"type": port, "metavar": "N"}),
    "tenant": (("--tenant",), {"metavar": "NAME", "default": ""}),
    "bound": (("--user",), {"metavar": "NAME"}),
    "scopes": (("--scope", "scopes"), {"multiple": True, "type": scope, "metavar": "|".join(SCOPES)}),
    "label": (("--label",), {"metavar": "TEXT", "default": ""}),
    "limit": (("--limit",), {"type": Amount(1), "metavar": "N", "default": 100}),
    "turn": (("--turn",), {"type": Amount(1), "metavar": "N"}),
    "next": (("--next",), {"metavar": "TEXT"}),
    "count": (("--count",), {"is_flag": True}),
    "embedding": (("-m", "--model", "embedding"), {"metavar": "PROVIDER/MODEL"}),
    "yes": (("--yes",), {"is_flag": True}),
    "by": (("--by",), {"multiple": True, "type": grouping, "metavar": "|".join(GROUPS)}),
    "provider": (("--provider",), {"metavar": "NAME"}),
    "policies": (("--policy", "policies"), {"multiple": True, "metavar": "FILE"}),
    "models": (("-m", "--model", "models"), {"multiple": True, "metavar": "PROVIDER/MODEL"}),
    "since": (("--since",), {"type": since, "metavar": "7d|DATE"}),
    "of": (("--conversation",), {"metavar": "ID|last"}),
    "against": (("--against",), {"type": against, "metavar": "billed"}),
    "picture": (("--picture",), {"metavar": "FILE.svg"}),
    "show_text": (("--show-text",), {"is_flag": True}),
}

TALK = ("conversation", "model", "system", "opening", *POLICY, "store", "user", "json")
WHAT_IF = ("policies", "models", "since", "of", "against", "picture", "show_text", "store", "user", "json")
COMMANDS: Mapping[str, tuple[Run, tuple[str, ...], tuple[str, ...]]] = {
    "chat": (chat.chat, (), ("until", *TALK)),
    "ask": (chat.ask, ("[text]",), TALK),
    "list": (listings.conversations, (), ("limit", "store", "user", "json")),
    "show": (listings.show, ("conversation",), ("store", "user", "json")),
    "context": (windows.context, ("conversation",), ("turn", "next", "count", "store", "user", "json")),
    "search": (listings.search, ("text",), ("limit", "store", "user", "json")),
    "replay": (replay.replay, (), WHAT_IF),
    "delete": (removal.delete, ("conversation",), ("yes", "store", "user", "json")),
    "usage": (listings.usage, ("[conversation]",), ("by", "store", "user", "json")),
    "db": (db.db, ("action",), ("embedding", "yes", "store", "json")),
    "models": (models.models, (), ("provider", "json")),
    "config": (models.config, (), ("store", "user", "model", "json")),
    "serve": (serve.serve, (), ("host", "port", "names", "model", *POLICY, "store")),
    "keys": (keys.keys, ("action", "[id]"), ("tenant", "bound", "scopes", "label", "store", "json")),
    "demo": (tour.demo, (), ()),
    "doctor": (doctor.doctor, (), ("store", "model", "json")),
}
"""Name → what runs, its arguments (optional ones in brackets), its options."""


def run(arguments: Sequence[str]) -> int:
    """Run one command; gives the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    language, as_json = _language(), "--json" in arguments

    def start() -> int | None:
        code = program(language).main(list(arguments), prog_name="multiturn", standalone_mode=False)
        return code if isinstance(code, int) else None

    return guarded(start, language, as_json=as_json)


def _language() -> str:
    try:
        return load().language
    except SettingInvalid:  # told when a command reads the settings
        return spoken(os.environ)


def program(language: str) -> click.Group:
    """All commands, their help in ``language``."""
    context = _context(language)
    group = Group(
        "multiturn",
        help=phrase("help.multiturn", language),
        invoke_without_command=True,
        params=[_help(language), _version(language)],
        add_help_option=False,
        callback=_show_help,
    )
    group.context_class = context
    for name, (work, arguments, options) in COMMANDS.items():
        command = click.Command(
            name,
            help=phrase(f"help.{name}", language),
            short_help=phrase(f"help.{name}", language),
            params=[*map(_argument, arguments), *(_option(o, language) for o in options), _help(language)],
            add_help_option=False,
            callback=_callback(work, language),
        )
        command.context_class = context
        group.add_command(command)
    return group


class Group(click.Group):
    """Commands in the order in which people meet them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names as they were added."""
        del ctx
        return list(self.commands)


def _callback(work: Run, language: str) -> Callable[..., int | None]:
    def callback(**given: Any) -> int | None:
        screen = Screen.of(language, as_json=bool(given.pop("as_json", False)))
        session, rest = Session.of(screen, given, tolerant=work is doctor.doctor)
        begun = work(session, **rest)
        return begun if isinstance(begun, int) else asyncio.run(_whole(begun))

    return callback


async def _whole(work: Awaitable[int | None]) -> int | None:
    return await work


@click.pass_context
def _show_help(context: click.Context) -> None:
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _argument(name: str) -> click.Argument:
    return click.Argument([name.strip("[]")], required=not name.startswith("["))


def _option(name: str, language: str) -> click.Option:
    flags, settings = OPTIONS[name]
    return click.Option(list(flags), help=phrase(f"option.{name}", language), **settings)


def _help(language: str) -> click.Option:
    def show(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value and not context.resilient_parsing:
            click.echo(context.get_help())
            context.exit()

    return click.Option(
        ["-h", "--help"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        help=phrase("option.help", language),
    )


def _version(language: str) -> click.Option:
    def show(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            click.echo(f"multiturn {__version__}")
            context.exit()

    return click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        help=phrase("option.version", language),
    )


def _context(language: str) -> type[click.Context]:
    """A context whose help pages speak ``language``."""

    class Formatter(click.HelpFormatter):
        def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
            super().write_usage(prog, args, prefix or phrase("help.usage_line", language) + " ")

        def write_heading(self, heading: str) -> None:
            known = {"Options": "help.options", "Commands": "help.commands"}
            if heading not in known:
                super().write_heading(heading)
            else:
                self.write(phrase(known[heading], language) + "\n")

    class Context(click.Context):
        formatter_class = Formatter

    return Context
