"""What did the operator choose? Argument before environment ``MULTITURN_*`` before ``./multiturn.toml``
before the user's file before the default; each value remembers where it came from.

API keys are read from the environment only (`multiturn.credentials`) and are no part of a `Config`.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from os.path import basename, join
from pathlib import Path
from typing import Literal, TypeVar, cast

from .errors import PolicyInvalid, SettingInvalid
from .phrases import Reason, system_reason
from .phrases import language as spoken
from .policy import ContextPolicy

__all__ = [
    "NAMES",
    "OVERRIDES",
    "SECTIONS",
    "Config",
    "Timing",
    "defaults",
    "load",
    "places",
    "unreadable",
    "variable_of",
]

PREFIX = "MULTITURN_"
SECRETS = frozenset({"api_key", "apikey", "api_keys", "key", "secret", "token", "password", "authorization"})


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things may take, in seconds.

    ``lease`` is how long a turn is held without a sign of life, ``renew`` how often that sign is given;
    ``queue`` how long a second turn waits for the first; ``prepare`` how long a prepared turn may stay
    open. Of a call to a provider: ``connect``, ``first_token``, ``idle`` between two pieces, ``total``.
    """

    lease: float = 15.0
    renew: float = 5.0
    queue: float = 30.0
    prepare: float = 600.0
    connect: float = 10.0
    first_token: float = 120.0
    idle: float = 60.0
    total: float = 600.0


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting in force.

    ``store`` is a URL such as ``sqlite:///chats.db``; ``model`` is ``provider/model`` or ``None`` where
    nobody chose; ``keep_reasoning`` whether thinking is stored; ``tokenizer`` whether windows are counted
    by an estimate or by the model's vocabulary, ``vocabulary`` a file or folder where that is looked for
    first; ``search_vectors`` whether recall may go through all vectors of a conversation instead of
    reranking what the words found; ``expires_after`` for how many seconds without use new conversations are
    kept (0: for ever). ``providers`` is what the operator
    overrides in the catalogue, by provider (``{"qwen": {"base_url": …}}``), ``models`` and ``embeddings``
    the same by model (``{"compatible/llama": {"window": 32768}}``); ``routes`` are models under a name of the
    operator's (``{"chat-fast": {"targets": ["qwen/qwen-plus", …]}}``). ``tenants`` is what each tenant of a
    gateway may consume (``{"shop": {"tokens_per_day": 2000000}}``). ``origins`` tells for each
    setting (``"policy.budget"``) where it came from: ``"argument"``, the name of an environment
    variable, the path of a file, or ``"default"``.
    """

    store: str
    model: str | None = None
    language: str = "en"
    user: str = ""
    policy: ContextPolicy = ContextPolicy()
    timing: Timing = Timing()
    keep_reasoning: bool = True
    tokenizer: Literal["estimate", "exact"] = "estimate"
    vocabulary: str = ""
    search_vectors: bool = False
    expires_after: float = 0.0
    providers: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    embeddings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    routes: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    tenants: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def overrides(self) -> Mapping[str, Mapping[str, Mapping[str, object]]]:
        """What the operator overrides in the catalogue or adds to it, as `multiturn.catalog.Catalog` takes
        it."""
        return {section: entries for section in OVERRIDES if (entries := getattr(self, section))}


POLICY = tuple(f"policy.{f.name}" for f in fields(ContextPolicy))
TIMING = tuple(f"timing.{f.name}" for f in fields(Timing))
SINGLE = (
    "store",
    "model",
    "language",
    "user",
    "keep_reasoning",
    "tokenizer",
    "vocabulary",
    "search_vectors",
    "expires_after",
)
SWITCHES = ("keep_reasoning", "search_vectors")
NAMES = (*SINGLE, *POLICY, *TIMING)
OVERRIDES = ("providers", "models", "embeddings", "routes")
SECTIONS = (*OVERRIDES, "tenants")

T = TypeVar("T")
D = TypeVar("D")

Found = dict[str, tuple[object, str]]
"""Dotted name → value and origin; the first layer that names a setting wins."""


def load(
    arguments: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Config:
    """The settings in force.

    ``arguments`` are nested as in the file (``{"policy": {"budget": 8000}}``; ``policy`` may also be a
    whole `ContextPolicy`, which then stands alone); a value of ``None`` counts as not given.
    ``environment`` defaults to the process's, ``directory`` to the working directory. Raises
    `SettingInvalid`, which names the setting, where it came from and what to do.

    >>> load({"model": "demo"}, {"HOME": "/home/ada"}, Path("/nowhere")).origins["model"]
    'argument'
    """
    environment = os.environ if environment is None else environment
    own, personal, database = places(environment, directory)
    found: Found = {}
    for layer in (
        _arguments(arguments or {}),
        _variables(environment),
        _file(own),
        _file(personal),
        _fallbacks(environment, database),
    ):
        for name, entry in layer.items():
            found.setdefault(name, entry)
    return _config(found)


def defaults(environment: Mapping[str, str] | None = None) -> Config:
    """What holds where nobody chose: to look around with where the settings cannot be read.

    >>> defaults({"HOME": "/home/ada"}).store
    'sqlite:////home/ada/.local/share/multiturn/multiturn.db'
    """
    environment = os.environ if environment is None else environment
    return _config(_fallbacks(environment, places(environment)[2]))


def places(environment: Mapping[str, str], directory: Path | None = None) -> tuple[str, str, str]:
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


# -------------------------------------------------------------------------------------- layers


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


def variable_of(name: str) -> str:
    """The environment variable of a setting.

    >>> variable_of("policy.budget")
    'MULTITURN_POLICY_BUDGET'
    """
    return PREFIX + ("LANG" if name == "language" else name.replace(".", "_").upper())


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
        raise _wrong(basename(path), "file", origin=path, problem=unreadable(problem)) from problem
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
            raise _wrong(name, "secret", origin=origin)
        if name not in NAMES and not name.startswith(SECTIONS):
            raise _wrong(name, "unknown", origin=origin, known=", ".join((*NAMES, *SECTIONS)))
    return found


def unreadable(problem: OSError | ValueError) -> str:
    """Why a file of settings, or of a policy, says nothing."""
    if isinstance(problem, OSError):
        return system_reason(problem)
    if isinstance(problem, UnicodeDecodeError):
        return Reason("message.encoding")
    place = re.search(r"line (\d+), column (\d+)", str(problem))
    return Reason("why.toml", line=place[1], column=place[2]) if place else Reason("why.toml_end")


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
        raise _wrong(name, "table", origin=origin)
    return cast("Mapping[str, object]", value)


def _fallbacks(environment: Mapping[str, str], database: str) -> Found:
    """What holds where nobody chose."""
    found: Found = {"store": (f"sqlite:///{database.replace(os.sep, '/')}", "default")}
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if environment.get(variable):
            found["language"] = (spoken({variable: environment[variable]}), variable)
            break
    return found


# -------------------------------------------------------------------------------------- values


def _config(found: Found) -> Config:
    origins = {name: found[name][1] if name in found else "default" for name in NAMES}
    if "policy" in found:
        origins |= dict.fromkeys(POLICY, "argument")
    return Config(
        store=_checked(found, "store", _text, ""),
        model=_checked(found, "model", _text, None),
        language=_checked(found, "language", _tongue, "en"),
        user=_checked(found, "user", _text, ""),
        policy=_policy(found),
        timing=_timing(found),
        keep_reasoning=_checked(found, "keep_reasoning", _switch, default=True),
        tokenizer=_checked(found, "tokenizer", _tokenizer, "estimate"),
        vocabulary=_checked(found, "vocabulary", _text, ""),
        search_vectors=_checked(found, "search_vectors", _switch, default=False),
        expires_after=_checked(found, "expires_after", _lasting, 0.0),
        providers=_gathered(found, "providers"),
        models=_gathered(found, "models"),
        embeddings=_gathered(found, "embeddings"),
        routes=_gathered(found, "routes"),
        tenants=_gathered(found, "tenants"),
        origins=origins | {name: origin for name, (_, origin) in found.items() if name not in NAMES},
    )


def _gathered(found: Found, section: str) -> Mapping[str, Mapping[str, object]]:
    """The overrides of one section, put together from all layers. A model's name may hold dots."""
    gathered: dict[str, dict[str, object]] = {}
    for name, (value, _) in found.items():
        if name.startswith(f"{section}."):
            entry, _, key = name.removeprefix(f"{section}.").rpartition(".")
            gathered.setdefault(entry, {})[key] = value
    return gathered


def _checked(found: Found, name: str, check: Callable[[str, object, str], T], default: D) -> T | D:
    return check(name, *found[name]) if name in found else default


def _text(name: str, value: object, origin: str) -> str:
    if not isinstance(value, str):
        raise _wrong(name, "text", value=value, origin=origin)
    return value


def _switch(name: str, value: object, origin: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, "switch", value=value, origin=origin)
    return value


def _tongue(name: str, value: object, origin: str) -> str:
    wanted = str(value).lower()[:2]
    if wanted not in ("en", "zh"):
        raise _wrong(name, "language", value=value, origin=origin)
    return wanted


def _tokenizer(name: str, value: object, origin: str) -> Literal["estimate", "exact"]:
    if value not in ("estimate", "exact"):
        raise _wrong(name, "tokenizer", value=value, origin=origin)
    return value


def _seconds(name: str, value: object, origin: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise _wrong(name, "number", value=value, origin=origin)
    return float(value)


def _lasting(name: str, value: object, origin: str) -> float:
    return 0.0 if value == 0 and not isinstance(value, bool) else _seconds(name, value, origin)


def _timing(found: Found) -> Timing:
    chosen = {name[7:]: _seconds(name, *found[name]) for name in TIMING if name in found}
    timing = Timing(**chosen)
    if timing.renew >= timing.lease:
        raise _wrong("timing.renew", "renewal", renew=timing.renew, lease=timing.lease)
    return timing


def _policy(found: Found) -> ContextPolicy:
    if "policy" in found:
        return cast("ContextPolicy", found["policy"][0])
    chosen = {name[7:]: found[name] for name in POLICY if name in found}
    for name, (value, origin) in chosen.items():
        _judge(f"policy.{name}", {"high": 1.0, name: value}, origin)  # what it may not pass is judged below
    origins = ", ".join(dict.fromkeys(origin for _, origin in chosen.values()))
    return _judge("policy", {name: value for name, (value, _) in chosen.items()}, origins)


def _judge(name: str, values: Mapping[str, object], origin: str) -> ContextPolicy:
    try:
        return ContextPolicy.from_dict(values)
    except PolicyInvalid as refused:
        raise _wrong(name, "policy", problem=refused.figures["detail"], origin=origin) from refused


def _wrong(name: str, because: str, **figures: object) -> SettingInvalid:
    if figures.get("origin") in ("argument", "default"):
        figures["origin"] = Reason(f"word.{figures['origin']}")
    return SettingInvalid(Reason(f"setting.{because}", **figures), turn=None, name=name, **figures)
