"""Which branch, which turn does an address name; and what else may a request say? Nothing is taken that is
not known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from ...chat import AsyncConversation
from ...conversations import Address, Declared, Turn
from ...errors import TurnNotFound
from ..gateway import client_of
from ..http.names import named
from ..http.refusal import Refusal
from .asked import Fields, chat_of, fields_of

__all__ = [
    "check_known",
    "handle_of",
    "known_fields",
    "number_of",
    "text_in",
    "there",
    "turn_of",
    "wanted_turn",
    "words_in",
]

LONGEST = 9
"""Digits of a number that names something."""


def handle_of(
    request: Request, declared: Declared | None = None, branch: int | None = None
) -> AsyncConversation:
    """The conversation of the address, on ``branch``, else on the one that is named, else on the one in use.
    Unlike a new turn it changes no settings but those ``declared``."""
    found = chat_of(request)
    client = client_of(request)
    text = request.query_params.get("branch")
    if branch is None and text is not None:
        branch = number_of(text, "branch")
    return AsyncConversation(client.engine, found.id, found.at[0], declared or Declared(), branch)


async def there(request: Request) -> AsyncConversation:
    """The same of a conversation that has to be there. Raises `ConversationNotFound`."""
    chat = handle_of(request)
    await chat.info()
    return chat


async def turn_of(request: Request, chat: AsyncConversation) -> Turn:
    """The turn of the address, named by its number or its id. Raises `TurnNotFound`."""
    return await wanted_turn(request, chat, named(request, "n"))


async def wanted_turn(request: Request, chat: AsyncConversation, name: str) -> Turn:
    """The turn with a number on the path, or with an id."""
    branch = request.query_params.get("branch")
    address, at = Address.parse(name), None if branch is None else number_of(branch, "branch")
    if address is not None:
        one = await chat.info()
        if address.ulid != one.ulid or address.place is not None:
            raise TurnNotFound(wanted=name, conversation=chat.id)
        number, at = address.turn, address.branch
        known = {each.number for each in await chat.branches()}
        if at not in known:
            raise TurnNotFound(wanted=name, conversation=chat.id)
    else:
        number = _number(name)
    store = client_of(request).engine.store
    found = await store.turns(*chat.at, after=number - 1, limit=1, branch=at) if number > 0 else ()
    if not found:
        await chat.info()
        raise TurnNotFound(wanted=name, conversation=chat.id)
    return found[0]


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= LONGEST else 0


def number_of(text: str, name: str, least: int = 0, most: int | None = None) -> int:
    """A number in an address. Raises `Refusal`."""
    if not text.isascii() or not text.isdecimal() or len(text) > LONGEST:
        raise Refusal(400, "invalid_type", param=name)
    number = int(text)
    if number < least:
        raise Refusal(400, "integer_below_min_value", param=name, least=least)
    if most is not None and number > most:
        raise Refusal(400, "integer_above_max_value", param=name, limit=most)
    return number


async def known_fields(request: Request, *names: str) -> Fields:
    """The fields of the body, each of which has one of these names; an empty body has none. Raises
    `Refusal`."""
    fields = await fields_of(request)
    check_known(fields, names)
    return fields


def check_known(fields: Mapping[str, Any], names: tuple[str, ...] | frozenset[str]) -> None:
    """Raise `Refusal` for a field that has none of these names. What it is called is not told."""
    if any(name not in names for name in fields):
        raise Refusal(400, "unknown_parameter")


def text_in(fields: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """A text, or its ``default``. Raises `Refusal`."""
    value = fields.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise Refusal(400, "not_text", param=name)
    return value


def words_in(fields: Mapping[str, Any]) -> str | list[Any] | None:
    """What the user says: ``text``, or ``content`` as chat completions has it. Raises `Refusal`."""
    text, content = fields.get("text"), fields.get("content")
    if text is not None and content is not None:
        raise Refusal(400, "mutually_exclusive_parameters", param="content")
    if text is not None:
        return text_in(fields, "text")
    if content is not None and not isinstance(content, str | list):
        raise Refusal(400, "invalid_type", param="content")
    return content
