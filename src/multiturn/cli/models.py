"""What is known and what is set? The commands models and config."""

from __future__ import annotations

import re
from dataclasses import fields
from decimal import Decimal

from ..catalog import Card, Catalog
from ..settings import Config, api_key
from ..usage import Price
from .figures import UNKNOWN, count
from .screen import Screen
from .session import Session

__all__ = ["config", "models", "shown"]


async def models(session: Session, provider: str | None) -> None:
    """``models``: every model of the catalogue, or those of one provider."""
    screen, catalog = session.screen, Catalog(session.config.overrides)
    cards = list(catalog.profile(provider).cards.values()) if provider else catalog.cards()
    if screen.as_json:
        for card in cards:
            screen.record(_record(card))
        return
    rows = [[card.name, count(card.window), count(card.max_input), _price(card.price)] for card in cards]
    screen.table(("model", "window", "input_limit", "price"), rows, right=(1, 2))


def _record(card: Card) -> dict[str, object]:
    price = card.price
    return {
        "model": card.name,
        "window": card.window,
        "max_input": card.max_input,
        "max_output": card.max_output,
        "thinks": card.thinks,
        "status": card.status,
        "currency": price.currency if price else None,
        "prices": [
            {"up_to": tier.up_to, "input": str(tier.input), "output": str(tier.output)}
            for tier in price.tiers
        ]
        if price
        else None,
        "as_of": card.as_of,
        "source": card.source,
    }


def _price(price: Price | None) -> str:
    if price is None:
        return UNKNOWN
    first = price.tiers[0]
    figures = " / ".join(_plain(amount * price.multiplier) for amount in (first.input, first.output))
    more = " +" if len(price.tiers) > 1 else ""
    return f"{price.currency} {figures}{more}"


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


async def config(session: Session) -> None:
    """``config``: every setting in force with its origin, and which keys are set (never their values)."""
    screen = session.screen
    rows = [*_settings(session.config, screen), *_keys(session)]
    if screen.as_json:
        for name, value, origin in rows:
            screen.record({"setting": name, "value": value, "origin": origin})
        return
    screen.table(("setting", "value", "origin"), rows)


def _settings(config: Config, screen: Screen) -> list[list[str]]:
    return [
        [name, shown(_value(config, name), screen), _origin(origin, screen)]
        for name, origin in config.origins.items()
    ]


def _value(config: Config, name: str) -> object:
    section, _, rest = name.partition(".")
    if section in ("providers", "models", "embeddings"):
        entry, _, key = rest.rpartition(".")
        return getattr(config, section)[entry][key]
    value = getattr(config, section)
    return getattr(value, rest) if rest else value


def shown(value: object, screen: Screen) -> str:
    """A value in words; an address without its password."""
    if value is None or value == "":
        return UNKNOWN
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if hasattr(value, "__dataclass_fields__"):
        parts = ((field.name, getattr(value, field.name)) for field in fields(value))  # type: ignore[arg-type]  # it is a record
        return ", ".join(f"{name}={shown(each, screen)}" for name, each in parts)
    return re.sub(r"://[^/@\s]+@", "://…@", str(value))


def _origin(origin: str, screen: Screen) -> str:
    return screen.say(f"word.{origin}") if origin in ("default", "argument") else origin


def _keys(session: Session) -> list[list[str]]:
    """One row for each key variable; a key is never shown."""
    names: dict[str, None] = {}
    for profile in Catalog(session.config.overrides).profiles():
        names |= dict.fromkeys(profile.keys)
    screen = session.screen
    return [
        [name, screen.say("word.set" if api_key((name,), session.environment) else "word.not_set"), name]
        for name in names
    ]
