"""What do we know of each provider and each model?

The answers are dated data: one TOML file for each provider in ``profiles/``, read when it is first
asked for. An operator overrides what is out of date (`Catalog`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import parse_qsl

from . import profile_fields
from .errors import ModelUnknown, SettingInvalid
from .usage import Price
from .window import ReasoningRule, Target

__all__ = ["PROVIDERS", "UNKNOWN_WINDOW", "Card", "Catalog", "Profile"]

PROVIDERS = (
    "qwen",
    "dashscope",
    "kimi",
    "stepfun",
    "zhizengzeng",
    "deepseek",
    "glm",
    "ark",
    "siliconflow",
    "openai",
    "compatible",
    "demo",
    "scripted",
)
"""Every provider, in the order in which people see them; the first of two that share a key counts."""

MAKERS = (
    ("qwen", "qwen"),
    ("qwq", "qwen"),
    ("qvq", "qwen"),
    ("kimi", "kimi"),
    ("moonshot", "kimi"),
    ("step-", "stepfun"),
    ("deepseek", "deepseek"),
    ("glm", "glm"),
    ("doubao", "ark"),
    ("ep-", "ark"),
    ("gpt-", "openai"),
    ("chatgpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
)
"""How the makers begin the names of their models: a bare name is its maker's."""

UNKNOWN_WINDOW = 8_192
"""Tokens an unknown model is taken to read, until the operator or an overflow says more."""

DATA = Path(__file__).parent / "profiles"
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of one model. ``name`` is ``provider/model``; ``window``, ``max_input`` and
    ``max_output`` are tokens.

    - ``thinks``: never, when switched (``thinks_by_default`` where the request does not say), always.
    - ``reasoning`` and ``reasoning_required``: which reasoning goes back while the model thinks, and
      where a message without it is refused (`Target`); ``keep_all_if`` the request parameters that
      make it keep all.
    - ``media``: `Trait` bits of what it sees; ``price`` ``None`` where it is unknown.
    - ``can_summarise``: whether it can be asked to write a summary.
    - ``native``: the path of DashScope's own protocol on which it answers.
    - ``drop_params``: parameters it refuses, left out of every request.
    - ``known``: whether it is in the catalogue; ``upstream`` a relayed model's maker; ``options`` what
      stood behind a question mark in its name (``demo?fail=429``).
    - ``as_of`` and ``source``: when and where these figures were read.

    >>> Catalog().card("kimi-k2.6").window
    262144
    """

    name: str
    provider: str
    model: str
    window: int = UNKNOWN_WINDOW
    max_input: int = UNKNOWN_WINDOW
    max_output: int | None = None
    thinks: Literal["no", "toggle", "always"] = "no"
    thinks_by_default: bool = False
    reasoning: ReasoningRule = "drop"
    reasoning_required: Literal["never", "tool_calls", "after_tool_call", "always"] = "never"
    keep_all_if: Mapping[str, object] = field(default_factory=dict)
    media: int = 0
    tools: bool = True
    price: Price | None = None
    tokenizer: str = ""
    can_summarise: bool = True
    native: Literal["text", "multimodal"] | None = None
    drop_params: tuple[str, ...] = ()
    status: Literal["current", "retiring", "retired"] = "current"
    known: bool = False
    upstream: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    as_of: str = ""
    source: str = ""

    def input_limit(self, reserve: int) -> int:
        """Tokens of input it takes when ``reserve`` tokens are kept free for the reply."""
        return min(self.max_input, self.window - reserve)

    @property
    def first_tier(self) -> int | None:
        """Up to how many tokens of input its lowest price holds; ``None``: its price has one tier."""
        return self.price.tiers[0].up_to if self.price else None


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of one provider.

    - ``keys``: environment variables that may hold its API key, the preferred one first;
      ``base_url_variable`` one that replaces ``base_url``.
    - ``include_usage``: whether a stream must be asked for its usage; ``max_out_field`` how the output
      limit is called (empty: as the caller calls it); ``drop_params`` what it does not take.
    - ``switches``: the request parameters that turn thinking on and off; ``reasoning_field`` how
      reasoning is called on the wire, ``reasoning_content_if`` the parameters that rename it.
    - ``system`` to ``bare_calls``: as in `Target`; ``text_lists``: whether models that see no media
      take content as a list all the same.
    - ``codes``: the provider's error codes by class; ``cards`` its models, aliases and those an operator
      describes included.
    - ``relay``: passes on other makers' models, whose own profiles say what they can do.
    """

    id: str
    protocol: Literal["openai_chat", "dashscope", "demo", "scripted"]
    base_url: str = ""
    base_url_variable: str = ""
    keys: tuple[str, ...] = ()
    key_required: bool = True
    default_model: str | None = None
    models_of: str = ""
    relay: bool = False
    multiplier: Decimal | None = None
    include_usage: bool = False
    max_out_field: str = ""
    drop_params: tuple[str, ...] = ()
    switches: tuple[str, ...] = ()
    reasoning_field: str = "reasoning_content"
    reasoning_content_if: Mapping[str, object] = field(default_factory=dict)
    system: Literal["any", "first"] = "any"
    developer: bool = False
    names: bool = True
    opening: bool = True
    alternate: bool = False
    text_lists: bool = False
    bare_calls: Literal["keep", "null", "omit"] = "keep"
    codes: Mapping[str, str] = field(default_factory=dict)
    cards: Mapping[str, Card] = field(default_factory=dict, repr=False)


class Catalog:
    """Providers and models, with the operator's ``overrides`` on top.

    ``overrides`` is a nested mapping as TOML gives it: ``providers`` by id (``base_url``, ``multiplier``
    of a relay's prices, …) and ``models`` by ``provider/model`` (``window``, ``max_input``, ``price``, …).
    Raises `SettingInvalid` for a field that does not exist or a value that cannot be.

    >>> Catalog({"models": {"compatible/llama": {"window": 32768}}}).card("compatible/llama").window
    32768
    """

    def __init__(self, overrides: Mapping[str, Any] | None = None) -> None:
        self._providers, self._models = _checked(overrides) if overrides else (NOTHING, NOTHING)
        self._profiles: dict[str, Profile] = {}

    def profile(self, provider: str) -> Profile:
        """The profile of a provider by its id; raises `ModelUnknown` for one that does not exist."""
        if provider not in PROVIDERS:
            raise ModelUnknown(model=provider)
        if not (self._providers or self._models):
            return _as_published(provider)
        if provider not in self._profiles:
            self._profiles[provider] = self._open(provider)
        return self._profiles[provider]

    def profiles(self) -> list[Profile]:
        """The profiles of all providers."""
        return [self.profile(provider) for provider in PROVIDERS]

    def card(self, model: str) -> Card:
        """The card of a model: ``provider/model``, or a bare name, which is its maker's.

        A model that is not in the catalogue has no price and a window of 8,192 tokens. Raises
        `ModelUnknown` where no provider can be told.
        """
        bare, _, query = model.partition("?")
        if bare in ("demo", "scripted"):
            options = dict(parse_qsl(query, keep_blank_values=True))
            return replace(self.profile(bare).cards[bare], name=model, options=options)
        provider, slash, name = model.partition("/")
        if not slash:
            provider, name = _maker(model), model
        if provider not in PROVIDERS or not name or provider in ("demo", "scripted"):
            raise ModelUnknown(model=model)
        profile = self.profile(provider)
        return profile.cards.get(name) or self._unlisted(profile, name)

    def cards(self) -> list[Card]:
        """The card of every model that is listed, in the order of `PROVIDERS`."""
        listed = (profile for profile in self.profiles() if profile.protocol != "scripted")
        return [card for profile in listed for card in profile.cards.values()]

    def target(self, card: Card, params: Mapping[str, Any] = NOTHING) -> Target:
        """What shapes a list of messages for this model and these request parameters."""
        profile = self.profile(card.upstream or card.provider)
        thinking = _thinks(card, profile.switches, params)
        keeps_all = bool(card.keep_all_if) and _all_given(card.keep_all_if, params)
        renamed = bool(profile.reasoning_content_if) and _all_given(profile.reasoning_content_if, params)
        return Target(
            model=card.name,
            reasoning=("keep_all" if keeps_all else card.reasoning) if thinking else "drop",
            reasoning_required=card.reasoning_required if thinking else "never",
            reasoning_field="reasoning_content" if renamed else profile.reasoning_field,
            thinking=thinking,
            system=profile.system,
            developer=profile.developer,
            names=profile.names,
            opening=profile.opening,
            alternate=profile.alternate,
            lists=bool(card.media) or profile.text_lists,
            media=card.media,
            bare_calls=profile.bare_calls,
        )

    # ------------------------------------------------------------------------------- reading

    def _open(self, provider: str) -> Profile:
        raw = dict(_data(provider))
        override = self._providers.get(provider, NOTHING)
        twin = _data(raw["models_of"]) if "models_of" in raw else raw
        values = profile_fields.profile(_scalars(raw) | override, f"providers.{provider}")
        profile = Profile(**values, codes=twin.get("codes", {}))
        cards: dict[str, Card] = {}
        for entry, values in twin.get("models", {}).items():
            for name in (entry, *values.get("aliases", ())):
                cards[name] = self._made(profile, name, values, known=True)
        for full in self._models:
            maker, _, name = full.partition("/")
            if maker == provider and name not in cards:
                cards[name] = self._unlisted(profile, name)
        return replace(profile, cards=cards)

    def _unlisted(self, profile: Profile, name: str) -> Card:
        """A card for what the catalogue does not list: what a relay passes on is its maker's."""
        maker = _maker(name) if profile.relay else ""
        upstream = self.profile(maker).cards.get(name) if maker else None
        if upstream is None:
            return self._made(profile, name, _data(profile.id).get("unknown", NOTHING), known=False)
        price = upstream.price
        if price is not None:
            times = profile.multiplier
            price = None if times is None else replace(price, multiplier=times)
        relayed = replace(
            upstream,
            name=f"{profile.id}/{name}",
            provider=profile.id,
            upstream=upstream.provider,
            price=price,
        )
        override = self._models.get(relayed.name, NOTHING)
        return replace(relayed, **profile_fields.card(override, f"models.{relayed.name}", relayed.price))

    def _made(self, profile: Profile, name: str, raw: Mapping[str, Any], *, known: bool) -> Card:
        full = name if profile.protocol in ("demo", "scripted") else f"{profile.id}/{name}"
        override = self._models.get(full, NOTHING)
        merged = {"media": () if known else EVERYTHING} | dict(raw) | override
        if "price" in raw and "price" not in override:
            merged["price"] = {"as_of": raw["as_of"], "source": raw["source"]} | raw["price"]
        if profile.multiplier is not None:
            merged.setdefault("multiplier", profile.multiplier)
        merged.setdefault("max_input", merged.get("window", UNKNOWN_WINDOW))
        values = profile_fields.card(merged, f"models.{full}")
        return Card(full, profile.id, name, known=known, **values)


EVERYTHING = ("image", "audio", "video", "file")
"""An unknown model is not kept from seeing what it may be able to see."""


@cache
def _data(provider: str) -> Mapping[str, Any]:
    with (DATA / f"{provider}.toml").open("rb") as file:
        return tomllib.load(file, parse_float=Decimal)


@cache
def _as_published(provider: str) -> Profile:
    return Catalog({"providers": {}})._open(provider)  # noqa: SLF001  (its own class, without overrides)


def _scalars(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in raw.items() if name not in ("models", "codes", "unknown")}


def _maker(model: str) -> str:
    """The provider whose models begin like this one; empty where none does."""
    return next((provider for start, provider in MAKERS if model.startswith(start)), "")


def _checked(overrides: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    for section, entries in overrides.items():
        if section not in ("providers", "models"):
            raise SettingInvalid("only providers and models can be overridden", name=section)
        for name, values in profile_fields.table(entries, section).items():
            profile_fields.table(values, f"{section}.{name}")
            if name.partition("/")[0] not in PROVIDERS:
                raise SettingInvalid(f"{name} names no provider", name=f"{section}.{name}")
            if section == "providers":
                profile_fields.profile({**values, "id": name, "protocol": "demo"}, f"providers.{name}")
                profile_fields.overridable(values, f"providers.{name}")
            else:
                profile_fields.card(values, f"models.{name}")
    return overrides.get("providers", NOTHING), overrides.get("models", NOTHING)


# ---------------------------------------------------------------------------------- thinking


def _thinks(card: Card, switches: tuple[str, ...], params: Mapping[str, Any]) -> bool:
    if card.thinks != "toggle":
        return card.thinks == "always"
    for switch in switches:
        value = params.get(switch)
        if isinstance(value, Mapping):
            value = value.get("type")
        if value is not None:
            return value not in (False, "disabled", "none", "off")
    return card.thinks_by_default


def _all_given(wanted: Mapping[str, object], params: Mapping[str, Any]) -> bool:
    """Whether the request carries these parameters, named with dots where they are nested."""
    return all(_at(params, name) == value for name, value in wanted.items())


def _at(params: Mapping[str, Any], name: str) -> object:
    value: object = params
    for step in name.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value
