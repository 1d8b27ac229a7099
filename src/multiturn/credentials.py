"""Which API keys does a provider have, and which model follows from them? Keys stand in the environment and
nowhere else.

``DASHSCOPE_API_KEY`` holds one key. ``DASHSCOPE_API_KEYS``, with an S behind the name, holds several,
separated by commas: each has limits of its own, and one that has reached its limit rests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .catalog import Card, Catalog, Profile
from .config import Config
from .errors import SettingInvalid
from .phrases import Reason

__all__ = ["Key", "api_key", "api_keys", "askable", "choose_model", "missing_key", "variables_of"]


class Key(NamedTuple):
    """One API key, and the variable that holds it."""

    value: str
    variable: str


def api_keys(variables: Sequence[str], environment: Mapping[str, str]) -> list[Key]:
    """All keys of a provider, in their order: those of the first of ``variables`` that holds any.

    >>> [key.value for key in api_keys(("STEP_API_KEY",), {"STEP_API_KEY": "a", "STEP_API_KEYS": "b, a, c"})]
    ['a', 'b', 'c']
    """
    for variable in variables:
        found: dict[str, Key] = {}
        for name in (variable, _several(variable)):
            text = environment.get(name, "")
            for part in text.split(",") if name != variable else [text]:
                if value := part.strip():
                    found.setdefault(value, Key(value, name))
        if found:
            return list(found.values())
    return []


def api_key(variables: Sequence[str], environment: Mapping[str, str]) -> Key | None:
    """The first key that is set among ``variables``, and the variable that holds it.

    >>> api_key(("STEP_API_KEY", "STEPFUN_API_KEY"), {"STEPFUN_API_KEY": "sk-1"})
    Key(value='sk-1', variable='STEPFUN_API_KEY')
    """
    return next(iter(api_keys(variables, environment)), None)


def variables_of(variable: str, environment: Mapping[str, str]) -> list[str]:
    """The variable of a key, and the one of several keys where that is set.

    >>> variables_of("STEP_API_KEY", {"STEP_API_KEYS": "a,b"})
    ['STEP_API_KEY', 'STEP_API_KEYS']
    """
    several = _several(variable)
    return [variable, several] if environment.get(several, "").strip() else [variable]


def _several(variable: str) -> str:
    return f"{variable}S"


def missing_key(catalog: Catalog, card: Card, environment: Mapping[str, str]) -> str | None:
    """The variable to set before a model can be asked; ``None`` where nothing is missing."""
    profile = catalog.profile(card.provider)
    if not profile.key_required or api_key(profile.keys, environment):
        return None
    return profile.keys[0]


def askable(catalog: Catalog, model: str, environment: Mapping[str, str]) -> Card:
    """The model itself; of a route the first target whose key is set, else its first."""
    route = catalog.routes.get(model)
    cards = [catalog.card(target) for target in route.targets] if route else []
    ready = (card for card in cards if missing_key(catalog, card, environment) is None)
    return next(ready, catalog.card(model))


def choose_model(config: Config, profiles: Sequence[Profile], environment: Mapping[str, str]) -> str:
    """The model to use: the one that was named, else the default of the only provider whose key is set,
    else ``demo``. Providers that share a key count as one, the first of ``profiles``.

    Raises `SettingInvalid` when the keys of several providers are set; its figure ``models`` lists what
    could be meant.
    """
    if config.model:
        return config.model
    held: dict[str, Profile] = {}
    for profile in profiles:
        if key := api_key(profile.keys, environment):
            held.setdefault(key.variable, profile)
    if len(held) > 1:
        models = [_full(profile) for profile in held.values() if profile.default_model]
        example = models[0] if models else "qwen/qwen-plus"
        raise _undecided("several_keys", variables=", ".join(held), example=example, models=models)
    for variable, profile in held.items():
        if not profile.default_model:
            raise _undecided("no_default", variable=variable, provider=profile.id)
        return _full(profile)
    return "demo"


def _undecided(because: str, **figures: object) -> SettingInvalid:
    return SettingInvalid(Reason(f"setting.{because}", **figures), turn=None, name="model", **figures)


def _full(profile: Profile) -> str:
    name = profile.default_model or ""
    return name if name.startswith(f"{profile.id}/") else f"{profile.id}/{name}"
