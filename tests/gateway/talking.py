"""A conversation over bare HTTP, and what is asked of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.gateway.serving import Gate

from multiturn.conversations import Owner, Summary
from multiturn.storage.sqlite import SQLiteStore

__all__ = ["Talk", "summarised"]


class Talk:
    """One conversation of a gateway."""

    def __init__(self, one: Gate, name: str = "c", model: str = "demo") -> None:
        self.one, self.name, self.model = one, name, model

    def say(self, words: str, **more: Any) -> str:
        """A turn; gives the answer's words."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": words}],
            "conversation": self.name,
        }
        status, raw, _ = self.one.post({**body, **more})
        assert status == 200, raw
        return str(json.loads(raw)["choices"][0]["message"]["content"])

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A good answer, opened."""
        status, found = self.told(method, path, body)
        assert status == 200, found
        return found

    def told(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and answer."""
        address = path if path.startswith("/v1") else f"/v1/conversations/{self.name}{path}"
        raw = None if body is None else json.dumps(body).encode()
        status, answer, headers = self.one._asked(method, address, raw, {"content-type": "application/json"})
        return status, json.loads(answer) if headers[
            "content-type"
        ] == "application/json" else answer.decode()

    def code(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Status and code of a refusal."""
        status, answer = self.told(method, path, body)
        return status, answer["error"]["code"]

    def sent(self) -> list[str]:
        """The words that would be sent now."""
        return [str(each["content"]) for each in self.ask("GET", "/window")["messages"]]

    def numbers(self, path: str = "/turns") -> list[int]:
        return [each["number"] for each in self.ask("GET", path)["data"]]


def summarised(store: Path, name: str, text: str, upto: int = 1, replacing: int | None = None) -> None:
    """A summary of a conversation, as its model would write it."""

    async def write() -> None:
        opened = SQLiteStore(str(store))
        summary = Summary(0, upto, text, 5, "demo")
        assert await opened.write_summary(Owner("", ""), name, summary, replacing)
        await opened.close()

    asyncio.run(write())
