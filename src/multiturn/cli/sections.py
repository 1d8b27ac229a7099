"""Is every entry of the settings as it must be whose name is the operator's own: routes, providers, models,
tenants? Each is looked at alone, so that one that is wrong hides no other."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from ..allowance import allowance_of
from ..catalog import Catalog
from ..config import SECTIONS, Config
from ..errors import ModelUnknown, SettingInvalid

__all__ = ["Wrong", "sound"]

Entries = Mapping[str, Mapping[str, object]]


class Wrong(NamedTuple):
    """An entry that cannot be used, why, and the file in which it stands."""

    error: SettingInvalid
    origin: str


def sound(config: Config) -> tuple[Config, list[Wrong]]:
    """The settings without the entries that cannot be used, and what is wrong with those."""
    found: list[Wrong] = []
    kept: dict[str, Entries] = {}
    for section in SECTIONS:  # routes come after the models that they name
        entries = getattr(config, section)
        good = {}
        for name, values in entries.items():
            try:
                _check(section, name, values, kept)
            except SettingInvalid as error:
                found.append(Wrong(error, _origin(config, f"{section}.{name}", error)))
            else:
                good[name] = values
        kept[section] = good
    providers, models, embeddings, routes, tenants = kept.values()
    whole = replace(
        config, providers=providers, models=models, embeddings=embeddings, routes=routes, tenants=tenants
    )
    return whole, found


def _check(section: str, name: str, values: Mapping[str, object], kept: Mapping[str, Entries]) -> None:
    """Raises `SettingInvalid`."""
    if section == "tenants":
        allowance_of(name, values)
        return
    catalog = Catalog({**kept, section: {name: values}})
    with suppress(ModelUnknown):  # a route has a name of its own
        catalog.profile(name.partition("/")[0])


def _origin(config: Config, entry: str, error: SettingInvalid) -> str:
    """The file in which the entry stands: that of the key which is wrong, else that of any."""
    origins = config.origins
    keys = [str(error.figures.get("name")), *(name for name in origins if name.startswith(f"{entry}."))]
    return next((origins[key] for key in keys if key in origins), "")
