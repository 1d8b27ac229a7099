"""What is known and what is set? The commands models and config."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from typing import TypedDict

from ..catalog import Card, Catalog
from ..config import SECTIONS, Config
from ..credentials import variables_of
from ..route import Route
from ..usage import Price
from .figures import UNKNOWN, count
from .screen import Screen
from .session import Session

__all__ = ["config", "models", "plain", "shown"]


async def models(session: Session, provider: str | None) -> None:
    """``models``: the operator's routes and every model of the catalogue, or the models of one provider."""
    screen, catalog = session.screen, Catalog(session.config.overrides)
    cards = list(catalog.profile(provider).cards.values()) if provider else catalog.cards()
    routes = [] if provider else [_routed(catalog, route) for route in catalog.routes.values()]
    if screen.as_json:
        for record in (*routes, *map(_record, cards)):
            screen.record(record)
        return
    rows = [
        [
            str(each["model"]),
            count(each["window"]),
            count(each["max_input"]),
            f"→ {', '.join(each['targets'])}",
        ]
        for each in routes
    ]
    rows += [[card.name, count(card.window), count(card.max_input), _price(card.price)] for card in cards]
    screen.table(("model", "window", "input_limit", "price"), rows, right=(1, 2))


class Routed(TypedDict):
    """A route beside models. What fits all of its targets fits it."""

    model: str
    targets: list[str]
    window: int
    max_input: int


def _routed(catalog: Catalog, route: Route) -> Routed:
    cards = [catalog.card(target) for target in route.targets]
    return {
        "model": route.name,
        "targets": list(route.targets),
        "window": min(card.window for card in cards),
        "max_input": min(card.max_input for card in cards),
    }


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
    screen, chosen = session.screen, session.config
    values = {name: _value(chosen, name) for name in chosen.origins}
    keys = _keys(session)
    if screen.as_json:
        for name, value in values.items():
            screen.record({"setting": name, "value": plain(value), "origin": chosen.origins[name]})
        for name, is_set in keys.items():
            screen.record({"setting": name, "value": is_set, "origin": name})
        return
    rows = [[name, shown(value), _origin(chosen.origins[name], screen)] for name, value in values.items()]
    rows += [
        [name, screen.say("word.set" if is_set else "word.not_set"), name] for name, is_set in keys.items()
    ]
    screen.table(("setting", "value", "origin"), rows)


def _value(config: Config, name: str) -> object:
    if name in ("policy.high", "policy.low"):
        return config.policy.marks()[name == "policy.low"]
    section, _, rest = name.partition(".")
    if section in SECTIONS:
        entry, _, key = rest.rpartition(".")
        return getattr(config, section)[entry][key]
    value = getattr(config, section)
    return getattr(value, rest) if rest else value


def plain(value: object) -> object:
    """A value as JSON has it; an address without its password."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if hasattr(value, "__dataclass_fields__"):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}  # type: ignore[arg-type]  # it is a record
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return re.sub(r"://[^/@\s]+@", "://…@", str(value))


def shown(value: object) -> str:
    """A value in words; an address without its password.

    >>> shown(None), shown(True), shown(0.5), shown({"max_tokens": 600})
    ('—', 'true', '0.5', 'max_tokens=600')
    """
    match plain(value):
        case None | "":
            return UNKNOWN
        case bool(switch):
            return "true" if switch else "false"
        case float(number):
            return f"{number:g}"
        case dict(parts):
            return ", ".join(f"{name}={shown(each)}" for name, each in parts.items())
        case list(parts):
            return ", ".join(shown(each) for each in parts)
        case other:
            return str(other)


def _origin(origin: str, screen: Screen) -> str:
    return screen.say(f"word.{origin}") if origin in ("default", "argument") else origin


def _keys(session: Session) -> dict[str, bool]:
    """Each variable of a key, and whether it is set; a key is never shown."""
    names = [name for profile in Catalog(session.config.overrides).profiles() for name in profile.keys]
    return {
        each: bool(session.environment.get(each, "").strip())
        for name in names
        for each in variables_of(name, session.environment)
    }
