"""How does a failure leave the program? One clear sentence with its code on standard error, an exit code,
never a traceback."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

import click

from ..errors import Error
from ..phrases import error_sentence, phrase, system_reason

__all__ = ["guarded", "tell"]

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def guarded(run: Callable[[], int | None], language: str, *, as_json: bool = False) -> int:
    """Run ``run`` and give its exit code; whatever it raises is told in ``language``."""
    try:
        code = run() or 0
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        _silence()
        return FAILED
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except click.UsageError as refused:
        _print("usage", _usage(refused, language), as_json=as_json)
        return USAGE
    except Exception as problem:  # noqa: BLE001  # the last door: nobody above could tell it better
        tell(problem, language, as_json=as_json)
        if isinstance(problem, OSError):
            _silence()
        return FAILED
    return code


def tell(problem: Exception, language: str, *, as_json: bool = False) -> None:
    """One sentence and its code on standard error."""
    if isinstance(problem, Error):
        _print(problem.code, error_sentence(problem, language), as_json=as_json)
    elif isinstance(problem, OSError):
        key = "failure.system_at" if problem.filename else "failure.system"
        figures = {"problem": system_reason(problem), "place": problem.filename}
        _print("system", phrase(key, language, **figures), as_json=as_json)
    else:
        text = f"{type(problem).__name__}: {problem}"
        _print("internal", phrase("failure.internal", language, problem=text), as_json=as_json)


def _print(code: str, sentence: str, *, as_json: bool) -> None:
    line = f"{sentence} [{code}]"
    if as_json:
        line = json.dumps({"error": {"code": code, "message": sentence}}, ensure_ascii=False)
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except OSError:  # nobody listens there either; the exit code still says it
        return


def _silence() -> None:
    """Let standard output lead nowhere, so that the interpreter's last flush does not fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _usage(refused: click.UsageError, language: str) -> str:
    """Click's refusal in the reader's language, by its class."""
    command = refused.ctx.command_path if refused.ctx else "multiturn"

    def say(key: str, **figures: object) -> str:
        return phrase(f"usage_error.{key}", language, command=command, **figures)

    match refused:
        case click.NoSuchOption():
            return say("option_unknown", name=refused.option_name)
        case click.exceptions.NoSuchCommand():
            return say("command_unknown", name=refused.command_name)
        case click.MissingParameter():
            return say("missing", name=_name(refused.param))
        case click.BadOptionUsage():
            return say("option_value", name=refused.option_name)
        case click.BadParameter():
            least = getattr(getattr(refused.param, "type", None), "least", None)
            key = "value" if least is None else "least"
            return say(key, name=_name(refused.param), value=refused.message, least=least)
        case _:
            return say("surplus")


def _name(parameter: click.Parameter | None) -> str:
    if parameter is None:
        return ""
    return parameter.opts[-1] if isinstance(parameter, click.Option) else (parameter.name or "").upper()
