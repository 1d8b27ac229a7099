"""What do a command's options choose? The settings in force, the screen, the client, the conversation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import click

from ..catalog import Catalog
from ..chat import AsyncConversation
from ..client import AsyncMultiTurn
from ..config import Config
from ..conversations import Conversation
from ..credentials import askable, choose_model, missing_key
from ..errors import ConversationNotFound, KeyMissing, SettingInvalid, StoreUnavailable
from ..phrases import Reason
from ..policy import ContextPolicy
from ..settings import defaults, load
from .screen import Screen

__all__ = ["POLICY", "Session", "handle", "is_demo"]

POLICY = (
    "budget",
    "reserve_output",
    "high",
    "low",
    "max_turns",
    "max_messages",
    "images",
    "summarize",
    "recall",
)
"""The options that state a policy."""
SQLITE = "sqlite:///"
PAGE = 1000
"""Conversations that are looked through at once."""


@dataclass(frozen=True, slots=True)
class Session:
    """One run of one command. ``policy`` is what its options say about the window, ``None`` where they
    say nothing."""

    screen: Screen
    config: Config
    policy: ContextPolicy | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    refused: SettingInvalid | None = None
    """Why the settings could not be read, where defaults stand in for them."""

    @classmethod
    def of(
        cls, screen: Screen, given: Mapping[str, Any], *, tolerant: bool = False
    ) -> tuple[Session, dict[str, Any]]:
        """The session that a command's options choose, and the options that are the command's own. One
        that is ``tolerant`` goes on with defaults where the settings cannot be read."""
        rest = dict(given)
        settings = {name: rest.pop(name, None) for name in ("store", "user", "model")}
        stated = {name: value for name in POLICY if (value := rest.pop(name, None)) is not None}
        images = stated.get("images")
        if isinstance(images, str) and images.isdecimal():
            stated["images"] = int(images)
        try:
            config = load({**settings, "policy": stated or None})
        except SettingInvalid as refused:
            if not tolerant:
                raise
            return cls(screen, defaults(), refused=refused), rest
        return cls(screen, config, config.policy if stated else None), rest

    @property
    def chosen(self) -> str | None:
        """The model that was named on the command line."""
        return self.config.model if self.config.origins.get("model") == "argument" else None

    @property
    def user(self) -> str | None:
        """The user who was chosen; ``None``: nobody was, so everybody's conversations are looked at."""
        return None if self.config.origins.get("user", "default") == "default" else self.config.user

    def stored(self) -> AsyncMultiTurn:
        """A client to look at what is there: a store that somebody named and that is not there is no
        empty one, and raises `StoreUnavailable`."""
        path = self.config.store.removeprefix(SQLITE)
        named = path != self.config.store and self.config.origins.get("store", "default") != "default"
        if named and path != ":memory:" and not os.path.exists(path):
            raise StoreUnavailable(Reason("why.store_missing"), path=path)
        return self.client()

    def client(self) -> AsyncMultiTurn:
        """A client for this run's store and user. Its own model never answers: each conversation that is
        talked to here names one."""
        return AsyncMultiTurn(config=replace(self.config, model="demo"))

    def model(self) -> str:
        """The model for a new conversation. On a terminal, someone with the keys of several providers is
        asked; elsewhere that raises `SettingInvalid`."""
        catalog = Catalog(self.config.overrides)
        try:
            return choose_model(self.config, catalog.profiles(), self.environment)
        except SettingInvalid as undecided:
            models = undecided.figures.get("models")
            if not self.screen.asks or not isinstance(models, list):
                raise
            return self._ask_model(models)

    def check(self, model: str) -> None:
        """Refuse a model, or a route without any, that cannot answer before anything is typed:
        `ModelUnknown`, or `KeyMissing` with the variable to set."""
        catalog = Catalog(self.config.overrides)
        card = askable(catalog, model, self.environment)
        if variable := missing_key(catalog, card, self.environment):
            raise KeyMissing(provider=card.provider, variable=variable)

    def _ask_model(self, models: list[str]) -> str:
        self.screen.line(self.screen.say("chat.which_model"))
        for number, model in enumerate(models, 1):
            self.screen.line(f"  {number}  {model}")
        chosen: int = click.prompt("›", type=click.IntRange(1, len(models)), default=1)
        return models[chosen - 1]

    async def find(self, client: AsyncMultiTurn, name: str) -> Conversation:
        """The conversation with this id, anybody's where no user was chosen; ``last`` is the most recently
        used one."""
        everybody = self.user is None
        if name != "last":
            try:
                return await client.conversation(name, user=self.config.user).info()
            except ConversationNotFound:
                if not everybody:
                    raise
        before, limit = None, 1 if name == "last" else PAGE
        while page := await client.conversations(
            user=self.user, everybody=everybody, limit=limit, before=before
        ):
            for each in page:
                if name in ("last", each.id):
                    return each
            before = page[-1].id
        raise ConversationNotFound(conversation=name)


def is_demo(model: str) -> bool:
    """Whether this is the model that only quotes."""
    return model.partition("?")[0] == "demo"


def handle(client: AsyncMultiTurn, found: Conversation) -> AsyncConversation:
    """The handle of a stored conversation."""
    return client.conversation(found.id, user=found.user)
