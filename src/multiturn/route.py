"""What is a route? Models under a name of the operator's: the first answers, the next where it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import SettingInvalid
from .phrases import Reason

__all__ = ["Route", "route_of"]

FIELDS = ("targets",)
RESERVED = "/?"
"""Characters by which a model is told from a route."""


@dataclass(frozen=True, slots=True)
class Route:
    """``targets`` are models as ``provider/model``, in the order in which they are asked."""

    name: str
    targets: tuple[str, ...]


def route_of(name: str, values: Mapping[str, Any], taken: tuple[str, ...]) -> Route:
    """A route as an operator states it; ``taken`` are names that mean something else. Whether its targets
    are models is not known here. Raises `SettingInvalid`."""
    where = f"routes.{name}"
    if not name.strip() or any(each in name for each in RESERVED) or name in taken:
        raise SettingInvalid(Reason("why.route_name"), name=where)
    for field in values:
        if field not in FIELDS:
            known = ", ".join(FIELDS)
            raise SettingInvalid(Reason("why.field_unknown", known=known), name=f"{where}.{field}")
    where, targets = f"{where}.targets", values.get("targets")
    if not isinstance(targets, list | tuple) or not all(isinstance(each, str) for each in targets):
        raise SettingInvalid(Reason("why.value_list", value=f"{targets!r:.60}"), name=where)
    if not targets:
        raise SettingInvalid(Reason("why.route_empty"), name=where)
    if len(set(targets)) != len(targets):
        raise SettingInvalid(Reason("why.route_twice"), name=where)
    return Route(name, tuple(targets))
