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
from ..conversations import Conversation
from ..errors import ConversationNotFound, KeyMissing, SettingInvalid
from ..policy import ContextPolicy
from ..settings import Config, api_key, choose_model, load
from .screen import Screen

__all__ = ["POLICY", "Session", "handle", "is_demo"]

POLICY = ("budget", "reserve_output", "high", "low", "max_turns", "max_messages", "images")
"""The options that state a policy."""


@dataclass(frozen=True, slots=True)
class Session:
    """One run of one command. ``policy`` is what its options say about the window, ``None`` where they
    say nothing."""

    screen: Screen
    config: Config
    policy: ContextPolicy | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    @classmethod
    def of(cls, screen: Screen, given: Mapping[str, Any]) -> tuple[Session, dict[str, Any]]:
        """The session that a command's options choose, and the options that are the command's own."""
        rest = dict(given)
        settings = {name: rest.pop(name, None) for name in ("store", "user", "model")}
        stated = {name: value for name in POLICY if (value := rest.pop(name, None)) is not None}
        images = stated.get("images")
        if isinstance(images, str) and images.isdecimal():
            stated["images"] = int(images)
        config = load({**settings, "policy": stated or None})
        return cls(screen, config, config.policy if stated else None), rest

    @property
    def chosen(self) -> str | None:
        """The model that was named on the command line."""
        return self.config.model if self.config.origins.get("model") == "argument" else None

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
        """Refuse a model that cannot answer before anything is typed: `ModelUnknown`, or `KeyMissing`
        with the variable to set."""
        catalog = Catalog(self.config.overrides)
        profile = catalog.profile(catalog.card(model).provider)
        if profile.key_required and not api_key(profile.keys, self.environment):
            raise KeyMissing(provider=profile.id, variable=profile.keys[0])

    def _ask_model(self, models: list[str]) -> str:
        self.screen.line(self.screen.say("chat.which_model"))
        for number, model in enumerate(models, 1):
            self.screen.line(f"  {number}  {model}")
        chosen: int = click.prompt("›", type=click.IntRange(1, len(models)), default=1)
        return models[chosen - 1]

    async def find(self, client: AsyncMultiTurn, name: str) -> Conversation:
        """The conversation with this id; ``last`` is the most recently used one."""
        if name == "last":
            newest = await client.conversations(user=self.config.user, limit=1)
            if not newest:
                raise ConversationNotFound(conversation=name)
            return newest[0]
        return await client.conversation(name, user=self.config.user).info()


def is_demo(model: str) -> bool:
    """Whether this is the model that only quotes."""
    return model.partition("?")[0] == "demo"


def handle(client: AsyncMultiTurn, found: Conversation) -> AsyncConversation:
    """The handle of a stored conversation."""
    return client.conversation(found.id, user=found.user)
