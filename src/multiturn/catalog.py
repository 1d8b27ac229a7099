"""What do we know of each provider and each model?

The answers are dated data: one TOML file for each provider in ``profiles/``, read when it is first
asked for. An operator overrides what is out of date (`Catalog`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

from . import profile_fields
from .cards import UNKNOWN_WINDOW, Card, EmbeddingCard, Profile
from .errors import ModelUnknown, SettingInvalid
from .phrases import Reason
from .route import Route, route_of
from .target import target_of
from .window import Target

__all__ = ["PROVIDERS", "UNKNOWN_WINDOW", "Card", "Catalog", "EmbeddingCard", "Profile"]

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

OVERRIDABLE = ("providers", "models", "embeddings", "routes")
DATA = Path(__file__).parent / "profiles"
NOTHING: Mapping[str, Any] = MappingProxyType({})


OTHERS = 256
"""Of how many models that are not listed the cards are kept."""


class Catalog:
    """Providers and models, with the operator's ``overrides`` on top.

    ``overrides`` is a nested mapping as TOML gives it: ``providers`` by id (``base_url``, ``multiplier``
    of a relay's prices, …), ``models`` by ``provider/model`` (``window``, ``max_input``, ``price``, …),
    ``embeddings`` by ``provider/model`` (``dimension``, ``batch``, …), and ``routes`` by a name of the
    operator's (``targets``).
    Raises `SettingInvalid` for a field that does not exist or a value that cannot be.

    >>> Catalog({"models": {"compatible/llama": {"window": 32768}}}).card("compatible/llama").window
    32768
    """

    def __init__(self, overrides: Mapping[str, Any] | None = None) -> None:
        self._providers, self._models, self._embeddings, routes = (
            _checked(overrides) if overrides else (NOTHING,) * len(OVERRIDABLE)
        )
        self._profiles: dict[str, Profile] = {}
        self._others: dict[tuple[str, str], Card] = {}
        self.routes: Mapping[str, Route] = NOTHING
        """The operator's routes, by name."""
        if routes:
            self.routes = {name: self._route(name, values) for name, values in routes.items()}

    def profile(self, provider: str) -> Profile:
        """The profile of a provider by its id; raises `ModelUnknown` for one that does not exist."""
        if provider not in PROVIDERS:
            raise ModelUnknown(model=provider)
        if not (self._providers or self._models or self._embeddings):
            return _as_published(provider)
        if provider not in self._profiles:
            self._profiles[provider] = self._open(provider)
        return self._profiles[provider]

    def profiles(self) -> list[Profile]:
        """The profiles of all providers."""
        return [self.profile(provider) for provider in PROVIDERS]

    def card(self, model: str) -> Card:
        """The card of a model: ``provider/model``, or a bare name: a route's, which is its first target, else
        one of its maker's.

        A model that is not in the catalogue has no price and a window of 8,192 tokens. Raises
        `ModelUnknown` where no provider can be told.
        """
        if route := self.routes.get(model):
            model = route.targets[0]
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
        return profile.cards.get(name) or self._other(profile, name)

    def route(self, model: str) -> Route | None:
        """The route of this name, else the first one of which this model is a target: it goes on there when
        the model is no longer offered."""
        if model in self.routes or not self.routes:
            return self.routes.get(model)
        name = self.card(model).name
        return next((each for each in self.routes.values() if name in each.targets), None)

    def cards(self) -> list[Card]:
        """The card of every model that is listed, in the order of `PROVIDERS`."""
        listed = (profile for profile in self.profiles() if profile.protocol != "scripted")
        return [card for profile in listed for card in profile.cards.values()]

    def embedding(self, model: str) -> EmbeddingCard:
        """The card of an embedding model: ``provider/model``, or a bare name that a provider lists.

        One that is not in the catalogue has no price and no dimension, and takes one text a request.
        Raises `ModelUnknown` where no provider can be told.

        >>> Catalog().embedding("qwen/text-embedding-v4").batch
        10
        """
        provider, slash, name = model.partition("/")
        if not slash:
            provider, name = self._embeds(model), model
        if provider not in PROVIDERS or not name:
            raise ModelUnknown(model=model)
        profile = self.profile(provider)
        return profile.embeddings.get(name) or self._unlisted_embedding(profile, name)

    def target(self, card: Card, params: Mapping[str, Any] = NOTHING) -> Target:
        """What shapes a list of messages for this model and these request parameters."""
        return target_of(card, self.profile(card.upstream or card.provider), params)

    # ------------------------------------------------------------------------------- reading

    def _route(self, name: str, values: Mapping[str, Any]) -> Route:
        """A route whose targets are models, by their whole names."""
        route = route_of(name, values, PROVIDERS)
        names = []
        for target in route.targets:
            try:
                names.append(self.card(target).name)
            except ModelUnknown as unknown:
                reason = Reason("why.route_target", target=target)
                raise SettingInvalid(reason, name=f"routes.{name}.targets") from unknown
        return route_of(name, {"targets": names}, PROVIDERS)

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
        return replace(profile, cards=cards, embeddings=self._read_embeddings(profile, twin))

    def _read_embeddings(self, profile: Profile, raw: Mapping[str, Any]) -> dict[str, EmbeddingCard]:
        listed = {f"{profile.id}/{name}": values for name, values in raw.get("embeddings", {}).items()}
        own = {full: NOTHING for full in self._embeddings if full.partition("/")[0] == profile.id}
        return {
            full.partition("/")[2]: self._embedding(full, values, known=full in listed)
            for full, values in {**own, **listed}.items()
        }

    def _unlisted_embedding(self, profile: Profile, name: str) -> EmbeddingCard:
        """A card for what is not listed: what a relay passes on is its maker's, the price excepted."""
        full = f"{profile.id}/{name}"
        maker = self._embeds(name) if profile.relay else ""
        if not maker:
            return self._embedding(full, NOTHING, known=False)
        card = self.profile(maker).embeddings[name]
        price, times = card.price, profile.multiplier
        price = replace(price, multiplier=times) if price and times is not None else None
        return replace(card, name=full, provider=profile.id, upstream=maker, price=price)

    def _embedding(self, full: str, raw: Mapping[str, Any], *, known: bool) -> EmbeddingCard:
        merged = _dated(raw, self._embeddings.get(full, NOTHING))
        provider, _, name = full.partition("/")
        return EmbeddingCard(
            full, provider, name, known=known, **profile_fields.embedding(merged, f"embeddings.{full}")
        )

    def _embeds(self, name: str) -> str:
        """The first provider that lists an embedding model of this name; empty where none does."""
        listing = (each for each in PROVIDERS if name in _data(each).get("embeddings", {}))
        return next(listing, "")

    def _other(self, profile: Profile, name: str) -> Card:
        """The card of a model that is not listed, made when it is first asked for."""
        known = self._others.get((profile.id, name))
        if known is None:
            if len(self._others) >= OTHERS:
                self._others.clear()
            known = self._others[profile.id, name] = self._unlisted(profile, name)
        return known

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
            cache=None,
        )
        override = self._models.get(relayed.name, NOTHING)
        return replace(relayed, **profile_fields.card(override, f"models.{relayed.name}", relayed.price))

    def _made(self, profile: Profile, name: str, raw: Mapping[str, Any], *, known: bool) -> Card:
        full = name if profile.protocol in ("demo", "scripted") else f"{profile.id}/{name}"
        override = self._models.get(full, NOTHING)
        raw = _with_rules(profile, raw)
        merged = {"media": () if known else EVERYTHING} | _dated(raw, override)
        if profile.multiplier is not None:
            merged.setdefault("multiplier", profile.multiplier)
        merged.setdefault("max_input", merged.get("window", UNKNOWN_WINDOW))
        values = profile_fields.card(merged, f"models.{full}")
        return Card(full, profile.id, name, known=known, **values)


EVERYTHING = ("image", "audio", "video", "file")
"""An unknown model is not kept from seeing what it may be able to see."""


TABLES = ("models", "embeddings", "codes", "unknown", "caches", "images")
"""What stands in a profile's file beside the fields of the profile itself."""


@cache
def _data(provider: str) -> Mapping[str, Any]:
    with (DATA / f"{provider}.toml").open("rb") as file:
        return tomllib.load(file, parse_float=Decimal)


@cache
def _as_published(provider: str) -> Profile:
    return Catalog({"providers": {}})._open(provider)  # noqa: SLF001  (its own class, without overrides)


def _dated(raw: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """A listed model's values with the operator's on top; a listed price is as old as its model, where it
    does not say otherwise."""
    merged = {**raw, **override}
    if "price" in raw and "price" not in override:
        merged["price"] = {"as_of": raw["as_of"], "source": raw["source"]} | raw["price"]
    return merged


RULES = {"cache": "caches", "image": "images"}
"""Fields of a model that name a rule, and the table of its provider's file where the rule stands."""


def _with_rules(profile: Profile, raw: Mapping[str, Any]) -> dict[str, Any]:
    """A listed model's values with the rules it names in place of their names."""
    own = _data(profile.id)
    twin = _data(own["models_of"]) if "models_of" in own else own
    named = {field: twin[rules][raw[field]] for field, rules in RULES.items() if field in raw}
    return {**raw, **named}


def _scalars(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in raw.items() if name not in TABLES}


def _maker(model: str) -> str:
    """The provider whose models begin like this one; empty where none does."""
    return next((provider for start, provider in MAKERS if model.startswith(start)), "")


def _checked(overrides: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    for section, entries in overrides.items():
        if section not in OVERRIDABLE:
            raise SettingInvalid(Reason("why.sections", known=", ".join(OVERRIDABLE)), name=section)
        for name, values in profile_fields.table(entries, section).items():
            profile_fields.table(values, f"{section}.{name}")
            if section == "routes":
                continue
            if name.partition("/")[0] not in PROVIDERS:
                raise SettingInvalid(Reason("why.no_provider", name=name), name=f"{section}.{name}")
            if section == "providers":
                profile_fields.profile({**values, "id": name, "protocol": "demo"}, f"providers.{name}")
                profile_fields.overridable(values, f"providers.{name}")
            elif section == "models":
                profile_fields.card(values, f"models.{name}")
            else:
                profile_fields.embedding(values, f"embeddings.{name}")
    return tuple(overrides.get(section, NOTHING) for section in OVERRIDABLE)
