"""Is this installation sound? The command doctor."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from ..cards import UNKNOWN_WINDOW, Card
from ..catalog import Catalog
from ..config import NAMES, PREFIX, variable_of
from ..credentials import api_key, api_keys, askable, choose_model, missing_key
from ..errors import Error
from ..phrases import error_sentence
from ..providers import address_of, proxy_for
from ..storage import open_store
from .figures import bytes_of
from .models import plain
from .screen import Screen
from .sections import sound
from .session import Session

__all__ = ["doctor"]

LEAST_SQLITE = (3, 35, 0)
"""The first that gives back the rows it writes."""
LOW_DISK = 100 * 1024 * 1024
"""Bytes of free space under which the doctor warns."""


class Finding(NamedTuple):
    """One line of the report."""

    level: Literal["ok", "note", "wrong"]
    code: str
    sentence: str


async def doctor(session: Session) -> int:
    """``doctor``: look at everything, tell all of it; gives 1 when something is wrong."""
    screen, findings = session.screen, [finding async for finding in _examine(session)]
    for level, code, sentence in findings:
        if screen.as_json:
            screen.record({"level": level, "check": code, "message": sentence})
        else:
            screen.line(f"{screen.say(f'doctor.{level}')}  {sentence}")
    return int(any(finding.level == "wrong" for finding in findings))


async def _examine(session: Session) -> AsyncIterator[Finding]:
    screen = session.screen
    yield _finding(screen, "ok", "python", version=platform.python_version())
    old = sqlite3.sqlite_version_info < LEAST_SQLITE
    figures = {"version": sqlite3.sqlite_version, "least": ".".join(map(str, LEAST_SQLITE[:2]))}
    yield _finding(screen, "wrong" if old else "ok", "sqlite_old" if old else "sqlite", **figures)
    if session.refused:
        yield Finding("wrong", session.refused.code, error_sentence(session.refused, screen.language))
    else:
        origin = session.config.origins.get("language", "default")
        origin = screen.say("word.default") if origin == "default" else origin
        yield _finding(screen, "ok", "language", language=session.config.language, origin=origin)
    async for finding in _store(session):
        yield finding
    config, wrong = sound(session.config)
    session = replace(session, config=config)
    for error, origin in wrong:
        sentence = error_sentence(error, screen.language)
        yield Finding("wrong", error.code, screen.say("doctor.entry", sentence=sentence, origin=origin))
    parts = (_keys, _routes, _model, _addresses, _variables)
    for each in (finding for part in parts for finding in part(session)):
        yield each


def _finding(screen: Screen, level: Literal["ok", "note", "wrong"], code: str, **figures: object) -> Finding:
    return Finding(level, code, screen.say(f"doctor.{code}", **figures))


async def _store(session: Session) -> AsyncIterator[Finding]:
    screen, url = session.screen, session.config.store
    try:
        store = open_store(url)
    except Error as refused:
        yield Finding("wrong", refused.code, error_sentence(refused, screen.language))
        return
    if url.endswith(":memory:"):
        yield _finding(screen, "note", "store_memory")
        return
    path = Path(url.removeprefix("sqlite:///"))
    level, code = _place(path)
    if level == "wrong" or code == "store_new":
        yield _finding(screen, level, code, path=path)
    else:
        try:
            await store.open()
            yield _finding(screen, level, code, path=path)
            yield _inside(screen, path)
        except Error as refused:
            yield Finding("wrong", refused.code, error_sentence(refused, screen.language))
        finally:
            await store.close()
    yield _disk(screen, path)


def _place(path: Path) -> tuple[Literal["ok", "wrong"], str]:
    """Whether the database at ``path`` is there, or could be made."""
    if path.exists():
        return ("ok", "store") if os.access(path, os.W_OK) else ("wrong", "store_readonly")
    folder = _standing(path)
    usable = folder.is_dir() and os.access(folder, os.W_OK)
    return ("ok", "store_new") if usable else ("wrong", "store_readonly")


def _standing(path: Path) -> Path:
    """The nearest folder above ``path`` that exists."""
    return next((above for above in path.absolute().parents if above.exists()), Path(path.anchor or "."))


def _inside(screen: Screen, path: Path) -> Finding:
    """Whether the pages of an existing database hang together."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as damage:
        found = str(damage)
    if found != "ok":
        return _finding(screen, "wrong", "integrity", problem=" ".join(str(found).split()))
    return _finding(screen, "ok", "schema", found=version)


def _disk(screen: Screen, path: Path) -> Finding:
    free = shutil.disk_usage(_standing(path)).free
    low = free < LOW_DISK
    return _finding(screen, "wrong" if low else "ok", "disk_low" if low else "disk", free=bytes_of(free))


def _keys(session: Session) -> Iterator[Finding]:
    held = {
        key.variable: None
        for profile in Catalog(session.config.overrides).profiles()
        for key in api_keys(profile.keys, session.environment)
    }
    if held:
        yield _finding(session.screen, "ok", "keys", variables=", ".join(held))
    else:
        yield _finding(session.screen, "note", "no_keys")


def _routes(session: Session) -> Iterator[Finding]:
    """Each route with its targets, and which of them cannot be asked."""
    screen, catalog = session.screen, Catalog(session.config.overrides)
    for route in catalog.routes.values():
        cards = [catalog.card(target) for target in route.targets]
        missing = {
            card.name: variable
            for card in cards
            if (variable := missing_key(catalog, card, session.environment))
        }
        retired = [card.name for card in cards if card.status == "retired"]
        told = {"route": route.name, "targets": ", ".join(route.targets)}
        if len({*missing, *retired}) == len(cards):
            yield _finding(screen, "wrong", "route_dead", **told)
        elif not (missing or retired):
            yield _finding(screen, "ok", "route", **told)
        for name, variable in missing.items():
            yield _finding(screen, "note", "route_key", route=route.name, model=name, variable=variable)
        for name in retired:
            yield _finding(screen, "note", "route_retired", route=route.name, model=name)


def _model(session: Session) -> Iterator[Finding]:
    """The model that would answer: whether one is chosen, it is known and its key is set."""
    screen, catalog = session.screen, Catalog(session.config.overrides)
    try:
        card = _chosen(session, catalog)
    except Error as refused:
        yield Finding("wrong", refused.code, error_sentence(refused, screen.language))
        return
    if variable := missing_key(catalog, card, session.environment):
        yield _finding(screen, "wrong", "key_missing", model=card.name, variable=variable)
    elif card.known or card.window != UNKNOWN_WINDOW:
        yield _finding(screen, "ok", "model", model=card.name)
    else:
        yield _finding(screen, "note", "model_unknown", model=card.name)


def _chosen(session: Session, catalog: Catalog) -> Card:
    """The model that answers where a command names none; of a route the first target with a key."""
    model = choose_model(session.config, catalog.profiles(), session.environment)
    return askable(catalog, model, session.environment)


def _addresses(session: Session) -> Iterator[Finding]:
    """Where the providers are called whose key is set, and the one of the model that would answer."""
    screen, catalog = session.screen, Catalog(session.config.overrides)
    called = {p.id: p for p in catalog.profiles() if api_key(p.keys, session.environment)}
    with suppress(Error):
        profile = catalog.profile(_chosen(session, catalog).provider)
        called[profile.id] = profile
    for profile in called.values():
        if profile.protocol in ("demo", "scripted"):
            continue
        variable = profile.base_url_variable
        given = session.environment.get(variable or "\0")
        origin = (
            variable if given else session.config.origins.get(f"providers.{profile.id}.base_url", "default")
        )
        try:
            address = address_of(profile, given)
            proxy = proxy_for(address)
        except Error as refused:
            yield Finding("wrong", refused.code, error_sentence(refused, screen.language))
        else:
            origin = screen.say("word.default") if origin == "default" else origin
            yield _finding(screen, "ok", "address", provider=profile.id, address=address, origin=origin)
            if proxy:
                yield _finding(screen, "ok", "proxy", provider=profile.id, proxy=plain(proxy))


def _variables(session: Session) -> Iterator[Finding]:
    """A misspelt variable would otherwise be passed over in silence."""
    known = {variable_of(name) for name in NAMES}
    for variable in sorted(session.environment):
        if variable.startswith(PREFIX) and variable not in known:
            yield _finding(session.screen, "note", "variable_unknown", variable=variable)
