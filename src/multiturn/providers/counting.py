"""How many tokens does the provider itself count? Four forms of the question, one answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import orjson

from .access import Access
from .inquiry import Inquiry
from .parameters import written

__all__ = ["Counting"]

ANSWERS: Mapping[str, tuple[str, str]] = {
    "kimi": ("data", "total_tokens"),
    "stepfun": ("data", "total_tokens"),
    "glm": ("usage", "prompt_tokens"),
    "dashscope": ("usage", "input_tokens"),
}
"""Where each form of answer holds the number."""
COUNT_TOOLS = frozenset(("glm",))
"""Forms that take tool definitions, too."""
REMEMBERED = 1_000
"""Answers that are remembered."""


class Counting:
    """An endpoint that counts tokens, as its profile describes it. The same list of messages is
    asked about once."""

    def __init__(self, access: Access) -> None:
        self.name = access.profile.id
        self._form = access.profile.counting
        self._url = access.profile.counting_url(access.address)
        self._inquiry = Inquiry(access)
        self._remembered: dict[bytes, int] = {}

    async def count(self, model: str, messages: bytes, tools: Sequence[Mapping[str, Any]] = ()) -> int:
        """Tokens of a list of messages (as JSON) for ``model``, its name at the provider. Raises a
        `ProviderError`."""
        question = self._question(model, messages, tools)
        digest = blake2b(written(question), digest_size=16).digest()
        if digest not in self._remembered:
            tokens = self._number(await self._inquiry.ask(self._url, question))
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            self._remembered[digest] = tokens
        return self._remembered[digest]

    async def close(self) -> None:
        """Close connections."""
        await self._inquiry.close()

    def _question(self, model: str, messages: bytes, tools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        listed = orjson.Fragment(messages)
        if self._form == "dashscope":
            return {"model": model, "input": {"messages": listed}, "parameters": {}}
        counted = {"tools": list(tools)} if tools and self._form in COUNT_TOOLS else {}
        return {"model": model, "messages": listed, **counted}

    def _number(self, answer: Mapping[str, Any]) -> int:
        section, name = ANSWERS[self._form]
        found = answer.get(section)
        tokens = found.get(name) if isinstance(found, Mapping) else None
        if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
            raise self._inquiry.faults.unreadable("count_missing", name=f"{section}.{name}")
        return tokens
