"""What did the operator choose? Argument before environment ``MULTITURN_*`` before ``./multiturn.toml``
before the user's file before the default; each value remembers where it came from.

API keys are read from the environment only (`multiturn.credentials`) and are no part of a `Config`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from .config import LONGEST_TIME, NAMES, POLICY, SECTIONS, TIMING, Config, Timing
from .errors import PolicyInvalid
from .policy import ContextPolicy
from .sources import Found, chosen, refused, unchosen

__all__ = ["defaults", "load"]


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
    return _config(chosen(arguments or {}, environment, directory))


def defaults(environment: Mapping[str, str] | None = None) -> Config:
    """What holds where nobody chose: to look around with where the settings cannot be read.

    >>> defaults({"HOME": "/home/ada"}).store
    'sqlite:////home/ada/.local/share/multiturn/multiturn.db'
    """
    environment = os.environ if environment is None else environment
    return _config(unchosen(environment))


def _config(found: Found) -> Config:
    origins = {name: found[name][1] if name in found else "default" for name in NAMES}
    if "policy" in found:
        origins |= dict.fromkeys(POLICY, "argument")
    values: dict[str, Any] = {section: _gathered(found, section) for section in SECTIONS}
    values |= {name: check(name, *found[name]) for name, check in CHECKS.items() if name in found}
    return Config(
        **values,
        policy=_policy(found),
        timing=_timing(found),
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


def _text(name: str, value: object, origin: str) -> str:
    if not isinstance(value, str):
        raise refused(name, "text", value=value, origin=origin)
    return value


def _switch(name: str, value: object, origin: str) -> bool:
    if not isinstance(value, bool):
        raise refused(name, "switch", value=value, origin=origin)
    return value


def _tongue(name: str, value: object, origin: str) -> str:
    wanted = str(value).lower()[:2]
    if wanted not in ("en", "zh"):
        raise refused(name, "language", value=value, origin=origin)
    return wanted


def _tokenizer(name: str, value: object, origin: str) -> Literal["estimate", "exact"]:
    if value not in ("estimate", "exact"):
        raise refused(name, "tokenizer", value=value, origin=origin)
    return value


def _seconds(name: str, value: object, origin: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise refused(name, "number", value=value, origin=origin)
    return float(value)


def _lasting(name: str, value: object, origin: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_TIME:
        raise refused(name, "lasting", value=value, origin=origin, longest=LONGEST_TIME)
    return float(value)


CHECKS: Mapping[str, Callable[[str, object, str], Any]] = {
    "store": _text,
    "model": _text,
    "language": _tongue,
    "user": _text,
    "keep_reasoning": _switch,
    "tokenizer": _tokenizer,
    "vocabulary": _text,
    "search_vectors": _switch,
    "expires_after": _lasting,
}
"""What each setting that stands alone has to be."""


def _timing(found: Found) -> Timing:
    timing = Timing(**{name[7:]: _seconds(name, *found[name]) for name in TIMING if name in found})
    if timing.renew >= timing.lease:
        raise refused("timing.renew", "renewal", renew=timing.renew, lease=timing.lease)
    return timing


def _policy(found: Found) -> ContextPolicy:
    if "policy" in found:
        return cast("ContextPolicy", found["policy"][0])
    said = {name[7:]: found[name] for name in POLICY if name in found}
    for name, (value, origin) in said.items():
        _judge(f"policy.{name}", {"high": 1.0, name: value}, origin)  # what it may not pass is judged below
    origins = ", ".join(dict.fromkeys(origin for _, origin in said.values()))
    return _judge("policy", {name: value for name, (value, _) in said.items()}, origins)


def _judge(name: str, values: Mapping[str, object], origin: str) -> ContextPolicy:
    try:
        return ContextPolicy.from_dict(values)
    except PolicyInvalid as problem:
        raise refused(name, "policy", problem=problem.figures["detail"], origin=origin) from problem
