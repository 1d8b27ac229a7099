"""Where was each setting chosen? Arguments, environment, files: as dotted names with value and origin."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from os.path import basename, join
from pathlib import Path
from typing import cast

from .config import NAMES, POLICY, PREFIX, SECTIONS, TIMING, Timing, variable_of
from .errors import SettingInvalid
from .phrases import Reason, system_reason
from .phrases import language as spoken
from .policy import ContextPolicy

__all__ = ["Found", "chosen", "refused", "unchosen", "unreadable"]

SECRETS = frozenset({"api_key", "apikey", "api_keys", "key", "secret", "token", "password", "authorization"})
SWITCHES = ("keep_reasoning", "search_vectors")

Found = dict[str, tuple[object, str]]
"""Dotted name → value and origin; the first layer that names a setting wins."""


def chosen(arguments: Mapping[str, object], environment: Mapping[str, str], directory: Path | None) -> Found:
    """Every setting that somebody chose, or that follows from the system; the nearest word wins. Raises
    `SettingInvalid`."""
    own, personal, database = _places(environment, directory)
    found: Found = {}
    for layer in (
        _arguments(arguments),
        _variables(environment),
        _file(own),
        _file(personal),
        _fallbacks(environment, database),
    ):
        for name, entry in layer.items():
            found.setdefault(name, entry)
    return found


def unchosen(environment: Mapping[str, str]) -> Found:
    """What follows from the system alone."""
    return _fallbacks(environment, _places(environment)[2])


def _places(environment: Mapping[str, str], directory: Path | None = None) -> tuple[str, str, str]:
    """Where things are: the directory's settings file, the user's settings file, the default database. They
    are joined as text: `Path` would take a quarter of the time in which a client is made."""
    home = environment.get("HOME") or environment.get("USERPROFILE") or str(Path.home())
    if sys.platform == "win32":  # pragma: no cover  (another system)
        config = environment.get("APPDATA") or join(home, "AppData", "Roaming")
        data = environment.get("LOCALAPPDATA") or join(home, "AppData", "Local")
    else:
        config = environment.get("XDG_CONFIG_HOME") or join(home, ".config")
        shared = "Library/Application Support" if sys.platform == "darwin" else ".local/share"
        data = environment.get("XDG_DATA_HOME") or join(home, shared)
    return (
        join(directory or os.getcwd(), "multiturn.toml"),
        join(config, "multiturn", "config.toml"),
        join(data, "multiturn", "multiturn.db"),
    )


def _arguments(arguments: Mapping[str, object]) -> Found:
    values = {name: value for name, value in arguments.items() if value is not None}
    policy = values.get("policy")
    found: Found = {}
    if isinstance(policy, ContextPolicy):
        del values["policy"]
        found["policy"] = (policy, "argument")
    if isinstance(values.get("timing"), Timing):
        timing = values["timing"]
        values["timing"] = {f.name: getattr(timing, f.name) for f in fields(Timing)}
    return found | _flat(values, "argument")


def _variables(environment: Mapping[str, str]) -> Found:
    found: Found = {}
    for variable in environment:
        name = NAMED.get(variable) if variable.startswith(PREFIX) else None
        if name and (text := environment[variable].strip()):
            found[name] = (_value(name, text), variable)
    return found


NAMED = {variable_of(name): name for name in NAMES}


def _value(name: str, text: str) -> object:
    """What the text of a variable means: a switch or a number where the setting may be one."""
    if name not in (*POLICY, *TIMING, *SWITCHES, "expires_after"):
        return text
    switch = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}.get(
        text.lower()
    )
    if switch is not None:
        return switch
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _file(path: str) -> Found:
    try:
        with open(path, "rb") as file:
            values = tomllib.loads(file.read().decode("utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as problem:
        raise refused(basename(path), "file", origin=path, problem=unreadable(problem)) from problem
    return _flat(values, path)


def _flat(values: Mapping[str, object], origin: str) -> Found:
    """A file's tables as dotted names; a name that no setting has, or that holds a key, is refused."""
    found: Found = {}
    for name, value in values.items():
        if name in ("policy", "timing"):
            found |= {f"{name}.{key}": (v, origin) for key, v in _table(name, value, origin).items()}
        elif name in SECTIONS:
            found |= _overrides(name, _table(name, value, origin), origin)
        else:
            found[name] = (value, origin)
    for name in found:
        if _secret(name):
            raise refused(name, "secret", origin=origin)
        if name not in NAMES and name.partition(".")[0] not in SECTIONS:
            raise refused(name, "unknown", origin=origin, known=", ".join((*NAMES, *SECTIONS)))
    return found


def _overrides(section: str, entries: Mapping[str, object], origin: str) -> Found:
    found: Found = {}
    for entry, values in entries.items():
        name = f"{section}.{entry}"
        if _secret(name):
            found[name] = (values, origin)
        else:
            found |= {f"{name}.{key}": (v, origin) for key, v in _table(name, values, origin).items()}
    return found


def _secret(name: str) -> bool:
    leaf = name.rpartition(".")[2].lower()
    return leaf in SECRETS or leaf.endswith(("_api_key", "_api_keys"))


def _table(name: str, value: object, origin: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise refused(name, "table", origin=origin)
    return cast("Mapping[str, object]", value)


def _fallbacks(environment: Mapping[str, str], database: str) -> Found:
    """What holds where nobody chose."""
    found: Found = {"store": (f"sqlite:///{database.replace(os.sep, '/')}", "default")}
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if environment.get(variable):
            found["language"] = (spoken({variable: environment[variable]}), variable)
            break
    return found


def unreadable(problem: OSError | ValueError) -> str:
    """Why a file of settings, or of a policy, says nothing."""
    if isinstance(problem, OSError):
        return system_reason(problem)
    if isinstance(problem, UnicodeDecodeError):
        return Reason("message.encoding")
    place = re.search(r"line (\d+), column (\d+)", str(problem))
    return Reason("why.toml", line=place[1], column=place[2]) if place else Reason("why.toml_end")


def refused(name: str, because: str, **figures: object) -> SettingInvalid:
    """The refusal of a setting; ``because`` is a phrase about settings."""
    if figures.get("origin") in ("argument", "default"):
        figures["origin"] = Reason(f"word.{figures['origin']}")
    return SettingInvalid(Reason(f"setting.{because}", **figures), turn=None, name=name, **figures)
