"""Under which schemes is a conversation replayed? What is stored, and each policy file with each model."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputInvalid, PolicyInvalid
from ..phrases import Reason
from ..policy import ContextPolicy
from ..sources import unreadable

__all__ = ["Scheme", "schemes"]


@dataclass(frozen=True, slots=True)
class Scheme:
    """What holds instead of what is stored; ``None``: what is stored."""

    name: str
    policy: ContextPolicy | None = None
    model: str | None = None


def schemes(policies: Sequence[str], models: Sequence[str], stored: str) -> list[Scheme]:
    """What is stored, and every policy with every model."""
    named: list[tuple[str, ContextPolicy | None]] = [(_name(path), _policy_in(path)) for path in policies]
    tried: list[str | None] = list(dict.fromkeys(models))
    found = [Scheme(stored)]
    for name, policy in named or [("", None)]:
        for model in tried or [None]:
            label = " · ".join(filter(None, (name, model)))
            if label:
                found.append(Scheme(_unlike(label, found), policy, model))
    return found


def _name(path: str) -> str:
    return Path(path).stem


def _unlike(label: str, schemes: Sequence[Scheme]) -> str:
    """A name that no other scheme has."""
    taken, number, name = {scheme.name for scheme in schemes}, 1, label
    while name in taken:
        number += 1
        name = f"{label} ({number})"
    return name


def _policy_in(path: str) -> ContextPolicy:
    """The policy in a TOML file: the names of `ContextPolicy`, at the top or in a table ``policy``. Raises
    `InputInvalid` where it cannot be read, `PolicyInvalid` where it describes none."""
    try:
        values = tomllib.loads(Path(path).read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputInvalid(Reason("why.file_unreadable", file=path, problem=unreadable(error))) from error
    table = values.get("policy", values)
    if not isinstance(table, dict):
        raise InputInvalid(Reason("why.policy_table", file=path))
    try:
        return ContextPolicy.from_dict(table)
    except PolicyInvalid as error:
        detail = error.figures.get("detail", str(error))
        raise PolicyInvalid(Reason("why.policy_file", file=path, detail=detail)) from error
